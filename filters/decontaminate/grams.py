"""Runs of words as hashes with their position, and how much of a text some of them cover."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import polars as pl

from filters.common.arrays import U64, Bools, Bytes, Ints
from filters.common.shingles import Rule, hash_spans, mix64, spans
from filters.common.text import block


class Grams(NamedTuple):
    """N-grams of some texts: 32-bit hash, and where in the block each starts and ends.

    `text` and `word` say which text each is in and at which word of it it starts; `words` is
    the number of words of each text.
    """

    hashes: U64
    starts: Ints
    ends: Ints
    text: Ints
    word: Ints
    words: Ints


def grams(data: Bytes, bounds: Ints, size: int) -> Grams:
    """Every run of `size` words of each text of a block."""
    starts, ends, count = spans(data, bounds, Rule("word", size, 0))
    text, word = ranges(np.zeros_like(count), count)
    return Grams(hash_spans(data, starts, ends), starts, ends, text, word, _words(data, bounds))


def widened(of: Grams, size: int, longer: int, known: Bools | None = None) -> Grams:
    """Runs of `longer` words from those of `size` words, of which each must be `known`.

    The hash of a run is made of the hashes of those that cover it, so a long text is hashed once,
    and only where something may be shared the longer runs are made.
    """
    last = longer - size
    count = max(0, len(of.hashes) - last)
    covering = sorted({*range(0, last, size), last})
    fits = of.text[:count] == of.text[last:]
    for offset in covering if known is not None else ():
        fits &= known[offset : offset + count]  # type: ignore[index]
    at = np.flatnonzero(fits)
    hashes = of.hashes[at]
    for offset in covering[1:]:
        hashes = mix64(hashes << np.uint64(32) | of.hashes[at + offset]) >> np.uint64(32)
    return Grams(hashes, of.starts[at], of.ends[at + last], of.text[at], of.word[at], of.words)


class Bitmap:
    """Which hashes may be among some: no other is, and hardly any that is not one of them."""

    BITS = 22

    def __init__(self, hashes: U64) -> None:
        self.bits = np.zeros(1 << self.BITS, bool)
        self.bits[self._low(hashes)] = True

    def holds(self, hashes: U64) -> Bools:
        """For each hash whether it may be one of them."""
        found: Bools = self.bits[self._low(hashes)]
        return found

    def _low(self, hashes: U64) -> Ints:
        low: Ints = (hashes & np.uint64((1 << self.BITS) - 1)).astype(np.int64)
        return low


def word_counts(texts: pl.Series) -> Ints:
    """The number of words of each text (no nulls), as the index counts them."""
    return _words(*block(texts, words_only=True))


def _words(data: Bytes, bounds: Ints) -> Ints:
    counts: Ints = np.diff(np.searchsorted(np.flatnonzero(data == ord(" ")), bounds))
    return counts


class Sorted(NamedTuple):
    """Some n-grams in order of their hash: `order` are their numbers."""

    hashes: U64
    order: Ints

    def range(self, hashes: U64) -> tuple[Ints, Ints]:
        """Where the n-grams with each of these hashes start and end."""
        return np.searchsorted(self.hashes, hashes, "left"), np.searchsorted(
            self.hashes, hashes, "right"
        )

    def expand(self, hashes: U64) -> tuple[Ints, Ints]:
        """Every match: the position in `hashes`, and the number of the n-gram."""
        which, position = ranges(*self.range(hashes))
        return which, self.order[position]


def in_order(of: Grams, chosen: Bools) -> Sorted:
    """The n-grams for which `chosen`, one a n-gram, is true."""
    order = np.flatnonzero(chosen)
    order = order[np.argsort(of.hashes[order], kind="stable")]
    return Sorted(of.hashes[order], order)


def ranges(low: Ints, high: Ints) -> tuple[Ints, Ints]:
    """All whole numbers of some ranges, and which range each is of.

    >>> [part.tolist() for part in ranges(np.array([3, 7]), np.array([5, 8]))]
    [[0, 0, 1], [3, 4, 7]]
    """
    size = high - low
    which = np.repeat(np.arange(len(size)), size)
    numbers: Ints = np.arange(len(which)) - (np.cumsum(size) - size)[which] + low[which]
    return which, numbers


class Coverage(NamedTuple):
    """For each key: words covered, and the first and length of the longest stretch."""

    key: Ints
    words: Ints
    first: Ints
    run: Ints


def coverage(key: Ints, word: Ints, size: int) -> Coverage:
    """How many words runs of `size` words cover together, which start at `word`, by key.

    >>> [part.tolist() for part in coverage(np.array([5, 5, 5]), np.array([0, 1, 9]), 4)]
    [[5], [9], [0], [5]]
    """
    if not len(key):
        empty = np.zeros(0, np.int64)
        return Coverage(empty, empty, empty, empty)
    order = np.lexsort((word, key))
    key, word = key[order], word[order]
    last = np.append(np.diff(key) != 0, True)
    step = np.append(np.diff(word), size)
    covers = np.where(last, size, np.minimum(step, size))
    # A stretch ends where the next run starts beyond this one's end.
    ends = last | (step > size)
    starts = np.concatenate([[True], ends[:-1]])
    stretch = np.add.reduceat(covers, np.flatnonzero(starts))
    of_stretch, at_word = key[starts], word[starts]
    keys, first_of_key = np.unique(key, return_index=True)
    total = np.add.reduceat(covers, first_of_key)
    best = np.lexsort((at_word, -stretch, of_stretch))
    best = best[np.unique(of_stretch[best], return_index=True)[1]]
    return Coverage(keys, total, at_word[best], stretch[best])
