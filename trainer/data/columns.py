"""The columns of a dataset of token rows, checked and as flat arrays."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curate.base.errors import CurateError, nearest
from trainer.data.rows import Floats, Ints

REJECTED = "rejected_"  # before the names of the columns of a pair's other answer
WEIGHTS = "weights"
IDS = "input_ids"
_SIDE = (IDS, "labels", "attention_mask")


def check_columns(folder: Path, columns: Sequence[str]) -> None:
    """Raise `CurateError` for a column that is missing, and for one that nothing reads."""
    is_paired = any(name.startswith(REJECTED) for name in columns)
    needed = [*_SIDE, *(f"{REJECTED}{name}" for name in _SIDE if is_paired)]
    if missing := [name for name in needed if name not in columns]:
        raise CurateError(
            f"{folder}: has no column {', '.join(missing)}; its columns are {', '.join(columns)}"
        )
    if unread := [name for name in columns if name not in (*needed, WEIGHTS)]:
        raise CurateError(
            f"{folder}: training reads no column {unread[0]!r}"
            f"{nearest(unread[0], [*needed, WEIGHTS])}; remove it, or name it as one of "
            f"{', '.join([*needed, WEIGHTS])}"
        )


def read_side(
    folder: Path, table: Any, ids: tuple[str, ...], prefix: str
) -> tuple[Ints, Ints, Ints]:
    """Lengths, ids and labels of one side of the rows, whose columns begin with `prefix`.

    Raises `CurateError` for columns that are no lists of ids, for labels and masks that do not
    match the ids in length, and for a mask of padding. `ids` name the rows in errors.
    """
    lengths, input_ids = _flat(folder, table, f"{prefix}input_ids")
    label_lengths, labels = _flat(folder, table, f"{prefix}labels")
    _check_lengths(folder, ids, f"{prefix}labels", lengths, label_lengths)
    _check_mask(folder, table, f"{prefix}attention_mask", ids, lengths)
    return lengths, input_ids, labels


def as_lists(
    prefix: str, lengths: Ints, input_ids: Ints, labels: Ints
) -> dict[str, tuple[NDArray[Any], NDArray[Any]]]:
    """The columns of a side that `read_side` gave, by name: lengths, and values end to end."""
    values: tuple[NDArray[Any], ...] = (input_ids, labels, np.ones(len(input_ids), np.int8))
    return {f"{prefix}{name}": (lengths, each) for name, each in zip(_SIDE, values, strict=True)}


def _check_mask(folder: Path, table: Any, name: str, ids: tuple[str, ...], lengths: Ints) -> None:
    """Raise `CurateError` unless the mask is one for every token: rows hold no padding."""
    column = _lists(folder, table, name, "ones")
    _check_lengths(folder, ids, name, lengths, column.value_lengths().fill_null(0).to_numpy())
    padding = np.flatnonzero(column.flatten().fill_null(0).to_numpy() != 1)
    if len(padding):
        row = _row_of(int(padding[0]), lengths)
        raise CurateError(
            f"{folder}: column {name!r} is not 1 for {len(padding):,} tokens; first in row {row} "
            f"({ids[row]}). Rows are not padded here: leave the padding out, or render the rows "
            "again"
        )


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


def read_weights(folder: Path, table: Any, ids: tuple[str, ...], lengths: Ints) -> Floats:
    """What each token counts in the loss, beside `input_ids`; finite and not negative."""
    column = _lists(folder, table, WEIGHTS, "numbers")
    _check_lengths(folder, ids, "weights", lengths, column.value_lengths().fill_null(0).to_numpy())
    weights: Floats = column.flatten().to_numpy(zero_copy_only=False).astype(np.float32)
    wrong = np.flatnonzero(~np.isfinite(weights) | (weights < 0))
    if len(wrong):
        row = _row_of(int(wrong[0]), lengths)
        raise CurateError(
            f"{folder}: {len(wrong)} weights are negative or not finite; first is "
            f"{weights[wrong[0]]} in row {row} ({ids[row]}); expected numbers from 0"
        )
    return weights


def _row_of(place: int, lengths: Ints) -> int:
    """The row that the token at a place of the flat arrays belongs to."""
    return int(np.searchsorted(np.cumsum(lengths), place, side="right"))


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
    """The column `name` in one piece.

    Raises `CurateError` unless it holds lists of what is `wanted`: ids, ones, or numbers.
    """
    import pyarrow as pa
    import pyarrow.types as kinds

    try:
        column = table[name].combine_chunks()
        # Lists whose borders point beyond their values would be read all the same.
        column.validate(full=True)
    except pa.ArrowException as error:
        raise CurateError(
            f"{folder}: column {name!r} is damaged ({error}); render the rows again"
        ) from error
    held = getattr(column.type, "value_type", None)
    fits = held is not None and not kinds.is_dictionary(column.type)
    fits = fits and (kinds.is_integer(held) or (wanted == "numbers" and kinds.is_floating(held)))
    if not fits and len(column):
        raise CurateError(
            f"{folder}: column {name!r} holds {column.type}, expected lists of {wanted}; render "
            "the rows again"
        )
    return column
