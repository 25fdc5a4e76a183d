"""Where data stands in a rendered text, by the shape of the conversation.

Tracing every row costs as much as rendering it four times. Most rows of a set have one shape
(the same roles and fields), for which a template that can be followed (see `symbolic.py`) writes
the same words around the data; its skeleton is filled with theirs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from templates.messages import Message
from templates.sandbox.provenance import Leaf, Span

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
    """Where a leaf goes, and how it is trimmed, one after the other."""

    leaf: int
    trims: tuple[Trim, ...] = ()

    def fill(self, text: str) -> tuple[str, int]:
        """What stands in the slot, and how many characters of the leaf were trimmed before it."""
        trimmed = 0
        for trim in self.trims:
            text, taken = trim.apply(text)
            trimmed += taken
        return text, trimmed


Part = str | Slot


class Skeleton(NamedTuple):
    """The template's own words and the slots between them, in order."""

    parts: tuple[Part, ...]

    def fill(self, leaves: Sequence[Leaf]) -> tuple[str, list[Span]]:
        """The text that these leaves would give, and where they would stand in it."""
        words: list[str] = []
        spans: list[Span] = []
        place = 0
        for part in self.parts:
            if isinstance(part, Slot):
                leaf = leaves[part.leaf]
                word, trimmed = part.fill(leaf.text)
                if word:
                    spans.append(Span(place, place + len(word), leaf, trimmed))
            else:
                word = part
            words.append(word)
            place += len(word)
        return "".join(words), spans


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
