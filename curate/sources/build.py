"""Conversations into columns: a flat list of messages, folded into one list per row at the end."""

from __future__ import annotations

import datetime
from typing import Any

import orjson
import polars as pl

from curate.schema import MESSAGE, MESSAGE_FIELDS, MESSAGES, RECORDS, content_id
from curate.sources.convert import Conversation, Message, Row


class Builder:
    """Collects conversations and gives them back as a Records frame."""

    def __init__(self) -> None:
        self._chunks: list[pl.DataFrame] = []
        self._rows = 0
        self._clear()

    def _clear(self) -> None:
        self._columns: dict[str, list[Any]] = {
            name: [] for name in RECORDS if name not in ("row", "messages", "rejected")
        }
        self._messages: list[list[Message]] = []
        self._rejected: list[list[Message] | None] = []

    def add(self, source: str, line: int, row: Row, found: Conversation) -> None:
        """Append one conversation; fields of the raw row it did not use go to `meta`."""
        columns = self._columns
        columns["id"].append(content_id(found.messages, found.tools))
        columns["source"].append(source)
        columns["line"].append(line)
        columns["tools"].append(found.tools)
        columns["score"].append(found.score)
        columns["category"].append(found.category)
        columns["meta"].append(_meta(row, found.used))
        self._messages.append(found.messages)
        self._rejected.append(found.rejected)
        if len(self._messages) >= 20_000:
            self._flush()

    def frame(self) -> pl.DataFrame:
        """All records so far, with `row` counted from 0."""
        self._flush()
        return pl.concat(self._chunks) if self._chunks else pl.DataFrame(schema=RECORDS)

    def _flush(self) -> None:
        height = len(self._messages)
        if not height:
            return
        series = [
            pl.int_range(self._rows, self._rows + height, dtype=pl.UInt32, eager=True).alias("row"),
            _folded("messages", self._messages),
            _folded("rejected", self._rejected),
        ]
        series += [
            pl.Series(name, values, dtype=RECORDS[name]) for name, values in self._columns.items()
        ]
        self._chunks.append(pl.DataFrame(series).select(RECORDS.names()))
        self._rows += height
        self._clear()


def _folded(name: str, conversations: Any) -> pl.Series:
    """A column of message lists out of Python lists; several times faster than from dicts."""
    flat = [message for messages in conversations for message in messages or ()]
    if not flat:
        return pl.Series(name, [None] * len(conversations), dtype=MESSAGES)
    lengths = [0 if messages is None else len(messages) for messages in conversations]
    rows = pl.Series(range(len(lengths)), dtype=pl.UInt32)
    plain = all(len(message) == 2 for message in flat)
    columns = [
        pl.lit(None, field.dtype).alias(field.name)
        if plain and field.name not in ("role", "content")
        else pl.Series(field.name, [message.get(field.name) for message in flat], field.dtype)
        for field in MESSAGE.fields
    ]
    table = pl.select(rows.gather(_repeat(lengths)).alias("at"), *columns)
    folded = table.group_by("at", maintain_order=True).agg(pl.struct(MESSAGE_FIELDS).alias(name))
    joined = pl.DataFrame({"at": rows}).join(folded, on="at", how="left", maintain_order="left")
    return joined[name].cast(MESSAGES)


def _repeat(lengths: list[int]) -> pl.Series:
    import numpy as np

    return pl.Series(np.repeat(np.arange(len(lengths), dtype=np.uint32), lengths))


def _meta(row: Row, used: tuple[str, ...]) -> str:
    rest = {key: value for key, value in row.items() if key not in used}
    return orjson.dumps(rest, default=_plain, option=orjson.OPT_NON_STR_KEYS).decode()


def _plain(value: Any) -> Any:
    """Values that parquet files hold and JSON does not."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, datetime.timedelta):
        return value.total_seconds()
    return str(value)
