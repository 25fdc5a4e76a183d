"""Calls of tools that a template rendered into the turns: Hermes' and Qwen's `<tool_call>`."""

from __future__ import annotations

import json
import re
from typing import Any

from curate.sources.formats.chats import is_messages, messages, sharegpt
from curate.sources.shared.convert import Conversation, Message, Reject, Row, tool_schemas
from curate.sources.shared.literals import python_value
from curate.sources.shared.written_calls import calls_of, json_texts, tagged

TOOLS = "`<tools>` in a system prompt became tools, and what a template writes around them left it"
CALLS = "`<tool_call>` and `<tool_response>` inside texts became calls and tool messages"
KEPT = "a `<tool_call>` inside a text is no call that can be read: the row's calls stay text"
BRACKETS = "calls written as `[name(argument=value)]` stay text: the system prompt asks for them"
# Nemotron's sets write a list of calls between marks of their own.
_OTHER_MARKS = {"TOOLCALL": "tool_call", "TOOL_RESPONSE": "tool_response"}
_LISTS = ("conversations", "messages", "conversation", "items")

_TOOLS = re.compile(r"<tools>\s*(?=[\[{])")
# The paragraph that Hermes' and Qwen's templates write around the tools.
_OPENS = re.compile(
    r"(?:# Tools\s+)?(?:You are a function calling AI model\. ?)?"
    r"(?:You may call one or more functions to assist with the user query\.\s+)?"
    r"You are provided with function signatures within <tools>"
)


def is_hermes(row: Row) -> bool:
    """Turns with `<tool_call>` texts, and `<tools>` in the system prompt or tools of the row."""
    turns = next((row[name] for name in _LISTS if isinstance(row.get(name), list)), None)
    if not turns:
        return False
    texts = [text for turn in turns if isinstance(text := _text(turn), str)]
    if not any(mark in text for text in texts if "<" in text for mark in _MARKS):
        return False
    return bool(row.get("tools")) or any(
        "<tools>" in text for text in (texts[0], row.get("system")) if isinstance(text, str)
    )


_MARKS = ("<tool_call>", "<tool_response>", "<TOOLCALL>", "<TOOL_RESPONSE>")


def _text(turn: Any) -> Any:
    return turn.get("value", turn.get("content")) if isinstance(turn, dict) else None


def hermes(row: Row) -> list[Conversation]:
    """The turns with calls as calls, responses as tool messages, and the listed tools as tools.

    Where one of the texts is no call that can be read, all of them stay as they are.
    """
    return [_with_calls(one) for one in (messages if is_messages(row) else sharegpt)(row)]


def _with_calls(read: Conversation) -> Conversation:
    try:
        system, tools = _system_and_tools(read.messages)
        turns = [turn for at, one in enumerate(read.messages, 1) for turn in _turns_of(one, at)]
    except Reject:
        return read._replace(notes=(*read.notes, KEPT))
    if system is not None:
        turns = ([{**turns[0], "content": system}] if system else []) + turns[1:]
    notes = (*read.notes, *((TOOLS,) if system is not None else ()), CALLS)
    return read._replace(messages=turns, tools=read.tools or tools, notes=notes)


def _system_and_tools(turns: list[Message]) -> tuple[str | None, str | None]:
    """The system prompt without the tools and what templates write around them, and the tools."""
    first = turns[0]["content"] if turns[0]["role"] == "system" else ""
    listed = _TOOLS.search(first)
    if listed is None:
        return None, None
    texts, rest = json_texts(first[listed.end() :])
    if not rest.startswith("</tools>"):
        raise Reject("wrong_type", "<tools> holds something that is no JSON")
    one_list = len(texts) == 1 and texts[0].startswith("[")
    tools = tool_schemas(texts[0] if one_list else f"[{', '.join(texts)}]")
    opens = _OPENS.search(first)
    begin, end = listed.start(), len(first) - len(rest) + len("</tools>")
    if opens and opens.start() < begin:
        begin = opens.start()
        end = max(end, first.rfind("</tool_call>") + len("</tool_call>"))
    parts = (first[:begin].strip(), first[end:].strip())
    return "\n\n".join(part for part in parts if part), tools


def _turns_of(turn: Message, position: int) -> list[Message]:
    text, where = turn["content"], f"message {position}"
    for other, mark in _OTHER_MARKS.items():
        text = text.replace(f"<{other}>", f"<{mark}>").replace(f"</{other}>", f"</{mark}>")
    if turn["role"] == "assistant" and "<tool_call>" in text:
        content, calls = tagged(text, "tool_call", where)
        if turn.get("tool_calls"):
            raise Reject("wrong_type", f"{where} has calls in its text and beside it")
        written = calls_of([each for one in calls for each in _calls_in(one)], where)
        return [{**turn, "content": content, "tool_calls": written}]
    if turn["role"] in ("tool", "user") and "<tool_response>" in text:
        outside, results = tagged(text, "tool_response", where)
        if outside:
            raise Reject("wrong_type", f"{where} says more than <tool_response>")
        return [{**turn, "role": "tool", "content": result} for result in results]
    return [turn]


def _calls_in(written: str) -> list[str]:
    """One call as JSON, or each of a list of them."""
    if not written.startswith("["):
        return [_as_json(written)]
    texts, rest = json_texts(written[1:])
    if rest.strip() != "]":
        raise Reject("wrong_type", "a list of calls is not valid JSON")
    return texts


def _as_json(call: str) -> str:
    """A call as JSON; Hermes also wrote calls as Python's dicts, with single quotes."""
    if not call.startswith("{'"):
        return call
    value = python_value(call)
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise Reject("wrong_type", f"a call cannot be kept as JSON ({error})") from error


def is_bracket_calls(row: Row) -> bool:
    """ToolACE: turns, and a system prompt that asks for calls as `[name(argument=value)]`."""
    system = row.get("system")
    return (
        isinstance(system, str)
        and isinstance(row.get("conversations"), list)
        and "[func_name1(" in system
    )


def bracket_calls(row: Row) -> list[Conversation]:
    """The turns as they stand: the calls are text, in the form that the system prompt asks for."""
    read = (messages if is_messages(row) else sharegpt)(row)
    return [one._replace(notes=(*one.notes, BRACKETS)) for one in read]
