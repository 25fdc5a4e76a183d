"""Records: one row per conversation, how its columns are named, and what is derived from them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
import polars as pl

ROLES = ("system", "user", "assistant", "tool")

MESSAGE = pl.Struct(
    {
        "role": pl.String,
        "content": pl.String,
        "reasoning": pl.String,
        "name": pl.String,
        # JSON: [{"name": ..., "arguments": {...}, "id"?: ...}]; arguments that are a text are JSON
        "tool_calls": pl.String,
        "tool_call_id": pl.String,
        "weight": pl.Float64,  # 0 = never trained; null = the default
    }
)
MESSAGES = pl.List(MESSAGE)
MESSAGE_FIELDS = tuple(field.name for field in MESSAGE.fields)

_COLUMNS: dict[str, pl.DataType | type[pl.DataType]] = {
    "row": pl.UInt32,
    "id": pl.String,
    "source": pl.String,
    "line": pl.UInt32,
    "messages": MESSAGES,
    "tools": pl.String,
    "rejected": MESSAGES,
    "score": pl.Float64,
    "category": pl.String,
    "meta": pl.String,
}
RECORDS = pl.Schema(_COLUMNS)
SCORES = pl.List(pl.Struct({"step": pl.String, "score": pl.Float64}))
# The rows that a run kept, as its table has them: the same columns whatever the rows have.
KEPT_ROWS = pl.Schema({**RECORDS, "scores": SCORES})

# What `with_text` adds to them.
TEXTS = ("prompt", "response")


def with_text(records: pl.DataFrame) -> pl.DataFrame:
    """Add the derived columns `prompt` (all that is not assistant) and `response` (all that is).

    Messages are joined by a blank line; reasoning and tool calls are not part of either text.
    """
    return records.with_columns(
        prompt=text_of(pl.col("messages"), assistant=False),
        response=text_of(pl.col("messages"), assistant=True),
    )


def text_of(messages: pl.Expr, *, assistant: bool) -> pl.Expr:
    """The contents of the assistant's messages, or of all others, joined by a blank line."""
    is_assistant = pl.element().struct.field("role") == "assistant"
    wanted = is_assistant if assistant else ~is_assistant
    contents = pl.element().filter(wanted).struct.field("content")
    return messages.list.eval(contents).list.join("\n\n", ignore_nulls=True).fill_null("")


def content_id(messages: Sequence[Mapping[str, Any]], tools: str | None = None) -> str:
    """16 hex digits that name a conversation: equal content gives an equal id, from any format.

    Reads role, content, reasoning, name, tool_calls and tool_call_id of each message and the
    tool schemas; absent, null and empty optional fields are the same. Training weights,
    provenance and scores are not content.

    >>> content_id([{"role": "user", "content": "hi"}])
    'b88cf9183e99a353'
    """
    canonical = [
        [message.get("role"), message.get("content") or ""]
        + [[name, message[name]] for name in _OPTIONAL if message.get(name)]
        for message in messages
    ]
    text = orjson.dumps([canonical, tools or None])
    return hashlib.blake2b(text, digest_size=8).hexdigest()


_OPTIONAL = ("reasoning", "name", "tool_calls", "tool_call_id")
