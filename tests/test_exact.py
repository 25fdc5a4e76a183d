"""Exact duplicates: what counts as the same, and which row is kept."""

from __future__ import annotations

import json

import polars as pl
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


@pytest.mark.parametrize(
    ("prompt", "one", "other"),
    [
        # code: its lines, its letters, and white space that the prompt is about
        (
            "Fix the indentation so that the total is printed once, after the loop has ended.",
            "for n in rows:\n    total += n\nprint(total)",
            "for n in rows:\n    total += n\n    print(total)",
        ),
        ("Write a loop.", "while a:\n    b += 1\nc()", "while a:\n    b += 1\n    c()"),
        ("Match no digits.", "Use `\\D+`.", "Use `\\d+`."),
        ("Delete the branch.", "git branch -d old", "git branch -D old"),
        ("Remove the extra spaces.", "a b", "a  b"),
        # case that was asked for
        ("Write hello in capital letters.", "HELLO", "hello"),
        ("Convert to title case: the old man", "The Old Man", "The old man"),
        ("What is my_var in camelCase?", "myVar", "myvar"),
        # signs that stand high or low, and end marks that were asked for
        ("What is the area?", "It is x².", "It is x2."),
        ("Which base?", "It is log₂8.", "It is log28."),
        ("Punctuate: who is it", "Who is it?", "Who is it."),
    ],
)
def test_a_small_difference_that_is_the_whole_difference_is_kept_unless_raw(prompt, one, other):
    rows = [(prompt, one), (prompt, other), (prompt, one)]
    for field in ("both", "response"):
        assert dropped(Exact(field=field), rows) == {2: 0}
        assert dropped(Exact(field=field, protect=()), rows) == {1: 0, 2: 0}
    asked = [(f"{prompt} Of: {text}", "Yes.") for text in (one, other, one)]
    assert dropped(Exact(field="prompt"), asked)[2] == 0


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("A list:\n- one\n- two", "A  list:\n  - one\n\n  - two "),
        ("Roses are red,\nviolets are blue;", "Roses are red,\n    violets are blue;"),
        ("Dear Sir,\nI write to you.", "Dear Sir, I write\tto you."),
        ("Paris", "PARIS"),
        ("I like apples", "I like Apples."),
        ("x = 5\ny = 2x + 3", "x = 5 y = 2x + 3"),
        ("```\nif a:\n    b()\n```", "```\nif a:\n\tb()  \n```\n"),
        ("def f():\n  return 1", "def f():\n\n    return  1"),
        ("5 µm, ½ and ﬁne", "5 μm, 1⁄2 and fine"),
    ],
)
def test_what_protect_looks_at_leaves_copies_of_the_same_duplicates(one, other):
    assert dropped(Exact(), [("Say it.", one), ("Say it.", other)]) == {1: 0}


def test_each_kind_protects_by_itself():
    code = [("Loop.", "if a:\n    b()\nc()"), ("Loop.", "if a:\n    b()\n    c()")]
    case = [("In all caps?", "YES"), ("In all caps?", "yes")]
    signs = [("What?", "x²"), ("What?", "x2")]
    rows = [*code, *case, *signs]
    assert dropped(Exact(protect=["code"]), rows) == {3: 2, 5: 4}
    assert dropped(Exact(protect=["case"]), rows) == {1: 0, 5: 4}
    assert dropped(Exact(protect=["signs"]), rows) == {1: 0, 3: 2}


def test_findings_say_how_many_rows_protect_keeps_and_show_two():
    loop = "for n in rows:\n    total += n\n"
    rows = [
        ("Sum the rows.", loop + "print(total)"),
        ("Sum the rows.", loop + "    print(total)"),
        ("sum the rows", loop + "    print(total)"),
        ("Write yes in upper case.", "YES"),
        ("Write yes in upper case.", "yes"),
    ]
    found = judge(Exact(), records(rows)).findings
    assert found.sentences[2:] == (
        "2 rows are equal to a kept one and kept, for what differs: code 1, case 1",
        'kept apart by code: row 1 ("    print(total)"), row 0 ("print(total)")',
        'kept apart by case: row 4 ("… in upper case. yes"), row 3 ("… in upper case. YES")',
    )
    assert found.numbers["kept_apart"] == {"code": 1, "case": 1}
    assert found.numbers["kept_apart_examples"] == [
        {"row": 1, "like": 0, "differs_in": "code"},
        {"row": 4, "like": 3, "differs_in": "case"},
    ]
    assert "kept_apart" not in judge(Exact(protect=()), records(rows)).findings.numbers


def test_calls_names_and_tools_are_compared_to_the_letter():
    def call(city, name="weather", result="5", id=None):
        calls = json.dumps([{"name": name, "arguments": {"city": city}, "id": "a"}])
        return [
            {"role": "user", "content": "Weather?"},
            {"role": "assistant", "content": None, "tool_calls": calls},
            {"role": "tool", "content": result, "name": name, "tool_call_id": id},
        ]

    assert dropped(Exact(), [call("Rome"), call("rome"), call("Rome")]) == {2: 0}
    assert dropped(Exact(), [call("Rome"), call("Rome", "Weather")]) == {}
    assert dropped(Exact(), [call("Rome", id="a"), call("Rome", id="b")]) == {}
    assert dropped(Exact(field="response"), [call("Rome"), call("rome"), call("Rome")]) == {2: 0}
    tools = ['[{"name": "Get"}]', '[{"name": "get"}]', '[{"name": "Get"}]']
    assert dropped(Exact(), [call("Rome")] * 3, tools=tools) == {2: 0}
    assert dropped(Exact(field="prompt"), [("a", "b")] * 3, tools=tools) == {2: 0}


def test_a_response_with_other_reasoning_or_other_messages_is_another():
    answer = "The answer to this question is that nobody knows it for certain."

    def thought(reasoning):
        return [
            {"role": "user", "content": "Why?"},
            {"role": "assistant", "content": answer, "reasoning": reasoning},
        ]

    rows = [thought("It is hard."), thought("I guess."), thought("it is  hard.")]
    assert dropped(Exact(field="response"), rows) == {2: 0}
    turns = [
        [{"role": "assistant", "content": text} for text in texts]
        for texts in ([answer, f"{answer} Yes."], [f"{answer} {answer}", "Yes."])
    ]
    assert dropped(Exact(field="response"), turns) == {}


GIBBERISH = "the of and to in that it is was for on are as with his they at be this have from " * 3


def test_one_long_answer_under_many_prompts_is_kept_once():
    rows = [(f"What is the meaning of word {n}?", GIBBERISH) for n in range(60)]
    rows += [CAPITAL, (rows[0][0], GIBBERISH.upper())]
    found = judge(Exact(), records(rows))
    assert found.verdicts["keep"].to_list() == [True, *[False] * 59, True, False]
    assert set(found.verdicts["duplicate_of"].drop_nulls()) == {0}
    assert found.verdicts["reason"].value_counts(sort=True).drop_nulls().rows() == [
        ("repeated_answer", 59),
        ("exact_duplicate", 1),
    ]
    assert found.verdicts["evidence"][7] == "the same answer stands under 60 prompts"
    assert found.findings.sentences[2] == (
        "1 long answer stands under 60 prompts and is kept once; 59 rows are dropped for it "
        "(repeated_answer)"
    )
    assert found.findings.numbers["repeated_answer_rows"] == 59


def test_few_prompts_short_answers_and_other_code_do_not_make_an_answer_repeated():
    few = [(f"Are you model {n}?", GIBBERISH) for n in range(49)]
    short = [(f"Is {n} prime?", "That depends on what is meant by it.") for n in range(60)]
    loops = [
        (f"Sum list {n}.", f"for n in rows:\n    total += n\n{' ' * 4 * (n % 2)}print(total)\n# so")
        for n in range(60)
    ]
    long_loops = [(prompt, f"{GIBBERISH}\n\n{answer}") for prompt, answer in loops]
    assert dropped(Exact(), few + short + loops) == {}
    assert dropped(Exact(), long_loops) == {}
    assert len(dropped(Exact(same_answer=30), long_loops)) == 58
    assert len(dropped(Exact(same_answer=49), few)) == 48
    assert dropped(Exact(same_answer=None), [(f"{n}?", GIBBERISH) for n in range(99)]) == {}


def test_the_best_row_with_a_repeated_answer_is_kept_and_all_name_it():
    rows = [(f"What is {n}?", GIBBERISH) for n in range(6)] + [("what is 0", GIBBERISH)]
    step = Exact(keep="best", same_answer=5)
    found = dropped(step, rows, score=[1.0, 2.0, 9.0, 3.0, 1.0, 1.0, 5.0])
    assert found == dict.fromkeys((0, 1, 3, 4, 5, 6), 2)


def test_repeated_answers_are_found_by_tool_calls_and_byte_for_byte_too():
    calls = json.dumps([{"name": "search", "arguments": {"query": GIBBERISH}}])
    rows = [
        [
            {"role": "user", "content": f"What is {n}?"},
            {"role": "assistant", "content": None, "tool_calls": calls},
        ]
        for n in range(5)
    ]
    assert len(dropped(Exact(same_answer=5), rows)) == 4
    assert len(dropped(Exact(same_answer=5, normalise=False), rows)) == 4


def test_what_is_measured_of_a_row_does_not_depend_on_those_beside_it():
    call = json.dumps([{"name": "get", "arguments": {"of": GIBBERISH}, "id": "a"}])
    rows = records(
        [
            CAPITAL,
            ("In capital letters: x²?", "IF A:\n    B += 1"),
            ("Loop.", f"{GIBBERISH}\n\n```\nif a:\n  b()\n```"),
            [
                {"role": "user", "content": "Get it."},
                {"role": "assistant", "content": None, "tool_calls": call},
                {"role": "tool", "content": "1", "tool_call_id": "a"},
                {"role": "assistant", "content": "It is 1.", "reasoning": "So it says."},
            ],
            ("", ""),
        ]
    )
    for step in (Exact(), Exact(field="prompt"), Exact(field="response"), Exact(normalise=False)):
        whole = step.measure(rows)
        alone = [step.measure(rows[n : n + 1]) for n in range(rows.height)]
        assert whole.equals(pl.concat(alone))
        assert whole[::-1].equals(step.measure(rows[::-1]))


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
    with pytest.raises(CurateError, match=r"protect is \('case',\), but normalise: false compares"):
        Exact(normalise=False, protect=("case",))
    with pytest.raises(CurateError, match=r"same_answer is 9, but field: prompt does not read it"):
        Exact(field="prompt", same_answer=9)
    with pytest.raises(CurateError, match=r"protect is \['numbers'\]; expected one of code, case"):
        Exact(protect=["numbers"])


def test_a_former_setting_is_answered_with_the_present_one():
    for step in ("exact", "near"):
        with pytest.raises(CurateError, match=r"the setting 'spare' is now 'exempt'"):
            recipe.filter_called(step, {"spare": "same_prompt"})


def test_it_is_a_filter():
    assert isinstance(Exact(), Filter)
