from __future__ import annotations

import time
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.base.errors import CurateError
from filters.common.stats import concentration
from filters.length.cap import cap
from filters.length.filter import Length
from filters.length.report import diagnose
from tests.length_rows import of_lengths

VARIED = [1, 3, 9, 20, 45, 90, 200, 400, 800, 1600] * 10
CROWDED = [*VARIED, *[190 + number % 21 for number in range(60)]]

rows_of_cap = st.lists(
    st.tuples(st.integers(0, 60), st.integers(0, 2), st.integers(0, 5)), min_size=1, max_size=30
)
quick = settings(max_examples=30, deadline=None)


def by_definition(
    lengths: list[int], rank: list[int], groups: list[int], max_share: float, least: int
) -> tuple[list[bool], float]:
    """Drop the lowest-ranked droppable row of the first densest window, one at a time."""
    kept = set(range(len(lengths)))
    while kept:
        windows = [
            [row for row in sorted(kept) if 9 * m <= 10 * lengths[row] <= 11 * m]
            for m in range(10, 80)
        ]
        densest = max(windows, key=len)
        share = len(densest) / len(kept)
        sizes = np.bincount([groups[row] for row in kept], minlength=9)
        free = [row for row in densest if sizes[groups[row]] > least]
        if share <= max_share or not free:
            break
        kept.remove(min(free, key=lambda row: rank[row]))
    return [row in kept for row in range(len(lengths))], share


@quick
@given(rows_of_cap, st.sampled_from([0.1, 0.2, 0.35, 0.5]), st.integers(0, 3), st.randoms())
def test_cap_is_its_definition(
    rows: list[tuple[int, int, int]], max_share: float, least: int, random: Any
) -> None:
    lengths, groups, _ = (list(column) for column in zip(*rows, strict=True))
    rank = list(range(len(rows)))
    random.shuffle(rank)
    done = cap(np.array(lengths), np.array(rank), np.array(groups), max_share, least)
    kept, share = by_definition(lengths, rank, groups, max_share, least)
    assert done.keep.tolist() == kept
    assert done.share == pytest.approx(share)


def test_a_crowded_length_is_thinned_until_it_is_within_the_greatest_share() -> None:
    records = of_lengths(*CROWDED)
    found = Length(action="cap", max_share=0.2).judge(records).verdicts
    kept = records.filter(found["keep"])["length"]
    assert diagnose(CROWDED).concentration > 0.4
    assert diagnose(kept.to_numpy()).concentration <= 0.2
    dropped = found.filter(~pl.col("keep"))
    assert dropped["reason"].unique().to_list() == ["crowded_length"]
    assert set(records.filter(~found["keep"])["length"]) <= set(range(180, 221))
    assert dropped["evidence"][0].endswith(
        "of the rows were within 10 % of 191 words, max_share is 0.2"
    )


def test_the_lowest_scores_go_first_and_rows_without_a_score_before_them() -> None:
    scores = [None, float("nan"), *[number / 10 for number in range(58)]]
    records = of_lengths(*VARIED, *[200] * 60)
    scored = pl.Series([99.0] * 100 + scores, dtype=pl.Float64, strict=False)
    found = (
        Length(action="cap", max_share=0.3, by="reward.verdict")
        .judge(records.with_columns(scored.alias("reward.verdict")))
        .verdicts
    )
    gone = (~found["keep"]).arg_true().to_list()
    assert gone == list(range(100, 100 + len(gone)))
    assert 20 < len(gone) < 60
    assert Length(action="cap", by="reward.verdict").needs == ("reward.verdict",)


def test_without_a_column_the_score_that_came_with_the_row_decides() -> None:
    scores = [5.0] * 100 + [1.0] * 30 + [2.0] * 30
    records = of_lengths(*VARIED, *[200] * 60, **{"record.score": scores})
    found = Length(action="cap", max_share=0.35).judge(records).verdicts
    gone = (~found["keep"]).arg_true()
    assert 0 < len(gone) <= 30
    assert gone.is_between(100, 129).all()


def test_a_calibrated_set_is_left_alone() -> None:
    assert Length(action="cap", max_share=0.2).judge(of_lengths(*VARIED)).verdicts["keep"].all()


@quick
@given(rows_of_cap, st.sampled_from([0.25, 0.4, 0.6]))
def test_a_capped_set_is_within_the_greatest_share_and_stays_as_it_is_or_tau_is_refused(
    rows: list[tuple[int, int, int]], max_share: float
) -> None:
    lengths, tasks, scores = zip(*rows, strict=True)
    records = of_lengths(
        *lengths,
        task=[f"task{task}" for task in tasks],
        **{"record.score": [float(score) for score in scores]},
    )
    step = Length(action="cap", max_share=max_share, min_per_group=1)
    try:
        found = step.judge(records).verdicts
    except CurateError as error:
        assert "impossible" in str(error) or "out of reach" in str(error)
        return
    kept = records.filter(found["keep"])
    assert kept.height
    assert concentration(kept["length"].cast(pl.Int64).to_numpy()).share <= max_share
    assert step.judge(kept).verdicts["keep"].all()


@quick
@given(rows_of_cap, st.randoms(use_true_random=False))
def test_permuting_the_input_of_cap_permutes_its_output(
    rows: list[tuple[int, int, int]], random: Any
) -> None:
    lengths, tasks, scores = zip(*rows, strict=True)
    records = of_lengths(
        *lengths,
        task=[f"task{task}" for task in tasks],
        **{"record.score": [float(score) for score in scores]},
    )
    order = list(range(len(rows)))
    random.shuffle(order)
    step = Length(action="cap", max_share=0.3, min_per_group=1)
    try:
        found = step.judge(records).verdicts
    except CurateError as error:
        with pytest.raises(CurateError) as other:
            step.judge(records[order])
        assert str(other.value) == str(error)
        return
    assert step.judge(records[order]).verdicts["keep"].to_list() == found["keep"][order].to_list()


def test_a_tau_below_the_pigeonhole_bound_is_said_to_be_impossible() -> None:
    with pytest.raises(CurateError) as error:
        Length(action="cap", max_share=0.4).judge(of_lengths(*[200] * 30, *[300] * 30))
    assert str(error.value) == (
        "length: a max_share of 0.4 is impossible: the lengths of these 60 rows fit into 2 windows"
        " of +-10 %, so one window holds at least 0.5 of the rows; raise max_share, lower"
        " min_per_group, or leave max_share out to cap only where it is possible"
    )


def test_a_tau_that_would_empty_a_kind_of_request_is_said_to_be_out_of_reach() -> None:
    records = of_lengths(*VARIED, *[200] * 60, task=["name"] * 100 + ["write"] * 60)
    kept = Length(action="cap", max_share=0.2).judge(records).verdicts["keep"]
    assert kept[100:].sum() >= 5
    with pytest.raises(CurateError, match=r"out of reach: .* min_per_group \(60\) rows"):
        Length(action="cap", max_share=0.2, min_per_group=60).judge(records)


def test_without_a_share_a_set_that_cannot_be_capped_is_left_alone_and_says_why() -> None:
    found = Length(action="cap").judge(of_lengths(*[200] * 60)).verdicts
    assert found["keep"].all()
    assert found["evidence"][0].startswith("a max_share of 0.2 is impossible")


def test_without_a_share_a_handful_of_rows_is_left_alone() -> None:
    found = Length(action="cap").judge(of_lengths(*[200] * 19)).verdicts
    assert found["keep"].all()
    assert found["evidence"].null_count() == 19


def test_without_a_share_a_fifth_is_the_cap() -> None:
    records = of_lengths(*CROWDED)
    assert (
        Length(action="cap")
        .judge(records)
        .verdicts.equals(Length(action="cap", max_share=0.2).judge(records).verdicts)
    )


def test_no_rows_are_no_problem() -> None:
    assert Length(action="cap").judge(of_lengths()).verdicts.height == 0


def test_the_longest_thousand_of_alpaca_can_be_capped(test_data: Any, conversation: Any) -> None:
    from tests.test_length_report import dump

    records = conversation(*dump(test_data, "alpaca_1k_longest.json"))
    step = Length(action="cap")
    measures = pl.concat(
        [records.select("row", "id", **{"record.score": pl.col("score")}), step.measure(records)],
        how="horizontal",
    )
    found = step.judge(measures).verdicts
    kept = measures.filter(found["keep"])
    assert concentration(kept["length"].cast(pl.Int64).to_numpy()).share <= 0.2
    assert 300 < kept.height < 400
    assert step.judge(kept).verdicts["keep"].all()


def test_a_hundred_thousand_rows_are_capped_in_two_seconds() -> None:
    rng = np.random.default_rng(0)
    lengths = np.concatenate([rng.normal(200, 10, 50_000), np.exp(rng.normal(4, 1.2, 50_000))])
    lengths = np.maximum(lengths, 1).astype(np.int64)
    rank, groups = rng.permutation(100_000), np.zeros(100_000, dtype=np.int64)
    started = time.process_time()
    done = cap(lengths, rank, groups, 0.2, 5)
    assert done.share <= 0.2
    assert time.process_time() - started < 2.0
