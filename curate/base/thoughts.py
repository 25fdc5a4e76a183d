"""Reasoning that stands in an answer's own text, between marks: where it ends, and what is left."""

from __future__ import annotations

import re
from typing import NamedTuple


class Thoughts(NamedTuple):
    """An answer in two: its reasoning, empty where there was none, and what it says after it."""

    reasoning: str
    content: str


_CLOSING = "</think>"
# What opens reasoning at the start of an answer, and what closes it.
_MARKS = {
    "<think>": _CLOSING,
    "<thinking>": "</thinking>",
    "<thought>": "</thought>",
    "<reasoning>": "</reasoning>",
    "[THINK]": "[/THINK]",
    "<|begin_of_thought|>": "<|end_of_thought|>",
}
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
    if text[:1] not in _FIRST and _CLOSING not in text:  # nearly all texts
        return None
    begin = text.lstrip()
    opening = next((mark for mark in _MARKS if begin.startswith(mark)), None)
    if opening is None:
        return _after_an_open_prompt(text)
    closing = _MARKS[opening]
    inner, closed, rest = begin[len(opening) :].partition(closing)
    if not closed or (opening in inner and closing in rest):  # which one closes which?
        return None
    if closing == "<|end_of_thought|>":
        rest = rest.strip().removeprefix(_SOLUTION[0]).removesuffix(_SOLUTION[1]).strip()
        if _OF_OPEN_THOUGHTS.search(inner) or _OF_OPEN_THOUGHTS.search(rest):
            return None
    return Thoughts(_without_blank_lines(inner), _from_first_line(rest))


_FIRST = frozenset({*(mark[0] for mark in _MARKS), *" \t\r\n"})


def _after_an_open_prompt(text: str) -> Thoughts | None:
    """Reasoning whose opening mark was in the prompt: its end is the only mark in the text."""
    if text.count(_CLOSING) != 1 or "<think>" in text:
        return None
    inner, _, rest = text.partition(_CLOSING)
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
