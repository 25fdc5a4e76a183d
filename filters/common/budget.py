"""What may still be taken: the budget, each stratum's share of it, each category's quota."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from filters.common.arrays import Bools, Ints


class Outcome(NamedTuple):
    """Which rows were taken, whose category is full, what each costs (n,); what is left over."""

    taken: Bools
    full: Bools
    cost: Ints
    left: int


class Allowance:
    """What is left of a budget, in rows or in units of response length.

    `cost` (n,) is what each row takes of it (1 for a budget of rows), `strata` (n,) a stratum
    number per row, `eligible` (n,) whether a row may be taken at all. The budget is shared out by
    what the eligible rows of each stratum cost together (of them, if given, those `counted` (n,)
    alone), or in equal parts if `even`. `categories` (n,) with `quota` limit the rows of one
    category; a row spends a place of its category only when it is taken.
    """

    def __init__(
        self,
        cost: Ints,
        budget: int,
        strata: Ints,
        eligible: Bools,
        categories: Ints | None = None,
        quota: int | None = None,
        even: bool = False,
        counted: Bools | None = None,
    ) -> None:
        self.cost, self.strata, self.eligible = cost, strata, eligible
        self.left = budget
        costs = np.where(eligible if counted is None else eligible & counted, cost, 0)
        sizes = np.bincount(strata, costs, minlength=1).astype(np.int64)
        self.shares = even_shares(sizes, budget) if even else shares(sizes, budget)
        self.categories = np.zeros(len(cost), np.int64) if categories is None else categories
        rows = len(cost) if quota is None or categories is None else quota
        self.quotas = np.full(int(self.categories.max(initial=0)) + 1, rows)
        self.taken = np.zeros(len(cost), np.bool_)

    def open(self) -> Bools:
        """Which rows may be taken now; one that may not will not again, until `lift_shares`."""
        most = np.minimum(self.left, self.shares[self.strata])
        fits = self.eligible & ~self.taken & (self.cost <= most)
        return fits & (self.quotas[self.categories] > 0)

    def fits(self, row: int) -> bool:
        """Whether this row may be taken now."""
        cost = self.cost[row]
        return bool(
            cost <= self.left
            and cost <= self.shares[self.strata[row]]
            and self.quotas[self.categories[row]] > 0
            and self.eligible[row]
            and not self.taken[row]
        )

    def full(self) -> Bools:
        """Rows whose category has its quota."""
        return self.quotas[self.categories] <= 0

    def outcome(self, order: Ints | None = None) -> Outcome:
        """What became of the rows: of all, or of those at the positions `order`."""
        at = np.arange(len(self.cost)) if order is None else order
        return Outcome(self.taken[at], self.full()[at], self.cost[at], self.left)

    def take(self, row: int) -> None:
        """Spend what the row costs."""
        cost = int(self.cost[row])
        self.left -= cost
        self.shares[self.strata[row]] -= cost
        self.quotas[self.categories[row]] -= 1
        self.taken[row] = True

    def lift_shares(self) -> bool:
        """Let any stratum spend what others left; False when that changes nothing."""
        if self.left <= 0 or len(self.shares) < 2 or int(self.shares.min()) >= self.left:
            return False
        self.shares[:] = self.left
        return True


def even_shares(sizes: Ints, budget: int) -> Ints:
    """The budget in equal parts; what a small stratum cannot take is given to the others.

    >>> even_shares(np.array([60, 30, 2]), 15).tolist()
    [7, 6, 2]
    """
    given = np.zeros(len(sizes), dtype=np.int64)
    left = min(budget, int(sizes.sum()))
    while left:  # each turn fills up a stratum or ends
        hungry = np.flatnonzero(given < sizes)
        part, odd = divmod(left, len(hungry))
        more = np.minimum(part + (np.arange(len(hungry)) < odd), (sizes - given)[hungry])
        given[hungry] += more
        left -= int(more.sum())
    return given


def shares(sizes: Ints, budget: int) -> Ints:
    """The budget in proportion to `sizes` (strata,); the largest remainders get the odd units.

    >>> shares(np.array([60, 30, 10]), 15).tolist()
    [9, 5, 1]
    """
    total = int(sizes.sum())
    if total <= budget:
        return sizes.copy()
    # Whole numbers do not round; Python's own do not overflow.
    exact = [int(size) * budget for size in sizes]
    given = np.array([part // total for part in exact], dtype=np.int64)
    left = np.array([-(part % total) for part in exact], dtype=np.int64)
    given[np.argsort(left, kind="stable")[: budget - int(given.sum())]] += 1
    return given


def spend(order: Iterable[int], allowance: Allowance) -> Bools:
    """Take the rows that fit, in this order; what strata leave unspent is given to all."""
    rows = list(order)
    while True:
        # Whether a row fits depends on those taken before it, hence a loop.
        for row in rows:
            if allowance.fits(row):
                allowance.take(row)
        if not allowance.lift_shares():
            return allowance.taken
