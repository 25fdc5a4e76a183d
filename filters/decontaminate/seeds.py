"""Which texts may hold a copy of which item with a few changes; `align` decides.

A change destroys few runs (one more than a run has words), so a copy with few changes keeps others.
Nothing is missed but items of which every run stands in many items.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import polars as pl

from filters.common.arrays import U64, Bools, Ints
from filters.common.lexical import COMMON as COMMON_WORDS
from filters.common.text import block
from filters.decontaminate.align import LONG, WORDS_A_CHANGE
from filters.decontaminate.grams import Bitmap, Grams, grams, ranges

# Words in a run.
SEED = 4
# A run that stands in more items than this finds none of them.
COMMON = 20
_COMMON_WORDS = frozenset(COMMON_WORDS.split())
_HALF, _LOW = np.uint64(32), np.uint64(0xFFFFFFFF)


@dataclass(frozen=True)
class Seeds:
    """Runs of `size` words of items; those of fewer than `LONG` words are not looked for."""

    of: Grams
    size: int

    @cached_property
    def _rare(self) -> tuple[U64, Ints]:
        """Hashes of runs, ascending, and the item of each."""
        is_long = (self.of.words >= LONG)[self.of.text]
        item = self.of.text[is_long].astype(np.uint64)
        pairs = np.unique(self.of.hashes[is_long] << _HALF | item)
        _, at, count = np.unique(pairs >> _HALF, return_inverse=True, return_counts=True)
        pairs = pairs[count[at] <= COMMON]
        return pairs >> _HALF, (pairs & _LOW).astype(np.int64)

    @cached_property
    def _needed(self) -> Ints:
        """Runs that a copy of each item must share."""
        total = np.bincount(self._rare[1], minlength=len(self.of.words))
        # A contraction that is spelt out changes two words.
        destroyed = (self.size + 1) * (1 + self.of.words // WORDS_A_CHANGE)
        needed: Ints = np.maximum(1, total - destroyed)
        return needed

    def prepare(self) -> None:
        """Compute what is computed once, before threads start."""
        self._needed  # noqa: B018

    def pairs(self, own: Grams, known: Bools) -> tuple[Ints, Ints]:
        """Texts and items that may be copies, by the runs of texts (`own`) that may be `known`."""
        hashes, items = self._rare
        at = np.flatnonzero(known)
        key = np.unique(own.text[at].astype(np.uint64) << _HALF | own.hashes[at])
        wanted, count = key & _LOW, len(self.of.words)
        which, position = ranges(
            np.searchsorted(hashes, wanted, "left"), np.searchsorted(hashes, wanted, "right")
        )
        text = (key >> _HALF).astype(np.int64)[which]
        pair, shared = np.unique(text * count + items[position], return_counts=True)
        enough = pair[shared >= self._needed[pair % count]]
        return enough // count, enough % count


class _Anchors(NamedTuple):
    """Words that find questions, by hash: `before` says how many words stand before each."""

    hashes: U64
    question: Ints
    before: Ints


@dataclass(frozen=True)
class Questions:
    """Questions of fewer than `LONG` words: two of their rarest words find each.

    One of the two must stand beside its neighbour, and all words must be there but one (of three
    or fewer all), in their places or one word off: so each question with one change is found.
    """

    texts: pl.Series

    @cached_property
    def _grams(self) -> Grams:
        return grams(*block(self.texts, words_only=True), 1)

    @cached_property
    def _words(self) -> U64:
        """Hashes of words [questions, LONG + 1]: 0 before the first and after the last."""
        column = np.arange(-1, LONG)
        first = np.searchsorted(self._grams.text, np.arange(len(self.texts)))
        is_word = (column >= 0) & (column < self._grams.words[:, None])
        at = np.where(is_word, first[:, None] + column, len(self._grams.hashes))
        words: U64 = np.append(self._grams.hashes, np.uint64(0))[at]
        return words

    @cached_property
    def _anchors(self) -> _Anchors:
        data, bounds = block(self.texts, words_only=True)
        text = data.tobytes()
        lists = [text[low:high].decode().split() for low, high in pairwise(bounds.tolist())]
        often = Counter(word for words in lists for word in words)
        # A loop over questions of few words.
        chosen = [(row, at) for row, words in enumerate(lists) for at in _rarest(words, often)]
        question, before = np.array(chosen, np.int64).reshape(-1, 2).T
        hashes = self._words[question, before + 1]
        order = np.argsort(hashes, kind="stable")
        return _Anchors(hashes[order], question[order], before[order])

    @cached_property
    def _bitmap(self) -> Bitmap:
        return Bitmap(self._anchors.hashes)

    def prepare(self) -> None:
        """Compute what is computed once, before threads start."""
        self._bitmap, self._words  # noqa: B018

    def pairs(self, own: Grams) -> tuple[Ints, Ints]:
        """Texts and questions that they may hold, by the single words of texts."""
        at = np.flatnonzero(self._bitmap.holds(own.hashes))
        anchors, hashes = self._anchors, own.hashes[at]
        which, anchor = ranges(
            np.searchsorted(anchors.hashes, hashes, "left"),
            np.searchsorted(anchors.hashes, hashes, "right"),
        )
        at, question, before = at[which], anchors.question[anchor], anchors.before[anchor]
        beside = _is_at(own, at + 1, at, self._words[question, before + 2])
        beside |= _is_at(own, at - 1, at, self._words[question, before])
        at, question, before = at[beside], question[beside], before[beside]
        there, size = np.zeros(len(at), np.int64), self._grams.words[question]
        for column in range(LONG - 1):
            wanted, place = self._words[question, column + 1], at - before + column
            there += (
                _is_at(own, place, at, wanted)
                | _is_at(own, place - 1, at, wanted)
                | _is_at(own, place + 1, at, wanted)
            ) & (column < size)
        enough = there >= np.where(size > 3, size - 1, size)
        count = max(1, len(self.texts))
        pair = np.unique(own.text[at[enough]] * count + question[enough])
        return pair // count, pair % count


def _is_at(own: Grams, place: Ints, at: Ints, wanted: U64) -> Bools:
    """Whether these words stand at these places of the texts that have a word `at`."""
    inside = np.clip(place, 0, len(own.hashes) - 1)
    same: Bools = own.hashes[inside] == wanted
    same &= (own.text[inside] == own.text[at]) & (place == inside)
    return same


def _rarest(words: Sequence[str], often: Counter[str]) -> list[int]:
    """Where the two rarest words of a question are; of one word alone nothing is made.

    Neither is at an end beside the other: a change in one would hide both.
    """
    if len(words) < 2:
        return []
    ranked = sorted(
        range(len(words)),
        key=lambda at: (words[at] in _COMMON_WORDS, often[words[at]], -len(words[at])),
    )
    first, ends = ranked[0], (0, len(words) - 1)
    apart = [at for at in ranked[1:] if abs(at - first) > 1 or not {at, first} & {*ends}]
    return [first, *apart[:1]]
