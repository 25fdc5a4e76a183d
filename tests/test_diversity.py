"""Selections that compare rows: each equals its definition, spelt out with plain loops."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.base.errors import CurateError
from filters.common.budget import Allowance, even_shares, shares, spend
from filters.selection.diversity import deita_greedy, k_center
from filters.selection.facility import facility_location, near_pairs
from filters.selection.filter import Select
from filters.selection.greedy import tag_greedy
from tests.length_rows import of_lengths

quick = settings(max_examples=40, deadline=None)
few = settings(max_examples=15, deadline=None)  # a whole step costs ten times a function

# Unit vectors whose products are exact in binary, so that equal cosines are equal numbers.
_AXES = [[float(place == axis) for place in range(4)] for axis in range(4)]
_CORNERS = [list(signs) for signs in itertools.product((0.5, -0.5), repeat=4)]
exact_vectors = st.lists(st.sampled_from(_AXES + _CORNERS), min_size=1, max_size=9).map(
    lambda rows: np.array(rows, dtype=np.float32)
)


def room(count: int, budget: int, **given_settings: Any) -> Allowance:
    ones = np.ones(count, np.int64)
    return Allowance(ones, budget, np.zeros(count, np.int64), ones > 0, **given_settings)


def cosines(vectors: Any) -> Any:
    return vectors.astype(np.float64) @ vectors.astype(np.float64).T


def all_random(count: int, size: int, seed: int) -> Any:
    drawn = np.random.default_rng(seed).normal(size=(count, size))
    return (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)


def plain_k_center(vectors: Any, budget: int) -> list[int]:
    cosine, mean = cosines(vectors), vectors.astype(np.float64).mean(axis=0)
    taken = [max(range(len(vectors)), key=lambda row: (round(vectors[row] @ mean, 6), -row))]
    while len(taken) < min(budget, len(vectors)):
        free = [row for row in range(len(vectors)) if row not in taken]
        taken.append(max(free, key=lambda row: (-max(cosine[row, taken]), -row)))
    return taken


def covered(cosine: Any, rows: Any) -> float:
    return float(np.maximum(cosine[:, list(rows)], 0.0).max(axis=1).sum())


def plain_facility(vectors: Any, budget: int) -> list[int]:
    cosine, taken = cosines(vectors), list[int]()
    while len(taken) < min(budget, len(vectors)):
        free = [row for row in range(len(vectors)) if row not in taken]
        taken.append(max(free, key=lambda row: (covered(cosine, [*taken, row]), -row)))
    return taken


def plain_deita(vectors: Any, threshold: float, budget: int) -> list[int]:
    cosine, taken = cosines(vectors), list[int]()
    for row in range(len(vectors)):
        if len(taken) < budget and all(cosine[row, other] <= threshold for other in taken):
            taken.append(row)
    return taken


@quick
@given(exact_vectors, st.integers(1, 9))
def test_k_center_is_its_definition_with_ties(vectors: Any, budget: int) -> None:
    found = k_center(vectors, room(len(vectors), budget))
    assert found.rows.tolist() == plain_k_center(vectors, budget)


def test_k_center_is_its_definition_on_many_rows() -> None:
    vectors = all_random(180, 5, 1)
    assert k_center(vectors, room(180, 140)).rows.tolist() == plain_k_center(vectors, 140)


def test_the_radius_of_k_center_is_at_most_twice_the_best() -> None:
    for seed in range(8):
        vectors = all_random(9, 3, seed)
        apart = np.sqrt(np.maximum(2.0 - 2.0 * cosines(vectors), 0.0))
        rows = k_center(vectors, room(9, 3)).rows
        best = min(
            apart[:, list(chosen)].min(axis=1).max()
            for chosen in itertools.combinations(range(9), 3)
        )
        assert apart[:, rows].min(axis=1).max() <= 2.0 * best + 1e-6


@quick
@given(exact_vectors, st.integers(1, 9))
def test_facility_location_is_plain_greedy_with_ties(vectors: Any, budget: int) -> None:
    found = facility_location(vectors, room(len(vectors), budget), 0)
    assert found.picks.rows.tolist() == plain_facility(vectors, budget)
    gained = covered(cosines(vectors), found.picks.rows)
    assert sum(found.picks.values) == pytest.approx(gained)
    assert found.share == pytest.approx(gained / len(vectors))
    best = max(
        covered(cosines(vectors), chosen)
        for chosen in itertools.combinations(range(len(vectors)), len(found.picks.rows))
    )
    assert gained >= (1 - 1 / math.e) * best - 1e-9


def test_facility_location_is_plain_greedy_on_many_rows() -> None:
    vectors = all_random(150, 6, 2)
    found = facility_location(vectors, room(150, 30), 0).picks
    assert found.rows.tolist() == plain_facility(vectors, 30)


def test_beyond_the_pairs_that_are_held_far_ones_count_as_nothing() -> None:
    vectors = all_random(300, 6, 3)
    found = facility_location(vectors, room(300, 12), 0, pairs=15_000)
    assert 0.3 < found.floor < 0.5
    held = near_pairs(vectors, found.floor)
    assert 12_000 < len(held.values) < 18_000
    cosine = np.where(cosines(vectors) >= found.floor, cosines(vectors), 0.0)
    taken: list[int] = []
    for _ in range(12):
        free = [row for row in range(300) if row not in taken]
        taken.append(max(free, key=lambda row: covered(cosine, [*taken, row])))
    assert found.picks.rows.tolist() == taken


@quick
@given(exact_vectors, st.integers(1, 9), st.sampled_from([-0.5, 0.0, 0.25, 0.5, 0.9, 1.0]))
def test_deita_s_greedy_is_its_definition(vectors: Any, budget: int, threshold: float) -> None:
    found = deita_greedy(vectors, threshold, room(len(vectors), budget))
    assert found.rows.tolist() == plain_deita(vectors, threshold, budget)
    cosine = cosines(vectors)
    for row, other in enumerate(found.similar_to.tolist()):
        if other >= 0:
            assert other in found.rows.tolist()
            assert cosine[row, other] == found.cosine[row] > threshold


def test_deita_s_greedy_is_its_definition_over_many_blocks() -> None:
    vectors = all_random(1500, 4, 4)
    found = deita_greedy(vectors, 0.8, room(1500, 150))
    assert found.rows.tolist() == plain_deita(vectors, 0.8, 150)


def test_of_each_planted_near_pair_the_better_scored_row_alone_survives() -> None:
    base = all_random(40, 64, 5)
    near = base + 0.1 * all_random(40, 64, 6)
    near /= np.linalg.norm(near, axis=1, keepdims=True)
    measures = with_vectors(np.concatenate([base, near]).astype(np.float32))
    scores = np.random.default_rng(7).permutation(80).astype(float)
    measures = measures.with_columns(pl.Series("record.score", scores))
    judgement = Select(method="repr", budget=80, threshold=0.9).judge(measures)
    judged = judgement.verdicts
    kept = judged["keep"].to_numpy()
    assert (kept[:40] ^ kept[40:]).all()
    assert (kept[:40] == (scores[:40] > scores[40:])).all()
    assert judgement.findings.sentences[-1] == (
        "only 40 rows are selected for a budget of 80: 40 too_similar"
    )
    dropped = judged.with_row_index("row").filter(~pl.col("keep"))
    assert dropped["reason"].unique().to_list() == ["too_similar"]
    apart = dropped["duplicate_of"].cast(int) - dropped["row"].cast(int)
    assert apart.abs().unique().to_list() == [40]
    assert "above 0.9" in dropped["evidence"][0]


def plain_tags(tags: list[set[str]], budget: int) -> list[int]:
    left = sorted(range(len(tags)), key=lambda row: (-len(tags[row]), row))
    taken: list[int] = []
    while len(taken) < budget and any(tags[row] for row in left):
        seen: set[str] = set()
        for row in list(left):
            if len(taken) < budget and tags[row] - seen:
                taken.append(row)
                seen |= tags[row]
                left.remove(row)
    return taken


@quick
@given(st.lists(st.sets(st.sampled_from("abcdef"), max_size=4), max_size=12), st.integers(1, 12))
def test_tags_are_instag_s_algorithm(tags: list[set[str]], budget: int) -> None:
    order = sorted(range(len(tags)), key=lambda row: (-len(tags[row]), row))
    left = room(len(tags), budget)
    found = tag_greedy([sorted(row) for row in tags], np.array(order, np.int64), left)
    assert np.flatnonzero(left.taken).tolist() == sorted(plain_tags(tags, budget))
    assert ((found.turn > 0) == left.taken).all()


def with_vectors(vectors: Any, **columns: Any) -> pl.DataFrame:
    frame = of_lengths(*[10] * len(vectors), **columns)
    return frame.with_columns(pl.Series("vector", vectors, pl.Array(pl.Float32, vectors.shape[1])))


@few
@given(
    exact_vectors,
    st.sampled_from(["kcenter", "facility", "repr"]),
    st.sampled_from(["none", "length", "category"]),
    st.randoms(use_true_random=False),
)
def test_permuting_the_input_permutes_what_is_chosen(
    vectors: Any, method: Any, stratify: Any, random: Any
) -> None:
    count = len(vectors)
    measures = with_vectors(
        vectors,
        length=pl.Series([5 + row % 3 for row in range(count)], dtype=pl.UInt32),
        **{
            "record.score": [float(row % 2) for row in range(count)],
            "record.category": ["ab"[row % 2] for row in range(count)],
        },
    )
    order = list(range(count))
    random.shuffle(order)
    step = Select(method=method, budget=4, stratify=stratify)
    assert step.judge(measures[order]).verdicts.equals(step.judge(measures).verdicts[order])


@few
@given(exact_vectors, st.integers(1, 9), st.randoms(use_true_random=False))
def test_select_goes_by_score_and_ties_by_id(vectors: Any, budget: int, random: Any) -> None:
    count = len(vectors)
    names = [f"{number:04x}" for number in range(count)]
    random.shuffle(names)
    scores = [float(random.randrange(3)) for _ in range(count)]
    measures = with_vectors(vectors, ids=names, **{"record.score": scores})
    by_id = sorted(range(count), key=lambda row: names[row])
    by_score = sorted(range(count), key=lambda row: (-scores[row], names[row]))
    expected = {
        "kcenter": [by_id[row] for row in plain_k_center(vectors[by_id], budget)],
        "facility": [by_id[row] for row in plain_facility(vectors[by_id], budget)],
        "repr": [by_score[row] for row in plain_deita(vectors[by_score], 0.4, budget)],
    }
    for method, rows in expected.items():
        more = {"threshold": 0.4} if method == "repr" else {}
        judged = Select(method=method, budget=budget, **more).judge(measures).verdicts  # type: ignore[arg-type]
        assert judged["keep"].arg_true().to_list() == sorted(rows), method


@pytest.mark.parametrize("method", ["kcenter", "facility", "repr"])
def test_a_blank_text_is_like_nothing_and_is_not_chosen(method: Any) -> None:
    vectors = np.zeros((3, 4), np.float32)
    vectors[1:, 0] = 1.0
    measures = with_vectors(vectors, **{"record.score": [9.0, 1.0, 2.0]})
    found = (
        Select(method=method, budget=3, threshold=1.0 if method == "repr" else 0.9)
        .judge(measures)
        .verdicts
    )
    assert found["keep"].to_list() == [False, True, True]
    assert found["reason"][0] == "no_vector"
    assert Select(method=method, budget=2).judge(with_vectors(vectors * 0, **{
        "record.score": [9.0, 1.0, 2.0]})).verdicts["keep"].sum() == 0  # fmt: skip


def test_a_quota_of_categories_holds_in_every_method() -> None:
    vectors = all_random(30, 8, 9)
    measures = with_vectors(
        vectors,
        **{
            "record.category": ["code"] * 20 + ["math"] * 10,
            "record.score": [float(row) for row in range(30)],
            "tags": [["a", f"t{row}"] for row in range(30)],
        },
    )
    for method in ("kcenter", "facility", "repr", "tags"):
        judged = Select(method=method, budget=12, per_category=4).judge(measures).verdicts
        by = measures.filter(judged["keep"])["record.category"].value_counts().sort("count")
        assert by["count"].to_list() == [4, 4], method
        assert judged.filter(~pl.col("keep"))["reason"].value_counts().row(0) == ("over_quota", 22)


def test_strata_of_length_hold_in_every_method() -> None:
    measures = with_vectors(
        all_random(100, 8, 10),
        length=pl.Series([1 + row for row in range(100)], dtype=pl.UInt32),
        **{
            "record.score": [float(row) for row in range(100)],
            "tags": [["a", f"t{row}"] for row in range(100)],
        },
    )
    for method in ("kcenter", "facility", "repr", "tags", "top", "random", "longest"):
        judged = Select(method=method, budget=20, stratify="length").judge(measures).verdicts
        chosen = np.flatnonzero(judged["keep"].to_numpy()) // 10
        assert np.bincount(chosen).tolist() == [2] * 10, method


def test_rows_too_similar_leave_their_share_of_the_budget_to_other_strata() -> None:
    vectors = all_random(12, 32, 11)
    vectors[:6] = vectors[0]
    measures = with_vectors(
        vectors, **{"record.category": ["a"] * 6 + ["b"] * 6, "record.score": [1.0] * 12}
    )
    judged = Select(method="repr", budget=6, stratify="category").judge(measures).verdicts
    assert measures.filter(judged["keep"])["record.category"].to_list() == ["a"] + ["b"] * 5


def test_a_budget_of_words_is_kept_and_nearly_spent() -> None:
    lengths = np.random.default_rng(12).integers(1, 60, 400)
    measures = with_vectors(
        all_random(400, 8, 12),
        length=pl.Series(lengths, dtype=pl.UInt32),
        **{"record.score": lengths.astype(float), "tags": [["a", f"t{row}"] for row in range(400)]},
    )
    for method in ("top", "random", "longest", "kcenter", "facility", "repr", "tags"):
        step = Select(method=method, budget=1000, budget_in="words")
        spent = int(lengths[step.judge(measures).verdicts["keep"].to_numpy()].sum())
        assert 990 <= spent <= 1000, method
    nothing = Select(method="top", budget=1, budget_in="words").judge(measures.tail(3)).verdicts
    assert nothing["keep"].sum() <= 1


def test_shares_never_exceed_what_there_is() -> None:
    assert shares(np.array([3, 5]), 100).tolist() == [3, 5]
    assert shares(np.array([1, 1, 1]), 2).tolist() == [1, 1, 0]
    assert shares(np.array([2**61, 2**61]), 2**61).tolist() == [2**60, 2**60]


def test_even_shares_give_what_a_small_stratum_cannot_take_to_the_others() -> None:
    assert even_shares(np.array([60, 30, 2]), 15).tolist() == [7, 6, 2]
    assert even_shares(np.array([1, 1]), 9).tolist() == [1, 1]
    assert even_shares(np.array([0, 5]), 3).tolist() == [0, 3]


def test_what_strata_leave_unspent_is_spent_by_all() -> None:
    left = Allowance(np.array([4, 4, 3, 3]), 7, np.array([0, 0, 1, 1]), np.ones(4, dtype=np.bool_))
    assert left.shares.tolist() == [4, 3]
    assert spend([0, 1, 2, 3], left).tolist() == [True, False, True, False]


def test_a_product_ranks_by_quality_times_complexity() -> None:
    measures = of_lengths(5, 5, 5, 5).with_columns(
        pl.Series("q.verdict", [1.0, 2.0, 3.0, None]), pl.Series("c.verdict", [5.0, 3.0, 1.0, 9.0])
    )
    step = Select(by=("q.verdict", "c.verdict"), budget=1)
    assert step.needs == ("q.verdict", "c.verdict")
    judged = step.judge(measures).verdicts
    assert judged["score"].to_list() == [5.0, 6.0, 3.0, None]
    assert judged["keep"].to_list() == [False, True, False, False]
    negative = measures.with_columns(pl.col("q.verdict") - 2)
    with pytest.raises(CurateError, match=r"the least q\.verdict is -1, and products of negative"):
        step.judge(negative)


def test_facility_refuses_what_would_take_hours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("filters.selection.methods.MOST_COMPARED", 2)
    with pytest.raises(CurateError, match=r"3 rows are too many \(at most 2\); draw candidates"):
        Select(method="facility", budget=1).judge(with_vectors(all_random(3, 4, 0)))


def test_repr_without_scores_says_which_methods_need_none() -> None:
    with pytest.raises(CurateError, match="a method that needs no score: facility, kcenter, tags"):
        Select(method="repr").judge(with_vectors(all_random(3, 4, 0)))
