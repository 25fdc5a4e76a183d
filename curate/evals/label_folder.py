"""An evaluation of labels as a folder: numbers, every row, and what was left out."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from curate.base.folder import atomic_folder, sha256, write_manifest, writing
from curate.base.json_text import dumps
from curate.base.log import Log
from curate.base.replacing import Kind, check_replaced
from curate.base.version import __version__
from curate.evals.label_data import LabelData
from curate.evals.label_text import lines
from curate.evals.labels import LabelEvaluation, LabelOptions, evaluate

MAKER = "curate eval --labels"
RESULTS, ROWS, LEFT_OUT, TABLE = "results.json", "rows.jsonl", "left_out.jsonl", "table.txt"


def evaluate_into(
    out: str | os.PathLike[str],
    models: Sequence[str],
    data: LabelData,
    options: LabelOptions,
    force: bool,
    log: Log,
) -> LabelEvaluation:
    """As `evaluate`, and write it to the folder `out`, which is checked before the work.

    An earlier evaluation of the same data is replaced; one of other data with `force`. Raises
    `CurateError`.
    """
    about = _about(models, data, options)
    kind = Kind(MAKER, "evaluation", lambda manifest: {"": _settings(manifest)})
    inputs = [name for name in (*models, data.name) if Path(name).exists()]
    with atomic_folder(out, MAKER, force, inputs) as folder:
        if replaced := check_replaced(out, kind, about, force):
            log(replaced)
        found = evaluate(models, data, options, log)
        with writing(out):
            _write(found, folder)
            write_manifest(folder, MAKER, about)
    return found


def _write(found: LabelEvaluation, folder: Path) -> None:
    results = json.dumps(found.as_dict(), indent=2, ensure_ascii=False)
    (folder / RESULTS).write_text(f"{results}\n", encoding="utf-8")
    (folder / TABLE).write_text("".join(f"{line}\n" for line in lines(found)), encoding="utf-8")
    _write_lines(folder / ROWS, found.row_dicts())
    _write_lines(folder / LEFT_OUT, map(dataclasses.asdict, found.left_out))


def _write_lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    path.write_text("".join(f"{dumps(row)}\n" for row in rows), encoding="utf-8")


def _about(models: Sequence[str], data: LabelData, options: LabelOptions) -> dict[str, Any]:
    """What the manifest says: the data, and all that decides the numbers."""
    path = Path(data.name)
    file = path / "manifest.json" if path.is_dir() else path
    classes = data.classes.names
    return {
        "version": __version__,
        "sources": [{"source": data.name, "sha256": sha256(file)}],
        "models": list(models),
        "classes": None if classes is None else list(classes),
        "labels": data.classes.source,
        "field": data.classes.field,
        "template": data.template,
        "options": dataclasses.asdict(options),
    }


def _settings(manifest: Mapping[str, Any]) -> dict[str, str]:
    given = manifest.get("options")
    options = given if isinstance(given, dict) else {}
    named = ("models", "classes", "labels", "field", "template")
    return {name: str(value) for name, value in options.items()} | {
        name: str(manifest.get(name)) for name in named
    }
