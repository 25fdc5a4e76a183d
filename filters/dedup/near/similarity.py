"""True Jaccard similarity, and the buckets in which all pairs that may reach a threshold meet.

Prefix filtering (Bayardo et al. 2007, "Scaling up all pairs similarity search"): if tokens have
one fixed order, two sets with Jaccard >= t share a token among the first n - ceil(t n) + 1 of
each. With rare tokens first those prefixes hardly meet by chance, and no pair is missed.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from filters.common.arrays import U64, Bools, Floats, Ints
from filters.common.shingles import Sets, distinct
from filters.common.text import in_threads

# Pairs worked on at once (8 bytes each in some ten arrays), and shingles compared at once.
SLICE = 1 << 20
COMPARED = 1 << 20
# Ranges of tokens that are ordered before their results are put together.
AT_ONCE = 4

_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)
_OWNER = np.uint64(37)  # bits below a set's number, see `_by_rarity`
SLACK = 1e-9  # for t * n that floating point puts just above an integer


def likely_pairs(sets: Sets, threshold: float) -> float:
    """About how many pairs `rare_entries` would lead to, judged by one token in 64.

    As if the tokens of the rarest share 1 - threshold of all occurrences were the prefixes.
    """
    frequency = np.sort(_run_lengths(np.sort(sets.hashes[sets.hashes < 1 << 26])))
    upto = np.cumsum(frequency)
    rare = frequency[upto <= (1 - threshold) * upto[-1]] if len(upto) else frequency
    return float(64 * (rare * (rare - 1) // 2).sum())


def rare_entries(sets: Sets, threshold: float) -> U64:
    """Bucket entries (token above, set number below) for an exact search at `threshold`.

    Every pair of sets with Jaccard similarity >= threshold shares a bucket.
    """
    ordered = _by_rarity(sets)
    # Sets follow each other in it; in slices of them, for all at once take six times its memory.
    step = max(1, len(sets.sizes) * SLICE // max(1, len(ordered)))
    numbers = range(0, len(sets.sizes), step)
    cuts = np.searchsorted(ordered, np.array([*numbers], np.uint64) << _OWNER)
    prefix = sets.sizes - np.ceil(threshold * sets.sizes - SLACK).astype(np.int64) + 1
    chosen = [np.zeros(0, np.uint64)]
    ends = pairwise([*cuts.tolist(), len(ordered)])
    for first, (low, high) in zip(numbers, ends, strict=True):
        own = ordered[low:high]
        owner = (own >> _OWNER).astype(np.int64) - first
        shared = np.bincount(owner, minlength=min(step, len(sets.sizes) - first))
        # Tokens of one set only come first in the order and meet nobody.
        alone = sets.sizes[first : first + step] - shared
        useful = np.minimum(prefix[first : first + step] - alone, shared)
        place = np.arange(len(own)) - (np.cumsum(shared) - shared)[owner]
        chosen.append(own[place < useful[owner]])
    del ordered
    entries = np.concatenate(chosen)
    return shared_entries((entries & _LOW) << _HALF | entries >> _OWNER)


def _by_rarity(sets: Sets) -> U64:
    """(set number, log2 of the token's frequency, token) in 27 + 5 + 32 bits, ascending.

    Without the tokens that only one set has.
    """
    ordered = _by_token(sets)
    ordered.sort()
    return ordered


def _by_token(sets: Sets) -> U64:
    """The lines of `_by_rarity`, by token.

    Worked in ranges of tokens, some at a time, to bound memory: 4 bytes a token for the owners, and
    8 for the result.
    """
    owner = np.repeat(np.arange(len(sets.sizes), dtype=np.uint32), sets.sizes)
    bits = max(0, len(sets.hashes).bit_length() - 20)

    def of_range(number: int) -> U64:
        own = sets.hashes >= number << (32 - bits)
        own &= sets.hashes <= ((number + 1) << (32 - bits)) - 1
        chosen = np.flatnonzero(own)
        posting = sets.hashes[chosen].astype(np.uint64) << _HALF | owner[chosen]
        posting.sort()
        sizes = _run_lengths(posting >> _HALF)
        frequency = np.repeat(sizes, sizes)
        posting = posting[frequency > 1]
        scale = np.frexp(frequency[frequency > 1])[1].astype(np.uint64)
        placed: U64 = (posting & _LOW) << _OWNER | scale << _HALF | posting >> _HALF
        return placed

    ordered, filled = np.empty(len(sets.hashes), np.uint64), 0
    for first in range(0, 1 << bits, AT_ONCE):
        for part in in_threads(range(first, min(first + AT_ONCE, 1 << bits)), of_range):
            ordered[filled : filled + len(part)] = part
            filled += len(part)
    return ordered[:filled]


def _run_lengths(ascending: npt.NDArray[Any]) -> Ints:
    """How often each value stands there."""
    starts = np.flatnonzero(ascending[1:] != ascending[:-1]) + 1
    return np.diff(starts, prepend=0, append=len(ascending))[: len(ascending)]


def shared_entries(entries: U64) -> U64:
    """Sorted, without those that are alone in their bucket."""
    entries = np.sort(entries)
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
        from scipy.sparse import csr_array

        self._sizes = sets.sizes
        columns = (np.ones(len(sets.hashes), np.int8), sets.hashes.astype(np.int64), sets.bounds)
        self._incidence: Any = csr_array(columns, shape=(len(sets.sizes), 1 << 32))
        self._incidence.has_canonical_format = True  # else scipy sorts each time to find out

    @property
    def sizes(self) -> Ints:
        """Elements of each set."""
        return self._sizes

    def similarity(self, left: Ints, right: Ints, floor: float = 0.0) -> Floats:
        """|A and B| / |A or B| for each pair of set numbers; 0 if both are empty.

        Where it is below `floor`, another comparison may give anything below; this one does not.
        """
        common = self.common(left, right)
        similarity: Floats = common / np.maximum(self.sizes[left] + self.sizes[right] - common, 1)
        return similarity

    def common(self, left: Ints, right: Ints) -> Ints:
        """|A and B| for each pair of set numbers."""
        total = self.sizes[left] + self.sizes[right]
        cuts = np.flatnonzero(np.diff(np.cumsum(total) // COMPARED)) + 1

        def common_of(part: slice) -> Ints:
            both = self._incidence[left[part]].multiply(self._incidence[right[part]])
            found: Ints = np.diff(both.tocsr().indptr)
            return found

        parts = [slice(low, high) for low, high in pairwise([0, *cuts.tolist(), len(left)])]
        return np.concatenate(in_threads(parts, common_of))

    def may_reach(self, threshold: float, left: Ints, right: Ints) -> Bools:
        """False where the sizes alone rule the threshold out."""
        small = np.minimum(self.sizes[left], self.sizes[right])
        large = np.maximum(self.sizes[left], self.sizes[right])
        return small >= threshold * large - SLACK
