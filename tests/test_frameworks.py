"""Messages as LangChain, LangSmith, LlamaIndex, Haystack and Cohere write them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from curate.sources import FORMATS, read_rows
from tests.one_row import reading, refused, said

TALK = [("user", "High water?"), ("assistant", "At six.")]
CALLED = [
    {"role": "user", "content": "High water?"},
    {
        "role": "assistant",
        "content": "",
        "tool_calls": '[{"id":"t1","name":"tide","arguments":{"day":"Monday"}}]',
    },
    {"role": "tool", "content": "06:10", "tool_call_id": "t1"},
    {"role": "assistant", "content": "At six."},
]

HUMAN, AI = {"type": "human", "content": "High water?"}, {"type": "ai", "content": "At six."}
CALL = {"name": "tide", "args": {"day": "Monday"}, "id": "t1", "type": "tool_call"}
OPENAI = {
    "id": "t1",
    "type": "function",
    "function": {"name": "tide", "arguments": '{"day": "Monday"}'},
}
TOOL = {"type": "tool", "content": "06:10", "tool_call_id": "t1"}


def constructed(name: str, **fields: Any) -> dict[str, Any]:
    path = ["langchain", "schema", "messages", name]
    return {"lc": 1, "type": "constructor", "id": path, "kwargs": fields}


@pytest.mark.parametrize(
    "turns",
    [
        [HUMAN, AI],
        [[HUMAN, AI]],
        [{**HUMAN, "type": "HumanMessage"}, {**AI, "type": "AIMessageChunk"}],
        [{"type": "human", "data": HUMAN}, {"type": "ai", "data": AI}],
        [{**HUMAN, "type": "chat", "role": "user"}, {**AI, "content": ["At six."]}],
        [HUMAN, {"type": "ai", "content": [{"type": "text", "text": "At six."}]}],
        [
            constructed("HumanMessage", content="High water?", type="human"),
            constructed("AIMessage", content="At six.", additional_kwargs={}),
        ],
    ],
)
def test_every_spelling_of_langchain_messages_is_the_same_conversation(turns: Any) -> None:
    assert said({"messages": turns}, "langchain") == TALK


@pytest.mark.parametrize(
    "call",
    [
        {"type": "ai", "content": "", "tool_calls": [CALL]},
        {"type": "ai", "content": "", "additional_kwargs": {"tool_calls": [OPENAI]}},
        {"type": "ai", "data": {"content": "", "tool_calls": [CALL], "type": "ai"}},
        constructed("AIMessage", content="", tool_calls=[CALL]),
        {
            "type": "ai",
            "content": [{"type": "tool_use", "id": "t1", "name": "tide", "input": {}}],
            "tool_calls": [CALL],
            "additional_kwargs": {"tool_calls": [OPENAI]},
        },
    ],
)
def test_every_spelling_of_a_langchain_call_is_one_call(call: Any) -> None:
    assert reading({"messages": [HUMAN, call, TOOL, AI]}, "langchain") == CALLED


def test_reasoning_and_weights_of_langchain_messages_are_read() -> None:
    thought = {**AI, "additional_kwargs": {"reasoning_content": "Look."}, "weight": 0}
    _, answer = reading({"messages": [HUMAN, thought]}, "langchain")
    assert answer == {
        "role": "assistant",
        "content": "At six.",
        "reasoning": "Look.",
        "weight": 0.0,
    }


@pytest.mark.parametrize(
    ("turns", "reason"),
    [
        ([HUMAN, {**AI, "invalid_tool_calls": [{"name": "x"}]}], "a call that could not be parsed"),
        ([{**HUMAN, "content": [{"type": "image_url"}]}, AI], "part 1 of type 'image_url'"),
        ([HUMAN, {**AI, "type": ["ai"]}], "message 2 has role ''"),
        ([HUMAN, 3], "message 2 is the number 3"),
        ([HUMAN, {**AI, "tool_calls": [3]}], "message 2 tool call is the number 3"),
        ([HUMAN], "no_answer"),
    ],
)
def test_odd_langchain_messages_are_rejects(turns: Any, reason: str) -> None:
    assert reason in refused({"messages": turns})


@pytest.mark.parametrize(
    ("inputs", "outputs"),
    [
        ({"question": "High water?"}, {"answer": "At six."}),
        ({"anything": "High water?", "k": 3}, {"whatever": "At six."}),
        ({"input": "High water?", "context": "x"}, {"output": "At six.", "note": "y"}),
        ({"messages": [HUMAN]}, {"output": AI}),
        ({"messages": [[constructed("HumanMessage", content="High water?")]]}, {"messages": [AI]}),
        ({"messages": [HUMAN]}, {"messages": [HUMAN, AI]}),
        ({"messages": [HUMAN]}, {"generations": [[{"text": "At six.", "message": AI}]]}),
        ({"input": [HUMAN]}, {"generations": [[{"text": "At six."}]]}),
        (
            {"messages": [{"role": "user", "content": "High water?"}]},
            {"choices": [{"message": {"role": "assistant", "content": "At six."}}]},
        ),
        ({"question": "High water?"}, {"role": "assistant", "content": "At six."}),
    ],
)
def test_inputs_and_outputs_of_langsmith_are_one_conversation(inputs: Any, outputs: Any) -> None:
    assert said({"inputs": inputs, "outputs": outputs, "metadata": {}}, "langsmith") == TALK


@pytest.mark.parametrize(
    ("inputs", "outputs", "reason"),
    [
        ({"a": "x", "b": "y"}, {"answer": "z"}, "inputs has a, b; which is the text is not known"),
        ({"question": "x"}, {"a": 1}, "outputs has a; which is the text is not known"),
        ({"question": "x"}, {}, "outputs has no fields"),
        ({"messages": 3, "question": "x"}, {"messages": [3]}, "message 1 is the number 3"),
        ({"question": "x"}, {"generations": [3]}, "a generation is the number 3"),
    ],
)
def test_inputs_and_outputs_that_are_unclear_are_rejects(
    inputs: Any, outputs: Any, reason: str
) -> None:
    assert reason in refused({"inputs": inputs, "outputs": outputs})


KWARGS = {"tool_call_id": "t1", "tool_name": "tide", "tool_kwargs": {"day": "Monday"}}


def block(kind: str, **fields: Any) -> dict[str, Any]:
    return {"block_type": kind, **fields}


@pytest.mark.parametrize(
    "call",
    [
        {"blocks": [], "additional_kwargs": {"tool_calls": [OPENAI]}},
        {
            "blocks": [block("tool_call", **KWARGS)],
            "additional_kwargs": {"tool_calls": [OPENAI]},
        },
    ],
)
def test_blocks_of_llama_index_are_texts_and_calls(call: Any) -> None:
    turns = [
        {"role": "user", "blocks": [block("text", text="High water?")]},
        {"role": "assistant", **call},
        {
            "role": "tool",
            "blocks": [block("text", text="06:10")],
            "additional_kwargs": {"tool_call_id": "t1"},
        },
        {"role": "assistant", "blocks": [block("text", text="At six.")], "weight": 1},
    ]
    read = reading({"messages": turns}, "llama-index")
    assert read == [*CALLED[:3], {**CALLED[3], "weight": 1.0}]


@pytest.mark.parametrize("old", [True, False])
def test_parts_of_haystack_are_named_by_their_keys(old: bool) -> None:
    call = {"tool_name": "tide", "arguments": {"day": "Monday"}, "id": "t1"}
    turns = [
        ("user", [{"text": "High water?"}]),
        ("assistant", [{"tool_call": call}]),
        ("tool", [{"tool_call_result": {"result": "06:10", "origin": call, "error": False}}]),
        ("assistant", [{"text": "At six."}]),
    ]
    start = "_" if old else ""
    listed = [{f"{start}role": role, f"{start}content": content} for role, content in turns]
    expected = [*CALLED[:2], {**CALLED[2], "name": "tide"}, CALLED[3]]
    assert reading({"messages": listed}, "haystack") == expected


CHATBOT = {"role": "CHATBOT", "message": "At six."}
ASKED = {"role": "USER", "message": "High water?"}


@pytest.mark.parametrize(
    ("row", "name"),
    [
        ({"messages": [ASKED, CHATBOT]}, "cohere"),
        ({"chat_history": [], "message": "High water?", "response": "At six."}, "cohere-history"),
        ({"chat_history": [ASKED], "response": {"text": "At six."}}, "cohere-history"),
        ({"chat_history": [ASKED, CHATBOT], "conversation_id": "1"}, "cohere-history"),
    ],
)
def test_chats_of_cohere_are_read_in_both_forms(row: Any, name: str) -> None:
    assert said(row, name) == TALK


def test_a_cohere_request_has_a_preamble_calls_results_and_tools() -> None:
    call = {"name": "tide", "parameters": {"day": "Monday"}}
    day = {"description": "Its name", "type": "str", "required": True}
    row = {
        "preamble": "Be brief.",
        "chat_history": [
            ASKED,
            {"role": "CHATBOT", "message": "", "tool_calls": [call], "weight": 0},
        ],
        "message": "",
        "tool_results": [{"call": call, "outputs": [{"at": "06:10"}]}],
        "text": "At six.",
        "tools": [{"name": "tide", "parameter_definitions": {"day": day, "n": {"type": "int"}}}],
    }
    assert reading(row, "cohere-history") == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "High water?"},
        {
            "role": "assistant",
            "content": "",
            "tool_calls": '[{"name":"tide","arguments":{"day":"Monday"}}]',
            "weight": 0.0,
        },
        {"role": "tool", "content": '[{"at":"06:10"}]', "name": "tide"},
        {"role": "assistant", "content": "At six."},
    ]
    (tool,) = json.loads(read_rows([row]).records["tools"][0])
    assert tool["function"]["parameters"] == {
        "type": "object",
        "properties": {
            "day": {"description": "Its name", "type": "string"},
            "n": {"type": "integer"},
        },
        "required": ["day"],
    }


def test_a_plan_for_tools_is_reasoning_and_documents_are_results() -> None:
    document = {"type": "document", "document": {"data": "06:10"}}
    row = {
        "messages": [
            {"role": "user", "content": "High water?"},
            {"role": "assistant", "tool_plan": "I ask.", "tool_calls": [OPENAI]},
            {"role": "tool", "tool_call_id": "t1", "content": [document]},
            {"role": "assistant", "content": "At six."},
        ]
    }
    assert reading(row, "cohere") == [
        CALLED[0],
        {**CALLED[1], "reasoning": "I ask."},
        *CALLED[2:],
    ]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"chat_history": [], "message": "Hi"}, "no_answer: none of the fields response"),
        ({"chat_history": [], "message": "Hi", "text": None}, "no_answer: text has no text"),
        ({"chat_history": [ASKED, 3], "message": "Hi", "text": "x"}, "message 2 is the number 3"),
        ({"chat_history": [{**ASKED, "message": [1]}], "text": "x"}, "message 1 message is a list"),
        ({"messages": [ASKED, {**CHATBOT, "tool_calls": 3}]}, "tool_calls is the number 3"),
        ({"chat_history": [], "message": "", "text": "x", "tools": 3}, "tools is the number 3"),
        (
            {"chat_history": [ASKED], "tool_results": [3], "text": "x"},
            "tool result is the number 3",
        ),
    ],
)
def test_odd_chats_of_cohere_are_rejects(row: Any, reason: str) -> None:
    assert reason in refused(row)


def test_a_failed_tool_of_langchain_is_noted() -> None:
    row = {"messages": [HUMAN, {"type": "ai", "content": "", "tool_calls": [CALL]}, TOOL, AI]}
    row["messages"][2] = {**TOOL, "status": "error"}
    assert "marked as an error" in FORMATS["langchain"].convert(row)[0].notes[0]
