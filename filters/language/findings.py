"""What `language` finds out about the set as a whole."""

from __future__ import annotations

from typing import Any

import polars as pl

from curate.base.contract import Findings

NAMED = 5  # languages in the sentence; the numbers have them all


def counted(measures: pl.DataFrame, keep: pl.Series, min_confidence: float) -> Findings:
    """Rows and kept rows by language; `unsure` and `abstained` stand beside the languages."""
    sure = pl.col("confidence") >= min_confidence
    lines = (
        measures.select(
            language=pl.when(pl.col("language").is_null())
            .then(pl.lit("abstained"))
            .when(sure)
            .then("language")
            .otherwise(pl.lit("unsure")),
            kept=keep,
        )
        .group_by("language")
        .agg(rows=pl.len(), kept=pl.col("kept").sum())
        .sort("rows", "language", descending=[True, False])
    )
    found = {name: {"rows": rows, "kept": kept} for name, rows, kept in lines.iter_rows()}
    beside = {name: found.pop(name, {"rows": 0, "kept": 0}) for name in ("unsure", "abstained")}
    thresholds = {"min_confidence": min_confidence}
    numbers: dict[str, Any] = {"languages": found, **beside, "thresholds": thresholds}
    return Findings((_sentence(found, beside, measures.height),), numbers)


def _sentence(
    found: dict[str, dict[str, int]], beside: dict[str, dict[str, int]], rows: int
) -> str:
    if not rows:
        return "no rows to tell the language of"
    parts = [f"{_percent(count['rows'], rows)} {name}" for name, count in found.items()]
    if len(parts) > NAMED:
        rest = sum(count["rows"] for count in list(found.values())[NAMED:])
        others = len(parts) - NAMED
        parts[NAMED:] = [
            f"{_percent(rest, rows)} in {others} other language{'s' if others > 1 else ''}"
        ]
    explained = {"unsure": "unsure", "abstained": "too little text to tell"}
    parts += [
        f"{_percent(count['rows'], rows)} {explained[name]}"
        for name, count in beside.items()
        if count["rows"]
    ]
    return ", ".join(parts)


def _percent(part: int, whole: int) -> str:
    return "<0.1 %" if part * 1000 < whole else f"{100 * part / whole:.1f} %"
