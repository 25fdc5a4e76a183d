"""How `Select` chooses: measures in order of id in, verdicts out; one function per kind."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import polars as pl

from curate.base.contract import verdicts
from curate.base.errors import CurateError
from filters.common.arrays import F32, Bools, Floats, Ints
from filters.common.budget import Allowance, Outcome, spend
from filters.common.calibrate import length_bins
from filters.common.ranking import best_first, noise_of, places, score_column
from filters.common.stats import log_length
from filters.selection import diversity
from filters.selection.facility import facility_location
from filters.selection.greedy import tag_greedy

LENGTH_STRATA = 10
MOST_COMPARED = 200_000  # rows for facility: about five minutes of two cores
BEST = ("reward.verdict", "record.score")


class Plan(NamedTuple):
    """How much is selected, what the budget counts, and how it is shared out."""

    budget: int
    budget_in: str
    unit: str
    stratify: str
    per_category: int | None

    def cost(self, rows: pl.DataFrame) -> Ints:
        """What each row takes of the budget."""
        if self.budget_in == "rows":
            return np.ones(rows.height, dtype=np.int64)
        return rows["length"].cast(pl.Int64).to_numpy()

    def room(self, rows: pl.DataFrame, eligible: Bools, counted: Bools | None = None) -> Allowance:
        """The budget, for `eligible` rows (n,); strata share it by those `counted` (none: all)."""
        return Allowance(
            self.cost(rows),
            self.budget,
            self._strata(rows),
            eligible,
            _codes(rows["record.category"]),
            self.per_category,
            even=self.stratify == "log_length",
            counted=counted,
        )

    def _strata(self, rows: pl.DataFrame) -> Ints:
        if self.stratify == "length":
            return length_bins(rows["length"], LENGTH_STRATA)
        if self.stratify == "log_length":
            return _length_bands(rows["length"])
        if self.stratify == "category":
            return _codes(rows["record.category"])
        return np.zeros(rows.height, dtype=np.int64)


def _length_bands(length: pl.Series) -> Ints:
    """Bands of equal width in log length, from the 1st to the 99th percentile of the rows."""
    log = log_length(length.cast(pl.Int64).to_numpy())
    low, high = np.quantile(log, (0.01, 0.99)) if len(log) else (0.0, 0.0)
    edges = np.linspace(low, high, LENGTH_STRATA + 1)[1:-1]
    return np.searchsorted(edges, log, side="right").astype(np.int64)


def by_id(measures: pl.DataFrame) -> Ints:
    """Positions in order of id, then of row."""
    return best_first(measures, np.zeros(measures.height))


def ranked(
    rows: pl.DataFrame, plan: Plan, method: str, by: Sequence[str], seed: int
) -> pl.DataFrame:
    """The first rows by score, by length or by lot that fit into the budget."""
    if method == "random":
        rank_by = noise_of(rows["id"], seed, "select")
    elif method == "longest":
        rank_by = score_column(rows, "length")
    else:
        rank_by = product_of(rows, by)
    known = ~np.isnan(rank_by)
    order = best_first(rows, rank_by)
    room = plan.room(rows, known, _first_of_category(rows, order, plan.per_category))
    kept = spend(order.tolist(), room)
    outranked = _outranked(rows, order, kept, plan.per_category)
    alike = known.sum() > 1 and np.ptp(rank_by[known]) == 0.0
    ids = "all scores are equal, so ids decided; " if alike else ""
    place = pl.Series(places(order) + 1)
    evidence = pl.select(
        pl.format(f"{ids}rank {{}} of {rows.height}, {int(kept.sum())} kept", place)
    ).to_series()
    return _judged(
        rows, plan, room.outcome(), rank_by, evidence, outranked=outranked, no_score=~known
    )


def represented(
    rows: pl.DataFrame, plan: Plan, by: Sequence[str], threshold: float
) -> pl.DataFrame:
    """The first rows by score, but none too similar to one that was taken."""
    rank_by = product_of(rows, by)
    known, (vectors, blank) = ~np.isnan(rank_by), _vectors(rows)
    order = best_first(rows, rank_by)
    room = plan.room(rows[order], (known & ~blank)[order])
    found = diversity.deita_greedy(vectors[order], threshold, room)
    back = places(order)
    similar = np.where(found.similar_to >= 0, order[found.similar_to], -1)[back]
    frame = pl.DataFrame(
        {"place": back + 1, "cosine": found.cosine[back], "other": rows["row"].gather(similar)}
    )
    rank = pl.format(f"rank {{}} of {rows.height}, {len(found.rows)} kept", "place")
    near = pl.format("; cosine {} to", pl.col("cosine").round(3))
    evidence = frame.select(
        pl.when(pl.Series(similar >= 0))
        .then(pl.format(f"{{}}{{}} row {{}}, above {threshold:g}", rank, near, "other"))
        .when(pl.col("cosine").is_nan())
        .then(rank)
        .otherwise(pl.format("{}{} the nearest row taken before", rank, near))
    ).to_series()
    return _judged(
        rows,
        plan,
        room.outcome(back),
        rank_by,
        evidence,
        similar,
        no_score=~known,
        no_vector=blank,
        too_similar=similar >= 0,
    )


def diverse(rows: pl.DataFrame, plan: Plan, method: str, seed: int) -> pl.DataFrame:
    """Rows far from each other (`kcenter`), or rows that cover the others (`facility`)."""
    vectors, blank = _vectors(rows)
    room = plan.room(rows, ~blank)
    if method == "kcenter":
        picks = diversity.k_center(vectors, room)
    else:
        if rows.height > MOST_COMPARED:
            raise CurateError(
                f"select: facility compares every row with every other, and {rows.height:,} rows"
                f" are too many (at most {MOST_COMPARED:,}); draw candidates first with mix:"
                " {budget: 50000}, or use kcenter"
            )
        picks = facility_location(vectors, room, seed).picks
    at, cosine = diversity.nearest_of(vectors, vectors, picks.rows)
    score = 1.0 - cosine if method == "kcenter" else np.full(rows.height, np.nan)
    score[picks.rows] = picks.values
    number = np.zeros(rows.height, dtype=np.int64)
    number[picks.rows] = np.arange(1, len(picks.rows) + 1)
    stands_for = np.bincount(at[at >= 0], minlength=rows.height)
    frame = pl.DataFrame(
        {"pick": number, "cosine": cosine, "at": rows["row"].gather(at), "for": stands_for}
    )
    near = pl.format("cosine {} to row {}", pl.col("cosine").round(3), "at")
    why = (
        pl.format("distance {} to the nearest picked before", pl.Series(score).round(3))
        if method == "kcenter"
        else pl.format(f"the nearest selected row for {{}} of {rows.height} rows", "for")
    )
    evidence = frame.select(
        pl.when(pl.col("pick") > 0)
        .then(pl.format(f"pick {{}} of {len(picks.rows)}: {{}}", "pick", why))
        .when(pl.col("cosine").is_finite())
        .then(pl.format("{}, the nearest that is selected", near))
        .otherwise(pl.lit("nothing fits into the budget"))
    ).to_series()
    return _judged(rows, plan, room.outcome(), score, evidence, no_vector=blank)


def tagged(rows: pl.DataFrame, plan: Plan) -> pl.DataFrame:
    """Rows with most tags first, each only if it brings a tag that is new in its round."""
    tags = rows["tags"]
    count = tags.list.len().cast(pl.Int64).to_numpy()
    if not count.any():
        raise CurateError(
            f"select: none of {rows.height:,} rows has a tag; name another field in tags, or leave"
            " it out for the built-in tagger"
        )
    score, room = count.astype(np.float64), plan.room(rows, count > 0)
    found = tag_greedy(tags.to_list(), best_first(rows, score), room)
    evidence = [
        f"round {turn}: {count[at]} tags, brings {brought}" if turn else f"{count[at]} tags"
        for at, (turn, brought) in enumerate(zip(found.turn.tolist(), found.brings, strict=True))
    ]
    return _judged(rows, plan, room.outcome(), score, pl.Series(evidence), no_tags=count == 0)


def product_of(rows: pl.DataFrame, by: Sequence[str]) -> Floats:
    """The product of the named columns (n,), NaN where one has no finite number.

    Raises `CurateError` when no row has a number, and for a negative number in a product.
    """
    named = tuple(by) or (next((name for name in BEST if name in rows.columns), BEST[-1]),)
    columns = [score_column(rows, name) for name in named]
    if len(columns) > 1:
        for name, column in zip(named, columns, strict=True):
            least = np.nanmin(column, initial=0.0)
            if least < 0.0:
                raise CurateError(
                    f"select: the least {name} is {least:g}, and products of negative numbers have"
                    " no meaning; give scores of at least 0, such as reward's with calibrate: rank"
                )
    product: Floats = np.prod(columns, axis=0)
    if np.isnan(product).all():
        raise CurateError(
            f"select: none of {len(product):,} rows has a number in {' and '.join(named)}; put a"
            " reward step before this one, name another column in by, or use a method that needs"
            " no score: facility, kcenter, tags, random, longest"
        )
    return product


def _first_of_category(rows: pl.DataFrame, order: Ints, quota: int | None) -> Bools:
    """Rows that rank among the first `quota` of their category."""
    if quota is None:
        return np.ones(len(order), dtype=np.bool_)
    return _before_in_category(rows, order, np.ones(len(order), dtype=np.bool_)) < quota


def _outranked(rows: pl.DataFrame, order: Ints, kept: Bools, quota: int | None) -> Bools:
    """Rows to whose category `quota` rows belong that rank higher and are kept."""
    if quota is None:
        return np.zeros(len(order), dtype=np.bool_)
    return _before_in_category(rows, order, kept) >= quota


def _before_in_category(rows: pl.DataFrame, order: Ints, counted: Bools) -> Ints:
    """How many of the `counted` rows (n,) of its category rank higher than each row."""
    ranked = pl.DataFrame(
        {"category": rows["record.category"].fill_null("")[order], "counted": counted[order]}
    )
    own = pl.col("counted").cast(pl.Int64)
    before = ranked.select((own.cum_sum() - own).over("category")).to_series().to_numpy()
    found = np.empty(len(order), dtype=np.int64)
    found[order] = before
    return found


def _codes(column: pl.Series) -> Ints:
    return (column.fill_null("").rank("dense") - 1).cast(pl.Int64).to_numpy()


def _vectors(rows: pl.DataFrame) -> tuple[F32, Bools]:
    """The vectors, and which rows have none because their text is blank."""
    vectors = np.ascontiguousarray(rows["vector"].to_numpy(), dtype=np.float32)
    return vectors, np.logical_not(vectors.any(axis=1))


# The evidence of reasons that hold whatever was chosen.
_FIXED = {
    "no_score": "no finite number to rank by",
    "no_vector": "blank text",
    "no_tags": "no tags",
}


def _judged(
    rows: pl.DataFrame,
    plan: Plan,
    done: Outcome,
    score: Floats,
    evidence: pl.Series,
    similar_to: Ints | None = None,
    outranked: Bools | None = None,
    **reasons: Bools,
) -> pl.DataFrame:
    """Verdicts: the first of `reasons` that holds for a row, else its category or the budget.

    With `outranked` (n,), a row whose category is full is over its quota if that is so, or if it
    would fit into what is left; else the budget had no room for it before its category was full.
    """
    kept, full = done.taken, done.full
    if outranked is not None:
        full = full & (outranked | (done.cost <= done.left))
    quota = pl.lit(f"its category has {plan.per_category} rows that are selected")
    if outranked is not None:
        higher = pl.lit(f"its category has {plan.per_category} rows that rank higher")
        quota = pl.when(pl.Series(outranked)).then(higher).otherwise(quota)
    fixed = {slug: pl.lit(text) for slug, text in _FIXED.items()} | {"over_quota": quota}
    reasons |= {"over_quota": full}
    reason, why = pl.lit("not_selected"), _with_cost(plan, done.left)
    for slug in ("over_quota", "too_similar", "no_tags", "no_vector", "no_score"):
        if slug in reasons:
            reason = pl.when(slug).then(pl.lit(slug)).otherwise(reason)
            why = pl.when(slug).then(fixed.get(slug, pl.col("evidence"))).otherwise(why)
    frame = pl.DataFrame({"kept": kept, "evidence": evidence, "cost": done.cost, **reasons})
    judged = frame.select(
        reason=pl.when(~pl.col("kept")).then(reason),
        evidence=pl.when("kept").then("evidence").otherwise(why),
    )
    other = None
    if similar_to is not None:
        dropped = pl.Series((similar_to >= 0) & ~kept)
        row = rows["row"].gather(np.maximum(similar_to, 0)).to_frame("row")
        other = row.select(pl.when(dropped).then("row")).to_series()
    return verdicts(
        kept, judged["reason"], pl.Series(score).fill_nan(None), other, judged["evidence"]
    )


def _with_cost(plan: Plan, left: int) -> pl.Expr:
    """The evidence and, where rows cost more than one, what the row takes and what is left."""
    if plan.budget_in == "rows":
        return pl.col("evidence")
    needed = (
        f"it takes {{}} {plan.budget_in}, and {left:,} of the budget of {plan.budget:,} are left"
    )
    return pl.format(f"{{}}; {needed}", "evidence", "cost")
