"""The TOKENS folder: what trainers read, what explains it, and the refused rows.

`datasets.load_from_disk` gives the columns that trainers read and no other. Beside them lie
`sources.parquet`, a line for each example, `refused.jsonl` and the manifest.
"""

from __future__ import annotations

import dataclasses
import importlib.metadata
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from curate.base.errors import CurateError
from curate.base.example_sources import (
    CONTENT_HASHES,
    EXAMPLE_SOURCES,
    IDS_HASH,
    SOURCES,
    Lists,
    check_content,
    content_hashes,
    read_sources,
    write_sources,
)
from curate.base.folder import (
    MANIFEST,
    atomic_folder,
    is_made_by,
    is_plain_file,
    write_manifest,
    writing,
)
from curate.base.manifest_shape import check_shapes
from curate.base.progress import quiet_datasets
from templates.tokens.columns import EXAMPLES, MASK, PAIRED, REFUSED, SIDES, by_check
from templates.tokens.kept_manifest import NEEDED, SHAPES
from templates.tokens.lengths import Matched, in_tokens
from templates.tokens.rendered import Rendered
from templates.tokens.trainer_columns import to_dataset

MAKER = "curate render"
REFUSALS = "refused.jsonl"
# In its lines: a row that never became a record; a check on the row, not on one message.
ABSENT = {"row": -1, "turn": -1}
STATE = "state.json"  # of `datasets`: under `_data_files` it names the parts of the rows
# What is always written; the parts of the rows are named by `datasets`.
FILES = (REFUSALS, SOURCES, STATE, "dataset_info.json", MANIFEST)
VERSIONS = ("curate-sft", "datasets", "jinja2", "polars", "pyarrow", "tokenizers")


@dataclass(frozen=True)
class Tokens:
    """A TOKENS folder that was read: its rows (`EXAMPLES`), refused rows and manifest."""

    folder: Path
    manifest: dict[str, Any]
    examples: pl.DataFrame
    refused: pl.DataFrame


def write(
    rendered: Rendered,
    out: str | Path,
    force: bool = False,
    matched: Matched | None = None,
    sources: Sequence[Mapping[str, str]] = (),
) -> Path:
    """Write the TOKENS folder; the same input gives the same bytes.

    It is written beside `out` and appears when whole. Needs the `datasets` library. `matched` is
    what the run that the records are from matched their lengths to, `sources` the names and hashes
    of the files that they are from. Raises `CurateError` if there is nothing to train on, or `out`
    holds something else or cannot be written.
    """
    dataset = to_dataset(rendered)
    with atomic_folder(out, MAKER, force) as folder, writing(out):
        with quiet_datasets():
            dataset.save_to_disk(folder)
        write_sources(folder, rendered.examples)
        # Every reader takes lines without a null, whichever rows come first.
        refused = rendered.refused.with_columns(
            pl.col(name).cast(pl.Int64).fill_null(absent) for name, absent in ABSENT.items()
        )
        rows = refused.iter_rows(named=True)
        lines = [f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows]
        (folder / REFUSALS).write_text("".join(lines), "utf-8")
        write_manifest(folder, MAKER, manifest_of(rendered, matched, sources))
    return Path(out)


def manifest_of(
    rendered: Rendered, matched: Matched | None = None, sources: Sequence[Mapping[str, str]] = ()
) -> dict[str, Any]:
    """The manifest of rendered rows: what the trainer, sampling and a reader must know of them.

    `stop.ids` and `stop.strings` end generation; `template.source` renders prompts at inference;
    `length` is what the answers' lengths were matched to, in tokens too (`lengths.in_tokens`).
    """
    template, tokenizer, card = rendered.template, rendered.tokenizer, rendered.card
    cards = [card, rendered.tool_card] if rendered.tool_card else [card]
    stops = [stop for one in cards for stop in one.stops]
    ids = sorted({stop.id for stop in stops if stop.id is not None})
    strings = sorted({stop.text for stop in stops if stop.id is None})
    tool_use = template.tool_use
    hashes = content_hashes(_with_masks(_trained_columns(rendered.examples)))
    return {
        "counts": rendered.counts,
        "refused": by_check(rendered.refused),
        "stop": {"ids": ids, "strings": strings},
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
            "closing": dict(tokenizer.closing),
        },
        "card": card.as_dict(),
        "tool_card": rendered.tool_card.as_dict() if rendered.tool_card else None,
        "options": dataclasses.asdict(rendered.options),
        "sources": list(sources),
        IDS_HASH: hashes["input_ids"],
        CONTENT_HASHES: hashes,
        "length": in_tokens(matched, rendered.examples, ids) if matched else None,
        "versions": _versions(),
    }


def _versions() -> dict[str, str]:
    found = {}
    for name in VERSIONS:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:  # run from a checkout, not installed
            found[name] = "unknown"
    return found


def _trained_columns(examples: pl.DataFrame) -> dict[str, Lists]:
    """What trainers read of the examples, by column."""
    names = [f"{side}{name}" for side in SIDES for name in (*PAIRED, MASK)]
    return {name: _flat(examples[name]) for name in names if name in examples.columns}


def _with_masks(columns: Mapping[str, Lists]) -> dict[str, Lists]:
    """The columns, and a mask of ones for each column of ids, as the dataset will have."""
    ids = [(side, columns.get(f"{side}{PAIRED[0]}")) for side in SIDES]
    masks = {f"{side}{MASK}": (own[0], np.ones(len(own[1]), np.int8)) for side, own in ids if own}
    return {**columns, **masks}


def _flat(lists: pl.Series) -> Lists:
    """The length of each list, and all values laid end to end. Raises `ValueError` for nulls."""
    flat = lists.explode(empty_as_null=False, keep_nulls=False)
    if flat.null_count():
        raise ValueError(f"column {lists.name!r} has nulls among its values")
    return lists.list.len().fill_null(0).to_numpy(), flat.to_numpy()


# What reading makes of files that somebody, or a disk, changed; a panic is no `Exception`.
_DAMAGE = (
    *(OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError),
    *(pl.exceptions.PolarsError, pl.exceptions.PanicException),
)


def is_tokens(path: Path) -> bool:
    """Whether this is a folder that `write` wrote."""
    return is_made_by(path, MAKER)


def read(path: Path) -> Tokens:
    """Read a TOKENS folder, without the `datasets` library.

    What explains the examples is joined to them: columns of `EXAMPLES` first. Raises `CurateError`
    if it is none, or one of an earlier version, if a file of it is damaged or none of its own, and
    if the examples are not those of the manifest, in its order.
    """
    if not is_tokens(path):
        raise CurateError(f"{path}: no TOKENS folder; `curate render` writes one")
    part = path / MANIFEST
    try:
        manifest = json.loads(part.read_text("utf-8"))
        check_shapes(manifest, SHAPES, NEEDED, part, "render the rows again")
        part = path / STATE
        shards = []
        for part in _data_files(path):
            shards.append(pl.read_ipc_stream(part))
        part = path / REFUSALS
        lines = part.read_text("utf-8").split("\n")
        refused = _refused(json.loads(line) for line in lines if line)
        part = path
        return Tokens(path, manifest, _explained(path, manifest, pl.concat(shards)), refused)
    except _DAMAGE as error:
        raise CurateError(
            f"{part}: damaged ({type(error).__name__}: {error}); render the rows again"
        ) from error


def _refused(lines: Iterable[Any]) -> pl.DataFrame:
    """The refused rows with the columns of `REFUSED`; a row or turn that is none is null."""
    wide = pl.Schema({**REFUSED, **dict.fromkeys(ABSENT, pl.Int64())})
    present = [pl.col(name).replace(absent, None) for name, absent in ABSENT.items()]
    refused = pl.DataFrame(list(lines), schema=wide).with_columns(present).cast(REFUSED)
    if refused["check"].null_count() or refused["message"].null_count():
        raise ValueError("a row is refused without a check or a message")
    return refused


def _explained(folder: Path, manifest: Mapping[str, Any], trained: pl.DataFrame) -> pl.DataFrame:
    """The examples with what each is from, and without their masks."""
    sources = read_sources(folder, trained.height)
    check_content(folder, manifest, _trained_columns(trained))
    masks = [f"{side}{MASK}" for side in SIDES]
    others = trained.select(pl.exclude(*masks, *EXAMPLE_SOURCES))
    return sources.hstack(others).select(*EXAMPLES, pl.exclude(*EXAMPLES))


def _data_files(folder: Path) -> list[Path]:
    """The parts of the rows that the folder's state names; only plain files in the folder.

    Who saves the dataset again, in more parts, gives them other names than the manifest has.
    """
    state = json.loads((folder / STATE).read_text("utf-8"))
    names = [entry["filename"] for entry in state["_data_files"]]
    if strange := [name for name in names if not is_plain_file(folder, name)]:
        raise CurateError(
            f"{folder / STATE}: names {strange[0]!r}, which is no file in this folder; render the "
            "rows again"
        )
    return [folder / name for name in names]
