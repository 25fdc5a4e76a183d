"""A folder of token rows, read and checked, and what it says of the model it is for."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from curate.base.errors import CurateError
from trainer.data.manifest import read_manifest
from trainer.data.rows import Floats, Ints, Rows, rows_of

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
    sources: tuple[str, ...] | None = None  # where each row is from, if the folder says
    rejected: Rows | None = None  # of pairs the answers that lost, row by row


def load_tokens(folder: str) -> Tokens:
    """Read a folder that `curate render` wrote.

    Raises `CurateError` if it is no such folder, has no manifest or one that was changed, lacks a
    column, or holds labels that do not match the tokens in length.
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
    rows, sources, rejected = _read_rows(path)
    digest = hashlib.sha256(text).hexdigest()
    return Tokens(path, rows, manifest, digest, stop_ids, stop_strings, sources, rejected)


def _read_rows(folder: Path) -> tuple[Rows, tuple[str, ...] | None, Rows | None]:
    import datasets

    try:
        dataset = datasets.load_from_disk(str(folder))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        # The last three are what the library makes of a state.json or dataset_info.json of others.
        raise CurateError(
            f"{folder}: cannot be read as a dataset ({type(error).__name__}: {error}); render the "
            "rows again"
        ) from error
    if not isinstance(dataset, datasets.Dataset):
        raise CurateError(f"{folder}: holds several splits; train on one of the folders inside")
    missing = {"id", "input_ids", "labels"} - set(dataset.column_names)
    if missing:
        raise CurateError(
            f"{folder}: has no column {', '.join(sorted(missing))}; "
            f"its columns are {', '.join(dataset.column_names)}"
        )
    table = dataset.with_format("arrow")[:]
    if table["id"].null_count:
        # Rows of one id are one group, which a split never parts.
        raise CurateError(f"{folder}: column 'id' has {table['id'].null_count} nulls")
    ids = tuple(str(row_id) for row_id in table["id"].to_pylist())
    lengths, input_ids, labels = _side(folder, table, ids, "")
    weights = _weights(folder, table, ids, lengths) if "weights" in table.column_names else None
    sources = None
    if "source" in table.column_names:
        sources = tuple(str(source) for source in table["source"].to_pylist())
    rejected = None
    if "rejected_input_ids" in table.column_names:
        rejected = rows_of(ids, *_side(folder, table, ids, "rejected_"), None)
    return rows_of(ids, lengths, input_ids, labels, weights), sources, rejected


def _side(folder: Path, table: Any, ids: tuple[str, ...], prefix: str) -> tuple[Ints, Ints, Ints]:
    """Lengths, ids and labels of one side of the rows."""
    lengths, input_ids = _flat(folder, table, f"{prefix}input_ids")
    label_lengths, labels = _flat(folder, table, f"{prefix}labels")
    _check_lengths(folder, ids, "labels", lengths, label_lengths)
    return lengths, input_ids, labels


def _check_lengths(
    folder: Path, ids: tuple[str, ...], what: str, tokens: Ints, others: Ints
) -> None:
    unequal = np.flatnonzero(tokens != others)
    if len(unequal):
        first = int(unequal[0])
        raise CurateError(
            f"{folder}: {len(unequal)} rows have {what} of another length than their tokens; "
            f"first is row {first} ({ids[first]}): {tokens[first]} tokens, {others[first]} {what}"
        )


def _weights(folder: Path, table: Any, ids: tuple[str, ...], lengths: Ints) -> Floats:
    """What each token counts in the loss, beside `input_ids`; finite and not negative."""
    column = _lists(folder, table, "weights", "numbers")
    _check_lengths(folder, ids, "weights", lengths, column.value_lengths().fill_null(0).to_numpy())
    weights: Floats = column.flatten().to_numpy(zero_copy_only=False).astype(np.float32)
    wrong = np.flatnonzero(~np.isfinite(weights) | (weights < 0))
    if len(wrong):
        row = int(np.searchsorted(np.cumsum(lengths), wrong[0], side="right"))
        raise CurateError(
            f"{folder}: {len(wrong)} weights are negative or not finite; first is "
            f"{weights[wrong[0]]} in row {row} ({ids[row]}); expected numbers from 0"
        )
    return weights


def _flat(folder: Path, table: Any, name: str) -> tuple[Ints, Ints]:
    """Lengths and values of a column of lists; a null list is an empty one."""
    column = _lists(folder, table, name, "ids")
    values = column.flatten()
    if values.null_count:
        raise CurateError(f"{folder}: column {name!r} has {values.null_count} nulls among its ids")
    lengths = column.value_lengths().fill_null(0)
    both = (array.to_numpy(zero_copy_only=False).astype(np.int64) for array in (lengths, values))
    return next(both), next(both)


def _lists(folder: Path, table: Any, name: str, wanted: str) -> Any:
    """The column `name` in one piece; `CurateError` unless it holds lists of ids, or of numbers."""
    import pyarrow.types as kinds

    column = table[name].combine_chunks()
    held = getattr(column.type, "value_type", None)
    fits = held is not None and not kinds.is_dictionary(column.type)
    fits = fits and (kinds.is_integer(held) or (wanted == "numbers" and kinds.is_floating(held)))
    if not fits and len(column):
        raise CurateError(
            f"{folder}: column {name!r} holds {column.type}, expected lists of {wanted}; render "
            "the rows again"
        )
    return column
