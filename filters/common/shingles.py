"""Shingle sets: what near-duplicate search compares, as sorted 32-bit hashes.

A shingle is a run of words (one space apart) or of characters of the normalised text, as UTF-8
bytes. Its hash is a polynomial over the bytes, so the hashes of all the spans of a block come
from one running sum, without a loop over shingles.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from filters.common.arrays import U32, U64, Bools, Bytes, Ints, ascending
from filters.common.text import block, in_threads

# An odd number has an inverse modulo 2^64; this one is the golden ratio's, as in SplitMix64.
_BASE = 0x9E3779B97F4A7C15
SLICE = 1 << 11  # rows whose sets are made at once
_HALF = np.uint64(32)
_OWNER = np.uint64(37)  # bits below a row's number: those of a hash, and above it of its rank
_ALL = (1 << 64) - 1
_MIX = (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53)


class Rule(NamedTuple):
    """How text is cut: runs of `size` units; text of fewer than `floor` units has no set."""

    unit: Literal["word", "char"]
    size: int
    floor: int


class Sets(NamedTuple):
    """Sets of 32-bit hashes: set i is `hashes[bounds[i]:bounds[i + 1]]`, ascending, no repeats.

    Two shingles share a hash once in 2^32, so of two sets of 500 the similarity is off (by
    0.001) once in 17,000 pairs.
    """

    hashes: U32
    bounds: Ints

    @property
    def sizes(self) -> Ints:
        """Shingles in each set."""
        return np.diff(self.bounds)

    def take(self, positions: Ints) -> Sets:
        """The sets at these positions, in this order."""
        sizes = self.sizes[positions]
        bounds = bounds_of(sizes)
        hashes = np.empty(bounds[-1], np.uint32)
        # In runs, because the index is twice as large as the hashes it fetches.
        for low in range(0, len(positions), 1 << 14):
            chosen = slice(low, low + (1 << 14))
            times = sizes[chosen]
            first = self.bounds[positions[chosen]] - (np.cumsum(times) - times)
            start, end = bounds[low], bounds[low + len(times)]
            hashes[start:end] = self.hashes[np.repeat(first, times) + np.arange(end - start)]
        return Sets(hashes, bounds)

    def column(self, name: str) -> pl.Series:
        """As a column of lists."""
        return as_lists(pl.Series(name, self.hashes), self.sizes)


def as_lists(values: pl.Series, sizes: Ints) -> pl.Series:
    """Values that lie end to end as a column of lists of these sizes."""
    rows = np.flatnonzero(sizes).astype(np.uint32)
    owner = pl.Series("row", np.repeat(rows, sizes[rows])).set_sorted()
    filled = pl.DataFrame([owner, values]).group_by("row", maintain_order=True).agg(values.name)
    if len(rows) == len(sizes):
        return filled[values.name]
    empty = pl.Series(values.name, [[]], filled[values.name].dtype)
    # The last of all stands for those without values.
    at = np.full(len(sizes), len(rows), np.uint32)
    at[rows] = np.arange(len(rows), dtype=np.uint32)
    return pl.concat([filled[values.name], empty]).gather(at)


def flat_lists(column: pl.Series) -> tuple[npt.NDArray[Any], Ints]:
    """Back from `as_lists`: the values, and the bounds of each list among them."""
    sizes = column.list.len().to_numpy().astype(np.int64)
    # Without empty lists, which give a null, the values are not copied.
    filled = column if sizes.all() else column.filter(sizes > 0)
    return filled.explode().to_numpy(), bounds_of(sizes)


def sets_of_column(column: pl.Series) -> Sets:
    """Back from `Sets.column`."""
    return Sets(*flat_lists(column))


class Runs(NamedTuple):
    """Shingles in the order of the text, repeats too: row i has `hashes[bounds[i]:bounds[i + 1]]`.

    `cuts[i]` of them begin in the first of the two texts that row i is made of.
    """

    hashes: U32
    bounds: Ints
    cuts: Ints

    @property
    def sizes(self) -> Ints:
        """Shingles of each row, repeats too."""
        return np.diff(self.bounds)

    def column(self, name: str) -> pl.Series:
        """As a column of lists."""
        return as_lists(pl.Series(name, self.hashes), self.sizes)


def shingle_runs(texts: Sequence[pl.Series], rule: Rule) -> Runs:
    """The shingles of each row, whose text is the first and then the second (if there are two).

    No nulls. Works on arrays of 8 bytes a character: give it blocks.
    """
    count, together = len(texts[0]), pl.concat(texts)
    if len(texts) > 1:
        order = np.arange(2 * count).reshape(2, count).T.ravel()
        together = together.gather(order)
    data, bounds = block(together, words_only=rule.unit == "word")
    starts, ends, counts = spans(data, bounds[:: len(texts)], rule)
    upto = bounds_of(counts)
    middle = bounds[1 :: len(texts)]  # where the second text of each row begins
    cuts = np.searchsorted(starts, middle) - upto[:-1]
    cuts = np.clip(cuts, 0, counts)
    return Runs(hash_spans(data, starts, ends).astype(np.uint32), upto, cuts)


def joined(parts: Sequence[Runs]) -> Runs:
    """The shingles of all parts, one after the other."""
    hashes = np.concatenate([np.zeros(0, np.uint32), *(part.hashes for part in parts)])
    sizes = np.concatenate([np.zeros(0, np.int64), *(part.sizes for part in parts)])
    cuts = np.concatenate([np.zeros(0, np.int64), *(part.cuts for part in parts)])
    return Runs(hashes, bounds_of(sizes), cuts)


def runs_of_column(column: pl.Series, cuts: npt.NDArray[Any]) -> Runs:
    """Back from `Runs.column` and `Runs.cuts`."""
    hashes, bounds = flat_lists(column)
    return Runs(hashes, bounds, cuts.astype(np.int64))


def run_keys(runs: Runs) -> U64:
    """64 bits for each row, equal for equal shingles (and by chance once in 2^64); 0 for none."""
    keys = np.zeros(len(runs.sizes), np.uint64)
    filled = np.flatnonzero(runs.sizes)
    if len(filled):
        mixed = mix64(runs.hashes + np.uint64(1))  # 0 would stay 0
        keys[filled] = np.add.reduceat(mixed, runs.bounds[filled])
    return keys


def sets_of_runs(runs: Runs, rows: Ints) -> Sets:
    """The sets of these rows, in this order."""
    return sets_between(runs.hashes, runs.bounds[rows], runs.bounds[rows + 1])


def places_of(runs: Runs, rows: Ints) -> Ints:
    """Where the shingles of these rows stand in `hashes`, in this order."""
    return ranges(runs.bounds[rows], runs.bounds[rows + 1])


def ranges(low: Ints, high: Ints) -> Ints:
    """All numbers from each `low` up to its `high`, one range after the other."""
    times = high - low
    found: Ints = np.repeat(low - (np.cumsum(times) - times), times) + np.arange(times.sum())
    return found


def sets_between(hashes: U32, low: Ints, high: Ints, compared: Bools | None = None) -> Sets:
    """The sets of `hashes[low:high]`, of the shingles (all of them) that are `compared`."""
    return ranked_sets(hashes, None, low, high, compared)[0]


def ranked_sets(
    hashes: U32, ranks: Bytes | None, low: Ints, high: Ints, compared: Bools | None = None
) -> tuple[Sets, Bytes]:
    """As `sets_between`, but each by the ranks of its elements, which come with them.

    `ranks` (under 32) has one for each of `hashes`, the same for the same; none: all have 0.
    """

    def of_slice(first: int) -> tuple[U32, Ints, Bytes]:
        start, end = low[first : first + SLICE], high[first : first + SLICE]
        times = end - start
        place = ranges(start, end)
        keyed = np.repeat(np.arange(len(times), dtype=np.uint64) << _OWNER, times)
        if compared is not None:
            chosen = np.flatnonzero(compared[place])
            place, keyed = place[chosen], keyed[chosen]
        keyed |= hashes[place]
        if ranks is not None:
            keyed |= ranks[place].astype(np.uint64) << _HALF
        keyed = distinct(keyed)
        sizes = np.bincount((keyed >> _OWNER).view(np.int64), minlength=len(times))
        rank = (keyed >> _HALF).astype(np.uint8) & np.uint8(31)
        return keyed.astype(np.uint32), sizes.astype(np.int64), rank

    # In slices, which stay near the processor's cache.
    found = in_threads(range(0, len(low), SLICE), of_slice)
    every = np.concatenate([np.zeros(0, np.uint32), *(own for own, _, _ in found)])
    sizes = np.concatenate([np.zeros(0, np.int64), *(own for _, own, _ in found)])
    ranked = np.concatenate([np.zeros(0, np.uint8), *(own for _, _, own in found)])
    return Sets(every, bounds_of(sizes)), ranked


def distinct(values: U64) -> U64:
    """Ascending, without repeats; by a fast sort, `numpy.unique` hashes many times longer."""
    values = ascending(values)
    is_new = np.ones(len(values), bool)
    np.not_equal(values[1:], values[:-1], out=is_new[1:])
    return values[is_new]


def is_repeated(values: U64) -> Bools:
    """Whether each value is there more than once."""
    order = np.argsort(values)
    same = values[order[1:]] == values[order[:-1]]
    found = np.zeros(len(values), bool)
    found[order[1:][same]] = found[order[:-1][same]] = True
    return found


def bounds_of(sizes: Ints) -> Ints:
    """Where each of some runs of these sizes begins, and where the last one ends."""
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes)])


def spans(data: Bytes, bounds: Ints, rule: Rule) -> tuple[Ints, Ints, Ints]:
    """Where each shingle starts and ends in a block, and how many each row has."""
    if rule.unit == "word":
        ends = np.flatnonzero(data == ord(" "))
        starts = np.concatenate([np.zeros(1, np.int64), ends + 1])[: len(ends)]
    else:
        starts = np.flatnonzero(data & 0xC0 != 0x80)  # not inside a UTF-8 character
        ends = np.append(starts[1:], len(data))
    first = np.searchsorted(starts, bounds)  # number of the first unit of each row
    units = np.diff(first)
    if rule.unit == "char":
        units = np.maximum(units - 1, 0)  # the space after the last word is no part of the text
    count = np.where(units >= max(rule.floor, rule.size), units - rule.size + 1, 0)
    chosen = np.arange(count.sum()) + np.repeat(first[:-1] - (np.cumsum(count) - count), count)
    return starts[chosen], ends[chosen + rule.size - 1], count


def hash_spans(data: Bytes, starts: Ints, ends: Ints) -> U64:
    """32-bit hashes (in 64-bit integers) of `data[start:end]` for many spans."""
    power, inverse = _powers(1 << len(data).bit_length())
    running = np.zeros(len(data) + 1, np.uint64)
    upto = running[1:]  # in one place: memory that is new costs more than the sums
    np.take(_letters(), data, out=upto, mode="clip")
    upto *= power[: len(data)]
    np.cumsum(upto, out=upto)
    return mix64((running[ends] - running[starts]) * inverse[starts]) >> _HALF


def shingle_hash(data: bytes) -> int:
    """32-bit hash of one shingle: sum of letter[b_i] * base^i modulo 2^64, mixed, upper half.

    `datasketch.MinHash(num_perm, seed, hashfunc=shingle_hash)` has this package's signatures.

    >>> shingle_hash(b"the quick brown")
    4200883840
    """
    letters, total, power = _letter_list(), 0, 1
    for byte in data:
        total += letters[byte] * power
        power = power * _BASE & _ALL
    total &= _ALL
    # mix64 in whole numbers: an array of one would take ten times as long.
    total = (total ^ total >> 33) * _MIX[0] & _ALL
    total = (total ^ total >> 33) * _MIX[1] & _ALL
    return (total ^ total >> 33) >> 32


@lru_cache(maxsize=1)
def _letter_list() -> list[int]:
    return [int(letter) for letter in _letters()]


@lru_cache(maxsize=1)
def _letters() -> U64:
    """A fixed random number for each byte, so that words of like letters do not look alike."""
    return mix64(np.arange(1, 257, dtype=np.uint64) * np.uint64(_BASE))


@lru_cache(maxsize=2)
def _powers(count: int) -> tuple[U64, U64]:
    """base^i and base^-i modulo 2^64 for i below `count`."""
    powers = []
    for base in (_BASE, pow(_BASE, -1, 1 << 64)):
        power = np.full(count, base, np.uint64)
        power[0] = 1
        powers.append(np.multiply.accumulate(power))
    return powers[0], powers[1]


def mix64(values: U64) -> U64:
    """The 64-bit finaliser of MurmurHash3: every bit of a value reaches every bit."""
    values = values ^ (values >> np.uint64(33))
    values *= np.uint64(_MIX[0])
    values ^= values >> np.uint64(33)
    values *= np.uint64(_MIX[1])
    values ^= values >> np.uint64(33)
    return values
