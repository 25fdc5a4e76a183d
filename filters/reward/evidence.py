"""Reason and evidence of the rows that a reward step drops: expressions over what it worked out."""

from __future__ import annotations

import math
from typing import Any

import polars as pl

from filters.common.given_scores import LARGEST


def reason_of(min_score: float | None) -> pl.Expr:
    """The reason of each row that is not kept: the first rule it failed."""
    failed = {
        "not_scorable": pl.col("problem").is_not_null(),
        "no_score": pl.col("raw").is_null(),
        "below_min_score": pl.col("raw") < (-math.inf if min_score is None else min_score),
        "not_best_of_prompt": ~pl.col("first"),
        "no_clear_winner": ~pl.col("clear"),
        "not_in_top": ~pl.col("top"),
        "not_best_graded": pl.lit(True),
    }
    first = pl.coalesce(pl.when(so).then(pl.lit(reason)) for reason, so in failed.items())
    return pl.when(~pl.col("kept")).then(first)


def evidence_of(step: Any, source: str, kept: int) -> pl.Expr:
    """What stands behind each reason; null where there is none.

    `step` is the `Reward` whose settings the sentences name, `source` where its scores come from,
    `kept` how many rows its rules on scores keep. Where the best grade of a judge would have been
    enough, it is said that a row has it not either.
    """
    # What rules on scores keep is not all that is kept where a judge's grade counts, too.
    passed = "kept" if step.judge_by is None else "within the rules on scores"
    raw, score = pl.col("raw").round(4), pl.col("score").round(4)
    lead, known = pl.col("lead").round(4), raw.drop_nulls()
    alike = pl.lit("all scores are equal, so ids decided; ")
    ids = pl.when(known.min() == known.max()).then(alike).otherwise(pl.lit(""))
    scored = pl.format(
        f"score {{}} ({step.calibrate}), as it came {{}}, {{}} words", score, raw, "length"
    )
    place = pl.col("place") + 1
    evidence = {
        "not_scorable": pl.col("problem"),
        "no_score": pl.lit(f"no number under {LARGEST:g} in {source}"),
        "below_min_score": pl.format(f"as it came {{}}, min_score is {step.min_score}", raw),
        "not_best_of_prompt": pl.format(
            f"place {{}} of {{}} answers, {step.per_prompt} {passed}; {{}}",
            place,
            "answers",
            scored,
        ),
        "no_clear_winner": pl.format(f"leads by {{}}, margin is {step.margin}", lead),
        "not_in_top": pl.format(f"{{}}rank {{}}, {kept} {passed}; {{}}", ids, "rank", scored),
        "not_best_graded": _grade(step.judge_by),
    }
    found = pl.coalesce(
        pl.when(pl.col("reason") == reason).then(text) for reason, text in evidence.items()
    )
    either = step.judge_by is not None and step.combine == "or"
    return pl.format("{}; {}", found, _grade(step.judge_by)) if either else found


def _grade(judge_by: str | None) -> pl.Expr:
    """What the judge says of a row that has not the best grade."""
    best = pl.col("grade").max()
    grade = pl.format(f"its grade in {judge_by} is {{}}, the best one is {{}}", "grade", best)
    return pl.coalesce(grade, pl.format(f"no grade in {judge_by}; the best one is {{}}", best))
