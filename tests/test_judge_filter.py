"""What the judge filter makes of a judge's answers: scores, reasons, evidence, findings."""

from __future__ import annotations

from typing import Any

import pytest

import curate
from curate.base.errors import CurateError
from filters.llm_judge.filter import LLMJudge
from filters.llm_judge.question import Answer, Question
from filters.llm_judge.store import Answers
from tests.judge_toys import NOBODY, ScriptedJudge, asking


def rows(*answers: str) -> list[dict[str, Any]]:
    return [{"instruction": f"Ask {n}.", "output": text} for n, text in enumerate(answers)]


def says(**texts: str) -> ScriptedJudge:
    """A judge that says the text whose word is in the question."""

    def answer(question: Question) -> Answer:
        text = next((text for word, text in texts.items() if word in question.user), "4")
        return Answer(text, model="toy-1", finish="stop", tokens_in=10, tokens_out=2)

    return ScriptedJudge(answer)


def verdicts(run: curate.Run) -> list[tuple[Any, ...]]:
    ledger = run.ledger.filter(run.ledger["step"] == "judge").sort("row")
    return list(ledger.select("verdict", "reason", "score", "evidence").iter_rows())


def test_rows_below_the_least_score_are_dropped_with_what_the_judge_wrote() -> None:
    judge = says(good="5\nIt is right.", weak="2\nIt is thin.")
    run = curate.run(rows("a good one", "a weak one"), steps=[asking(judge, min_score=4.5)])
    assert verdicts(run) == [
        ("keep", None, 5.0, "score 5: It is right."),
        ("drop", "below_min_score", 2.0, "score 2, min_score is 4.5: It is thin."),
    ]


def test_an_answer_without_a_score_drops_its_row_and_is_quoted_whole() -> None:
    run = curate.run(rows("good", "odd"), steps=[asking(says(good="5", odd="I like it."))])
    assert verdicts(run)[1] == ("drop", "no_score", None, "unreadable: I like it.")
    assert run.manifest["steps"][0]["numbers"]["scored"] == 1


def test_a_question_that_failed_is_named_and_asked_again_the_next_time() -> None:
    answers, failing = Answers(None), True

    def answer(question: Question) -> Answer:
        if "odd" in question.user and failing:
            return Answer(problem="the server answered 500 six times")
        return Answer("4", model="toy-1")

    judge = ScriptedJudge(answer)
    run = curate.run(rows("good", "odd"), steps=[asking(judge, answers=answers)])
    assert verdicts(run)[1] == (
        "drop", "no_score", None, "no_answer: the server answered 500 six times",
    )  # fmt: skip
    failing = False
    run = curate.run(rows("good", "odd"), steps=[asking(judge, answers=answers)])
    assert [row[0] for row in verdicts(run)] == ["keep", "keep"]
    assert ["odd" in question.user for question in judge.asked].count(False) == 1


def test_the_same_answers_give_the_same_run_whatever_the_order_they_come_in() -> None:
    texts = [f"answer {n} {'good' if n % 3 else 'weak'}" for n in range(40)]
    made = []
    for backwards in (True, False):
        judge = says(good="5\nFine.", weak="1\nThin.")
        judge.backwards = backwards
        run = curate.run(rows(*texts), steps=[asking(judge, min_score=4)])
        made.append((run.manifest["files"], run.ledger.rows()))
    assert made[0] == made[1]


def test_equal_rows_are_asked_about_once() -> None:
    judge = says(good="5")
    curate.run([{"instruction": "Say it.", "output": "good"}] * 5, steps=[asking(judge)])
    assert len(judge.asked) == 1


def test_rows_that_came_with_a_score_are_not_asked_about() -> None:
    given = [{**row, "grade": 3.5} for row in rows("one", "two")] + rows("good")
    judge = says(good="5")
    run = curate.run(given, steps=[asking(judge, given="grade", min_score=4)])
    assert [row[:3] for row in verdicts(run)] == [
        ("drop", "below_min_score", 3.5),
        ("drop", "below_min_score", 3.5),
        ("keep", None, 5.0),
    ]
    assert len(judge.asked) == 1


def test_without_a_model_given_scores_are_all_there_is() -> None:
    given = [{**rows("one")[0], "grade": 4.8}, *rows("two")]
    run = curate.run(given, steps=[LLMJudge(rubric="alpagasus", given="grade", min_score=4.5)])
    assert verdicts(run) == [
        ("keep", None, 4.8, None),
        ("drop", "no_score", None, "grade holds no number, and no model is named to ask"),
    ]
    with pytest.raises(CurateError, match=r"none of 1 rows has a score in grade; name a model to"):
        curate.run(rows("two"), steps=[LLMJudge(rubric="alpagasus", given="grade")])


def test_a_row_without_an_answer_is_not_asked_about() -> None:
    judge = says(good="5")
    run = curate.run(rows("good", "   "), steps=[asking(judge)])
    assert [row[1] for row in verdicts(run)] == [None, "nothing_to_judge"]
    assert len(judge.asked) == 1


def test_probabilities_are_read_where_the_judge_gives_them() -> None:
    judge = ScriptedJudge(
        lambda question: Answer(probabilities=(0.0, 0.0, 0.1, 0.1, 0.6), model="toy"), True
    )
    run = curate.run(rows("good"), steps=[asking(judge, rubric="careful")])
    (verdict,) = verdicts(run)
    assert verdict[2] == pytest.approx((0.3 + 0.4 + 3.0) / 0.8)
    assert "labels have 0.80 of the probability" in verdict[3]


def test_labels_that_are_unlikely_are_no_score() -> None:
    judge = ScriptedJudge(
        lambda question: Answer(
            probabilities=(0.0, 0.0, 0.0, 0.0, 0.02 if "odd" in question.user else 0.9)
        ),
        True,
    )
    run = curate.run(rows("good", "odd"), steps=[asking(judge, rubric="careful")])
    assert [row[1] for row in verdicts(run)] == [None, "low_mass"]


def test_a_server_without_probabilities_is_read_as_text_aloud_or_refused() -> None:
    said: list[str] = []
    judge = ScriptedJudge(lambda question: Answer("4"))
    step = asking(judge, rubric="careful", say=said.append)
    curate.run(rows("good"), steps=[step])
    assert said == ["this toy gives no logprobs; rubric careful is read as text instead"]
    with pytest.raises(CurateError, match="gives no logprobs, and read: probabilities needs them"):
        step = asking(ScriptedJudge(lambda question: Answer("4")), "careful", read="probabilities")
        curate.run(rows("good"), steps=[step])


def test_aspects_are_asked_apart_and_later_steps_see_each() -> None:
    def answer(question: Question) -> Answer:
        return Answer("Rating: 5" if "onest" in question.user else "Rating: 3")

    judge = ScriptedJudge(answer)
    run = curate.run(rows("good"), steps=[asking(judge, rubric="ultrafeedback")])
    assert len(judge.asked) == 4
    (verdict,) = verdicts(run)
    assert 3.0 < verdict[2] < 5.0
    assert "honesty 5" in verdict[3]


def test_scores_that_clump_and_follow_length_are_said() -> None:
    judge = says(good="5", weak="4")
    texts = ["good " * (n + 1) for n in range(30)] + ["weak " * 3] * 3
    run = curate.run(rows(*texts), steps=[asking(judge)])
    step = run.manifest["steps"][0]
    assert any("91% of the scores are 5" in line for line in step["sentences"])
    assert step["numbers"]["largest_share"] == pytest.approx(30 / 33, abs=1e-3)
    assert step["numbers"]["models"] == {"toy-1": 33}
    assert step["numbers"]["spearman"]["as_it_came"]["all"] is not None


def test_the_best_share_is_kept_with_length_taken_out() -> None:
    judge = says(good="5", weak="2")
    run = curate.run(rows("good", "weak", "good"), steps=[asking(judge, keep_top=0.5)])
    assert run.counts["kept"] == 2
    assert verdicts(run)[1][1] == "not_in_top"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "nobody is named to ask"),
        ({"url": "http://127.0.0.1:9/v1"}, "url needs model"),
        ({**NOBODY, "rubric": "alpagazus"}, "alpagasus"),
        ({**NOBODY, "rubric": "mt_bench_pair"}, "compares two answers"),
        ({**NOBODY, "rubric": "alpagasus", "min_score": 9}, "gives 0 to 5"),
        ({**NOBODY, "keep_top": 0.5, "top_k": 3}, "give one"),
        ({**NOBODY, "max_cost": 3.0}, "needs prices"),
        ({**NOBODY, "prices": (-1.0, 1.0)}, "prices are dollars"),
        ({"model": "no/such/folder", "prices": (1.0, 1.0)}, "prices is for a server"),
        ({**NOBODY, "written_as": "plain"}, "a server decides"),
        ({"model": "no/such/folder"}, "is no model folder"),
        ({"model": "m", "url": "ftp://x/v1"}, "must begin with http"),
    ],
)
def test_wrong_settings_are_refused_before_any_row_is_read(
    settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(CurateError, match=message):
        LLMJudge(**settings)
