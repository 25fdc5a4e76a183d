"""Token rows as flat arrays, and the folder they are read from."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from curate.base.errors import CurateError
from trainer.rows.manifest import read_manifest

IGNORED = -100
Ints = NDArray[np.int64]
Floats = NDArray[np.float32]
Number = TypeVar("Number", bound=np.generic)


@dataclasses.dataclass(frozen=True)
class Rows:
    """Documents laid end to end: row `i` is `flat[offsets[i]:offsets[i + 1]]`.

    `labels` are unshifted as the folder has them. `targets[j]` is the id that position `j` must
    predict, -100 where nothing is trained: labels moved left by one inside each document, so
    the first token of a document is never a target and its last position has none. `weights[j]`
    is what the target of position `j` counts in the loss; None where all count the same.
    """

    ids: tuple[str, ...]
    input_ids: Ints
    labels: Ints
    targets: Ints
    offsets: Ints
    weights: Floats | None = None

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def lengths(self) -> Ints:
        return np.diff(self.offsets)

    @cached_property
    def target_counts(self) -> Ints:
        """Targets of each row, counted after the shift."""
        return count_by_row(self.targets != IGNORED, self.offsets)

    @cached_property
    def target_weights(self) -> NDArray[np.float64]:
        """What the targets of each row count in all: the only denominator there is."""
        if self.weights is None:
            return self.target_counts.astype(np.float64)
        counted = np.where(self.targets != IGNORED, self.weights, 0).astype(np.float64)
        running = np.concatenate([np.zeros(1), np.cumsum(counted)])
        sums: NDArray[np.float64] = running[self.offsets[1:]] - running[self.offsets[:-1]]
        return sums

    def row(self, index: int) -> slice:
        return slice(int(self.offsets[index]), int(self.offsets[index + 1]))


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


def make_rows(
    ids: Sequence[str],
    input_ids: Sequence[Sequence[int]],
    labels: Sequence[Sequence[int]],
    weights: Sequence[Sequence[float]] | None = None,
) -> Rows:
    """Rows from lists, one document each; `weights` say what each label counts.

    >>> rows = make_rows(["a", "b"], [[5, 6], [7, 8, 9]], [[-100, 6], [-100, 8, 9]])
    >>> rows.targets.tolist()
    [6, -100, 8, 9, -100]
    """
    lengths = np.array([len(row) for row in input_ids], dtype=np.int64)
    flat_ids = np.array([token for row in input_ids for token in row], dtype=np.int64)
    flat_labels = np.array([label for row in labels for label in row], dtype=np.int64)
    flat_weights = None
    if weights is not None:
        flat_weights = np.array([each for row in weights for each in row], dtype=np.float32)
    return _rows(tuple(ids), lengths, flat_ids, flat_labels, flat_weights)


def _rows(
    ids: tuple[str, ...], lengths: Ints, input_ids: Ints, labels: Ints, weights: Floats | None
) -> Rows:
    offsets = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(lengths)])
    moved = None if weights is None else shift(weights, offsets, 0)
    return Rows(ids, input_ids, labels, shift(labels, offsets, IGNORED), offsets, moved)


def shift(values: NDArray[Number], offsets: Ints, last: int) -> NDArray[Number]:
    """Each position gets its document's next value; the last position of a document gets `last`.

    The one place where what a position holds becomes what it must predict.
    """
    moved = np.full_like(values, last)
    moved[:-1] = values[1:]
    moved[offsets[1:][np.diff(offsets) > 0] - 1] = last
    return moved


def join(one: Rows, other: Rows) -> Rows:
    """The rows of both, `one` first."""
    weights = None
    if one.weights is not None or other.weights is not None:
        both = [
            np.ones(len(rows.targets), dtype=np.float32) if rows.weights is None else rows.weights
            for rows in (one, other)
        ]
        weights = np.concatenate(both)
    return Rows(
        (*one.ids, *other.ids),
        np.concatenate([one.input_ids, other.input_ids]),
        np.concatenate([one.labels, other.labels]),
        np.concatenate([one.targets, other.targets]),
        np.concatenate([one.offsets, one.offsets[-1] + other.offsets[1:]]),
        weights,
    )


def train_prompts(rows: Rows, weight: float) -> Rows:
    """The rows with every untrained token a target too, which counts `weight`.

    The first token of a document has nothing before it and is no target even then.
    """
    everything = shift(rows.input_ids, rows.offsets, IGNORED)
    is_prompt = (rows.targets == IGNORED) & (everything != IGNORED)
    weights = np.ones(len(rows.targets), np.float32) if rows.weights is None else rows.weights
    return dataclasses.replace(
        rows,
        targets=np.where(is_prompt, everything, rows.targets),
        weights=np.where(is_prompt, np.float32(weight), weights),
    )


def even_rows(rows: Rows) -> Rows:
    """The rows with weights by which each row's targets count 1 in all, as before among themselves.

    The sum over a step divided by what its targets count is then the mean of its rows' own means.
    Rows in which nothing counts are left as they are.

    >>> rows = even_rows(make_rows(["a", "b"], [[5, 6], [7, 8, 9]], [[-100, 6], [-100, 8, 9]]))
    >>> rows.weights.tolist()
    [1.0, 1.0, 0.5, 0.5, 0.5]
    """
    sums = np.where(rows.target_weights > 0, rows.target_weights, 1.0)
    weights = np.ones(len(rows.targets)) if rows.weights is None else rows.weights
    return dataclasses.replace(
        rows, weights=(weights / np.repeat(sums, rows.lengths)).astype(np.float32)
    )


def count_by_row(flags: NDArray[np.bool_], offsets: Ints) -> Ints:
    """How many flags each document has."""
    running = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(flags, dtype=np.int64)])
    counts: Ints = running[offsets[1:]] - running[offsets[:-1]]
    return counts


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
        other_lengths, other_ids, other_labels = _side(folder, table, ids, "rejected_")
        rejected = _rows(ids, other_lengths, other_ids, other_labels, None)
    return _rows(ids, lengths, input_ids, labels, weights), sources, rejected


def _side(folder: Path, table: Any, ids: tuple[str, ...], prefix: str) -> tuple[Ints, Ints, Ints]:
    """Lengths, ids and labels of one side of the rows."""
    lengths, input_ids = _flat(folder, table, f"{prefix}input_ids")
    label_lengths, labels = _flat(folder, table, f"{prefix}labels")
    unequal = np.flatnonzero(lengths != label_lengths)
    if len(unequal):
        first = int(unequal[0])
        raise CurateError(
            f"{folder}: {len(unequal)} rows have labels of another length than their tokens; "
            f"first is row {first} ({ids[first]}): {lengths[first]} tokens, "
            f"{label_lengths[first]} labels"
        )
    return lengths, input_ids, labels


def _weights(folder: Path, table: Any, ids: tuple[str, ...], lengths: Ints) -> Floats:
    """What each token counts in the loss, beside `input_ids`; finite and not negative."""
    column = _lists(folder, table, "weights", "numbers")
    unequal = np.flatnonzero(column.value_lengths().fill_null(0).to_numpy() != lengths)
    if len(unequal):
        first = int(unequal[0])
        raise CurateError(
            f"{folder}: {len(unequal)} rows have weights of another length than their tokens; "
            f"first is row {first} ({ids[first]})"
        )
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
