"""A folder of token rows, read and checked, and what it says of the model it is for."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from curate.base.errors import CurateError
from curate.base.example_sources import check_content, read_sources
from trainer.data.columns import (
    IDS,
    REJECTED,
    WEIGHTS,
    as_lists,
    check_columns,
    read_side,
    read_weights,
)
from trainer.data.manifest import CARDS, read_manifest
from trainer.data.rows import Rows, rows_of

Decode = Callable[[list[int]], str]
TokenId = Callable[[str], int | None]


@dataclasses.dataclass(frozen=True)
class Limits:
    """What the model can take: `vocabulary` ids from 0, and `positions` or None for no limit."""

    vocabulary: int
    positions: int | None

    def with_room(self, vocabulary: int, prompt: int) -> Limits:
        """With rows for added tokens, and `prompt` positions taken by learnt vectors."""
        positions = None if self.positions is None else self.positions - prompt
        return Limits(vocabulary, positions)


@dataclasses.dataclass(frozen=True)
class Tokens:
    """A folder of token rows and what its manifest says about them."""

    folder: Path
    rows: Rows
    manifest: dict[str, Any]
    manifest_hash: str
    stop_ids: tuple[int, ...]
    stop_strings: tuple[str, ...]
    sources: tuple[str, ...] | None = None  # where each row is from, if that is known of all
    rejected: Rows | None = None  # of pairs the answers that lost, row by row

    @property
    def text_endings(self) -> tuple[str, ...]:
        """Stops that end answers and are no token of the vocabulary."""
        cards = [card for name in CARDS if isinstance(card := self.manifest.get(name), dict)]
        if not cards:
            return self.stop_strings
        ends = [end for card in cards if isinstance(end := card.get("ends_with"), dict)]
        texts = [end.get("text") for end in ends if end.get("id") is None]
        return tuple(dict.fromkeys(text for text in texts if text))


def load_tokens(folder: str) -> Tokens:
    """Read a folder that `curate render` wrote.

    Raises `CurateError` if it is no such folder or one of an earlier version, has no manifest or
    one that was changed, lacks a column or has one that is not read, holds labels that do not match
    the tokens in length or a mask of padding, if `sources.parquet` does not fit its rows, and if
    ids, labels or masks are not those that were rendered.
    """
    path = Path(folder)
    if not path.is_dir():
        raise CurateError(f"{folder}: there is no such tokens folder; `curate render` writes one")
    manifest_path = path / "manifest.json"
    if not (path / "dataset_info.json").is_file() or not manifest_path.is_file():
        raise CurateError(
            f"{folder}: not a tokens folder (it needs dataset_info.json and manifest.json); "
            "`curate render` writes one"
        )
    text = manifest_path.read_bytes()
    manifest = read_manifest(manifest_path, text)
    stop_ids, stop_strings = (tuple(manifest["stop"][name]) for name in ("ids", "strings"))
    rows, sources, rejected = _read_rows(path, manifest)
    digest = hashlib.sha256(text).hexdigest()
    return Tokens(path, rows, manifest, digest, stop_ids, stop_strings, sources, rejected)


def _load(folder: Path) -> Any:
    """The dataset in a folder, of one split, as a table."""
    import datasets
    import pyarrow as pa

    odd = (
        *(OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError),
        pa.ArrowException,
    )
    try:
        dataset = datasets.load_from_disk(str(folder))
        if isinstance(dataset, datasets.Dataset):
            return dataset.with_format("arrow")[:]
    except odd as error:
        # Besides damage, this is what the library makes of a state.json or dataset_info.json of
        # others, and of a dataset without rows.
        raise CurateError(
            f"{folder}: cannot be read as a dataset ({type(error).__name__}: {error}); render the "
            "rows again"
        ) from error
    raise CurateError(f"{folder}: holds several splits; train on one of the folders inside")


def _read_rows(
    folder: Path, manifest: Mapping[str, Any]
) -> tuple[Rows, tuple[str, ...] | None, Rows | None]:
    """The rows, where each is from, and of pairs the answers that lost."""
    table = _load(folder)
    # First, for a folder of an earlier version has other columns as well.
    about = read_sources(folder, len(table))
    check_columns(folder, table.column_names)
    ids = tuple(about["id"].to_list())
    prefixes = [name.removesuffix(IDS) for name in table.column_names if name.endswith(IDS)]
    sides = {prefix: read_side(folder, table, ids, prefix) for prefix in prefixes}
    given = [as_lists(prefix, *side) for prefix, side in sides.items()]
    check_content(folder, manifest, {name: lists for each in given for name, lists in each.items()})
    lengths = sides[""][0]
    weights = read_weights(folder, table, ids, lengths) if WEIGHTS in table.column_names else None
    sources = None if about["source"].null_count() else tuple(about["source"].to_list())
    rejected = rows_of(ids, *sides[REJECTED], None) if REJECTED in sides else None
    return rows_of(ids, *sides[""], weights), sources, rejected
