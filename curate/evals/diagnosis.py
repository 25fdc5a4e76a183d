"""`curate diagnose`: the tables of a tuned model beside its base, as a page or a folder."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from os import PathLike, fspath
from pathlib import Path
from typing import Any

from curate.base.extras import require
from curate.base.folder import atomic_folder, write_manifest, write_page, writing
from curate.base.log import Log
from curate.base.places import check_page
from curate.base.replacing import Kind, check_replaced
from curate.base.version import __version__
from curate.evals import diagnosis_page
from curate.evals.diagnosis_page import number
from trainer.after.geometry.diagnosis import Diagnosis
from trainer.after.geometry.diagnosis import diagnose as compared
from trainer.after.suite.identity import model_hash

MAKER = "curate diagnose"
PAGE, NUMBERS = "diagnosis.html", "diagnosis.json"


def diagnose(
    source: str | PathLike[str],
    texts: Sequence[str | PathLike[str]],
    out: str | PathLike[str] | None,
    model: str | PathLike[str] | None,
    tokens: int,
    spectra: bool,
    device: str,
    force: bool,
    log: Log,
) -> Diagnosis:
    """Compare, and write what was found: a page where `out` ends in .html, else a folder."""
    require("a diagnosis", "train", "torch", "transformers")
    name, read = fspath(source), [fspath(text) for text in texts]
    base = None if model is None else fspath(model)
    settings = {"tokens": tokens, "spectra": spectra}

    def found() -> Diagnosis:
        return compared(
            name, read, base=base, tokens=tokens, spectra=spectra, device=device, log=log
        )

    if out is None:
        return found()
    if Path(out).suffix in (".html", ".htm"):
        check_page(out)
        made = found()
        write_page(out, diagnosis_page.html(made))
        return made
    about = _about(name, read, base, settings)
    with atomic_folder(out, MAKER, force, [name, *read], (PAGE, NUMBERS)) as folder:
        if replaced := check_replaced(out, _KIND, about, force):
            log(replaced)
        made = found()
        with writing(out):
            content = json.dumps(made.as_dict(), indent=2, ensure_ascii=False)
            (folder / NUMBERS).write_text(f"{content}\n", encoding="utf-8")
            (folder / PAGE).write_text(diagnosis_page.html(made), encoding="utf-8")
            write_manifest(folder, MAKER, {**about, "base": made.base})
    return made


def _about(
    source: str, texts: Sequence[str], base: str | None, settings: Mapping[str, Any]
) -> dict[str, Any]:
    """What the manifest says."""
    return {
        "version": __version__,
        "sources": [{"source": source, "sha256": model_hash(source, base)}],
        "texts": list(texts),
        "settings": dict(settings),
    }


def _settings(manifest: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    given = manifest.get("settings")
    known = given.items() if isinstance(given, dict) else ()
    named = {str(name): str(value) for name, value in known}
    return {"": {**named, "texts": str(manifest.get("texts"))}}


_KIND = Kind(MAKER, "diagnosis", _settings)


def lines(found: Diagnosis) -> Iterator[str]:
    """The tables of blocks, and of the layers that changed most, for a terminal."""
    yield f"{'block':>5}  {'procrustes':>10}  {'gram':>10}  {'cka':>10}  {'debiased':>10}"
    for each in found.blocks:
        moved = each.movement
        values = (moved.procrustes, moved.gram, moved.cka, moved.debiased)
        yield "  ".join([f"{each.block:>5}", *(f"{number(value):>10}" for value in values)])
    most = sorted(found.layers, key=lambda each: -each.relative)[:5]
    yield "linear layers whose outputs shift most (of the squared output, and of the weight):"
    for layer in most:
        yield (
            f"  block {layer.block} {layer.name}: {number(layer.relative)}, "
            f"size of the change {number(layer.size)}"
        )
