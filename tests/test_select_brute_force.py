"""Every method of `select`, with every budget and way to share it out, equals plain loops."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from filters.common.budget import even_shares
from filters.common.calibrate import length_bins
from filters.common.ranking import noise_of
from filters.selection.filter import Select
from tests.length_rows import of_lengths

METHODS = ("top", "random", "longest", "kcenter", "facility", "repr", "tags")
COMPARING = ("kcenter", "facility", "repr")
THRESHOLD = 0.6
# Unit vectors whose products are exact in binary, so that equal cosines are equal numbers.
VECTORS = (
    (1.0, 0.0, 0.0, 0.0),
    (0.0, 1.0, 0.0, 0.0),
    (0.0, 0.0, 1.0, 0.0),
    (0.5, 0.5, 0.5, 0.5),
    (0.5, 0.5, 0.5, -0.5),
    (-0.5, 0.5, 0.5, 0.5),
    (0.0, 0.0, 0.0, 0.0),  # a blank text
)


class Row(NamedTuple):
    name: str
    length: int
    category: str | None = None
    score: float | None = 1.0
    vector: tuple[float, ...] = VECTORS[0]
    tags: tuple[str, ...] = ("a",)

    @property
    def is_blank(self) -> bool:
        return not any(self.vector)


def measures_of(rows: list[Row]) -> pl.DataFrame:
    return of_lengths(
        *[row.length for row in rows],
        ids=[row.name for row in rows],
        **{
            "record.category": pl.Series([row.category for row in rows], dtype=pl.String),
            "record.score": pl.Series([row.score for row in rows], dtype=pl.Float64),
            "vector": pl.Series([list(row.vector) for row in rows], dtype=pl.Array(pl.Float32, 4)),
            "tags": pl.Series([list(row.tags) for row in rows], dtype=pl.List(pl.String)),
        },
    )


def cosine(one: Row, other: Row) -> float:
    return float(np.dot(one.vector, other.vector))


class Plain:
    """A selection by its definition: one row at a time, of those that may be taken now."""

    def __init__(self, rows: list[Row], step: Select) -> None:
        self.rows, self.step = rows, step
        by_rows = step.budget_in == "rows"
        self.cost = [1 if by_rows else row.length for row in rows]
        self.left = step.budget
        self.taken: list[int] = []
        self.seen: set[str] = set()
        self.order = self._order()
        self.stratum = self._strata()
        self.share: dict[Any, int] | None = self._shares()

    def may_ever(self, at: int) -> bool:
        row, method = self.rows[at], self.step.method
        known = row.score is not None or method not in ("top", "repr")
        return known and not (method in COMPARING and row.is_blank) and not (
            method == "tags" and not row.tags
        )  # fmt: skip

    def _order(self) -> list[int]:
        noise = noise_of(pl.Series([row.name for row in self.rows]), 0, "select").tolist()
        rank: Callable[[int], float] = {
            "top": lambda at: self.rows[at].score or 0.0,
            "repr": lambda at: self.rows[at].score or 0.0,
            "random": lambda at: noise[at],
            "longest": lambda at: float(self.rows[at].length),
            "tags": lambda at: float(len(self.rows[at].tags)),
        }.get(self.step.method, lambda at: 0.0)
        return sorted(range(len(self.rows)), key=lambda at: (-rank(at), self.rows[at].name))

    def _strata(self) -> list[Any]:
        lengths = pl.Series([row.length for row in self.rows], dtype=pl.UInt32)
        if self.step.stratify == "category":
            return [row.category or "" for row in self.rows]
        if self.step.stratify == "length":
            # Ties of length go by id.
            by_id = sorted(range(len(self.rows)), key=lambda at: self.rows[at].name)
            found = length_bins(lengths.gather(by_id), 10).tolist()
            return [found[by_id.index(at)] for at in range(len(self.rows))]
        if self.step.stratify == "log_length":
            log = np.log1p(lengths.to_numpy().astype(float))
            low, high = np.quantile(log, (0.01, 0.99))
            return np.searchsorted(np.linspace(low, high, 11)[1:-1], log, side="right").tolist()
        return [0] * len(self.rows)

    def _shares(self) -> dict[Any, int]:
        sizes = dict.fromkeys(sorted(set(self.stratum)), 0)
        places: Counter[str] = Counter()
        for at in filter(self.may_ever, self.order):
            category = self.rows[at].category or ""
            # Where rows are ranked, a category brings in no more of them than its quota.
            quota = self.step.per_category if self.step.method in METHODS[:3] else None
            if quota is None or places[category] < quota:
                sizes[self.stratum[at]] += self.cost[at]
            places[category] += 1
        total, budget = sum(sizes.values()), self.step.budget
        if self.step.stratify == "log_length":
            every = [sizes.get(band, 0) for band in range(10)]
            return dict(enumerate(even_shares(np.array(every), budget).tolist()))
        if total <= budget:
            return sizes
        exact = {name: Fraction(size * budget, total) for name, size in sizes.items()}
        given_out = {name: int(part) for name, part in exact.items()}
        most = sorted(exact, key=lambda name: given_out[name] - exact[name])
        for name in most[: budget - sum(given_out.values())]:
            given_out[name] += 1
        return given_out

    def fits(self, at: int) -> bool:
        row, cost = self.rows[at], self.cost[at]
        same = [one for one in self.taken if self.rows[one].category == row.category]
        spent = sum(self.cost[one] for one in self.taken if self.stratum[one] == self.stratum[at])
        return (
            at not in self.taken
            and self.may_ever(at)
            and cost <= self.left
            and (self.share is None or spent + cost <= self.share[self.stratum[at]])
            and (self.step.per_category is None or len(same) < self.step.per_category)
        )

    def next(self) -> int | None:
        free = [at for at in self.order if self.fits(at)]
        rows, method = self.rows, self.step.method
        if method == "repr":
            free = [
                at
                for at in free
                if all(cosine(rows[at], rows[one]) <= THRESHOLD for one in self.taken)
            ]
        if method == "tags":
            news = [at for at in free if set(rows[at].tags) - self.seen]
            if free and not news:
                self.seen, news = set(), free
            free = news
        if not free:
            return None
        if method == "kcenter":
            mean = np.mean([row.vector for row in rows], axis=0)
            near = lambda at: max(cosine(rows[at], rows[one]) for one in self.taken)  # noqa: E731
            far = near if self.taken else lambda at: -round(float(np.dot(rows[at].vector, mean)), 6)
            return min(free, key=far)
        return min(free, key=lambda at: -self._gain(at)) if method == "facility" else free[0]

    def _gain(self, at: int) -> float:
        gain = 0.0
        for row in self.rows:
            had = max([0.0, *(cosine(row, self.rows[one]) for one in self.taken)])
            gain += max(0.0, cosine(row, self.rows[at]) - had)
        return gain

    def run(self) -> list[int]:
        while (at := self.next()) is not None or self.share is not None:
            if at is None:
                self.share = None  # what strata leave is for all
                continue
            self.taken.append(at)
            self.left -= self.cost[at]
            self.seen |= set(self.rows[at].tags)
        return sorted(self.taken)


some_rows = st.lists(
    st.builds(
        Row,
        name=st.just(""),
        length=st.integers(0, 20),
        category=st.sampled_from([None, "x", "y", "z"]),
        score=st.sampled_from([None, 0.0, 1.0, 2.0, 3.0]),
        vector=st.sampled_from(VECTORS),
        tags=st.lists(st.sampled_from("abcd"), max_size=3, unique=True).map(tuple),
    ),
    min_size=1,
    max_size=12,
).flatmap(
    lambda rows: st.permutations(range(len(rows))).map(
        lambda names: [
            row._replace(name=f"{name:04x}") for row, name in zip(rows, names, strict=True)
        ]
    )
)


@pytest.mark.parametrize("method", METHODS)
@settings(max_examples=40, deadline=None)
@given(
    some_rows,
    st.integers(1, 60),
    st.sampled_from(["rows", "words"]),
    st.sampled_from(["none", "length", "log_length", "category"]),
    st.sampled_from([None, 1, 2, 3]),
)
def test_a_selection_is_its_definition_within_the_budget_and_says_truly_why(
    method: Any, rows: list[Row], budget: int, budget_in: Any, stratify: Any, quota: int | None
) -> None:
    budget = -(-budget // 6) if budget_in == "rows" else budget
    step = Select(
        method=method,
        budget=budget,
        budget_in=budget_in,
        stratify=stratify,
        per_category=quota,
        threshold=THRESHOLD if method == "repr" else 0.9,
    )
    plain = Plain(rows, step)
    if not any(map(plain.may_ever, range(len(rows)))) and method in ("top", "repr", "tags"):
        return  # an error of its own
    verdicts = step.judge(measures_of(rows)).verdicts
    taken = verdicts["keep"].arg_true().to_list()
    assert taken == plain.run()
    left = budget - sum(plain.cost[at] for at in taken)
    assert left >= 0
    assert all(map(plain.may_ever, taken))
    for at, reason in enumerate(verdicts["reason"].to_list()):
        assert (reason is None) == (at in taken)
        if reason is not None:
            check_reason(reason, verdicts["evidence"][at], at, plain, left)


def check_reason(reason: str, evidence: str, at: int, plain: Plain, left: int) -> None:
    """The reason that a row was dropped for holds of it, and so does the evidence."""
    row, cost = plain.rows[at], plain.cost[at]
    same = [one for one in plain.taken if plain.rows[one].category == row.category]
    higher = [one for one in same if plain.order.index(one) < plain.order.index(at)]
    close = [one for one in plain.taken if cosine(row, plain.rows[one]) > THRESHOLD]
    holds = {
        "no_score": row.score is None,
        "no_vector": row.is_blank,
        "no_tags": not row.tags,
        "too_similar": bool(close),
        "over_quota": len(same) == plain.step.per_category,
        "not_selected": plain.may_ever(at) and cost > left,
    }
    assert holds[reason], (reason, row)
    if "rows that rank higher" in evidence:
        assert len(higher) == plain.step.per_category
    if reason == "not_selected" and plain.step.budget_in == "words":
        assert evidence.endswith(
            f"it takes {cost} words, and {left} of the budget of {plain.step.budget} are left"
        )


def verdicts_of(rows: list[Row], **given_settings: Any) -> list[str | None]:
    """Why each row was dropped; None for the rows that are kept."""
    return Select(**given_settings).judge(measures_of(rows)).verdicts["reason"].to_list()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("stratify", ["none", "length", "log_length", "category"])
def test_a_row_beyond_the_whole_budget_is_never_taken(method: Any, stratify: Any) -> None:
    rows = [Row("a", 16, "x", 2.0, VECTORS[3], ("a", "b")), Row("b", 5, "y", 1.0)]
    given_settings = {"method": method, "budget": 6, "budget_in": "words", "stratify": stratify}
    assert verdicts_of(rows, **given_settings) == ["not_selected", None]
    assert verdicts_of(rows[:1], **given_settings) == ["not_selected"]


def test_k_center_begins_with_the_central_row_of_those_that_fit() -> None:
    rows = [
        Row("a", 9, "x", vector=VECTORS[3]),
        Row("b", 2, "x", vector=VECTORS[0]),
        Row("c", 3, "y", vector=VECTORS[4]),
        Row("d", 9, "y", vector=VECTORS[1]),
    ]
    kept = {"method": "kcenter", "budget": 3, "budget_in": "words", "stratify": "category"}
    assert verdicts_of(rows, **kept) == ["not_selected", "not_selected", None, "not_selected"]
    # Where no share is exceeded the most central row of all is the first, as ever.
    assert verdicts_of(rows, method="kcenter", budget=1, stratify="category")[0] is None


@pytest.mark.parametrize("method", METHODS)
def test_a_row_that_does_not_fit_leaves_the_place_in_its_category_to_others(method: Any) -> None:
    rows = [Row("a", 16, "x", 2.0, VECTORS[3], ("a", "b")), Row("b", 5, "x", 1.0)]
    step = {"method": method, "budget": 6, "budget_in": "words", "per_category": 1}
    found = Select(**step).judge(measures_of(rows)).verdicts
    assert found["keep"].to_list() == [False, True]


def test_a_row_that_did_not_fit_is_not_said_to_be_over_the_quota_of_rows_below_it() -> None:
    rows = [Row("a", 16, "x", 3.0), Row("b", 5, "x", 2.0), Row("c", 1, "x", 1.0)]
    step = Select(budget=6, budget_in="words", per_category=1)
    found = step.judge(measures_of(rows)).verdicts
    assert found["reason"].to_list() == ["not_selected", None, "over_quota"]
    assert found["evidence"].to_list()[0] == (
        "rank 1 of 3, 1 kept; it takes 16 words, and 1 of the budget of 6 are left"
    )
    assert found["evidence"].to_list()[2] == "its category has 1 rows that rank higher"
