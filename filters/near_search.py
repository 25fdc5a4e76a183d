"""From measures to twins: which rows are near-duplicates of which, and how that is found out.

Up to some 200,000 rows every pair that could reach the threshold is compared, so nothing is
missed. Beyond, or where text is so uniform that this would take too long, the pairs that agree
on a band of their signatures are. Either way true similarity decides.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import polars as pl

from filters.minhash import band_entries
from filters.near_groups import Search, TooMuchWorkError
from filters.near_keep import F64, first_of_equal
from filters.shingles import I64, U64, Sets, sets_of_column
from filters.similarity import Comparison, rare_entries

# Measured on two cores: ordering 16 million shingles by rarity takes 2 s (180,000 conversations
# by words, 35,000 by characters), comparing 500 million another 3 s.
EXACT_SHINGLES = 1 << 24
EXACT_WORK = 1 << 28


class Twins(NamedTuple):
    """For each row, by position: the row that stays instead or -1, their similarity, the cluster.

    `root` is the first row of the cluster in order of keeping; it stays.
    """

    twin: I64
    score: F64
    root: I64


def find_twins(
    measures: pl.DataFrame, order: I64, threshold: float, bands: int, *, chains: bool
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
    leads, search, entries = _search(measures, sets, leads, threshold, bands)

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


def _search(
    measures: pl.DataFrame, sets: Sets, leads: I64, threshold: float, bands: int
) -> tuple[I64, Search, U64]:
    """A finished search over `leads`, or those of them that any candidate pair has."""
    if sets.sizes[leads].sum() <= EXACT_SHINGLES:
        numbered = sets.take(leads)
        entries = rare_entries(numbered, threshold)
        search = Search(Comparison(numbered), threshold, limit=EXACT_WORK)
        try:
            search.resolve(entries)
        except TooMuchWorkError:
            pass  # uniform text: the signatures tell which pairs are worth comparing
        else:
            return leads, search, entries
    signature = measures["signature"].to_numpy()
    entries = band_entries(signature, leads, bands)
    involved, number = np.unique(entries & np.uint64(0xFFFFFFFF), return_inverse=True)
    leads = leads[involved.astype(np.int64)]
    entries = entries >> np.uint64(32) << np.uint64(32) | number.astype(np.uint64)
    search = Search(Comparison(sets.take(leads)), threshold, signature=signature[leads])
    search.resolve(entries)
    return leads, search, entries
