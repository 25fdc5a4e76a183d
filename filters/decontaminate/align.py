"""Where a text holds an evaluation item but for a few typos and words put in between.

A copy has every word of the item, in order. Words may be put in between, and a word may be
misspelt; another number, a negation and another word are another question.
"""

from __future__ import annotations

from collections.abc import Container
from functools import lru_cache
from typing import NamedTuple

from filters.decontaminate.tokens import Tokens, tokens

# One change, and one more for each so many words.
WORDS_A_CHANGE = 15
# Words in a run by which a place is found, and words from which a text is compared by it.
_RUN, LONG = 4, 8
# Letters up to which a name may be a letter from another name.
_NAME = 6
_ARTICLES = frozenset(("a", "an", "the"))
# What turns a question into another one.
_TURN = "not no never none neither nor without except non second third fourth fifth least"
TURNS = frozenset(_TURN.split())
# Words of three letters that are misspelt often and are not easily another word.
_SHORT = "the and for was are you she him her his its can has had how why who"
_SHORT_WORDS = frozenset(_SHORT.split())


class Place(NamedTuple):
    """From which word of a text to which (exclusive) an item stands, with how many changes."""

    start: int
    end: int
    changes: int


def allowed(words: int) -> int:
    """How many changes leave an item of so many words the same.

    >>> [allowed(words) for words in (2, 8, 20, 60)]
    [0, 1, 2, 5]
    """
    return 0 if words < 3 else 1 + words // WORDS_A_CHANGE


class Item(NamedTuple):
    """What is looked for: its words, and where each run of a few of them begins."""

    words: Tokens
    runs: dict[tuple[str, ...], list[int]]
    size: int


@lru_cache(1 << 12)
def item_of(text: str) -> Item:
    """A text as an item; its runs are shorter where it is short."""
    words = tokens(text)
    size = _RUN if len(words.words) >= LONG else min(2, len(words.words))
    places: dict[tuple[str, ...], list[int]] = {}
    for at in range(len(words.words) - size + 1 if size else 0):
        places.setdefault(tuple(words.words[at : at + size]), []).append(at)
    return Item(words, places, size)


def place(item: Item, text: Tokens, known: Container[str], low: int = 0) -> Place | None:
    """Where an item stands in a text from its word `low` on, with the fewest changes; or None.

    `known` are words that exist, which are no misspelling of another.
    """
    most, best = allowed(len(item.words.words)), None
    tried: set[int] = set()
    for at in range(low, len(text.words) - item.size + 1 if item.size else 0):
        for start in item.runs.get(tuple(text.words[at : at + item.size]), ()):
            if at - start in tried:
                continue
            tried.add(at - start)
            found = _along(item.words, text, at - start, most, known, low)
            if found and (best is None or found.changes < best.changes):
                best = found
                if not best.changes:
                    return best
    return best


def _along(
    item: Tokens, text: Tokens, diagonal: int, most: int, known: Container[str], low: int
) -> Place | None:
    """The copy near one diagonal: for each number of changes the furthest word that is reached.

    This is Ukkonen's way to an edit distance: on each diagonal (word of the text less word of
    the item) only the furthest place matters.
    """
    starts = range(max(low, diagonal - most), diagonal + 2)
    reached = {at: (0, at) for at in starts}  # diagonal: word of the item, where the copy starts
    for changes in range(most + 1):
        for at, (word, start) in reached.items():
            while _equal(item, text, word, word + at):
                word += 1
            reached[at] = word, start
            if word == len(item.words):
                return Place(start, word + at, changes)
        reached = _changed(item, text, reached, known)
    return None


def _equal(item: Tokens, text: Tokens, word: int, at: int) -> bool:
    return (
        word < len(item.words) and 0 <= at < len(text.words) and item.words[word] == text.words[at]
    )


def _changed(
    item: Tokens, text: Tokens, reached: dict[int, tuple[int, int]], known: Container[str]
) -> dict[int, tuple[int, int]]:
    """What one change more reaches from each place."""
    after: dict[int, tuple[int, int]] = {}
    for diagonal, (word, start) in reached.items():
        at = word + diagonal
        if at >= len(text.words) or at < 0:
            continue
        steps = []
        if is_misspelt(item, text, word, at, known):
            steps.append((diagonal, word + 1))
        if word and _may_come_in(text.words[at]):
            steps.append((diagonal + 1, word))
        if item.words[word] in _ARTICLES:
            steps.append((diagonal - 1, word + 1))
        for other, furthest in steps:
            if other not in after or after[other][0] < furthest:
                after[other] = furthest, start
    return after


def _may_come_in(word: str) -> bool:
    return word not in TURNS and word[0].isalpha() and not any(map(str.isdigit, word))


def is_misspelt(item: Tokens, text: Tokens, word: int, at: int, known: Container[str]) -> bool:
    """Whether a word of a text is a word of an item with one slip of the keys.

    A letter is missing, doubled, put in or another, or two are swapped, but not the first. Short
    names are no misspelling of one another where a letter is another ("Maria", "Marie").
    """
    right, given = item.spelt[word], text.spelt[at]
    if given in known or not (right.isalpha() and given.isalpha()):
        return False
    pairs = enumerate(zip(right, given, strict=False))
    shorter = min(len(right), len(given))
    same = next((at for at, (one, other) in pairs if one != other), shorter)
    swapped = right[same : same + 2] == given[same : same + 2][::-1]
    if swapped and right[same + 2 :] == given[same + 2 :]:
        return len(right) > 2
    if not same or (len(right) < 4 and right not in _SHORT_WORDS):
        return False
    is_name = len(right) <= _NAME and item.capital[word] and text.capital[at]
    replaced = right[same + 1 :] == given[same + 1 :] and not is_name
    return replaced or right[same + 1 :] == given[same:] or right[same:] == given[same + 1 :]
