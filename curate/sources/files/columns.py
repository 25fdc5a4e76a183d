"""Columns of tables that are all text: which are known, and which hold numbers, true or false."""

from __future__ import annotations

import csv
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from curate.sources.shared.convert import ANSWERS, QUESTIONS

Cell = str | int | float | bool | None

# Words in the names of columns that hold what somebody says: a number there is an answer.
_TEXTS = {*QUESTIONS, *ANSWERS, "instruction", "input", "context", "text", "content", "system"}
_TEXTS |= {"history", "chosen", "rejected", "transcript", "message", "messages", "conversation"}
_TEXTS |= {"conversations", "dialog", "dialogue", "turns", "request", "reply", "human", "user"}
_TEXTS |= {"assistant", "bot", "choice", "choices", "option", "options", "reference", "passage"}
_TEXTS |= {"title", "body", "document", "article", "summary", "explanation", "rationale", "role"}
_TEXTS |= {"ask", "asked", "said", "value", "ground", "truth", "gold", "correct", "result"}

# Words in the names of columns whose numbers are numbers, beside whatever other word.
_NUMBERS = {"score", "scores", "rating", "ratings", "reward", "rewards", "votes", "weight", "rank"}
_NUMBERS |= {"label", "labels", "preference", "quality", "confidence", "upvotes", "downvotes"}
_NUMBERS |= {"index", "idx", "count", "length", "tokens"}

_WORDS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+")


_NAME = re.compile(r"[\w .-]{1,40}")


def _words(name: str) -> set[str]:
    return {word.lower() for word in _WORDS.findall(name)}


def is_known(name: str) -> bool:
    """Whether a column's name is one that formats know, or is made of such.

    >>> is_known("Answer Text"), is_known("colour")
    (True, False)
    """
    words = _words(name)
    return _NAME.fullmatch(name) is not None and len(words) <= 3 and not words.isdisjoint(_TEXTS)


def converters(
    header: Sequence[str], rows: Iterable[Sequence[str]]
) -> dict[str, Callable[[str], Cell]]:
    """What makes numbers, or true and false, of the cells of a column, by its name.

    A column is read so if each of its cells that holds anything is such, and its name is not
    that of a text. All rows are looked at, but no further than columns are left that may be.
    """
    times = Counter(header)
    kinds = {at: set(_kinds(name)) for at, name in enumerate(header) if times[name] == 1}
    kinds = {at: left for at, left in kinds.items() if left}
    filled: set[int] = set()
    try:
        for row in rows:
            if not kinds:
                return {}
            if len(row) == len(header):
                for at in [at for at in kinds if row[at].strip()]:
                    filled.add(at)
                    kinds[at] = {kind for kind in kinds[at] if _fits(kind, row[at])}
                    if not kinds[at]:
                        del kinds[at]
    except csv.Error:
        pass  # what follows is a reject, and has no cells
    return {header[at]: _CONVERT[min(left)] for at, left in kinds.items() if at in filled}


def _kinds(name: str) -> tuple[str, ...]:
    """What a column of this name may hold besides text."""
    words = _words(name)
    if words & _NUMBERS:
        return ("flag", "loose number")
    # Identifiers are compared, not counted; a single letter is a choice (A, B, C, D).
    if not words or words & _TEXTS or "id" in words or "ids" in words or len(name) == 1:
        return ()
    return ("flag", "number")


def _fits(kind: str, cell: str) -> bool:
    try:
        _CONVERT[kind](cell)
    except ValueError:
        return False
    return True


def _flag(cell: str) -> Cell:
    if not cell.strip():
        return None
    if cell not in _FLAGS:
        raise ValueError(cell)
    return _FLAGS[cell]


_FLAGS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}

# JSON's numbers: no sign but a minus, no zeros in front.
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]{0,14})(\.[0-9]{1,17})?([eE][+-]?[0-9]{1,3})?")
_ABSENT = ("nan", "NaN", "null", "NULL", "None")


def _loose_number(cell: str) -> Cell:
    """A number as JSON writes them, also `4.50`, which a number does not keep; nothing for NaN."""
    if not cell.strip() or cell in _ABSENT:
        return None
    match = _NUMBER.fullmatch(cell)
    if match is None or not math.isfinite(float(cell)):
        raise ValueError(cell)
    return float(cell) if match[1] or match[2] else int(cell)


def _number(cell: str) -> Cell:
    """A number that is written again as it stands here; `007` and `1.50` are none."""
    number = _loose_number(cell)
    if cell.strip() and (number is None or repr(number) != cell):
        raise ValueError(cell)
    return number


_CONVERT: dict[str, Callable[[str], Cell]] = {
    "flag": _flag,
    "loose number": _loose_number,
    "number": _number,
}
