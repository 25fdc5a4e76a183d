"""Short text: distinct answers survive, whatever is compared."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from curate.base.errors import CurateError
from curate.pipeline.judging import judge
from filters.dedup.exact import Exact
from filters.dedup.near.filter import Near
from tests.near_rows import dropped, records

QUESTIONS = [
    ("What is the capital of France?", "Paris"),
    ("What is the capital of Germany?", "Berlin"),
    ("How many roads must a man walk down?", "42"),
    ("How many days has a week?", "7"),
    ("Is A or B the right answer to the first question?", "A"),
    ("Is A or B the right answer to the second question?", "B"),
    ("Which emoji means a party?", "🎉"),
    ("Which emoji means a fire?", "🔥"),
    ("Add five and three.", "5 + 3"),
    ("Take three from five.", "5 - 3"),
    ("What do you say?", "!!!"),
    ("What did you say?", "???"),
    ("Translate yes into French.", "oui"),
    ("Is the sky blue?", "Yes."),
    ("Is water wet?", "Yes."),
]


@pytest.mark.parametrize("step", [Exact, Near])
@pytest.mark.parametrize("field", ["prompt", "response", "both"])
def test_short_answers_each_with_its_own_prompt_survive(step, field):
    assert dropped(step(field=field), QUESTIONS) == {}


@pytest.mark.parametrize("shingle", ["adaptive", "word", "char"])
def test_short_answers_survive_under_every_shingle(shingle):
    assert dropped(Near(shingle=shingle), QUESTIONS) == {}


@pytest.mark.parametrize("shingle", ["adaptive", "word", "char"])
def test_text_under_one_shingle_is_compared_exactly(shingle):
    rows = [("", "Yes"), ("", "No"), ("", "yes!"), ("", "🎉"), ("", "🔥"), ("", "🎉")]
    assert dropped(Near(shingle=shingle), rows) == {2: 0, 5: 3}


def test_short_text_that_is_the_same_has_similarity_one_and_no_shingles():
    frame = judge(Near(), records([("Paris", ""), ("Berlin", ""), ("paris.", "")])).measures
    assert frame["shingles"].list.len().to_list() == [0, 0, 0]
    assert Near().judge(frame).verdicts["score"].to_list() == [None, None, 1.0]


def test_empty_text_is_similar_to_nothing():
    rows = [("", ""), ("", ""), ("  ", "\n"), ("", "")]
    assert dropped(Near(), rows) == {}
    assert dropped(Near(shingle="char"), rows) == {}
    assert judge(Near(), records(rows)).measures["key"].null_count() == 4


def test_a_short_prompt_that_changes_one_word_survives():
    rows = [
        ("What is the capital of Austria?", ""),
        ("What is the capital of Australia?", ""),
        ("Compute 12 + 7 for me please", ""),
        ("Compute 12 - 7 for me please", ""),
        ("1+2=3", ""),
        ("1*2=3", ""),
    ]
    assert dropped(Near(field="prompt"), rows) == {}


def test_many_good_answers_to_one_short_prompt_survive():
    answers = ["An apple.", "A pear.", "A plum.", "A fig.", "🍒", "Kiwi"]
    assert dropped(Near(), [("Name a fruit.", answer) for answer in answers]) == {}


@pytest.mark.parametrize(
    ("threshold", "kept"), [(0.6, 2396), (0.7, 3487), (0.8, 4709), (0.9, 5959)]
)
def test_short_answers_compared_alone_give_the_published_counts(
    test_data: Path, threshold: float, kept: int
):
    # GPTeacher publishes its Toolformer set deduplicated at these thresholds.
    rows = json.loads((test_data / "raw" / "gpteacher_toolformer.json").read_bytes())
    frame = records([(row["instruction"], row["response"]) for row in rows])
    wanted = {"similarity": "rouge_l", "field": "response", "stem": True, "threshold": threshold}
    assert judge(Near(**wanted, short="alone"), frame).verdicts["keep"].sum() == kept
    assert judge(Near(**wanted), frame).verdicts["keep"].sum() > kept


def test_two_short_answers_must_be_alike_beside_their_rows():
    ask = "toolformer access: terminal. Show the free memory of this machine"
    rows = [(f"{ask} now", "free -m"), (f"{ask} please", "uname"), (f"{ask} again", "free -m")]
    alone = {"similarity": "rouge_l", "field": "response"}
    assert dropped(Near(**alone), rows) == {2: 0}
    assert dropped(Near(**alone, short="alone"), rows) == {2: 0}
    whole = {"similarity": "rouge_l", "field": "both"}
    assert dropped(Near(**whole), rows) == {1: 0, 2: 0}


def test_short_is_read_with_responses_only():
    with pytest.raises(CurateError, match="short is 'alone', which field: both does not read"):
        Near(short="alone")
