"""True Jaccard similarity, and the buckets in which all pairs that may reach a threshold meet.

Prefix filtering (Bayardo et al. 2007, "Scaling up all pairs similarity search"): if tokens have
one fixed order, two sets with Jaccard >= t share a token among the first n - ceil(t n) + 1 of
each. With rare tokens first those prefixes hardly meet by chance, and no pair is missed.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property, partial
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from filters.common.arrays import U64, Bools, Bytes, Floats, Ints, ascending
from filters.common.shingles import Sets, distinct, ranges, ranked_sets, sets_between
from filters.common.text import in_threads
from filters.dedup.near.occurrences import occurrences

# Pairs worked on at once (8 bytes each in some ten arrays), shingles compared at once, those that
# are few to compare, and sets whose shingles are looked at.
SLICE = 1 << 20
COMPARED = 1 << 20
FEW = 1 << 22
SETS = 1 << 12

_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)
SLACK = 1e-9  # for t * n that floating point puts just above an integer


def likely_pairs(sets: Sets, threshold: float) -> float:
    """About how many pairs `rare_entries` would lead to, judged by one token in 64.

    As if the tokens of the rarest share 1 - threshold of all occurrences were the prefixes.
    """
    frequency = ascending(_run_lengths(ascending(sets.hashes[sets.hashes < 1 << 26])))
    upto = np.cumsum(frequency)
    rare = frequency[upto <= (1 - threshold) * upto[-1]] if len(upto) else frequency
    return float(64 * (rare * (rare - 1) // 2).sum())


def rare_entries(sets: Sets, threshold: float, ranks: Bytes | None = None) -> U64:
    """Bucket entries (token above, set number below) for an exact search at `threshold`.

    Every pair of sets with Jaccard similarity >= threshold shares a bucket. With `ranks`, the sets
    are by rank (see `ranked_sets`): that of the number of sets an element stands in, or stood in
    before some were left out.
    """
    if ranks is None:
        owner = np.repeat(np.arange(len(sets.sizes), dtype=np.uint32), sets.sizes)
        ranks = occurrences(sets.hashes, owner).ranks
        sets, ranks = ranked_sets(sets.hashes, ranks, sets.bounds[:-1], sets.bounds[1:])
    prefix = sets.sizes - np.ceil(threshold * sets.sizes - SLACK).astype(np.int64) + 1
    # In slices, for all at once take six times the memory of their tokens.
    chosen = [np.zeros(0, np.uint64)]
    for first in range(0, len(prefix), SETS):
        start = sets.bounds[:-1][first : first + SETS]
        sizes = np.minimum(prefix[first : first + SETS], sets.sizes[first : first + SETS])
        place = ranges(start, start + sizes)
        owner = np.repeat(np.arange(first, first + len(sizes), dtype=np.uint64), sizes)
        # Tokens of one set only come first in the order and meet nobody.
        shared = np.flatnonzero(ranks[place] > 1)
        chosen.append(sets.hashes[place[shared]].astype(np.uint64) << _HALF | owner[shared])
    return shared_entries(np.concatenate(chosen))


def _run_lengths(ascending: npt.NDArray[Any]) -> Ints:
    """How often each value stands there."""
    starts = np.flatnonzero(ascending[1:] != ascending[:-1]) + 1
    return np.diff(starts, prepend=0, append=len(ascending))[: len(ascending)]


def shared_entries(entries: U64) -> U64:
    """Sorted, without those that are alone in their bucket."""
    entries = ascending(entries)
    sizes = _run_lengths(entries >> _HALF)
    return entries[np.repeat(sizes, sizes) > 1]


def pair_count(entries: U64) -> int:
    """How many pairs `pairs_within` will give (a pair counts once for each bucket it shares)."""
    sizes = _run_lengths(entries >> _HALF)
    return int((sizes * (sizes - 1) // 2).sum())


def pairs_within(entries: U64) -> Iterator[U64]:
    """All pairs that share a bucket, in slices, as `lower << 32 | higher` set number."""
    sizes = _run_lengths(entries >> _HALF)
    start = np.repeat(np.cumsum(sizes) - sizes, sizes)
    return _pairs(entries, entries, start, np.arange(len(entries)) - start)


def pairs_across(kept: U64, others: U64) -> Iterator[U64]:
    """All pairs of one of `kept` and one of `others` that share a bucket, in slices.

    Both sorted; set numbers in `kept` are lower than those in `others`.
    """
    start = np.searchsorted(kept, others & ~_LOW)
    return _pairs(kept, others, start, np.searchsorted(kept, others | _LOW, "right") - start)


def pairs_between(entries: U64, label: Ints) -> Iterator[U64]:
    """All pairs that share a bucket but not a label, in slices."""
    keys, numbers = split(entries)
    labels = label[numbers]
    order = np.lexsort((numbers, labels, keys))
    keys, labels = keys[order], labels[order]
    new_key = np.diff(keys, prepend=-1) != 0
    new_run = new_key | (np.diff(labels, prepend=-1) != 0)
    place = np.arange(len(order))
    start = np.maximum.accumulate(np.where(new_key, place, 0))
    run = np.maximum.accumulate(np.where(new_run, place, 0))
    for pairs in _pairs(entries[order], entries[order], start, run - start):
        left, right = pairs >> _HALF, pairs & _LOW
        yield distinct(np.minimum(left, right) << _HALF | np.maximum(left, right))


def split(pairs: U64) -> tuple[Ints, Ints]:
    """The two numbers of `lower << 32 | higher`."""
    return (pairs >> _HALF).astype(np.int64), (pairs & _LOW).astype(np.int64)


def _pairs(mates: U64, entries: U64, start: Ints, count: Ints) -> Iterator[U64]:
    """Pair each entry with its `count` mates from `start` on."""
    upto = np.cumsum(count)
    total = int(upto[-1]) if len(upto) else 0
    cuts = np.searchsorted(upto, np.arange(SLICE, total, SLICE))
    for low, high in zip([0, *(cuts + 1)], [*(cuts + 1), len(entries)], strict=True):
        times = count[low:high]
        first = np.repeat(start[low:high] - (np.cumsum(times) - times), times)
        mate = mates[first + np.arange(len(first))]
        yield distinct((mate & _LOW) << _HALF | np.repeat(entries[low:high] & _LOW, times))


class Comparison:
    """Tells how similar sets are, by their number.

    >>> Comparison(Sets(np.array([1, 2, 1, 2, 3], np.uint32), np.array([0, 2, 5]))).similarity(
    ...     np.array([0]), np.array([1]))
    array([0.66666667])
    """

    def __init__(self, sets: Sets) -> None:
        self.sets = sets
        self._asked = 0  # elements of all that was compared so far

    @cached_property
    def sizes(self) -> Ints:
        """Elements of each set."""
        return self.sets.sizes

    def similarity(self, left: Ints, right: Ints, floor: float = 0.0) -> Floats:
        """|A and B| / |A or B| for each pair of set numbers; 0 if both are empty.

        Where it is below `floor`, another comparison may give anything below; this one does not.
        """
        common = self.common(left, right)
        similarity: Floats = common / np.maximum(self.sizes[left] + self.sizes[right] - common, 1)
        return similarity

    def common(self, left: Ints, right: Ints) -> Ints:
        """|A and B| for each pair of set numbers."""
        total = np.cumsum(self.sizes[left] + self.sizes[right])
        cuts = np.flatnonzero(np.diff(total // COMPARED)) + 1
        self._asked += int(total[-1]) if len(total) else 0
        # A few pairs are not worth a matrix of all sets, nor the import of SciPy.
        few = self._asked <= max(FEW, len(self.sets.hashes))
        common_of = self._common_of_few if few else partial(_common, self._incidence)
        parts = [slice(low, high) for low, high in pairwise([0, *cuts.tolist(), len(left)])]
        return np.concatenate(in_threads(parts, lambda part: common_of(left[part], right[part])))

    def _common_of_few(self, left: Ints, right: Ints) -> Ints:
        one, other = self.sets.take(left), self.sets.take(right)
        pair = np.arange(len(left), dtype=np.uint64) << _HALF
        keyed = np.empty(len(one.hashes) + len(other.hashes), np.uint64)
        cut = len(one.hashes)
        np.bitwise_or(np.repeat(pair, one.sizes), one.hashes, out=keyed[:cut])
        np.bitwise_or(np.repeat(pair, other.sizes), other.hashes, out=keyed[cut:])
        keyed = ascending(keyed)
        twice = keyed[np.flatnonzero(keyed[1:] == keyed[:-1])]
        return np.bincount((twice >> _HALF).view(np.int64), minlength=len(left))

    @cached_property
    def _incidence(self) -> Any:
        """Which element is in which set."""
        from scipy.sparse import csr_array

        # Ascending, which they may not be.
        hashes, bounds = sets_between(self.sets.hashes, self.sets.bounds[:-1], self.sets.bounds[1:])
        columns = (np.ones(len(hashes), np.int8), hashes.astype(np.int64), bounds)
        incidence = csr_array(columns, shape=(len(self.sizes), 1 << 32))
        incidence.has_canonical_format = True  # else scipy sorts each time to find out
        return incidence

    def may_reach(self, threshold: float, left: Ints, right: Ints) -> Bools:
        """False where the sizes alone rule the threshold out."""
        small = np.minimum(self.sizes[left], self.sizes[right])
        large = np.maximum(self.sizes[left], self.sizes[right])
        return small >= threshold * large - SLACK


def _common(incidence: Any, left: Ints, right: Ints) -> Ints:
    both = incidence[left].multiply(incidence[right])
    found: Ints = np.diff(both.tocsr().indptr)
    return found
