"""Where data stands in a rendered text, by the shape of the conversation.

Tracing every row costs as much as rendering it four times. Most rows of a set have one shape
(the same roles and fields), for which a template that can be traced (see `symbolic.py`) writes
the same words around the data; its skeleton is filled with theirs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from templates.spans import Span, TracedText


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
