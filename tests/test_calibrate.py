from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.base.errors import CurateError
from filters.common.calibrate import BIN_ROWS, MOST_BINS, calibrate_scores, length_bins, spread_ties
from filters.common.stats import spearman

METHODS = ("lwr", "bin", "rank")
rng = np.random.default_rng(0)
LENGTHS = np.maximum(1, np.exp(rng.normal(4, 1.0, 2000))).astype(np.int64)
GROUPS = rng.integers(0, 3, 2000)
QUALITY = rng.normal(size=2000)
SCORES = QUALITY + 1.5 * np.log(LENGTHS) + 0.5 * GROUPS * np.log(LENGTHS)

rows = st.lists(
    st.tuples(st.integers(0, 8), st.integers(0, 200), st.integers(0, 2)), min_size=1, max_size=60
)
quick = settings(max_examples=30, deadline=None)


def rho(one: Any, other: Any) -> float:
    found = spearman(np.asarray(one), np.asarray(other))
    assert found is not None
    return found


@pytest.mark.parametrize("method", METHODS)
def test_length_no_longer_explains_the_score_within_a_group(method: Any) -> None:
    calibrated = calibrate_scores(SCORES, LENGTHS, GROUPS, method)
    for group in range(3):
        inside = group == GROUPS
        assert rho(SCORES[inside], LENGTHS[inside]) > 0.7
        assert abs(rho(calibrated[inside], LENGTHS[inside])) < 0.05


@pytest.mark.parametrize(("method", "least"), [("lwr", 0.97), ("bin", 0.9), ("rank", 0.9)])
def test_what_length_does_not_explain_stays(method: Any, least: float) -> None:
    assert rho(calibrate_scores(SCORES, LENGTHS, GROUPS, method), QUALITY) > least
    assert rho(SCORES, QUALITY) < 0.6


@pytest.mark.parametrize("method", ("lwr", "bin"))
def test_a_curved_dependence_goes_too(method: Any) -> None:
    curved = QUALITY + 4 * np.sin(np.log(LENGTHS))
    assert abs(rho(calibrate_scores(curved, LENGTHS, None, method), LENGTHS)) < 0.06


def test_a_straight_line_in_log_length_is_removed_entirely() -> None:
    straight = 3.0 + 2.0 * np.log1p(LENGTHS)
    assert np.abs(calibrate_scores(straight, LENGTHS)).max() < 0.02


def test_without_dependence_the_local_line_takes_next_to_nothing() -> None:
    assert np.corrcoef(calibrate_scores(QUALITY, LENGTHS), QUALITY)[0, 1] > 0.99


@quick
@given(rows)
def test_constant_scores_give_zeros_or_one_rank(given_rows: list[tuple[int, int, int]]) -> None:
    _, lengths, groups = np.array(given_rows).T
    constant = np.full(len(lengths), 0.1)
    for method in ("lwr", "bin"):
        found = calibrate_scores(constant, lengths, groups, method, own_group=5)  # type: ignore[arg-type]
        assert found.tolist() == [0.0] * len(lengths)
    found = calibrate_scores(constant, lengths, groups, "rank", own_group=5)
    assert found.tolist() == [0.5] * len(lengths)


@quick
@given(rows)
def test_monotone_maps_leave_ranks_unchanged(given_rows: list[tuple[int, int, int]]) -> None:
    scores, lengths, groups = np.array(given_rows).T
    one = calibrate_scores(scores, lengths, groups, "rank", own_group=5)
    other = calibrate_scores(np.exp(scores) * 7 - 2, lengths, groups, "rank", own_group=5)
    assert one.tolist() == other.tolist()


def test_a_constant_per_bin_leaves_bin_unchanged() -> None:
    bins = length_bins(LENGTHS, MOST_BINS)
    shifts = np.random.default_rng(1).normal(size=MOST_BINS)[bins]
    one = calibrate_scores(QUALITY, LENGTHS, None, "bin")
    other = calibrate_scores(QUALITY + shifts, LENGTHS, None, "bin")
    assert other == pytest.approx(one, abs=1e-9)


@quick
@given(rows, st.sampled_from(METHODS), st.randoms(use_true_random=False))
def test_permuting_the_input_permutes_the_scores(
    given_rows: list[tuple[int, int, int]], method: Any, random: Any
) -> None:
    scores, lengths, groups = np.array(given_rows).T
    order = list(range(len(scores)))
    random.shuffle(order)
    one = calibrate_scores(scores / 7, lengths, groups, method, own_group=5)
    other = calibrate_scores(scores[order] / 7, lengths[order], groups[order], method, own_group=5)
    assert other.tolist() == one[order].tolist()


@quick
@given(rows, st.sampled_from(METHODS))
def test_rows_of_one_length_and_group_keep_their_order(
    given_rows: list[tuple[int, int, int]], method: Any
) -> None:
    scores, lengths, groups = np.array(given_rows).T
    found = calibrate_scores(scores, lengths, groups, method, own_group=5)
    pooled = np.bincount(groups, minlength=3)[groups] < 5
    for one in range(len(scores)):
        same = (lengths == lengths[one]) & ((groups == groups[one]) | (pooled & pooled[one]))
        assert (found[same & (scores > scores[one])] > found[one]).all()
        assert (found[same & (scores == scores[one])] == found[one]).all()


@pytest.mark.parametrize("method", METHODS)
def test_a_missing_score_stays_missing_and_moves_no_other(method: Any) -> None:
    scores = SCORES.copy()
    scores[::10], scores[5] = np.nan, np.inf
    found = calibrate_scores(scores, LENGTHS, GROUPS, method)
    known = np.isfinite(scores)
    assert np.isnan(found[~known]).all()
    alone = calibrate_scores(scores[known], LENGTHS[known], GROUPS[known], method)
    assert found[known].tolist() == alone.tolist()
    assert np.isnan(calibrate_scores([np.nan, np.nan], [1, 2], None, method)).all()


def test_small_groups_are_calibrated_together() -> None:
    groups = np.where(np.arange(2000) < 1900, 0, np.arange(2000))
    found = calibrate_scores(SCORES, LENGTHS, groups, "bin")
    small = calibrate_scores(SCORES[1900:], LENGTHS[1900:], None, "bin")
    assert found[1900:].tolist() == small.tolist()


def test_none_returns_the_scores_and_leaves_the_input_alone() -> None:
    scores = np.array([1.0, np.inf, 2.0])
    found = calibrate_scores(scores, [1, 2, 3], method="none")
    assert found[[0, 2]].tolist() == [1.0, 2.0]
    assert np.isnan(found[1])
    assert np.isinf(scores[1])


def test_an_unknown_method_is_refused() -> None:
    with pytest.raises(CurateError, match="calibrate is 'loess'; expected none, lwr, bin, rank"):
        calibrate_scores([1.0], [1], method="loess")  # type: ignore[arg-type]


def test_no_rows_and_one_row_are_no_problem() -> None:
    for method in METHODS:
        assert calibrate_scores([], [], None, method).shape == (0,)  # type: ignore[arg-type]
    assert calibrate_scores([3.0], [7]).tolist() == [0.0]


@quick
@given(st.lists(st.integers(0, 50), max_size=60), st.integers(1, 12))
def test_bins_are_ordered_and_never_split_a_length(lengths: list[int], bins: int) -> None:
    found = length_bins(lengths, bins).tolist()
    assert set(found) == set(range(len(set(found))))
    assert len(set(found)) <= bins
    for one, bin_one in zip(lengths, found, strict=True):
        for other, bin_other in zip(lengths, found, strict=True):
            if one == other:
                assert bin_one == bin_other
            elif one < other:
                assert bin_one <= bin_other


def test_bins_of_distinct_lengths_have_equal_size() -> None:
    assert np.bincount(length_bins(np.arange(1000) * 3, 20)).tolist() == [50] * 20


@pytest.mark.parametrize("method", METHODS)
def test_a_hundred_thousand_scores_are_calibrated_in_three_seconds(method: Any) -> None:
    lengths = np.tile(LENGTHS, 50) + np.arange(100_000) % 37
    groups, scores = np.arange(100_000) % 30, np.tile(SCORES, 50)
    started = time.process_time()
    calibrate_scores(scores, lengths, groups, method)
    assert time.process_time() - started < 3.0


def votes(test_data: Path) -> tuple[Any, Any]:
    """Votes for minus votes against each answer, by three people, and the answer's words."""
    pairs = json.loads((test_data / "preference" / "pandalm_testset.json").read_text("utf-8"))
    texts, found = [], []
    for pair in pairs:
        chosen = [pair["annotator1"], pair["annotator2"], pair["annotator3"]]
        for side in (1, 2):
            texts.append(str(pair[f"response{side}"]))
            found.append(float(chosen.count(side) - chosen.count(3 - side)))
    return np.array(found), np.array([len(text.split()) for text in texts])


def test_real_votes_lose_their_taste_for_length(test_data: Path) -> None:
    scores, lengths = votes(test_data)
    spread = spread_ties(scores, np.random.default_rng(1).permutation(len(scores)))
    assert rho(scores, lengths) > 0.15
    ranked = calibrate_scores(spread, lengths, None, "rank")
    assert abs(rho(ranked, lengths)) < 0.05
    best = np.argsort(-ranked)[:500]
    assert lengths[best].mean() == pytest.approx(lengths.mean(), rel=0.1)
    assert scores[best].mean() > 2.5
    for method in ("lwr", "bin"):
        found = calibrate_scores(spread, lengths, None, method)  # type: ignore[arg-type]
        assert abs(rho(found, lengths)) < 0.05


@pytest.mark.parametrize("method", ["lwr", "bin", "rank"])
def test_ranks_of_skewed_scores_do_not_lean_on_length_either(method: Any) -> None:
    rng = np.random.default_rng(0)
    lengths = np.exp(rng.normal(4, 1, 100)).astype(int) + 1
    scores = np.log(lengths) - np.log(lengths) * rng.exponential(size=100)
    assert abs(rho(calibrate_scores(scores, lengths, None, method), lengths)) < 0.05


def test_within_a_bin_of_length_the_order_of_scores_stays() -> None:
    rng = np.random.default_rng(0)
    lengths = np.exp(rng.normal(4, 1, 300)).astype(int) + 1
    scores = np.log(lengths) * rng.exponential(size=300)
    bins = length_bins(lengths, 300 // BIN_ROWS)
    for method in ("bin", "rank"):
        found = calibrate_scores(scores, lengths, None, method)  # type: ignore[arg-type]
        for number in range(bins.max() + 1):
            mine = bins == number
            assert np.argsort(found[mine]).tolist() == np.argsort(scores[mine]).tolist()


@quick
@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 99)), max_size=40))
def test_spreading_ties_keeps_different_scores_in_order(pairs: list[tuple[int, int]]) -> None:
    scores = np.array([score for score, _ in pairs], dtype=float) / 3
    rank = np.random.default_rng(0).permutation(len(pairs))
    found = spread_ties(scores, rank)
    distinct = len(set(scores.tolist()))
    for one in range(len(scores)):
        for other in range(len(scores)):
            tied = scores[one] == scores[other] and distinct > 1
            if scores[one] < scores[other] or (tied and rank[one] < rank[other]):
                assert found[one] < found[other]
    for value in set(scores.tolist()):
        assert found[scores == value].mean() == pytest.approx(value)


def test_scores_without_ties_and_missing_ones_are_not_spread() -> None:
    assert spread_ties([3.0, 1.0, 2.0], [0, 1, 2]).tolist() == [3.0, 1.0, 2.0]
    assert spread_ties([1.0, 1.0], [0, 1]).tolist() == [1.0, 1.0]
    found = spread_ties([1.0, np.nan, 1.0, 2.0], [3, 2, 1, 0])
    assert found[[0, 2, 3]].tolist() == [1.25, 0.75, 2.0]
    assert np.isnan(found[1])


def test_scores_near_the_largest_number_do_not_overflow():
    length = np.arange(40) + 5
    score = (length % 7).astype(float)
    small = calibrate_scores(score, length, method="bin")
    large = calibrate_scores(score * 1e299, length, method="bin")
    assert np.allclose(large / 1e299, small)
