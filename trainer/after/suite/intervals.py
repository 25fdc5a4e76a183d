"""Estimates over rows with 95 % intervals: rows are drawn again, with replacement.

What is estimated is a ratio of sums over rows, such as nats over bytes; a mean and a share are
ratios whose denominators are 1. Draws depend on the seed and the number of rows alone.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

DRAWS = 2000
_LOW, _HIGH = 2.5, 97.5  # percentiles
_Z = 1.959964  # of the normal distribution, two-sided 95 %
_AT_ONCE = 4_000_000  # row numbers held at a time

Floats = NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A number, its 95 % interval (None for fewer than two rows), and how many rows it is of."""

    value: float
    low: float | None
    high: float | None
    rows: int

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return dataclasses.asdict(self)


def ratio(numerators: Sequence[float], denominators: Sequence[float], seed: int = 0) -> Estimate:
    """Sum over sum, with the rows drawn anew; the two are of the same rows.

    Raises ValueError without rows, or where the denominators are 0 in all.

    >>> ratio([2.0, 4.0], [1.0, 2.0])
    Estimate(value=2.0, low=2.0, high=2.0, rows=2)
    """
    above, below = _arrays(numerators, denominators)
    value = float(above.sum() / below.sum())
    return Estimate(value, *_percentiles(_ratios(above, below, seed)), len(above))


def mean(values: Sequence[float], seed: int = 0) -> Estimate:
    """The mean over rows."""
    return ratio(values, [1.0] * len(values), seed)


def share(flags: Sequence[bool], seed: int = 0) -> Estimate:
    """The share of rows that are so.

    Where all or none are, drawing rows anew says nothing; the interval is Wilson's (1927) then.

    >>> none = share([False] * 10)
    >>> none.value, round(none.high, 3)
    (0.0, 0.278)
    """
    found = mean([float(flag) for flag in flags], seed)
    if len(flags) > 1 and found.value in (0.0, 1.0):
        reach = _reach(len(flags))
        sides = (0.0, reach) if found.value == 0 else (1 - reach, 1.0)
        return Estimate(found.value, *sides, found.rows)
    return found


def pooled_share(counts: Sequence[int], totals: Sequence[int], seed: int = 0) -> Estimate:
    """The share of all things that are so, where each row has several; rows are drawn anew.

    Where all or none are, the interval is Wilson's over rows, as in `share`.
    """
    found = ratio(list(map(float, counts)), list(map(float, totals)), seed)
    if len(counts) > 1 and found.value in (0.0, 1.0):
        return share([bool(found.value)] * len(counts))
    return found


def pooled_difference(
    one: Sequence[int], other: Sequence[int], totals: Sequence[int], seed: int = 0
) -> Estimate:
    """The first such share minus the second, of the same rows.

    Where no row differs the interval is Wilson's for a share of none, to both sides.
    """
    if len(one) > 1 and list(one) == list(other):
        return share_difference([True] * len(one), [True] * len(one))
    below = list(map(float, totals))
    return ratio_difference((list(map(float, one)), below), (list(map(float, other)), below), seed)


def _reach(rows: int) -> float:
    """Wilson's upper bound of a share of which none of so many rows was."""
    return _Z**2 / (rows + _Z**2)


def ratio_difference(
    one: tuple[Sequence[float], Sequence[float]],
    other: tuple[Sequence[float], Sequence[float]],
    seed: int = 0,
) -> Estimate:
    """The first ratio minus the second, over the same rows: each draw takes the same of both.

    >>> ratio_difference(([3.0, 5.0], [1.0, 1.0]), ([2.0, 4.0], [1.0, 1.0])).low
    1.0
    """
    left, right = _arrays(*one), _arrays(*other)
    value = float(left[0].sum() / left[1].sum() - right[0].sum() / right[1].sum())
    draws = _ratios(*left, seed) - _ratios(*right, seed)
    return Estimate(value, *_percentiles(draws), len(left[0]))


def mean_difference(one: Sequence[float], other: Sequence[float], seed: int = 0) -> Estimate:
    """The mean over rows of what the first has more than the second."""
    return mean([a - b for a, b in zip(one, other, strict=True)], seed)


def share_difference(one: Sequence[bool], other: Sequence[bool], seed: int = 0) -> Estimate:
    """The first share minus the second, of the same rows.

    Where no row differs the interval is Wilson's for a share of none, to both sides.
    """
    found = mean_difference([float(a) for a in one], [float(b) for b in other], seed)
    if found.rows > 1 and list(one) == list(other):
        reach = _reach(found.rows)
        return Estimate(found.value, -reach, reach, found.rows)
    return found


def _arrays(numerators: Sequence[float], denominators: Sequence[float]) -> tuple[Floats, Floats]:
    above, below = np.asarray(numerators, np.float64), np.asarray(denominators, np.float64)
    if len(above) != len(below) or not below.sum():
        raise ValueError(f"{len(above)} numerators over {len(below)} denominators give no ratio")
    return above, below


def _ratios(above: Floats, below: Floats, seed: int) -> Floats:
    """The ratio of each draw; none for a single row."""
    count = len(above)
    if count < 2:
        return np.zeros(0)
    generator = np.random.Generator(np.random.PCG64(seed))
    found = []
    left = DRAWS
    while left:
        some = min(left, max(1, _AT_ONCE // count))
        rows = generator.integers(count, size=(some, count))
        with np.errstate(divide="ignore", invalid="ignore"):
            found.append(above[rows].sum(axis=1) / below[rows].sum(axis=1))
        left -= some
    return np.concatenate(found)


def _percentiles(draws: Floats) -> tuple[float | None, float | None]:
    # A draw of rows whose denominators are all 0 has no ratio.
    usable = draws[np.isfinite(draws)]
    if not len(usable):
        return None, None
    low, high = np.percentile(usable, [_LOW, _HIGH])
    return float(low), float(high)
