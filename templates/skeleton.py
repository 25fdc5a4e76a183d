"""Where data stands in a rendered text, remembered by the shape of the conversation.

Tracing every row costs as much as rendering it four times. Most rows of a set have one shape
(the same roles and fields), for which a template writes the same words around the data. So the
first row of a shape is traced; for the next ones its skeleton is filled with their data, and
accepted only if the result is the rendered text, character for character.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from templates.messages import Chat
from templates.provenance import Leaf, Span

Shape = tuple[tuple[str, ...], ...]


class Slot(NamedTuple):
    """Where a leaf goes, and on which sides it is trimmed."""

    leaf: int
    left: bool
    right: bool

    def fill(self, text: str) -> tuple[str, int]:
        """What stands in the slot, and how many characters of the leaf were trimmed before it."""
        kept = text.lstrip() if self.left else text
        trimmed = len(text) - len(kept)
        return (kept.rstrip() if self.right else kept), trimmed


class Skeleton(NamedTuple):
    """The template's own words and the slots between them, in order."""

    parts: tuple[str | Slot, ...]

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


def shape_of(chat: Chat) -> Shape | None:
    """What rows must share to share a skeleton; None for tools, whose JSON is never remembered."""
    if chat.tools or any("tool_calls" in message for message in chat.messages):
        return None
    return tuple((message["role"], *message) for message in chat.messages)


def learn(text: str, spans: Sequence[Span], leaves: Sequence[Leaf]) -> Skeleton | None:
    """The skeleton of a traced text; None if a leaf was changed beyond trimming, or repeated."""
    numbers = {id(leaf): number for number, leaf in enumerate(leaves)}
    parts: list[str | Slot] = []
    seen: set[int] = set()
    place = 0
    for span in spans:
        number = numbers[id(span.leaf)]
        whole = span.leaf.text
        before, after = whole[: span.offset], whole[span.offset + span.stop - span.start :]
        if number in seen or before.strip() or after.strip():
            return None
        if text[span.start : span.stop] != whole[span.offset : len(whole) - len(after)]:
            return None
        seen.add(number)
        parts += [text[place : span.start], Slot(number, bool(before), bool(after))]
        place = span.stop
    return Skeleton((*parts, text[place:]))
