"""From measures to duplicates: which rows are near-duplicates of which, and how that is found out.

Every pair that could reach the threshold is compared, so nothing is missed, up to a million rows
of ordinary text. Where that would take too long, the pairs that agree on a band of their MinHash
signatures are. Either way true similarity decides.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import numpy as np
import polars as pl

from filters.common.arrays import U32, U64, Floats, Ints
from filters.common.shingles import Sets, mix64, sets_of_column
from filters.common.text import in_threads
from filters.dedup.keep import first_of_equal
from filters.dedup.near.groups import Levels, Search, TooMuchWorkError
from filters.dedup.near.minhash import band_entries, enough_bands, signatures
from filters.dedup.near.rouge import RougeComparison, bags, jaccard_of
from filters.dedup.near.similarity import Comparison, likely_pairs, rare_entries

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


@dataclass
class Texts:
    """What is compared: one element a row, by position, in columns that `near` measured.

    `key` is equal for equal texts and null for text that is similar to nothing. Rows of one
    `group` (null: of none) are not duplicates of each other. The first `known` rows are kept
    whatever the others are.
    """

    measures: pl.DataFrame
    known: int = 0
    sets: Sets = field(init=False)

    def __post_init__(self) -> None:
        # For ROUGE-L, bags of tokens find the pairs, and the sequences decide.
        tokens = self._tokens
        self.sets = sets_of_column(self.measures["shingles"]) if tokens is None else bags(tokens)

    @property
    def _tokens(self) -> pl.Series | None:
        return self.measures["tokens"] if "tokens" in self.measures.columns else None

    @cached_property
    def key(self) -> U64:
        """Equal for equal texts; 0 for none."""
        return self.measures["key"].fill_null(0).to_numpy()

    @cached_property
    def group(self) -> Ints | None:
        """A number for each row, equal for rows of one group."""
        if "group" not in self.measures.columns:
            return None
        given = self.measures["group"]
        own = given.fill_null(0).to_numpy()
        number = np.unique(own, return_inverse=True)[1].astype(np.int64)
        alone = given.is_null().to_numpy()
        return np.where(alone, len(number) + np.arange(len(number)), number)

    def comparison(self, positions: Ints, sets: Sets) -> Comparison:
        """Of the rows at these positions, whose sets those are, numbered in this order."""
        if self._tokens is None:
            return Comparison(sets)
        return RougeComparison(sets, self._tokens.gather(positions))

    def jaccard(self, score: float) -> float:
        """The Jaccard similarity of the sets of two rows that are `score` similar, at least."""
        return score if self._tokens is None else jaccard_of(score)


class Duplicates(NamedTuple):
    """For each row, by position: the row kept instead or -1, their similarity, the cluster.

    `duplicate_of` and `score` have one line for each level. `root` is the first row of the cluster
    in order of keeping; it is kept. `exact` says that all pairs were compared.
    """

    duplicate_of: Ints
    score: Floats
    root: Ints
    exact: bool


def find_duplicates(
    texts: Texts, order: Ints, levels: Levels, sketch: Sketch, *, chains: bool
) -> Duplicates:
    """Decide near-duplicates; `order` has the row to keep first, known rows before all others.

    With `chains`, a cluster is all that similar rows link; else a kept row and those that are
    dropped for it.
    """
    equal = order[texts.measures["key"].is_not_null().to_numpy()[order]]
    first = first_of_equal(texts.key, equal)
    # Equal texts of one group are kept or dropped together with the first of them.
    leader = first
    if texts.group is not None:
        group = mix64(texts.group.astype(np.uint64) + np.uint64(1))
        leader = first_of_equal(mix64(texts.key + group), equal)
    leads = order[(leader[order] == order) & (texts.sets.sizes[order] > 0)]
    done = _search(texts, leads, levels, sketch)

    rows = np.arange(len(leader))
    by_level, scores = [], []
    for of_set, score in zip(done.search.duplicate_of, done.search.score, strict=True):
        dropped = np.flatnonzero(of_set >= 0)
        # Text too short for a set repeats the first of its equals, if that is of another group.
        instead, similarity = np.where(texts.sets.sizes > 0, rows, first), np.ones(len(rows))
        instead[done.leads[dropped]] = done.leads[of_set[dropped]]
        similarity[done.leads[dropped]] = score[dropped]
        own = instead[leader]
        if texts.group is not None:
            own = np.where(texts.group[own] == texts.group, rows, own)
        by_level.append(np.where(own == rows, -1, own))
        scores.append(similarity[leader])
    duplicate_of = np.stack(by_level)
    root = _roots(texts, duplicate_of[0], leader, done, chains)
    return Duplicates(duplicate_of, np.stack(scores), root, done.exact)


class _FinishedSearch(NamedTuple):
    """Set i is that of row `leads[i]`."""

    leads: Ints
    search: Search
    entries: U64
    exact: bool


def _roots(
    texts: Texts, duplicate_of: Ints, leader: Ints, done: _FinishedSearch, chains: bool
) -> Ints:
    rows = np.arange(len(duplicate_of))
    head = np.where(duplicate_of >= texts.known, duplicate_of, rows)
    if chains:
        linked = rows.copy()
        linked[done.leads] = done.leads[done.search.roots(done.entries)]
        head = linked[head]
        # Rows equal to one of a cluster and of its group are similar to the others as it is.
        is_cluster = np.bincount(head, minlength=len(rows))[head[leader]] > 1
        head = np.where((head == rows) & is_cluster, head[leader], head)
    return head


def _search(texts: Texts, leads: Ints, levels: Levels, sketch: Sketch) -> _FinishedSearch:
    """A finished search over `leads`, or those of them that any candidate pair has."""
    exact = _search_all(texts, leads, levels)
    if exact is not None:
        return exact
    signature = _signatures(texts.sets, leads, sketch)
    floor = texts.jaccard(levels.floor)
    entries = band_entries(signature, sketch.bands or enough_bands(floor, sketch.num_perm))
    involved, number = np.unique(entries & np.uint64(0xFFFFFFFF), return_inverse=True)
    involved = involved.astype(np.int64)
    entries = entries >> np.uint64(32) << np.uint64(32) | number.astype(np.uint64)
    leads = leads[involved]
    search = _prepared(texts, leads, texts.sets.take(leads), levels)
    search.sketched = (signature[involved], floor)
    search.run(entries)
    return _FinishedSearch(leads, search, entries, exact=False)


def _search_all(texts: Texts, leads: Ints, levels: Levels) -> _FinishedSearch | None:
    """A finished search that misses no pair, or None where that would take too long."""
    sets, floor = texts.sets.take(leads), texts.jaccard(levels.floor)
    size, every = len(sets.hashes), len(leads) * (len(leads) - 1) // 2
    # Pairs of a few thousand rows share many buckets, but are no more than all there are.
    likely = min(every, likely_pairs(sets, floor))
    if size > EXACT_SHINGLES or likely > max(EXACT_PAIRS, size):
        return None
    entries = rare_entries(sets, floor)
    search = _prepared(texts, leads, sets, levels)
    search.limit = EXACT_WORK + WORK_A_SHINGLE * size
    try:
        search.run(entries)
    except TooMuchWorkError:
        return None
    return _FinishedSearch(leads, search, entries, exact=True)


def _prepared(texts: Texts, leads: Ints, sets: Sets, levels: Levels) -> Search:
    group = None if texts.group is None else texts.group[leads]
    known = int(np.count_nonzero(leads < texts.known))
    return Search(texts.comparison(leads, sets), levels, known=known, group=group)


def _signatures(sets: Sets, positions: Ints, sketch: Sketch) -> U32:
    # Some 100,000 shingles at once, to stay in cache.
    parts = np.array_split(positions, max(1, int(sets.sizes[positions].sum()) >> 17))
    return np.concatenate(
        in_threads(parts, lambda part: signatures(sets.take(part), sketch.num_perm, sketch.seed))
    )
