from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.pipeline.judging import judge
from filters.length.filter import Length
from tests.length_rows import of_lengths

rows_of_trim = st.lists(
    st.tuples(
        st.sampled_from([1, 2, 3, 10, 12, 15, 20, 30, 40, 200, 900, 9000]), st.integers(0, 1)
    ),
    min_size=1,
    max_size=80,
)
quick = settings(max_examples=30, deadline=None)


def test_an_answer_far_longer_than_others_of_its_task_group_is_dropped() -> None:
    records = of_lengths(*[10, 12, 15, 20, 25] * 10, 5000)
    found = Length(action="trim").judge(records).verdicts
    assert found["keep"].to_list() == [True] * 50 + [False]
    assert found.row(50) == (
        False,
        "long_for_task",
        5000.0,
        None,
        "5000 words; at most 167 are usual in the task group 'write'",
    )


def test_an_answer_far_shorter_is_dropped_too() -> None:
    found = Length(action="trim").judge(of_lengths(*[300, 350, 400] * 10, 3)).verdicts
    assert found["reason"][30] == "short_for_task"
    assert found["evidence"][30] == "3 words; at least 37 are usual in the task group 'write'"


def test_the_fence_is_where_the_evidence_says() -> None:
    lengths = [10, 12, 15, 20, 25] * 10
    kept = [
        Length(action="trim").judge(of_lengths(*lengths, at)).verdicts["keep"][50]
        for at in (167, 168)
    ]
    assert kept == [True, False]


def test_what_is_long_for_one_kind_of_request_is_usual_for_another() -> None:
    lengths = [1] * 30 + [400] * 30 + [400]
    tasks = ["classify"] * 30 + ["write"] * 30
    by_task = Length(action="trim").judge(of_lengths(*lengths, task=[*tasks, "classify"])).verdicts
    assert by_task["keep"].to_list() == [True] * 60 + [False]
    assert (
        Length(action="trim")
        .judge(of_lengths(*lengths, task=[*tasks, "write"]))
        .verdicts["keep"]
        .all()
    )


def test_a_request_for_a_length_exempts_its_answer() -> None:
    records = of_lengths(*[10, 12, 15, 20] * 10, 5000, asks=[""] * 40 + ["count"])
    assert Length(action="trim").judge(records).verdicts["keep"].all()


def test_where_most_answers_are_one_word_a_phrase_is_no_outlier() -> None:
    found = Length(action="trim").judge(of_lengths(*[1] * 40, 8, 15, 16)).verdicts
    assert found["keep"].to_list() == [True] * 42 + [False]


def test_a_nearer_fence_drops_more() -> None:
    records = of_lengths(*[10, 12, 15, 20, 25] * 10, 80)
    assert Length(action="trim").judge(records).verdicts["keep"].all()
    assert not Length(action="trim", iqr_factor=1.0).judge(records).verdicts["keep"][50]


def test_a_group_keeps_twenty_rows_the_nearest_ones() -> None:
    lengths = [1, 1, 1] * 5 + [2, 2] + [1_000_000, 2_000_000, 3_000_000, 4_000_000, 5_000_000]
    found = Length(action="trim").judge(of_lengths(*lengths)).verdicts
    assert found["keep"].sum() == 20
    assert found["keep"].to_list()[-5:] == [True, True, True, False, False]


@quick
@given(rows_of_trim, st.sampled_from([0.5, 1.0, 3.0]))
def test_trimming_what_was_trimmed_changes_nothing(
    rows: list[tuple[int, int]], iqr_factor: float
) -> None:
    lengths, tasks = zip(*rows, strict=True)
    records = of_lengths(*lengths, task=[f"task{task}" for task in tasks])
    step = Length(action="trim", iqr_factor=iqr_factor)
    kept = records.filter(step.judge(records).verdicts["keep"])
    assert step.judge(kept).verdicts["keep"].all()


@quick
@given(rows_of_trim, st.randoms(use_true_random=False))
def test_permuting_the_input_of_trim_permutes_its_output(
    rows: list[tuple[int, int]], random: Any
) -> None:
    lengths, tasks = zip(*rows, strict=True)
    records = of_lengths(*lengths, task=[f"task{task}" for task in tasks])
    order = list(range(len(rows)))
    random.shuffle(order)
    step = Length(action="trim", iqr_factor=0.5)
    found = step.judge(records).verdicts
    assert step.judge(records[order]).verdicts.equals(found[order])


@quick
@given(rows_of_trim)
def test_no_kind_of_request_is_trimmed_below_twenty_rows(rows: list[tuple[int, int]]) -> None:
    lengths, tasks = zip(*rows, strict=True)
    records = of_lengths(*lengths, task=[f"task{task}" for task in tasks])
    kept = records.filter(Length(action="trim", iqr_factor=0.5).judge(records).verdicts["keep"])
    if all(tasks.count(task) >= 20 for task in set(tasks)):
        for task in set(tasks):
            assert kept.filter(task=f"task{task}").height >= 20


def test_alpaca_needs_next_to_no_trimming(test_data: Any, conversation: Any) -> None:
    from tests.test_length_report import dump

    records = conversation(*dump(test_data, "alpaca_random_9k.json")[:4000])
    assert judge(Length(action="trim"), records).verdicts["keep"].mean() == pytest.approx(
        1.0, abs=0.01
    )
