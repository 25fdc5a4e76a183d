"""What two texts that are nearly the same differ in, and whether that makes them different.

Their words are aligned by a longest common subsequence. What is left over on either side, and did
not only move, is looked at: a number, a negation, a sign or a name is a difference; a typo, a
synonym or a word more is none.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import polars as pl

from filters.common.arrays import U64, Bools, Ints
from filters.common.shingles import bounds_of, flat_lists, mix64, ranges
from filters.dedup.differences.vocabulary import (
    fillers,
    negations,
    one_written_twice,
    opposites,
    prefixes,
    units,
)
from filters.dedup.differences.words import (
    CAPITAL,
    HASHED,
    KNOWN,
    NUMBER,
    SIGN,
    START,
    WORD,
    letters_of,
)

_HASHED = int(HASHED)

# Where rows can differ, beside the kinds that `protect` names: the texts themselves.
QUESTION, ANSWER = "question", "answer"
# Words left over at one place, with nothing in their place in the other text, that are looked at
# for names. Longer insertions are sentences.
INSERTED = 3
# Words at one place, on the longer side, from which text was put in other words.
REWORDED = 4
# A run of so many words that stands elsewhere in the other text has moved.
MOVED = 3
# Names of fewer letters are other names if one letter differs: Iran, Iraq.
TYPO_FROM = 5
# Of the words of two texts that are alike at most this share may be others; of those of a question
# with nothing else to go by one in so many.
OTHER_WORDS = 0.5
ALONE = 15


class Words(NamedTuple):
    """Codes of the words of some texts, end to end: text i is `codes[bounds[i]:bounds[i + 1]]`."""

    codes: U64
    bounds: Ints

    @classmethod
    def of(cls, column: pl.Series) -> Words:
        """From a column of lists."""
        codes, bounds = flat_lists(column)
        return cls(codes.astype(np.uint64, copy=False), bounds)

    def of_row(self, row: int) -> list[int]:
        """The codes of one text."""
        found: list[int] = self.codes[self.bounds[row] : self.bounds[row + 1]].tolist()
        return found

    @property
    def sizes(self) -> Ints:
        """Words in each."""
        return np.diff(self.bounds)

    def take(self, rows: Ints) -> Words:
        """The texts of these rows, in this order."""
        bounds = bounds_of(self.sizes[rows])
        return Words(self.codes[ranges(self.bounds[rows], self.bounds[rows + 1])], bounds)

    def only(self, chosen: Bools) -> Words:
        """The texts with none but the words chosen."""
        upto = np.concatenate([[0], np.cumsum(chosen)])
        return Words(self.codes[chosen], upto[self.bounds])

    def any_of(self, bits: U64) -> U64:
        """The bits (64 a word) that any word of each text has."""
        found = np.zeros(len(self.sizes), np.uint64)
        filled = np.flatnonzero(self.sizes)
        if len(filled):
            found[filled] = np.bitwise_or.reduceat(bits, self.bounds[filled])
        return found

    def sums(self, chosen: Bools | None = None, *, in_order: bool = False) -> U64:
        """64 bits a text, equal for equal codes (of those chosen), in order or in any."""
        words = mix64(self.codes + np.uint64(1))
        if in_order:
            place = np.arange(len(words)) - np.repeat(self.bounds[:-1], self.sizes)
            words = mix64(words + mix64(place.astype(np.uint64)))
        if chosen is not None:
            words = np.where(chosen, words, np.uint64(0))
        found = np.zeros(len(self.sizes), np.uint64)
        filled = np.flatnonzero(self.sizes)
        if len(filled):
            found[filled] = np.add.reduceat(words, self.bounds[filled])
        return found


@dataclass
class Differences:
    """Tells for pairs of rows, by position, in which of the kinds asked for their texts differ.

    `words` are those of the text whose differences count; of the answers only the short ones have
    `answers`. `codes` are more kinds, with a code a row: rows that differ in it are different; in
    `case` if they do not differ in words (have the same of `texts`).
    """

    words: Words
    kinds: frozenset[str]
    texts: U64
    answers: Words | None = None
    codes: dict[str, U64] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._usual: dict[int, bool] = {}

    def in_codes(self, left: Ints, right: Ints, small: Bools) -> list[str | None]:
        """The first kind in which the rows of each pair differ whatever the order of their words.

        `small` says which pairs differ by a few words only, so that none of them has to be found.
        """
        kinds: list[str | None] = [None, *self.codes]
        found = np.zeros(len(left), np.int64)  # its place in `kinds`
        same = self.texts[left] == self.texts[right]
        for number, (kind, codes) in enumerate(self.codes.items(), 1):
            where = same if kind == "case" else True
            found[where & (codes[left] != codes[right]) & (found == 0)] = number
        at = np.flatnonzero(small & (found == 0))
        rows, place = np.unique(np.concatenate([left[at], right[at]]), return_inverse=True)
        for kind, codes in self._bags(self.words.take(rows)).items():
            differ = codes[place[: len(at)]] != codes[place[len(at) :]]
            found[at[differ & (found[at] == 0)]] = len(kinds)
            kinds.append(kind)
        return [kinds[number] for number in found.tolist()]

    def _bags(self, words: Words) -> dict[str, U64]:
        """Codes of the numbers, negations and signs of texts, in any order, as far as asked for."""
        codes, plain = words.codes, words._replace(codes=words.codes & WORD)
        marked = {
            "numbers": codes & NUMBER != 0,
            "negations": np.isin(plain.codes, np.array([*negations()], np.uint64)),
            "signs": codes & SIGN != 0,
        }
        return {kind: plain.sums(chosen) for kind, chosen in marked.items() if kind in self.kinds}

    def in_words(
        self,
        left: int,
        right: int,
        left_out: tuple[int, int] = (0, 0),
        changed: int | None = None,
        *,
        alone: bool,
    ) -> str | None:
        """The kind in which the words of two rows differ.

        `left_out` words of each are boilerplate, and `changed` of the others, if that is known. Of
        the others half may be changed if more (long answers, say) is alike; if the words stand
        `alone`, one in fifteen.
        """
        ours, theirs = self.words.of_row(left), self.words.of_row(right)
        if ours == theirs:
            return None
        places = left_over(ours, theirs)
        kind = first_kind(places, self.kinds, self._is_name)
        if kind is None and "case" in self.kinds and other_case(ours, theirs):
            return "case"
        if kind is not None:
            return kind
        own = max(0, min(len(ours) - left_out[0], len(theirs) - left_out[1]))
        words = other_words(places)
        changed = words if changed is None else changed
        # Boilerplate that one of them has alone is a difference, too, where it is most of the text.
        many = words > OTHER_WORDS * own or (alone and changed > own // ALONE)
        return QUESTION if many else None

    def in_answers(self, left: int, right: int) -> str | None:
        """Whether two answers are different of which at least one is short.

        Something more is no difference. One without words is empty or long.
        """
        assert self.answers is not None
        ours, theirs = self.answers.of_row(left), self.answers.of_row(right)
        if ours == theirs:
            return None
        places = left_over(ours, theirs)
        least = min(len(ours), len(theirs))
        common = len(ours) - sum(len(own) for own, _ in places) + sum(map(_typos, places))
        return ANSWER if common < (1 - OTHER_WORDS) * least or not least else None

    def _is_name(self, code: int) -> bool:
        """Whether a word is a name: it has a capital inside a sentence, or else usually has one."""
        if not code & int(CAPITAL):
            return False
        if not code & int(START):
            return code & int(WORD) != _I
        word = code & int(WORD)
        if word not in self._usual:
            same = self.words.codes[self.words.codes & WORD == np.uint64(word)]
            inside = same[same & START == 0]
            capital = int(np.count_nonzero(inside & CAPITAL))
            self._usual[word] = capital > 0 and 2 * capital > len(inside)
        return self._usual[word]


_I = ord("i") & 31
# What is left over at one place of either text.
Place = tuple[list[int], list[int]]


def left_over(one: Sequence[int], other: Sequence[int]) -> list[Place]:
    """The words of two texts that have no counterpart, place by place; what moved has one."""
    from rapidfuzz.distance import Indel

    word = int(WORD)
    ours, theirs = [code & word for code in one], [code & word for code in other]
    places: list[tuple[range, range]] = []
    at_ours = at_theirs = 0
    blocks = Indel.opcodes(ours, theirs)
    for block in blocks:
        if block.tag == "equal":
            _add(places, range(at_ours, block.src_start), range(at_theirs, block.dest_start))
            at_ours, at_theirs = block.src_end, block.dest_end
    _add(places, range(at_ours, len(ours)), range(at_theirs, len(theirs)))
    moved_ours = _moved(ours, [place for place, _ in places], theirs, [at for _, at in places])
    moved_theirs = _moved(theirs, [at for _, at in places], ours, [place for place, _ in places])
    found = [
        (
            [one[at] for at in place if at not in moved_ours],
            [other[at] for at in there if at not in moved_theirs],
        )
        for place, there in places
    ]
    return [place for place in found if place[0] or place[1]]


def _add(places: list[tuple[range, range]], ours: range, theirs: range) -> None:
    if ours or theirs:
        places.append((ours, theirs))


def _moved(
    ours: list[int], places: list[range], theirs: list[int], there: list[range]
) -> frozenset[int]:
    """Positions in `places` of runs of words that stand in one run among `there` too."""
    if max(map(len, places), default=0) < MOVED or max(map(len, there), default=0) < MOVED:
        return frozenset()
    runs = {
        tuple(theirs[at : at + MOVED])
        for place in there
        for at in range(place.start, place.stop - MOVED + 1)
    }
    found: set[int] = set()
    for place in places:
        for at in range(place.start, place.stop - MOVED + 1):
            if tuple(ours[at : at + MOVED]) in runs:
                found.update(range(at, at + MOVED))
    return frozenset(found)


def first_kind(
    places: Sequence[Place], kinds: frozenset[str], is_name: Callable[[int], bool]
) -> str | None:
    """The first kind, in the order of `protect`, that something left over is of.

    Where many words stand in the place of others the text was put in other words; what is among
    them is no small difference.
    """
    places = [place for place in places if not all(place) or max(map(len, place)) <= REWORDED]
    every = [code for place in places for side in place for code in side]
    if "numbers" in kinds and any(_other_number(*place) for place in places):
        return "numbers"
    if "negations" in kinds:
        if any(code & int(WORD) in negations() for code in every):
            return "negations"
        if any(_turned(*place) for place in places):
            return "negations"
    if "signs" in kinds and any(code & int(SIGN) for code in every):
        return "signs"
    if "names" in kinds and any(_renamed(*place, is_name) for place in places):
        return "names"
    return None


def _other_number(ours: list[int], theirs: list[int]) -> bool:
    """Whether a number has changed, or its unit."""
    left, right = ({code & int(WORD) for code in side} for side in (ours, theirs))
    if {*left, *right} == one_written_twice() and len(left) == len(right) == 1:
        return False
    if any(code & int(NUMBER) for code in (*left, *right)):
        return True
    ours_units, theirs_units = left & units(), right & units()
    return any(not is_typo(one, other) for one in ours_units for other in theirs_units)


def _turned(ours: list[int], theirs: list[int]) -> bool:
    """Whether a word stands for its opposite."""
    word = int(WORD)
    return any(_is_opposite(one & word, other & word) for one in ours for other in theirs)


# Of copies of one row the same words are compared again and again.
@lru_cache(maxsize=1 << 15)
def _is_opposite(one: int, other: int) -> bool:
    """Whether one word means the opposite, or is the other with a prefix that turns it round."""
    if other in opposites().get(one, ()):
        return True
    short, long = sorted((letters_of(one), letters_of(other)), key=len)
    before = long[: len(long) - len(short)]
    # Of a long word the first six letters are known.
    is_rest = long[len(before) :] == short or (before in prefixes() and len(long) == KNOWN)
    return len(short) >= 4 and before in prefixes() and is_rest


def _renamed(ours: list[int], theirs: list[int], is_name: Callable[[int], bool]) -> bool:
    """Whether a name stands on one side that is no typo of a word on the other."""
    for own, other in ((ours, theirs), (theirs, ours)):
        if not other and len(own) > INSERTED:
            continue
        for code in own:
            if is_name(code) and not any(is_typo(code, instead) for instead in other):
                return True
    return False


def _typos(place: Place) -> int:
    """Words of the first text that are typos of one of the second."""
    ours, theirs = place
    return sum(any(is_typo(code, instead) for instead in theirs) for code in ours)


def other_case(one: Sequence[int], other: Sequence[int]) -> bool:
    """Whether one or two words have their capitals changed and no sentence has: polish, Polish.

    A text that is in small letters, or in capitals, throughout is the same text.
    """
    if len(one) != len(other):
        return False
    changed = 0
    for ours, theirs in zip(one, other, strict=True):
        if ours & int(WORD) != theirs & int(WORD) or not (ours ^ theirs) & int(CAPITAL):
            continue
        if (ours | theirs) & int(START):
            return False
        changed += 1
    return 0 < changed <= 2


def other_words(places: Sequence[Place]) -> int:
    """Words of the text that has more of its own, without typos and words that say little."""
    counts = [0, 0]
    for place in places:
        for side, (own, other) in enumerate((place, place[::-1])):
            counts[side] += sum(
                code & int(WORD) not in fillers()
                and not any(is_typo(code, instead) for instead in other)
                for code in own
            )
    return max(counts)


def is_typo(one: int, other: int) -> bool:
    """Whether two words differ in one letter: another, one more, or two that changed places.

    >>> is_typo(code_of("lihgt"), code_of("light")), is_typo(code_of("iran"), code_of("iraq"))
    (True, False)
    """
    return _is_typo(one & int(WORD), other & int(WORD))


@lru_cache(maxsize=1 << 15)
def _is_typo(left: int, right: int) -> bool:
    from rapidfuzz.distance import OSA

    ours, theirs = letters_of(left), letters_of(right)
    if max(len(ours), len(theirs)) < TYPO_FROM:
        return False
    # Of a long word only the first letters are known; one letter more moves the last out of them.
    most = 2 if _HASHED in (left & _HASHED, right & _HASHED) else 1
    if most == 2:
        ours, theirs = ours[:KNOWN], theirs[:KNOWN]
    return bool(OSA.distance(ours, theirs, score_cutoff=most) <= most)
