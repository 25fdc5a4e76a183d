"""Answers that somebody judged: undesirable ones are no examples, in rows of any format."""

from __future__ import annotations

import json
from typing import Any

import pytest

from curate.sources import Dump, ReadOptions, read_rows
from curate.sources.shared.undesirable import judged

WANTED = ReadOptions(undesirable=True)
PAIR = {"prompt": "What is a quay?", "completion": "A wall along which ships lie."}
USER = {"role": "user", "content": "What is a quay?"}
ASSISTANT = {"role": "assistant", "content": "A wall along which ships lie."}
SAID = [("user", "What is a quay?"), ("assistant", "A wall along which ships lie.")]


def said(dump: Dump, row: int = 0) -> list[tuple[str, str]]:
    assert dump.records.height > row, dump.rejects["reason"].to_list()
    return [(turn["role"], turn["content"]) for turn in dump.records["messages"][row]]


def test_an_undesirable_conversation_is_a_reject_and_a_desirable_one_has_the_score_1() -> None:
    rows = [
        {
            "messages": [
                {"role": "user", "content": "What is a pier?"},
                {
                    "role": "assistant",
                    "content": "A platform on posts that reaches out over the water.",
                },
            ],
            "label": True,
        },
        {
            "messages": [
                {"role": "user", "content": "What is a quay?"},
                {"role": "assistant", "content": "A small bird that eats seeds in the snow."},
            ],
            "label": False,
        },
    ]
    dump = read_rows(rows)
    assert said(dump)[0] == ("user", "What is a pier?")
    assert (dump.records["score"][0], dump.records["meta"][0]) == (1.0, "{}")
    assert dump.rejects["line"].to_list() == [2]
    assert dump.rejects["reason"][0] == (
        "undesirable: label is the boolean false: the answer is marked as undesirable;"
        " --undesirable reads it, with the score 0"
    )
    both = read_rows(rows, WANTED)
    assert both.records["score"].to_list() == [1.0, 0.0] and both.rejects.height == 0


SHAPES: dict[str, dict[str, Any]] = {
    "texts": PAIR,
    "messages": {"prompt": [USER], "completion": [ASSISTANT]},
    "messages and a text": {"prompt": [USER], "completion": ASSISTANT["content"]},
    "a text and messages": {"prompt": USER["content"], "completion": [ASSISTANT]},
    "a transcript": {
        "prompt": "\n\nHuman: What is a quay?\n\nAssistant:",
        "completion": " A wall along which ships lie.",
    },
    "a list of messages": {"messages": [USER, ASSISTANT]},
    "turns": {
        "conversations": [
            {"from": "human", "value": USER["content"]},
            {"from": "gpt", "value": ASSISTANT["content"]},
        ]
    },
    "alpaca": {"instruction": USER["content"], "input": "", "output": ASSISTANT["content"]},
    "query and response": {"query": USER["content"], "response": ASSISTANT["content"]},
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", ["label", "kto_tag"])
def test_the_label_is_read_beside_every_shape_of_a_conversation(shape: str, name: str) -> None:
    good, bad = ({**SHAPES[shape], name: value} for value in (True, False))
    dump = read_rows([good, bad])
    assert (said(dump), dump.records["score"].to_list()) == (SAID, [1.0])
    assert dump.rejects["reason"][0].startswith(f"undesirable: {name} is the boolean false")
    both = read_rows([good, bad], WANTED)
    assert (said(both, 1), both.records["score"].to_list()) == (SAID, [1.0, 0.0])


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        (1, 0),
        (1.0, 0.0),
        ("true", "false"),
        ("True", "False"),
        ("1", "0"),
        ("good", "bad"),
        ("desirable", "undesirable"),
        ("chosen", "rejected"),
        ("thumbs_up", "thumbs_down"),
        ("👍", "👎"),
    ],
)
def test_labels_in_every_spelling_say_the_same(good: Any, bad: Any) -> None:
    assert judged({**PAIR, "label": good}) is True
    assert judged({**PAIR, "label": bad}) is False


@pytest.mark.parametrize(
    ("field", "verdict"),
    [
        ({"feedback": "negative"}, False),
        ({"feedback": -1}, False),
        ({"thumbs": "down"}, False),
        ({"thumbs": "up"}, True),
        ({"thumbs_up": True}, True),
        ({"thumbs_down": True}, False),
        ({"thumbs_up": False, "thumbs_down": False}, None),
        ({"thumbs_up": 0}, None),
        ({"is_desirable": False}, False),
        ({"feedback": ["The answer is short.", "It is right."]}, None),
        ({"feedback": "It is right, but short."}, None),
    ],
)
def test_thumbs_and_feedback_are_judgements_too(
    field: dict[str, Any], verdict: bool | None
) -> None:
    assert judged({**PAIR, **field}) is verdict


@pytest.mark.parametrize(
    "row",
    [
        {**PAIR, "label": "sports"},
        {**PAIR, "label": 3},
        {**PAIR, "label": "positive"},
        {**PAIR, "label": None},
        {**PAIR, "label": [0, 1]},
        {"instruction": "Is it kind?", "input": "Go away.", "output": "negative", "label": 0},
        {"instruction": "Is the sea dry?", "output": "False. It is wet.", "label": "false"},
        {"instruction": "Good or bad?", "input": "Rain.", "output": "Bad", "label": "bad"},
        {"prompt": "Hi", "chosen": "Hello", "rejected": "No.", "label": 0},
    ],
)
def test_the_name_of_a_class_is_no_judgement(row: dict[str, Any]) -> None:
    assert judged(row) is None
    assert read_rows([row]).records.height == 1


def test_a_label_that_is_no_judgement_stays_in_meta() -> None:
    dump = read_rows([{**PAIR, "label": "sports"}])
    assert json.loads(dump.records["meta"][0]) == {"label": "sports"}


def test_two_judgements_that_disagree_are_a_reject() -> None:
    dump = read_rows([{**PAIR, "label": True, "kto_tag": False}])
    assert dump.rejects["reason"][0] == (
        "wrong_type: two judgements of the answer disagree: label is the boolean true, kto_tag is"
        " the boolean false; keep one"
    )


def test_a_judgement_is_the_score_and_another_score_stays_in_meta() -> None:
    dump = read_rows([{**PAIR, "kto_tag": True, "score": 0.3}])
    assert dump.records["score"].to_list() == [1.0]
    assert json.loads(dump.records["meta"][0]) == {"score": 0.3}


def test_conversational_prompts_and_completions_of_trl_are_read() -> None:
    row = {
        "prompt": [{"role": "user", "content": "What is a pier?"}],
        "completion": [
            {
                "role": "assistant",
                "content": "A platform on posts that reaches out over the water.",
            }
        ],
    }
    dump = read_rows([row])
    assert dump.files[0].formats == {"conversational": 1}
    assert said(dump) == [
        ("user", "What is a pier?"),
        ("assistant", "A platform on posts that reaches out over the water."),
    ]


TOOL = {"type": "function", "function": {"name": "tide", "parameters": {"type": "object"}}}


def test_tools_and_calls_of_a_conversational_row_are_kept() -> None:
    call = {"type": "function", "function": {"name": "tide", "arguments": {"day": "Monday"}}}
    row = {
        "prompt": [USER],
        "completion": [
            {"role": "assistant", "content": "", "tool_calls": [call]},
            {"role": "tool", "name": "tide", "content": "06:10"},
            ASSISTANT,
        ],
        "tools": [TOOL],
        "chat_template_kwargs": {"enable_thinking": False},
    }
    dump = read_rows([row])
    turns = dump.records["messages"][0].to_list()
    assert [turn["role"] for turn in turns] == ["user", "assistant", "tool", "assistant"]
    assert json.loads(turns[1]["tool_calls"]) == [{"name": "tide", "arguments": {"day": "Monday"}}]
    assert json.loads(dump.records["tools"][0]) == [TOOL]
    meta = json.loads(dump.records["meta"][0])
    assert meta == {"chat_template_kwargs": {"enable_thinking": False}}


@pytest.mark.parametrize(
    ("row", "roles"),
    [
        ({"prompt": [USER], "completion": "Hello"}, ["user", "assistant"]),
        ({"prompt": [USER], "response": "Hello"}, ["user", "assistant"]),
        ({"prompt": [USER], "answer": "Hello", "reward": 1}, ["user", "assistant"]),
        ({"prompt": "Hi", "completion": ASSISTANT}, ["user", "assistant"]),
        ({"prompt": "Hi", "completion": [ASSISTANT], "system": "x"}, None),
        ({"prompt": [USER], "completion": [USER, ASSISTANT]}, ["user", "assistant"]),
        ({"prompt": [{"from": "human", "value": "Hi"}], "completion": "x"}, ["user", "assistant"]),
    ],
)
def test_prompts_and_completions_may_be_of_two_kinds(
    row: dict[str, Any], roles: list[str] | None
) -> None:
    found = [role for role, _ in said(read_rows([row]))]
    assert found == (roles or ["system", "user", "assistant"])


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"prompt": [USER]}, "no_answer: none of the fields completion"),
        ({"prompt": [USER], "completion": []}, "no_answer: completion is empty"),
        ({"prompt": [USER], "completion": None}, "wrong_type: completion is null"),
        ({"prompt": [USER], "completion": 3}, "wrong_type: completion is the number 3"),
        ({"prompt": [USER], "completion": [3]}, "wrong_type: message 1 is the number 3"),
        ({"prompt": [{"role": "x"}], "completion": "a"}, "unknown_role: message 1"),
        ({"prompt": 3, "completion": "a", "label": True}, "wrong_type: the list of messages"),
        ({**PAIR, "completion": {"a": 1}, "label": 1}, "unknown_role: message 1 does not say"),
    ],
)
def test_an_odd_prompt_or_completion_is_a_reject(row: dict[str, Any], reason: str) -> None:
    assert read_rows([row]).rejects["reason"][0].startswith(reason)
