"""What the runner does with one filter: measure, join, judge."""

from __future__ import annotations

from typing import Any

import polars as pl

from curate.base.contract import VERDICTS, Filter


def measures_of(step: Filter, records: pl.DataFrame, **earlier: Any) -> pl.DataFrame:
    """What `judge` sees; `earlier` are columns of earlier steps, `step__column=values`."""
    known = records.select(
        "row",
        "id",
        **{f"record.{name}": pl.col(name) for name in ("source", "score", "category")},
    )
    more = [pl.Series(name.replace("__", "."), values) for name, values in earlier.items()]
    own = step.measure(records)
    assert own.height == records.height
    return pl.concat([known.with_columns(more), own], how="horizontal")


def judged(step: Filter, records: pl.DataFrame, **earlier: Any) -> pl.DataFrame:
    """The verdicts, checked for shape and for a known reason on every drop."""
    found = step.judge(measures_of(step, records, **earlier)).verdicts
    assert found.schema == VERDICTS
    assert found.height == records.height
    dropped = found.filter(~pl.col("keep"))
    assert set(dropped["reason"]) <= set(step.reasons)
    assert dropped["evidence"].null_count() == 0
    assert found.filter("keep")["reason"].null_count() == int(found["keep"].sum())
    return found


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
        "has_input": [False] * count,
        "asks": [""] * count,
        "finished": [True] * count,
    }
    return pl.DataFrame({**plain, **columns})
