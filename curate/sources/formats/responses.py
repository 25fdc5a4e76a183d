"""Items of OpenAI's Responses API: messages, reasoning, calls and their outputs in one list."""

from __future__ import annotations

from typing import Any

from curate.sources.shared.convert import (
    Conversation,
    Message,
    Reject,
    Row,
    checked,
    labelled,
    list_of,
    object_of,
    parsed,
    text_of,
    tool_schemas,
)
from curate.sources.shared.parts import (
    Part,
    as_json,
    beside,
    joined,
    result,
    server_tool,
    unread,
    weighted,
)
from curate.sources.shared.turns import message_of

_ITEMS = ("message", "reasoning", "function_call", "function_call_output")
_TEXTS = ("text", "input_text", "output_text", "summary_text", "reasoning_text")


def is_responses(row: Row) -> bool:
    """`{input: text | [item], output: text | [item], instructions?, tools?}` (Responses API)."""
    for name in ("output", "input"):
        for item in row[name] if isinstance(row.get(name), list) else ():
            if isinstance(item, dict) and item.get("type") in _ITEMS:
                return True
    asked, answers = row.get("input"), row.get("output")
    if not isinstance(asked, list) or not isinstance(answers, list | str | dict):
        return False
    return bool(asked) and all(isinstance(turn, dict) and "role" in turn for turn in asked)


def responses(row: Row) -> list[Conversation]:
    """Neighbouring items of the assistant are one message: its reasoning, its text, its calls."""
    notes: set[str] = set()
    before = _items(row.get("instructions"), "system")
    turns = [*before, *_items(row.get("input"), "user"), *_items(row.get("output"), "assistant")]
    read = [_turn(item, position, notes) for position, item in enumerate(turns, 1)]
    messages = joined(read, notes)
    if row.get("input") is None and not any(turn["role"] == "user" for turn in messages):
        raise Reject("orphan", "the output answers an input that is not in the row; join both")
    used = ("input", "output", "instructions", "tools")
    tools, said = schemas(row.get("tools")), tuple(sorted(notes))
    return [labelled(row, checked(messages), used, tools=tools, notes=said)]


def _items(value: Any, role: str) -> list[Any]:
    if value is None or value == "":
        return []
    if isinstance(value, dict):
        return [value]
    return [{"role": role, "content": value}] if isinstance(value, str) else list_of(value, role)


def _turn(item: Any, position: int, notes: set[str]) -> tuple[Message, list[Part]]:
    """An item as the message it is part of, still without content, and its parts."""
    where = f"item {position}"
    item = object_of(item, where)
    match item.get("type") or "message":
        case "message":
            base = message_of({**item, "content": None}, position)
            said = [Part("text", text) for text in _texts(item.get("content"), where)]
            return base, beside(base, said)
        case "reasoning":
            if item.get("encrypted_content"):
                notes.add("encrypted reasoning, which nobody can read, is left out")
            shown = _texts(item.get("content"), where) or _texts(item.get("summary"), where)
            base = weighted("assistant", item, position)
            return base, [Part("thought", text) for text in shown]
        case "function_call":
            call = {"id": item.get("call_id"), "name": item.get("name")}
            base = weighted("assistant", item, position)
            return base, [Part("call", {**call, "arguments": item.get("arguments")})]
        case "function_call_output":
            output = item.get("output")
            texts = _texts(output, where) if isinstance(output, list) else [as_json(output, where)]
            base = weighted("tool", item, position)
            return base, [result("\n\n".join(texts), item.get("call_id"), None, where)]
        case kind:
            known = "messages, reasoning, function calls and their outputs"
            raise Reject("wrong_type", f"{where} is of type {kind!r}; {known} are read")


def _texts(content: Any, where: str) -> list[str]:
    if not isinstance(content, list):
        return [text_of(content, where)] if content else []
    texts = []
    for number, part in enumerate(content, 1):
        kind = (part.get("type") or "text") if isinstance(part, dict) else part
        if kind == "refusal":
            texts.append(text_of(part.get("refusal"), where))
            continue
        if kind not in _TEXTS:
            raise unread(where, number, kind, "only texts")
        texts.append(text_of(part.get("text"), where))
    return texts


def schemas(value: Any) -> str | None:
    """Tools of the Responses API, whose functions have no wrapper, as JSON text."""
    functions = []
    for tool in list_of(parsed(value, "tools") or [], "tools"):
        tool = object_of(tool, "a tool")
        if "function" not in tool:
            kind = tool.get("type") or "function"
            if kind != "function":
                raise server_tool(kind)
            tool = {key: tool[key] for key in tool if key != "type"}
        functions.append(tool)
    return tool_schemas(functions)
