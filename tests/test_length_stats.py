from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.base import distances
from filters.common import stats

LENGTHS = st.lists(st.integers(0, 120), min_size=1, max_size=40)
quick = settings(max_examples=30, deadline=None)


def brute_concentration(lengths: list[int]) -> tuple[int, int]:
    """Rows and centre of the densest window, by the definition."""
    best, at = 0, 0
    for m in range(10, 2 * max(lengths) + 11):
        rows = sum(10 * length >= 9 * m and 10 * length <= 11 * m for length in lengths)
        if rows > best:
            best, at = rows, m
    return best, at


@quick
@given(LENGTHS)
def test_concentration_is_its_definition(lengths: list[int]) -> None:
    found = stats.concentration(np.array(lengths))
    assert (found.rows, found.at) == brute_concentration(lengths)
    assert found.share == found.rows / len(lengths)


def test_the_edges_of_a_window_are_exact() -> None:
    # 0.9 * 190 and 1.1 * 190 are no whole numbers in floating point; 171 and 209 are inside.
    assert stats.concentration(np.array([171, 209])).rows == 2
    assert stats.concentration(np.array([170, 209])).rows == 1
    assert stats.concentration(np.array([9, 11])).rows == 2


def test_lengths_below_nine_lie_in_no_window() -> None:
    assert stats.concentration(np.array([1, 1, 1, 8])) == stats.Concentration(0.0, 0, 0)


@quick
@given(LENGTHS)
def test_no_set_is_less_concentrated_than_the_pigeonhole_bound(lengths: list[int]) -> None:
    rows = np.array(lengths)
    assert stats.concentration_floor(rows).share <= stats.concentration(rows).share + 1e-12


def test_the_pigeonhole_bound_counts_windows_from_the_shortest_row() -> None:
    # 9 reaches 11 (m = 10); 12 reaches 14 (m = 13); 300 is a window of its own.
    floor = stats.concentration_floor(np.array([9, 11, 12, 14, 300, 2, 2, 2]))
    assert floor == stats.Floor(5 / 8 / 3, 3)
    assert stats.concentration_floor(np.array([1, 2])) == stats.Floor(0.0, 0)


def test_eta_squared_is_the_share_of_variance_between_groups() -> None:
    values = np.array([1.0, 3.0, 5.0, 7.0])
    assert stats.eta_squared(values, np.array([0, 0, 1, 1])) == pytest.approx(16 / 20)
    assert stats.eta_squared(values, np.array([0, 1, 1, 0])) == pytest.approx(0.0)
    assert stats.eta_squared(np.ones(4), np.array([0, 0, 1, 1])) == 0.0


def test_the_null_is_what_chance_explains() -> None:
    values = np.random.default_rng(1).normal(size=400)
    codes = np.arange(400) % 5
    null = stats.permutation_null(values, codes, 300, seed=0)
    assert null.mean() == pytest.approx(4 / 399, rel=0.15)  # (k - 1) / (n - 1)


def test_the_null_does_not_depend_on_the_order_of_the_rows() -> None:
    rng = np.random.default_rng(1)
    values, codes = rng.normal(size=60), rng.integers(0, 4, 60)
    order = rng.permutation(60)
    one = stats.permutation_null(values, codes, 50, seed=3)
    other = stats.permutation_null(values[order], codes[order], 50, seed=3)
    assert one.tolist() == other.tolist()
    assert stats.permutation_null(values, codes, 50, seed=4).tolist() != one.tolist()


@quick
@given(LENGTHS, LENGTHS)
def test_kolmogorov_smirnov_is_the_largest_gap(one: list[int], other: list[int]) -> None:
    gaps = [
        abs(
            sum(value <= point for value in one) / len(one)
            - sum(value <= point for value in other) / len(other)
        )
        for point in range(121)
    ]
    found = distances.kolmogorov_smirnov(np.array(one, float), np.array(other, float))
    assert found == pytest.approx(max(gaps))


@quick
@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), min_size=1, max_size=20))
def test_wasserstein_is_the_least_transport(pairs: list[tuple[int, int]]) -> None:
    one, other = np.array(pairs, float).T
    expected = np.abs(np.sort(one) - np.sort(other)).mean()  # samples of equal size
    assert distances.wasserstein(one, other) == pytest.approx(expected)


@quick
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=3, max_size=30))
def test_rank_correlation_is_that_of_mean_ranks(pairs: list[tuple[int, int]]) -> None:
    one, other = np.array(pairs).T
    found = stats.spearman(one, other)
    if len(set(one)) == 1 or len(set(other)) == 1:
        assert found is None
        return

    def ranks(values: np.ndarray[tuple[int], np.dtype[np.int64]]) -> list[float]:
        return [sum(values < value) + (sum(values == value) + 1) / 2 for value in values]

    assert found == pytest.approx(np.corrcoef(ranks(one), ranks(other))[0, 1])


def test_two_rows_have_no_rank_correlation() -> None:
    assert stats.spearman(np.array([1, 2]), np.array([1, 2])) is None
