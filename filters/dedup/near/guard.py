"""Looks at what similar rows differ in before one of them is dropped."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from filters.common.arrays import Bools, Floats, Ints
from filters.common.shingles import Runs, Sets, ranges, sets_between
from filters.dedup.differences.pairs import ANSWER, QUESTION, Differences, Words
from filters.dedup.near.rouge import f_measure
from filters.dedup.near.similarity import Comparison

# Of the runs of words of a prompt, or of an answer, that are alike at least this share is common,
# by the smaller of the two: a typo takes three runs of six in a text of eight words.
SIDE = 0.4
# Fewer runs than those of eight words say little; then the words are aligned.
FEW = 6
# So many runs of words of a text that the other has not are of a few words: at no place more than
# `REWORDED`.
SMALL = 6


class Rejected(NamedTuple):
    """Pairs of rows, by position, that are similar and yet different: in what, and how similar."""

    lower: Ints
    higher: Ints
    score: Floats
    kind: list[str]


class Shared(NamedTuple):
    """Of pairs of texts the shingles in common, and those of the smaller and the larger."""

    common: Ints
    least: Ints
    most: Ints

    @property
    def is_few(self) -> Bools:
        """Whether they are too short to tell."""
        few: Bools = self.least < FEW
        return few

    @property
    def is_other(self) -> Bools:
        """Whether the texts are other texts."""
        other: Bools = self.common < SIDE * self.least
        return other


class Sides(NamedTuple):
    """The shingles of rows whose prompts and answers are compared together, or only one of them.

    `compared` and `own` (for each shingle) leave boilerplate out, see `Boilerplate`.
    """

    runs: Runs
    size: int  # of a shingle
    both: bool
    compared: Bools | None = None
    own: Bools | None = None

    def shared(self, left: Ints, right: Ints, *, answers: bool = False) -> Shared:
        """What the prompts (or what is compared alone), or the answers, of each pair share."""
        rows, number = np.unique(np.concatenate([left, right]), return_inverse=True)
        sets = self._sets(rows, answers)
        one, other = number[: len(left)], number[len(left) :]
        sizes = sets.sizes[one], sets.sizes[other]
        return Shared(Comparison(sets).common(one, other), np.minimum(*sizes), np.maximum(*sizes))

    def _sets(self, rows: Ints, answers: bool) -> Sets:
        start, end = self.runs.bounds[rows], self.runs.bounds[rows + 1]
        cut = start + self.runs.cuts[rows]
        if self.both and answers:
            start = cut
        elif self.both:  # the last shingles of a prompt reach into the answer
            end = np.maximum(cut - self.size + 1, start)
        return sets_between(self.runs.hashes, start, end, self.compared)

    def left_out(self, rows: Ints) -> Ints:
        """Words of the prompts (or of what is compared alone) that are boilerplate."""
        if self.own is None:
            return np.zeros(len(rows), np.int64)
        start, size = self.runs.bounds[rows], self.runs.cuts[rows]
        number = np.repeat(np.arange(len(rows)), size)
        outside = self.own[ranges(start, start + size)]
        found: Ints = np.bincount(number[~outside], minlength=len(rows))
        return found


@dataclass
class Guard:
    """Tells for pairs of similar rows, by position, in what they differ, if that counts."""

    differences: Differences
    sides: Sides | None = None

    def of_pairs(self, left: Ints, right: Ints) -> list[str | None]:
        """The first kind in which the rows of each pair differ; None: they are duplicates."""
        if self.sides is None or not len(left):
            found = self.differences.in_codes(left, right, np.zeros(len(left), bool))
            pairs = enumerate(zip(left.tolist(), right.tolist(), strict=True))
            return [found[at] or self.differences.in_words(*pair, alone=True) for at, pair in pairs]
        prompts = self.sides.shared(left, right)
        kinds = np.full(len(left), None, object)
        other = np.zeros(len(left), bool)
        if self.sides.both:
            other = prompts.is_other & ~prompts.is_few
        kinds[other] = QUESTION
        # Where one answer stands under thousands of prompts most pairs are done with here.
        at = np.flatnonzero(~other)
        chosen = Shared(prompts.common[at], prompts.least[at], prompts.most[at])
        kinds[at] = self._of_alike(left[at], right[at], chosen)
        every: list[str | None] = kinds.tolist()
        return every

    def _of_alike(self, left: Ints, right: Ints, prompts: Shared) -> list[str | None]:
        """As `of_pairs`, of pairs whose prompts (or what is compared alone) are alike or short."""
        assert self.sides is not None
        whole = self.sides._replace(compared=None).shared(left, right)
        found = self.differences.in_codes(left, right, whole.most - whole.common <= SMALL)
        said: list[bool | None] = [None] * len(left)
        if self.sides.both:
            said = _unlike(self.sides.shared(left, right, answers=True))
        left_out = self.sides.left_out(np.concatenate([left, right])).reshape(2, -1)
        changed = -((prompts.common - prompts.most) // self.sides.size)
        # A loop, because pairs are aligned one by one.
        pairs = zip(left.tolist(), right.tolist(), *left_out.tolist(), strict=True)
        for at, (one, other, *without) in enumerate(pairs):
            if found[at] is None:
                found[at] = self._in_pair(one, other, said[at], without, int(changed[at]))
        return found

    def _in_pair(
        self, one: int, other: int, said: bool | None, left_out: list[int], changed: int
    ) -> str | None:
        """Of one pair; `said`: whether the answers are other texts (None: too short to tell).

        `left_out` words of the prompts are boilerplate, `changed`, about, of their own are others.
        """
        assert self.sides is not None
        if said:
            return ANSWER
        kind = self.differences.in_words(
            one,
            other,
            (left_out[0], left_out[1]),
            changed if any(left_out) else None,
            alone=said is None,
        )
        if kind or said is False or not self.sides.both:
            return kind
        return self.differences.in_answers(one, other)


def _unlike(shared: Shared) -> list[bool | None]:
    """Whether two texts are other texts; None: too short to tell."""
    few, other = shared.is_few.tolist(), shared.is_other.tolist()
    return [None if short else unlike for short, unlike in zip(few, other, strict=True)]


@dataclass
class ShortAnswers:
    """Answers that are too short to be compared alone, and how alike those of two rows are.

    `words` has those of short answers; of all others none.
    """

    words: Words
    rouge_l: bool

    def least(self, left: Ints, right: Ints, scores: Floats) -> Floats:
        """The similarities of pairs of rows, lowered to that of their answers if both are short."""
        from rapidfuzz.distance import LCSseq

        sizes = self.words.sizes
        short = np.flatnonzero((sizes[left] > 0) & (sizes[right] > 0))
        lowered = scores.copy()
        if not len(short):
            return lowered
        pairs = zip(left[short].tolist(), right[short].tolist(), strict=True)
        # A loop, because RapidFuzz takes one pair of sequences at a time; they have few words.
        common = np.array(
            [LCSseq.similarity(self.words.of_row(a), self.words.of_row(b)) for a, b in pairs]
        )
        one, other = sizes[left[short]], sizes[right[short]]
        alike = f_measure(common, one, other) if self.rouge_l else common / (one + other - common)
        lowered[short] = np.minimum(scores[short], alike)
        return lowered


@dataclass
class GuardedComparison:
    """A comparison of sets, by number, by which rows that differ in what counts are not similar.

    Set i is that of row `positions[i]`.
    """

    comparison: Comparison
    positions: Ints
    guard: Guard | None
    short: ShortAnswers | None = None
    rejected: list[Rejected] = field(default_factory=list)

    @property
    def sizes(self) -> Ints:
        """As of the comparison."""
        return self.comparison.sizes

    def may_reach(self, threshold: float, left: Ints, right: Ints) -> Bools:
        """As of the comparison."""
        return self.comparison.may_reach(threshold, left, right)

    def similarity(self, left: Ints, right: Ints, floor: float = 0.0) -> Floats:
        """As of the comparison, but 0 where the rows differ in what counts."""
        scores = self.comparison.similarity(left, right, floor)
        at = np.flatnonzero(scores >= floor)
        lower, higher = self.positions[left[at]], self.positions[right[at]]
        lowered = scores[at]
        if self.short is not None:
            lowered = self.short.least(lower, higher, lowered)
        if self.guard is not None:
            kinds = self.guard.of_pairs(lower, higher)
            other = np.array([kind is not None for kind in kinds], bool)
            kind = [kind for kind in kinds if kind is not None]
            self.rejected.append(Rejected(lower[other], higher[other], lowered[other], kind))
            lowered[other] = 0.0
        scores = scores.copy()
        scores[at] = lowered
        return scores
