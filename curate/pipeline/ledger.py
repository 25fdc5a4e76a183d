"""The ledger: one line for every verdict on every row, in the order in which they fell."""

from __future__ import annotations

import polars as pl

from curate.base.schema import text_of

LEDGER = pl.Schema(
    {
        "row": pl.UInt32,
        "id": pl.String,
        "source": pl.String,
        "line": pl.UInt32,
        "step": pl.String,
        "verdict": pl.String,  # keep, drop or edited
        "reason": pl.String,
        "score": pl.Float64,
        "duplicate_of": pl.UInt32,
        "evidence": pl.String,
    }
)

# What is kept of it while a run is under way: of a fix only the rows that it edited, with the id
# that they had before. `raw` is the score as it came where `score` is calibrated.
_VERDICT: dict[str, pl.DataType | type[pl.DataType]] = {
    "row": pl.UInt32,
    "id": pl.String,
    "verdict": pl.Enum(["keep", "drop", "edited"]),
    "reason": pl.Categorical(),
    "score": pl.Float64,
    "duplicate_of": pl.UInt32,
    "evidence": pl.String,
    "raw": pl.Float64,
}
VERDICT = pl.Schema(_VERDICT)

CALIBRATED = ".calibrated"

# What the report counts of every record, as the last step left it: one line each, in row order.
LENGTHS = pl.Schema(
    {
        "row": pl.UInt32,
        "kept": pl.Boolean,
        "words": pl.UInt32,  # of all that the assistant says, between white space
        "category": pl.String,
    }
)


def lines(step: str, verdicts: pl.DataFrame, about: pl.DataFrame) -> pl.DataFrame:
    """A step's verdicts as lines: `LEDGER`. `about` has `row`, `source` and `line` of the rows."""
    where = about.select("row", "source", "line")
    joined = verdicts.join(where, on="row", how="left", maintain_order="left")
    return joined.with_columns(step=pl.lit(step)).select(LEDGER.names()).cast(LEDGER)


def scores(step: str, verdicts: pl.DataFrame) -> pl.DataFrame:
    """The scores that a step gave: `row`, `step` and `score`, by the names that say what they are.

    A score as it came has the step's name, one that the step calibrated is `STEP.calibrated`.
    """
    # What an earlier version kept of a run that goes on has no raw scores.
    verdicts = pl.concat([pl.DataFrame(schema=VERDICT), verdicts], how="diagonal")
    named = pl.when(pl.col("raw").is_null()).then(pl.lit(step))
    judged = verdicts.select("row", "score", step=named.otherwise(pl.lit(f"{step}{CALIBRATED}")))
    raw = verdicts.select("row", score="raw", step=pl.lit(step))
    return pl.concat([raw, judged], how="diagonal").filter(pl.col("score").is_not_null())


def read_lines(about: pl.DataFrame) -> pl.DataFrame:
    """The lines that say of each row that it was read."""
    read = about.select("row", "id", "source", "line", step=pl.lit("read"), verdict=pl.lit("keep"))
    return pl.concat([pl.DataFrame(schema=LEDGER), read], how="diagonal_relaxed")


def lengths(records: pl.DataFrame, kept: pl.Series) -> pl.DataFrame:
    """`LENGTHS` of records."""
    response = text_of(pl.col("messages"), assistant=True)
    words = response.str.count_matches(r"\S+")
    return records.select("row", kept=kept, words=words, category="category")


def count_reasons(reasons: pl.Series) -> dict[str, int]:
    """How often each slug occurs, commonest first, then by name."""
    counts = reasons.alias("reason").value_counts(name="count")
    ordered = counts.sort("count", "reason", descending=[True, False])
    return dict(ordered.iter_rows())
