"""Which rows form a step, and how they are padded.

All of it is a pure function of the rows, the seed, the epoch and the step.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from trainer.data.rows import IGNORED, Floats, Ints, Rows


@dataclasses.dataclass(frozen=True)
class Batch:
    """One forward pass: `input_ids` [rows, positions].

    Padded: each row is a document, padded on the right. No mask is needed: under causal
    attention a padding position comes after every real one and is seen by none. Packed: one row
    in which documents of the lengths `documents` lie end to end (see `trainer.packing`).

    `at` [targets] are the trained positions in the flattened batch, `targets` [targets] what
    they must predict, `row_of` [targets] the place of their row in `rows`, and `weights`
    [targets] what each counts, None if all count the same. `real` [positions in the flattened
    batch] tells tokens from padding, None where nothing is padding. `source` [targets] are the
    places of the trained positions in the flat arrays of the rows.
    """

    rows: Ints
    input_ids: Ints
    at: Ints
    targets: Ints
    row_of: Ints
    weights: Floats | None = None
    documents: tuple[int, ...] | None = None
    real: NDArray[np.bool_] | None = None
    source: Ints | None = None


def epoch_order(count: int, seed: int, epoch: int) -> Ints:
    """A permutation of `count` rows that depends on nothing but seed and epoch.

    Rows are sorted by a hash of (seed, epoch, row), not drawn from a generator, so the order is
    the same under every NumPy version.
    """
    key = mix(np.array([seed], dtype=np.uint64)) ^ mix(np.array([~epoch & _WORD], dtype=np.uint64))
    order: Ints = np.argsort(mix(mix(np.arange(count, dtype=np.uint64)) ^ key), kind="stable")
    return order


def token_steps(counts: Ints, steps: int) -> list[slice]:
    """Where the rows of each step lie, in their order: `steps` runs of nearly equal counts.

    Each run ends where the sum so far is nearest to its share of the whole, and none is empty.
    `steps` is at most the number of rows.

    >>> token_steps(np.array([4, 4, 1, 1, 2, 8]), 3)
    [slice(0, 2, None), slice(2, 5, None), slice(5, 6, None)]
    """
    running = np.cumsum(counts)
    middles = running - counts / 2
    shares = np.arange(1, steps + 1) * (float(running[-1]) / steps)
    order = np.arange(steps)
    ends = np.maximum.accumulate(np.searchsorted(middles, shares) - order) + order
    ends = np.clip(ends, order + 1, len(counts) - steps + order + 1)
    return [slice(int(a), int(b)) for a, b in zip([0, *ends[:-1]], ends, strict=True)]


_WORD = 0xFFFFFFFFFFFFFFFF


def mix(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """splitmix64 of each value (Steele, Lea, Flood 2014); arithmetic wraps around."""
    mixed = values + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


def step_seed(seed: int, step: int, rank: int = 0) -> int:
    """The random seed of one optimizer step, so that dropout too is a function of the step.

    Each process of several has its own, or all would drop the same places of other rows.
    """
    place = np.uint64(step) ^ (np.uint64(rank) << np.uint64(48))
    return int(mix(mix(np.array([seed], dtype=np.uint64)) + place)[0])


def batches(
    rows: Rows, chosen: Ints, micro_tokens: int, split_at: int | None = None
) -> Iterator[Batch]:
    """The chosen rows in padded batches of at most `micro_tokens` positions, longest first.

    Neighbours in length share a batch, so little is padding; a document longer than the limit is
    a batch of its own. Longest first, so that a lack of memory shows at once.
    """
    documents = cut(rows, chosen, split_at)
    documents = documents.take(np.argsort(-documents.lengths, kind="stable"))
    start = 0
    while start < len(documents.lengths):
        longest = int(documents.lengths[start])
        count = max(1, micro_tokens // max(1, longest))
        yield _pad(rows, documents.take(slice(start, start + count)))
        start += count


def pad(rows: Rows, chosen: Ints) -> Batch:
    """One batch of these rows; padding follows from position alone, never from a token's id."""
    return _pad(rows, cut(rows, chosen, None))


def _pad(rows: Rows, documents: Documents) -> Batch:
    starts, lengths = documents.starts[:, None], documents.lengths[:, None]
    column = np.arange(int(lengths.max()))
    real = column < lengths
    source = np.where(real, starts + column, starts)
    targets = np.where(real, rows.targets[source], IGNORED)
    row_of, position = np.nonzero(targets != IGNORED)
    return Batch(
        rows=documents.rows,
        input_ids=np.where(real, rows.input_ids[source], 0),
        at=row_of * targets.shape[1] + position,
        targets=targets[row_of, position],
        row_of=row_of,
        weights=None if rows.weights is None else rows.weights[source[row_of, position]],
        real=None if real.all() else real.flatten(),
        source=source[row_of, position],
    )


@dataclasses.dataclass(frozen=True)
class Documents:
    """What is attended as one: `lengths` positions from `starts` in the flat arrays of `rows`."""

    rows: Ints
    starts: Ints
    lengths: Ints

    def take(self, places: Ints | slice | list[int]) -> Documents:
        """Those at the given places, in their order."""
        return Documents(self.rows[places], self.starts[places], self.lengths[places])


def cut(rows: Rows, chosen: Ints, split_at: int | None) -> Documents:
    """The chosen rows as documents; with `split_at` longer rows become several.

    A split row keeps its targets, as each position still predicts its row's next token; but what
    lies in an earlier document is no longer seen. Documents without targets are left out.
    """
    starts, lengths = rows.offsets[chosen], rows.lengths[chosen]
    if split_at is None or int(lengths.max(initial=0)) <= split_at:
        return Documents(chosen, starts, lengths)
    ends = [_ends(rows, row, split_at) for row in chosen.tolist()]
    starts = np.concatenate([each[:-1] for each in ends])
    lengths = np.concatenate([np.diff(each) for each in ends])
    running = np.concatenate([[0], np.cumsum(rows.targets != IGNORED)])
    useful = np.flatnonzero(running[starts + lengths] > running[starts])
    split = np.repeat(chosen, [len(each) - 1 for each in ends])
    return Documents(split, starts, lengths).take(useful)


def _ends(rows: Rows, row: int, limit: int) -> Ints:
    """Where a row begins, is split, and ends: after a trained turn, if one ends late enough."""
    ends, last = [int(rows.offsets[row])], int(rows.offsets[row + 1])
    while last - ends[-1] > limit:
        half, full = ends[-1] + (limit + 1) // 2, ends[-1] + limit
        trained = rows.labels[half - 1 : full + 1] != IGNORED
        turns = np.flatnonzero(trained[:-1] & ~trained[1:])
        ends.append(half + int(turns[-1]) if len(turns) else full)
    return np.array([*ends, last], dtype=np.int64)
