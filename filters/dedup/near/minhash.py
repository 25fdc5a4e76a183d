"""MinHash signatures equal to datasketch's, and the buckets of locality-sensitive hashing.

Broder 1997, "On the resemblance and containment of documents". Permutations are those that
datasketch 2.0 draws for its default scheme `affine32`: the 32-bit hash is mixed once, then
a*h + b modulo 2^32, a odd.
"""

from __future__ import annotations

import numpy as np

from filters.common.arrays import U32, U64
from filters.common.shingles import Sets, mix64
from filters.dedup.near.similarity import shared_entries

EMPTY = 0xFFFFFFFF  # datasketch's signature of the empty set, in every place


def signatures(sets: Sets, num_perm: int, seed: int) -> U32:
    """One signature a set, shape (sets, num_perm)."""
    from datasketch import MinHash  # takes a second to import

    factors, terms = MinHash(num_perm, seed, scheme="affine32").permutations
    values = np.full((len(sets.sizes), num_perm), EMPTY, np.uint32)
    filled = np.flatnonzero(sets.sizes)
    if not len(filled):
        return values
    starts = sets.bounds[filled]
    hashes = _mix32(sets.hashes)
    permuted = np.empty_like(hashes)
    for column, (factor, term) in enumerate(zip(factors, terms, strict=True)):
        np.multiply(hashes, factor, out=permuted)
        np.add(permuted, term, out=permuted)
        values[filled, column] = np.minimum.reduceat(permuted, starts)
    return values


def band_entries(signature: U32, bands: int) -> U64:
    """Bucket entries (hash of a band above, row of `signature` below).

    Two sets of similarity s share a bucket with probability `hit_rate(s, bands, rows)`.
    """
    size = signature.shape[1] // bands
    number = np.arange(len(signature), dtype=np.uint64)
    parts = [np.zeros(0, np.uint64)]
    for band in range(bands):
        key = np.full(len(signature), band, np.uint64)
        for column in range(band * size, (band + 1) * size):
            key = mix64(key + signature[:, column] + np.uint64(1))
        parts.append(shared_entries(key >> np.uint64(32) << np.uint64(32) | number))
    return shared_entries(np.concatenate(parts))


def hit_rate(similarity: float, bands: int, rows: int) -> float:
    """How often a pair of this similarity agrees on a whole band: 1 - (1 - s^rows)^bands.

    >>> round(hit_rate(0.7, bands=32, rows=4), 4)
    0.9998
    """
    return 1 - (1 - similarity**rows) ** bands


def enough_bands(similarity: float, num_perm: int) -> int:
    """How many bands find 99.5 % of the pairs of this similarity, of at most four rows each.

    >>> enough_bands(0.8, num_perm=128), enough_bands(0.5, num_perm=128)
    (32, 42)
    """
    for rows in (4, 3, 2):
        if num_perm >= rows and hit_rate(similarity, num_perm // rows, rows) >= 0.995:
            return num_perm // rows
    return num_perm


def _mix32(hashes: U32) -> U32:
    """The 32-bit finaliser of MurmurHash3, datasketch's one-time mix."""
    hashes = hashes ^ (hashes >> np.uint32(16))
    hashes *= np.uint32(0x85EBCA6B)
    hashes ^= hashes >> np.uint32(13)
    hashes *= np.uint32(0xC2B2AE35)
    hashes ^= hashes >> np.uint32(16)
    return hashes
