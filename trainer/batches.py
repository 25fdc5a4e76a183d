"""Which rows form a step, and how they are padded.

All of it is a pure function of the rows, the seed, the epoch and the step.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from trainer.data import IGNORED, Ints, Rows


@dataclasses.dataclass(frozen=True)
class Batch:
    """Rows padded on the right to one length: `input_ids` [rows, positions].

    No mask is needed: under causal attention a padding position comes after every real one and
    is seen by none. `at` [targets] are the trained positions in the flattened batch, `targets`
    [targets] what they must predict, `row_of` [targets] the row of the batch they belong to.
    """

    rows: Ints
    input_ids: Ints
    at: Ints
    targets: Ints
    row_of: Ints


def epoch_order(count: int, seed: int, epoch: int) -> Ints:
    """A permutation of `count` rows that depends on nothing but seed and epoch.

    Rows are sorted by a hash of (seed, epoch, row), not drawn from a generator, so the order is
    the same under every NumPy version.
    """
    key = mix(np.array([seed], dtype=np.uint64)) ^ mix(np.array([~epoch & _WORD], dtype=np.uint64))
    order: Ints = np.argsort(mix(mix(np.arange(count, dtype=np.uint64)) ^ key), kind="stable")
    return order


def step_rows(train: Ints, order: Ints, batch: int, step: int) -> Ints:
    """The rows of step `step` (from 0) of the epoch with this order; the last may be short."""
    rows: Ints = train[order[step * batch : (step + 1) * batch]]
    return rows


_WORD = 0xFFFFFFFFFFFFFFFF


def mix(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """splitmix64 of each value (Steele, Lea, Flood 2014); arithmetic wraps around."""
    mixed = values + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


def step_seed(seed: int, step: int) -> int:
    """The random seed of one optimizer step, so that dropout too is a function of the step."""
    return int(mix(mix(np.array([seed], dtype=np.uint64)) + np.uint64(step))[0])


def batches(rows: Rows, chosen: Ints, micro_tokens: int) -> Iterator[Batch]:
    """The chosen rows in padded batches of at most `micro_tokens` positions, longest first.

    Neighbours in length share a batch, so little is padding; a row longer than the limit is a
    batch of its own. Longest first, so that a lack of memory shows at once.
    """
    lengths = rows.lengths[chosen]
    by_length = chosen[np.argsort(-lengths, kind="stable")]
    start = 0
    while start < len(by_length):
        longest = int(rows.lengths[by_length[start]])
        count = max(1, micro_tokens // max(1, longest))
        yield pad(rows, by_length[start : start + count])
        start += count


def pad(rows: Rows, chosen: Ints) -> Batch:
    """One batch of these rows; padding follows from position alone, never from a token's id."""
    starts, lengths = rows.offsets[chosen], rows.lengths[chosen]
    column = np.arange(int(lengths.max()))
    real = column < lengths[:, None]
    source = np.where(real, starts[:, None] + column, starts[:, None])
    targets = np.where(real, rows.targets[source], IGNORED)
    row_of, position = np.nonzero(targets != IGNORED)
    return Batch(
        rows=chosen,
        input_ids=np.where(real, rows.input_ids[source], 0),
        at=row_of * targets.shape[1] + position,
        targets=targets[row_of, position],
        row_of=row_of,
    )
