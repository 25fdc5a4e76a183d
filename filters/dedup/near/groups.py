"""Which set is dropped for which kept one: greedy, without looking at all pairs of a hot spot.

Sets are numbered in order of keeping. A set is dropped if a kept set of lower number is similar
to it, as a duplicate of the first such. These are the verdicts of the textbook's loop over all
sets; only the order of the work differs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import numpy as np

from filters.common.arrays import U32, U64, Bools, Floats, Ints, ascending
from filters.common.shingles import distinct, mix64
from filters.dedup.keep import first_of_equal
from filters.dedup.near.similarity import (
    pair_count,
    pairs_across,
    pairs_between,
    pairs_within,
    shared_entries,
    split,
)

# Candidate pairs resolved at once. Beyond, the lower half of the sets is resolved first, and what
# is similar to its survivors leaves the upper half: of 20,000 near-copies of one row a few
# hundred are compared with each other, the rest with the one that is kept.
BUDGET = 1 << 18

_LOW = np.uint64(0xFFFFFFFF)


class TooMuchWorkError(Exception):
    """The search went past its limit."""


class Compares(Protocol):
    """Tells how similar sets are, by their number; see `similarity.Comparison`."""

    @property
    def sizes(self) -> Ints:
        """Elements of each set."""

    def may_reach(self, threshold: float, left: Ints, right: Ints) -> Bools:
        """False where the sizes alone rule the threshold out."""

    def similarity(self, left: Ints, right: Ints, floor: float = 0.0) -> Floats:
        """Of each pair, or anything below `floor`."""


class Levels(NamedTuple):
    """Similarities from which (or, if `strict`, above which) a set is dropped; the first is asked.

    The others say what would be if it were moved.
    """

    values: tuple[float, ...]
    strict: bool = False

    @property
    def floor(self) -> float:
        """The lowest."""
        return min(self.values)

    def reached(self, scores: Floats, level: int = 0) -> Bools:
        """Where a set is dropped, at one of them."""
        value = self.values[level]
        enough: Bools = scores > value if self.strict else scores >= value
        return enough


@dataclass
class Search:
    """Decides for each set whether it is kept, at each level.

    `duplicate_of[l, i]` is the number of the set that is kept instead of i at level l, or -1;
    `score[l, i]` their similarity. The first `known` sets are always kept; sets of one `group` are
    never compared.
    `work` counts shingles compared (and 16 for each candidate pair).
    """

    comparison: Compares
    levels: Levels
    known: int = 0
    group: Ints | None = None
    limit: float = float("inf")  # of work
    # Signatures, and the Jaccard similarity far below which pairs are skipped.
    sketched: tuple[U32, float] | None = None
    duplicate_of: Ints = field(init=False)
    score: Floats = field(init=False)
    work: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        shape = (len(self.levels.values), len(self.comparison.sizes))
        self.duplicate_of = np.full(shape, -1, np.int64)
        self.score = np.full(shape, np.nan)

    def run(self, entries: U64) -> None:
        """Decide all sets; `entries` are buckets in which all similar pairs meet."""
        if self.known:
            is_known = (entries & _LOW) < np.uint64(self.known)
            known, entries = entries[is_known], entries[~is_known]
            self._drop(*self.similar(pairs_across(known, entries)))
        self._resolve(self._kept(entries))

    def _resolve(self, entries: U64) -> None:
        """Decide the sets in these buckets; none is similar to one that was kept before."""
        inside = shared_entries(entries)
        numbers = distinct(inside & _LOW)
        if self._pair_count(inside) <= BUDGET or len(numbers) <= 2:
            self._drop(*self.similar(self._pairs(inside)))
            return
        is_low = (entries & _LOW) < numbers[len(numbers) // 2]
        low, high = entries[is_low], entries[~is_low]
        self._resolve(low)
        self._drop(*self.similar(pairs_across(self._kept(low), high)))
        self._resolve(self._kept(high))

    def _pair_count(self, entries: U64) -> int:
        if self.group is None:
            return pair_count(entries)
        group = self.group[(entries & _LOW).astype(np.int64)].astype(np.uint64)
        return pair_count(entries) - pair_count(ascending(_renumbered(entries, group)))

    def _pairs(self, entries: U64) -> Iterator[U64]:
        if self.group is None:
            return pairs_within(entries)
        return pairs_between(entries, self.group)

    def roots(self, entries: U64) -> Ints:
        """For each set the lowest that a chain of similar sets links it to, after `run`.

        Pairs that the verdicts link already are not compared again, and known sets link nothing.
        """
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        duplicate_of = self.duplicate_of[0]
        count = len(duplicate_of)
        kept = np.where(duplicate_of < self.known, np.arange(count), duplicate_of)
        number = (entries & _LOW).astype(np.int64)
        instead = duplicate_of[number]
        ours = (number >= self.known) & ((instead < 0) | (instead >= self.known))
        pairs, scores = self.similar(pairs_between(entries[ours], kept))
        lower, higher = split(pairs[self.levels.reached(scores)])
        ends = (np.concatenate([kept, lower]), np.concatenate([np.arange(count), higher]))
        links = coo_array((np.ones(len(ends[0]), np.int8), ends), shape=(count, count))
        _, label = connected_components(links, directed=False)
        return first_of_equal(label, np.arange(count))

    def similar(self, slices: Iterable[U64]) -> tuple[U64, Floats]:
        """Of candidate pairs (`lower << 32 | higher`) those that reach any level; how similar."""
        found = [self._verified(pairs) for pairs in slices]
        pairs = np.concatenate([np.zeros(0, np.uint64), *(pairs for pairs, _ in found)])
        scores = np.concatenate([np.zeros(0), *(scores for _, scores in found)])
        pairs, first = np.unique(pairs, return_index=True)
        return pairs, scores[first]

    def _verified(self, pairs: U64) -> tuple[U64, Floats]:
        sizes, floor = self.comparison.sizes, self.levels.floor
        self.work += 16 * len(pairs)
        if self.group is not None:
            lower, higher = split(pairs)
            pairs = pairs[self.group[lower] != self.group[higher]]
        pairs = pairs[self.comparison.may_reach(floor, *split(pairs))]
        if self.sketched is not None:
            pairs = pairs[_looks_similar(*self.sketched, *split(pairs))]
        lower, higher = split(pairs)
        self.work += int(sizes[lower].sum() + sizes[higher].sum())
        if self.work > self.limit:
            raise TooMuchWorkError
        scores = self.comparison.similarity(lower, higher, floor)
        enough = scores >= floor
        return pairs[enough], scores[enough]

    def _kept(self, entries: U64) -> U64:
        """Without the sets that are dropped at every level."""
        kept: Bools = np.any(self.duplicate_of < 0, axis=0)
        return entries[kept[(entries & _LOW).astype(np.int64)]]

    def _drop(self, pairs: U64, scores: Floats) -> None:
        lower, higher = split(pairs)
        order = np.lexsort((lower, higher))
        for level in range(len(self.levels.values)):
            chosen = order[self.levels.reached(scores[order], level)]
            self._drop_at(level, lower[chosen], higher[chosen], scores[chosen])

    def _drop_at(self, level: int, lower: Ints, higher: Ints, scores: Floats) -> None:
        """The pairs are by their higher set, and then by the lower."""
        if not len(higher):
            return
        duplicate_of, score = self.duplicate_of[level], self.score[level]
        starts = np.flatnonzero(np.diff(higher, prepend=-1))
        numbers = higher[starts]
        # Most sets are similar only to such as are decided.
        is_open = np.zeros(len(duplicate_of), bool)
        is_open[numbers] = duplicate_of[numbers] < 0
        waits = np.logical_or.reduceat(is_open[lower], starts)
        kept = np.where(duplicate_of[lower] < 0, np.arange(len(lower)), len(lower))
        first = np.minimum.reduceat(kept, starts)
        done = is_open[numbers] & ~waits & (first < len(lower))
        duplicate_of[numbers[done]] = lower[first[done]]
        score[numbers[done]] = scores[first[done]]
        ends = np.append(starts, len(higher))[1:]
        # Whether another is kept depends on the verdicts before it, hence a loop.
        for at in np.flatnonzero(is_open[numbers] & waits).tolist():
            own = slice(starts[at], ends[at])
            kept = np.flatnonzero(duplicate_of[lower[own]] < 0)
            if len(kept):
                duplicate_of[numbers[at]] = lower[own][kept[0]]
                score[numbers[at]] = scores[own][kept[0]]


def _renumbered(entries: U64, group: U64) -> U64:
    """Entries whose bucket is (bucket, group), for counting."""
    key = mix64(mix64(entries >> np.uint64(32)) + group)
    return key >> np.uint64(32) << np.uint64(32) | entries & _LOW


def _looks_similar(signature: U32, threshold: float, left: Ints, right: Ints) -> Bools:
    """Whether the estimate is above the threshold less five standard errors.

    A pair at the threshold is missed once in three million.
    """
    size = signature.shape[1]
    error = (threshold * (1 - threshold) / size) ** 0.5
    equal = np.empty(len(left), np.int64)
    for low in range(0, len(left), 4096):
        chosen = slice(low, low + 4096)
        agree = signature[left[chosen]] == signature[right[chosen]]
        equal[chosen] = np.count_nonzero(agree, axis=1)
    enough: Bools = equal >= size * (threshold - 5 * error)
    return enough
