"""Facility location: rows of which each other row has a near one."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from filters.common.arrays import F32, Floats, Ints
from filters.common.budget import Allowance
from filters.selection.diversity import Picks

# Similarities that are held. Up to 4,472 rows these are all pairs; of more rows the nearest pairs.
PAIRS = 20_000_000
# Gains are sums of whole millionths: exact, whatever the order in which they are added.
UNIT = 1_000_000
_BLOCK = 256
_SAMPLE = 2_000


I32 = npt.NDArray[np.int32]


class Near(NamedTuple):
    """Pairs of rows with a cosine of `floor` or more: row i has `columns[starts[i]:starts[i + 1]]`.

    `values` are their cosines in millionths.
    """

    starts: Ints
    columns: I32
    values: I32
    floor: float


class Facility(NamedTuple):
    """Rows taken and their gains; `share` of the greatest possible sum that they reach, `floor`
    the cosine under which a pair counts as 0."""

    picks: Picks
    share: float
    floor: float


def facility_location(vectors: F32, room: Allowance, seed: int, pairs: int = PAIRS) -> Facility:
    """Take the row that adds most to sum over all rows of the max cosine to a taken row.

    `vectors` (n, d) of unit length. Cosines below a floor of 0 or more count as 0, which keeps
    the sum monotone and submodular, so that greedy choice reaches 1 - 1/e of the optimum
    (Nemhauser et al. 1978). The floor is 0 while all pairs are no more than `pairs`; else it is
    the cosine that about so many pairs reach, by a seeded sample. The value of a row is its gain.
    """
    near = near_pairs(vectors, _floor(vectors, seed, pairs))
    owners = np.repeat(np.arange(len(vectors)), np.diff(near.starts))
    # The pairs are symmetric: what a row covers is what covers it.
    gain = np.bincount(owners, near.values, len(vectors)).astype(np.int64)
    best = np.zeros(len(vectors), dtype=np.int32)
    rows: list[int] = []
    values: list[float] = []
    while True:
        free = room.open()
        if not free.any():
            if room.lift_shares():
                continue
            total = float(best.sum(dtype=np.int64)) / (UNIT * max(len(vectors), 1))
            picks = Picks(np.array(rows, np.int64), np.array(values))
            return Facility(picks, total, near.floor)
        row = int(np.where(free, gain, -1).argmax())
        rows.append(row)
        values.append(float(gain[row]) / UNIT)
        room.take(row)
        _cover(row, near, best, gain)


def _cover(row: int, near: Near, best: I32, gain: Ints) -> None:
    """Count the row as taken: what it covers better now is no longer others' gain."""
    part = slice(near.starts[row], near.starts[row + 1])
    better = near.values[part] > best[near.columns[part]]
    covered, now = near.columns[part][better].astype(np.int64), near.values[part][better]
    before = best[covered]
    best[covered] = now
    lengths = near.starts[covered + 1] - near.starts[covered]
    # Positions of all pairs of the covered rows: runs that follow each other.
    ends = np.cumsum(lengths)
    at = np.arange(int(ends[-1]) if len(ends) else 0)
    at += np.repeat(near.starts[covered] - ends + lengths, lengths)
    value = near.values[at]
    lost = np.minimum(value, np.repeat(now, lengths)) - np.repeat(before, lengths)
    np.maximum(lost, 0, out=lost)
    counted = np.bincount(near.columns[at], lost, len(gain))
    gain -= counted.astype(np.int64)


def near_pairs(vectors: F32, floor: float) -> Near:
    """All pairs with a cosine of `floor` or more and above 0, a row with itself included."""
    pairs = [np.zeros((3, 0), np.int32)]  # rows, columns, values
    for low in range(0, len(vectors), _BLOCK):  # each pair once: from the diagonal on
        cosine = vectors[low : low + _BLOCK] @ vectors[low:].T
        found = np.flatnonzero(cosine.ravel() >= max(floor, 1.0 / UNIT))
        row, column = np.divmod(found, cosine.shape[1])
        after = column >= row
        row, column = row[after], column[after]
        value = np.rint(np.minimum(cosine[row, column], 1) * UNIT).astype(np.int32)
        pairs.append(np.stack([low + row, low + column, value]).astype(np.int32))
    return _both_ways(len(vectors), np.concatenate(pairs, axis=1), floor)


def _both_ways(count: int, pairs: I32, floor: float) -> Near:
    """The pairs (row <= column, sorted) by row, each also in the row of its column.

    `pairs` [3, n] are their rows, columns and values.
    """
    rows, columns, values = pairs
    apart = np.flatnonzero(rows < columns)
    turned = apart[np.argsort(columns[apart], kind="stable")]
    before = np.bincount(columns[turned], minlength=count)  # pairs with an earlier row
    after = np.bincount(rows, minlength=count)
    starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(before + after)])
    at_after = starts[:-1] + before - (np.cumsum(after) - after)
    at_before = starts[:-1] - (np.cumsum(before) - before)
    near = Near(starts, np.empty(starts[-1], np.int32), np.empty(starts[-1], np.int32), floor)
    for place, others, given in (
        (at_after[rows] + np.arange(len(rows)), columns, values),
        (at_before[columns[turned]] + np.arange(len(turned)), rows[turned], values[turned]),
    ):
        near.columns[place], near.values[place] = others, given
    return near


def _floor(vectors: F32, seed: int, pairs: int) -> float:
    rows = len(vectors)
    if rows**2 <= pairs:
        return 0.0
    sample: Ints = np.sort(np.random.default_rng(seed).permutation(rows)[:_SAMPLE])
    cosine = vectors[sample] @ vectors[sample].T
    np.fill_diagonal(cosine, 0)  # a row with itself is among the pairs in any case
    share = max(pairs - rows, 0) / rows**2
    found: Floats = np.quantile(cosine, 1.0 - share)
    return max(0.0, round(float(found), 4))
