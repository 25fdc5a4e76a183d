"""Match the lengths of a set to a target by importance resampling without replacement.

After DSIR (Xie et al. 2023, arXiv 2302.03169) with bins of length as the features.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from filters.common.stats import Bools, Floats, Ints, log_length

# Bins: every length up to 10, then steps of 10 %, the width that concentration is about. Fixed,
# so that a set and what was selected from it are measured on the same scale.
_STEPS = np.unique(np.floor(10 * 1.1 ** np.arange(0, 170)).astype(np.int64))
EDGES: Ints = np.concatenate([np.arange(10, dtype=np.int64), _STEPS])
STEEPEST = 10.0  # |log(q / p)|: rows where the target is empty come last, but have a place
CHANCE = 1.36  # 95 % of samples of n rows are within 1.36 / sqrt(n) of their own distribution
CANDIDATES = 1000  # sizes of the selection that are tried


class Target(NamedTuple):
    """Distributions of length: bin shares (cells, bins), and the rows of each (cells,)."""

    distributions: Floats
    rows: Floats


class Match(NamedTuple):
    """What was kept, the effective sample size of the weights, and the distance to the target.

    `after` is the distance of what was kept; `keep` is everything when the distance was within
    tolerance before, or when no selection came within it (then `after` is the best reached).
    """

    keep: Bools
    effective: float
    before: float
    after: float
    missing: float


def bins_of(lengths: Ints) -> Ints:
    """The bin number of each length."""
    return np.searchsorted(EDGES, lengths, side="right") - 1


def shares(lengths: Ints) -> Floats:
    """The share of `lengths` in each bin."""
    return np.bincount(bins_of(lengths), minlength=len(EDGES)) / max(len(lengths), 1)


def target_of_quantiles(quantiles: tuple[int, ...]) -> Target:
    """One distribution with these lengths at equally spaced probabilities from 0 to 1.

    Between them it is uniform in log(1 + l); two lengths give the distribution that is uniform in
    log length from one to the other, both included.
    """
    knots = log_length(np.array([*quantiles[:-1], quantiles[-1] + 1], dtype=np.int64))
    at = np.interp(log_length(EDGES), knots, np.linspace(0.0, 1.0, len(knots)))
    return Target(np.diff(np.append(at, 1.0))[None, :], np.array([np.inf]))


def match(
    lengths: Ints,
    rank: Ints,
    cells: Ints,
    target: Target,
    groups: Ints,
    tolerance: float,
    min_rows: int,
) -> Match:
    """Keep as many rows as possible such that their lengths are within `tolerance` of the target.

    `cells` (n,) say towards which distribution of `target` a record's length is drawn. Rows enter
    one by one, each bin at the rate of its importance weight q / p times its rows, within a bin
    by `rank` (n,), lowest first; the longest stretch of that order that is near enough is kept. A
    draw with Gumbel noise has the same rates at first, but thins rare lengths before they are
    used up, and so keeps fewer rows. The first `min_rows` of each group (`groups` (n,) are
    numbers) are kept in any case. The distance is Kolmogorov-Smirnov's at the edges of the
    bins, to the distributions mixed as the kept rows' cells are; or, if that is more, the mean
    over rows of their own cell's distance beyond what chance explains.
    """
    bins = bins_of(lengths)
    wanted = target.distributions
    pool = np.zeros_like(wanted)
    np.add.at(pool, (cells, bins), 1.0)
    sizes = np.maximum(pool.sum(axis=1, keepdims=True), 1.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.clip(np.log(wanted) - np.log(pool / sizes), -STEEPEST, STEEPEST)
    missing = np.where(pool > 0, 0.0, wanted).sum(axis=1) @ sizes[:, 0] / len(lengths)
    weights = np.exp(ratio[cells, bins])
    effective = float(weights.sum() ** 2 / (weights**2).sum())
    turn = _turns(cells * wanted.shape[1] + bins, rank) + 0.5
    arrival = turn / (pool[cells, bins] * weights)
    order, least = _arrived(arrival, rank, groups, min_rows)
    tried, distances = _distances(bins[order], cells[order], target, least)
    before, keep = float(distances[-1]), np.ones(len(lengths), dtype=np.bool_)
    near = np.flatnonzero(distances <= tolerance)
    if before <= tolerance:
        return Match(keep, effective, before, before, float(missing))
    if not near.size:
        return Match(keep, effective, before, float(distances.min()), float(missing))
    keep[order[tried[near[-1]] :]] = False
    return Match(keep, effective, before, float(distances[near[-1]]), float(missing))


def _turns(keys: Ints, rank: NDArray[Any]) -> Ints:
    """The place of each row among the rows of its key: 0 for the lowest rank."""
    order = np.lexsort((rank, keys))
    ordered = keys[order]
    turn = np.empty(len(keys), dtype=np.int64)
    turn[order] = np.arange(len(keys)) - np.searchsorted(ordered, ordered, side="left")
    return turn


def _arrived(arrival: Floats, rank: Ints, groups: Ints, min_rows: int) -> tuple[Ints, int]:
    """Rows from the first to be kept to the last, and how many are kept in any case."""
    place = np.empty(len(arrival), dtype=np.int64)
    place[np.lexsort((rank, arrival))] = np.arange(len(arrival))
    protected = _turns(groups, place) < min_rows
    return np.lexsort((place, ~protected)), int(protected.sum())


def _distances(bins: Ints, cells: Ints, target: Target, least: int) -> tuple[Ints, Floats]:
    """The distance to the target of the first k rows, for up to `CANDIDATES` values of k."""
    rows, width = len(bins), target.distributions.shape[1]
    tried = np.unique(np.linspace(max(least, 1), rows, CANDIDATES).astype(np.int64))
    part = np.searchsorted(tried, np.arange(1, rows + 1), side="left")
    gaps, beyond = np.zeros((len(tried), width)), np.zeros(len(tried))
    for cell in np.unique(cells):  # one turn per first word, not per row
        inside = cells == cell
        held = np.zeros((len(tried), width))
        np.add.at(held, (part[inside], bins[inside]), 1.0)
        below = np.cumsum(np.cumsum(held, axis=0), axis=1)
        count = below[:, -1:]
        gap = below - count * np.cumsum(target.distributions[cell])
        gaps += gap
        chance = CHANCE * np.sqrt(count * (1.0 + count / target.rows[cell]))
        beyond += np.maximum(np.abs(gap).max(axis=1) - chance[:, 0], 0.0)
    overall: Floats = np.abs(gaps).max(axis=1) / tried
    return tried, overall if len(target.distributions) == 1 else np.maximum(overall, beyond / tried)
