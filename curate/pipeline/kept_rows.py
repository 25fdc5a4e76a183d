"""A run's rows in its files: lines that every reader takes, and all there is as a table."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import orjson
import polars as pl

from curate.base.json_text import needs_exact
from curate.base.messages import even_json, fields_in, message_json
from curate.base.schema import RECORDS
from curate.pipeline import ledger

# What the ledger says of a drop, beside the record that was dropped.
OF_A_DROP = ("step", "reason", "duplicate_of", "evidence")
_SCORES = pl.List(pl.Struct({"step": pl.String, "score": pl.Float64}))
# `kept.parquet` and `dropped.parquet`: the same columns for every run, whatever its rows have.
KEPT_ROWS = pl.Schema({**RECORDS, "scores": _SCORES})
DROPPED_ROWS = pl.Schema({**KEPT_ROWS, **{name: ledger.LEDGER[name] for name in OF_A_DROP}})


def with_scores(records: pl.DataFrame, verdicts: pl.DataFrame) -> pl.DataFrame:
    """Records with `scores`: of each step that gave one, in the order of the steps."""
    pair = pl.struct("step", "score").alias("scores")
    given = verdicts.filter(pl.col("score").is_not_null())
    by_row = given.group_by("row", maintain_order=True).agg(pair)
    joined = records.join(by_row, on="row", how="left", maintain_order="left")
    none = pl.lit([], dtype=_SCORES)
    return joined.with_columns(pl.col("scores").cast(_SCORES).fill_null(none))


def write_lines(path: Path, lines: Iterable[bytes]) -> None:
    """Write a file of lines."""
    with path.open("wb") as file:
        file.writelines(line + b"\n" for line in lines)


def conversation_lines(rows: pl.DataFrame, more: Sequence[str] = ()) -> Iterator[bytes]:
    """Lines of JSON with `id`, `messages`, `tools` where any row has some, and the columns `more`.

    Every line has the same fields of the same types, and none is null, so that any reader takes
    them, whichever rows come first: tools and calls are JSON text, `""` for none, a row that
    duplicates none says -1.
    """
    fields = fields_in(rows["messages"])
    uses_tools = "tool_calls" in fields or rows["tools"].null_count() < rows.height
    if uses_tools and "tool_calls" not in fields:
        fields = (*fields, "tool_calls")
    absent = [pl.col(name).fill_null(-1 if rows.schema[name].is_integer() else "") for name in more]
    tools = [pl.col("tools").fill_null("")] if uses_tools else []
    texts = even_json(rows["messages"], fields)
    values = rows.select("id", *tools, *absent).iter_rows(named=True)
    for messages, value in zip(texts, values, strict=True):
        yield orjson.dumps({"id": value.pop("id"), "messages": orjson.Fragment(messages), **value})


def row_objects(rows: pl.DataFrame) -> Iterator[dict[str, Any]]:
    """Rows of `kept.parquet` or `dropped.parquet` as plain objects, with all that they hold.

    Messages are those that chat templates read, `scores` is by step; `rejected` and `meta` are
    there where any of the rows has some. Integers of any size stay as they are.
    """
    texts = zip(message_json(rows["messages"]), message_json(rows["rejected"]), strict=True)
    filled = {"rejected": rows["rejected"].is_not_null(), "meta": rows["meta"] != "{}"}
    further = [name for name, has in filled.items() if has.any()]
    for (messages, rejected), row in zip(texts, rows.iter_rows(named=True), strict=True):
        yield {
            "id": row["id"],
            "messages": _loaded(messages),
            "tools": _loaded(row["tools"]) if row["tools"] else None,
            **{name: row[name] for name in ("source", "line", "category", "score")},
            **{name: row[name] for name in OF_A_DROP if name in row},
            "scores": {each["step"]: each["score"] for each in row["scores"]},
            **({"rejected": _loaded(rejected)} if "rejected" in further else {}),
            **({"meta": None if row["meta"] == "{}" else row["meta"]} if "meta" in further else {}),
        }


def _loaded(text: str) -> Any:
    data = text.encode()
    return (json if needs_exact(data) else orjson).loads(data)
