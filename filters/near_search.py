"""From measures to twins: which rows are near-duplicates of which, and how that is found out.

Every pair that could reach the threshold is compared, so nothing is missed, up to a million rows
of ordinary text. Where that would take too long, the pairs that agree on a band of their MinHash
signatures are. Either way true similarity decides.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import polars as pl

from filters.minhash import band_entries, enough_bands, signatures
from filters.near_groups import Search, TooMuchWorkError
from filters.near_keep import F64, first_of_equal
from filters.shingles import I64, U32, U64, Sets, sets_of_column
from filters.similarity import Comparison, likely_pairs, rare_entries
from filters.text import in_threads

# All pairs are compared while that is cheap. Ordering shingles by rarity takes 0.1 s a million and
# 16 bytes each, so memory sets the first bound (1.4 million conversations by words). The second
# is met by text of few different shingles (characters, beyond some 50,000 rows); comparing a
# million shingles takes 10 ms, so the third gives up after 3 s and 0.2 s a million.
EXACT_SHINGLES = 1 << 27
EXACT_PAIRS = 1 << 26
EXACT_WORK = 1 << 28
WORK_A_SHINGLE = 16


class Sketch(NamedTuple):
    """How pairs of large sets are found: MinHash signatures, cut into bands."""

    num_perm: int
    seed: int
    bands: int | None  # none: enough for the threshold


class Twins(NamedTuple):
    """For each row, by position: the row that stays instead or -1, their similarity, the cluster.

    `root` is the first row of the cluster in order of keeping; it stays.
    """

    twin: I64
    score: F64
    root: I64


def find_twins(
    measures: pl.DataFrame, order: I64, threshold: float, sketch: Sketch, *, chains: bool
) -> Twins:
    """Decide near-duplicates from the measures of `near`; `order` has the row to keep first.

    With `chains`, a cluster is all that similar rows link; else a row that stays and those that
    go for it.
    """
    sets = sets_of_column(measures["shingles"])
    has_key = measures["key"].is_not_null().to_numpy()
    keys = measures["key"].fill_null(0).to_numpy()
    # Equal sets, and equal short texts, stand or fall together with the first of them.
    stand = first_of_equal(keys, order[has_key[order]])
    leads = order[(stand[order] == order) & (sets.sizes[order] > 0)]
    leads, search, entries = _search(sets, leads, threshold, sketch)

    rows = np.arange(len(stand))
    goes = np.flatnonzero(search.twin >= 0)
    instead, similarity = rows.copy(), np.ones(len(rows))
    instead[leads[goes]] = leads[search.twin[goes]]
    similarity[leads[goes]] = search.score[goes]
    twin = np.where(instead[stand] == rows, -1, instead[stand])
    head = instead
    if chains:
        head = rows.copy()
        head[leads] = leads[search.roots(entries)]
    return Twins(twin, similarity[stand], head[stand])


def _search(sets: Sets, leads: I64, threshold: float, sketch: Sketch) -> tuple[I64, Search, U64]:
    """A finished search over `leads`, or those of them that any candidate pair has."""
    found = _search_all(sets.take(leads), threshold)
    if found is not None:
        return leads, *found
    signature = _signatures(sets, leads, sketch)
    count = sketch.bands or enough_bands(threshold, sketch.num_perm)
    entries = band_entries(signature, count)
    involved, number = np.unique(entries & np.uint64(0xFFFFFFFF), return_inverse=True)
    involved = involved.astype(np.int64)
    entries = entries >> np.uint64(32) << np.uint64(32) | number.astype(np.uint64)
    comparison = Comparison(sets.take(leads[involved]))
    search = Search(comparison, threshold, signature=signature[involved])
    search.resolve(entries)
    return leads[involved], search, entries


def _search_all(sets: Sets, threshold: float) -> tuple[Search, U64] | None:
    """A finished search that misses no pair, or None where that would take too long."""
    size = len(sets.hashes)
    if size > EXACT_SHINGLES or likely_pairs(sets, threshold) > max(EXACT_PAIRS, size):
        return None
    entries = rare_entries(sets, threshold)
    search = Search(Comparison(sets), threshold, limit=EXACT_WORK + WORK_A_SHINGLE * size)
    try:
        search.resolve(entries)
    except TooMuchWorkError:
        return None
    return search, entries


def _signatures(sets: Sets, positions: I64, sketch: Sketch) -> U32:
    def of_part(part: I64) -> U32:
        return signatures(sets.take(part), sketch.num_perm, sketch.seed)

    # Some 100,000 shingles at once, to stay in cache.
    parts = np.array_split(positions, max(1, int(sets.sizes[positions].sum()) >> 17))
    return np.concatenate(in_threads(parts, of_part))
