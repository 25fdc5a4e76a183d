"""Rows as `Length.judge` sees them."""

from __future__ import annotations

from typing import Any

import polars as pl


def of_lengths(*lengths: int, ids: list[str] | None = None, **columns: Any) -> pl.DataFrame:
    """A frame as `Length.judge` sees it, for answers of these lengths."""
    count = len(lengths)
    plain: dict[str, Any] = {
        "row": pl.Series(range(count), dtype=pl.UInt32),
        "id": ids or [f"{number:016x}" for number in range(count)],
        "record.source": ["test.jsonl"] * count,
        "record.score": pl.Series([None] * count, dtype=pl.Float64),
        "record.category": pl.Series([None] * count, dtype=pl.String),
        "length": pl.Series(lengths, dtype=pl.UInt32),
        "task": pl.Series(["write"] * count, dtype=pl.String),
        "has_input": pl.Series([False] * count, dtype=pl.Boolean),
        "asks": pl.Series([""] * count, dtype=pl.String),
        "finished": pl.Series([True] * count, dtype=pl.Boolean),
    }
    return pl.DataFrame({**plain, **columns})
