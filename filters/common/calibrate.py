"""Take length out of a score, so that the best rows are not just the longest.

r_cal = r - E[r given length], after Huang et al. 2024 (arXiv 2409.17407).
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from curate.base.errors import CurateError
from filters.common.stats import Floats, Ints, average_ranks, log_length

Method = Literal["none", "lwr", "bin", "rank"]
METHODS: tuple[Method, ...] = get_args(Method)

SPAN = 0.3  # lwr: share of the rows that a local line is fitted to
NARROWEST = float(np.log(1.1))  # lwr: but never closer than 10 % of a length
ANCHORS = 200  # lwr: places where a line is fitted; interpolated between
BIN_ROWS, MOST_BINS = 10, 50  # bin, rank: rows per bin at least, bins at most
OWN_GROUP = 100  # rows from which a group is calibrated by itself
LEVEL = 0.01  # Spearman with length that lwr and bin may leave where there are so many rows
HUGE = 1e100  # squares of larger scores are beyond what a float holds


def calibrate_scores(
    score: ArrayLike,
    length: ArrayLike,
    group: ArrayLike | None = None,
    method: Method = "lwr",
    *,
    own_group: int = OWN_GROUP,
) -> Floats:
    """Scores (n,) with what length explains removed; NaN stays NaN and influences nothing.

    `length` (n,) is in any unit, `group` (n,) are whole numbers: groups of `own_group` scored
    rows and more are calibrated by themselves, all others together. The order of the rows
    changes nothing, and rows of one group and one length keep their order.

    - `lwr` subtracts a locally weighted linear regression on log(1 + l): tricube weights over
      the nearest 30 % of the rows, fitted at up to 200 lengths and interpolated between them.
    - `bin` subtracts the mean of the row's quantile bin of length.
    - `rank` is the percentile rank inside that bin, 0..1 (ties share one, 0.5 is the middle).
    - `none` returns the scores.

    Where scores are skewed, taking means out leaves ranks that still go with length; so for 100
    rows and more `lwr` and `bin` then take out the straight line (in log(1 + l), in the bin's
    number) that brings Spearman to within 0.01 of zero.

    Votes and grades have few values: taking a mean out of them ranks the shortest of all best
    answers first. `spread_ties` beforehand prevents that.

    >>> calibrate_scores([1.0, 3.0, 2.0, 4.0], [10, 10, 20, 20], method="rank").tolist()
    [0.125, 0.625, 0.375, 0.875]
    """
    if method not in METHODS:
        raise CurateError(f"calibrate is {method!r}; expected {', '.join(METHODS)}")
    scores = np.array(score, dtype=np.float64)
    largest = np.max(np.abs(scores), where=np.isfinite(scores), initial=0.0)
    if largest > HUGE:
        small = calibrate_scores(scores / largest, length, group, method, own_group=own_group)
        return small if method == "rank" else small * largest
    lengths = np.asarray(length, dtype=np.int64)
    scores[~np.isfinite(scores)] = np.nan
    if method == "none":
        return scores
    groups = np.zeros(len(scores), dtype=np.int64) if group is None else np.asarray(group)
    calibrated = np.full(len(scores), np.nan)
    for rows in fitted_together(scores, lengths, groups, own_group):
        calibrated[rows] = _CALIBRATE[method](scores[rows], lengths[rows])
    return calibrated


def spread_ties(score: ArrayLike, rank: ArrayLike) -> Floats:
    """Scores (n,) with equal ones spread by `rank` (n,), the highest rank highest.

    Each spreads evenly over half the way to the next lower and higher score, at most as far as
    the nearer of the two, so that different scores stay in order and the mean of the equal ones
    stays. A score that occurs once stays, and so do scores that are all equal. NaN stays NaN.

    >>> spread_ties([1.0, 1.0, 2.0, 5.0], [0, 1, 2, 3]).tolist()
    [0.75, 1.25, 2.0, 5.0]
    """
    spread = np.array(score, dtype=np.float64)
    known = np.flatnonzero(np.isfinite(spread))
    values, positions, counts = np.unique(spread[known], return_inverse=True, return_counts=True)
    if len(values) < 2:
        return spread
    steps = np.diff(values)
    reach = np.minimum(np.append(steps, np.inf), np.append(np.inf, steps))
    order = np.lexsort((np.asarray(rank)[known], positions))
    turn = np.empty(len(known))
    turn[order] = np.arange(len(known)) - np.repeat(np.cumsum(counts) - counts, counts)
    spread[known] += reach[positions] * ((turn + 0.5) / counts[positions] - 0.5)
    return spread


def length_bins(length: ArrayLike, bins: int) -> Ints:
    """A bin number per row: quantile bins of equal size, rows of one length always together.

    >>> length_bins([1, 1, 1, 50, 60, 70], 3).tolist()
    [0, 0, 0, 1, 2, 2]
    """
    lengths = np.asarray(length, dtype=np.int64)
    _, positions, counts = np.unique(lengths, return_inverse=True, return_counts=True)
    middle = np.cumsum(counts) - (counts + 1) / 2  # mean rank, from 0
    numbers = np.floor(bins * middle / max(len(lengths), 1)).astype(np.int64)
    return np.unique(numbers, return_inverse=True)[1][positions]


def fitted_together(
    scores: Floats, lengths: Ints, groups: NDArray[np.int64], own_group: int = OWN_GROUP
) -> list[Ints]:
    """Positions of the rows of each fit, in an order that the input's order does not change."""
    known = np.flatnonzero(~np.isnan(scores))
    if not known.size:
        return []
    _, codes, counts = np.unique(groups[known], return_inverse=True, return_counts=True)
    fit = np.where(counts >= own_group, np.arange(len(counts)), len(counts))[codes]
    order = np.lexsort((scores[known], lengths[known], fit))
    ends = np.flatnonzero(np.diff(fit[order])) + 1
    return np.split(known[order], ends)


def _lwr(scores: Floats, lengths: Ints) -> Floats:
    if scores.min() == scores.max():
        return np.zeros(len(scores))
    values, positions, counts = np.unique(lengths, return_inverse=True, return_counts=True)
    means = np.bincount(positions, scores) / counts
    at = log_length(values)
    anchors = np.unique(np.quantile(at.repeat(counts), np.linspace(0, 1, ANCHORS)))
    expected = np.interp(at, anchors, _local_lines(anchors, at, means, counts))
    return _levelled(scores - expected[positions], lengths, at[positions])


def _local_lines(anchors: Floats, at: Floats, means: Floats, counts: Ints) -> Floats:
    """The local line's value at each anchor (a,), from a mean and a count per length (u,)."""
    far = np.abs(at[None, :] - anchors[:, None])
    nearest = np.argsort(far, axis=1, kind="stable")
    reached = np.cumsum(counts[nearest], axis=1) >= SPAN * counts.sum()
    last = nearest[np.arange(len(anchors)), reached.argmax(axis=1)]
    # A little past the last row of the span: at its very edge a weight would be zero.
    width = np.maximum(far[np.arange(len(anchors)), last] * 1.000001, NARROWEST)
    weights = counts * np.maximum(1.0 - (far / width[:, None]) ** 3, 0.0) ** 3
    total = weights.sum(axis=1)
    offset = at[None, :] - (weights @ at / total)[:, None]
    mean = weights @ means / total
    square = (weights * offset**2).sum(axis=1)
    slope = (weights * offset) @ means / np.where(square > 1e-12 * total, square, np.inf)
    lines: Floats = mean + slope * (anchors - weights @ at / total)
    return lines


def _levelled(scores: Floats, lengths: Ints, at: Floats) -> Floats:
    """Scores less so much of `at` (n,), which grows with length, that ranks do not go with it."""
    spread = float(scores.std()), float(at.std())
    if len(scores) < OWN_GROUP or min(spread) < 1e-12:
        return scores
    centred, wanted = at - at.mean(), average_ranks(lengths)
    step = spread[0] / spread[1]
    low, high, levelled = -4.0 * step, 4.0 * step, scores
    slope = 0.0
    for _ in range(40):  # the more is taken away, the lower the correlation
        levelled = scores - slope * centred
        left = np.corrcoef(average_ranks(levelled), wanted)[0, 1]
        if abs(left) <= LEVEL:
            break
        low, high = (slope, high) if left > 0 else (low, slope)
        slope = (low + high) / 2
    return levelled


def _bin(scores: Floats, lengths: Ints) -> Floats:
    if scores.min() == scores.max():
        return np.zeros(len(scores))
    bins = length_bins(lengths, _bins_for(len(scores)))
    left = scores - (np.bincount(bins, scores) / np.bincount(bins))[bins]
    return _levelled(left, lengths, bins.astype(np.float64))


def _rank(scores: Floats, lengths: Ints) -> Floats:
    bins = length_bins(lengths, _bins_for(len(scores)))
    order = np.argsort(bins, kind="stable")
    ranked = np.empty(len(scores))
    for rows in np.split(order, np.cumsum(np.bincount(bins))[:-1]):  # at most 50 turns
        ranked[rows] = (average_ranks(scores[rows]) - 0.5) / len(rows)
    return ranked


def _bins_for(rows: int) -> int:
    return max(1, min(MOST_BINS, rows // BIN_ROWS))


_CALIBRATE = {"lwr": _lwr, "bin": _bin, "rank": _rank}
