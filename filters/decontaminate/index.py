"""Which evaluation items a text overlaps, by runs of words: an index without a server.

Every n-gram of every item is indexed, and every n-gram of every text looked up, so nothing is
missed; every shared n-gram is compared letter by letter, so nothing is made up by a hash.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import polars as pl

from filters.common.arrays import U64, Bools, Bytes, Floats, Ints
from filters.common.text import Block, block, in_blocks
from filters.decontaminate.grams import (
    Bitmap,
    Grams,
    Sorted,
    coverage,
    grams,
    in_order,
    ranges,
    widened,
)
from filters.decontaminate.seeds import SEED, Questions, Seeds

# An n-gram that stands in more items than this is mostly the wording of a benchmark.
COMMON = 20
# Shared n-grams looked at together; bounds memory, whatever the texts hold.
ENTRIES = 1 << 20


class Overlaps(NamedTuple):
    """Pairs of text and item, ascending: the share of the item's words that is covered.

    `first` and `run` are the longest stretch of the item that stands in the text, as the number
    of its first word and its length in words.
    """

    text: Ints
    item: Ints
    share: Floats
    first: Ints
    run: Ints


class Copies(NamedTuple):
    """Pairs of text and item, ascending, of which the text may hold the item with changes."""

    text: Ints
    item: Ints


@dataclass(frozen=True)
class Index:
    """The n-grams of evaluation items.

    `floor` is the share of an item's words above which an overlap is reported. With
    `skip_common` n-grams that stand in more than `COMMON` items do not count at all. With
    `edited` texts are found too that may hold an item, or one of the short `questions`, with
    changes.
    """

    items: pl.Series
    size: int
    floor: float
    skip_common: bool
    edited: bool
    questions: pl.Series

    @cached_property
    def _block(self) -> Block:
        return block(self.items, words_only=True)

    @cached_property
    def words(self) -> Ints:
        """Words of each item."""
        return self._all.words

    @property
    def _seed(self) -> int:
        """Words in the runs that are hashed; the n-grams are made of them."""
        return min(SEED, self.size)

    @cached_property
    def _short(self) -> Grams:
        return grams(*self._block, self._seed)

    @cached_property
    def _all(self) -> Grams:
        return widened(self._short, self._seed, self.size)

    @cached_property
    def _common(self) -> Bools:
        """For each n-gram of the items whether it stands in too many of them."""
        pairs = np.unique(self._all.hashes << np.uint64(32) | self._all.text.astype(np.uint64))
        known, count = np.unique(pairs >> np.uint64(32), return_counts=True)
        common: Bools = count[np.searchsorted(known, self._all.hashes)] > COMMON
        return common

    @cached_property
    def _rare(self) -> Sorted:
        """N-grams that find pairs: an item overlaps no text without one of these.

        What common n-grams cover of an item is left out where it is too little to matter.
        """
        if self.skip_common:
            return in_order(self._all, ~self._common)
        covered = coverage(self._all.text[self._common], self._all.word[self._common], self.size)
        share = np.zeros(len(self.words))
        share[covered.key] = covered.words / self.words[covered.key]
        return in_order(self._all, ~self._common | (share > self.floor)[self._all.text])

    @cached_property
    def _left_out(self) -> Sorted:
        """N-grams that find no pair but count once it is found, by item."""
        kept = np.zeros(len(self._all.text), bool)
        kept[self._rare.order] = True
        return in_order(self._all, ~kept & (not self.skip_common))

    @cached_property
    def _seeds(self) -> Seeds:
        return Seeds(self._short, self._seed)

    @cached_property
    def _asked(self) -> Questions:
        return Questions(self.questions)

    def find(self, texts: pl.Series) -> tuple[Overlaps, Copies, Copies]:
        """Overlaps of texts (no nulls) with items above the floor, by position of the text; and
        what may be copies of items, and of questions."""
        # What is computed once is computed before the threads start.
        self._rare, self._left_out, self._bitmap, self._hashes  # noqa: B018
        self._seeds.prepare()
        self._asked.prepare()
        parts = in_blocks(texts, lambda part: (len(part), self._find(part)))
        before = np.cumsum([0, *(rows for rows, _ in parts)])
        shifted = [
            tuple(pairs._replace(text=pairs.text + start) for pairs in of_part)
            for start, (_, of_part) in zip(before, parts, strict=False)
        ]
        overlaps, copies, asked = zip(*shifted, strict=True) if shifted else ((), (), ())
        return _together(overlaps), _all_copies(copies), _all_copies(asked)

    def _find(self, texts: pl.Series) -> tuple[Overlaps, Copies, Copies]:
        data, bounds = block(texts, words_only=True)
        short = grams(data, bounds, self._seed)
        known = self._bitmap.holds(short.hashes)
        copies = asked = Copies(*_NO_PAIRS)
        if self.edited:
            copies = Copies(*self._seeds.pairs(short, known))
        if len(self.questions):
            asked = Copies(*self._asked.pairs(grams(data, bounds, 1)))
        own = widened(short, self._seed, self.size, known)
        place = np.searchsorted(self._hashes, own.hashes)
        shared = np.flatnonzero(self._hashes[place] == own.hashes)
        # A text that repeats itself shares an n-gram once.
        key = own.text[shared].astype(np.uint64) << np.uint64(32) | own.hashes[shared]
        at = shared[np.unique(key, return_index=True)[1]]
        found = [self._pairs(data, own, part) for part in self._slices(own, at)]
        return _together(found), copies, asked

    @cached_property
    def _hashes(self) -> U64:
        """The hashes of all n-grams, ascending, and one that is none of them."""
        return np.append(np.unique(self._all.hashes), np.uint64(1 << 32))

    @cached_property
    def _bitmap(self) -> Bitmap:
        return Bitmap(self._short.hashes)

    def _slices(self, own: Grams, at: Ints) -> Iterator[Ints]:
        """The texts' n-grams in runs of whole texts with about `ENTRIES` shared n-grams."""
        low, high = self._rare.range(own.hashes[at])
        total = np.cumsum(high - low)
        ends = np.flatnonzero(np.diff(own.text[at], append=-1)) + 1  # where a text's n-grams end
        start = 0
        while start < len(at):
            done = total[start - 1] if start else 0
            fits = ends[(total[ends - 1] - done <= ENTRIES) & (ends > start)]
            end = int(fits[-1]) if len(fits) else int(ends[ends > start][0])
            yield at[start:end]
            start = end

    def _pairs(self, data: Bytes, own: Grams, at: Ints) -> Overlaps:
        theirs, entry = self._rare.expand(own.hashes[at])
        same = self._verified(data, own, at[theirs], entry)
        text, where = own.text[at[theirs[same]]], entry[same]
        if len(self._left_out.order):
            more, at_entry = self._common_of(data, own, at, text, self._all.text[where])
            text, where = np.concatenate([text, more]), np.concatenate([where, at_entry])
        items = len(self.words)
        covered = coverage(text * items + self._all.text[where], self._all.word[where], self.size)
        text, item = covered.key // items, covered.key % items
        share = covered.words / self.words[item]
        over = share > self.floor
        return Overlaps(text[over], item[over], share[over], covered.first[over], covered.run[over])

    def _common_of(
        self, data: Bytes, own: Grams, at: Ints, text: Ints, item: Ints
    ) -> tuple[Ints, Ints]:
        """The left-out n-grams that these pairs of text and item share too."""
        items = len(self.words)
        pair = np.unique(text * items + item)
        text, item = pair // items, pair % items
        by_item = np.sort(self._left_out.order)  # n-grams are numbered item by item
        low = np.searchsorted(self._all.text[by_item], item, "left")
        high = np.searchsorted(self._all.text[by_item], item, "right")
        which, position = ranges(low, high)
        entry = by_item[position]
        wanted = text[which].astype(np.uint64) << np.uint64(32) | self._all.hashes[entry]
        have = own.text[at].astype(np.uint64) << np.uint64(32) | own.hashes[at]
        nearest = np.minimum(np.searchsorted(have, wanted), len(have) - 1)
        is_there = have[nearest] == wanted
        nearest, entry, which = nearest[is_there], entry[is_there], which[is_there]
        same = self._verified(data, own, at[nearest], entry)
        return text[which[same]], entry[same]

    def _verified(self, data: Bytes, own: Grams, gram: Ints, entry: Ints) -> Bools:
        """Whether the n-gram of a text and that of an item are the same letters."""
        low, size = own.starts[gram], own.ends[gram] - own.starts[gram]
        item_low = self._all.starts[entry]
        same: Bools = size == self._all.ends[entry] - item_low
        # In slices, because the index is eight bytes a letter.
        for start in range(0, len(gram), 1 << 14):
            part = np.arange(start, min(len(gram), start + (1 << 14)))
            part = part[same[part]]
            if not len(part):
                continue
            _, offset = ranges(np.zeros(len(part), np.int64), size[part])
            ours = np.repeat(low[part], size[part]) + offset
            theirs = np.repeat(item_low[part], size[part]) + offset
            equal = data[ours] == self._block.data[theirs]
            same[part] = np.logical_and.reduceat(equal, np.cumsum(size[part]) - size[part])
        return same

    def quote(self, item: int, first: int, run: int) -> str:
        """Words of an item in normal form."""
        low, high = self._block.bounds[item : item + 2]
        words = self._block.data[low:high].tobytes().decode().split(" ")
        return " ".join(words[first : first + run])


_NO_PAIRS = (np.zeros(0, np.int64), np.zeros(0, np.int64))


def _all_copies(parts: Sequence[Copies]) -> Copies:
    return Copies(*map(np.concatenate, zip(_NO_PAIRS, *parts, strict=True)))


def _together(parts: Sequence[Overlaps]) -> Overlaps:
    empty = np.zeros(0, np.int64)
    parts = [Overlaps(empty, empty, np.zeros(0), empty, empty), *parts]
    return Overlaps(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))
