"""Formats that hold a list of turns: ShareGPT and OpenAI messages."""

from __future__ import annotations

from typing import Any

import orjson

from curate.sources.convert import (
    Conversation,
    Message,
    Reject,
    Row,
    checked,
    described,
    labelled,
    list_of,
    object_of,
    role_of,
    system_of,
    text_of,
    tool_calls,
    tool_schemas,
)

_LISTS = ("conversations", "conversation", "items")


def is_sharegpt(row: Row) -> bool:
    """`{conversations: [{from, value}], system?, tools?}`."""
    return _turns_of(row, _LISTS, "from") is not None


def sharegpt(row: Row) -> list[Conversation]:
    """Turns as `from` and `value`; `function_call` values become tool calls of the assistant."""
    name = _turns_of(row, _LISTS, "from") or _LISTS[0]
    messages = system_of(row)
    for position, turn in enumerate(row[name], 1):
        messages.append(_sharegpt_turn(turn, position))
    return [_conversation(row, messages, (name, "system", "tools"))]


def _sharegpt_turn(turn: Any, position: int) -> Message:
    speaker = object_of(turn, f"message {position}").get("from")
    message: Message = {"role": role_of(speaker, position)}
    if speaker == "function_call":
        calls = turn.get("value")
        return {**message, "content": "", "tool_calls": tool_calls(calls, f"message {position}")}
    message["content"] = text_of(turn.get("value"), f"message {position}")
    return message | weight_of(turn, position)


def is_messages(row: Row) -> bool:
    """`{messages: [{role, content, ...}], tools?}`; `conversations` with roles are the same."""
    return _turns_of(row, ("messages", *_LISTS), "role") is not None


def messages(row: Row) -> list[Conversation]:
    """OpenAI chat messages: text or text parts, tool calls, names, reasoning, weights."""
    name = _turns_of(row, ("messages", *_LISTS), "role") or "messages"
    turns = system_of(row) + turns_in(row[name])
    tools = "tools" if row.get("tools") else "functions"
    return [_conversation(row, turns, (name, "system", tools), tools)]


def is_kept(row: Row) -> bool:
    """A line of `kept.jsonl` or `dropped.jsonl` with `rejected` or `meta`."""
    return {"messages", "source", "line", "scores"} <= set(row) and not {
        "rejected",
        "meta",
    }.isdisjoint(row)


def kept(row: Row) -> list[Conversation]:
    """The record as it was before `curate run` wrote it, its other fields restored."""
    (read,) = messages(row)
    rejected = turns_in(row["rejected"]) if row.get("rejected") else None
    try:
        meta = orjson.loads(row.get("meta") or "{}")
    except (orjson.JSONDecodeError, TypeError) as error:
        raise Reject("wrong_type", f"meta is {described(row['meta'])}; expected JSON") from error
    meta = object_of(meta, "meta")
    return [read._replace(used=(*read.used, "rejected", "meta"), rejected=rejected, meta=meta)]


def message_of(turn: Any, position: int) -> Message:
    """One turn of OpenAI messages or ShareGPT as a message."""
    if isinstance(turn, dict) and "from" in turn and "role" not in turn:
        return _sharegpt_turn(turn, position)
    where = f"message {position}"
    turn = object_of(turn, where)
    message: Message = {
        "role": role_of(turn.get("role"), position),
        "content": content_of(turn.get("content"), where),
    }
    reasoning = turn.get("reasoning_content") or turn.get("reasoning") or turn.get("thinking")
    if reasoning:
        message["reasoning"] = text_of(reasoning, f"{where} reasoning")
    calls = tool_calls(turn.get("tool_calls") or turn.get("function_call"), f"{where} tool_calls")
    if calls:
        message["tool_calls"] = calls
    for key in ("name", "tool_call_id"):
        if turn.get(key):
            message[key] = text_of(turn[key], f"{where} {key}")
    return message | weight_of(turn, position)


def content_of(content: Any, where: str) -> str:
    """A message's text: a string, null, or a list of text parts (joined as they stand)."""
    if not isinstance(content, list):
        return text_of(content, f"{where} content")
    texts = []
    for number, part in enumerate(content, 1):
        if isinstance(part, str):
            texts.append(part)
            continue
        kind = part.get("type", "text") if isinstance(part, dict) else described(part)
        text = part.get("text", part.get("value")) if isinstance(part, dict) else None
        if kind != "text" or not isinstance(text, str):
            detail = f"{where} has a part {number} of type {kind!r}; only text parts are supported"
            raise Reject("wrong_type", detail)
        texts.append(text)
    return "".join(texts)


def turns_in(turns: Any) -> list[Message]:
    """A list of turns in either dialect as messages."""
    listed = list_of(turns, "the list of messages")
    return [message_of(turn, position) for position, turn in enumerate(listed, 1)]


# Per-message loss controls under the names that the known trainers use; True means trained.
MOST_WEIGHT = 1_000
_WEIGHTS = ("weight", "loss_weight", "loss", "loss_scale", "train", "training", "trainable")


def weight_of(turn: Row, position: int) -> Message:
    """`{"weight": w}` from any spelling of a per-message loss control, or nothing.

    Two controls that disagree are a reject: training on a turn its owner masked cannot be undone.
    """
    given = [name for name in _WEIGHTS if turn.get(name) is not None]
    weights = {name: _weight(turn[name], name, position) for name in given}
    if turn.get("masked") is not None:
        weights["masked"] = 1.0 - _weight(turn["masked"], "masked", position)
    if len(set(weights.values())) > 1:
        listed = ", ".join(f"{name}={value:g}" for name, value in weights.items())
        raise Reject("wrong_type", f"message {position} has loss controls that disagree: {listed}")
    return {"weight": next(iter(weights.values()))} if weights else {}


def _weight(value: Any, name: str, position: int) -> float:
    if isinstance(value, int | float) and 0 <= value <= MOST_WEIGHT:
        return float(value)
    wrong = f"message {position}: {name} is {described(value)}"
    raise Reject("wrong_type", f"{wrong}; expected a number from 0 to {MOST_WEIGHT}")


def _turns_of(row: Row, names: tuple[str, ...], key: str) -> str | None:
    """The first named field that is a list whose first object has `key`; empty lists count."""
    for name in names:
        turns = row.get(name)
        if isinstance(turns, list):
            first = next((turn for turn in turns if isinstance(turn, dict)), None)
            if first is None and not any(isinstance(turn, str) for turn in turns):
                return name
            if first is not None and key in first:
                return name
    return None


def _conversation(
    row: Row, messages: list[Message], used: tuple[str, ...], tools: str = "tools"
) -> Conversation:
    return labelled(row, checked(messages), used, tools=tool_schemas(row.get(tools)))
