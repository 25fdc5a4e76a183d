"""Token rows as flat arrays."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from functools import cached_property
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

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
        """Tokens of each row."""
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

    @property
    def all_weights(self) -> Floats:
        """What the target of each position counts, 1 where nothing else is said."""
        return np.ones(len(self.targets), np.float32) if self.weights is None else self.weights

    def row(self, index: int) -> slice:
        """Where a row lies in the flat arrays."""
        return slice(int(self.offsets[index]), int(self.offsets[index + 1]))


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
    return rows_of(tuple(ids), lengths, flat_ids, flat_labels, flat_weights)


def rows_of(
    ids: tuple[str, ...], lengths: Ints, input_ids: Ints, labels: Ints, weights: Floats | None
) -> Rows:
    """Rows from flat arrays, and the length of each document."""
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
        weights = np.concatenate([one.all_weights, other.all_weights])
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
    return dataclasses.replace(
        rows,
        targets=np.where(is_prompt, everything, rows.targets),
        weights=np.where(is_prompt, np.float32(weight), rows.all_weights),
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
    weights = rows.all_weights / np.repeat(sums, rows.lengths)
    return dataclasses.replace(rows, weights=weights.astype(np.float32))


def count_by_row(flags: NDArray[np.bool_], offsets: Ints) -> Ints:
    """How many flags each document has."""
    running = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(flags, dtype=np.int64)])
    counts: Ints = running[offsets[1:]] - running[offsets[:-1]]
    return counts
