"""In how many rows each shingle stands, for all shingles by one sort.

It orders shingles by rarity, for the search of pairs, and finds those that many rows have.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from filters.common.arrays import U32, U64, Bools, Bytes, Ints, ascending
from filters.common.shingles import Runs
from filters.common.text import in_threads

# Shingles sorted at once, 20 bytes each, and those looked at for them.
_AT_ONCE, _LOOKED_AT = 1 << 21, 1 << 18
# Shingles of the rows of a block, at least; those of a row are in one.
_BLOCK = 1 << 22


class Common(NamedTuple):
    """Where shingles that many rows have stand, ascending: `at` in all shingles, in which `row`.

    `number` tells them apart, and that of number i stands in `rows_of[i]` rows.
    """

    at: Ints
    row: U32
    number: Ints
    rows_of: Ints

    @property
    def rows(self) -> Ints:
        """In how many rows each stands."""
        return self.rows_of[self.number]

    def only(self, chosen: Bools) -> Common:
        """Some of them."""
        return self._replace(at=self.at[chosen], row=self.row[chosen], number=self.number[chosen])


class AllCommon(NamedTuple):
    """The same for all rows, 4 bytes a shingle: `numbers` from 1, and 0 for what is not common."""

    numbers: U32
    rows_of: Ints

    def blocks(self, runs: Runs) -> Iterator[Common]:
        """Of some rows after the other; a row with all that is common of it is in one block."""
        wanted = np.arange(_BLOCK, len(self.numbers), _BLOCK)
        ends = np.searchsorted(runs.bounds, wanted).tolist()
        for low, high in pairwise(dict.fromkeys([0, *ends, len(runs.sizes)])):
            yield self._of_rows(runs, low, high)

    def _of_rows(self, runs: Runs, low: int, high: int) -> Common:
        start = int(runs.bounds[low])
        numbers = self.numbers[start : int(runs.bounds[high])]
        at = np.flatnonzero(numbers)
        owner = np.repeat(np.arange(low, high, dtype=np.uint32), runs.sizes[low:high])
        return Common(at + start, owner[at], numbers[at].astype(np.int64) - 1, self.rows_of)


class Occurrences(NamedTuple):
    """`ranks` has for each shingle the bits of the number of its rows: 1: one row, 2: two or three.

    Those of rows that were not asked for have 1 as well. `common` are those that as many rows have
    as was asked.
    """

    ranks: Bytes
    common: AllCommon


def occurrences(
    hashes: U32, owner: U32, rows: Bools | None = None, min_rows: int | None = None
) -> Occurrences:
    """Of shingles by the row (ascending) that each stands in; `rows` that count (all).

    With `min_rows` those are found that so many rows have.
    """
    ranks = np.ones(len(hashes), np.uint8)
    asked = None if rows is None or rows.all() else rows[owner]
    bits = max(1, (len(hashes) // _AT_ONCE).bit_length())
    # Of each shingle that many rows have its number, from 1, among those of its range.
    numbers = np.zeros(0 if min_rows is None else len(hashes), np.uint32)

    def of_range(number: int) -> Ints:
        place, sizes, times = _in_rows(_of_range(hashes, asked, number, bits), owner, 32 + bits)
        ranks[place] = np.repeat(np.frexp(times)[1].astype(np.uint8), sizes)
        if min_rows is None:
            return times[:0]
        many = times >= min_rows
        own = np.repeat(np.arange(1, 1 + np.count_nonzero(many), dtype=np.uint32), sizes[many])
        numbers[place[np.repeat(many, sizes)]] = own
        return times[many]

    found = in_threads(range(1 << bits), of_range)
    before = np.cumsum([0, *map(len, found)]).astype(np.uint32)
    # In one row of numbers, some at a time.
    for low in range(0, len(numbers), _LOOKED_AT):
        part = numbers[low : low + _LOOKED_AT]
        at = np.flatnonzero(part)
        part[at] += before[hashes[low + at] >> np.uint32(32 - bits)]
    return Occurrences(ranks, AllCommon(numbers, np.concatenate(found)))


def _of_range(hashes: U32, asked: Bools | None, number: int, bits: int) -> U64:
    """Of the shingles whose upper bits are this number the lower ones, and their places below."""
    lower, above = np.uint32(32 - bits), np.uint64(32 + bits)
    parts = []
    # Some at a time, near the processor's cache.
    for low in range(0, len(hashes), _LOOKED_AT):
        part = hashes[low : low + _LOOKED_AT]
        is_own = part >> lower == number
        if asked is not None:
            is_own &= asked[low : low + _LOOKED_AT]
        at = np.flatnonzero(is_own)
        parts.append(part[at].astype(np.uint64) << above | (at + low).view(np.uint64))
    return np.concatenate(parts) if parts else np.zeros(0, np.uint64)


def _in_rows(keyed: U64, owner: U32, bits: int) -> tuple[Ints, Ints, Ints]:
    """Of places (the lower bits) below hashes those whose hash several have.

    They come in groups of one hash; the sizes of these, and in how many rows each hash stands.
    """
    keyed = ascending(keyed)
    is_same = np.zeros(len(keyed) + 1, bool)  # as the one before
    hashed = (keyed >> np.uint64(bits)).astype(np.uint32)
    np.equal(hashed[1:], hashed[:-1], out=is_same[1:-1])
    several = np.flatnonzero(is_same[1:] | is_same[:-1])
    place = (keyed[several] & np.uint64((1 << bits) - 1)).view(np.int64)
    is_first = ~is_same[several]
    starts = np.flatnonzero(is_first)
    row = owner[place]
    is_first[1:] |= row[1:] != row[:-1]  # of its hash in this row
    counted = np.cumsum(is_first, dtype=np.uint32)
    times = np.diff(counted[starts], append=counted[-1:] + np.uint32(1)).astype(np.int64)
    return place, np.diff(starts, append=len(place)), times
