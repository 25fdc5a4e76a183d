"""What holds for rows of any format, once it is known what was said in them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from curate.base.json_text import dumps, loads_exact
from curate.sources.formats.chats import TURN_LISTS
from curate.sources.shared.controls import row_controls, weighted
from curate.sources.shared.convert import (
    IMAGES,
    SYSTEMS,
    Conversation,
    Message,
    Reject,
    Row,
    system_of,
    tool_schemas,
)
from curate.sources.shared.tasks import material_text
from curate.sources.shared.thoughts import NOTE, opens_thought, split_thought

NULLS = "null arguments of calls that the tool does not have are left out"
WEIGHED = "`{}` of the row is the weight of its answers in training"


def finished(row: Row, one: Conversation, columns: Mapping[str, str]) -> Conversation:
    """The conversation with what stands beside it in fields of any format.

    That is the system's words, tools, material that a column is mapped to, and loss controls of
    the whole row. Raises `Reject` for a control that cannot be followed.
    """
    if not _SEEN.isdisjoint(row):
        _check_seen(row, one)
    if not _BESIDE.isdisjoint(row):
        one = _with_material(row, _with_tools(row, _with_system(row, one)), columns)
    if one.tools:
        one = _without_invented(row, one)
    one = _with_thoughts(one)
    controls = row_controls(row)
    if not controls:
        return one
    turns = next((len(row[name]) for name in TURN_LISTS if isinstance(row.get(name), list)), 0)
    messages = weighted(one.messages, controls, turns)
    notes = (*one.notes, *map(WEIGHED.format, controls))
    return one._replace(messages=messages, used=(*one.used, *controls), notes=notes)


# Where none of these fields is there, nothing stands beside the messages but loss controls.
_BESIDE = frozenset((*SYSTEMS, "tools", "functions", "context"))

_SEEN = frozenset(IMAGES)
_SEEN_MARKS = ("<image>", "<video>", "<audio>", "<|image|>", "<|image_1|>", "<image_1>")


def _check_seen(row: Row, one: Conversation) -> None:
    """Raise `Reject` where the words are about an image: the answer is no answer without it."""
    for name in IMAGES:
        value = row.get(name)
        if not value:
            continue
        marked = any(mark in turn["content"] for turn in one.messages for mark in _SEEN_MARKS)
        first = value[0] if isinstance(value, list) else value
        if marked or (isinstance(first, dict) and ("bytes" in first or "path" in first)):
            wrong = f"the conversation is about what {name} holds; only text can be read"
            raise Reject("wrong_type", f"{wrong}; to read the words alone, leave out the field")


def _with_thoughts(one: Conversation) -> Conversation:
    """Reasoning that an answer holds between marks stands in its own field."""
    if not any(opens_thought(message["content"]) for message in one.messages):
        return one
    messages, split = [], False
    for message in one.messages:
        content = message["content"]
        thought = (
            split_thought(content)
            if message["role"] == "assistant" and opens_thought(content)
            else None
        )
        if thought and not message.get("reasoning"):
            message = {**message, "content": thought.content, "reasoning": thought.reasoning}
            split = True
        messages.append(message)
    return one._replace(messages=messages, notes=(*one.notes, NOTE)) if split else one


def _with_system(row: Row, one: Conversation) -> Conversation:
    name = next((name for name in SYSTEMS if row.get(name)), None)
    if name is None or name in one.used:
        return one
    system = system_of(row)
    if any(message["role"] == "system" for message in one.messages):
        # Another one speaks as the system already; the words in the field are it, or left over.
        is_it = bool(system) and system[0] in one.messages
        return one._replace(used=(*one.used, name)) if is_it else one
    return one._replace(messages=system + one.messages, used=(*one.used, name))


def _with_tools(row: Row, one: Conversation) -> Conversation:
    name = next((name for name in ("tools", "functions") if row.get(name)), None)
    if name is None or one.tools is not None or name in one.used:
        return one
    try:
        tools = tool_schemas(row[name])
    except Reject:
        return one  # a column that is called so by chance: it is left over
    return one._replace(tools=tools, used=(*one.used, name)) if tools else one


def _with_material(row: Row, one: Conversation, columns: Mapping[str, str]) -> Conversation:
    """Material that the user mapped, and the format does not know, stands before the question."""
    if "context" not in columns or "context" in one.used or not row.get("context"):
        return one
    context = material_text(row["context"], "context")
    at = next((at for at, each in enumerate(one.messages) if each["role"] == "user"), None)
    if at is None or not context.strip():
        return one
    messages = list(one.messages)
    said: Message = messages[at]
    messages[at] = {**said, "content": f"{context}\n\n{said['content']}"}
    return one._replace(messages=messages, used=(*one.used, "context"))


def _without_invented(row: Row, one: Conversation) -> Conversation:
    """Calls without null arguments that no parameter of their tool is called like.

    Tables give every object the keys of all; written as JSON Lines, the nulls look genuine. The
    nulls of arguments that are JSON text are: no table reaches into a text.
    """
    if not any(":null" in message.get("tool_calls", "") for message in one.messages):
        return one
    objects = list(_objects_with_nulls(row))
    if not objects:
        return one
    known = dict(_parameters(loads_exact(one.tools or "[]")))
    messages, changed = [], False
    for message in one.messages:
        calls = loads_exact(message["tool_calls"]) if message.get("tool_calls") else []
        for call in calls:
            names, given = known.get(call["name"]), call["arguments"]
            if names is None or not isinstance(given, dict) or given not in objects:
                continue
            kept = {key: item for key, item in given.items() if item is not None or key in names}
            changed |= len(kept) < len(given)
            call["arguments"] = kept
        messages.append({**message, "tool_calls": dumps(calls)} if calls else message)
    return one._replace(messages=messages, notes=(*one.notes, NULLS)) if changed else one


def _objects_with_nulls(value: Any) -> Iterator[Mapping[str, Any]]:
    """The objects in a raw value, at any depth, that have a null of their own."""
    waiting = [value]
    while waiting:
        value = waiting.pop()
        if isinstance(value, Mapping):
            if None in value.values():
                yield value
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value


def _parameters(tools: list[Any]) -> Iterator[tuple[str, set[str]]]:
    """The names of the parameters of each tool that lists them."""
    for tool in tools:
        function = tool.get("function") if isinstance(tool, dict) else None
        if isinstance(function, dict) and isinstance(function.get("name"), str):
            schema = function.get("parameters")
            properties = schema.get("properties") if isinstance(schema, dict) else None
            if isinstance(properties, dict):
                yield function["name"], set(properties)
