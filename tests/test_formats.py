"""Each format from its published schema, with one row that must be rejected."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from curate.sources import FORMATS, Dump, ReadOptions, read, read_rows
from curate.sources.detection import Detection

HUMAN, GPT = {"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"}
USER, ASSISTANT = {"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}
NO = {**ASSISTANT, "content": "No."}
HI = [USER, ASSISTANT]
HH = "\n\nHuman: Hi\n\nAssistant: "

# name: (a good row, what is said, a malformed row, the slug it is rejected with)
Case = tuple[dict[str, Any], list[tuple[str, str]], dict[str, Any], str]
HELLO = [("user", "Hi"), ("assistant", "Hello")]
CASES: dict[str, Case] = {
    "chosen-rejected": (
        {"chosen": HH + "Hello", "rejected": HH + "No."},
        HELLO,
        {"prompt": "Hi", "chosen": [], "rejected": "No."},
        "no_answer",
    ),
    "arena": (
        {"conversation_a": HI, "conversation_b": [USER, NO], "winner": "model_a"},
        HELLO,
        {"conversation_a": HI, "conversation_b": [USER, NO]},
        "no_preference",
    ),
    "rejected-beside": (
        {"messages": HI, "rejected_response": "No."},
        HELLO,
        {"messages": [USER], "rejected_response": "No."},
        "no_answer",
    ),
    "helpsteer-preference": (
        {"context": [USER], "response1": "No.", "response2": "Hello", "overall_preference": 2},
        HELLO,
        {"context": [USER], "response1": "No.", "response2": "Hello", "overall_preference": None},
        "no_preference",
    ),
    "helpsteer-edit": (
        {"context": [USER], "original_response": "No.", "edited_response": "Hello"},
        HELLO,
        {"context": [USER], "original_response": "No.", "edited_response": 3},
        "wrong_type",
    ),
    "helpsteer": (
        {"prompt": "Hi", "response": "Hello", "helpfulness": 4},
        HELLO,
        {"prompt": "Hi", "response": 4, "helpfulness": 4},
        "wrong_type",
    ),
    "generations": (
        {"instruction": "Hi", "generations": ["No.", "Hello"], "ratings": [1, 5]},
        HELLO,
        {"instruction": "Hi", "generations": ["No.", "Hello"], "ratings": [1]},
        "no_preference",
    ),
    "nectar": (
        {
            "prompt": HH,
            "answers": [{"answer": "No.", "rank": 2}, {"answer": "Hello", "rank": 1}],
        },
        HELLO,
        {"prompt": HH, "answers": []},
        "no_answer",
    ),
    "versus": (
        {"prompt": "Hi", "response_a": "No.", "response_b": "Hello", "winner": "model_b"},
        HELLO,
        {"prompt": "Hi", "response_a": "No.", "response_b": "Hello", "winner": None},
        "no_preference",
    ),
    "summaries": (
        {"info": {"post": "Hi"}, "summaries": [{"text": " Hello"}, {"text": "No."}], "choice": 0},
        HELLO,
        {"info": {"post": "Hi"}, "summaries": [{"text": " Hello"}], "choice": 0},
        "no_preference",
    ),
    "xlam": (
        {"query": "Hi", "tools": '[{"name": "f"}]', "answers": '[{"name": "f"}]'},
        [("user", "Hi"), ("assistant", "")],
        {"query": "Hi", "tools": '[{"name": "f"}]', "answers": "[]"},
        "no_answer",
    ),
    "glaive": (
        {"system": "", "chat": "USER: Hi\n\n\nASSISTANT: Hello <|endoftext|>"},
        HELLO,
        {"system": "", "chat": "USER: Hi\n\n\nASSISTANT: <functioncall> {x} <|endoftext|>"},
        "wrong_type",
    ),
    "hermes": (
        {
            "tools": [{"name": "f"}],
            "conversations": [
                HUMAN,
                {"from": "gpt", "value": 'Hello<tool_call>{"name": "f"}</tool_call>'},
            ],
        },
        HELLO,
        {
            "tools": [{"name": "f"}],
            "conversations": [{"from": "narrator", "value": "<tool_call>{}</tool_call>"}],
        },
        "unknown_role",
    ),
    "toolace": (
        {
            "system": "Return [func_name1(params_name1=params_value1)]",
            "conversations": [HUMAN, GPT],
        },
        [("system", "Return [func_name1(params_name1=params_value1)]"), *HELLO],
        {"system": "[func_name1(", "conversations": [HUMAN, {"from": "narrator", "value": "x"}]},
        "unknown_role",
    ),
    "openai-preference": (
        {
            "input": {"messages": [USER]},
            "preferred_output": [ASSISTANT],
            "non_preferred_output": [{**ASSISTANT, "content": "No."}],
        },
        HELLO,
        {"input": {"messages": "Hi"}, "preferred_output": [ASSISTANT]},
        "wrong_type",
    ),
    "several-people": (
        {
            "several_people": "slack",
            "said": [{"user_id": "U1", "text": "Hi"}, {"user_id": "U2", "text": "Hello"}],
        },
        HELLO,
        {"several_people": "slack", "said": [{"user_id": "U1", "text": "Hi"}]},
        "no_answer",
    ),
    "zendesk": (
        {
            "requester_id": "U1",
            "comments": [{"author_id": "U1", "body": "Hi"}, {"author_id": "U2", "body": "Hello"}],
        },
        HELLO,
        {"requester_id": 1, "comments": [{"author_id": 1, "body": 3}]},
        "wrong_type",
    ),
    "intercom": (
        {
            "source": {"body": "Hi", "author": {"type": "user"}},
            "conversation_parts": [{"body": "Hello", "author": {"type": "admin"}}],
        },
        HELLO,
        {"source": {"body": "Hi", "author": {"type": "user"}}, "conversation_parts": []},
        "no_answer",
    ),
    "chatgpt-export": (
        {
            "title": "t",
            "mapping": {
                "a": {
                    "parent": None,
                    "message": {
                        "author": {"role": "user"},
                        "content": {"content_type": "text", "parts": ["Hi"]},
                    },
                },
                "b": {
                    "parent": "a",
                    "message": {
                        "author": {"role": "assistant"},
                        "content": {"content_type": "text", "parts": ["Hello"]},
                    },
                },
            },
            "current_node": "b",
        },
        HELLO,
        {"mapping": {"b": {"parent": "gone", "message": None}}, "current_node": "b"},
        "orphan",
    ),
    "claude-export": (
        {
            "uuid": "1",
            "chat_messages": [
                {"sender": "human", "text": "Hi"},
                {"sender": "assistant", "text": "Hello"},
            ],
        },
        HELLO,
        {"chat_messages": [{"sender": "human", "text": "Hi"}]},
        "no_answer",
    ),
    "label-studio": (
        {
            "data": {"prompt": "Hi"},
            "annotations": [
                {"result": [{"from_name": "a", "type": "textarea", "value": {"text": ["Hello"]}}]}
            ],
        },
        HELLO,
        {"data": {"prompt": "Hi"}, "annotations": []},
        "no_answer",
    ),
    "label-studio-table": (
        {"text": "Hi", "answer": "Hello", "annotation_id": 1, "annotator": 1},
        HELLO,
        {"text": "Hi", "label": "greeting", "annotation_id": 1, "annotator": 1},
        "no_answer",
    ),
    "argilla": (
        {"fields": {"prompt": "Hi"}, "responses": {"answer": [{"value": "Hello"}]}},
        HELLO,
        {"fields": {"prompt": "Hi"}, "responses": {"answer": []}},
        "no_answer",
    ),
    "argilla-record": (
        {"text": "Hi", "annotation": "Hello", "annotation_agent": "ann"},
        HELLO,
        {"text": "Hi", "annotation": None, "annotation_agent": "ann"},
        "no_answer",
    ),
    "langsmith": (
        {"inputs": {"question": "Hi"}, "outputs": {"answer": "Hello"}},
        HELLO,
        {"inputs": {"left": "Hi", "right": "Ho"}, "outputs": {"answer": "Hello"}},
        "unknown_shape",
    ),
    "langchain": (
        {"messages": [{"type": "human", "content": "Hi"}, {"type": "ai", "content": "Hello"}]},
        HELLO,
        {"messages": [{"type": "human", "content": "Hi"}, {"type": "remove", "content": ""}]},
        "unknown_role",
    ),
    "llama-index": (
        {
            "messages": [
                {"role": "user", "blocks": [{"block_type": "text", "text": "Hi"}]},
                {"role": "assistant", "blocks": [{"block_type": "text", "text": "Hello"}]},
            ]
        },
        HELLO,
        {"messages": [{"role": "user", "blocks": [{"block_type": "image", "url": "x"}]}]},
        "wrong_type",
    ),
    "haystack": (
        {
            "messages": [
                {"_role": "user", "_content": [{"text": "Hi"}]},
                {"_role": "assistant", "_content": [{"text": "Hello"}]},
            ]
        },
        HELLO,
        {"messages": [{"_role": "user", "_content": [{"image": {}}]}]},
        "wrong_type",
    ),
    "cohere": (
        {"messages": [{"role": "User", "message": "Hi"}, {"role": "Chatbot", "message": "Hello"}]},
        HELLO,
        {"messages": [{"role": "User", "message": "Hi"}, {"role": "Chat", "message": "Hello"}]},
        "unknown_role",
    ),
    "cohere-history": (
        {"chat_history": [], "message": "Hi", "text": "Hello"},
        HELLO,
        {"chat_history": [], "message": "Hi"},
        "no_answer",
    ),
    "api-log": (
        {"request": {"messages": [USER]}, "response": {"choices": [{"message": ASSISTANT}]}},
        HELLO,
        {"request": {"messages": [USER]}, "response": {"choices": []}},
        "no_answer",
    ),
    "responses": (
        {"input": "Hi", "output": [{"type": "message", **ASSISTANT}]},
        HELLO,
        {"input": "Hi", "output": [{"type": "message", **ASSISTANT}, {"type": "computer_call"}]},
        "wrong_type",
    ),
    "gemini": (
        {
            "contents": [
                {"role": "user", "parts": [{"text": "Hi"}]},
                {"role": "model", "parts": [{"text": "Hello"}]},
            ]
        },
        HELLO,
        {"contents": [{"role": "user", "parts": [{"inlineData": {}}]}]},
        "wrong_type",
    ),
    "ai-studio": (
        {
            "chunkedPrompt": {
                "chunks": [{"role": "user", "text": "Hi"}, {"role": "model", "text": "Hello"}]
            }
        },
        HELLO,
        {"chunkedPrompt": {"chunks": [{"role": "user", "driveImage": {"id": "x"}}]}},
        "wrong_type",
    ),
    "palm": (
        {"messages": [{"author": "user", "content": "Hi"}, {"author": "bot", "content": "Hello"}]},
        HELLO,
        {"messages": [{"author": "user", "content": "Hi"}, {"author": "Ann", "content": "Hello"}]},
        "unknown_role",
    ),
    "bedrock": (
        {
            "schemaVersion": "bedrock-conversation-2024",
            "messages": [
                {"role": "user", "content": [{"text": "Hi"}]},
                {"role": "assistant", "content": [{"text": "Hello"}]},
            ],
        },
        HELLO,
        {"toolConfig": {}, "messages": [{"role": "user", "content": [{"image": {}}]}]},
        "wrong_type",
    ),
    "tuning-pair": (
        {"text_input": "Hi", "output": "Hello"},
        HELLO,
        {"text_input": "Hi", "output": ["Hello"]},
        "wrong_type",
    ),
    "harmony": (
        {
            "messages": [
                USER,
                {"role": "assistant", "channel": "analysis", "content": "A greeting."},
                {"role": "assistant", "channel": "final", "content": "Hello"},
            ]
        },
        HELLO,
        {"messages": [USER, {"role": "assistant", "channel": "analysis", "content": "Hm."}]},
        "no_answer",
    ),
    "anthropic": (
        {
            "messages": [
                USER,
                {
                    "role": "assistant",
                    "content": [
                        {"type": "thinking", "thinking": "A greeting."},
                        {"type": "text", "text": "Hello"},
                    ],
                },
            ]
        },
        HELLO,
        {
            "messages": [
                {"role": "user", "content": [{"type": "image"}, {"type": "tool_result"}]},
                ASSISTANT,
            ]
        },
        "wrong_type",
    ),
    "messages": (
        {"messages": [USER, ASSISTANT]},
        HELLO,
        {"messages": [USER, {"role": "assistant", "content": [{"type": "image_url"}]}]},
        "wrong_type",
    ),
    "sharegpt": (
        {"conversations": [HUMAN, GPT]},
        HELLO,
        {"conversations": [HUMAN, {"from": "narrator", "value": "Then"}]},
        "unknown_role",
    ),
    "turns": (
        {"dialog": [{"speaker": "Customer", "text": "Hi"}, {"speaker": "Agent", "text": "Hello"}]},
        HELLO,
        {"dialog": [{"speaker": "Customer", "text": "Hi"}]},
        "no_answer",
    ),
    "lima": (
        {"conversations": ["Hi", "Hello"], "source": "stackexchange"},
        HELLO,
        {"conversations": ["Hi"], "source": "stackexchange"},
        "no_answer",
    ),
    "ultrachat": ({"id": "0", "data": ["Hi", "Hello"]}, HELLO, {"data": ["Hi"]}, "no_answer"),
    "exchanges": (
        {"conversation": [{"human": "Hi", "assistant": "Hello"}]},
        HELLO,
        {"conversation": [{"human": "Hi", "assistant": "Hello"}, {"human": "And?"}]},
        "wrong_type",
    ),
    "parallel-lists": (
        {"questions": ["Hi"], "answers": ["Hello"]},
        HELLO,
        {"questions": ["Hi", "And?"], "answers": ["Hello"]},
        "unknown_shape",
    ),
    "mt-bench": (
        {"question_id": 1, "category": "x", "turns": ["Hi"], "reference": ["Hello"]},
        HELLO,
        {"question_id": 1, "category": "x", "turns": ["Hi", "And?"]},
        "no_answer",
    ),
    "oasst": (
        {
            "message_tree_id": "t",
            "prompt": {
                "role": "prompter",
                "text": "Hi",
                "replies": [{"role": "assistant", "text": "Hello", "replies": []}],
            },
        },
        HELLO,
        {"message_tree_id": "t", "prompt": {"role": "prompter", "text": "Hi", "replies": []}},
        "no_answer",
    ),
    "stackexchange-posts": (
        {"question_post": {"Body": "Hi"}, "answer_post": {"Body": "Hello"}},
        HELLO,
        {"question_post": {"Body": 3}, "answer_post": {"Body": "Hello"}},
        "wrong_type",
    ),
    "stackexchange-paired": (
        {"qid": 1, "question": "<p>Hi</p>", "response_j": "Hello", "response_k": "No."},
        HELLO,
        {"qid": 1, "question": "Hi", "response_j": None, "response_k": 4},
        "wrong_type",
    ),
    "stackexchange-answers": (
        {"qid": 1, "question": "Hi", "answers": [{"answer_id": 2, "pm_score": 3, "text": "Hello"}]},
        HELLO,
        {"qid": 1, "question": "Hi", "answers": []},
        "no_answer",
    ),
    "judged-pair": (
        {"instruction": "Hi", "output_1": "No.", "output_2": "Hello", "preference": 2},
        HELLO,
        {"instruction": "Hi", "output_1": "No.", "output_2": "Hello", "preference": None},
        "no_preference",
    ),
    "kept": (
        {
            "id": "0",
            "messages": [
                {"role": "user", "content": "Hi"},
                {"role": "assistant", "content": "Hello"},
            ],
            "source": "a",
            "line": 1,
            "scores": {},
            "meta": '{"x": 1}',
        },
        HELLO,
        {
            "messages": [
                {"role": "user", "content": "Hi"},
                {"role": "assistant", "content": "Hello"},
            ],
            "source": "a",
            "line": 1,
            "scores": {},
            "meta": "no",
        },
        "wrong_type",
    ),
    "shp": (
        {"history": "Hi", "human_ref_A": "No.", "human_ref_B": "Hello", "labels": 0, "score_B": 9},
        HELLO,
        {"history": "Hi", "human_ref_A": "No.", "human_ref_B": "Hello", "labels": None},
        "no_preference",
    ),
    "ultrafeedback": (
        {
            "instruction": "Hi",
            "completions": [
                {"response": "No.", "overall_score": 2},
                {"response": "Hello", "overall_score": 9},
            ],
        },
        HELLO,
        {"instruction": "Hi", "completions": []},
        "no_answer",
    ),
    "kto": (
        {"prompt": "Hi", "completion": "Hello", "label": True},
        HELLO,
        {"prompt": "Hi", "completion": 7, "label": True},
        "wrong_type",
    ),
    "conversational": (
        {"prompt": [USER], "completion": [ASSISTANT]},
        HELLO,
        {"prompt": [USER], "completion": []},
        "no_answer",
    ),
    "self-instruct": (
        {"id": "s", "instruction": "Hi", "instances": [{"input": "", "output": "Hello"}]},
        HELLO,
        {"id": "s", "instruction": "Hi", "instances": [{"input": ""}]},
        "no_answer",
    ),
    "baize": (
        {"topic": "t", "input": "The conversation.\n[|Human|] Hi\n[|AI|] Hello\n[|Human|] "},
        HELLO,
        {"topic": "t", "input": "The conversation.\n[|Human|] Hi\n[|Human|] "},
        "no_answer",
    ),
    "belle": (
        {"instruction": "Human: Hi\nAssistant:", "input": "", "output": "Hello"},
        HELLO,
        {"instruction": "Human: Hi\nAssistant:", "output": ["Hello"]},
        "wrong_type",
    ),
    "prompt-transcript": (
        {"prompt": "\n\nHuman: Hi\n\nAssistant:", "completion": " Hello"},
        HELLO,
        {"prompt": "\n\nHuman: Hi\n\nAssistant:", "completion": 7},
        "wrong_type",
    ),
    "answer-transcript": (
        {"completion": "### Human: Hi### Assistant: Hello"},
        HELLO,
        {"prompt": "", "completion": "Human: Hi\nAssistant: Hello", "tools": 3},
        "wrong_type",
    ),
    "dolly": (
        {"instruction": "Hi", "context": "", "response": "Hello", "category": "chat"},
        HELLO,
        {"instruction": "Hi", "context": "", "response": {}},
        "wrong_type",
    ),
    "alpaca": (
        {"instruction": "Hi", "input": "", "output": "Hello"},
        HELLO,
        {"instruction": "Hi", "output": "Hello", "history": ["not a pair"]},
        "wrong_type",
    ),
    "prompt-completion": (
        {"query": "Hi", "response": "Hello"},
        HELLO,
        {"query": "Hi", "answers": "Hello"},
        "no_answer",
    ),
    "request": (
        {"doc": {"prompt": "Hi", "canonical_solution": "Hello"}, "idx": 0},
        HELLO,
        {"doc": {"prompt": "Hi", "test": "x"}, "idx": 0},
        "no_answer",
    ),
    "red-team": (
        {"transcript": HH + "Hello", "rating": 4},
        HELLO,
        {"transcript": "\n\nHuman: Hi", "rating": 4},
        "no_answer",
    ),
    "text": (
        {"text": "### Human: Hi\n### Assistant: Hello"},
        HELLO,
        {"text": "  "},
        "empty_conversation",
    ),
}


def given(folder: Path, *rows: Any, options: ReadOptions | None = None) -> Dump:
    path = folder / "dump.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows))
    return read([str(path)], options or ReadOptions(answerer="U2"))


def said(dump: Dump, row: int = 0) -> list[tuple[str, str]]:
    return [(turn["role"], turn["content"]) for turn in dump.records["messages"][row]]


def test_every_format_has_a_case() -> None:
    assert set(CASES) == set(FORMATS)


@pytest.mark.parametrize("name", CASES)
def test_a_published_row_is_read_and_a_malformed_one_rejected_with_its_line(
    tmp_path: Path, name: str
) -> None:
    good, expected, malformed, slug = CASES[name]
    dump = given(tmp_path, good, malformed)
    assert dump.files[0].formats == {name: 1}, dump.rejects["reason"].to_list()
    assert said(dump) == expected
    assert dump.rejects.height == 1
    source, line, reason, raw = dump.rejects.row(0)
    assert (source, line) == ((tmp_path / "dump.jsonl").as_posix(), 2)
    assert reason.startswith(f"{slug}: "), reason
    assert json.loads(raw) == malformed


# Reasoning, calls of tools and system prompts are content, which these cases have more of.
MORE = {"harmony", "anthropic", "xlam", "hermes", "toolace"}


@pytest.mark.parametrize("name", sorted(set(CASES) - MORE))
def test_the_same_conversation_has_the_same_id_from_every_format(tmp_path: Path, name: str) -> None:
    dump = given(tmp_path, CASES[name][0], {"messages": [USER, ASSISTANT]})
    assert dump.records["id"].n_unique() == 1


@pytest.mark.parametrize("name", ["chosen-rejected", "openai-preference", "judged-pair"])
def test_the_losing_answer_is_kept_beside_the_chosen_one(tmp_path: Path, name: str) -> None:
    rejected = given(tmp_path, CASES[name][0]).records["rejected"][0].to_list()
    assert [(turn["role"], turn["content"]) for turn in rejected] == [("assistant", "No.")]


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "Hi", "chosen": "Hello", "rejected": "No."},
        {"conversations": [HUMAN], "chosen": GPT, "rejected": {**GPT, "value": "No."}},
        {
            "prompt": "Hi",
            "chosen": [USER, ASSISTANT],
            "rejected": [USER, {**ASSISTANT, "content": "No."}],
            "messages": [USER, ASSISTANT],
            "score_chosen": 8.0,
        },
    ],
)
def test_every_spelling_of_a_preference_pair_is_the_same_pair(
    tmp_path: Path, row: dict[str, Any]
) -> None:
    dump = given(tmp_path, row)
    assert said(dump) == HELLO
    assert [turn["content"] for turn in dump.records["rejected"][0]] == ["No."]


def test_a_tie_keeps_the_first_answer_and_rejects_none(tmp_path: Path) -> None:
    row = {
        "instruction": "Hi",
        "input": "",
        "response1": "Hello",
        "response2": "Hey",
        "annotator1": 1,
        "annotator2": 2,
        "annotator3": 0,
    }
    dump = given(tmp_path, row, {**row, "annotator3": 2})
    assert said(dump) == HELLO and dump.records["rejected"][0] is None
    assert json.loads(dump.records["meta"][0])["response2"] == "Hey"
    assert said(dump, 1)[1] == ("assistant", "Hey")


def test_an_answer_in_a_transcript_may_hold_another_pair_of_speakers(tmp_path: Path) -> None:
    row = {"chosen": HH + "Like so:\nQuestion: 1?\nAnswer: 2.", "rejected": HH + "No."}
    assert said(given(tmp_path, row))[1] == ("assistant", "Like so:\nQuestion: 1?\nAnswer: 2.")


def test_anthropic_tool_use_and_results_become_calls_and_tool_messages(tmp_path: Path) -> None:
    row = {
        "system": "Be brief.",
        "tools": [{"name": "w", "input_schema": {"type": "object"}}],
        "messages": [
            {"role": "user", "content": "Weather?"},
            {
                "role": "assistant",
                "content": [{"type": "tool_use", "id": "c1", "name": "w", "input": {"at": "Oslo"}}],
            },
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": "c1", "content": "rain"},
                    {"type": "text", "text": "So?"},
                ],
            },
            {"role": "assistant", "content": [{"type": "text", "text": "Rain."}]},
        ],
    }
    dump = given(tmp_path, row)
    assert [role for role, _ in said(dump)] == [
        "system",
        "user",
        "assistant",
        "tool",
        "user",
        "assistant",
    ]
    call, result = dump.records["messages"][0][2], dump.records["messages"][0][3]
    assert json.loads(call["tool_calls"]) == [
        {"id": "c1", "name": "w", "arguments": {"at": "Oslo"}}
    ]
    assert (result["tool_call_id"], result["content"]) == ("c1", "rain")
    tool = json.loads(dump.records["tools"][0])[0]["function"]
    assert tool["parameters"] == {"type": "object"}


def test_harmony_channels_become_reasoning_calls_and_the_final_answer(tmp_path: Path) -> None:
    row = {
        "messages": [
            {"role": "developer", "content": "Be brief."},
            {"role": "user", "content": "Weather?"},
            {"role": "assistant", "channel": "analysis", "content": "Ask the tool."},
            {
                "role": "assistant",
                "channel": "commentary",
                "recipient": "functions.w",
                "content": '{"at": "Oslo"}',
            },
            {"role": "tool", "name": "functions.w", "content": "rain"},
            {"role": "assistant", "channel": "final", "content": "Rain."},
        ]
    }
    turns = given(tmp_path, row).records["messages"][0].to_list()
    assert [turn["role"] for turn in turns] == ["system", "user", "assistant", "tool", "assistant"]
    assert turns[2]["reasoning"] == "Ask the tool."
    assert json.loads(turns[2]["tool_calls"]) == [{"name": "w", "arguments": {"at": "Oslo"}}]
    assert (turns[4]["content"], turns[4]["reasoning"]) == ("Rain.", None)


def node(text: str, role: str = "assistant", replies: Any = (), **more: Any) -> dict[str, Any]:
    return {"role": role, "text": text, "replies": list(replies), **more}


def a_tree() -> dict[str, Any]:
    answers = [
        node("spam", rank=0, labels={"spam": {"value": 0.9}}),
        node("deleted", rank=0, deleted=True),
        node("failed", rank=0, review_result=False),
        node("second", rank=1),
        node("best", rank=0, replies=[node("And?", "prompter", [node("Then.", rank=0)])]),
        node("unranked"),
    ]
    return {"message_tree_id": "t", "prompt": node("Hi", "prompter", answers, lang="en")}


def test_the_best_path_of_a_tree_follows_ranks_and_avoids_bad_messages(tmp_path: Path) -> None:
    dump = given(tmp_path, a_tree())
    assert said(dump) == [
        ("user", "Hi"),
        ("assistant", "best"),
        ("user", "And?"),
        ("assistant", "Then."),
    ]
    assert dump.records["category"][0] == "en"
    meta = json.loads(dump.records["meta"][0])
    assert meta == {"message_tree_id": "t", "rank": 0, "ranks": [None, 0, None, 0]}


@pytest.mark.parametrize(("paths", "ends"), [("all", 3), ("2", 2)])
def test_other_paths_of_a_tree_are_taken_on_request(tmp_path: Path, paths: str, ends: int) -> None:
    dump = given(tmp_path, a_tree(), options=ReadOptions(paths=paths))
    last = [said(dump, row)[-1][1] for row in range(dump.records.height)]
    assert last == ["Then.", "second", "unranked"][:ends]


def test_flat_and_nested_trees_give_equal_conversations(tmp_path: Path) -> None:
    flat: list[dict[str, Any]] = []

    def flatten(given_node: dict[str, Any], parent: str | None) -> None:
        name = f"m{len(flat)}"
        rest = {key: value for key, value in given_node.items() if key != "replies"}
        flat.append({"message_id": name, "parent_id": parent, **rest})
        for reply in given_node["replies"]:
            flatten(reply, name)

    flatten(a_tree()["prompt"], None)
    shuffled = flat[::-1]  # children before their parents
    assert said(given(tmp_path, *shuffled)) == said(given(tmp_path, a_tree()))


def test_tree_messages_that_hang_on_no_root_are_rejects(tmp_path: Path) -> None:
    def message(name: str, parent: str) -> dict[str, Any]:
        return {"message_id": name, "parent_id": parent, "role": "assistant", "text": "x"}

    circle = [message("a", "b"), message("b", "a"), message("c", "gone")]
    dump = given(tmp_path, *circle)
    assert [reason[:8] for reason in dump.rejects["reason"]] == ["orphan: "] * 3


def test_raw_posts_are_joined_by_their_question_with_votes_as_score(tmp_path: Path) -> None:
    posts = [
        {"Id": 1, "PostTypeId": 1, "Title": "Loops", "Body": "<p>How?</p>", "Score": 5},
        {
            "Id": 2,
            "PostTypeId": 2,
            "ParentId": 1,
            "Body": "<p>Use <code>for</code>.</p>",
            "Score": 7,
        },
        {"Id": 3, "PostTypeId": 2, "ParentId": 9, "Body": "lost", "Score": 1},
        {"Id": 4, "PostTypeId": 1, "Title": "Silent", "Body": "<p>?</p>", "Score": 0},
    ]
    dump = given(tmp_path, *posts)
    assert said(dump) == [("user", "Loops\n\nHow?"), ("assistant", "Use `for`.")]
    assert dump.records["score"].to_list() == [7.0]
    slugs = [(line, reason.split(":")[0]) for _, line, reason, _ in dump.rejects.iter_rows()]
    assert slugs == [(3, "orphan"), (4, "no_answer")]


def test_every_answer_of_a_question_is_a_row_with_its_votes(tmp_path: Path) -> None:
    answers = [{"text": "A", "pm_score": 4}, {"text": "B", "pm_score": 1}]
    dump = given(tmp_path, {"qid": 1, "question": "Q", "answers": answers})
    assert dump.records["score"].to_list() == [4.0, 1.0]


def test_plain_text_is_an_answer_without_a_prompt(tmp_path: Path) -> None:
    assert said(given(tmp_path, {"text": "Once upon a time."})) == [
        ("assistant", "Once upon a time.")
    ]


@pytest.mark.parametrize(
    ("folder", "rows", "rejects"),
    [("raw", 36_543, 677), ("preference", 2_897, 12), ("eval", 2_841, 205), ("dedup", 8_200, 11)],
)
def test_real_files_are_read_and_counted(
    test_data: Path, folder: str, rows: int, rejects: int
) -> None:
    dump = read([str(test_data / folder)])
    assert (dump.records.height, dump.rejects.height) == (rows, rejects)
    by_name = {Path(file.source).name: file.rejects for file in dump.files}
    expected: dict[str, dict[str, int]] = {
        "instruction_wild_user_2.jsonl": {"no_answer": 246, "invalid_json": 2},
        "pandalm_testset.json": {"wrong_type": 6},
        "alpaca_eval_phi_2.json": {"no_preference": 6},
    }
    for name in set(expected) & set(by_name):
        assert by_name[name] == expected[name]


THOUGHT = {"role": "assistant", "content": [{"type": "thinking", "thinking": "Hm."}]}
RESULT = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": 3, "content": "x"}]}
ROOT = {"text": "Hi", "role": "prompter", "replies": 1}


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"messages": ["x", {"role": "user", "channel": "final"}]}, "message 1 is the text 'x'"),
        ({"messages": [THOUGHT], "system": 3}, "system is the number 3; expected a list"),
        ({"messages": [RESULT]}, "message 1 tool_use_id is the number 3; expected text"),
        ({"messages": 3, "source": "", "line": 1, "scores": {}, "meta": ""}, "is the number 3"),
        ({"messages": HI, "source": "", "line": 1, "scores": {}, "meta": "[1]"}, "meta is"),
        ({"message_tree_id": 1, "prompt": ROOT}, "replies is the number 1; expected a list"),
        ({"instruction": "a", "input": [3], "response1": "c", "response2": "d"}, "input is a list"),
    ],
)
def test_an_odd_value_inside_a_known_format_is_a_reject(
    tmp_path: Path, row: Any, reason: str
) -> None:
    found = given(tmp_path, row, {"messages": HI})
    assert found.rejects["line"].to_list() == [1]
    assert reason in found.rejects["reason"][0]


@pytest.mark.parametrize(
    "names",
    [
        ("input", "output"),
        ("user", "assistant"),
        ("question", "answer"),
        ("prompt", "response"),
        ("instruction", "output"),
    ],
)
def test_exchanges_are_read_under_all_their_names(tmp_path: Path, names: tuple[str, str]) -> None:
    turns = [dict(zip(names, texts, strict=True)) for texts in (("Hi", "Hello"), ("And?", "No."))]
    dump = given(tmp_path, {"conversation": turns, "source": "Know-Logic"})
    assert said(dump) == [*HELLO, ("user", "And?"), ("assistant", "No.")]
    assert json.loads(dump.records["meta"][0]) == {"source": "Know-Logic"}


def test_an_exchange_may_begin_with_the_systems_words(tmp_path: Path) -> None:
    turns = [{"system": "Be brief.", "input": "Hi", "output": "Hello"}]
    assert said(given(tmp_path, {"conversation": turns})) == [("system", "Be brief."), *HELLO]


def test_an_exchange_without_an_answer_is_a_reject_that_names_it(tmp_path: Path) -> None:
    turns = [{"input": "Hi", "output": "Hello"}, {"input": "And?"}]
    reason = given(tmp_path, {"conversation": turns}).rejects["reason"][0]
    assert reason.startswith("wrong_type: exchange 2 has no")


@pytest.mark.parametrize("name", CASES)
def test_a_row_among_many_plain_ones_is_read_as_it_is_alone(name: str) -> None:
    """Plain rows are read together; a row that is not, though its fields are theirs, is not."""
    odd = CASES[name][0]
    plain = {key: _plain(key, value) for key, value in odd.items()}
    alone = read_rows([odd])
    together = read_rows([plain] * 40 + [odd] + [plain] * 40)
    here = together.records.filter(pl.col("line") == 41)
    assert here["id"].to_list() == alone.records["id"].to_list()
    assert here["meta"].to_list() == alone.records["meta"].to_list()


def _plain(key: str, value: Any) -> Any:
    """Something plain for a field; what is no text stays."""
    return f"Some {key}." if isinstance(value, str) else value


ODD = [None, "", "Some text.", 3, True, [], {}, ["a", "b"], [{"role": "user", "content": "Hi"}]]


@pytest.mark.parametrize("name", CASES)
def test_formats_that_fields_rule_out_match_no_row_with_these_fields(name: str) -> None:
    row = CASES[name][0]
    rows = [row, *({**row, key: value} for key in row for value in ODD)]
    for first in (rows[0], rows[-1], dict.fromkeys(row, "Some text.")):
        detection = Detection(FORMATS)
        detection.candidates(first)
        for other in rows:
            asked = [one for one, known in detection.candidates(other) if known.matches(other)]
            wanted = [one for one, known in FORMATS.items() if known.matches(other)]
            assert asked[:1] == wanted[:1], other


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ({"messages": 5}, "messages is the number 5; expected a list of messages"),
        ({"messages": True, "id": 1}, "messages is the boolean true; expected a list of messages"),
        ({"messages": {"a": 1}}, "messages is an object; expected a list of messages"),
        ({"messages": [[1]]}, "messages is a list of other things; expected a list of messages"),
        ({"conversations": 3.5}, "conversations is the number 3.5; expected a list of messages"),
    ],
)
def test_a_field_that_should_hold_messages_and_does_not_is_named(
    row: dict[str, Any], why: str
) -> None:
    dump = read_rows([row, {"prompt": "Hi", "completion": "Hello"}])
    assert dump.rejects["reason"].to_list() == [f"wrong_type: {why}"]
