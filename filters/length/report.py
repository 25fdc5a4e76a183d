"""Measure what the lengths of a set would teach a model, and how a selection moved them.

Nothing is dropped here.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import ArrayLike, NDArray

from curate.base import distances
from filters.common import stats
from filters.common.arrays import Bools, Floats, Ints
from filters.common.tasks import pool, task_groups
from filters.length.diagnosis import Diagnosis, GroupLengths, judged

CONTEXT_LIMITS = tuple(2**power for power in range(6, 18))
SHORTEST_WALL = 10  # units; an answer of fewer that has no mark at its end is a label
CROWD = 3  # times as many unfinished answers as in as wide a stretch of lengths below
QUANTILES = (0.01, 0.05, 0.10, 0.25, 0.50, 0.75, 0.90, 0.95, 0.99)


@dataclass(frozen=True)
class Shift:
    """How a selection moved lengths: Kolmogorov-Smirnov and W1 distance on log(1 + l)."""

    ks: float
    w1: float
    mean_ratio: float | None
    median_before: int
    median_after: int

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, ready for JSON."""
        return dataclasses.asdict(self)


def diagnose(
    lengths: ArrayLike,
    groups: Sequence[str] | NDArray[Any] | pl.Series | None = None,
    *,
    unit: str = "words",
    finished: ArrayLike | None = None,
    scores: ArrayLike | None = None,
    asked: ArrayLike | None = None,
    of: str = "response",
    min_group: int = 20,
    permutations: int = 200,
    seed: int = 0,
) -> Diagnosis:
    """Diagnose `lengths` (n,) of answers in `unit`.

    `groups` (n,) names the task groups (those under `min_group` rows are pooled), `finished`
    (n,) is False for answers that stop in mid-sentence, `scores` (n,) may hold NaN for none,
    `asked` (n,) is True where the request asks for a length, `of` says whose lengths these are
    (`response`, `turn` or `prompt`). The order of the rows changes nothing.

    >>> diagnose([200, 201, 205, 3] * 50).verdict
    'flag'
    """
    if not np.size(lengths):
        return judged(Diagnosis(unit, 0, 0.0, 0, {}, 0.0, 0, 0.0, 0.0, 0.0, of=of))
    rows, codes, whole, given, names = _in_order(lengths, groups, finished, scores, min_group)
    log = stats.log_length(rows)
    short = stats.short_concentration(rows)
    explained = stats.eta_squared(log, codes)
    task = _task_dependence(log, codes, len(names), explained, permutations, seed)
    wall = _Wall() if finished is None else _wall(rows, unit, whole)
    score = _ScoreDependence() if scores is None else _score_dependence(rows, codes, given)
    return judged(
        Diagnosis(
            unit=unit,
            **_distribution(rows, log, explained),
            **task._asdict(),
            **wall._asdict(),
            **score._asdict(),
            short_concentration=short.share,
            short_low=short.low,
            short_high=short.high,
            short_same=short.same,
            short_asked=None if asked is None else _asked(lengths, short, asked),
            of=of,
            groups=_group_lengths(rows, codes, names),
        )
    )


def diagnose_measures(
    measures: pl.DataFrame,
    *,
    unit: str = "words",
    scores: ArrayLike | None = None,
    of: str = "response",
    min_group: int = 20,
    seed: int = 0,
) -> Diagnosis:
    """Diagnose what `Length.measure` returned, with its task groups."""
    return diagnose(
        measures["length"].to_numpy(),
        task_groups(measures, min_group),
        unit=unit,
        # A prompt is not cut off where its answer stops.
        finished=None if of == "prompt" else measures["finished"].to_numpy(),
        of=of,
        scores=scores,
        asked=(measures["asks"] != "").to_numpy(),
        min_group=min_group,
        seed=seed,
    )


def shift(before: ArrayLike, after: ArrayLike) -> Shift | None:
    """How far the lengths `after` (k,) lie from those `before` (n,); None when one is empty."""
    pool_rows, kept = np.asarray(before, dtype=np.int64), np.asarray(after, dtype=np.int64)
    if not pool_rows.size or not kept.size:
        return None
    one, other = stats.log_length(pool_rows), stats.log_length(kept)
    mean = float(pool_rows.mean())
    return Shift(
        ks=distances.kolmogorov_smirnov(one, other),
        w1=distances.wasserstein(one, other),
        mean_ratio=float(kept.mean()) / mean if mean else None,
        median_before=quantiles(pool_rows)["0.5"],
        median_after=quantiles(kept)["0.5"],
    )


def quantiles(rows: Ints) -> dict[str, int]:
    """Lengths that occur at the usual probabilities, by probability."""
    found = np.quantile(rows, QUANTILES, method="inverted_cdf")
    return {f"{p:g}": int(value) for p, value in zip(QUANTILES, found, strict=True)}


def codes_of(groups: pl.Series) -> tuple[Ints, list[str]]:
    """Group numbers 0..k-1 in the alphabetical order of the names, and the names."""
    names = groups.unique().sort().cast(pl.String)
    return groups.cast(pl.Enum(names)).to_physical().cast(pl.Int64).to_numpy(), names.to_list()


class _Rows(NamedTuple):
    lengths: Ints
    codes: Ints
    finished: NDArray[np.bool_]
    scores: Floats
    names: list[str]


def _in_order(
    lengths: ArrayLike,
    groups: Sequence[str] | NDArray[Any] | pl.Series | None,
    finished: ArrayLike | None,
    scores: ArrayLike | None,
    min_group: int,
) -> _Rows:
    """The rows in one order for every input order: floating-point sums agree to the last bit."""
    rows = np.asarray(lengths, dtype=np.int64)
    named = pl.Series(["all"] * len(rows)) if groups is None else pl.Series(groups)
    named = named if named.dtype == pl.Categorical else named.cast(pl.String)
    codes, names = codes_of(pool([named], min_group))
    whole = np.ones(len(rows), dtype=bool) if finished is None else np.asarray(finished, bool)
    given = np.zeros(len(rows)) if scores is None else np.asarray(scores, dtype=np.float64)
    order = np.lexsort((given, whole, rows, codes))
    return _Rows(rows[order], codes[order], whole[order], given[order], names)


def _distribution(rows: Ints, log: Floats, explained: float) -> dict[str, Any]:
    """The fields of `Diagnosis` that say how long the rows are, and how alike."""
    dense = stats.concentration(rows)
    return {
        "rows": len(rows),
        "mean": float(rows.mean()),
        "maximum": int(rows.max()),
        "quantiles": quantiles(rows),
        "concentration": dense.share,
        "concentration_at": dense.at,
        "concentration_floor": stats.concentration_floor(rows).share,
        "spread": float(log.std()),
        "spread_within": float(log.std() * np.sqrt(max(0.0, 1.0 - explained))),
    }


class _TaskDependence(NamedTuple):
    eta2: float | None = None
    eta2_null: float | None = None
    eta2_null95: float | None = None
    eta2_adjusted: float | None = None


def _task_dependence(
    log: Floats, codes: Ints, groups: int, eta2: float, permutations: int, seed: int
) -> _TaskDependence:
    if groups < 2 or log.min() == log.max():
        return _TaskDependence()
    null = stats.permutation_null(log, codes, permutations, seed)
    # The mean over all assignments is known exactly; only the quantile needs drawing.
    mean = (groups - 1) / (len(log) - 1)
    adjusted = (eta2 - mean) / (1.0 - mean) if mean < 1.0 else 0.0
    return _TaskDependence(eta2, mean, float(np.quantile(null, 0.95)), adjusted)


def _asked(lengths: ArrayLike, short: stats.ShortLengths, asked: ArrayLike) -> float | None:
    """The share of the rows of those short lengths whose requests ask for a length."""
    rows = np.asarray(lengths, dtype=np.int64)
    inside = (rows >= short.low) & (rows <= short.high)
    return float(np.asarray(asked, bool)[inside].mean()) if short.share else None


class _Wall(NamedTuple):
    wall: float | None = None
    wall_at: int | None = None
    wall_stands_out: bool = False


def _wall(rows: Ints, unit: str, finished: Bools) -> _Wall:
    """The place where most answers stop unfinished: the maximum, or a usual context limit.

    Words and characters vary under a limit set in tokens, so the last 2 % count as the place.
    """
    cut = rows[~finished]
    places = [int(rows.max())]
    places += [limit for limit in CONTEXT_LIMITS if unit == "tokens" and limit < places[0]]
    at = [int(((cut >= 0.98 * place) & (cut <= place)).sum()) for place in places]
    most = int(np.argmax(at))
    return _Wall(at[most] / len(rows), places[most], _stands_out(rows, finished, places[most]))


def _stands_out(rows: Ints, finished: Bools, place: int) -> bool:
    """Whether answers stop unfinished at this length by a limit, and not by habit.

    Where answers of any length lack a mark at their end (code, labels), that says nothing of those
    at the limit. So they lack it at least twice as often there, or far more of them lie there than
    just below, where lengths are varied. An answer of a few units without a mark is a label.
    """
    if place < SHORTEST_WALL:
        return False
    there = (rows >= 0.98 * place) & (rows <= place)
    below = (rows >= 0.96 * place) & (rows < 0.98 * place)
    if there.all():
        return False
    unfinished = float((~finished)[there].mean())
    varied = len(np.unique(rows[(rows >= place // 2) & ~there])) >= SHORTEST_WALL
    crowd = int((~finished)[there].sum()) >= CROWD * max(1, int((~finished)[below].sum()))
    return (crowd and varied) or unfinished >= 2.0 * float((~finished)[~there].mean())


class _ScoreDependence(NamedTuple):
    score_correlation: float | None = None
    score_correlation_within: float | None = None


def _score_dependence(rows: Ints, codes: Ints, given: Floats) -> _ScoreDependence:
    known = np.isfinite(given)
    overall = stats.spearman(given[known], rows[known])
    found, weights = [], []
    for code in np.unique(codes[known]):  # one turn per group, not per row
        inside = known & (codes == code)
        rho = stats.spearman(given[inside], rows[inside])
        if rho is not None:
            found.append(rho)
            weights.append(int(inside.sum()))
    within = float(np.average(found, weights=weights)) if found else None
    return _ScoreDependence(overall, within)


def _group_lengths(rows: Ints, codes: Ints, names: list[str]) -> tuple[GroupLengths, ...]:
    order = np.argsort(codes, kind="stable")
    parts: list[NDArray[Any]] = np.split(rows[order], np.cumsum(np.bincount(codes))[:-1])
    described = [
        GroupLengths(
            name,
            len(part),
            quantiles(part),
            stats.concentration(part).share,
            float(stats.log_length(part).std()),
        )
        for name, part in zip(names, parts, strict=True)
    ]
    return tuple(sorted(described, key=lambda group: (-group.rows, group.group)))
