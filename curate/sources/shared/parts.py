"""Messages that are made of parts: texts, thoughts, calls of tools and what the tools gave back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, Literal, NamedTuple

from curate.base.json_text import dumps, loads_exact
from curate.sources.shared.controls import weight_of
from curate.sources.shared.convert import (
    Message,
    Reject,
    Row,
    described,
    text_of,
    tool_calls,
    tool_schemas,
)

MOVED = "thinking, text and calls of one message are in this order, which was another one"
_RANKS = {"thought": 0, "text": 1, "call": 2}


class Part(NamedTuple):
    """A part of a message: a text, a thought, a call `{id?, name, arguments}`, or a tool's result.

    The value of a result is a message of the role tool.
    """

    kind: Literal["text", "thought", "call", "result"]
    value: Any


@dataclass
class _Speech:
    """What one message says: no order can be kept between its texts and its calls."""

    said: dict[str, list[Any]] = field(default_factory=dict)
    rank: int = 0
    moved: bool = False

    def add(self, part: Part) -> None:
        rank = _RANKS[part.kind]
        self.moved = self.moved or rank < self.rank
        self.rank = max(rank, self.rank)
        self.said.setdefault(part.kind, []).append(part.value)

    def message(self, base: Message, glue: str, where: str) -> Message:
        message = {**base, "content": glue.join(self.said.get("text", ()))}
        if "thought" in self.said:
            message["reasoning"] = "\n\n".join(self.said["thought"])
        if "call" in self.said:
            message["tool_calls"] = tool_calls(self.said["call"], f"{where} tool call")
        return message


def messages_from(
    base: Message, parts: Iterable[Part], where: str, notes: set[str], glue: str = "\n\n"
) -> list[Message]:
    """The messages that the parts of one turn become; `base` holds its role, name and weight.

    A result of a tool ends the message before it. In a turn of the user the results come first:
    they answer the calls before it. A turn without parts is an empty message.
    """
    given = [part for part in parts if part.kind == "result" or part.value]
    if base["role"] != "assistant":
        given = _results_first(given, where, notes)
    messages: list[Message] = []
    speech = _Speech()
    for part in [*given, None]:
        if part is not None and part.kind != "result":
            speech.add(part)
            continue
        if speech.said or (part is None and not messages):
            messages.append(speech.message(base, glue, where))
        notes |= {MOVED} if speech.moved else set()
        speech = _Speech()
        if part is not None:
            messages.append(part.value | ({"weight": base["weight"]} if "weight" in base else {}))
    return messages


def _results_first(parts: Sequence[Part], where: str, notes: set[str]) -> list[Part]:
    if any(part.kind == "call" for part in parts):
        raise Reject("wrong_type", f"{where} calls a tool and is not the assistant's")
    ordered = sorted(parts, key=lambda part: part.kind != "result")
    if ordered != list(parts):
        notes.add("results of tools come before the text of the same message")
    return ordered


def joined(turns: Iterable[tuple[Message, list[Part]]], notes: set[str]) -> list[Message]:
    """Messages of turns and their parts; neighbours of the assistant of one weight are one."""
    messages: list[Message] = []
    for base, group in groupby(turns, key=lambda turn: turn[0]):
        each = [parts for _, parts in group]
        if base["role"] == "assistant":
            each = [[part for parts in each for part in parts]]
        for parts in each:
            messages += messages_from(base, parts, f"message {len(messages) + 1}", notes)
    return messages


def with_parts(
    base: Message, parts: list[Part], where: str, notes: set[str], glue: str = "\n\n"
) -> list[Message]:
    """`messages_from`, with reasoning and calls that stand in fields beside the parts."""
    return messages_from(base, beside(base, parts), where, notes, glue)


def beside(base: Message, parts: list[Part]) -> list[Part]:
    """The parts with the reasoning and the calls of `base`, which are taken out of it."""
    reasoning, calls = base.pop("reasoning", None), base.pop("tool_calls", None)
    before = [Part("thought", reasoning)] if reasoning else []
    after = [Part("call", call) for call in loads_exact(calls)] if calls else []
    return [*before, *parts, *after]


def result(content: str, call: Any, name: Any, where: str) -> Part:
    """What a tool gave back, with the id of the call and the name of the tool if they are told."""
    message: Message = {"role": "tool", "content": content}
    if call:
        message["tool_call_id"] = text_of(call, f"{where} id of the call")
    if name:
        message["name"] = text_of(name, f"{where} name of the tool")
    return Part("result", message)


def blocks_of(turns: Any) -> Iterator[dict[str, Any]]:
    """The objects in the contents of messages that are lists; asked of every row, so it is fast."""
    if isinstance(turns, list):
        for turn in turns:
            content = turn.get("content") if isinstance(turn, dict) else None
            if isinstance(content, list):
                for block in content:
                    if isinstance(block, dict):
                        yield block


def as_json(value: Any, where: str) -> str:
    """A text as it is, nothing as an empty text, and any other value as JSON text."""
    if value is None or isinstance(value, str):
        return value or ""
    try:
        return dumps(value)
    except TypeError as error:
        raise Reject("wrong_type", f"{where} cannot be kept as JSON ({error})") from error


def weighted(role: str, turn: Row, position: int) -> Message:
    """A message without content yet: its role, and its weight if it has a loss control."""
    return {"role": role, **weight_of(turn, position)}


def unread(where: str, number: int, kind: Any, what: str) -> Reject:
    """The reject for a part that is none of those that can be read; `what` lists these."""
    shown = repr(kind) if isinstance(kind, str) else described(kind)
    return Reject("wrong_type", f"{where} has a part {number} of type {shown}; {what} are read")


def server_tool(kind: Any) -> Reject:
    """The reject for a tool that runs at the provider: the row has no schema of it."""
    shown = repr(kind) if isinstance(kind, str) else described(kind)
    return Reject("wrong_type", f"the tool {shown} runs on a server; only functions are read")


def function_schemas(tools: Sequence[Any], parameters: Sequence[str]) -> str | None:
    """Schemas of functions as JSON text; a schema of parameters goes by one of these names."""
    return tool_schemas([_function(tool, parameters) for tool in tools])


def _function(tool: Any, parameters: Sequence[str]) -> Any:
    if not isinstance(tool, dict):
        raise Reject("wrong_type", f"a tool is {described(tool)}; expected an object")
    known = next((name for name in parameters if tool.get(name) is not None), None)
    if known is None:
        return tool
    rest = {key: value for key, value in tool.items() if key not in parameters}
    return {**rest, "parameters": tool[known]}
