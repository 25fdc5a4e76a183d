"""What a rubric's template sees of a row. Nothing is cut."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from curate.base.schema import MESSAGE_FIELDS

Row = Mapping[str, Any]  # columns of `RECORDS`, and `reference` where the row has one

# What a template may read, beside `way` and `aspect`.
NAMES = (
    "messages", "system", "instruction", "response", "reference", "category", "tools", "boundary",
)  # fmt: skip
_SPEAKERS = {"system": "System", "user": "User", "assistant": "Assistant", "tool": "Tool"}


def variables(row: Row, reads: Collection[str]) -> dict[str, Any]:
    """The values of `NAMES` for a row.

    `instruction` is what the last answer answers: one message as it is, several as a transcript
    that ends in the last of them. The system prompt and the tools stand at its start if the
    template reads them nowhere else (`reads`). `response` is the last answer's text, and its tool
    calls as JSON; messages after it are in `messages` alone.
    """
    messages = [_message(message) for message in row.get("messages") or ()]
    last = max((at for at, one in enumerate(messages) if one["role"] == "assistant"), default=None)
    asked = messages[:last]
    system = "\n\n".join(one["content"] for one in asked if one["role"] == "system")
    tools = row.get("tools") or ""
    first: list[tuple[str, str]] = []
    if "messages" not in reads and "system" not in reads:
        first.append(("System", system))
    if "tools" not in reads:
        first.append(("Tools", tools))
    turns = [(_speaker(one), spoken(one)) for one in asked if one["role"] != "system"]
    mark = ""
    if "boundary" in reads:
        mark = boundary([*map(spoken, messages), system, tools, row.get("reference") or ""])
    return {
        "messages": messages,
        "system": system,
        "instruction": transcript([*((name, text) for name, text in first if text), *turns]),
        "response": "" if last is None else spoken(messages[last]),
        "reference": row.get("reference"),
        "category": row.get("category"),
        "tools": tools or None,
        "boundary": mark,
    }


def transcript(turns: Sequence[tuple[str, str]]) -> str:
    """Turns with who speaks before each; a single one of the user's is its text alone.

    >>> transcript([("User", "Hi"), ("Assistant", "Hello."), ("User", "Add 2 and 2.")])
    'User: Hi\\n\\nAssistant: Hello.\\n\\nUser: Add 2 and 2.'
    >>> transcript([("User", "Hi")])
    'Hi'
    """
    if len(turns) == 1 and turns[0][0] == "User":
        return turns[0][1]
    return "\n\n".join(f"{name}: {text}" for name, text in turns)


def spoken(message: Mapping[str, Any]) -> str:
    """A message's text and its tool calls, as JSON on the next line."""
    parts = (message.get("content"), message.get("tool_calls"))
    return "\n".join(str(part) for part in parts if part)


def boundary(texts: Sequence[str]) -> str:
    """16 hex digits that occur in none of the texts, so that no text can close its own frame.

    The same texts give the same digits.
    """
    base = hashlib.blake2b("\x1e".join(texts).encode("utf-8", "surrogatepass"), digest_size=32)
    salt = 0
    while True:  # a second turn would need a text that holds a part of its own hash
        base.update(salt.to_bytes(8, "big"))
        mark = base.hexdigest()[:16]
        if not any(mark in text for text in texts):
            return mark
        salt += 1


def _message(message: Mapping[str, Any]) -> dict[str, Any]:
    """A message with all its fields, texts never null."""
    absent = {name: message.get(name) or "" for name in MESSAGE_FIELDS if name != "weight"}
    return {**absent, "weight": message.get("weight")}


def _speaker(message: Mapping[str, Any]) -> str:
    role = str(message["role"])
    return _SPEAKERS.get(role, role)
