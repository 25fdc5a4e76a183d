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

    Then all words must be there but one, in their places or one word off.
    """

    texts: pl.Series

    @cached_property
    def _grams(self) -> Grams:
        return grams(*block(self.texts, words_only=True), 1)

    @cached_property
    def _words(self) -> U64:
        """Hashes of words [questions, LONG - 1]; what is beyond the last word is not read."""
        column = np.arange(LONG - 1)
        first = np.searchsorted(self._grams.text, np.arange(len(self.texts)))
        at = np.minimum(first[:, None] + column, len(self._grams.hashes) - 1)
        words: U64 = self._grams.hashes[at]
        return words

    @cached_property
    def _anchors(self) -> _Anchors:
        data, bounds = block(self.texts, words_only=True)
        lists = [data[low:high].tobytes().decode().split() for low, high in pairwise(bounds)]
        often = Counter(word for words in lists for word in words)
        # A loop over questions of few words.
        chosen = [
            (number, at) for number, words in enumerate(lists) for at in _rarest(words, often)
        ]
        question, before = np.array(chosen, np.int64).reshape(-1, 2).T
        hashes = self._words[question, before]
        order = np.argsort(hashes, kind="stable")
        return _Anchors(hashes[order], question[order], before[order])

    @cached_property
    def _bitmap(self) -> Bitmap:
        return Bitmap(self._anchors.hashes)

    def prepare(self) -> None:
        """Compute what is computed once, before threads start."""
        self._bitmap  # noqa: B018

    def pairs(self, own: Grams) -> tuple[Ints, Ints]:
        """Texts and questions that they may hold, by the single words of texts."""
        at = np.flatnonzero(self._bitmap.holds(own.hashes))
        anchors, hashes = self._anchors, own.hashes[at]
        which, anchor = ranges(
            np.searchsorted(anchors.hashes, hashes, "left"),
            np.searchsorted(anchors.hashes, hashes, "right"),
        )
        question, text = anchors.question[anchor], own.text[at[which]]
        start = at[which] - anchors.before[anchor]
        size = self._grams.words[question]
        there = np.zeros(len(start), np.int64)
        for column in range(LONG - 1):
            places = [
                self._is_at(own, start + column + off, text, question, column) for off in (0, -1, 1)
            ]
            there += (places[0] | places[1] | places[2]) & (column < size)
        enough = there >= np.where(size > 2, size - 1, size)
        pair = np.unique(text[enough] * len(self.texts) + question[enough])
        return pair // max(1, len(self.texts)), pair % max(1, len(self.texts))

    def _is_at(self, own: Grams, at: Ints, text: Ints, question: Ints, column: int) -> Bools:
        place = np.clip(at, 0, len(own.hashes) - 1)
        same: Bools = own.hashes[place] == self._words[question, column]
        same &= (own.text[place] == text) & (place == at)
        return same


def _rarest(words: Sequence[str], often: Counter[str]) -> list[int]:
    """Where the two rarest words of a question are; of one word alone nothing is made."""
    common = set(COMMON_WORDS.split())
    ranked = sorted(
        range(len(words)), key=lambda at: (words[at] in common, often[words[at]], -len(words[at]))
    )
    return ranked[: 2 if len(words) > 2 else 1] if len(words) > 1 else []
