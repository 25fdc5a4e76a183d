"""Pairs of answers to the same prompt, by a number that each has: votes, a score, or a rank."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import polars as pl

from curate.base.errors import CurateError
from curate.pairs.shape import PAIRS, PairResult, answers, field, first_reason, numbers
from curate.pairs.times import Times, times

# How far a pair of answers came, and why an answer is in no pair if that is as far as any of
# its pairs came.
STAGES = ("same_answer", "too_close", "earlier", "over_limit")
MOST_ANSWERS = 2_000  # to one prompt: every two of them are compared


@dataclass(frozen=True)
class Rule:
    """Which of two answers to one prompt is chosen, and when they make no pair.

    `by` is the field with the number; `lower` says that less is better (ranks). The better one
    leads by `margin` or more, and more than nothing; where the worse number is above 0 it is
    also `ratio` times as high. Both have `least` or more. With `time` (a field: a number or an
    ISO 8601 date) the chosen answer is the later one or as old: early answers collect votes by
    being seen (SHP). Of a prompt the `per_parent` pairs that lie farthest apart are taken.
    `parent` is a field that keeps equal prompts of different posts apart.
    """

    by: str = "score"
    lower: bool = False
    ratio: float | None = None
    margin: float = 0.0
    least: float | None = None
    time: str | None = None
    parent: str | None = None
    per_parent: int | None = None

    def __post_init__(self) -> None:
        if self.ratio is not None and not 1.0 <= self.ratio < math.inf:
            raise CurateError(f"pairs: ratio is {self.ratio}; expected 1 or more")
        if not 0.0 <= self.margin < math.inf:
            raise CurateError(f"pairs: margin is {self.margin}; expected 0 or more")


def of_groups(records: pl.DataFrame, rule: Rule) -> PairResult:
    """All pairs that the rule allows, those of one prompt together, the farthest apart first."""
    any_time = Times(pl.zeros(records.height, pl.Float64, eager=True))
    found = any_time if rule.time is None else times(records, rule.time)
    frame = answers(records).with_columns(number=numbers(records, rule.by))
    parent = pl.lit("") if rule.parent is None else field(records, rule.parent).fill_null("")
    frame = frame.with_columns(
        at=found.seconds,
        group=pl.col("row").min().over(pl.concat_str(parent, pl.lit("\x1c"), "asked")),
    ).with_columns(problem=_problem(rule))
    usable = frame.filter(pl.col("problem").is_null()).with_columns(
        worth=-pl.col("number") if rule.lower else pl.col("number")
    )
    made = matched(frame, _compared(usable, rule), rule.per_parent)
    return replace(made, notes=found.notes)


def _problem(rule: Rule) -> pl.Expr:
    low = pl.lit(False) if rule.least is None else pl.col("number") < rule.least
    missing = {"no_score": pl.col("number").is_null(), "no_time": pl.col("at").is_null()}
    return first_reason({**missing, "below_least": low}, "problem")


def _compared(usable: pl.DataFrame, rule: Rule) -> pl.DataFrame:
    """Every two answers of a group once, the better (then the earlier row) on the left."""
    most = usable.group_by("group").len()["len"].max() if usable.height else 0
    if isinstance(most, int) and most > MOST_ANSWERS:
        raise CurateError(
            f"pairs: one prompt has {most:,} answers, and at most {MOST_ANSWERS:,} are compared"
            " with each other; name the field that tells posts apart in --parent"
        )
    narrow = usable.select("row", "id", "group", "plain", "number", "worth", "at")
    both = narrow.join(narrow, on="group", suffix="_other").filter(
        (pl.col("worth") > pl.col("worth_other"))
        | ((pl.col("worth") == pl.col("worth_other")) & (pl.col("row") < pl.col("row_other")))
    )
    lead = pl.col("worth") - pl.col("worth_other")
    far = (lead > 0) & (lead >= rule.margin)
    if rule.ratio is not None:
        low = pl.col("number_other") <= 0
        far &= low | (pl.col("number") >= rule.ratio * pl.col("number_other"))
    return both.with_columns(
        lead=lead,
        stage=pl.when(pl.col("plain") == pl.col("plain_other"))
        .then(0)
        .when(~far)
        .then(1)
        .when(pl.col("at") < pl.col("at_other"))
        .then(2)
        .otherwise(3),
    )


def matched(
    frame: pl.DataFrame,
    compared: pl.DataFrame,
    per_parent: int | None,
    stages: Sequence[str] = STAGES,
) -> PairResult:
    """The pairs of `compared` (`row` beats `row_other`) that came to the last stage, each once.

    `frame` holds all rows with `problem`, `group`, `plain`, `prompt`, `answer` and `number`,
    `stages` the reasons of those that came no farther.
    """
    last = len(stages) - 1
    order = ["group", -pl.col("lead"), "id", "id_other", "row", "row_other"]
    passed = compared.filter(pl.col("stage") == last).sort(order)
    passed = passed.unique(["group", "plain", "plain_other"], keep="first", maintain_order=True)
    if per_parent is not None:
        passed = passed.filter(pl.int_range(pl.len()).over("group") < per_parent)
    return PairResult(_pairs(frame, passed), _rows(frame, compared, passed, stages))


def _pairs(frame: pl.DataFrame, passed: pl.DataFrame) -> pl.DataFrame:
    shared = ("row", "prompt", "tools", "source", "line")
    chosen = frame.select(*shared, chosen="answer", score_chosen="number")
    rejected = frame.select(row_other="row", rejected="answer", score_rejected="number")
    pairs = passed.select("row", "row_other", parent="group")
    joined = pairs.join(chosen, on="row", how="left", maintain_order="left").join(
        rejected, on="row_other", how="left", maintain_order="left"
    )
    return joined.select(PAIRS.names()).cast(PAIRS)


def _rows(
    frame: pl.DataFrame, compared: pl.DataFrame, passed: pl.DataFrame, stages: Sequence[str]
) -> pl.DataFrame:
    last = len(stages) - 1
    sides = [compared.select("stage", row=name) for name in ("row", "row_other")]
    best = pl.concat(sides).group_by("row").agg(pl.col("stage").max())
    used = pl.concat([passed.select("row"), passed.select(row="row_other")])
    counts = used.group_by("row").agg(pairs=pl.len().cast(pl.UInt32))
    rows = frame.select("row", "problem", "group", "plain")
    for table in (best, counts):
        rows = rows.join(table, on="row", how="left", maintain_order="left")
    rows = rows.with_columns(
        # Only what came to the last stage can be like what is in the pairs and not be in them.
        repeats=(pl.col("stage") == last)
        & pl.col("pairs").is_not_null().any().over("group", "plain")
    )
    reasons = {"alone": pl.col("stage").is_null(), "repeated": pl.col("repeats")}
    reasons |= {slug: pl.col("stage") == stage for stage, slug in enumerate(stages)}
    return rows.select(
        "row",
        pl.col("pairs").fill_null(0),
        reason=pl.when(pl.col("pairs").is_null()).then(first_reason(reasons, "problem")),
    )
