"""Excerpts of strangers' text: short, cut visibly, with what matters marked.

An excerpt is a list of pieces, so that the page can escape every piece and style it by kind.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from curate.base.terminal import printable

LIMIT = 400  # characters of text shown at once

# Words, runs of space, and single characters of scripts that do not put spaces between words.
_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]|[^\W\u3040-\u30ff\u3400-\u9fff]+|\s+|[^\w\s]")
Range = tuple[int, int]


class Piece(NamedTuple):
    """A stretch of text and what it is: `text`, `mark` (look here) or `cut` (words of ours)."""

    text: str
    kind: str = "text"


def excerpt(text: str, mark: str | None = None, limit: int = LIMIT) -> list[Piece]:
    """At most `limit` characters of `text`, around `mark` if the text holds it.

    >>> excerpt("abcdef", limit=4)
    [Piece(text='abcd', kind='text'), Piece(text='… 2 more characters', kind='cut')]
    """
    at = text.find(mark) if mark else -1
    if at < 0:
        return _cut(text, 0, limit, [(0, 0)])
    size = min(len(mark or ""), limit)
    start = 0 if at + size <= limit else at - (limit - size) // 3
    return _cut(text, start, start + limit, [(at, at + size)])


def _cut(text: str, start: int, end: int, marks: list[Range]) -> list[Piece]:
    """`text[start:end]` with the ranges `marks` marked, and what is left out counted."""
    end = min(end, len(text))
    pieces = [Piece(f"{_characters(start)} before …", "cut")] if start else []
    at = start
    for first, last in marks:
        first, last = max(first, at), min(last, end)
        if first < last:
            pieces += [Piece(printable(text[at:first])), Piece(printable(text[first:last]), "mark")]
            at = last
    pieces.append(Piece(printable(text[at:end])))
    if end < len(text):
        pieces.append(Piece(f"… {_characters(len(text) - end, 'more ')}", "cut"))
    return [piece for piece in pieces if piece.text]


def _characters(count: int, more: str = "") -> str:
    return f"{count:,} {more}character{'' if count == 1 else 's'}"


def side_by_side(one: str, other: str, limit: int = LIMIT) -> tuple[list[Piece], list[Piece]]:
    """Excerpts of two similar texts from shortly before their first difference on.

    Words that only one of them has are marked; a text that is the same is shown once.
    """
    if one == other:
        return excerpt(one, limit=limit), [Piece("(the same text)", "cut")]
    same = shared(one, other)
    start = 0
    if max(len(one), len(other)) > limit:  # the beginning of a word shortly before
        start = one.rfind(" ", 0, max(0, same - limit // 3)) + 1
    # Looking further than what is shown keeps the edge of the window from counting as different.
    ahead = start + 4 * limit
    words = [_WORD.findall(text[start:ahead]) for text in (one, other)]
    here, there = _differing(words[0], words[1], start)
    end = start + limit
    return _cut(one, start, end, here), _cut(other, start, end, there)


def shared(one: Sequence[Any], other: Sequence[Any]) -> int:
    """How many items two sequences have in common from their beginnings on.

    >>> shared("near", "neat")
    3
    """
    differ = (at for at, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1])
    return next(differ, min(len(one), len(other)))


def _differing(one: list[str], other: list[str], start: int) -> tuple[list[Range], list[Range]]:
    """The ranges of each text whose words the other has not; `start` is where its words begin."""
    matcher = difflib.SequenceMatcher(None, one, other, autojunk=False)
    changes = [change for change in matcher.get_opcodes() if change[0] != "equal"]
    here, there = [change[1:3] for change in changes], [change[3:5] for change in changes]
    return _ranges(one, here, start), _ranges(other, there, start)


def _ranges(words: list[str], spans: list[Range], start: int) -> list[Range]:
    """Spans of words as ranges of characters; those with only space between them are joined."""
    at = [start]
    for word in words:
        at.append(at[-1] + len(word))
    joined: list[Range] = []
    for first, last in spans:
        if joined and "".join(words[joined[-1][1] : first]).isspace():
            first = joined.pop()[0]
        if first < last:
            joined.append((first, last))
    return [(at[first], at[last]) for first, last in joined]
