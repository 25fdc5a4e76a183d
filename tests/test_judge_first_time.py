"""What a judge says to somebody who uses it for the first time: what is wrong, and what to do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import curate
from curate.base.errors import CurateError
from curate.base.schema import MESSAGES
from filters.llm_judge.agreement import agreement
from filters.llm_judge.compare import PairwiseJudge, about
from filters.llm_judge.filter import LLMJudge
from filters.llm_judge.pairwise import Verdict
from filters.llm_judge.question import Answer
from filters.llm_judge.reading import Scale, read_probabilities
from filters.llm_judge.rubric import parse_rubric
from tests.judge_toys import NOBODY, ScriptedJudge, asking

RECORDS = pl.DataFrame(
    {
        "id": [f"{n:016x}" for n in range(3)],
        "messages": [
            [{"role": "user", "content": f"Ask {n}"}, {"role": "assistant", "content": "word " * n}]
            for n in (1, 2, 3)
        ],
        "tools": [None] * 3,
        "category": [None] * 3,
        "score": [6.0, 4.0, None],
        "meta": [json.dumps({"right": "yes"} if n else {}) for n in range(3)],
        "prompt": ["Ask 1", "Ask 2", "Ask 3"],
        "response": ["word", "word word", "word word word"],
    },
    schema_overrides={"messages": MESSAGES, "tools": pl.String, "category": pl.String},
)


def sentences(step: Any) -> str:
    measures = step.measure(RECORDS).hstack(RECORDS.select("id")).with_row_index("row")
    return "\n".join(step.judge(measures).findings.sentences)


def test_an_answer_that_nobody_can_read_is_shown_with_what_to_do() -> None:
    step = asking(ScriptedJudge(lambda _: Answer(text="I like it.")))
    with pytest.raises(CurateError, match=r"unreadable: .*; the first: 'I like it\.'\); try anoth"):
        step.judge(step.measure(RECORDS))


def test_labels_that_a_server_never_says_are_named() -> None:
    judge = ScriptedJudge(lambda _: Answer(text="good", probabilities=(0.0,) * 5), True)
    step = asking(judge, "careful")
    with pytest.raises(CurateError, match=r"the first: 'good'\); each label must be one token"):
        step.judge(step.measure(RECORDS))


def test_given_scores_on_another_scale_are_said() -> None:
    step = asking(ScriptedJudge(lambda _: Answer(text="5")), given="score", min_score=4.5)
    assert "1 of 2 scores in score lie outside of 0 to 5" in sentences(step)


def test_a_judge_without_a_rule_says_that_it_keeps_all() -> None:
    said = sentences(asking(ScriptedJudge(lambda _: Answer(text="5"))))
    assert "every row with a score is kept; 4.5 was published with the rubric" in said
    assert "100% of the scores are 5: this judge hardly tells rows apart; read: prob" in said


def test_how_many_rows_had_a_reference_is_said() -> None:
    judge = ScriptedJudge(lambda _: Answer(text="[[5]]"))
    found = sentences(asking(judge, "mt_bench_single", reference="right"))
    assert "2 of 3 rows were asked with a text of right" in found
    none = sentences(asking(judge, "mt_bench_single", reference="rihgt"))
    assert "0 of 3 rows were asked with a text of rihgt; name the field" in none
    with pytest.raises(
        CurateError, match=r"alpagasus shows no reference; .* does: careful, llama3"
    ):
        LLMJudge(**NOBODY, rubric="alpagasus", reference="right")


def test_scores_of_deita_alone_are_found_by_their_names(tmp_path: Path) -> None:
    rows = [
        {"instruction": f"Tell {n}", "output": f"It is {n}.", "quality_score": n, "rating": 1}
        for n in range(1, 7)
    ]
    for each in rows[:2]:
        del each["rating"]  # then the column `score` is of the other name
    steps = [{"judge": {"rubric": "deita_quality", "given": "quality_score", "min_score": 2}}]
    done = curate.run(rows, steps=steps, out=tmp_path / "run")
    assert done.kept["score"].to_list() == [2.0, 1.0, 1.0, 1.0, 1.0]


def test_a_second_judge_is_named_in_its_errors(tmp_path: Path) -> None:
    rows = [{"instruction": f"Tell {n}", "output": "It is.", "grade": 5} for n in range(3)]
    steps = [{"judge": {"given": "grade"}}, {"judge": {"given": "absent"}}]
    with pytest.raises(CurateError, match=r"judge-2: none of 3 .* --set judge-2\.model=NAME"):
        curate.run(rows, steps=steps, out=tmp_path / "run")
    found = curate.estimate(rows, steps=steps[1:])["judge"]
    assert (found.nobody, found.questions) == (3, 0)


@pytest.mark.parametrize("unread", [{"given": "x"}, {"keep_top": 0.5}, {"calibrate": "lwr"}])
def test_pairs_refuse_what_they_do_not_read(unread: dict[str, Any]) -> None:
    with pytest.raises(CurateError, match=f"judge: {next(iter(unread))} is for a step of a recipe"):
        PairwiseJudge(**NOBODY, **unread)


def test_a_judge_that_always_prefers_the_first_is_not_to_be_trusted() -> None:
    said = about([Verdict("tie", 0.0, is_flipped=True)] * 3 + [Verdict("a", 1.0)] * 7)
    assert said[1].startswith("of 10 that can be read 3 (30%)")
    assert said[2].startswith("more than a fifth: this judge looks at the order")
    assert len(about([Verdict("a", 1.0)] * 10)) == 2
    unread = about([Verdict(problem="unreadable", reasons=("", "Well."))])
    assert unread[-1] == "without a verdict: unreadable 1; the first: 'Well.'"


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("ways: {text: first_line_number}\nrange: [0, 5]\n---\nHow good?", "all rows would be"),
        (
            "ways: {probabilities: expected_value}\nrange: [1, 3]\nlabels: [1, 1, 3]\n---\n"
            "{{ response }}",
            "different labels, each once",
        ),
    ],
)
def test_a_rubric_that_cannot_be_meant_is_refused(file: str, message: str) -> None:
    with pytest.raises(CurateError, match=message):
        parse_rubric(f"---\n{file}", "mine")


def test_an_expected_value_and_what_is_unknown_of_it_by_hand() -> None:
    found = read_probabilities([0.1, 0.1, 0.6], [1.0, 2.0, 3.0], Scale(1, 3))
    assert (found.score, found.mass) == (pytest.approx(2.1 / 0.8), pytest.approx(0.8))
    unknown = read_probabilities([0.0, 0.5], [1.0, 5.0], Scale(1, 5), bound=0.1)
    assert unknown.problem == "low_mass"  # (5 * .5 + 1 * .1) / .6 is 4.33
    assert unknown.reason.endswith("could move the score by 0.67")


def test_agreement_by_hand() -> None:
    # The judge calls 5 rows good, people 4, none of them the same: 11 of 20 agree.
    scores = np.array([5.0] * 5 + [1.0] * 15)
    labels = np.array([0.0] * 16 + [1.0] * 4)
    found = agreement(scores, labels, 4.5, 1)
    assert found.agreement is not None
    assert found.agreement.value == pytest.approx(11 / 20)
    assert found.by_chance == pytest.approx((5 * 4 + 15 * 16) / 400)
    assert found.kappa is not None
    assert found.kappa.value == pytest.approx((0.55 - 0.65) / 0.35)
