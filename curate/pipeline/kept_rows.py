"""A run's rows in its files: lines that every reader takes, and all there is as a table."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Self

import orjson
import polars as pl

from curate.base.json_text import needs_exact
from curate.base.messages import even_messages, fields_in, message_json
from curate.base.schema import KEPT_ROWS, MESSAGE_FIELDS, SCORES
from curate.pipeline import ledger

# What the ledger says of a drop, beside the record that was dropped.
OF_A_DROP = ("step", "reason", "duplicate_of", "evidence")
DROPPED_ROWS = pl.Schema({**KEPT_ROWS, **{name: ledger.LEDGER[name] for name in OF_A_DROP}})


def with_scores(records: pl.LazyFrame, given: pl.DataFrame) -> pl.LazyFrame:
    """Records with `scores`: those that steps gave (`row`, `step`, `score`), in their order."""
    pair = pl.struct("step", "score").alias("scores")
    given = given.filter(pl.col("score").is_not_null())
    by_row = given.group_by("row", maintain_order=True).agg(pair)
    joined = records.join(by_row.lazy(), on="row", how="left", maintain_order="left")
    none = pl.lit([], dtype=SCORES)
    return joined.with_columns(pl.col("scores").cast(SCORES).fill_null(none))


def write_lines(path: Path, lines: Iterable[bytes]) -> None:
    """Write a file of lines."""
    with path.open("wb") as file:
        file.writelines(line + b"\n" for line in lines)


class LineShape:
    """What all lines of a file have in common, known once all of its rows were looked at.

    `sides` are the conversations of a row, `more` further columns. Every line has the same fields
    of the same types, and none is null, so that any reader takes them, whichever rows come first:
    tools and calls are JSON text, an absent text is `""`, an absent whole number -1. A column of
    other numbers that some rows lack is in no line (see `in_lines`).
    """

    def __init__(self, more: Sequence[str] = (), sides: Sequence[str] = ("messages",)) -> None:
        self.more, self.sides = list(more), sides
        self.fields: tuple[str, ...] = ()
        self.uses_tools = False

    def look_at(self, rows: pl.DataFrame) -> Self:
        """Take into account what these rows have."""
        found = {*self.fields, *fields_in(*[rows[side] for side in self.sides])}
        self.fields = tuple(name for name in MESSAGE_FIELDS if name in found)
        has_tools = rows["tools"].null_count() < rows.height
        self.uses_tools = self.uses_tools or has_tools or "tool_calls" in found
        there = [name for name in self.more if name in rows.columns]
        lacking = {*there} - {*in_lines(rows, there)}
        self.more = [name for name in self.more if name not in lacking]
        return self

    def write(self, rows: pl.DataFrame, file: BinaryIO) -> None:
        """Write the lines: `id` if rows have one, the conversations, tools if any row has some."""
        names = [*(["tools"] if self.uses_tools else []), *self.more]
        absent = {name: _absent(rows.schema[name]) for name in names}
        columns = [
            *(["id"] if "id" in rows.columns else []),
            *[even_messages(rows[side], self.fields) for side in self.sides],
            *[
                pl.col(name) if value is None else pl.col(name).fill_null(value)
                for name, value in absent.items()
            ],
        ]
        rows.select(columns).write_ndjson(file)


def write_conversations(
    path: Path, rows: pl.DataFrame, more: Sequence[str] = (), sides: Sequence[str] = ("messages",)
) -> None:
    """Write a file of lines that holds these rows and no others: see `LineShape`."""
    with path.open("wb") as file:
        LineShape(more, sides).look_at(rows).write(rows, file)


def in_lines(rows: pl.DataFrame, names: Sequence[str]) -> list[str]:
    """Those columns that lines of JSON can hold without a null."""
    return [
        name
        for name in names
        if _absent(rows.schema[name]) is not None or not rows[name].null_count()
    ]


def _absent(kind: pl.DataType) -> str | int | None:
    """What stands for a missing value of this type; None where any value could be one."""
    return "" if kind == pl.String else -1 if kind.is_integer() else None


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
