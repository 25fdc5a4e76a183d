"""From measures to duplicates: which rows are near-duplicates of which, and how that is found out.

Every pair that could reach the threshold is compared, so nothing is missed, up to a million rows
of ordinary text. Where that would take too long, the pairs that agree on a band of their MinHash
signatures are. Either way true similarity decides.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import polars as pl

from filters.common.arrays import U32, U64, Bools, Bytes, Floats, Ints
from filters.common.shingles import (
    Rule,
    Runs,
    Sets,
    bounds_of,
    is_repeated,
    mix64,
    places_of,
    ranked_sets,
    runs_of_column,
    sets_of_runs,
)
from filters.common.text import in_threads
from filters.dedup.differences.pairs import Differences, Words
from filters.dedup.differences.words import WORD
from filters.dedup.keep import first_of_equal
from filters.dedup.near.boilerplate import NO_TEXTS, Boilerplate, find_boilerplate
from filters.dedup.near.groups import Levels, Search, TooMuchWorkError
from filters.dedup.near.guard import Guard, GuardedComparison, Rejected, ShortAnswers, Sides
from filters.dedup.near.minhash import band_entries, enough_bands, signatures
from filters.dedup.near.occurrences import occurrences
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


# What the column `numbers` holds: shingles that begin in the prompt, codes of code and of case.
NUMBERS = ("cut", "code", "case")


class Sketch(NamedTuple):
    """How pairs of large sets are found: MinHash signatures, cut into bands."""

    num_perm: int
    seed: int
    bands: int | None  # none: enough for the threshold


class Looks(NamedTuple):
    """What is looked at beside shingles: how text was cut, and what rows may not differ in."""

    rule: Rule
    protected: tuple[str, ...] = ()
    common_rows: int = 0  # 0: all text is compared
    both: bool = False  # prompts and answers


@dataclass
class Texts:
    """What is compared: one element a row, by position, in columns that `near` measured.

    `key` is equal for equal texts and null for text that is similar to nothing. Rows of one
    `group` (null: of none) are not duplicates of each other. The first `known` rows are kept
    whatever the others are.
    """

    measures: pl.DataFrame
    looks: Looks
    known: int = 0
    boilerplate: Boilerplate | None = None  # found when sets are made

    @property
    def _tokens(self) -> pl.Series | None:
        return self.measures["tokens"] if "tokens" in self.measures.columns else None

    @cached_property
    def runs(self) -> Runs:
        """The shingles of each row in the order of the text."""
        return runs_of_column(self.measures["shingles"], self._numbers("cut"))

    def _numbers(self, name: str) -> U64:
        """One of `NUMBERS` for each row."""
        return self.measures["numbers"].arr.get(NUMBERS.index(name)).to_numpy()

    @cached_property
    def bags(self) -> Sets | None:
        """For ROUGE-L bags of tokens find the pairs, and the sequences decide."""
        return None if self._tokens is None else bags(self._tokens)

    @cached_property
    def has_set(self) -> Bools:
        """Which rows have something to be similar by."""
        sizes = self.runs.sizes if self.bags is None else self.bags.sizes
        return sizes > 0

    def without_boilerplate(self, leads: Ints) -> tuple[Ints, Sets, Bytes | None]:
        """Of these rows those with a set, and the sets: of text that is not boilerplate.

        The ranks of their elements, too (see `Occurrences`), if they were found.
        """
        if self.bags is not None:
            return leads, self.bags.take(leads), None
        common_rows, runs = self.looks.common_rows, self.runs
        if not common_rows or len(leads) < common_rows:
            return leads, sets_of_runs(runs, leads), None
        is_lead = np.zeros(len(runs.sizes), bool)
        is_lead[leads] = True
        owner = np.repeat(np.arange(len(is_lead), dtype=np.uint32), runs.sizes)
        ranks, common = occurrences(runs.hashes, owner, is_lead, common_rows)
        del owner
        found = find_boilerplate(runs, common, self.looks.rule, common_rows)
        if found is None:
            return leads, *ranked_sets(runs.hashes, ranks, *_between(runs, leads))
        self.boilerplate = found
        words, floor = found.words[leads], self.looks.rule.floor
        # A row that is boilerplate all over is compared by it; a few words of its own exactly.
        whole = leads[words == 0]
        found.compared[places_of(runs, whole)] = True
        found.own[places_of(runs, whole)] = True
        enough = (words == 0) | (words >= floor)
        self.has_set[leads[~enough]] = False
        leads = leads[enough]
        sets, ranks = ranked_sets(runs.hashes, ranks, *_between(runs, leads), found.compared)
        filled = sets.sizes > 0
        self.has_set[leads[~filled]] = False
        if not filled.all():
            leads, sets = leads[filled], Sets(sets.hashes, bounds_of(sets.sizes[filled]))
        return leads, sets, ranks

    @cached_property
    def key(self) -> U64:
        """Equal for texts that are equal in all that counts; 0 for none."""
        words = self.words("words")
        if words is None or not self.looks.protected:
            return self.text_key
        # Only rows of equal words can be equal.
        again = np.flatnonzero(is_repeated(self.text_key))
        words, key = words.take(again), self.text_key[again]
        # Text too short for a set is compared by this alone, in whatever case.
        has_set = np.repeat(self.has_set[again], words.sizes)
        codes = np.where(has_set, words.codes, words.codes & WORD)
        key = mix64(key + words._replace(codes=codes).sums(in_order=True))
        for codes in self.codes.values():
            key = mix64(key + codes[again])
        every = self.text_key.copy()
        every[again] = key
        return every

    @cached_property
    def text_key(self) -> U64:
        """Equal for texts of equal words; 0 for none."""
        return self.measures["key"].fill_null(0).to_numpy()

    def words(self, column: str) -> Words | None:
        """The words in a column, if it was measured."""
        known = column in self.measures.columns
        return Words.of(self.measures[column]) if known else None

    @cached_property
    def codes(self) -> dict[str, U64]:
        """Of code and of case, where they are protected."""
        kinds = [kind for kind in ("code", "case") if kind in self.looks.protected]
        return {kind: self._numbers(kind) for kind in kinds}

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

    def comparison(self, positions: Ints, sets: Sets) -> GuardedComparison:
        """Of the rows at these positions, whose sets those are, numbered in this order."""
        tokens, own = self._tokens, Comparison(sets)
        if tokens is not None:
            own = RougeComparison(sets, tokens.gather(positions))
        return GuardedComparison(own, positions, self.guard, self.short)

    @cached_property
    def guard(self) -> Guard | None:
        """What looks at the differences of similar rows; None: they do not matter."""
        words = self.words("words")
        if words is None or not self.looks.protected:
            return None
        both, sides = self.looks.both, None
        if self._tokens is None:
            found = self.boilerplate
            left_out = (None, None) if found is None else (found.compared, found.own)
            sides = Sides(self.runs, self.looks.rule.size, both, *left_out)
        answers = self.words("answer") if both else None
        kinds = frozenset(self.looks.protected)
        return Guard(Differences(words, kinds, self.text_key, answers, self.codes), sides)

    @cached_property
    def short(self) -> ShortAnswers | None:
        """Answers that count beside the whole row."""
        if "answer" not in self.measures.columns or self.looks.both:
            return None
        words = self.words("answer")
        return None if words is None else ShortAnswers(words, rouge_l=self._tokens is not None)

    def jaccard(self, score: float) -> float:
        """The Jaccard similarity of the sets of two rows that are `score` similar, at least."""
        return score if self._tokens is None else jaccard_of(score)


class Duplicates(NamedTuple):
    """For each row, by position: the row kept instead or -1, their similarity, the cluster.

    `duplicate_of` and `score` have one line for each level. `root` is the first row of the cluster
    in order of keeping; it is kept. `exact` says that all pairs were compared. `rejected` are pairs
    that are similar and differ in what counts, `boilerplate` the texts that were not compared.
    """

    duplicate_of: Ints
    score: Floats
    root: Ints
    exact: bool
    rejected: list[Rejected]
    boilerplate: pl.DataFrame


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
    leads = order[(leader[order] == order) & texts.has_set[order]]
    done = _search(texts, leads, levels, sketch)

    rows = np.arange(len(leader))
    by_level, scores = [], []
    for of_set, score in zip(done.search.duplicate_of, done.search.score, strict=True):
        dropped = np.flatnonzero(of_set >= 0)
        # Text too short for a set repeats the first of its equals, if that is of another group.
        instead, similarity = np.where(texts.has_set, rows, first), np.ones(len(rows))
        instead[done.leads[dropped]] = done.leads[of_set[dropped]]
        similarity[done.leads[dropped]] = score[dropped]
        own = instead[leader]
        if texts.group is not None:
            own = np.where(texts.group[own] == texts.group, rows, own)
        by_level.append(np.where(own == rows, -1, own))
        scores.append(similarity[leader])
    duplicate_of = np.stack(by_level)
    root = _roots(texts, duplicate_of[0], leader, done, chains)
    left_out = NO_TEXTS if texts.boilerplate is None else texts.boilerplate.texts
    return Duplicates(
        duplicate_of, np.stack(scores), root, done.exact, done.comparison.rejected, left_out
    )


class _FinishedSearch(NamedTuple):
    """Set i is that of row `leads[i]`."""

    leads: Ints
    search: Search
    comparison: GuardedComparison
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
    leads, sets, ranks = texts.without_boilerplate(leads)
    exact = _search_all(texts, leads, sets, levels, ranks)
    del ranks
    if exact is not None:
        return exact
    signature = _signatures(sets, sketch)
    floor = texts.jaccard(levels.floor)
    entries = band_entries(signature, sketch.bands or enough_bands(floor, sketch.num_perm))
    involved, number = np.unique(entries & np.uint64(0xFFFFFFFF), return_inverse=True)
    involved = involved.astype(np.int64)
    entries = entries >> np.uint64(32) << np.uint64(32) | number.astype(np.uint64)
    leads = leads[involved]
    comparison = texts.comparison(leads, sets.take(involved))
    search = _prepared(texts, leads, comparison, levels)
    search.sketched = (signature[involved], floor)
    search.run(entries)
    return _FinishedSearch(leads, search, comparison, entries, exact=False)


def _search_all(
    texts: Texts, leads: Ints, sets: Sets, levels: Levels, ranks: Bytes | None
) -> _FinishedSearch | None:
    """A finished search that misses no pair, or None where that would take too long."""
    floor = texts.jaccard(levels.floor)
    size, every = len(sets.hashes), len(leads) * (len(leads) - 1) // 2
    # Pairs of a few thousand rows share many buckets, but are no more than all there are.
    likely = min(every, likely_pairs(sets, floor))
    if size > EXACT_SHINGLES or likely > max(EXACT_PAIRS, size):
        return None
    entries = rare_entries(sets, floor, ranks)
    comparison = texts.comparison(leads, sets)
    search = _prepared(texts, leads, comparison, levels)
    search.limit = EXACT_WORK + WORK_A_SHINGLE * size
    try:
        search.run(entries)
    except TooMuchWorkError:
        return None
    return _FinishedSearch(leads, search, comparison, entries, exact=True)


def _between(runs: Runs, rows: Ints) -> tuple[Ints, Ints]:
    """Where the shingles of each row begin and end."""
    return runs.bounds[rows], runs.bounds[rows + 1]


def _prepared(texts: Texts, leads: Ints, comparison: GuardedComparison, levels: Levels) -> Search:
    group = None if texts.group is None else texts.group[leads]
    known = int(np.count_nonzero(leads < texts.known))
    return Search(comparison, levels, known=known, group=group)


def _signatures(sets: Sets, sketch: Sketch) -> U32:
    # Some 100,000 shingles at once, to stay in cache.
    parts = np.array_split(np.arange(len(sets.sizes)), max(1, len(sets.hashes) >> 17))
    return np.concatenate(
        in_threads(parts, lambda part: signatures(sets.take(part), sketch.num_perm, sketch.seed))
    )
