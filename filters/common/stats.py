"""What a set of lengths looks like: concentration, spread, dependence on the task, distance.

Windows are decided in integers (10 l >= 9 m and 10 l <= 11 m): 0.9 and 1.1 in floating point
move the edges.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from filters.common.arrays import Floats, Ints

SHORTEST = 9  # the least length that a window holds
SHORTEST_CENTRE = 10  # windows are centred on 10 units or more: below, +-10 % is one value


class Windows(NamedTuple):
    """The +-10 % windows that matter: one per length present from 9 units up.

    Window i holds the values `first + i` up to, not including, `ends[i]`. Every other window
    holds a subset of one of these, so the densest is among them.
    """

    values: Ints  # the lengths present, ascending
    counts: Ints  # rows of each
    first: int  # index of the first value that any window can hold
    ends: Ints


class Concentration(NamedTuple):
    """The densest window: its share of all rows, its centre, its rows."""

    share: float
    at: int
    rows: int


class Floor(NamedTuple):
    """What no set of these lengths can go below: `share` = long rows' share over `windows`."""

    share: float
    windows: int


def log_length(lengths: Ints) -> Floats:
    """log(1 + l): the scale on which answers are compared, with 0 for an empty one."""
    return np.log1p(lengths.astype(np.float64))


def windows_of(lengths: Ints) -> Windows:
    """All windows of `lengths` (n,) that can be the densest."""
    values, counts = np.unique(lengths, return_counts=True)
    first = int(np.searchsorted(values, SHORTEST))
    centres = 10 * values[first:] // 9  # the largest centre whose window starts at the value
    ends = np.searchsorted(values, 11 * centres // 10, side="right")
    return Windows(values, counts.astype(np.int64), first, ends.astype(np.int64))


def window_rows(windows: Windows) -> Ints:
    """How many rows each window holds."""
    total = np.concatenate([[0], np.cumsum(windows.counts)])
    held: Ints = total[windows.ends] - total[windows.first : -1]
    return held


def centre(windows: Windows, index: int) -> int:
    """The smallest m whose window holds exactly the rows of this one."""
    longest = int(windows.values[windows.ends[index] - 1])
    return max(SHORTEST_CENTRE, -(-10 * longest // 11))


def concentration(lengths: Ints) -> Concentration:
    """C10: the largest share of rows within 10 % of one length m, over all integers m >= 10.

    >>> concentration(np.array([100, 105, 400, 3]))
    Concentration(share=0.5, at=96, rows=2)
    """
    windows = windows_of(lengths)
    held = window_rows(windows)
    if not held.size:
        return Concentration(0.0, 0, 0)
    densest = int(held.argmax())
    rows = int(held[densest])
    return Concentration(rows / len(lengths), centre(windows, densest), rows)


class ShortLengths(NamedTuple):
    """The densest lengths below the windows of `concentration`: `share` of all rows have `low` to
    `high` units, `same` is the largest share of rows of one such length."""

    share: float
    low: int
    high: int
    same: float


def short_concentration(lengths: Ints) -> ShortLengths:
    """The largest share of rows within 1 unit of one length, of those that no window holds.

    At ten units a window of +-10 % is as wide, and holds lengths from 9 up. Where nine in ten of
    the rows have one length, it is that length.

    >>> short_concentration(np.array([1, 1, 1, 30]))
    ShortLengths(share=0.75, low=1, high=1, same=0.75)
    """
    rows = np.bincount(lengths[lengths < SHORTEST], minlength=SHORTEST)
    if not rows.any():
        return ShortLengths(0.0, 0, 0, 0.0)
    held = rows[:-2] + rows[1:-1] + rows[2:]
    first = int(held.argmax())
    window = rows[first : first + 3]
    same = int(window.argmax())
    if 10 * int(window[same]) < 9 * int(held[first]):
        inside = first + np.flatnonzero(window)
        low, high, count = int(inside[0]), int(inside[-1]), int(held[first])
    else:
        low = high = first + same
        count = int(window[same])
    return ShortLengths(count / len(lengths), low, high, int(rows.max()) / len(lengths))


def concentration_floor(lengths: Ints) -> Floor:
    """A lower bound of C10 by the pigeonhole principle.

    The rows of 9 units and more are covered greedily, from the shortest, by K windows; the
    fullest of K windows holds at least a K-th of them.
    """
    present = np.unique(lengths[lengths >= SHORTEST])
    cover, at = 0, 0
    while at < len(present):  # one turn per window: about ln(longest / shortest) / 0.2 of them
        last = 11 * (10 * int(present[at]) // 9) // 10
        at = int(np.searchsorted(present, last, side="right"))
        cover += 1
    if not cover:
        return Floor(0.0, 0)
    return Floor(float((lengths >= SHORTEST).mean()) / cover, cover)


def sum_of_products(one: Floats, other: Floats) -> float:
    """The dot product of two columns (n,), with the same bits on any number of cores.

    That of numpy's `@` depends on into how many pieces BLAS cuts it.
    """
    return float(np.sum(one * other))


def eta_squared(values: Floats, codes: Ints) -> float:
    """Var(E[value given group]) / Var(value): the share of variance that the groups explain.

    `codes` (n,) are group numbers 0..k-1. 0 when all values are equal.
    """
    centred = values - values.mean()
    total = sum_of_products(centred, centred)
    if total <= 0.0:
        return 0.0
    return _between(centred, codes, np.bincount(codes)) / total


def _between(centred: Floats, codes: Ints, sizes: Ints) -> float:
    sums = np.bincount(codes, centred)
    return float((sums**2 / np.maximum(sizes, 1)).sum())


def permutation_null(values: Floats, codes: Ints, permutations: int, seed: int) -> Floats:
    """eta^2 of `permutations` random assignments of the same values to the same groups.

    Rows are put in a fixed order first, so the input's order changes nothing.
    """
    order = np.lexsort((values, codes))
    values, codes = values[order], codes[order]
    centred = values - values.mean()
    sizes, rng = np.bincount(codes), np.random.default_rng(seed)
    drawn = np.empty(permutations)
    for turn in range(permutations):  # each shuffle needs the whole column
        rng.shuffle(centred)
        drawn[turn] = _between(centred, codes, sizes)
    total = sum_of_products(centred, centred)
    return drawn / total if total > 0.0 else drawn


def average_ranks(values: NDArray[Any]) -> Floats:
    """Ranks from 1, ties sharing their mean rank.

    >>> average_ranks(np.array([3.0, 1.0, 3.0])).tolist()
    [2.5, 1.0, 2.5]
    """
    ranks: Floats = pl.Series(values).rank("average").cast(pl.Float64).to_numpy()
    return ranks


def spearman(one: NDArray[Any], other: NDArray[Any]) -> float | None:
    """Rank correlation, ties by mean rank; None when one side is constant or has < 3 rows."""
    if len(one) < 3 or np.ptp(one) == 0 or np.ptp(other) == 0:
        return None
    return correlation(average_ranks(one), average_ranks(other))


def correlation(one: Floats, other: Floats) -> float:
    """Pearson's r of two columns (n,) that are not constant."""
    left, right = one - one.mean(), other - other.mean()
    spread = sum_of_products(left, left) * sum_of_products(right, right)
    return max(-1.0, min(1.0, sum_of_products(left, right) / float(np.sqrt(spread))))
