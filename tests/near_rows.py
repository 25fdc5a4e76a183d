"""Rows for the tests of `exact` and `near`: literal conversations in, verdicts out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from curate.base.schema import RECORDS, content_id, with_text
from curate.pipeline.judging import judge
from filters.common.shingles import Rule, Sets, sets_of_runs, shingle_runs

Row = tuple[str, str]


def records(rows: Sequence[Row | list[dict[str, Any]]], **columns: list[Any]) -> pl.DataFrame:
    """Records of (prompt, response) pairs or of whole lists of messages."""
    conversations = [
        row
        if isinstance(row, list)
        else [{"role": "user", "content": row[0]}, {"role": "assistant", "content": row[1]}]
        for row in rows
    ]
    filled = [
        [{name: message.get(name) for name in _FIELDS} for message in messages]
        for messages in conversations
    ]
    count = len(rows)
    tools = columns.get("tools", [None] * count)
    data: dict[str, Any] = {name: [None] * count for name in RECORDS}
    data |= {"row": range(count), "messages": filled, "tools": tools, **columns}
    data["id"] = [content_id(m, t) for m, t in zip(conversations, tools, strict=True)]
    return with_text(pl.DataFrame(data, schema=RECORDS))


_FIELDS = ("role", "content", "reasoning", "name", "tool_calls", "tool_call_id", "weight")


def shingle_sets(texts: pl.Series, rule: Rule) -> Sets:
    """The set of shingles of each text."""
    runs = shingle_runs([texts], rule)
    return sets_of_runs(runs, np.arange(len(texts)))


def dropped(
    step: Any, rows: Sequence[Row | list[dict[str, Any]]], **columns: Any
) -> dict[int, int]:
    """The row of every drop, and the row that it is a duplicate of."""
    frame = records(rows, **columns)
    found = judge(step, frame).verdicts.with_columns(frame["row"]).filter(~pl.col("keep"))
    return dict(zip(found["row"].to_list(), found["duplicate_of"].to_list(), strict=True))


def alpaca_rows(path: Path) -> list[Row]:
    """Prompt and response of a file of Alpaca's shape."""
    rows = json.loads(path.read_bytes())
    return [
        (row["instruction"] + ("\n" + row["input"] if row.get("input") else ""), row["output"])
        for row in rows
    ]


def family_rows(folder: Path, files: int, rows: int) -> list[Row]:
    """The first rows of the first files of a family: the same examples in other words."""
    found = []
    for path in sorted(folder.glob("*.jsonl"))[:files]:
        for line in path.read_text().splitlines()[:rows]:
            row = json.loads(line)
            found.append((row.get("prompt") or "", row.get("completion") or ""))
    return found
