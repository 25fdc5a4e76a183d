"""Which rows each training reads, and in how many steps: equal trained tokens, equal steps.

All of it is a pure function of the rows' trained tokens and a seed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np

from curate.base.errors import CurateError
from curate.base.spelling import option
from curate.proofs.cells import SELECTED
from curate.proofs.options import usual_batch
from trainer.data.batches import epoch_order
from trainer.data.rows import Ints

# Sets that are read as often as the selected rows are; of the others each row is read once.
REPEATED = (SELECTED, "random", "longest")
# Each set has an order of its own; what is raw and what is cleaned are drawn alike.
_ORDERS: Mapping[str, int] = {SELECTED: 1, "random": 2, "full": 3, "raw": 3}
# By how much a set's trained tokens may differ from what was wanted before it is said.
TOLERANCE = 0.01


@dataclasses.dataclass(frozen=True)
class Amount:
    """How much is trained: `steps` that hold `tokens` trained tokens together.

    A pass over the selected rows, cut where there are more than are trained, has `pass_tokens` in
    `pass_steps`; sets that are repeated have as many. The last pass may be a part of one.
    """

    tokens: int
    steps: int
    pass_tokens: int
    pass_steps: int

    def of(self, baseline: str) -> tuple[int, int]:
        """Trained tokens of a set's own rows, and steps of a pass over them."""
        return (
            (self.pass_tokens, self.pass_steps)
            if baseline in REPEATED
            else (self.tokens, self.steps)
        )


@dataclasses.dataclass(frozen=True)
class Matched:
    """The rows of one training, by their numbers, ascending; `tokens` are theirs, read once."""

    baseline: str
    seed: int
    rows: tuple[int, ...]
    tokens: int
    steps: int
    pass_steps: int

    @property
    def batch_tokens(self) -> float:
        """The setting by which a pass over the rows has that many steps."""
        return self.tokens / self.pass_steps


def amount(selected: int, tokens: int | None, epochs: int, batch_tokens: float | None) -> Amount:
    """How much is trained, from the trained tokens of the selected rows and what was asked for.

    Steps hold about `batch_tokens`; if None, so many that there are 20 steps, but at most 4,096.
    What is trained are whole steps, so it differs from `tokens` by half a step at most.

    >>> amount(30_000, None, 2, 1_000)
    Amount(tokens=60000, steps=60, pass_tokens=30000, pass_steps=30)
    >>> amount(30_000, 10_000, 1, 1_000)
    Amount(tokens=10000, steps=10, pass_tokens=10000, pass_steps=10)
    >>> amount(1_000, 2_600, 1, 400)
    Amount(tokens=2500, steps=5, pass_tokens=1000, pass_steps=2)
    """
    wanted = selected * epochs if tokens is None else tokens
    pass_tokens = min(selected, wanted)
    size = batch_tokens or usual_batch(wanted)
    pass_steps = max(1, round(pass_tokens / size))
    steps = max(1, round(wanted * pass_steps / pass_tokens))
    return Amount(round(steps * pass_tokens / pass_steps), steps, pass_tokens, pass_steps)


def match(
    baseline: str, seed: int, rows: Ints, tokens: Ints, wanted: Amount, asked: str | None = None
) -> Matched:
    """A set cut to the amount: whole rows, in its order, to the sum that is nearest.

    `rows` are numbers, ascending, of all rows that the set may have, `tokens` their trained tokens.
    The set of a smaller amount is a part of that of a larger one. Raises `CurateError` where there
    are too few tokens; `asked` is the option that asks for them, if it is
    not the usual one.
    """
    budget, pass_steps = wanted.of(baseline)
    order = order_of(baseline, seed, rows, tokens)
    _check_enough(baseline, int(tokens.sum()), budget, wanted, asked)
    chosen = cut(order, tokens, budget)
    return matched(baseline, seed, chosen, rows, tokens, wanted.steps, pass_steps)


def cut(order: Ints, tokens: Ints, budget: int) -> Ints:
    """The first positions of an order, so many that their tokens are nearest to the budget."""
    running = np.cumsum(tokens[order])
    return order[: max(1, int(np.searchsorted(running - tokens[order] / 2, budget)))]


def matched(
    baseline: str, seed: int, chosen: Ints, rows: Ints, tokens: Ints, steps: int, pass_steps: int
) -> Matched:
    """A set of the rows at the `chosen` positions. Raises `CurateError` for fewer than steps."""
    if pass_steps > len(chosen):
        raise CurateError(
            f"baseline {baseline} has {len(chosen):,} rows for {pass_steps:,} steps; raise "
            "batch_tokens"
        )
    numbers = tuple(np.sort(rows[chosen]).tolist())
    return Matched(baseline, seed, numbers, int(tokens[chosen].sum()), steps, pass_steps)


def _check_enough(
    baseline: str, total: int, budget: int, wanted: Amount, asked: str | None
) -> None:
    if total >= (1 - TOLERANCE) * budget:
        return
    once = "" if baseline in REPEATED else ", and its rows are read once"
    most = max(1, total - round(wanted.tokens / wanted.steps / 2))  # what is trained is rounded
    raise CurateError(
        f"baseline {baseline} has only {total:,} of {budget:,} trained tokens{once}; lower "
        f"{asked or option('tokens')} to {most:,}, or leave it out of {option('baselines')}"
    )


def order_of(baseline: str, seed: int, rows: Ints, tokens: Ints) -> Ints:
    """Positions in the order in which a set takes its rows."""
    if baseline == "longest":
        return np.lexsort((rows, -tokens))
    highest = int(rows.max(initial=-1)) + 1
    # By row number, not position: what is drawn of raw rows is what is drawn of cleaned ones.
    rank = np.empty(highest, np.int64)
    rank[epoch_order(highest, seed, -_ORDERS[baseline])] = np.arange(highest)
    return np.argsort(rank[rows], kind="stable")


def deviation(found: Matched, wanted: Amount) -> float:
    """By what share a set's trained tokens differ from what was wanted."""
    return found.tokens / wanted.of(found.baseline)[0] - 1
