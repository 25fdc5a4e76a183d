from __future__ import annotations

import math
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.base.errors import CurateError
from curate.pipeline.judging import judge
from filters.common.stats import spearman
from filters.reward.filter import Reward
from tests.test_reward import frame, kept

quick = settings(max_examples=40, deadline=None)


def asked(*prompts: int) -> pl.Series:
    return pl.Series(prompts, dtype=pl.UInt64)


def test_best_of_n_keeps_the_best_answer_of_each_prompt(conversation: Any) -> None:
    pairs = [("a", "one"), ("a", "two"), ("b", "three"), ("a", "four")]
    found = judge(
        Reward(per_prompt=1, calibrate="none"), conversation(*pairs, score=[1.0, 3.0, 0.0, 2.0])
    ).verdicts
    assert found["reason"].to_list() == ["not_best_of_prompt", None, None, "not_best_of_prompt"]
    assert found["evidence"][0].startswith("place 3 of 3 answers, 1 kept; score 1.0 (none)")


def test_the_best_k_of_each_prompt_can_stay() -> None:
    measures = frame([1.0, 3.0, 2.0, 0.0], asked=asked(7, 7, 7, 7))
    assert kept(Reward(per_prompt=2, calibrate="none"), measures) == [1, 2]


def test_a_tie_between_two_answers_goes_by_id_and_has_no_lead() -> None:
    measures = frame([2.0, 2.0, 1.0], id=["c", "b", "a"], asked=asked(7, 7, 7))
    assert kept(Reward(per_prompt=1, calibrate="none"), measures) == [1]
    found = Reward(per_prompt=1, margin=0.5, calibrate="none").judge(measures).verdicts
    assert found["reason"].to_list() == [
        "not_best_of_prompt", "no_clear_winner", "not_best_of_prompt",
    ]  # fmt: skip
    assert found["evidence"][1] == "leads by 0.0, margin is 0.5"


def test_a_lead_of_exactly_the_margin_is_enough() -> None:
    measures = frame([2.0, 1.5, 9.0], asked=asked(7, 7, 8))
    assert kept(Reward(per_prompt=1, margin=0.5, calibrate="none"), measures) == [0, 2]


def test_where_every_prompt_has_one_answer_nothing_is_chosen_and_it_is_said() -> None:
    step, measures = Reward(per_prompt=1), frame([1.0, None, 3.0])
    found = step.judge(measures).verdicts
    assert found["keep"].to_list() == [True, False, True]
    findings = step.judge(measures).findings
    assert (
        findings.sentences[-1]
        == "none of 2 prompts has two scored answers, so per_prompt drops nothing"
    )
    assert findings.numbers["prompts"] == {
        "prompts": 2, "with_choice": 0, "longest": None, "chance": None,
    }  # fmt: skip


def test_it_is_said_how_often_the_best_answer_is_the_longest() -> None:
    measures = frame(
        [1.0, 2.0, 5.0, 4.0, 3.0, 1.0],
        asked=asked(1, 1, 2, 2, 2, 3),
        length=pl.Series([5, 9, 4, 8, 8, 3], dtype=pl.UInt32),
    )
    step = Reward(per_prompt=1, calibrate="none")
    findings = step.judge(measures).findings
    assert findings.numbers["prompts"]["with_choice"] == 2
    assert findings.numbers["prompts"]["longest"] == 0.5
    assert findings.numbers["prompts"]["chance"] == pytest.approx((1 / 2 + 2 / 3) / 2)
    assert "the best is the longest for 50% of them (by chance 58%)" in findings.sentences[-1]
    assert findings.sentences[1] == "median words: 6.5 scored, 4 kept"


@quick
@given(
    st.lists(
        st.tuples(
            st.sampled_from([None, 0.0, 1.0, 1.5]), st.integers(0, 3), st.sampled_from("abcde")
        ),
        min_size=1,
        max_size=14,
    ),
    st.sampled_from([1, 2]),
)
def test_best_of_n_is_its_definition(
    rows: list[tuple[float | None, int, str]], wanted: int
) -> None:
    scores, prompts, ids = (list(column) for column in zip(*rows, strict=True))
    if all(score is None for score in scores):
        return
    expected = []
    for prompt in set(prompts):
        answers = [row for row in range(len(rows)) if prompts[row] == prompt]
        scored = [row for row in answers if scores[row] is not None]
        expected += sorted(scored, key=lambda row: (-scores[row], ids[row], row))[:wanted]
    step = Reward(per_prompt=wanted, calibrate="none")
    assert kept(step, frame(scores, id=ids, asked=asked(*prompts))) == sorted(expected)


def llama(scores: list[float | None], grades: list[float | None], both: bool) -> list[int]:
    """Llama 3: the top quarter of the reward model, or the best grade of the judge."""
    ranked = sorted(
        (row for row, score in enumerate(scores) if score is not None),
        key=lambda row: (-(scores[row] or 0.0), row),
    )
    top = set(ranked[: math.ceil(len(ranked) / 4)])
    best = max(grade for grade in grades if grade is not None)
    graded = {row for row, grade in enumerate(grades) if grade == best}
    return sorted(top & graded if both else top | graded)


@quick
@given(
    st.lists(
        st.tuples(
            st.sampled_from([None, 0.0, 1.0, 2.0, 2.5]), st.sampled_from([None, 1.0, 2.0, 3.0])
        ),
        min_size=1,
        max_size=20,
    ),
    st.booleans(),
)
def test_the_rule_of_llama_3_is_its_definition(
    rows: list[tuple[float | None, float | None]], both: bool
) -> None:
    scores, grades = (list(column) for column in zip(*rows, strict=True))
    if all(score is None for score in scores) or all(grade is None for grade in grades):
        return
    measures = frame(scores).with_columns(pl.Series("judge.score", grades, dtype=pl.Float64))
    step = Reward(
        keep_top=0.25, judge_by="judge.score", calibrate="none", combine="and" if both else "or"
    )
    assert step.needs == ("judge.score",)
    assert kept(step, measures) == llama(scores, grades, both)
    dropped = step.judge(measures).verdicts.filter(~pl.col("keep"))
    assert dropped["reason"].null_count() == dropped["evidence"].null_count() == 0
    assert set(dropped["reason"]) <= {"no_score", "not_in_top", "not_best_graded"}


GRADED = {
    # score, grade, and the reason under "or" and under "and"; the top quarter are two rows of six
    "a": (9.0, 5.0, None, None),
    "b": (8.0, 2.0, None, "not_best_graded"),
    "c": (1.0, 5.0, None, "not_in_top"),
    "d": (None, 5.0, None, "no_score"),
    "e": (None, 2.0, "no_score", "no_score"),
    "f": (None, None, "no_score", "no_score"),
    "g": (2.0, 2.0, "not_in_top", "not_in_top"),
    "h": (3.0, None, "not_in_top", "not_in_top"),
    "i": (7.0, None, "not_in_top", "not_in_top"),
}


@pytest.mark.parametrize("combine", ["or", "and"])
def test_a_row_without_a_score_is_kept_if_and_only_if_its_grade_is_enough(combine: Any) -> None:
    scores, grades, either, both = (list(column) for column in zip(*GRADED.values(), strict=True))
    measures = frame(scores, id=list(GRADED)).with_columns(
        pl.Series("judge.score", grades, dtype=pl.Float64)
    )
    step = Reward(keep_top=0.25, judge_by="judge.score", calibrate="none", combine=combine)
    judged = step.judge(measures)
    assert judged.verdicts["reason"].to_list() == (either if combine == "or" else both)
    counts = {
        "by_both": 1, "by_score_alone": 1, "by_grade_alone": 2, "by_grade_alone_without_score": 1,
    }  # fmt: skip
    assert judged.findings.numbers["judge"] == {"best_grade": 5.0, **counts}
    assert judged.findings.sentences[-1] == (
        "the best grade in judge.score is 5: 1 rows are within the rules on scores and have the"
        " best grade, 1 are only within the rules, 2 only have the grade (1 of them without a"
        " score); "
        + ("all of these are kept" if combine == "or" else "the first of these are kept")
        + f" (combine: {combine})"
    )


def test_evidence_under_a_judge_says_what_would_have_kept_the_row() -> None:
    scores, grades, *_ = (list(column) for column in zip(*GRADED.values(), strict=True))
    measures = frame(scores, id=list(GRADED)).with_columns(
        pl.Series("judge.score", grades, dtype=pl.Float64)
    )
    step = Reward(keep_top=0.25, judge_by="judge.score", calibrate="none")
    evidence = dict(zip(GRADED, step.judge(measures).verdicts["evidence"], strict=True))
    assert evidence["e"] == (
        "no number under 1e+300 in score; its grade in judge.score is 2.0, the best one is 5.0"
    )
    assert evidence["f"] == (
        "no number under 1e+300 in score; no grade in judge.score; the best one is 5.0"
    )
    assert evidence["g"] == (
        "rank 5, 2 within the rules on scores; score 2.0 (none), as it came 2.0, 10 words;"
        " its grade in judge.score is 2.0, the best one is 5.0"
    )
    strict = Reward(keep_top=0.25, judge_by="judge.score", calibrate="none", combine="and")
    evidence = dict(zip(GRADED, strict.judge(measures).verdicts["evidence"], strict=True))
    assert evidence["b"] == "its grade in judge.score is 2.0, the best one is 5.0"
    assert evidence["d"] == "no number under 1e+300 in score"


def test_a_judge_without_any_grade_is_an_error() -> None:
    measures = frame([1.0, 2.0]).with_columns(
        pl.Series("record.score", [None, math.nan], dtype=pl.Float64)
    )
    with pytest.raises(CurateError, match=r"none of 2 rows has a grade in record\.score; name"):
        Reward(keep_top=0.5, judge_by="record.score").judge(measures)


def longish(rows: int) -> pl.DataFrame:
    rng = np.random.default_rng(0)
    lengths = np.exp(rng.normal(4, 1, rows)).astype(int) + 1
    scores = rng.normal(size=rows) + 2 * np.log(lengths)
    return frame(
        scores.tolist(),
        length=pl.Series(lengths, dtype=pl.UInt32),
        task=["write", "name"] * (rows // 2),
    )


def test_findings_show_score_against_length_before_and_after() -> None:
    step, measures = Reward(keep_top=0.5), longish(600)
    findings = step.judge(measures).findings
    before, after = (
        findings.numbers["spearman"]["as_it_came"],
        findings.numbers["spearman"]["calibrated"],
    )
    whole = spearman(measures["score"].to_numpy(), measures["length"].to_numpy())
    assert before["all"] == round(whole or 0.0, 4)
    assert before["within_task"] > 0.8 > 0.05 > abs(after["within_task"])
    assert findings.sentences[0] == (
        "correlation (Spearman) of score and length within task groups: 0.90 as it came, 0.00 after"
        " calibration (lwr)"
    )
    table = findings.tables["length"]
    assert table["rows"].sum() == 600
    assert table["kept"].sum() == 300
    assert table["score_median"].is_sorted()
    assert table["verdict_median"].abs().max() < 0.3 < table["score_median"][-1]
    assert (table["length_from"] <= table["length_median"]).all()


@pytest.mark.parametrize("method", ["lwr", "bin"])
def test_a_score_that_is_length_is_said_to_leave_little(method: Any) -> None:
    lengths = [1 + row % 40 for row in range(200)]
    words = pl.Series(lengths, dtype=pl.UInt32)
    same = frame([float(length) for length in lengths], length=words)
    findings = Reward(keep_top=0.25, calibrate=method).judge(same).findings
    assert findings.numbers["left_of_variance"] < 0.05
    (said,) = [each for each in findings.sentences if "of the variance of the scores" in each]
    assert said.startswith(("length explains 9", "length explains 100 %"))
    apart = frame([float(row % 7) for row in range(200)], length=words)
    findings = Reward(keep_top=0.25, calibrate=method).judge(apart).findings
    assert findings.numbers["left_of_variance"] > 0.8
    assert not any("of the variance of the scores" in each for each in findings.sentences)
    ranked = Reward(keep_top=0.25, calibrate="rank").judge(same).findings
    assert "left_of_variance" not in ranked.numbers


def test_findings_of_constant_or_missing_scores_say_so() -> None:
    step, same = Reward(), frame([2.0] * 30)
    findings = step.judge(same).findings
    assert findings.sentences == (
        "score and length have no correlation: one of them is the same for all rows",
    )
    none = frame([])
    assert step.judge(none).findings.sentences == ("no row has a score",)
