"""Repetition in an answer: a loop at its end, and how many of its word sequences are new.

A loop is a sequence of words that is repeated to the end: at least three times, and over at least
twelve words. The last time may be cut short, as answers are at their cap. Answers without spaces,
and runs of signs (`=====`), are looked at character by character: three times, sixty characters.
"""

from __future__ import annotations

from collections.abc import Sequence

from trainer.after.suite.text_units import words

_TIMES = 3
_LEAST_WORDS, _LONGEST_WORDS = 12, 40  # covered by a loop; words that are repeated
_LEAST_SIGNS, _LONGEST_SIGNS = 60, 40


def loops(text: str) -> bool:
    """Whether the answer ends in a loop.

    >>> loops("I like it. " + "It is good. " * 5), loops("no, no, no, that is too much")
    (True, False)
    >>> loops("Total: " + "=" * 80), loops("one two three " * 2)
    (True, False)
    """
    spoken = [word.casefold() for word in words(text)]
    signs = "".join(text.split())
    return _ends_in_loop(spoken, _LEAST_WORDS, _LONGEST_WORDS) or _ends_in_loop(
        signs, _LEAST_SIGNS, _LONGEST_SIGNS
    )


def _ends_in_loop(units: Sequence[str], least: int, longest: int) -> bool:
    for period in range(1, min(longest, len(units) // _TIMES) + 1):
        size = max(_TIMES * period, least)
        if size > len(units):
            continue
        end = units[len(units) - size :]
        if end[period:] == end[:-period]:
            return True
    return False


def distinct(text: str, size: int) -> float | None:
    """The share of an answer's sequences of `size` words that differ; None where it has none.

    >>> distinct("a b a b", 2)
    0.6666666666666666
    """
    found = [word.casefold() for word in words(text)]
    grams = [tuple(found[at : at + size]) for at in range(len(found) - size + 1)]
    return len(set(grams)) / len(grams) if grams else None
