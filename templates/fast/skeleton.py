"""Where data stands in a rendered text, by the shape of the conversation.

Tracing every row costs as much as rendering it four times. Most rows of a set have one shape
(the same roles and fields), for which a template that can be traced (see `symbolic.py`) writes
the same words around the data; its skeleton is filled with theirs.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from templates.messages import ANSWER_FIELDS, Message
from templates.spans import Span, TracedText

Shape = tuple[tuple[str, ...], ...]


class Trim(NamedTuple):
    """White space taken from the left or right of a text: `characters`, or all of it."""

    left: bool
    right: bool
    characters: str | None = None

    def apply(self, text: str) -> tuple[str, int]:
        """What is left, and how many characters were taken before it."""
        kept = text.lstrip(self.characters) if self.left else text
        taken = len(text) - len(kept)
        return (kept.rstrip(self.characters) if self.right else kept), taken


class Slot(NamedTuple):
    """Where a text of the data goes, and how it is trimmed, one after the other."""

    source: int
    trims: tuple[Trim, ...] = ()

    def fill(self, text: str) -> tuple[str, int]:
        """What stands in the slot, and how many characters of the text were trimmed before it."""
        trimmed = 0
        for trim in self.trims:
            text, taken = trim.apply(text)
            trimmed += taken
        return text, trimmed


Part = str | Slot


class Skeleton(NamedTuple):
    """The template's own words and the slots between them, in order."""

    parts: tuple[Part, ...]

    def fill(self, sources: Sequence[TracedText]) -> tuple[str, list[Span]]:
        """The text that these texts would give, and where they would stand in it."""
        text, spans, _ = self.placed(sources)
        return text, spans

    def placed(self, sources: Sequence[TracedText]) -> tuple[str, list[Span], list[int]]:
        """The text that these texts would give, where they would stand in it, and where each part
        would start; the end of the text comes last.
        """
        words: list[str] = []
        starts: list[int] = []
        spans: list[Span] = []
        place = 0
        for part in self.parts:
            starts.append(place)
            if isinstance(part, Slot):
                source = sources[part.source]
                word, trimmed = part.fill(source.text)
                if word:
                    spans.append(Span(place, place + len(word), source, trimmed))
            else:
                word = part
            words.append(word)
            place += len(word)
        starts.append(place)
        return "".join(words), spans, starts


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
