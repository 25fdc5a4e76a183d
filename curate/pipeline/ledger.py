"""The ledger: one line for every verdict on every row, in the order in which they fell."""

from __future__ import annotations

import polars as pl

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

# What the report counts of every record, as the last step left it: one line each, in row order.
LENGTHS = pl.Schema(
    {
        "row": pl.UInt32,
        "kept": pl.Boolean,
        "words": pl.UInt32,  # of all that the assistant says, between white space
        "category": pl.String,
    }
)


def step_rows(step: str, records: pl.DataFrame, verdicts: pl.DataFrame) -> pl.DataFrame:
    """One step's verdicts on the records it saw, as ledger lines."""
    verdict = pl.when("keep").then(pl.lit("keep")).otherwise(pl.lit("drop"))
    where = records.select("row", "id", "source", "line")
    judged = verdicts.with_columns(step=pl.lit(step), verdict=verdict)
    return pl.concat([where, judged.drop("keep")], how="horizontal").select(LEDGER.names())


def without_judgement(
    step: str, verdict: str, records: pl.DataFrame, reasons: pl.Series | None = None
) -> pl.DataFrame:
    """Ledger lines on what is no step's judgement: a row was read, or a fix edited it.

    `records` are the rows as they were before, `reasons` those of the edits.
    """
    lines = records.select("row", "id", "source", "line")
    lines = lines.with_columns(step=pl.lit(step), verdict=pl.lit(verdict), reason=reasons)
    return pl.concat([pl.DataFrame(schema=LEDGER), lines], how="diagonal_relaxed")


def lengths(records: pl.DataFrame, kept: pl.Series) -> pl.DataFrame:
    """`LENGTHS` of records with their derived texts."""
    words = pl.col("response").str.count_matches(r"\S+")
    return records.select("row", kept=kept, words=words, category="category")


def count_reasons(reasons: pl.Series) -> dict[str, int]:
    """How often each slug occurs, commonest first, then by name."""
    counts = reasons.alias("reason").value_counts(name="count")
    ordered = counts.sort("count", "reason", descending=[True, False])
    return dict(ordered.iter_rows())
