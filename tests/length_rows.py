"""Rows as `Length.judge` sees them."""

from __future__ import annotations

from typing import Any

import polars as pl

from filters.common.tasks import ASKS


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
        "task": ["write"] * count,
        "has_input": pl.Series([False] * count, dtype=pl.Boolean),
        "asks": [""] * count,
        "finished": pl.Series([True] * count, dtype=pl.Boolean),
    }
    codes: dict[str, Any] = {"task": pl.Categorical, "asks": ASKS}
    return pl.DataFrame({**plain, **columns}, schema_overrides=codes)
