"""Two answers to one prompt, as rows of which one is preferred to the other."""

from __future__ import annotations

import dataclasses
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from trainer.data.rows import IGNORED, Ints, Rows, join
from trainer.data.split import prompt_lengths


@dataclasses.dataclass(frozen=True)
class Pairs:
    """Pair `i` is row `i` of `chosen` and row `i` of `rejected`.

    `tail_weight` is what the tokens of the longer answer count beyond the length of the shorter.
    """

    chosen: Rows
    rejected: Rows
    tail_weight: float = 1.0
    # Of answers that were judged alone (KTO): which are desirable. `rejected` are then not answers
    # of anybody's, but each prompt before the answer to another.
    desirable: NDArray[np.bool_] | None = None

    def __len__(self) -> int:
        return len(self.chosen)

    @cached_property
    def both(self) -> Rows:
        """The rows of both sides: of pair `i` they are `i` and `i` + the number of pairs."""
        both = join(self.chosen, self.rejected)
        if self.tail_weight == 1.0:
            return both
        shorter = np.minimum(self.chosen.target_counts, self.rejected.target_counts)
        weights = np.ones(len(both.targets), np.float32)
        weights[_ranks(both) >= np.repeat(np.tile(shorter, 2), both.lengths)] = self.tail_weight
        return dataclasses.replace(both, weights=weights)

    @cached_property
    def lengths(self) -> Ints:
        """Tokens of each pair, of both sides together."""
        return self.chosen.lengths + self.rejected.lengths

    def sides(self, pairs: Ints) -> Ints:
        """Rows of `both`: the chosen answers of the pairs, then the rejected ones."""
        return np.concatenate([pairs, pairs + len(self)])


def _ranks(rows: Rows) -> Ints:
    """At each target, how many of its row come before it; at other positions of no meaning."""
    running = np.concatenate([np.zeros(1, np.int64), np.cumsum(rows.targets != IGNORED)])
    ranks: Ints = running[:-1] - np.repeat(running[rows.offsets[:-1]], rows.lengths)
    return ranks


def with_other_prompts(chosen: Rows, rejected: Rows) -> NDArray[np.bool_]:
    """Pairs of which the tokens before the first trained one are not the same on both sides."""
    ours, theirs = prompt_lengths(chosen), prompt_lengths(rejected)
    # Python loop: prompts differ in length.
    return np.array(
        [
            mine != other
            or not np.array_equal(_start(chosen, row, mine), _start(rejected, row, other))
            for row, (mine, other) in enumerate(zip(ours.tolist(), theirs.tolist(), strict=True))
        ],
        dtype=np.bool_,
    )


def with_one_answer(chosen: Rows, rejected: Rows) -> NDArray[np.bool_]:
    """Pairs whose two sides are the same tokens."""
    return np.array(
        [
            np.array_equal(chosen.input_ids[chosen.row(row)], rejected.input_ids[rejected.row(row)])
            for row in range(len(chosen))
        ],
        dtype=np.bool_,
    )


def judged_both_ways(rows: Rows, desirable: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Rows whose very tokens are desirable in one place and undesirable in another.

    >>> from trainer.data.rows import make_rows
    >>> rows = make_rows(["a", "b", "c"], [[5, 2], [6, 2], [5, 2]], [[-100, 2]] * 3)
    >>> judged_both_ways(rows, np.array([True, True, False])).tolist()
    [True, False, True]
    """
    texts = [rows.input_ids[rows.row(row)].tobytes() for row in range(len(rows))]
    good = {text for text, is_good in zip(texts, desirable.tolist(), strict=True) if is_good}
    bad = {text for text, is_good in zip(texts, desirable.tolist(), strict=True) if not is_good}
    return np.array([text in good and text in bad for text in texts], dtype=np.bool_)


def _start(rows: Rows, row: int, count: int) -> Ints:
    return rows.input_ids[rows.row(row)][:count]


def longer_wins(chosen: Rows, rejected: Rows, pairs: Ints) -> float:
    """The accuracy of the rule that the longer answer is better, counted in trained tokens.

    Of answers of one length half are right. This is what any model of preferences has to beat.
    """
    if not len(pairs):
        return 0.0
    ours, theirs = chosen.target_counts[pairs], rejected.target_counts[pairs]
    return float(((ours > theirs) + 0.5 * (ours == theirs)).mean())
