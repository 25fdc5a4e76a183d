"""Reasoning that stands in an answer's own text, between marks: where it ends, and what is left."""

from __future__ import annotations

import re
from typing import NamedTuple


class Thoughts(NamedTuple):
    """An answer in two: its reasoning, empty where there was none, and what it says after it."""

    reasoning: str
    content: str


# What opens reasoning at the start of an answer, and what closes it: in any case, with white space.
_NAMES = ("think", "thinking", "thought", "reasoning")
_MARKS = (
    *((re.compile(rf"<\s*{n}\s*>", re.I), re.compile(rf"<\s*/\s*{n}\s*>", re.I)) for n in _NAMES),
    (re.compile(r"\[\s*think\s*\]", re.I), re.compile(r"\[\s*/\s*think\s*\]", re.I)),
    (re.compile(r"<\|begin_of_thought\|>"), re.compile(r"<\|end_of_thought\|>")),
)
_ANY_THINK = re.compile(r"<\s*think\s*>", re.I)
_END_OF_THINK = _MARKS[0][1]
_OF_OPEN_THOUGHTS_END = _MARKS[-1][1]
_SOLUTION = ("<|begin_of_solution|>", "<|end_of_solution|>")
_OF_OPEN_THOUGHTS = re.compile(r"<\|(?:begin|end)_of_(?:thought|solution)\|>")
_QUOTES = frozenset("`'\"“”‘’«»")
_ENDINGS = frozenset(".!?…:;)]}。！？：")


def split_thoughts(text: str) -> Thoughts | None:
    r"""An answer's reasoning and the rest; None where it has none, or where it ends is not clear.

    The marks are `<think>`, `<thinking>`, `<thought>`, `<reasoning>`, `[THINK]` and those of
    OpenThoughts, at the start of the text and closed in it; or a single `</think>`, whose opening
    the prompt had. Lines of white space around both parts go.

    >>> split_thoughts("<think>\nTwo and two.\n</think>\n\n4")
    Thoughts(reasoning='Two and two.', content='4')
    >>> split_thoughts("Two and two.\n</think>\n\n4")
    Thoughts(reasoning='Two and two.', content='4')
    >>> split_thoughts("<think>\n\n</think>\n\n4")
    Thoughts(reasoning='', content='4')
    >>> split_thoughts("It is closed by `</think>`.") is None
    True
    """
    if text[:1] not in _FIRST and "</" not in text:  # nearly all texts
        return None
    begin = _unmarked(text)
    found = _opening(begin)
    if found is None:
        return _after_an_open_prompt(text)
    opening, closing, start = found
    end = _end(begin, closing, start)
    if end is None:
        return None
    inner, rest = begin[start : end.start()], begin[end.end() :]
    if opening.search(inner) and closing.search(rest):  # which one closes which?
        return None
    if closing is _OF_OPEN_THOUGHTS_END:
        rest = rest.strip().removeprefix(_SOLUTION[0]).removesuffix(_SOLUTION[1]).strip()
        if _OF_OPEN_THOUGHTS.search(inner) or _OF_OPEN_THOUGHTS.search(rest):
            return None
    return Thoughts(_without_blank_lines(inner), _from_first_line(rest))


_FIRST = frozenset("<[\ufeff \t\r\n")


def opens_thoughts(text: str) -> bool:
    """Whether an answer begins in the middle of thoughts: it opens them and does not close them.

    >>> opens_thoughts("<think>Two and two are"), opens_thoughts("<think>Two.</think>4")
    (True, False)
    """
    begin = _unmarked(text)
    found = _opening(begin)
    return found is not None and _end(begin, *found[1:]) is None


def _unmarked(text: str) -> str:
    """A text without white space and a byte order mark at its start."""
    return text.lstrip().removeprefix("\ufeff").lstrip()


def _opening(begin: str) -> tuple[re.Pattern[str], re.Pattern[str], int] | None:
    """The marks that open and close the thoughts at a text's start, and where they begin."""
    for opening, closing in _MARKS:
        if found := opening.match(begin):
            return opening, closing, found.end()
    return None


def _end(begin: str, closing: re.Pattern[str], start: int) -> re.Match[str] | None:
    """The mark that closes thoughts: the first that is not quoted, as thoughts may speak of it."""
    for found in closing.finditer(begin, start):
        sides = begin[found.start() - 1 : found.start()], begin[found.end() : found.end() + 1]
        if not all(side in _QUOTES for side in sides):
            return found
    return None


def _after_an_open_prompt(text: str) -> Thoughts | None:
    """Reasoning whose opening mark was in the prompt: its end is the only mark in the text."""
    ends = [*_END_OF_THINK.finditer(text)]
    if len(ends) != 1 or _ANY_THINK.search(text):
        return None
    inner, rest = text[: ends[0].start()], text[ends[0].end() :]
    if _is_spoken_of(inner, rest):
        return None
    return Thoughts(_without_blank_lines(inner), _from_first_line(rest))


def _is_spoken_of(before: str, after: str) -> bool:
    """Whether a mark is a word of the text: quoted, in a block of code, in mid-sentence."""
    if (before[-1:] in _QUOTES and after[:1] in _QUOTES) or before.count("```") % 2:
        return True
    alone = before.rstrip(" \t")[-1:] in ("", "\n") or after.lstrip(" \t\r")[:1] in ("", "\n")
    spaced = before[-1:].isspace() and after[:1].isspace()
    return not alone and spaced and before.rstrip()[-1:] not in _ENDINGS


def _without_blank_lines(text: str) -> str:
    """A text from its first line that is not blank to its last one."""
    text = _from_first_line(text)
    end = text.find("\n", len(text.rstrip()))
    return text if end < 0 else text[:end].rstrip("\r")


def _from_first_line(text: str) -> str:
    """A text without the blank lines that it begins with; nothing of a text of white space."""
    before = len(text) - len(text.lstrip())
    return text[text.rfind("\n", 0, before) + 1 :] if before < len(text) else ""
