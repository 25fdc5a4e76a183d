"""Rows in the shape in which well-known sets are published, and what must be read of them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from curate.sources import Dump, ReadOptions, read_rows

Q, A, B = "What is a pier?", "A platform on posts.", "No idea at all."
USER, ASSISTANT = {"role": "user", "content": Q}, {"role": "assistant", "content": A}
ASKED = [("user", Q), ("assistant", A)]
CALL = [{"name": "get", "arguments": {"city": "Oslo"}}]
GET = json.dumps({"name": "get", "parameters": {"type": "object", "properties": {}}})
STORY = "The pier was built of oak in the spring."
CHOICES = "A. of oak\nB. of pine\nC. of steel"


def spoken(dump: Dump) -> list[tuple[str, str]]:
    """Role and content of each message of the first record, or its calls."""
    assert not dump.rejects.height, dump.rejects["reason"].to_list()
    return [
        (message["role"], message["tool_calls"] or message["content"])
        for message in dump.records["messages"][0]
    ]


def assumed(dump: Dump) -> str:
    """What was assumed of the rows, in one text."""
    return "; ".join(dump.files[0].notes)


READ: dict[str, tuple[dict[str, Any], list[tuple[str, str]]]] = {
    # The answer to messages stands in a column.
    "Dolphin-R1": (
        {"messages": [{"role": "system", "content": "S."}, USER], "answer": A, "reasoning": "Hm."},
        [("system", "S."), *ASKED],
    ),
    "ms-swift for GRPO": ({"messages": [USER], "solution": A}, ASKED),
    "ShareGPT with a response": (
        {"conversations": [{"from": "human", "value": Q}], "response": A},
        ASKED,
    ),
    "several turns and a response": (
        {"messages": [USER, ASSISTANT, {"role": "user", "content": "Why?"}], "output": "So."},
        [*ASKED, ("user", "Why?"), ("assistant", "So.")],
    ),
    # Answers that are listed.
    "SQuAD": (
        {
            "id": "5733be28",
            "title": "Pier",
            "context": STORY,
            "question": "Of what?",
            "answers": {"text": ["oak"], "answer_start": [22]},
        },
        [("user", f"{STORY}\n\nOf what?"), ("assistant", "oak")],
    ),
    "NQ-open": ({"question": Q, "answer": [A]}, ASKED),
    "TriviaQA": ({"question": Q, "answer": {"value": A, "aliases": ["Jetty"]}}, ASKED),
    "answers that are the same": ({"query": Q, "answers": [A, A]}, ASKED),
    "an output that is listed": ({"instruction": Q, "input": "", "output": [A]}, ASKED),
    # Questions and answers in lists of their own.
    "CoQA": (
        {
            "source": "wikipedia",
            "story": STORY,
            "questions": ["Of what?", "When?"],
            "answers": {"input_text": ["Oak.", "In spring."], "answer_start": [1, 2]},
        },
        [
            *(("user", f"{STORY}\n\nOf what?"), ("assistant", "Oak.")),
            *(("user", "When?"), ("assistant", "In spring.")),
        ],
    ),
    "prompts and responses": ({"prompts": [Q], "responses": [A]}, ASKED),
    "lists of both speakers": (
        {"user": [Q], "assistant": [A], "system": "S."},
        [
            ("system", "S."),
            *ASKED,
        ],
    ),
    # Exchanges under any known name of a list.
    "questions and answers": ({"conversations": [{"question": Q, "answer": A}]}, ASKED),
    "prompts and responses in turns": ({"turns": [{"prompt": Q, "response": A}]}, ASKED),
    "a speaker for a name": ({"messages": [{"user": Q}, {"assistant": A}]}, ASKED),
    "ShareGPT's speakers for names": ({"conversations": [{"human": Q}, {"gpt": A}]}, ASKED),
    "pairs in a list": (
        {"conversations": [[Q, A], ["Why?", "So."]]},
        [
            *ASKED,
            ("user", "Why?"),
            ("assistant", "So."),
        ],
    ),
    "XTuner": (
        {"conversation": [{"system": "S.", "input": Q, "output": A}]},
        [
            ("system", "S."),
            *ASKED,
        ],
    ),
    # Who speaks.
    "PIPPA": (
        {"conversation": [{"message": Q, "is_human": True}, {"message": A, "is_human": False}]},
        ASKED,
    ),
    "a flag of the bot": (
        {"chat": [{"isBot": False, "text": Q}, {"isBot": True, "text": A}]},
        ASKED,
    ),
    "MultiWOZ": (
        {"turns": [{"speaker": "USER", "utterance": Q}, {"speaker": "SYSTEM", "utterance": A}]},
        ASKED,
    ),
    # Names in capitals, humps and columns.
    "turns in capitals": (
        {"messages": [{"Role": "user", "Content": Q}, {"Role": "assistant", "Content": A}]},
        ASKED,
    ),
    "ShareGPT in capitals": (
        {"Conversations": [{"From": "human", "Value": Q}, {"From": "gpt", "Value": A}]},
        ASKED,
    ),
    "humps": ({"systemPrompt": "S.", "Prompt": Q, "Completion": A}, [("system", "S."), *ASKED]),
    "a history with a hump": (
        {"chatHistory": [USER, ASSISTANT], "question": "Why?", "answer": "So."},
        [*ASKED, ("user", "Why?"), ("assistant", "So.")],
    ),
    "columns of turns": (
        {"messages": {"role": ["user", "assistant"], "content": [Q, A]}},
        ASKED,
    ),
    "columns of ShareGPT": (
        {"conversations": {"from": ["human", "gpt"], "value": [Q, A]}},
        ASKED,
    ),
    "columns of turns beside a question": (
        {"prompt": Q, "response": A, "dialog": {"role": ["user"], "content": ["Hi"]}},
        ASKED,
    ),
    "numpy's print of turns": (
        {
            "conversations": f"[{{'from': 'human', 'value': '{Q}'}}\n "
            f"{{'from': 'gpt', 'value': '{A}'}}]"
        },
        ASKED,
    ),
    "a history as Python prints it": (
        {"query": "Why?", "response": "So.", "history": f"[['{Q}', '{A}']]"},
        [*ASKED, ("user", "Why?"), ("assistant", "So.")],
    ),
    "turns in the context": (
        {"question": "Why?", "answer": "So.", "context": [USER, ASSISTANT]},
        [*ASKED, ("user", "Why?"), ("assistant", "So.")],
    ),
    "several contexts": (
        {"question": Q, "answer": A, "contexts": [STORY, "It stands."]},
        [("user", f"{STORY}\n\nIt stands.\n\n{Q}"), ("assistant", A)],
    ),
    "numpy's print of braces": (
        {
            "messages": "[{'role': 'user', 'content': 'a }\\n { b'}\n "
            "{'role': 'assistant', 'content': 'c'}]"
        },
        [("user", "a }\n { b"), ("assistant", "c")],
    ),
    # Choices.
    "columns of choices": (
        {
            "question": Q,
            "option_a": "of oak",
            "option_b": "of pine",
            "option_c": "of steel",
            "answer": "B",
        },
        [("user", f"{Q}\n\n{CHOICES}"), ("assistant", "B")],
    ),
    "choices by number": (
        {"question": Q, "option1": "of oak", "option2": "of pine", "answer": "2"},
        [("user", f"{Q}\n\n1. of oak\n2. of pine"), ("assistant", "2")],
    ),
    "three choices by letter": (
        {"question": Q, "A": "of oak", "B": "of pine", "C": "of steel", "answer": "C"},
        [("user", f"{Q}\n\n{CHOICES}"), ("assistant", "C")],
    ),
    "choices that a table filled up": (
        {
            "question": Q,
            "options": {"A": "of oak", "B": "of pine", "C": "of steel", "D": None},
            "answer": "A",
        },
        [("user", f"{Q}\n\n{CHOICES}"), ("assistant", "A")],
    ),
    "MMLU as CSV": (
        {"question": Q, "choices": "['of oak', 'of pine', 'of steel']", "answer": 1},
        [("user", f"{Q}\n\n{CHOICES}"), ("assistant", "B")],
    ),
    "a label that numbers the choices": (
        {"question": Q, "choices": ["of oak", "of pine", "of steel"], "label": 0},
        [("user", f"{Q}\n\n{CHOICES}"), ("assistant", "A")],
    ),
    "AQuA-RAT": (
        {
            "question": "How far?",
            "options": ["A)21", "B)22"],
            "rationale": "If one goes 20 and one goes 2, both go 22. Answer: B",
            "correct": "B",
        },
        [
            ("user", "How far?\n\nA)21\nB)22"),
            ("assistant", "If one goes 20 and one goes 2, both go 22. Answer: B"),
        ],
    ),
    "RACE": (
        {
            "article": STORY,
            "question": Q,
            "options": ["of oak", "of pine", "of steel"],
            "answer": "A",
        },
        [("user", f"{STORY}\n\n{Q}\n\n{CHOICES}"), ("assistant", "A")],
    ),
    "choices with ids": (
        {
            "question": Q,
            "choices": [{"id": "A", "text": "of oak"}, {"id": "B", "text": "of pine"}],
            "answer": "B",
        },
        [("user", f"{Q}\n\nA. of oak\nB. of pine"), ("assistant", "B")],
    ),
    "choices with keys": (
        {
            "question": Q,
            "options": [{"key": "A", "value": "of oak"}, {"key": "B", "value": "of pine"}],
            "answer": "B",
        },
        [("user", f"{Q}\n\nA. of oak\nB. of pine"), ("assistant", "B")],
    ),
    "choices that the question lists": (
        {
            "question": f"{Q}\n{CHOICES}",
            "options": ["of oak", "of pine", "of steel"],
            "answer": "B",
        },
        [("user", f"{Q}\n{CHOICES}"), ("assistant", "B")],
    ),
    "columns op1 and op2 are no choices": (
        {"prompt": Q, "op1": "x", "op2": "y", "response": A},
        ASKED,
    ),
    # What is asked, and asked once.
    "Axolotl's explained choice": (
        {"question": Q, "solution": "Oak.", "explanation": "It is of wood: it is Oak."},
        [("user", Q), ("assistant", "It is of wood: it is Oak.")],
    ),
    "a context that the prompt has": (
        {"prompt": f"Read: {STORY} Of what?", "context": STORY, "response": "Oak."},
        [("user", f"Read: {STORY} Of what?"), ("assistant", "Oak.")],
    ),
    "an input that is not there": ({"instruction": Q, "input": "nan", "output": A}, ASKED),
    "an empty cell of pandas": (
        {"instruction": Q, "input": float("nan"), "output": A, "system": float("nan")},
        ASKED,
    ),
    "an empty cell of pandas beside a question": (
        {"question": Q, "context": float("nan"), "answer": A, "history": float("nan")},
        ASKED,
    ),
    "an empty cell inside a turn": (
        {"messages": [{"role": "system", "content": float("nan")}, USER, ASSISTANT]},
        [("system", ""), *ASKED],
    ),
    "a question of blanks": ({"question": " ", "answer": A}, [("user", ""), ("assistant", A)]),
    "an input that a table left out": ({"instruction": Q, "input": "nan", "output": A}, ASKED),
    "an input that begins so": (
        {"instruction": Q, "input": "none of them", "output": A},
        [("user", f"{Q}\n\nnone of them"), ("assistant", A)],
    ),
    "code instructions": (
        {
            "instruction": Q,
            "input": "",
            "output": A,
            "prompt": "Below is an instruction that describes a task. Write a response.\n\n"
            f"### Instruction:\n{Q}\n\n### Input:\n\n\n### Output:\n{A}",
        },
        ASKED,
    ),
    "a rendered input": (
        {"input": f"<|im_start|>user\n{Q}<|im_end|>\n<|im_start|>assistant\n", "output": A},
        ASKED,
    ),
    # Transcripts and renderings.
    "OIG": ({"text": f"<human>: {Q}\n<bot>: {A}"}, ASKED),
    "a user and a bot": ({"text": f"User: {Q}\nBot: {A}"}, ASKED),
    "a customer and an agent": ({"text": f"Customer: {Q}\nAgent: {A}"}, ASKED),
    "speakers in small letters": ({"text": f"human: {Q}\nassistant: {A}"}, ASKED),
    "Command R": (
        {
            "text": f"<BOS_TOKEN><|START_OF_TURN_TOKEN|><|USER_TOKEN|>{Q}<|END_OF_TURN_TOKEN|>"
            f"<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>{A}<|END_OF_TURN_TOKEN|>"
        },
        ASKED,
    ),
    "a dialogue inside an answer": (
        {"text": "User: Write one.\nAssistant: So:\nBot: hi\nAgent: yo"},
        [("user", "Write one."), ("assistant", "So:\nBot: hi\nAgent: yo")],
    ),
    "settings of a server": (
        {"text": "user: root\nport: 22"},
        [("assistant", "user: root\nport: 22")],
    ),
    "prose about people": (
        {"text": "Customer: one who pays. Agent: another."},
        [("assistant", "Customer: one who pays. Agent: another.")],
    ),
    # Calls.
    "When2Call": (
        {
            "tools": [GET],
            "messages": [
                USER,
                {"role": "assistant", "content": f"<TOOLCALL>{json.dumps(CALL)}</TOOLCALL>"},
            ],
        },
        [("user", Q), ("assistant", json.dumps(CALL, separators=(",", ":")))],
    ),
    "calls that are no JSON": (
        {
            "tools": [GET],
            "messages": [USER, {"role": "assistant", "content": "<TOOLCALL>[get(1)]</TOOLCALL>"}],
        },
        [("user", Q), ("assistant", "<TOOLCALL>[get(1)]</TOOLCALL>")],
    ),
    # Fields that are empty, or say something else.
    "images that are not there": (
        {"messages": [USER, ASSISTANT], "image": None, "images": []},
        ASKED,
    ),
    "a picture beside a text": (
        {"prompt": Q, "completion": A, "image": "https://x.org/a.png"},
        ASKED,
    ),
    "an answer that is correct": ({"question": Q, "answer": A, "is_correct": True}, ASKED),
    "who wrote a book": ({"text": A, "author": "Ann", "role": "narrator"}, [("assistant", A)]),
}


@pytest.mark.parametrize("name", READ)
def test_a_published_row_is_read_as_what_it_is(name: str) -> None:
    row, expected = READ[name]
    assert spoken(read_rows([row])) == expected


@pytest.mark.parametrize("name", READ)
def test_many_published_rows_are_read_as_one_is(name: str) -> None:
    row = READ[name][0]
    one, many = read_rows([row]), read_rows([row] * 40)
    columns = ["id", "messages", "rejected", "tools", "score", "category", "meta"]
    assert many.records[columns].unique().equals(one.records[columns])
    assert many.files[0].notes == dict.fromkeys(one.files[0].notes, 40)


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    # One message, and the rest of its chat in other rows.
    "customer support on Twitter": (
        {"tweet_id": 1, "inbound": True, "text": "It broke.", "in_response_to_tweet_id": 2},
        "wrong_type: the field in_response_to_tweet_id says that the row is one message of a chat",
    ),
    "a row a message": (
        {"conversation_id": 1, "role": "user", "text": Q},
        "wrong_type: the field role says that the row is one message of a chat",
    ),
    "a row an utterance": (
        {"dialog_id": 1, "speaker": "A", "text": Q},
        "wrong_type: the field speaker says that the row is one message of a chat",
    ),
    # What is seen or heard.
    "LLaVA": (
        {
            "image": "coco/1.jpg",
            "conversations": [
                {"from": "human", "value": "What is this?\n<image>"},
                {"from": "gpt", "value": A},
            ],
        },
        "wrong_type: the conversation is about what image holds; only text can be read",
    ),
    "LLaMA-Factory's images": (
        {"messages": [{"role": "user", "content": "<image>Who?"}, ASSISTANT], "images": ["a.jpg"]},
        "wrong_type: the conversation is about what images holds",
    ),
    "a visual question": (
        {"question": Q, "answer": A, "image": {"bytes": "", "path": "a.png"}},
        "wrong_type: the conversation is about what image holds",
    ),
    "speech": (
        {"audio": {"path": "a.wav", "array": [0.5]}, "text": A},
        "wrong_type: the conversation is about what audio holds",
    ),
    # Answers that are marked as bad.
    "BeaverTails": (
        {"prompt": Q, "response": B, "category": {"violence": True}, "is_safe": False},
        "undesirable: is_safe is the boolean false",
    ),
    "OpenMathInstruct": (
        {"question": Q, "answer": B, "is_correct": False},
        "undesirable: is_correct is the boolean false",
    ),
    "an answer that was not chosen": (
        {"prompt": Q, "response": B, "chosen": False},
        "undesirable: chosen is the boolean false",
    ),
    "an answer that is not good": (
        {"messages": [USER, {"role": "assistant", "content": B}], "is_good": False},
        "undesirable: is_good is the boolean false",
    ),
    # A text that is asked about.
    "MBPP": (
        {"text": "Add two.", "code": "def add(a, b): ..."},
        "unknown_shape: a text beside its code",
    ),
    "intents": (
        {"text": "Where is it?", "intent": "track"},
        "unknown_shape: a text beside its intent",
    ),
    "emotions": (
        {"text": "I am so glad.", "emotion": "joy"},
        "unknown_shape: a text beside its emotion",
    ),
    # No answer, or several.
    "SQuAD without an answer": (
        {"context": STORY, "question": Q, "answers": {"text": [], "answer_start": []}},
        "no_answer: answers holds no text, or several",
    ),
    "several answers": (
        {"query": Q, "answers": ["A.", "B."]},
        "no_answer: answers holds no text, or",
    ),
    "OpenMathInstruct-2": (
        {"problem": Q, "generated_solution": A, "expected_answer": "4"},
        "no_answer: none of the fields output, response, completion, answer, target, solution is "
        "there; if generated_solution or expected_answer is the answer, map it "
        "(response=generated_solution)",
    ),
    "the system speaks first": (
        {"turns": [{"speaker": "SYSTEM", "text": "Hello"}, {"speaker": "USER", "text": Q}]},
        "no_answer: no message is the assistant's",
    ),
    "an exchange without an answer": (
        {"conversations": [{"human": Q, "assistant": A}, {"human": "Why?"}]},
        "wrong_type: exchange 2 has no human and assistant",
    ),
    "parts that are trained and parts that are not": (
        {
            "messages": [
                USER,
                {"role": "assistant", "content": [{"type": "text", "text": A, "weight": 0}, B]},
            ]
        },
        "partial_loss: message 2 has a loss control on a part of it",
    ),
    "turns that name who speaks": (
        {"messages": [{"user": "ann", "text": Q}, {"bot": "sam", "text": A}]},
        "wrong_type",
    ),
    "a role that is a list": (
        {"messages": [{"role": ["user"], "content": Q}, ASSISTANT]},
        "unknown_role: message 1 has role ['user']",
    ),
    "columns of turns that do not fit": (
        {"messages": {"role": ["user", "assistant"], "content": [Q]}},
        "wrong_type",
    ),
    "texts that numpy printed": (
        {"question": Q, "choices": "['of oak' 'of pine']", "answer": "A"},
        "wrong_type: choices is not valid JSON",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_row_that_is_no_example_is_a_reject_that_says_why(name: str) -> None:
    row, reason = REFUSED[name]
    dump = read_rows([row])
    assert (dump.records.height, dump.rejects["reason"][0][: len(reason)]) == (0, reason)
    many = read_rows([row] * 20)
    assert (many.records.height, many.rejects.height) == (0, 20)


@pytest.mark.parametrize(
    ("row", "reasoning"),
    [
        ({"prompt": Q, "response": A, "reasoning": "It stands on posts."}, "It stands on posts."),
        ({"Question": Q, "Complex_CoT": "It stands.", "Response": A}, "It stands."),
        ({"input": Q, "output": A, "reasoning": "off"}, None),
        ({"instruction": Q, "output": A, "thinking": "No"}, None),
        ({"prompt": Q, "response": A, "reasoning": "high"}, None),
        ({"messages": [USER, {**ASSISTANT, "reasoning": "on"}]}, None),
        ({"messages": [USER], "answer": A, "reasoning": "off"}, None),
    ],
    ids=str,
)
def test_reasoning_is_what_was_thought_and_not_how_to_think(
    row: dict[str, Any], reasoning: str | None
) -> None:
    dump = read_rows([row])
    assert spoken(dump) == ASKED
    assert dump.records["messages"][0][-1]["reasoning"] == reasoning


@pytest.mark.parametrize(
    ("turn", "weight"),
    [
        ({"output_with_loss": False}, 0.0),
        ({"loss": False}, 0.0),
        ({"weight": 1}, 1.0),
        ({}, None),
    ],
    ids=str,
)
def test_an_exchange_obeys_its_loss_control(turn: dict[str, Any], weight: float | None) -> None:
    row = {"conversation": [{"input": "Hi", "output": "Hello", **turn}, {"input": Q, "output": A}]}
    answers = read_rows([row]).records["messages"][0][1::2]
    assert [answer["weight"] for answer in answers] == [weight, None]


def test_a_loss_control_of_all_parts_of_a_message_is_the_messages() -> None:
    parts = [{"type": "text", "text": A, "weight": 0}]
    turns = read_rows([{"messages": [USER, {"role": "assistant", "content": parts}]}])
    assert turns.records["messages"][0][1]["weight"] == 0.0


@pytest.mark.parametrize("name", ["do_train", "compute_loss", "exclude_from_loss", "no_loss"])
def test_more_spellings_of_not_training_are_obeyed(name: str) -> None:
    masks = name in ("exclude_from_loss", "no_loss")
    row = {"messages": [USER, {**ASSISTANT, name: masks}]}
    assert read_rows([row]).records["messages"][0][1]["weight"] == 0.0


def test_what_was_assumed_of_a_published_row_is_said() -> None:
    beside = {"messages": [USER], "answer": A}
    assert assumed(read_rows([beside])) == "`answer` is the answer to the last of the `messages`"
    dialogue = READ["MultiWOZ"][0]
    assert "is read as the assistant" in assumed(read_rows([dialogue]))
    assert "is no input" in assumed(read_rows([{"instruction": Q, "input": "nan", "output": A}]))
    assert "is not said twice" in assumed(read_rows([READ["a context that the prompt has"][0]]))
    broken = {"text": f"<|im_start|>user\n{Q}<|im_end|>\n<|im_start|>someone said"}
    assert "it stays one answer" in assumed(read_rows([broken]))


def test_unsafe_answers_are_read_where_they_are_wanted() -> None:
    row = {"prompt": Q, "response": B, "is_safe": False}
    dump = read_rows([row, {**row, "is_safe": True}], ReadOptions(undesirable=True))
    assert dump.records["score"].to_list() == [0.0, None]


def test_a_pair_is_found_with_the_turns_before_it_under_any_name() -> None:
    row = {"trajectory": [{"from": "user", "value": Q}], "chosen": A, "rejected": B}
    dump = read_rows([row])
    assert spoken(dump) == ASKED
    assert dump.records["rejected"][0][0]["content"] == B
