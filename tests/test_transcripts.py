"""Conversations inside one text: transcripts, and what a chat template rendered."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from curate.sources import Dump, read_rows
from curate.sources.shared.thoughts import split_thought
from curate.sources.shared.transcripts import may_hold_turns, written_turns

HELLO = [("user", "Hi"), ("assistant", "Hello")]


def said(dump: Dump, row: int = 0) -> list[tuple[str, str]]:
    assert dump.records.height > row, dump.rejects["reason"].to_list()
    return [(turn["role"], turn["content"]) for turn in dump.records["messages"][row]]


def test_guanaco_as_published_has_no_line_break_before_its_marks() -> None:
    rows = [
        {
            "text": "### Human: What does a lighthouse keeper do?### Assistant: A keeper looks"
            " after the lamp, keeps a log of the weather and watches for ships in trouble."
        },
        {
            "text": "### Human: What is a buoy?### Assistant: A floating mark that shows where the"
            " channel is.### Human: And a green one?### Assistant: In many regions it marks the"
            " right-hand side when you come from the sea."
        },
    ]
    dump = read_rows(rows)
    assert said(dump)[0] == ("user", "What does a lighthouse keeper do?")
    assert [role for role, _ in said(dump, 1)] == ["user", "assistant"] * 2
    assert said(dump, 1)[2:] == [
        ("user", "And a green one?"),
        (
            "assistant",
            "In many regions it marks the right-hand side when you come from the sea.",
        ),
    ]


@pytest.mark.parametrize(
    ("text", "turns"),
    [
        ("### Human: Hi\n### Assistant: Hello", HELLO),
        ("### Human: Hi\n### Assistant: Hello### Human: A\nb\n### Assistant: C", None),
        ("## User: Hi\n## Assistant: Hello", HELLO),
        ("### Human: Hi### Assistant: Hello###", HELLO),
        ("### System:\nBe brief.\n\n### User:\nHi\n\n### Response:\nHello", None),
        ("Human: Hi\nAI: Hello", HELLO),
        ("User: Hi\n\nAssistant: Hello\n", HELLO),
        ("System: Be kind.\nHuman: Hi\nAssistant: Hello", None),
    ],
)
def test_texts_that_name_their_speakers_are_turns(
    text: str, turns: list[tuple[str, str]] | None
) -> None:
    found = said(read_rows([{"text": text}]))
    if turns is not None:
        assert found == turns
    else:
        assert found[-1][0] == "assistant" and len(found) in (3, 4)
        assert not any("Human:" in content or "###" in content for _, content in found)


def test_marks_inside_somebodys_text_stay_text() -> None:
    told = 'She wrote "Human: yes" and then Assistant: no.'
    script = (
        "\n\nHuman: Write a scene.\n\nAssistant: Here:\nHuman: Knock.\nAssistant: Who is there?"
    )
    heading = "### Human: Hi\n### Assistant: Write `#### Human: x` as a heading."
    dump = read_rows([{"text": told}, {"text": script}, {"text": heading}])
    assert said(dump) == [("assistant", told)]
    assert said(dump, 1)[1] == ("assistant", "Here:\nHuman: Knock.\nAssistant: Who is there?")
    assert said(dump, 2)[1] == ("assistant", "Write `#### Human: x` as a heading.")


CHATML = "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nHello<|im_end|>\n"
LLAMA3 = (
    "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nBe brief.<|eot_id|>"
    "<|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\nHello<|eot_id|>"
)
LLAMA2 = "<s>[INST] <<SYS>>\nBe brief.\n<</SYS>>\n\nHi [/INST] Hello </s>"
GEMMA = "<bos><start_of_turn>user\nHi<end_of_turn>\n<start_of_turn>model\nHello<end_of_turn>\n"
ZEPHYR = "<|system|>\nBe brief.</s>\n<|user|>\nHi</s>\n<|assistant|>\nHello</s>"
VICUNA = "USER: Hi ASSISTANT: Hello</s>"
ALPACA = (
    "Below is an instruction that describes a task. Write a response that appropriately"
    " completes the request.\n\n### Instruction:\nHi\n\n### Response:\nHello"
)
SYSTEM = [("system", "Be brief."), *HELLO]
RENDERED = {
    "chatml": (CHATML, HELLO),
    "chatml phi-4": (
        "<|im_start|>user<|im_sep|>Hi<|im_end|><|im_start|>assistant<|im_sep|>Hello",
        HELLO,
    ),
    "llama3": (LLAMA3, SYSTEM),
    "llama2": (LLAMA2, SYSTEM),
    "llama2 of two rounds": (
        "<s>[INST] Hi [/INST] Hello </s><s>[INST] And? [/INST] No. </s>",
        [*HELLO, ("user", "And?"), ("assistant", "No.")],
    ),
    "gemma": (GEMMA, HELLO),
    "zephyr": (ZEPHYR, SYSTEM),
    "phi-3": ("<|user|>\nHi<|end|>\n<|assistant|>\nHello<|end|>\n<|endoftext|>", HELLO),
    "openassistant": ("<|prompter|>Hi<|endoftext|><|assistant|>Hello<|endoftext|>", HELLO),
    "vicuna": (VICUNA, HELLO),
    "vicuna with its opening": (
        "A chat between a curious user and an AI assistant. USER: Hi ASSISTANT: Hello</s>"
        "USER: And? ASSISTANT: No.</s>",
        [
            ("system", "A chat between a curious user and an AI assistant."),
            *HELLO,
            ("user", "And?"),
            ("assistant", "No."),
        ],
    ),
    "alpaca": (ALPACA, HELLO),
    "alpaca with an input": (
        "### Instruction:\nAdd.\n\n### Input:\n1 and 2\n\n### Response:\n3</s>",
        [("user", "Add.\n\n1 and 2"), ("assistant", "3")],
    ),
    "deepseek": (
        "<｜begin▁of▁sentence｜><｜User｜>Hi<｜Assistant｜>Hello<｜end▁of▁sentence｜>",
        HELLO,
    ),
}


@pytest.mark.parametrize("name", RENDERED)
def test_a_rendered_text_is_read_as_its_turns_without_control_tokens(name: str) -> None:
    text, turns = RENDERED[name]
    assert said(read_rows([{"text": text}])) == turns
    found = written_turns(text)
    assert may_hold_turns(text) and not may_hold_turns(f"The text: {text}")
    assert found is not None and "rendered by a template" in found.notes[0]


@pytest.mark.parametrize("name", RENDERED)
def test_a_rendering_cut_before_its_answer_takes_the_answer_of_the_other_column(name: str) -> None:
    text, turns = RENDERED[name]
    prompt = text[: text.rindex(turns[-1][1])]
    dump = read_rows([{"prompt": prompt, "completion": turns[-1][1]}])
    assert dump.files[0].formats == {"prompt-transcript": 1}
    assert said(dump) == turns


@pytest.mark.parametrize(
    "text",
    [
        "In ChatML <|im_start|>user opens a turn.",
        "<|im_start|>user\nWhat is <|im_end|> for?<|im_end|>\n<|im_start|>assistant\nThe end.",
        "USER: What does ASSISTANT: mean? ASSISTANT: It is a mark.",
        "[INST] is a mark of Llama 2, and [/INST] another; [/INST] ends the question.",
        "### Response:\nfirst\n### Instruction:\nlast",
    ],
)
def test_what_is_not_wholly_a_rendering_stays_text(text: str) -> None:
    assert said(read_rows([{"text": text}])) == [("assistant", text)]


@pytest.mark.parametrize(
    "row",
    [
        {"instruction": "Hi", "input": "", "output": "Hello", "text": ALPACA},
        {
            "messages": [
                {"role": "user", "content": "Hi"},
                {"role": "assistant", "content": "Hello"},
            ],
            "text": CHATML,
        },
        {"question": "Hi", "answer": "Hello", "text": "### Human: Hi### Assistant: Hello"},
    ],
)
def test_a_rendered_copy_beside_real_columns_does_not_win(row: dict[str, Any]) -> None:
    dump = read_rows([row])
    assert said(dump) == HELLO
    assert json.loads(dump.records["meta"][0]) == {"text": row["text"]}


def test_a_transcript_in_the_prompt_becomes_turns() -> None:
    rows = [
        {
            "prompt": "\n\nHuman: What is a pier?\n\nAssistant:",
            "completion": " A platform on posts that reaches out over the water.",
        },
        {
            "prompt": "\n\nHuman: Hi\n\nAssistant: Hello, how can I help?\n\nHuman: What is a quay?"
            "\n\nAssistant:",
            "completion": " A wall along which ships lie to load.",
        },
    ]
    dump = read_rows(rows)
    assert said(dump) == [
        ("user", "What is a pier?"),
        ("assistant", "A platform on posts that reaches out over the water."),
    ]
    assert said(dump, 1) == [
        ("user", "Hi"),
        ("assistant", "Hello, how can I help?"),
        ("user", "What is a quay?"),
        ("assistant", "A wall along which ships lie to load."),
    ]


@pytest.mark.parametrize(
    "row",
    [
        {"question": "Human: Hi\nAssistant:", "answer": "Hello"},
        {"query": "User: Hi\nAssistant: ", "response": "Hello"},
        {"instruction": "### Human: Hi### Assistant:", "output": "Hello"},
        {"instruction": CHATML.split("Hello")[0], "input": "", "output": "Hello<|im_end|>"},
        {"prompt": "\n\nHuman: Hi", "completion": "\n\nAssistant: Hello"},
        {"prompt": LLAMA2.replace("<<SYS>>\nBe brief.\n<</SYS>>", "")},
        {"conversation": "Human: Hi\n\nAssistant: Hello"},
    ],
)
def test_transcripts_are_read_in_every_column_of_prompts(row: dict[str, Any]) -> None:
    assert said(read_rows([row])) == HELLO


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "", "completion": "\n\nHuman: Hi\n\nAssistant: Hello"},
        {"prompt": "Hi", "completion": CHATML},
        {"instruction": "", "input": "", "output": "### Human: Hi### Assistant: Hello"},
        {"response": VICUNA},
    ],
)
def test_an_answer_that_holds_the_whole_conversation_becomes_turns(row: dict[str, Any]) -> None:
    assert said(read_rows([row])) == HELLO


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "Write a dialogue.", "completion": "Human: Hi\nAssistant: Hello"},
        {"prompt": "Hi", "input": "x", "output": CHATML},
        {"prompt": "Hi", "completion": "Human: Hi"},
    ],
)
def test_a_dialogue_that_was_asked_for_stays_an_answer(row: dict[str, Any]) -> None:
    answer = row.get("completion") or row["output"]
    assert said(read_rows([row]))[-1] == ("assistant", answer)


def test_a_completion_may_carry_the_transcript_on() -> None:
    row = {
        "prompt": "\n\nHuman: Hi\n\nAssistant:",
        "completion": " Hello\n\nHuman: And?\n\nAssistant: No.",
    }
    assert said(read_rows([row])) == [*HELLO, ("user", "And?"), ("assistant", "No.")]


@pytest.mark.parametrize(
    "prompt",
    [
        "Human: I feel sad.\nAI: Why?\nRate this dialogue.",
        "Question: What is a quay?\nAnswer:",
        "User: who wrote that?",
        "Explain <|im_start|> please.",
    ],
)
def test_a_prompt_that_talks_about_a_conversation_stays_text(prompt: str) -> None:
    dump = read_rows([{"prompt": prompt, "completion": "Hello"}])
    assert said(dump) == [("user", prompt), ("assistant", "Hello")]


def test_a_role_that_no_template_knows_is_a_reject_that_names_it() -> None:
    dump = read_rows([{"text": CHATML.replace("user", "narrator")}])
    assert dump.rejects["reason"][0].startswith("unknown_role: message 1 has role 'narrator'")


def test_open_thoughts_marks_are_reasoning_and_an_answer() -> None:
    text = (
        "<|begin_of_thought|>\n\nFive times twelve is sixty.\n\n<|end_of_thought|>\n\n"
        "<|begin_of_solution|>\n\nThere are \\boxed{60} jars.\n\n<|end_of_solution|>"
    )
    found = split_thought(text)
    assert found == ("Five times twelve is sixty.", "There are \\boxed{60} jars.")


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("<|begin_of_thought|>a<|end_of_thought|>b", ("a", "b")),
        ("<|begin_of_thought|>a<|end_of_thought|><|begin_of_solution|>b", ("a", "b")),
        ("<|begin_of_thought|>never ends", None),
        ("<|begin_of_thought|>a<|end_of_thought|>", None),
        ("The mark <|begin_of_thought|> opens a thought, <|end_of_thought|> ends it.", None),
        ("plain", None),
    ],
)
def test_thoughts_whose_marks_are_not_in_place_stay_text(
    text: str, parts: tuple[str, str] | None
) -> None:
    assert split_thought(text) == parts


@pytest.mark.parametrize(
    "text",
    [
        " " * 100_000 + "x",
        "\n" * 100_000 + "Human: Hi",
        "### Human: Hi" + " " * 100_000 + "### Assistant: x",
        "\n\nHuman: Hi" + "\n" * 100_000 + "x",
        "[INST] <<SYS>>" + " " * 100_000 + "x",
        "### Instruction:" + " " * 100_000 + "x",
        "USER: " + " " * 100_000 + "x ASSISTANT: y",
        "<|im_start|>user\n" * 20_000,
        "<|begin_of_thought|>" + " " * 100_000 + "x",
    ],
)
def test_long_runs_of_white_space_cost_no_time(text: str) -> None:
    started = time.monotonic()
    written_turns(text)
    split_thought(text)
    assert time.monotonic() - started < 2
