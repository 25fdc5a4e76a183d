"""The TOKENS folder: rows that `datasets.load_from_disk` reads, a manifest, the refused rows."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.metadata
import json
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from curate.base.errors import CurateError
from templates.proof.stops import Stop
from templates.render import Rendered
from templates.tokens.columns import REFUSED
from templates.tokens.lengths import Matched, in_tokens

MAKER = "curate render"
MANIFEST = "manifest.json"
REFUSALS = "refused.jsonl"
DATA = "_data_files"  # the key of a dataset's state.json under which its parts are named
VERSIONS = ("curate-sft", "datasets", "jinja2", "polars", "pyarrow", "tokenizers")


@dataclass(frozen=True)
class Tokens:
    """A TOKENS folder that was read: its rows (`render.EXAMPLES`), refused rows and manifest."""

    folder: Path
    manifest: dict[str, Any]
    examples: pl.DataFrame
    refused: pl.DataFrame


def write(
    rendered: Rendered, out: Path, force: bool = False, matched: Matched | None = None
) -> Path:
    """Write the TOKENS folder; the same input gives the same bytes.

    It is written beside `out` and appears when whole. Needs the `datasets` library. `matched` is
    what the run that the records are from matched their lengths to. Raises `CurateError` if there
    is nothing to train on, or `out` holds something else (`check_free`) or cannot be written.
    """
    if not rendered.examples.height:
        raise CurateError(_nothing(rendered))
    check_free(out, force)
    out.parent.mkdir(parents=True, exist_ok=True)
    hidden = out.parent / f".{out.name}.unfinished"
    shutil.rmtree(hidden, ignore_errors=True)
    try:
        _save(rendered.examples, hidden)
        lines = [
            json.dumps(row, ensure_ascii=False) for row in rendered.refused.iter_rows(named=True)
        ]
        (hidden / REFUSALS).write_text("".join(f"{line}\n" for line in lines), "utf-8")
        files = sorted(path.name for path in hidden.iterdir())
        manifest = {**manifest_of(rendered, matched), "files": [*files, MANIFEST]}
        text = json.dumps(manifest, ensure_ascii=False, indent=1)
        (hidden / MANIFEST).write_text(f"{text}\n", "utf-8")
        _show(hidden, out)
    except OSError as error:
        raise CurateError(
            f"{out}: could not be written ({error}); check the free space, the greatest size of a "
            "file (ulimit -f) and the folder's rights"
        ) from error
    finally:
        shutil.rmtree(hidden, ignore_errors=True)
    return out


def manifest_of(rendered: Rendered, matched: Matched | None = None) -> dict[str, Any]:
    """What the trainer's gate, sampling and a reader need to know about the rows.

    `stop.ids` and `stop.strings` end generation; `template.source` renders prompts at inference;
    `length` is what the answers' lengths were matched to, in tokens too (`lengths.in_tokens`).
    """
    template, tokenizer, card = rendered.template, rendered.tokenizer, rendered.card
    cards = [card, rendered.tool_card] if rendered.tool_card else [card]
    stops = [stop for one in cards for stop in one.stops]
    ids = _stop_ids(stops)
    tool_use = template.tool_use
    return {
        "maker": MAKER,
        "counts": rendered.counts,
        "refused": _by_check(rendered.refused),
        "stop": {"ids": ids, "strings": _stop_strings(stops)},
        "bos": {
            "token": tokenizer.special.get("bos_token"),
            "written": card.writes_bos,
            "note": card.bos,
        },
        "template": {
            "name": template.name,
            "origin": template.origin,
            "hash": template.hash,
            "source": template.source,
            "tool_use": tool_use.source if tool_use else None,
        },
        "tokenizer": {
            "name": tokenizer.name,
            **tokenizer.origin,
            "hash": tokenizer.hash,
            "special": dict(tokenizer.special),
            "eos_ids": list(tokenizer.eos_ids),
            "vocabulary": tokenizer.backend.get_vocab_size(with_added_tokens=True),
            "functional": dict(tokenizer.functional),
            "added": dict(tokenizer.added),
        },
        "card": card.as_dict(),
        "tool_card": rendered.tool_card.as_dict() if rendered.tool_card else None,
        "options": dataclasses.asdict(rendered.options),
        "length": in_tokens(matched, rendered.examples, ids) if matched else None,
        "versions": _versions(),
    }


def _stop_ids(stops: Iterable[Stop]) -> list[int]:
    return sorted({stop.id for stop in stops if stop.id is not None})


def _stop_strings(stops: Iterable[Stop]) -> list[str]:
    return sorted({stop.text for stop in stops if stop.id is None})


def _by_check(refused: pl.DataFrame) -> dict[str, int]:
    counted = refused.group_by("check").len().sort("check")
    return dict(counted.iter_rows())


def _versions() -> dict[str, str]:
    found = {}
    for name in VERSIONS:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:  # run from a checkout, not installed
            found[name] = "unknown"
    return found


def _nothing(rendered: Rendered) -> str:
    counts = _by_check(rendered.refused)
    if not counts:
        return "nothing left to train on: there are no rows"
    check = max(counts, key=lambda name: (counts[name], name))
    example = rendered.refused.filter(pl.col("check") == check)["message"][0]
    return (
        f"nothing left to train on: all {rendered.refused.height:,} rows were refused, "
        f"{counts[check]:,} by {check}, such as: {example}"
    )


def _save(examples: pl.DataFrame, folder: Path) -> None:
    """Save as a `datasets.Dataset` whose fingerprint is its content's hash, not chance."""
    try:
        import datasets
    except ImportError as error:
        raise CurateError(
            'writing a TOKENS folder needs the datasets library; pip install "curate-sft[train]"'
        ) from error
    kinds = {
        "id": datasets.Value("string"),
        "row": datasets.Value("uint32"),
        "input_ids": datasets.List(datasets.Value("int32")),
        "labels": datasets.List(datasets.Value("int32")),
        "turns": datasets.List(datasets.Value("uint32")),
        "source": datasets.Value("string"),
        "rejected_input_ids": datasets.List(datasets.Value("int32")),
        "rejected_labels": datasets.List(datasets.Value("int32")),
    }
    kinds = {name: kinds[name] for name in examples.columns}
    table = examples.to_arrow().cast(datasets.Features(kinds).arrow_schema)
    digest = hashlib.sha256()
    for column in table.columns:
        for buffer in filter(None, column.combine_chunks().buffers()):
            digest.update(buffer)
    shown = not datasets.are_progress_bars_disabled()
    datasets.disable_progress_bars()
    try:
        rows = datasets.Dataset(table, fingerprint=digest.hexdigest()[:16])
        rows.save_to_disk(folder)
    finally:
        if shown:
            datasets.enable_progress_bars()


def is_tokens(path: Path) -> bool:
    """Whether this is a folder that `write` wrote."""
    return bool(_files(path))


def _files(folder: Path) -> list[str]:
    """The files that an earlier `write` says it wrote in this folder; none if it wrote none."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text("utf-8"))
    except (OSError, ValueError):
        return []
    mine = isinstance(manifest, dict) and manifest.get("maker") == MAKER
    return [name for name in manifest.get("files", []) if isinstance(name, str)] if mine else []


def check_free(out: Path, force: bool = False) -> None:
    """Raise `CurateError` when writing to `out` could harm something that is not ours.

    An empty folder and an earlier TOKENS folder may be written to. With `force` a TOKENS folder
    may hold other files too: they stay. A folder of anything else is never touched.
    """
    if out.exists() and not out.is_dir():
        raise CurateError(f"{out}: is a file; give the name of a folder to write to")
    if not out.is_dir() or not any(out.iterdir()):
        return
    ours = _files(out)
    if not ours:
        raise CurateError(f"{out}: the folder holds something else; choose another --out")
    others = sorted(path.name for path in out.iterdir() if path.name not in ours)
    if others and not force:
        raise CurateError(
            f"{out}: the folder also holds {', '.join(others[:3])}; "
            "choose another --out, or --force"
        )


def _show(hidden: Path, out: Path) -> None:
    """Put the finished folder in place; the manifest goes first and comes last."""
    if not out.exists() or not any(out.iterdir()):
        out.mkdir(exist_ok=True)
        hidden.replace(out)
        return
    ours = _files(out)
    names = sorted(path.name for path in hidden.iterdir() if path.name != MANIFEST)
    foreign = [name for name in names if (out / name).exists() and name not in ours]
    if foreign:
        raise CurateError(f"{out}: {', '.join(foreign)} was not written by curate; move it away")
    for name in [MANIFEST, *(name for name in ours if name != MANIFEST)]:
        (out / name).unlink(missing_ok=True)
    for name in [*names, MANIFEST]:
        (hidden / name).replace(out / name)


def read(path: Path) -> Tokens:
    """Read a TOKENS folder, without the `datasets` library. Raises `CurateError` if it is none."""
    if not is_tokens(path):
        raise CurateError(f"{path}: no TOKENS folder; `curate render` writes one")
    part = path / MANIFEST
    try:
        manifest = json.loads(part.read_text("utf-8"))
        part = path / "state.json"
        names = [str(entry["filename"]) for entry in json.loads(part.read_text("utf-8"))[DATA]]
        shards = []
        for name in names:
            part = path / name
            shards.append(pl.read_ipc_stream(part))
        part = path / REFUSALS
        lines = part.read_text("utf-8").split("\n")
        refused = pl.DataFrame([json.loads(line) for line in lines if line], schema=REFUSED)
        part = path
        return Tokens(path, manifest, pl.concat(shards), refused)
    except (OSError, ValueError, KeyError, TypeError, pl.exceptions.PolarsError) as error:
        raise CurateError(
            f"{part}: damaged ({type(error).__name__}: {error}); render the rows again"
        ) from error
