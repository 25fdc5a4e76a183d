"""Pairs that somebody compared: every two answers to one prompt, in both orders."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from curate.base.errors import CurateError
from curate.pairs.grouped import matched
from curate.pairs.shape import PairResult, answers, field

# How far a pair came, and why an answer is in no pair if none of its pairs came farther.
_STAGES = ("same_answer", "no_verdict", "not_preferred", "over_limit")
MOST_ANSWERS = 10  # to one prompt: 45 comparisons of two questions each


@dataclass(frozen=True)
class Comparison:
    """Two answers to one prompt: messages of the prompt, and of each answer."""

    prompt: Sequence[dict[str, Any]]
    first: Sequence[dict[str, Any]]
    second: Sequence[dict[str, Any]]
    tools: str | None = None


# From comparisons to how far the first answer of each is preferred to the second: above 0 if it
# is, below 0 if the second is, 0.0 for neither; None where nobody can say. At most 1 either way.
Compare = Callable[[Sequence[Comparison]], Sequence[float | None]]


def of_comparisons(
    records: pl.DataFrame, compare: Compare, parent: str | None = None, per_parent: int | None = 1
) -> PairResult:
    """The pairs of which `compare` prefers one answer, of each prompt the clearest `per_parent`.

    Equal answers are not compared. `score_chosen` and `score_rejected` are the mean of what an
    answer was preferred by, over all it was compared with. `parent` is a field that keeps equal
    prompts of different posts apart. Raises `CurateError` where a prompt has more than 10 answers.
    """
    frame = answers(records)
    post = pl.lit("") if parent is None else field(records, parent).fill_null("")
    key = pl.concat_str(post, pl.lit("\x1c"), "asked")
    frame = frame.with_columns(group=pl.col("row").min().over(key))
    both = _every_two(frame.filter(pl.col("problem").is_null()))
    asked = both.filter(pl.col("plain") != pl.col("plain_other"))
    lead = pl.Series("lead", compare(_comparisons(frame, asked)), dtype=pl.Float64)
    judged = asked.select("row", "row_other").with_columns(lead)
    both = both.join(judged, on=["row", "row_other"], how="left", maintain_order="left")
    compared = _better_first(both).with_columns(
        stage=pl.when(pl.col("plain") == pl.col("plain_other")).then(0)
        .when(pl.col("lead").is_null()).then(1)
        .when(pl.col("lead") == 0).then(2)
        .otherwise(3)
    )  # fmt: skip
    means = _means(compared)
    frame = frame.join(means, on="row", how="left", maintain_order="left")
    return matched(frame, compared.with_columns(pl.col("lead").fill_null(0.0)), per_parent, _STAGES)


def _every_two(usable: pl.DataFrame) -> pl.DataFrame:
    """Every two answers of a prompt once, by id and row, so that orders of files do not matter."""
    counts = usable.group_by("group").len().sort("len", "group", descending=[True, False])
    if counts.height and counts["len"][0] > MOST_ANSWERS:
        row, most = counts.row(0)
        raise CurateError(
            f"pairs: one prompt (that of row {row}) has {most:,} answers, and a judge"
            f" compares at most {MOST_ANSWERS} with each other; name the field that tells posts"
            " apart in --parent, or score each"
            " answer (curate run with judge) and make pairs --from scores"
        )
    narrow = usable.select("row", "id", "group", "plain")
    both = narrow.join(narrow, on="group", suffix="_other")
    earlier = (pl.col("id") < pl.col("id_other")) | (
        (pl.col("id") == pl.col("id_other")) & (pl.col("row") < pl.col("row_other"))
    )
    return both.filter(earlier).sort("group", "id", "id_other", "row", "row_other")


def _comparisons(frame: pl.DataFrame, asked: pl.DataFrame) -> list[Comparison]:
    left = frame.select("row", "prompt", "answer", "tools")
    right = frame.select(row_other="row", answer_other="answer")
    rows = asked.join(left, on="row", how="left", maintain_order="left").join(
        right, on="row_other", how="left", maintain_order="left"
    )
    columns = rows.select("prompt", "answer", "answer_other", "tools")
    return [Comparison(*row) for row in columns.iter_rows()]


def _better_first(both: pl.DataFrame) -> pl.DataFrame:
    """The pairs with the better answer on the left."""
    turned = (pl.col("lead") < 0).fill_null(False)
    sides = [
        pl.when(turned).then(pl.col(f"{name}{other}")).otherwise(pl.col(f"{name}{own}"))
        .alias(f"{name}{own}")
        for name in ("row", "id", "plain")
        for own, other in (("", "_other"), ("_other", ""))
    ]  # fmt: skip
    return both.with_columns(*sides, pl.col("lead").abs())


def _means(compared: pl.DataFrame) -> pl.DataFrame:
    """`row` and `number`: the mean of what it was preferred by."""
    judged = compared.filter(pl.col("lead").is_not_null())
    sides = [
        judged.select(pl.col(name).alias("row"), number=sign * pl.col("lead"))
        for name, sign in (("row", 1.0), ("row_other", -1.0))
    ]
    return pl.concat(sides).group_by("row").agg(pl.col("number").mean())
