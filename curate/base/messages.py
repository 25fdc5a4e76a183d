"""Conversations as the JSON of our files: with the field names that chat templates read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from curate.base.json_text import dumps, loads_exact
from curate.base.schema import MESSAGE_FIELDS

# How a message's fields are called in the files: the names that chat templates read.
_WRITTEN = {name: name for name in MESSAGE_FIELDS} | {"reasoning": "reasoning_content"}


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
        written["tool_calls"] = [
            openai_call(call["name"], call["arguments"], {"id": call["id"]} if "id" in call else {})
            for call in loads_exact(calls)
        ]
    return written


def openai_call(name: str, arguments: Any, named: Mapping[str, Any]) -> dict[str, Any]:
    """A tool call as an object of OpenAI's API; `named` holds its `id` where it has one.

    >>> openai_call("add", {"a": 1}, {"id": "c1"})
    {'id': 'c1', 'type': 'function', 'function': {'name': 'add', 'arguments': {'a': 1}}}
    """
    return {**named, "type": "function", "function": {"name": name, "arguments": arguments}}
