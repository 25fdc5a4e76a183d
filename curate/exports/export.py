"""A RUN or TOKENS for another tool: data, configuration, and an account of what is not in it."""

from __future__ import annotations

import hashlib
import json
import os
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from os import PathLike, fspath
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

import templates
from curate.base.errors import CurateError, nearest, some_of
from curate.base.example_sources import CONTENT_HASHES, IDS_HASH
from curate.base.extras import require
from curate.base.folder import atomic_folder, sha256, write_manifest, writing
from curate.base.progress import quiet_datasets
from curate.base.replacing import Kind, check_replaced
from curate.base.spelling import option, verb
from curate.base.terminal import printable
from curate.base.version import __version__
from curate.exports import axolotl, hub, llamafactory, parquet, trl
from curate.exports.fields import meta_fields
from curate.exports.names import file_names, is_path, short_model
from curate.exports.target import DATA_HASH, Export, RunRows, TokenRows, counted
from curate.pipeline.run_folder import KEPT
from curate.renders import Tokens, open_folder
from curate.report.run_files import damage_explained
from curate.runs import Run

MAKER = "curate export"
LEFT_OUT = "left_out.jsonl"
_NAME = 60  # characters of a field's name in a note
Source = str | PathLike[str]


class Target(NamedTuple):
    """How a tool gets rows, and how it gets tokens; given the model's name or none."""

    rows: Callable[[RunRows, str | None], Export]
    tokens: Callable[[TokenRows, str | None], Export]


TARGETS = {
    "trl": Target(trl.of_rows, trl.of_tokens),
    "axolotl": Target(axolotl.of_rows, axolotl.of_tokens),
    "llamafactory": Target(llamafactory.of_rows, llamafactory.of_tokens),
    "hub": Target(hub.of_rows, hub.of_tokens),
}


@dataclass(frozen=True)
class Exported:
    """What was written: `path`, rows by what became of them, and what the user should know."""

    path: Path
    target: str
    rows: int
    left_out: pl.DataFrame  # row, id, reason, detail
    notes: tuple[str, ...]
    command: str | None

    def summary(self) -> str:
        """What was written and what was not, and the command that goes on, as lines of text."""
        lines = [f"{counted(self.rows)} written for {self.target}"]
        for reason, count in _reasons(self.left_out).items():
            lines.append(f"  left out, {reason}: {counted(count)}")
        if self.left_out.height:
            where = self.path / LEFT_OUT
            lines.append(f"  {where} names them")
            if self.target != "hub":
                lines[-1] += (
                    f"; tokens keep exact masks, weights too: {verb('render')}, "
                    f"then {verb('export')} of its folder"
                )
        lines += [f"note: {note}" for note in self.notes]
        if self.command:
            lines.append(f"cd {shlex.quote(str(self.path))} && {self.command}")
        return "\n".join(lines)


def export(
    source: Run | Tokens | Source,
    to: str,
    out: Source,
    model: Source | None = None,
    force: bool = False,
) -> Exported:
    """See `curate.export`."""
    if to not in TARGETS:
        known = ", ".join((*TARGETS, "gguf (of a CKPT: curate.export_gguf)"))
        close = nearest(to.lower(), list(TARGETS))
        raise CurateError(f"no target is called {to!r}; known: {known}{close}")
    if not isinstance(source, Run | Tokens | str | PathLike):
        raise CurateError(
            f"export takes a run, tokens or a folder of either, not a {type(source).__name__}"
        )
    require(verb("export"), "export", "pyarrow")
    opened = source if isinstance(source, Run | Tokens) else open_folder(source)
    inputs = [fspath(opened.path)] if opened.path is not None else []
    if to == "hub" and model is not None:
        raise CurateError(f"hub takes no {option('model')}: nothing is trained there")
    about = {
        "version": __version__,
        "target": to,
        "model": None if model is None else short_model(fspath(model)),
        "content": _content(opened),
        "sources": _sources(opened),
    }
    with atomic_folder(out, MAKER, force, inputs) as folder:
        replaced = check_replaced(out, KIND, about, force)
        made = _made(opened, TARGETS[to], model, Path(out))
        with writing(out):
            _write(folder, made, about, to == "hub")
    notes = (*made.notes, *([replaced] if replaced else []))
    return Exported(Path(out), to, made.data.height, made.left_out, notes, made.command)


def _settings_of(manifest: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    content = str(manifest.get("content"))[:8]
    named = {name: str(manifest.get(name)) for name in ("target", "model")}
    return {"": {**named, "content": content}}


KIND = Kind(MAKER, "export", _settings_of)


def _content(source: Run | Tokens) -> str | None:
    """The hash of what is exported; other settings of a run or of rendering give another one."""
    if not isinstance(source, Tokens):
        found = source.manifest["sha256"].get(KEPT)
    elif whole := source.manifest.get(CONTENT_HASHES):
        found = hashlib.sha256(json.dumps(whole, sort_keys=True).encode()).hexdigest()
    else:  # of an earlier version
        found = source.manifest.get(IDS_HASH)
    return None if found is None else str(found)


def _sources(source: Run | Tokens) -> list[dict[str, str]]:
    """The files that the rows are from, without the folders of this machine."""
    files = source.manifest["sources"]
    names = file_names([file["source"] for file in files])
    return [{"source": names[file["source"]], "sha256": file["sha256"]} for file in files]


def _made(source: Run | Tokens, target: Target, model: Source | None, out: Path) -> Export:
    named = _model(model, out) if model is not None else None
    if isinstance(source, Run):
        made = _of_run(source, target, named)
    else:
        made = _of_tokens(source, target, named, out)
    if not made.data.height:
        raise CurateError(_nothing(source, made))
    if model is None or named is None:
        return made
    return replace(made, notes=(*made.notes, *_model_notes(fspath(model), named)))


def _model_notes(given: str, named: str) -> list[str]:
    if named != given:
        return [f"the model is named as seen from the exported folder: {named}"]
    if not Path(given).is_dir() and (is_path(given) or Path(given).exists()):
        return [f"no folder is called {given} here; it is written as it is"]
    return []


def _of_run(run: Run, target: Target, model: str | None) -> Export:
    run.check("kept")
    kept = run.kept
    if not kept.height:
        raise CurateError(f"{run.name}: no row was kept, so there is nothing to export")
    if kept.height != run.manifest["counts"]["kept"]:
        raise CurateError(
            f"{run.name}: damaged, it has {kept.height:,} of {run.manifest['counts']['kept']:,} "
            "rows; run it again"
        )
    with damage_explained(run):
        made = target.rows(RunRows(run.name, run, kept), model)
    return replace(made, notes=(*made.notes, *_unused(kept, made)))


def _unused(kept: pl.DataFrame, made: Export) -> list[str]:
    """Columns of the rows that the target has no place for, and how many rows fill them."""
    filled = {
        "rejected": kept["rejected"].is_not_null(),
        "category": kept["category"].is_not_null(),
        "score": kept["score"].is_not_null(),
        "scores": kept["scores"].list.len() > 0,
        "meta": kept["meta"] != "{}",
    }
    counts = {name: int(has.sum() or 0) for name, has in filled.items()}
    unused = [
        f"{name} ({counted(count)})"
        for name, count in counts.items()
        if count and name not in made.data.columns
    ]
    notes = [f"not written: {', '.join(unused)}"] if unused else []
    names = [printable(name, _NAME) for name in meta_fields(kept["meta"]).counts]
    return notes + ([f"meta holds the fields {some_of(names, 8)}"] if names else [])


def _of_tokens(tokens: Tokens, target: Target, model: str | None, out: Path) -> Export:
    name = str(tokens.path or "these tokens")
    known = str(tokens.manifest["tokenizer"]["name"])
    assumed = None if model else _model(known, out)
    rows = TokenRows(name, tokens.examples, tokens.manifest)
    made = target.tokens(rows, model or assumed)
    if assumed and made.command:
        note = f"the model is assumed to be {assumed}, where the tokenizer is from"
        if not Path(known).is_dir():
            note += "; no such folder is here, so this must be its name on the hub"
        made = replace(made, notes=(*made.notes, note))
    return made


def _model(model: Source, out: Path) -> str:
    """A model's name as the configuration has it: a folder as seen from `out`."""
    name = fspath(model)
    if not name.strip():
        raise CurateError(f"{option('model')} is empty; name a folder or a model of the hub")
    if not Path(name).is_dir():
        return name
    return Path(os.path.relpath(Path(name).resolve(), out.resolve())).as_posix()


def _nothing(source: Run | Tokens, made: Export) -> str:
    where = source.name if isinstance(source, Run) else source.path or "these tokens"
    reasons = ", ".join(f"{name} {count:,}" for name, count in _reasons(made.left_out).items())
    return f"{where}: no row can be written for this target ({reasons or 'there are none'})"


def _reasons(left_out: pl.DataFrame) -> dict[str, int]:
    counts = left_out.group_by("reason").len().sort("len", "reason", descending=[True, False])
    return dict(counts.iter_rows())


def _write(folder: Path, made: Export, about: Mapping[str, Any], shards: bool) -> None:
    if made.as_dataset:
        _write_dataset(folder, made.data)
    elif shards:
        parquet.write_shards(made.data, folder)
    else:
        parquet.write(made.data, folder, made.json)
    data = hashlib.sha256("".join(sha256(path) for path in sorted(folder.iterdir())).encode())
    for name, text in made.texts.items():
        text = text.replace(DATA_HASH, data.hexdigest()[:12])
        (folder / name).write_text(text, encoding="utf-8")
    if made.left_out.height:
        made.left_out.write_ndjson(folder / LEFT_OUT)
    counts = {"rows": made.data.height, "left_out": made.left_out.height}
    reasons = {"left_out": _reasons(made.left_out), "notes": list(made.notes)}
    write_manifest(folder, MAKER, {**about, "counts": counts, **reasons})


def _write_dataset(folder: Path, data: pl.DataFrame) -> None:
    """A folder of tokens that `datasets.load_from_disk` reads."""
    dataset = templates.dataset_of(data)
    with quiet_datasets():
        dataset.save_to_disk(folder)
