"""Conversations as JSON, with the field names that chat templates read."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import polars as pl

from curate.base.json_text import dumps, loads_exact
from curate.base.schema import MESSAGE_FIELDS

# How a message's fields are called in the files: the names that chat templates read.
_WRITTEN = {name: name for name in MESSAGE_FIELDS} | {"reasoning": "reasoning_content"}
_OPTIONAL = tuple(name for name in MESSAGE_FIELDS if name not in ("role", "content"))


def fields_in(*conversations: pl.Series) -> tuple[str, ...]:
    """The optional fields that a message of these columns has, in the order of `MESSAGE_FIELDS`."""
    lines = [flat(column) for column in conversations]
    return tuple(
        name for name in _OPTIONAL if any(len(each) > each[name].null_count() for each in lines)
    )


def even_messages(conversations: pl.Series, fields: Collection[str]) -> pl.Series:
    """The conversations with messages that all have the same fields, none a null, as files do.

    So every reader of JSON Lines gets one type, whatever stands in the first rows. `fields` are
    those of `fields_in`. Absent texts are `""`, calls are JSON text, and a message that gives no
    weight has 1 if it is the assistant's and 0 otherwise. A missing conversation is `[]`.
    """
    element = pl.element().struct.field
    filled = {name: element(name).fill_null("") for name in ("role", "content", *_OPTIONAL)}
    by_role = pl.when(element("role") == "assistant").then(1.0).otherwise(0.0)
    filled["weight"] = pl.coalesce(element("weight"), by_role)
    if "tool_calls" in fields:
        calls = openai_texts(conversations)
        filled["tool_calls"] = filled["tool_calls"].replace(calls["tool_calls"], calls["openai"])
    written = [
        value.alias(_WRITTEN[name])
        for name, value in filled.items()
        if name in ("role", "content") or name in fields
    ]
    frame = conversations.fill_null(pl.lit([], dtype=conversations.dtype)).to_frame("messages")
    even = pl.col("messages").list.eval(pl.struct(written))
    return frame.select(even.alias(conversations.name)).to_series()


def flat(conversations: pl.Series) -> pl.DataFrame:
    """All messages, one a line: `at`, the number of its conversation, and the fields of `MESSAGE`.

    Conversations that are missing or empty have no line.
    """
    numbers = pl.int_range(len(conversations), dtype=pl.UInt32, eager=True)
    at = numbers.repeat_by(conversations.list.len().fill_null(0)).explode(empty_as_null=False)
    messages = conversations.explode(empty_as_null=False, keep_nulls=False)
    return messages.struct.unnest().with_columns(at=at)


def _calls_as_text(calls: pl.Series) -> pl.Series:
    # A loop over the messages: JSON in JSON is nothing that columns can rewrite.
    texts = [dumps(_openai_calls(text)) if text else "" for text in calls]
    return pl.Series("tool_calls", texts, dtype=pl.String)


def openai_texts(conversations: pl.Series) -> pl.DataFrame:
    """`tool_calls` of these conversations, each text once, and `openai`, the same as files have it.

    >>> from curate.base.schema import MESSAGES
    >>> calls = '[{"name":"add","arguments":{}}]'
    >>> turn = {"role": "assistant", "content": "", "tool_calls": calls}
    >>> openai_texts(pl.Series([[turn, turn]], dtype=MESSAGES))["openai"].to_list()
    ['[{"type":"function","function":{"name":"add","arguments":{}}}]']
    """
    calls = flat(conversations)["tool_calls"].drop_nulls().unique(maintain_order=True)
    return pl.DataFrame([calls, _calls_as_text(calls).alias("openai")])


def message_json(messages: pl.Series) -> list[str]:
    """Each conversation as a JSON list of messages, without absent fields."""
    column, element = pl.col("messages"), pl.element().struct
    optional = [field for field in MESSAGE_FIELDS if field not in ("role", "content")]
    has_more = pl.any_horizontal(*[element.field(field).is_not_null() for field in optional])
    short = pl.struct(m=column.list.eval(pl.struct(element.field("role", "content"))))
    frame = messages.alias("messages").to_frame()
    frame = frame.with_columns(plain=~column.list.eval(has_more).list.any().fill_null(False))
    frame = frame.with_columns(text=pl.when("plain").then(short.struct.json_encode()))
    # Only the conversations with other fields are taken one by one: 10 microseconds each.
    others = map(_long_form, frame.filter(pl.col("text").is_null())["messages"])
    return [
        next(others) if text is None else text[len('{"m":') : -1]
        for text in frame["text"].to_list()
    ]


def _long_form(conversation: pl.Series) -> str:
    return dumps([_message(message) for message in conversation])


def _message(message: dict[str, Any]) -> dict[str, Any]:
    written = {_WRITTEN[key]: value for key, value in message.items() if value is not None}
    calls = written.pop("tool_calls", None)
    if calls is not None:
        written["tool_calls"] = _openai_calls(calls)
    return written


def _openai_calls(calls: str) -> list[dict[str, Any]]:
    return [
        openai_call(call["name"], call["arguments"], {"id": call["id"]} if "id" in call else {})
        for call in loads_exact(calls)
    ]


def openai_call(name: str, arguments: Any, named: Mapping[str, Any]) -> dict[str, Any]:
    """A tool call as an object of OpenAI's API; `named` holds its `id` where it has one.

    >>> openai_call("add", {"a": 1}, {"id": "c1"})
    {'id': 'c1', 'type': 'function', 'function': {'name': 'add', 'arguments': {'a': 1}}}
    """
    return {**named, "type": "function", "function": {"name": name, "arguments": arguments}}
