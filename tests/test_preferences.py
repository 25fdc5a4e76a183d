"""Preference data: which text is the answer, which is rejected, and what the score is."""

from __future__ import annotations

import json
from typing import Any

import pytest

from curate.sources import Dump, ReadOptions, read_rows

Q = "What should I bring to a picnic?"
GOOD, POOR = "Bring a blanket, water and fruit.", "Stuff."
USER = {"role": "user", "content": Q}
SAYS_GOOD = {"role": "assistant", "content": GOOD}
SAYS_POOR = {"role": "assistant", "content": POOR}
SAID = [("user", Q), ("assistant", GOOD)]
HH = f"\n\nHuman: {Q}\n\nAssistant: "


def said(dump: Dump, row: int = 0) -> list[tuple[str, str]]:
    assert dump.records.height > row, dump.rejects["reason"].to_list()
    return [(turn["role"], turn["content"]) for turn in dump.records["messages"][row]]


def rejected(dump: Dump, row: int = 0) -> list[str] | None:
    turns = dump.records["rejected"][row]
    return None if turns is None else [turn["content"] for turn in turns]


def reason(row: dict[str, Any]) -> str:
    found = read_rows([row])
    assert found.records.height == 0, said(found)
    return str(found.rejects["reason"][0])


PAIRS: dict[str, dict[str, Any]] = {
    "HelpSteer 3": {
        "domain": "general",
        "language": "english",
        "context": [USER],
        "response1": POOR,
        "response2": GOOD,
        "overall_preference": 3,
        "individual_preference": [{"score": 3, "reasoning": "r", "feedback1": "a"}],
    },
    "HelpSteer 3, the first": {
        "context": [USER],
        "response1": GOOD,
        "response2": POOR,
        "overall_preference": -1,
    },
    "HelpSteer 2": {
        "split": "train",
        "prompt": Q,
        "response_1": POOR,
        "response_2": GOOD,
        "preference_strength": 2,
        "preference_statement": "The second is fuller.",
    },
    "numbers as text, as in CSV files": {
        "prompt": Q,
        "response_1": POOR,
        "response_2": GOOD,
        "preference_strength": "2",
    },
    "scores as text": {
        "instruction": Q,
        "completions": [
            {"response": POOR, "overall_score": "9"},
            {"response": GOOD, "overall_score": "10.0"},
        ],
    },
    "HelpSteer 3 edit": {
        "context": [USER],
        "original_response": POOR,
        "edited_response": GOOD,
        "feedback": ["Too short."],
    },
    "HelpSteer 3 edit quality": {
        "context": [USER],
        "original_response": "Things.",
        "good_edited_response": GOOD,
        "bad_edited_response": POOR,
    },
    "Chatbot Arena": {
        "question_id": "q",
        "model_a": "x",
        "model_b": "y",
        "winner": "model_b",
        "conversation_a": [USER, SAYS_POOR],
        "conversation_b": [USER, SAYS_GOOD],
    },
    "Arena with parts": {
        "winner": "model_a",
        "conversation_a": [
            {"role": "user", "content": [{"type": "text", "text": Q}]},
            {"role": "assistant", "content": [{"type": "text", "text": GOOD}]},
        ],
        "conversation_b": [USER, SAYS_POOR],
    },
    "LMSYS on Kaggle": {
        "id": 3,
        "prompt": json.dumps([Q]),
        "response_a": json.dumps([POOR]),
        "response_b": json.dumps([GOOD]),
        "winner_model_a": 0,
        "winner_model_b": 1,
        "winner_tie": 0,
    },
    "WSDM cup": {"prompt": Q, "response_a": GOOD, "response_b": POOR, "winner": "model_a"},
    "letters": {"instruction": Q, "output_a": POOR, "output_b": GOOD, "preference": "B"},
    "names of models": {
        "question": Q,
        "model_a": "x",
        "model_b": "y",
        "answer_a": POOR,
        "answer_b": GOOD,
        "winner": "y",
    },
    "counted from 1": {"prompt": Q, "response_1": POOR, "response_2": GOOD, "choice": 2},
    "named by column": {
        "prompt": Q,
        "response1": POOR,
        "response2": GOOD,
        "better": "response2",
    },
    "SafeRLHF": {
        "prompt": Q,
        "response_0": POOR,
        "response_1": GOOD,
        "is_response_0_safe": True,
        "is_response_1_safe": True,
        "better_response_id": 1,
        "safer_response_id": 1,
    },
    "WebGPT": {
        "question": {"dataset": "eli5", "id": "1", "full_text": Q},
        "answer_0": GOOD,
        "answer_1": POOR,
        "score_0": 0.5,
        "score_1": -0.5,
    },
    "UltraFeedback": {
        "instruction": Q,
        "completions": [
            {"response": POOR, "overall_score": 2},
            {"response": "Bring things.", "overall_score": 5},
            {"response": GOOD, "overall_score": 9},
        ],
    },
    "distilabel": {
        "input": Q,
        "generations": [GOOD, POOR],
        "generation_models": ["x", "y"],
        "ratings": [5.0, 1.0],
    },
    "distilabel with a pair": {
        "system": "",
        "input": Q,
        "chosen": GOOD,
        "rejected": POOR,
        "generations": [POOR, GOOD],
        "order": ["rejected", "chosen"],
        "rating": [1.0, 9.0],
        "status": "swapped",
        "chosen_score": 9.0,
    },
    "Nectar": {
        "prompt": f"\n\nHuman: {Q}\n\nAssistant: ",
        "answers": [
            {"answer": "Bring things.", "model": "x", "rank": 2.0},
            {"answer": POOR, "model": "y", "rank": 3.0},
            {"answer": GOOD, "model": "z", "rank": 1.0},
        ],
    },
    "Argilla": {
        "instruction": Q,
        "chosen": [USER, SAYS_GOOD],
        "rejected": [USER, SAYS_POOR],
        "chosen-rating": 5.0,
        "rejected-rating": 1.0,
    },
    "JSON text": {
        "prompt": Q,
        "chosen": json.dumps([USER, SAYS_GOOD]),
        "rejected": json.dumps([USER, SAYS_POOR]),
    },
    "TRL with a prompt": {"prompt": [USER], "chosen": [SAYS_GOOD], "rejected": [SAYS_POOR]},
    "TRL without a prompt": {"chosen": [USER, SAYS_GOOD], "rejected": [USER, SAYS_POOR]},
    "HH-RLHF": {"chosen": HH + GOOD, "rejected": HH + POOR},
    "a transcript in the prompt": {"prompt": HH, "chosen": GOOD, "rejected": POOR},
    "a transcript everywhere": {"prompt": Q, "chosen": HH + GOOD, "rejected": HH + POOR},
    "rendered sides": {
        "chosen": f"<|im_start|>user\n{Q}<|im_end|>\n<|im_start|>assistant\n{GOOD}<|im_end|>",
        "rejected": f"<|im_start|>user\n{Q}<|im_end|>\n<|im_start|>assistant\n{POOR}<|im_end|>",
    },
    "a rendered prompt": {
        "prompt": f"<s>[INST] {Q} [/INST]",
        "chosen": f" {GOOD} </s>",
        "rejected": f" {POOR} </s>",
    },
    "a rendered prompt of ChatML": {
        "prompt": f"<|im_start|>user\n{Q}<|im_end|>\n<|im_start|>assistant\n",
        "chosen": f"{GOOD}<|im_end|>",
        "rejected": f"{POOR}<|im_end|>",
    },
    "LLaMA-Factory": {
        "conversations": [{"from": "human", "value": Q}],
        "chosen": {"from": "gpt", "value": GOOD},
        "rejected": {"from": "gpt", "value": POOR},
    },
    "LLaMA-Factory alpaca": {"instruction": Q, "input": "", "chosen": GOOD, "rejected": POOR},
    "ms-swift messages": {"messages": [USER, SAYS_GOOD], "rejected_response": POOR},
    "ms-swift rejected messages": {
        "messages": [USER, SAYS_GOOD],
        "rejected_messages": [USER, SAYS_POOR],
    },
    "ms-swift columns": {"query": Q, "response": GOOD, "rejected_response": POOR},
    "other names": {"question": Q, "response_chosen": GOOD, "response_rejected": POOR},
    "several rejected": {"prompt": Q, "chosen": GOOD, "rejected": [POOR, "Nothing."]},
    "a label beside": {"prompt": Q, "response_0": POOR, "response_1": GOOD, "label": 1},
    "the label 0 beside": {"prompt": Q, "response_0": GOOD, "response_1": POOR, "label": 0},
}


@pytest.mark.parametrize("name", PAIRS)
def test_the_better_answer_is_said_and_the_other_is_rejected(name: str) -> None:
    dump = read_rows([PAIRS[name]])
    assert (said(dump), rejected(dump)) == (SAID, [POOR])


@pytest.mark.parametrize(
    ("name", "score"),
    [
        ("HelpSteer 3", None),
        ("WebGPT", 0.5),
        ("UltraFeedback", 9.0),
        ("distilabel", 5.0),
        ("distilabel with a pair", 9.0),
        ("Argilla", 5.0),
        ("Nectar", None),
    ],
)
def test_the_score_is_that_of_the_answer(name: str, score: float | None) -> None:
    assert read_rows([PAIRS[name]]).records["score"].to_list() == [score]


TIES: dict[str, dict[str, Any]] = {
    "HelpSteer 3": {
        "context": [USER],
        "response1": GOOD,
        "response2": POOR,
        "overall_preference": 0,
    },
    "arena": {**PAIRS["Arena with parts"], "winner": "tie"},
    "kaggle": {
        "prompt": json.dumps([Q]),
        "response_a": json.dumps([GOOD]),
        "response_b": json.dumps([POOR]),
        "winner_model_a": 0,
        "winner_model_b": 0,
        "winner_tie": 1,
    },
    "WebGPT": {**PAIRS["WebGPT"], "score_0": 0, "score_1": 0},
    "equal ratings": {"input": Q, "generations": [GOOD, POOR], "ratings": [5, 5]},
    "equal scores": {
        "instruction": Q,
        "completions": [
            {"response": GOOD, "overall_score": 5},
            {"response": POOR, "overall_score": 5},
        ],
    },
    "distilabel's status": {"input": Q, "chosen": GOOD, "rejected": POOR, "status": "tie"},
}


@pytest.mark.parametrize("name", TIES)
def test_a_tie_keeps_the_first_answer_rejects_none_and_leaves_the_other_in_meta(name: str) -> None:
    dump = read_rows([TIES[name]])
    assert (said(dump), rejected(dump)) == (SAID, None)
    assert POOR in dump.records["meta"][0]


@pytest.mark.parametrize(
    "row",
    [
        {"context": [USER], "response1": GOOD, "response2": POOR, "overall_preference": None},
        {
            "context": [USER],
            "response1": GOOD,
            "response2": POOR,
            "overall_preference": "much better",
        },
        {"prompt": Q, "response_1": GOOD, "response_2": POOR, "preference_strength": 9},
        {"conversation_a": [USER, SAYS_GOOD], "conversation_b": [USER, SAYS_POOR]},
        {**PAIRS["Chatbot Arena"], "winner": "model_c"},
        {**PAIRS["Chatbot Arena"], "winner": None},
        {**PAIRS["LMSYS on Kaggle"], "winner_model_b": 0},
        {**PAIRS["LMSYS on Kaggle"], "winner_tie": 1},
        {"prompt": Q, "response_a": GOOD, "response_b": POOR, "label": 1},
        {"prompt": Q, "response_0": GOOD, "response_1": POOR, "choice": True},
        {"prompt": Q, "response_0": GOOD, "response_1": POOR, "better_response_id": 2},
        {**PAIRS["WebGPT"], "score_1": None},
        {"instruction": Q, "response1": GOOD, "response2": POOR},
        {"input": Q, "generations": [GOOD, POOR]},
        {"input": Q, "generations": [GOOD, POOR], "ratings": [None, None]},
        {"instruction": Q, "completions": [{"response": GOOD}, {"response": POOR}]},
        {"prompt": Q, "chosen": None, "rejected": None},
        {"info": {"post": Q}, "summaries": [{"text": GOOD}, {"text": POOR}], "choice": None},
    ],
)
def test_a_pair_without_a_verdict_is_a_reject(row: dict[str, Any]) -> None:
    assert reason(row).startswith("no_preference: ")


@pytest.mark.parametrize(
    ("row", "wrong"),
    [
        ({"prompt": Q, "chosen": None, "rejected": POOR}, "no_answer: chosen is null"),
        ({"prompt": Q, "chosen": 3, "rejected": POOR}, "wrong_type: chosen is the number 3"),
        ({"prompt": Q, "chosen": [3], "rejected": POOR}, "wrong_type: message 1 is the number 3"),
        ({"prompt": Q, "chosen": '[{"role": ', "rejected": "x"}, "wrong_type: a list of mess"),
        ({"context": [3], "original_response": "a", "edited_response": "b"}, "wrong_type: mess"),
        ({**PAIRS["WSDM cup"], "response_a": {"a": 1}}, "wrong_type: response_a is an object"),
        ({**PAIRS["LMSYS on Kaggle"], "response_b": "[null]"}, "no_answer: response_b has no"),
        ({**PAIRS["LMSYS on Kaggle"], "response_b": '["a", "b"]'}, "wrong_type: prompt has 1"),
        ({**PAIRS["LMSYS on Kaggle"], "prompt": '["a" "b"]'}, "wrong_type: prompt is not"),
        ({**PAIRS["Chatbot Arena"], "conversation_b": 3}, "wrong_type: the list of messages is"),
        ({"info": {"post": 3}, "summaries": [{"text": "a"}, {"text": "b"}], "choice": 1}, "wrong"),
        ({"info": {}, "summaries": [3, 4], "choice": 1}, "wrong_type: a summary is the number 3"),
        ({"input": Q, "generations": [], "ratings": []}, "no_answer: generations is empty"),
        ({"prompt": Q, "chosen": GOOD, "rejected": POOR, "history": [3]}, "wrong_type: history"),
        ({**PAIRS["WebGPT"], "question": {"full_text": 3}}, "wrong_type: the prompt's text"),
    ],
)
def test_an_odd_value_in_a_pair_is_a_reject_that_names_it(row: dict[str, Any], wrong: str) -> None:
    assert reason(row).startswith(wrong)


def test_an_answer_without_a_rejected_one_is_read_alone() -> None:
    dump = read_rows([{"prompt": Q, "chosen": GOOD, "rejected": None}])
    assert (said(dump), rejected(dump)) == (SAID, None)


@pytest.mark.parametrize(
    "row",
    [
        {**PAIRS["Chatbot Arena"], "winner": "tie (bothbad)"},
        {**PAIRS["Chatbot Arena"], "winner": "both_bad"},
        {
            **PAIRS["SafeRLHF"],
            "is_response_0_safe": False,
            "is_response_1_safe": False,
        },
    ],
)
def test_answers_of_which_none_is_good_are_undesirable(row: dict[str, Any]) -> None:
    assert reason(row).startswith("undesirable: ")
    dump = read_rows([row], ReadOptions(undesirable=True))
    assert dump.records["score"].to_list() == [0.0]


def test_the_helpful_answer_is_taken_where_another_one_is_safer() -> None:
    row = {**PAIRS["SafeRLHF"], "safer_response_id": 0, "is_response_1_safe": False}
    assert (said(read_rows([row])), rejected(read_rows([row]))) == (SAID, [POOR])


def test_ratings_of_helpsteer_are_the_score_and_meta() -> None:
    ratings = {"correctness": 3, "coherence": 4, "complexity": 1, "verbosity": 2}
    row = {"prompt": Q, "response": GOOD, "helpfulness": 3, **ratings}
    dump = read_rows([row, {**row, "response": POOR, "helpfulness": 0}])
    assert (said(dump), said(dump, 1)[1][1]) == (SAID, POOR)
    assert dump.records["score"].to_list() == [3.0, 0.0]
    assert json.loads(dump.records["meta"][0]) == ratings


def test_later_turns_of_helpsteers_prompts_are_turns() -> None:
    prompt = "Hi\n<extra_id_1>Assistant\nHello\n<extra_id_1>User\nAnd?\n"
    dump = read_rows([{"prompt": prompt, "response": "No.", "helpfulness": 1}])
    assert said(dump) == [
        ("user", "Hi"),
        ("assistant", "Hello"),
        ("user", "And?"),
        ("assistant", "No."),
    ]


def test_helpsteers_feedback_is_no_part_of_the_conversation() -> None:
    row = {"context": [USER], "response": GOOD, "feedback": ["Good.", "Short."]}
    dump = read_rows([row])
    assert said(dump) == SAID
    assert json.loads(dump.records["meta"][0]) == {"feedback": ["Good.", "Short."]}


def test_rounds_of_an_arena_are_turns_and_only_what_differs_is_rejected() -> None:
    row = {
        "prompt": json.dumps(["Hi", Q]),
        "response_a": json.dumps(["Hello", POOR]),
        "response_b": json.dumps(["Hello", GOOD]),
        "winner_model_a": "0",
        "winner_model_b": "1",
        "winner_tie": "0",
    }
    dump = read_rows([row])
    assert said(dump) == [("user", "Hi"), ("assistant", "Hello"), *SAID]
    assert rejected(dump) == [POOR]


def test_a_chosen_summary_answers_the_post() -> None:
    row = {
        "info": {"id": "t", "title": "Picnic", "post": "We went to the lake.", "subreddit": "r"},
        "summaries": [{"text": " A day out.", "policy": "ref"}, {"text": " A lake trip."}],
        "choice": 1,
        "worker": "w",
    }
    dump = read_rows([row])
    assert said(dump) == [("user", "Picnic\n\nWe went to the lake."), ("assistant", "A lake trip.")]
    assert rejected(dump) == ["A day out."]


def test_system_history_and_input_come_before_both_answers() -> None:
    row = {
        "system": "Be kind.",
        "history": [["Hi", "Hello"]],
        "instruction": "Translate.",
        "input": "pier",
        "chosen": GOOD,
        "rejected": POOR,
    }
    dump = read_rows([row])
    assert said(dump) == [
        ("system", "Be kind."),
        ("user", "Hi"),
        ("assistant", "Hello"),
        ("user", "Translate.\n\npier"),
        ("assistant", GOOD),
    ]
    assert dump.records["meta"][0] == "{}"


def test_a_system_prompt_stays_where_the_sides_repeat_the_question() -> None:
    row = {"system": "Be kind.", "chosen": [USER, SAYS_GOOD], "rejected": [USER, SAYS_POOR]}
    assert said(read_rows([row])) == [("system", "Be kind."), *SAID]


def test_the_rest_of_a_list_of_answers_stays_in_meta() -> None:
    meta = json.loads(read_rows([PAIRS["UltraFeedback"]]).records["meta"][0])
    assert [one["overall_score"] for one in meta["completions"]] == [2, 5, 9]
