from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.base.contract import VERDICTS, Filter
from curate.base.errors import CurateError
from curate.pipeline.judging import judge
from filters.reward.filter import Reward

quick = settings(max_examples=30, deadline=None)


def frame(scores: list[float | None], **columns: Any) -> pl.DataFrame:
    """A frame as `Reward.judge` sees it."""
    count = len(scores)
    plain: dict[str, Any] = {
        "row": pl.Series(range(count), dtype=pl.UInt32),
        "id": [f"{number:016x}" for number in range(count)],
        "score": pl.Series(scores, dtype=pl.Float64),
        "problem": pl.Series([None] * count, dtype=pl.Categorical),
        "tokens": pl.Series([None] * count, dtype=pl.UInt32),
        "length": pl.Series([10] * count, dtype=pl.UInt32),
        "task": pl.Series([7] * count, dtype=pl.UInt64),
        "asked": pl.Series(range(count), dtype=pl.UInt64),
    }
    return pl.DataFrame({**plain, **columns})


def kept(step: Reward, measures: pl.DataFrame) -> list[int]:
    return step.judge(measures).verdicts["keep"].arg_true().to_list()


def three(conversation: Any, **columns: Any) -> pl.DataFrame:
    return conversation(("a", "one"), ("b", "two"), ("c", "three"), **columns)


def test_reward_is_a_filter() -> None:
    assert isinstance(Reward(), Filter)


def test_the_score_that_came_with_the_row_is_the_default(conversation: Any) -> None:
    records = three(conversation, score=[1.0, 3.0, 2.0])
    found = judge(Reward(top_k=2, calibrate="none"), records).verdicts
    assert found["keep"].to_list() == [False, True, True]
    assert found["score"].to_list() == [1.0, 3.0, 2.0]
    assert found.row(0)[1:] == (
        "not_in_top", 1.0, None, "rank 3, 2 kept; score 1.0 (none), as it came 1.0, 1 words",
    )  # fmt: skip


def test_a_score_can_be_any_field_of_the_row(conversation: Any) -> None:
    meta = ['{"judge": {"it\'s": 4.5}}', '{"judge": {"it\'s": 5}}', '{"judge": null}']
    records = three(conversation, meta=meta)
    found = judge(Reward(column="judge.it's", min_score=5.0), records).verdicts
    assert found["reason"].to_list() == ["below_min_score", None, "no_score"]
    assert found["evidence"].to_list() == [
        "as it came 4.5, min_score is 5.0", None, "no number under 1e+300 in judge.it's",
    ]  # fmt: skip


def test_a_least_score_says_on_which_scale_it_is(conversation: Any) -> None:
    rows = [("q", "word " * (n % 40 + 1)) for n in range(120)]
    records = conversation(*rows, score=[n % 40 + n / 7 for n in range(120)])
    step = Reward(min_score=20.0)
    measures = judge(step, records).measures
    said = step.judge(measures).findings.sentences
    assert any("min_score 20 is compared with scores as they came, 0 to 56" in one for one in said)
    bare = Reward(min_score=20.0, calibrate="none")
    said = bare.judge(measures).findings.sentences
    assert not any("min_score" in one for one in said)


def test_a_score_can_stand_in_a_file_by_id(conversation: Any, tmp_path: Path) -> None:
    records = three(conversation)
    ids = records["id"].to_list()
    file = tmp_path / "scores.jsonl"
    lines = [json.dumps({"id": ids[1], "votes": 7}), json.dumps({"id": ids[0], "votes": math.nan})]
    file.write_text("\n".join([*lines, '{"id": "unknown", "votes": 1}', ""]))
    found = judge(Reward(scores=str(file), column="votes"), records).verdicts
    assert found["keep"].to_list() == [False, True, False]
    assert found["reason"].to_list() == ["no_score", None, "no_score"]


BAD_FILES = {
    "{": "1: not JSON",
    "5": "1: expected an object with 'id' and a score",
    '{"id": "a"}': "1: no field 'score'; there is id",
    '{"score": 5}': "1: no text in 'id'",
    '{"id": "a", "score": "5"}': "1: score is '5'; expected a number",
    '{"id": "a", "score": true}': "1: score is True; expected a number",
    '{"id": "a", "score": 1}\n{"id": "a", "score": 2}': r"2: id a has two scores, 1\.0 and 2\.0",
}


@pytest.mark.parametrize("text", BAD_FILES)
def test_a_broken_score_file_is_refused_with_its_line(
    conversation: Any, tmp_path: Path, text: str
) -> None:
    file = tmp_path / "scores.jsonl"
    file.write_text(text)
    with pytest.raises(CurateError, match=f"scores.jsonl:{BAD_FILES[text]}"):
        Reward(scores=str(file)).measure(three(conversation))


@pytest.mark.parametrize("missing", [None, math.nan, math.inf, -math.inf])
def test_a_missing_score_is_a_drop_of_its_own_and_never_a_default(missing: float | None) -> None:
    found = Reward(keep_top=1.0).judge(frame([0.5, missing, -9.0])).verdicts
    assert found["keep"].to_list() == [True, False, True]
    assert found["reason"].to_list() == [None, "no_score", None]
    assert found["score"][1] is None


def test_no_score_anywhere_is_an_error_that_says_where_it_looked(conversation: Any) -> None:
    with pytest.raises(CurateError, match="none of 3 rows has a score in rating; name a column"):
        judge(Reward(column="rating"), three(conversation))


def test_a_share_is_rounded_up_and_exact() -> None:
    measures = frame([float(number) for number in range(100)])
    for share, rows in ((0.25, 25), (0.07, 7), (0.001, 1), (0.251, 26), (1.0, 100)):
        assert len(kept(Reward(keep_top=share), measures)) == rows


def test_ties_at_the_cut_go_by_id() -> None:
    ids = ["c", "a", "d", "b"]
    assert kept(Reward(top_k=2), frame([1.0] * 4, id=ids)) == [1, 3]
    assert kept(Reward(top_k=2, calibrate="none"), frame([1.0, 1.0, 2.0, 1.0], id=ids)) == [1, 2]


def test_equal_rows_are_told_apart_by_their_place_in_the_input() -> None:
    assert kept(Reward(top_k=1), frame([1.0, 1.0], id=["a", "a"])) == [0]


def test_the_least_score_is_on_the_scale_it_came_with() -> None:
    lengths = pl.Series([10, 400, 10, 400], dtype=pl.UInt32)
    found = Reward(min_score=4.5).judge(frame([4.5, 4.4, 9.0, 9.0], length=lengths)).verdicts
    assert found["keep"].to_list() == [True, False, True, True]
    assert found["reason"][1] == "below_min_score"


def test_the_top_is_taken_from_what_the_least_score_leaves() -> None:
    step = Reward(min_score=2.0, keep_top=0.5, calibrate="none")
    found = step.judge(frame([1.0, 2.0, 3.0, 4.0, 5.0])).verdicts
    assert found["reason"].to_list() == [
        "below_min_score", "not_in_top", "not_in_top", None, None,
    ]  # fmt: skip


def test_without_a_rule_every_scored_row_stays() -> None:
    assert kept(Reward(), frame([1.0, None, -5.0])) == [0, 2]


def test_constant_scores_keep_the_right_number_of_rows() -> None:
    for method in ("none", "lwr", "bin", "rank"):
        lengths = pl.Series(range(200), dtype=pl.UInt32)
        step = Reward(keep_top=0.5, calibrate=method)  # type: ignore[arg-type]
        measures = frame([0.3] * 200, length=lengths)
        assert kept(step, measures) == list(range(100))
        told = step.judge(measures).verdicts["evidence"][100]
        assert told.startswith("all scores are equal, so ids decided; rank 101, 100 kept")


def test_the_top_is_not_the_longest_once_length_is_taken_out() -> None:
    rng = np.random.default_rng(0)
    lengths = np.exp(rng.normal(4, 1, 1000)).astype(int) + 1
    quality = rng.normal(size=1000)
    measures = frame(
        (quality + 3 * np.log(lengths)).tolist(), length=pl.Series(lengths, dtype=pl.UInt32)
    )
    raw = kept(Reward(keep_top=0.2, calibrate="none"), measures)
    fair = kept(Reward(keep_top=0.2), measures)
    assert lengths[raw].mean() > 2 * lengths.mean()
    assert lengths[fair].mean() < 1.2 * lengths.mean()
    assert quality[fair].mean() > 1.2 > quality[raw].mean()


def test_length_is_taken_out_within_a_task_that_is_large_enough() -> None:
    lengths = [5] * 100 + [500] * 100
    tasks = ["classify"] * 100 + ["write"] * 100
    scores = [number / 100 for number in range(100)] * 2
    measures = frame(scores, length=pl.Series(lengths, dtype=pl.UInt32), task=tasks)
    chosen = kept(Reward(top_k=20), measures)
    assert sum(row < 100 for row in chosen) == 10


def test_among_equal_best_scores_short_answers_do_not_come_first() -> None:
    rng = np.random.default_rng(0)
    lengths = np.exp(rng.normal(4, 1, 2000)).astype(int) + 1
    grades = np.clip(np.rint(2 + 0.6 * np.log(lengths) / 4 + rng.normal(size=2000)), 1, 5)
    measures = frame(grades.tolist(), length=pl.Series(lengths, dtype=pl.UInt32))
    for method, near in (("rank", 0.1), ("lwr", 0.2)):
        chosen = kept(Reward(keep_top=0.1, calibrate=method), measures)  # type: ignore[arg-type]
        assert lengths[chosen].mean() == pytest.approx(lengths.mean(), rel=near)


def test_the_verdict_score_is_the_calibrated_one() -> None:
    lengths = pl.Series([10, 10, 500, 500], dtype=pl.UInt32)
    found = Reward(calibrate="bin").judge(frame([1.0, 2.0, 3.0, 6.0], length=lengths)).verdicts
    assert found["score"].to_list() == [-2.0, -1.0, 0.0, 3.0]


@quick
@given(
    st.lists(
        st.tuples(st.sampled_from([None, 0.0, 1.0, 2.5]), st.sampled_from("abcdef")), min_size=1
    ),
    st.sampled_from([0.1, 0.34, 0.5, 1.0]),
    st.sampled_from([None, 0.5, 2.5]),
)
def test_the_rule_is_its_definition(
    rows: list[tuple[float | None, str]], share: float, least: float | None
) -> None:
    scores, ids = (list(column) for column in zip(*rows, strict=True))
    if all(score is None for score in scores):
        return
    passed = [
        row
        for row, score in enumerate(scores)
        if score is not None and (least is None or score >= least)
    ]
    ranked = sorted(passed, key=lambda row: (-scores[row], ids[row], row))
    expected = sorted(ranked[: math.ceil(round(share * len(ranked), 9))])
    step = Reward(keep_top=share, min_score=least, calibrate="none")
    assert kept(step, frame(scores, id=ids)) == expected


@quick
@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(1, 300)), min_size=2, max_size=40),
    st.randoms(use_true_random=False),
)
def test_permuting_the_input_permutes_the_verdicts(
    rows: list[tuple[int, int]], random: Any
) -> None:
    scores, lengths = zip(*rows, strict=True)
    measures = frame([float(score) for score in scores], length=pl.Series(lengths, dtype=pl.UInt32))
    order = list(range(len(rows)))
    random.shuffle(order)
    step = Reward(keep_top=0.4)
    assert step.judge(measures[order]).verdicts.equals(step.judge(measures).verdicts[order])


def test_no_rows_are_no_problem() -> None:
    assert Reward(keep_top=0.5).judge(frame([])).verdicts.schema == VERDICTS


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "margin without a prompt's best": ({"margin": 0.1}, "margin compares the two best of a prompt"),
    "no margin": ({"margin": 0.0, "per_prompt": 1}, r"margin is 0\.0; expected a number of mo"),
    "no answer": ({"per_prompt": 0}, "per_prompt is 0; expected a number of at least 1"),
    "judge alone": ({"judge_by": "record.score"}, "without a rule every scored row is kept"),
    "neither": ({"combine": "xor"}, "combine is 'xor'; expected one of or, and"),
    "no length term": ({"length_term": False}, "length_term is of a linear model"),
    "two rules": ({"keep_top": 0.5, "top_k": 3}, "keep_top and top_k both say how many"),
    "share of zero": ({"keep_top": 0.0}, r"keep_top is 0\.0; expected a number of more than 0"),
    "share in percent": ({"keep_top": 25.0}, r"keep_top is 25\.0; expected .* at most 1"),
    "none of them": ({"top_k": 0}, "top_k is 0; expected a number of at least 1"),
    "nan": ({"min_score": math.nan}, "min_score is nan; expected a finite number"),
    "method": (
        {"calibrate": "loess"},
        "calibrate is 'loess'; expected one of none, lwr",
    ),
    "column": ({"column": "a..b"}, "column is 'a..b'; expected a field's name"),
    "no file": ({"scores": "nowhere.jsonl"}, "no file nowhere.jsonl; expected JSON Lines"),
    "no model": ({"model": "nowhere"}, "nowhere is no model folder"),
    "two sources": ({"model": "x", "scores": "y"}, "scores and model both give the score"),
    "column of a model": ({"model": "x", "column": "y"}, "column is not read when a model"),
}


@pytest.mark.parametrize("case", WRONG)
def test_settings_that_make_no_sense_are_refused_before_any_data_is_read(case: str) -> None:
    given_settings, said = WRONG[case]
    with pytest.raises(CurateError, match=said):
        Reward(**given_settings)


def test_scores_of_a_column_are_not_worth_keeping_between_runs() -> None:
    assert not Reward().cached
    assert Reward().fingerprint == ()
