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
from filters.common.ranking import best_first, noise_of, places, score_column
from filters.common.stats import Bools, Floats, Ints
from filters.common.tasks import pool, task_groups
from filters.length import match
from filters.length.cap import cap
from filters.length.reference import target_shares
from filters.length.report import codes_of
from filters.length.trim import trim

OWN_KIND = 20  # rows from which a kind of request is judged by itself, and a set is capped
USUAL_TAU = 0.2


def keep_all(measures: pl.DataFrame) -> pl.DataFrame:
    return verdicts([True] * measures.height, score=measures["length"])


def keep_between(measures: pl.DataFrame, unit: str, least: int, most: int | None) -> pl.DataFrame:
    length = pl.col("length")
    short = length < least
    long = pl.lit(value=False) if most is None else length > most
    judged = measures.select(
        length,
        reason=pl.when(short).then(pl.lit("too_short")).when(long).then(pl.lit("too_long")),
        told=pl.when(short)
        .then(pl.format(f"{{}} {unit}, least is {least}", length))
        .when(long)
        .then(pl.format(f"{{}} {unit}, greatest is {most}", length)),
    )
    return verdicts(
        judged["reason"].is_null(), judged["reason"], judged["length"], evidence=judged["told"]
    )


def keep_inside_fences(measures: pl.DataFrame, unit: str, fence: float) -> pl.DataFrame:
    groups, names = codes_of(task_groups(measures, OWN_KIND))
    length = _lengths(measures)
    rank = places(best_first(measures, np.zeros(len(length))))
    asked = (measures["asks"] != "").to_numpy()
    done = trim(length, rank, groups, asked, fence, OWN_KIND)
    short = length < done.least
    fences = np.where(short, done.least, done.greatest)

    def told(row: int) -> str:
        side, kind = "least" if short[row] else "greatest", names[groups[row]]
        return f"{length[row]} {unit}; {side} for '{kind}' is {fences[row]}"

    reasons = ["short_for_task" if below else "long_for_task" for below in short.tolist()]
    return _dropped(done.keep, reasons, length, told)


def keep_under_cap(
    measures: pl.DataFrame, unit: str, tau: float | None, by: str, least: int
) -> pl.DataFrame:
    """`tau` None is `USUAL_TAU` where the lengths allow it; elsewhere all rows stay."""
    length = _lengths(measures)
    wanted = USUAL_TAU if tau is None else tau
    floor = stats.concentration_floor(length)
    if tau is None and len(length) < OWN_KIND:
        return keep_all(measures)
    if floor.share > wanted:
        return _impossible(
            measures,
            tau,
            f"cap at tau {wanted:g} is impossible: the lengths of these {len(length):,} rows fit"
            f" into {floor.windows} windows of +-10 %, so one of them holds at least"
            f" {math.ceil(1000 * floor.share) / 1000:g} of the rows",
        )
    groups, _ = codes_of(task_groups(measures, OWN_KIND))
    scores = score_column(measures, by)
    worst_first = best_first(measures, np.where(np.isnan(scores), -np.inf, scores))[::-1]
    done = cap(length, places(worst_first), groups, wanted, least)
    if done.share > wanted:
        return _impossible(
            measures,
            tau,
            f"cap at tau {wanted:g} is out of reach: with {int(done.keep.sum()):,} of"
            f" {len(length):,} rows left, {done.share:.4g} of them lie in one window of +-10 % and"
            f" each kind of request there is down to keep_each ({least})",
        )

    def told(row: int) -> str:
        return (
            f"{length[row]} {unit}; {done.density[row]:.4g} of the rows lay within 10 % of"
            f" {done.window[row]}, tau is {wanted:g}"
        )

    return _dropped(done.keep, ["crowded_length"] * len(length), length, told)


def _impossible(measures: pl.DataFrame, tau: float | None, why: str) -> pl.DataFrame:
    """An error when this tau was asked for; else all rows stay, with the reason as evidence."""
    if tau is not None:
        raise CurateError(
            f"length: {why}; set a higher tau or a lower keep_each, or leave tau out to cap only"
            " where it is possible"
        )
    everything = [True] * measures.height
    return verdicts(everything, score=measures["length"], evidence=[why] * measures.height)


class Matching(NamedTuple):
    """What `match` aimed at and reached; `laws` (cells, bins), `cells` (n,) one per row."""

    done: match.Match
    laws: Floats
    cells: Ints

    def law_of(self, rows: Ints) -> Floats:
        """The target of these rows: the laws of their cells, mixed as the cells are."""
        weights = np.bincount(self.cells[rows], minlength=len(self.laws)) / max(len(rows), 1)
        found: Floats = weights @ self.laws
        return found

    @property
    def sentence(self) -> str:
        """Distance to the target before and after, and what the weights are worth."""
        return (
            f"KS to the target {self.done.before:.3f} before and {self.done.after:.3f} after,"
            f" effective sample size {self.done.effective:,.0f} of {len(self.cells):,}"
        )


def matching(
    measures: pl.DataFrame,
    target: pl.DataFrame | tuple[int, ...],
    tolerance: float,
    by: str | None,
    least: int,
    seed: int,
) -> Matching:
    """`target` is a reference's `length` and `task`, or lengths at equally spaced probabilities."""
    length = _lengths(measures)
    codes, _ = codes_of(pool([measures["task"]], OWN_KIND))
    if isinstance(target, pl.DataFrame):
        law, cells = target_shares(target, OWN_KIND)
    else:
        law, cells = match.law_of_quantiles(target), {}
    cell = measures["task"].replace_strict(cells, default=0, return_dtype=pl.Int64).to_numpy()
    scores = score_column(measures, by) if by else np.zeros(len(length))
    rank = places(best_first(measures, scores, noise_of(measures["id"], seed)))
    done = match.match(length, rank, cell, law, codes, tolerance, least)
    return Matching(done, law.laws, cell)


def keep_matching(
    measures: pl.DataFrame, unit: str, found: Matching, tolerance: float
) -> pl.DataFrame:
    length, done = _lengths(measures), found.done
    if done.after > tolerance:
        raise CurateError(
            f"length: no selection of these {len(length):,} rows comes within {tolerance:g} of the"
            f" target (KS {done.before:.3f} as they are, {done.after:.3f} at best;"
            f" {100 * done.missing:.0f} % of the target has lengths that none of them has); raise"
            " tolerance, lower keep_each, or choose another target"
        )
    reasons = ["over_represented"] * len(length)
    return _dropped(
        done.keep, reasons, length, lambda row: f"{length[row]} {unit}; {found.sentence}"
    )


def _lengths(measures: pl.DataFrame) -> Ints:
    found: Ints = measures["length"].cast(pl.Int64).to_numpy()
    return found


def _dropped(
    keep: Bools, reasons: Sequence[str], length: Ints, told: Callable[[int], str]
) -> pl.DataFrame:
    """Verdicts, with a sentence of its own for each dropped row."""
    reason: list[str | None] = [None] * len(keep)
    evidence: list[str | None] = [None] * len(keep)
    for row in np.flatnonzero(~keep).tolist():
        reason[row], evidence[row] = reasons[row], told(row)
    return verdicts(keep, reason, length, evidence=evidence)
