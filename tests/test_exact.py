"""Exact duplicates: what counts as the same, and which row is kept."""

from __future__ import annotations

import json

import pytest

from curate.base.contract import Filter
from curate.base.errors import CurateError
from curate.pipeline import recipe
from curate.pipeline.judging import judge
from filters.dedup.exact import Exact
from tests.near_rows import dropped, records

CAPITAL = ("What is the capital of France?", "Paris is the capital of France.")


def test_a_repeated_conversation_is_dropped_and_names_the_one_that_is_kept():
    found = judge(Exact(), records([CAPITAL, ("Hi", "Hello"), CAPITAL, CAPITAL])).verdicts
    assert found["keep"].to_list() == [True, True, False, False]
    assert found["duplicate_of"].to_list() == [None, None, 0, 0]
    assert found["reason"].to_list() == [None, None, "exact_duplicate", "exact_duplicate"]
    assert found["score"].to_list() == [None, None, 1.0, 1.0]
    assert found["evidence"].to_list() == [
        "cluster of row 0: 3 rows",
        None,
        "cluster of row 0: 3 rows",
        "cluster of row 0: 3 rows",
    ]


@pytest.mark.parametrize(
    "other",
    [
        ("what is the capital of france", "PARIS is the capital of France"),
        ("  What is\tthe capital\n\nof France? ", "Paris is the capital of France."),
        ("“What is the capital of France?”", "Paris is the capital of France!"),
        ("What is the capital of\u00a0France？", "Ｐａｒｉｓ is the capital of France。"),
        ("What is the cap\u00adital of France?", "\ufeffParis is the capital of France."),
    ],
)
def test_differences_of_mere_writing_are_ignored_unless_raw(other):
    assert dropped(Exact(), [CAPITAL, other]) == {1: 0}
    assert dropped(Exact(normalise=False), [CAPITAL, other]) == {}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("5", "-5"),
        ("5", ".5"),
        ("50", "50%"),
        ("f", "f()"),
        ("x", "x'"),
        ("5 + 3", "5 - 3"),
        ("a", "b"),
        ("🎉", "🔥"),
        ("!!!", "???"),
        ("Resume", "Résumé"),
        ("Yes", "Yes 👍"),
    ],
)
def test_answers_that_mean_something_else_are_not_equal(one, other):
    assert dropped(Exact(), [("Solve this.", one), ("Solve this.", other)]) == {}


def test_field_prompt_keeps_one_answer_to_each_question():
    rows = [("Name a fruit.", "An apple."), ("name a fruit", "A pear."), ("Name a bird.", "A jay.")]
    assert dropped(Exact(field="prompt"), rows) == {1: 0}
    assert dropped(Exact(), rows) == {}


def test_field_response_keeps_short_answers_to_other_questions():
    long = "The answer to this question is that nobody knows it for certain."
    rows = [("Is water wet?", "Yes."), ("Is fire hot?", "Yes."), ("Why?", long), ("How?", long)]
    assert dropped(Exact(field="response"), rows) == {3: 2}
    assert dropped(Exact(field="response"), [("Is it?", "Yes."), ("is it", "yes")]) == {1: 0}


def test_who_said_it_and_in_how_many_messages_matters():
    user, assistant = "user", "assistant"
    rows = [
        [{"role": user, "content": "Hi there"}, {"role": assistant, "content": "Hello"}],
        [{"role": user, "content": "Hi"}, {"role": assistant, "content": "there Hello"}],
        [{"role": assistant, "content": "Hi there"}, {"role": user, "content": "Hello"}],
        [
            {"role": user, "content": "Hi there"},
            {"role": assistant, "content": "Hello", "reasoning": "A greeting."},
        ],
        [
            {"role": "system", "content": "Be kind"},
            {"role": user, "content": "Hi there"},
            {"role": assistant, "content": "Hello"},
        ],
    ]
    assert dropped(Exact(), rows) == {}


def test_rows_that_differ_only_in_tool_calls_or_tools_are_not_equal():
    def call(city):
        calls = json.dumps([{"name": "weather", "arguments": {"city": city}}])
        return [
            {"role": "user", "content": "Weather?"},
            {"role": "assistant", "content": None, "tool_calls": calls},
        ]

    rows = [call("Rome"), call("Oslo"), call("Rome")]
    for field in ("both", "response"):
        assert dropped(Exact(field=field), rows) == {2: 0}
    tools = ['[{"type": "function"}]', None]
    assert dropped(Exact(), [call("Rome")] * 2, tools=tools) == {}


def test_the_longest_or_the_best_is_kept_when_asked():
    rows = [("Name a fruit.", "An apple."), ("Name a fruit.", "An apple, perhaps."), CAPITAL]
    rows.append(("Name a fruit.", "A fig."))
    assert dropped(Exact(field="prompt", keep="longest"), rows) == {0: 1, 3: 1}
    best = Exact(field="prompt", keep="best")
    assert dropped(best, rows, score=[1.0, None, None, 3.0]) == {0: 3, 1: 3}
    assert dropped(best, rows, score=[1.0, float("nan"), None, None]) == {1: 0, 3: 0}


def test_best_may_go_by_a_measure_of_an_earlier_step():
    step = Exact(keep="best", by="reward.score")
    frame = judge(step, records([CAPITAL, CAPITAL]), reward__score=[0.1, 0.9]).measures
    assert step.judge(frame).verdicts["keep"].to_list() == [False, True]
    assert step.needs == ("reward.score",)
    with pytest.raises(CurateError, match=r"'reward.score', which no earlier step measures; known"):
        step.judge(frame.drop("reward.score"))


def test_which_row_of_equals_is_kept_does_not_depend_on_their_order():
    rows = [CAPITAL, ("what is the capital of france?", CAPITAL[1]), ("Hi", "Hello")]
    step = Exact(keep="longest")
    (goes,) = dropped(step, rows)
    (moved,) = dropped(step, rows[::-1])
    assert rows[goes] == rows[::-1][moved]


def test_no_rows_give_no_verdicts():
    assert judge(Exact(), records([])).verdicts.height == 0
    assert judge(Exact(normalise=False), records([])).verdicts.height == 0


def test_a_setting_that_nothing_reads_is_refused():
    with pytest.raises(CurateError, match=r"exact: by is 'reward.score' but keep is 'first'"):
        Exact(by="reward.score")
    with pytest.raises(CurateError, match=r"one of first, longest, best; did you mean 'first'"):
        Exact(keep="frist")
    with pytest.raises(CurateError, match=r"exact: field is 'prompts'"):
        Exact(field="prompts")


def test_a_former_setting_is_answered_with_the_present_one():
    for step in ("exact", "near"):
        with pytest.raises(CurateError, match=r"the setting 'spare' is now 'exempt'"):
            recipe.filter_called(step, {"spare": "same_prompt"})


def test_it_is_a_filter():
    assert isinstance(Exact(), Filter)
