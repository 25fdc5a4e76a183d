"""Which sets go for which: greedy against kept ones, without looking at all pairs of a hot spot.

Sets are numbered in order of keeping. A set is dropped if a kept set of lower number is similar
to it; its twin is the first such. These are the verdicts of the textbook's loop over all sets;
only the order of the work differs.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from filters.shingles import I64, U32, U64
from filters.similarity import (
    F64,
    Bools,
    Comparison,
    distinct,
    pair_count,
    pairs_across,
    pairs_between,
    pairs_within,
    shared_entries,
    split,
)

# Candidate pairs resolved at once. Beyond, the lower half of the sets is resolved first, and what
# is similar to its survivors leaves the upper half: of 20,000 near-copies of one row a few
# hundred are compared with each other, the rest with the one that stays.
BUDGET = 1 << 18

_LOW = np.uint64(0xFFFFFFFF)


class TooMuchWorkError(Exception):
    """The search went past its limit."""


@dataclass
class Search:
    """Decides for each set whether it stays.

    `twin[i]` is the number of the set that stays instead of i, or -1; `score[i]` their
    similarity. `work` counts shingles compared (and 16 for each candidate pair).
    """

    comparison: Comparison
    threshold: float
    limit: float = float("inf")  # of work
    signature: U32 | None = None  # pairs that are far below the threshold by it are skipped
    twin: I64 = field(init=False)
    score: F64 = field(init=False)
    work: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self.twin = np.full(len(self.comparison.sizes), -1, np.int64)
        self.score = np.full(len(self.comparison.sizes), np.nan)

    def resolve(self, entries: U64) -> None:
        """Decide the sets in these buckets; none is similar to one that was kept before."""
        inside = shared_entries(entries)
        numbers = distinct(inside & _LOW)
        if pair_count(inside) <= BUDGET or len(numbers) <= 2:
            self._drop(*self.similar(pairs_within(inside)))
            return
        is_low = (entries & _LOW) < numbers[len(numbers) // 2]
        low, high = entries[is_low], entries[~is_low]
        self.resolve(low)
        self._drop(*self.similar(pairs_across(self._kept(low), high)))
        self.resolve(self._kept(high))

    def roots(self, entries: U64) -> I64:
        """For each set the lowest that a chain of similar sets links it to, after `resolve`.

        Pairs that the verdicts link already are not compared again.
        """
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        count = len(self.twin)
        stays = np.where(self.twin < 0, np.arange(count), self.twin)
        lower, higher = split(self.similar(pairs_between(entries, stays))[0])
        ends = (np.concatenate([stays, lower]), np.concatenate([np.arange(count), higher]))
        links = coo_array((np.ones(len(ends[0]), np.int8), ends), shape=(count, count))
        _, label = connected_components(links, directed=False)
        _, first, group = np.unique(label, return_index=True, return_inverse=True)
        return first[group].astype(np.int64)

    def similar(self, slices: Iterable[U64]) -> tuple[U64, F64]:
        """Of candidate pairs (`lower << 32 | higher`) the truly similar ones, and how similar."""
        found = [self._verified(pairs) for pairs in slices]
        pairs = np.concatenate([np.zeros(0, np.uint64), *(pairs for pairs, _ in found)])
        scores = np.concatenate([np.zeros(0), *(scores for _, scores in found)])
        pairs, first = np.unique(pairs, return_index=True)
        return pairs, scores[first]

    def _verified(self, pairs: U64) -> tuple[U64, F64]:
        sizes = self.comparison.sizes
        self.work += 16 * len(pairs)
        pairs = pairs[self.comparison.may_reach(self.threshold, *split(pairs))]
        if self.signature is not None:
            pairs = pairs[_looks_similar(self.signature, self.threshold, *split(pairs))]
        lower, higher = split(pairs)
        self.work += int(sizes[lower].sum() + sizes[higher].sum())
        if self.work > self.limit:
            raise TooMuchWorkError
        scores = self.comparison.jaccard(lower, higher)
        enough = scores >= self.threshold
        return pairs[enough], scores[enough]

    def _kept(self, entries: U64) -> U64:
        return entries[self.twin[(entries & _LOW).astype(np.int64)] < 0]

    def _drop(self, pairs: U64, scores: F64) -> None:
        lower, higher = split(pairs)
        order = np.lexsort((lower, higher))
        lower, higher, scores = lower[order], higher[order], scores[order]
        numbers, starts = np.unique(higher, return_index=True)
        ends = np.append(starts, len(higher))[1:]
        # Whether a set stays depends on the verdicts before it, hence a loop, over those sets
        # only that are similar to another.
        for number, start, end in zip(
            numbers.tolist(), starts.tolist(), ends.tolist(), strict=True
        ):
            kept = np.flatnonzero(self.twin[lower[start:end]] < 0)
            if len(kept):
                self.twin[number] = lower[start + kept[0]]
                self.score[number] = scores[start + kept[0]]


def _looks_similar(signature: U32, threshold: float, left: I64, right: I64) -> Bools:
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
