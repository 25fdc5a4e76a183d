"""Verdicts by cases: the first that holds for a row is its reason."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

# A reason, where it holds, and what the evidence for it is.
Case = tuple[str, pl.Expr, pl.Expr]


def first_case(frame: pl.DataFrame, cases: Sequence[Case]) -> pl.DataFrame:
    """`reason` and `evidence` of each row's first case, null where none holds."""
    reason, evidence = pl.lit(None, dtype=pl.String), pl.lit(None, dtype=pl.String)
    for slug, holds, span in reversed(cases):
        reason = pl.when(holds).then(pl.lit(slug)).otherwise(reason)
        evidence = pl.when(holds).then(span).otherwise(evidence)
    return frame.select(reason=reason, evidence=evidence)
