"""What `Length` does with measured lengths: one function per action, measures in, verdicts out."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import polars as pl

from curate.base.contract import verdicts
from curate.base.errors import CurateError
from filters.common import stats
from filters.common.arrays import Bools, Floats, Ints
from filters.common.ranking import best_first, noise_of, places, score_column
from filters.common.tasks import pool, task_groups
from filters.length import match
from filters.length.cap import cap
from filters.length.reference import target_shares
from filters.length.report import codes_of
from filters.length.trim import trim

MIN_GROUP = 20  # rows from which a task group is judged by itself, and a set is capped
USUAL_MAX_SHARE = 0.2


def keep_all(measures: pl.DataFrame) -> pl.DataFrame:
    """Verdicts that keep every row, with its length as score."""
    return verdicts([True] * measures.height, score=measures["length"])


def keep_between(measures: pl.DataFrame, unit: str, least: int, most: int | None) -> pl.DataFrame:
    """Drop rows of fewer than `least` or more than `most` units."""
    length = pl.col("length")
    short = length < least
    long = pl.lit(value=False) if most is None else length > most
    judged = measures.select(
        length,
        reason=pl.when(short).then(pl.lit("too_short")).when(long).then(pl.lit("too_long")),
        evidence=pl.when(short)
        .then(pl.format(f"{{}} {unit}; at least {least} are allowed", length))
        .when(long)
        .then(pl.format(f"{{}} {unit}; at most {most} are allowed", length)),
    )
    return verdicts(
        judged["reason"].is_null(), judged["reason"], judged["length"], evidence=judged["evidence"]
    )


def keep_inside_fences(measures: pl.DataFrame, unit: str, iqr_factor: float) -> pl.DataFrame:
    """Drop rows whose length is an outlier of their task group (see `trim`)."""
    groups, names = codes_of(task_groups(measures, MIN_GROUP))
    length = _lengths(measures)
    rank = places(best_first(measures, np.zeros(len(length))))
    asked = (measures["asks"] != "").to_numpy()
    done = trim(length, rank, groups, asked, iqr_factor, MIN_GROUP)
    short = length < done.least

    def evidence(row: int) -> str:
        limit = f"at least {done.least[row]}" if short[row] else f"at most {done.greatest[row]}"
        return f"{length[row]} {unit}; {limit} are usual in the task group '{names[groups[row]]}'"

    reasons = ["short_for_task" if below else "long_for_task" for below in short.tolist()]
    return _dropped(done.keep, reasons, length, evidence)


def keep_under_cap(
    measures: pl.DataFrame, unit: str, max_share: float | None, by: str, least: int
) -> pl.DataFrame:
    """Drop the lowest rows by `by` of the densest window (see `cap`), `least` of a group kept.

    `max_share` None is `USUAL_MAX_SHARE` where the lengths allow it; elsewhere all rows are kept.
    Raises `CurateError` for a `max_share` that cannot be reached.
    """
    length = _lengths(measures)
    if max_share is None and len(length) < MIN_GROUP:
        return keep_all(measures)
    most = USUAL_MAX_SHARE if max_share is None else max_share
    floor = stats.concentration_floor(length)
    if floor.share > most:
        return _impossible(
            measures,
            max_share,
            f"a max_share of {most:g} is impossible: the lengths of these {len(length):,} rows fit"
            f" into {floor.windows} windows of +-10 %, so one window holds at least"
            f" {math.ceil(1000 * floor.share) / 1000:g} of the rows",
        )
    groups, _ = codes_of(task_groups(measures, MIN_GROUP))
    scores = score_column(measures, by)
    worst_first = best_first(measures, np.where(np.isnan(scores), -np.inf, scores))[::-1]
    done = cap(length, places(worst_first), groups, most, least)
    if done.share > most:
        return _impossible(
            measures,
            max_share,
            f"a max_share of {most:g} is out of reach: when {int(done.keep.sum()):,} of"
            f" {len(length):,} rows are left, one window of +-10 % holds {done.share:.4g} of them,"
            f" and each of its task groups is down to min_per_group ({least}) rows",
        )

    def evidence(row: int) -> str:
        return (
            f"{length[row]} {unit}; {done.density[row]:.4g} of the rows were within 10 % of"
            f" {done.window[row]} {unit}, max_share is {most:g}"
        )

    return _dropped(done.keep, ["crowded_length"] * len(length), length, evidence)


def _impossible(measures: pl.DataFrame, max_share: float | None, why: str) -> pl.DataFrame:
    """An error when this share was asked for; else all rows are kept, `why` as evidence."""
    if max_share is not None:
        raise CurateError(
            f"length: {why}; raise max_share, lower min_per_group, or leave max_share out to cap"
            " only where it is possible"
        )
    return keep_all(measures).with_columns(evidence=pl.lit(why))


class Matching(NamedTuple):
    """What `match` did; the target `distributions` (cells, bins), and the cell of each row (n,)."""

    done: match.Match
    distributions: Floats
    cells: Ints

    def target_of(self, rows: Ints) -> Floats:
        """The share of each bin that is the target of these rows: their cells' targets, mixed."""
        cells = np.bincount(self.cells[rows], minlength=len(self.distributions))
        return cells / max(len(rows), 1) @ self.distributions

    @property
    def sentence(self) -> str:
        """Distance to the target before and after, and what the weights are worth."""
        return (
            f"distance (KS) to the target: {self.done.before:.3f} before, {self.done.after:.3f}"
            f" after; effective sample size {self.done.effective:,.0f} of {len(self.cells):,}"
        )


def matching(
    measures: pl.DataFrame,
    target: pl.DataFrame | tuple[int, ...],
    tolerance: float,
    by: str | None,
    least: int,
    seed: int,
) -> Matching:
    """Match to `target`: a reference's `length` and `task`, or lengths at equal probabilities.

    `by` is a column whose highest rows come first (none: a draw by `seed`); `least` rows of each
    first word are kept in any case.
    """
    length = _lengths(measures)
    codes, _ = codes_of(pool([measures["task"]], MIN_GROUP))
    if isinstance(target, pl.DataFrame):
        aim, cells = target_shares(target, MIN_GROUP)
    else:
        aim, cells = match.target_of_quantiles(target), {}
    cell = measures["task"].replace_strict(cells, default=0, return_dtype=pl.Int64).to_numpy()
    scores = score_column(measures, by) if by else np.zeros(len(length))
    rank = places(best_first(measures, scores, noise_of(measures["id"], seed)))
    done = match.match(length, rank, cell, aim, codes, tolerance, least)
    return Matching(done, aim.distributions, cell)


def keep_matching(
    measures: pl.DataFrame, unit: str, matched: Matching, tolerance: float
) -> pl.DataFrame:
    """Drop the rows that a matching drops; `CurateError` when it came not within `tolerance`."""
    length, done = _lengths(measures), matched.done
    if done.after > tolerance:
        raise CurateError(
            f"length: no selection of these {len(length):,} rows comes within {tolerance:g} of the"
            f" target: its distance (KS) is {done.before:.3f} for all rows and {done.after:.3f} at"
            f" best, and {100 * done.missing:.0f} % of the target has lengths that no row has;"
            " raise tolerance, lower min_per_group, or choose another target"
        )
    reasons = ["over_represented"] * len(length)
    return _dropped(
        done.keep, reasons, length, lambda row: f"{length[row]} {unit}; {matched.sentence}"
    )


def _lengths(measures: pl.DataFrame) -> Ints:
    return measures["length"].cast(pl.Int64).to_numpy()


def _dropped(
    keep: Bools, reasons: Sequence[str], length: Ints, sentence: Callable[[int], str]
) -> pl.DataFrame:
    """Verdicts, with a sentence of its own for each dropped row."""
    reason: list[str | None] = [None] * len(keep)
    evidence: list[str | None] = [None] * len(keep)
    for row in np.flatnonzero(~keep).tolist():
        reason[row], evidence[row] = reasons[row], sentence(row)
    return verdicts(keep, reason, length, evidence=evidence)
