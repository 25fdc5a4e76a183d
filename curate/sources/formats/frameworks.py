"""Chat messages as LlamaIndex and Haystack write them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from curate.sources.shared.convert import (
    Conversation,
    Message,
    Row,
    checked,
    labelled,
    list_of,
    object_of,
    text_of,
    tool_schemas,
)
from curate.sources.shared.parts import Part, as_json, blocks_of, result, unread, with_parts
from curate.sources.shared.turns import message_of

_LISTS = ("messages", "conversation", "conversations")
ToParts = Callable[[dict[str, Any], str], list[Part]]


def _name(row: Row, fits: Callable[[list[Any]], bool]) -> str | None:
    """The list of messages, if it is as it should be."""
    for name in _LISTS:
        if name in row:
            turns = row[name]
            return name if isinstance(turns, list) and fits(turns) else None
    return None


def _read(row: Row, name: str, parts: ToParts, beside: str) -> list[Conversation]:
    notes: set[str] = set()
    messages: list[Message] = []
    for position, turn in enumerate(row[name], 1):
        where = f"message {position}"
        turn = object_of(turn, where)
        extra = turn.get(beside)
        extra = extra if isinstance(extra, dict) else {}
        base = message_of({**extra, **turn, "content": None}, position)
        read = parts(turn, where)
        if any(part.kind == "call" for part in read):
            base.pop("tool_calls", None)  # the same calls, as the provider wrote them
        messages += with_parts(base, read, where, notes)
    tools, said = tool_schemas(row.get("tools")), tuple(sorted(notes))
    return [labelled(row, checked(messages), (name, "tools"), tools=tools, notes=said)]


def is_llama_index(row: Row) -> bool:
    """`{messages: [{role, blocks: [{block_type: text, text}], additional_kwargs}]}`."""
    return _name(row, _has_blocks) is not None


def _has_blocks(turns: list[Any]) -> bool:
    first = turns[0] if turns else None
    if not isinstance(first, dict) or "blocks" not in first:
        return False
    return isinstance(first["blocks"], list) and "role" in first and first.get("content") is None


def llama_index(row: Row) -> list[Conversation]:
    """Blocks of text, thoughts and calls; other calls stand in `additional_kwargs`."""
    return _read(row, _name(row, _has_blocks) or _LISTS[0], _blocks, "additional_kwargs")


def _blocks(turn: dict[str, Any], where: str) -> list[Part]:
    if turn.get("blocks") is None:
        return [Part("text", text_of(turn.get("content"), f"{where} content"))]
    parts = []
    for number, block in enumerate(list_of(turn["blocks"], f"{where} blocks"), 1):
        block = object_of(block, f"{where} block {number}")
        match block.get("block_type") or "text":
            case "text":
                parts.append(Part("text", text_of(block.get("text"), where)))
            case "thinking":
                parts.append(Part("thought", text_of(block.get("content"), where)))
            case "tool_call":
                call = {"id": block.get("tool_call_id"), "name": block.get("tool_name")}
                parts.append(Part("call", {**call, "arguments": block.get("tool_kwargs")}))
            case kind:
                raise unread(where, number, kind, "only text, thinking and tool_call")
    return parts


def is_haystack(row: Row) -> bool:
    """`{messages: [{role, content: [{text} | {tool_call} | {tool_call_result}], meta}]}`."""
    return _name(row, _is_of_haystack) is not None


_CALLS = frozenset({"tool_call", "tool_call_result"})


def _is_of_haystack(turns: list[Any]) -> bool:
    first = turns[0] if turns else None
    if isinstance(first, dict) and "_role" in first and "_content" in first:
        return True
    return any(not _CALLS.isdisjoint(block) and "type" not in block for block in blocks_of(turns))


def haystack(row: Row) -> list[Conversation]:
    """A part is named by its only key; old versions write the fields with an underscore."""
    name = _name(row, _is_of_haystack) or _LISTS[0]
    turns = [_new(turn) for turn in row[name]]
    return _read({**row, name: turns}, name, _parts, "")


def _new(turn: Any) -> Any:
    if not isinstance(turn, dict) or "_role" not in turn:
        return turn
    return {name.removeprefix("_"): value for name, value in turn.items()}


def _parts(turn: dict[str, Any], where: str) -> list[Part]:
    content = turn.get("content")
    if not isinstance(content, list):
        return [Part("text", text_of(content, f"{where} content"))]
    return [_part(part, where, number) for number, part in enumerate(content, 1)]


def _part(part: Any, where: str, number: int) -> Part:
    part = object_of(part, f"{where} part {number}")
    kinds = [name for name in part if part[name] is not None and name != "type"]
    match kinds:
        case []:
            return Part("text", "")
        case ["text"]:
            return Part("text", text_of(part["text"], f"{where} part {number}"))
        case ["reasoning"]:
            thought = object_of(part["reasoning"], f"{where} reasoning")
            return Part("thought", text_of(thought.get("reasoning_text"), f"{where} reasoning"))
        case ["tool_call"]:
            call = object_of(part["tool_call"], f"{where} tool_call")
            given = {"id": call.get("id"), "name": call.get("tool_name")}
            return Part("call", {**given, "arguments": call.get("arguments")})
        case ["tool_call_result"]:
            answer = object_of(part["tool_call_result"], f"{where} tool_call_result")
            origin = object_of(answer.get("origin") or {}, f"{where} origin")
            content = as_json(answer.get("result"), f"{where} result")
            return result(content, origin.get("id"), origin.get("tool_name"), where)
    raise unread(where, number, ", ".join(map(str, kinds)), "only text, reasoning and calls")
