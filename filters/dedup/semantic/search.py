"""Which vector is dropped for which kept one: greedy, by products of blocks of vectors."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import polars as pl

from filters.common.arrays import F32, Bools, Floats, Ints
from filters.dedup.keep import first_of_equal
from filters.dedup.semantic.asks import Asks

# All pairs of so many vectors of 512 numbers take 1.3e12 multiplications, half a minute.
EXACT_ROWS = 50_000
BUCKET = 5_000  # rows in a k-means bucket, on average
ROUNDS = 8
SAMPLE = 1_000
_BLOCK = 1024
# A float32 product is this near to the true one. Closer calls are decided in float64, number by
# number, so that they do not depend on how a library splits the work.
_DOUBT = 1e-4


class Alike(NamedTuple):
    """For vectors in order of keeping the first kept one that each is dropped for, or -1.

    `score` is the cosine to it. `apart` is, for one that is kept, the first kept one with as high
    a cosine that asks for something else, or -1.
    """

    duplicate_of: Ints
    score: Floats
    apart: Ints

    def by_position(self, order: Ints) -> Alike:
        """The same where vector i stands at position `order[i]`."""
        known = np.append(order, -1)
        place = np.argsort(order)
        return Alike(known[self.duplicate_of][place], self.score[place], known[self.apart][place])


def find_alike(
    vectors: F32, names: pl.Series, threshold: float, seed: int, asks: Asks | None = None
) -> Alike:
    """Which vectors have a kept one with this cosine or more before them, in order of keeping.

    Equal vectors are compared once. `names` (content ids) fix the order in which rows enter
    k-means, so that the order of the input does not matter to it. Rows that ask for something
    else (`asks`; none: all ask the same) are never alike.
    """
    asks = Asks({}, ()) if asks is None else asks
    duplicate_of, score = np.full(len(vectors), -1, np.int64), np.full(len(vectors), np.nan)
    apart = np.full(len(vectors), -1, np.int64)
    lead = _first_equal(vectors, asks)
    is_zero = ~vectors.any(axis=1)
    leads = np.flatnonzero((lead == np.arange(len(lead))) & ~is_zero)
    bucket = _buckets(vectors[leads], names.gather(leads), seed)
    for number in range(int(bucket.max(initial=-1)) + 1):
        rows = leads[bucket == number]
        found = _greedy(vectors[rows], threshold, asks.take(rows))
        for of_all, of_bucket in ((duplicate_of, found.duplicate_of), (apart, found.apart)):
            of_all[rows[of_bucket >= 0]] = rows[of_bucket[of_bucket >= 0]]
        score[rows] = found.score
    copies = np.flatnonzero((lead != np.arange(len(lead))) & ~is_zero)
    instead = duplicate_of[lead[copies]]
    duplicate_of[copies] = np.where(instead < 0, lead[copies], instead)
    score[copies] = np.where(instead < 0, 1.0, score[lead[copies]])
    return Alike(duplicate_of, score, apart)


def _first_equal(vectors: F32, asks: Asks) -> Ints:
    """For each vector the first that is equal to it, number for number, and
    asks for the same."""
    if not len(vectors):
        return np.zeros(0, np.int64)
    same_zero = vectors + np.float32(0)  # -0.0 becomes 0.0
    rows = np.ascontiguousarray(np.hstack([same_zero.view(np.uint32), *asks.rows()]))
    as_bytes = rows.view(np.dtype((np.void, rows.itemsize * rows.shape[1]))).ravel()
    return first_of_equal(as_bytes, np.arange(len(rows)))


def _greedy(vectors: F32, threshold: float, asks: Asks) -> Alike:
    count = len(vectors)
    duplicate_of, apart = np.full(count, -1, np.int64), np.full(count, -1, np.int64)
    kept = np.empty_like(vectors)
    numbers = np.zeros(0, np.int64)
    for start in range(0, count, _BLOCK):
        block = vectors[start : start + _BLOCK]
        here = np.arange(start, start + len(block))
        alike = _reaches(block, kept[: len(numbers)], threshold)
        unlike = _strike(alike, asks, here, numbers)
        duplicate_of[here] = _first_of(alike, numbers)
        apart[here] = _first_of(unlike, numbers)
        left = np.flatnonzero(duplicate_of[here] < 0)
        alike = _reaches(block[left], block[left], threshold)
        unlike = _strike(alike, asks, start + left, start + left)
        open_ = np.ones(len(left), bool)
        # Whether a row is kept depends on those before it, hence a loop, over rows not yet decided.
        for position in range(len(left)):
            if open_[position]:
                hit = np.flatnonzero(alike[position, position + 1 :] & open_[position + 1 :])
                hit += position + 1
                duplicate_of[start + left[hit]] = start + left[position]
                open_[hit] = False
        new = start + left[open_]
        before = _first_of(np.tril(unlike[np.ix_(open_, open_)], -1), new)
        apart[new] = np.where(apart[new] < 0, before, apart[new])
        kept[len(numbers) : len(numbers) + len(new)] = vectors[new]
        numbers = np.concatenate([numbers, new])
    dropped = duplicate_of >= 0
    apart[dropped] = -1
    score = np.full(count, np.nan)
    cosines = _cosines(vectors[dropped], vectors[duplicate_of[dropped]])
    score[dropped] = np.minimum(cosines, 1.0)
    return Alike(duplicate_of, score, apart)


def _first_of(chosen: Bools, numbers: Ints) -> Ints:
    """For each line the number of the first column chosen, or -1."""
    if not chosen.shape[1]:
        return np.full(len(chosen), -1, np.int64)
    first = chosen.argmax(axis=1)
    return np.where(chosen[np.arange(len(chosen)), first], numbers[first], -1)


def _strike(alike: Bools, asks: Asks, rows: Ints, columns: Ints) -> Bools:
    """Take back the pairs that ask for something else, and tell which they are.

    `rows` and `columns` say which texts the lines and columns of `alike` are.
    """
    before = alike.copy()
    if asks.kinds:
        one, other = np.nonzero(alike)
        alike[one, other] = asks.same(rows[one], columns[other])
    unlike: Bools = before ^ alike
    return unlike


def _reaches(left: F32, right: F32, threshold: float) -> Bools:
    cosine = left @ right.T
    found: Bools = cosine >= threshold
    one, other = np.nonzero(np.abs(cosine - threshold) < _DOUBT)
    for low in range(0, len(one), 1 << 14):
        chosen = slice(low, low + (1 << 14))
        exact = _cosines(left[one[chosen]], right[other[chosen]])
        found[one[chosen], other[chosen]] = exact >= threshold
    return found


def _cosines(left: F32, right: F32) -> Floats:
    # Rounded, because float32 unit vectors have a length of 1 to seven places only.
    product: Floats = (left.astype(np.float64) * right.astype(np.float64)).sum(axis=1)
    return product.round(6)


def _buckets(vectors: F32, names: pl.Series, seed: int) -> Ints:
    """The bucket of each vector, by spherical k-means; all in one up to `EXACT_ROWS`."""
    if len(vectors) <= EXACT_ROWS:
        return np.zeros(len(vectors), np.int64)
    count = -(-len(vectors) // BUCKET)
    by_name = names.arg_sort().to_numpy()
    chosen = np.random.default_rng(seed).permutation(len(vectors))[:EXACT_ROWS]
    sample = vectors[by_name[np.sort(chosen)]]
    centres = sample[np.linspace(0, len(sample) - 1, count).astype(np.int64)].copy()
    for _ in range(ROUNDS):
        nearest = _nearest(sample, centres)
        for number in range(count):
            members = sample[nearest == number]
            if len(members):
                mean = members.mean(axis=0, dtype=np.float64)
                centres[number] = mean / max(float(np.linalg.norm(mean)), 1e-12)
    return _nearest(vectors, centres)


def _nearest(vectors: F32, centres: F32) -> Ints:
    parts = [
        (vectors[low : low + 8192] @ centres.T).argmax(axis=1)
        for low in range(0, len(vectors), 8192)
    ]
    return np.concatenate([np.zeros(0, np.int64), *parts])


def missed_pairs(kept: F32, threshold: float, seed: int, asks: Asks) -> tuple[int, int]:
    """Of a sample of kept vectors how many have another kept one within the threshold that asks
    for the same."""
    sample = np.sort(np.random.default_rng(seed).permutation(len(kept))[:SAMPLE])
    close = np.zeros(len(sample), np.int64)
    for low in range(0, len(kept), 8192):
        near = kept[sample] @ kept[low : low + 8192].T >= threshold
        _strike(near, asks, sample, np.arange(low, low + near.shape[1]))
        close += near.sum(axis=1)
    itself = (kept[sample] ** 2).sum(axis=1) >= threshold
    return int((close > itself).sum()), len(sample)
