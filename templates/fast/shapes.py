"""The shape of a conversation, and its texts in order."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from templates.messages import ANSWER_FIELDS, Message
from templates.spans import TracedText

Shape = tuple[tuple[str, ...], ...]


def shape_of(messages: Sequence[Message], tools: object) -> Shape | None:
    """What rows must share to share a skeleton: roles and fields, in order.

    None for tools and tool calls, whose JSON is never remembered.
    """
    if tools is not None:
        return None
    for message in messages:
        for value in message.values():
            if value.__class__ is not str:
                return None
    return tuple([(message["role"], *message) for message in messages])


def traced_texts(messages: Sequence[Message]) -> list[TracedText]:
    """The texts of messages without tool calls, in the order in which they are traced."""
    return [
        TracedText(0, value, number, key, key in ANSWER_FIELDS)
        for number, message in enumerate(messages)
        for key, value in message.items()
        if key not in ("role", "thinking")
    ]


def standing_for(messages: Sequence[Message], values: Iterable[Any]) -> list[Message]:
    """The messages with other values for their texts, given in the order of `traced_texts`."""
    left = iter(values)
    filled: list[Message] = []
    for message in messages:
        new: Message = {}
        for key, value in message.items():
            if key == "thinking":  # another name of reasoning_content, the same text
                new[key] = new["reasoning_content"]
            else:
                new[key] = value if key == "role" else next(left)
        filled.append(new)
    return filled
