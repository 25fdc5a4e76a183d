"""Select a budget of rows: the best, the longest, or a draw, with quotas and strata.

(The step is called `select`; a module of that name would hide the standard library's.)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import polars as pl

from curate.schema import CurateError, setting, verdicts
from filters.calibrate import length_bins
from filters.length_stats import Bools, Floats, Ints
from filters.length_units import lengths
from filters.select_order import best_first, noise_of, places, score_column

STRATA = 10  # of equal size by length
BEST = ("reward.verdict", "record.score")

METHODS = ("top", "random", "longest")


@dataclass(frozen=True)
class Select:
    """Keep `budget` rows: by score, by length, or at random; ties by id.

    Any top-k of a score inherits what the score likes, length above all: `stratify: length`
    chooses within ten strata of length, in proportion to their rows, so that the selection
    keeps the pool's lengths. `random` and `longest` are the two baselines that a selection has
    to beat (Zhao et al. 2024, arXiv 2402.04833; Xia et al. 2024, arXiv 2410.09335).
    """

    name: ClassVar[str] = "select"
    reasons: ClassVar[Mapping[str, str]] = {
        "not_selected": "the budget was spent on rows that rank higher",
        "over_quota": "its category has as many rows as a category may have",
        "no_score": "the row has no score to be ranked by",
    }
    per_row: ClassVar[bool] = False
    measured_by: ClassVar[tuple[str, ...]] = ()
    version: ClassVar[int] = 1
    cached: ClassVar[bool] = False

    method: Literal["top", "random", "longest"] = setting(
        "top", "rank by score, at random, or by words of response", choices=METHODS
    )
    budget: int = setting(1000, "rows to keep at most")
    by: str | None = setting(
        None, "top: column to rank by; none = reward.verdict if there is one, else record.score"
    )
    per_category: int | None = setting(None, "rows that one category may have at most")
    stratify: Literal["none", "length", "category"] = setting(
        "none",
        "share the budget out by the rows of each stratum",
        choices=("none", "length", "category"),
    )
    seed: int = setting(0, "random: seed of the draw")

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise CurateError(f"select: method is {self.method!r}; expected {', '.join(METHODS)}")
        if self.stratify not in ("none", "length", "category"):
            raise CurateError(
                f"select: stratify is {self.stratify!r}; expected none, length or category"
            )
        if self.budget < 1:
            raise CurateError(f"select: budget is {self.budget}; expected 1 or more rows")
        if self.per_category is not None and self.per_category < 1:
            raise CurateError(f"select: per_category is {self.per_category}; expected 1 or more")
        if self.by is not None and self.method != "top":
            raise CurateError(
                f"select: by is for method top, and method is {self.method}; leave one out"
            )

    @property
    def needs(self) -> tuple[str, ...]:
        """The measured column that ranks the rows, when one is named."""
        return (self.by,) if self.by else ()

    def measure(self, records: pl.DataFrame) -> pl.DataFrame:
        """`length` (words of response, u32)."""
        return lengths(records, "words", "response", None).to_frame()

    def judge(self, measures: pl.DataFrame) -> pl.DataFrame:
        rank_by = self._rank_by(measures)
        known = ~np.isnan(rank_by)
        order = best_first(measures, rank_by)
        inside = self._inside_quota(measures, order, known)
        strata = self._strata(measures)
        kept = _within_shares(order, inside, strata, self.budget)
        return self._verdicts(rank_by, places(order), kept, inside, known)

    def _rank_by(self, measures: pl.DataFrame) -> Floats:
        if self.method == "random":
            return noise_of(measures["id"], self.seed)
        if self.method == "longest":
            return score_column(measures, "length")
        by = self.by or next((name for name in BEST if name in measures.columns), BEST[-1])
        scores = score_column(measures, by)
        if len(scores) and np.isnan(scores).all():
            raise CurateError(
                f"select: none of {len(scores):,} rows has a number in {by}; put a reward step"
                " before this one, name another column in by, or use method random"
            )
        return scores

    def _inside_quota(self, measures: pl.DataFrame, order: Ints, known: Bools) -> Bools:
        """Rows with a score that rank among the first `per_category` of their category."""
        if self.per_category is None:
            return known
        ranked = measures["record.category"].fill_null("")[order]
        place = ranked.to_frame("category").select(
            pl.int_range(pl.len()).over("category")
        ).to_series().to_numpy()  # fmt: skip
        inside = np.empty(len(order), dtype=np.bool_)
        inside[order] = place < self.per_category
        return known & inside

    def _strata(self, measures: pl.DataFrame) -> Ints:
        if self.stratify == "length":
            return length_bins(measures["length"], STRATA)
        if self.stratify == "category":
            named = measures["record.category"].fill_null("")
            return (named.rank("dense") - 1).cast(pl.Int64).to_numpy()
        return np.zeros(measures.height, dtype=np.int64)

    def _verdicts(
        self, rank_by: Floats, place: Ints, kept: Bools, inside: Bools, known: Bools
    ) -> pl.DataFrame:
        frame = pl.DataFrame({"kept": kept, "inside": inside, "known": known, "place": place + 1})
        alike = known.sum() > 1 and np.ptp(rank_by[known]) == 0.0
        ids = "all scores are equal, so ids decided; " if alike else ""
        ranked = pl.format(f"{ids}rank {{}} of {len(place)}, {int(kept.sum())} kept", "place")
        quota = f"its category has {self.per_category} rows that rank higher"
        judged = frame.select(
            reason=pl.when("kept")
            .then(pl.lit(None, dtype=pl.String))
            .when(~pl.col("known"))
            .then(pl.lit("no_score"))
            .when(~pl.col("inside"))
            .then(pl.lit("over_quota"))
            .otherwise(pl.lit("not_selected")),
            told=pl.when("kept")
            .then(pl.lit(None, dtype=pl.String))
            .when(~pl.col("known"))
            .then(pl.lit("no finite number to rank by"))
            .when(~pl.col("inside"))
            .then(pl.lit(quota))
            .otherwise(ranked),
        )
        score = pl.Series(rank_by).fill_nan(None)
        return verdicts(kept, judged["reason"], score, evidence=judged["told"])


def _within_shares(order: Ints, eligible: Bools, strata: Ints, budget: int) -> Bools:
    """The first rows of each stratum, as many as its share of the budget.

    Shares are proportional to the eligible rows; the largest remainders get the odd rows.
    """
    kept = np.zeros(len(order), dtype=np.bool_)
    ranked = order[eligible[order]]
    sizes = np.bincount(strata[ranked], minlength=1)
    total = int(sizes.sum())
    if total <= budget:
        kept[ranked] = True
        return kept
    exact = sizes * budget  # in units of 1 / total rows: whole numbers do not round
    shares = exact // total
    odd = np.argsort(-(exact % total), kind="stable")[: budget - int(shares.sum())]
    shares[odd] += 1
    by_stratum = ranked[np.argsort(strata[ranked], kind="stable")]
    place = np.arange(total) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    kept[by_stratum[place < np.repeat(shares, sizes)]] = True
    return kept
