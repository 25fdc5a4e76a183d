"""Rows in the forms of providers' APIs: Gemini, Bedrock, OpenAI's Responses, and their logs."""

from __future__ import annotations

import json
from typing import Any

import polars as pl
import pytest

from curate.sources import FORMATS, read_rows
from tests.one_row import reading, refused, said

Turn = dict[str, Any]


def tools(row: Any) -> Any:
    return json.loads(read_rows([row]).records["tools"][0])


def meta(row: Any) -> Any:
    return json.loads(read_rows([row]).records["meta"][0])


def content(role: str, *parts: Any, **more: Any) -> Turn:
    return {"role": role, "parts": list(parts), **more}


ASKED = content("user", {"text": "High water?"})
ANSWERED = content("model", {"text": "At "}, {"text": "six."})
TALK = [("user", "High water?"), ("assistant", "At six.")]


@pytest.mark.parametrize("system", ["systemInstruction", "system_instruction"])
@pytest.mark.parametrize(
    "given", ["Be brief.", {"parts": [{"text": "Be brief."}]}, {"parts": {"text": "Be brief."}}]
)
def test_gemini_contents_are_read_with_their_system_instruction(system: str, given: Any) -> None:
    row = {system: given, "contents": [ASKED, ANSWERED]}
    assert said(row, "gemini") == [("system", "Be brief."), *TALK]


@pytest.mark.parametrize(
    ("call", "response", "declarations"),
    [
        ("functionCall", "functionResponse", "functionDeclarations"),
        ("function_call", "function_response", "function_declarations"),
    ],
)
def test_gemini_calls_in_both_spellings_become_calls_and_results(
    call: str, response: str, declarations: str
) -> None:
    schema = {"type": "OBJECT", "properties": {"day": {"type": "STRING"}}}
    row = {
        "contents": [
            ASKED,
            content(
                "model",
                {"text": "The table will tell.", "thought": True, "thoughtSignature": "x"},
                {"text": "Let me look."},
                {call: {"name": "tide", "args": {"day": "Monday"}}},
                train=False,
            ),
            content("function", {response: {"name": "tide", "response": {"at": "06:10"}}}),
            ANSWERED,
        ],
        "tools": [{declarations: [{"name": "tide", "parameters": schema}]}],
    }
    assert reading(row, "gemini")[1:3] == [
        {
            "role": "assistant",
            "content": "Let me look.",
            "reasoning": "The table will tell.",
            "tool_calls": '[{"name":"tide","arguments":{"day":"Monday"}}]',
            "weight": 0.0,
        },
        {"role": "tool", "content": '{"at":"06:10"}', "name": "tide"},
    ]
    parameters = {"type": "object", "properties": {"day": {"type": "string"}}}
    function = {"name": "tide", "parameters": parameters}
    assert tools(row) == [{"type": "function", "function": function}]


def test_the_best_scored_completion_of_gemini_is_the_answer() -> None:
    completions = [
        {"score": 0.0, "completion": content("model", {"text": "No."})},
        {"score": 1.0, "completion": ANSWERED},
    ]
    row = {"contents": [ASKED], "completions": completions}
    assert said(row, "gemini") == TALK
    rejected = read_rows([row]).records["rejected"][0].to_list()
    assert [turn["content"] for turn in rejected] == ["No."]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"contents": [content("user", {"inlineData": {"data": "x"}})]}, "of type 'inlineData'"),
        (
            {
                "contents": [
                    content("user", {"text": "Who?"}, {"file_data": {"file_uri": "gs://x"}})
                ]
            },
            "message 1 has a part 2 of type 'file_data'; only text and function calls are read",
        ),
        ({"contents": [content("model", {"executableCode": {}})]}, "'executableCode'"),
        ({"contents": [content("narrator", {"text": "x"})]}, "message 1 has role 'narrator'"),
        ({"contents": [ASKED, content("model", {"text": 3})]}, "message 2 part 1 is the number 3"),
        ({"contents": [ASKED]}, "no_answer"),
        ({"contents": [ASKED, "x", ANSWERED]}, "message 2 is the text 'x'"),
        ({"contents": [ASKED, ANSWERED], "tools": [{"googleSearch": {}}]}, "'googleSearch' runs"),
        ({"contents": [ASKED, ANSWERED], "tools": 3}, "a tool is the number 3"),
        ({"contents": [ASKED], "completions": [3]}, "a completion is the number 3"),
        ({"contents": [ASKED, ANSWERED], "system_instruction": 4}, "is the number 4"),
    ],
)
def test_what_gemini_rows_cannot_say_in_words_is_named(row: Any, reason: str) -> None:
    assert reason in refused(row)


def test_chunks_of_ai_studio_are_parts_of_gemini() -> None:
    row = {
        "runSettings": {"temperature": 1},
        "systemInstruction": {"text": "Be brief."},
        "chunkedPrompt": {
            "chunks": [
                {"role": "user", "text": "High water?", "tokenCount": 3},
                {"role": "model", "text": "The table.", "isThought": True},
                {"role": "model", "text": "At six.", "finishReason": "STOP"},
            ],
            "pendingInputs": [],
        },
    }
    assert reading(row, "ai-studio") == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "High water?"},
        {"role": "assistant", "content": "At six.", "reasoning": "The table."},
    ]


def test_palm_chats_have_authors_a_context_and_examples_that_are_not_trained() -> None:
    row = {
        "context": "Be brief.",
        "examples": [{"input": {"content": "Hi"}, "output": {"content": "Hello"}}],
        "messages": [
            {"author": "user", "content": "High water?"},
            {"author": "bot", "content": "At six."},
        ],
    }
    assert said(row, "palm") == [
        ("system", "Be brief."),
        ("user", "Hi"),
        ("assistant", "Hello"),
        *TALK,
    ]
    assert reading(row, "palm")[2]["weight"] == 0.0


@pytest.mark.parametrize(
    ("asks", "answers"), [("text_input", "output"), ("input_text", "output_text")]
)
def test_pairs_of_tuning_jobs_are_a_question_and_an_answer(asks: str, answers: str) -> None:
    assert said({asks: "High water?", answers: "At six."}, "tuning-pair") == TALK
    assert "no_answer" in refused({asks: "High water?", answers: None})


def test_bedrock_conversations_have_blocks_named_by_their_keys() -> None:
    thought = {"reasoningContent": {"reasoningText": {"text": "A tool.", "signature": "x"}}}
    use = {"toolUse": {"toolUseId": "t1", "name": "tide", "input": {"day": "Monday"}}}
    blocks = [{"text": "06:10"}, {"json": {"height": 3}}]
    schema = {"type": "object"}
    row = {
        "schemaVersion": "bedrock-conversation-2024",
        "system": [{"text": "Be brief."}, {"cachePoint": {"type": "default"}}],
        "messages": [
            {"role": "user", "content": [{"text": "High water?"}]},
            {"role": "assistant", "content": [thought, {"text": "Wait."}, use], "weight": 0},
            {
                "role": "user",
                "content": [{"toolResult": {"toolUseId": "t1", "content": blocks}}],
            },
            {"role": "assistant", "content": [{"text": "At six."}]},
        ],
        "toolConfig": {"tools": [{"toolSpec": {"name": "tide", "inputSchema": {"json": schema}}}]},
    }
    assert reading(row, "bedrock") == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "High water?"},
        {
            "role": "assistant",
            "content": "Wait.",
            "reasoning": "A tool.",
            "tool_calls": '[{"id":"t1","name":"tide","arguments":{"day":"Monday"}}]',
            "weight": 0.0,
        },
        {"role": "tool", "content": '06:10\n\n{"height":3}', "tool_call_id": "t1"},
        {"role": "assistant", "content": "At six."},
    ]
    assert tools(row) == [{"type": "function", "function": {"name": "tide", "parameters": schema}}]


@pytest.mark.parametrize(
    ("block", "reason"),
    [
        ({"image": {"format": "png"}}, "part 1 of type 'image'"),
        ({"toolResult": {"content": [{"document": {}}]}}, "toolResult has a part 1 of type 'docu"),
        ({"toolResult": 3}, "toolResult is the number 3"),
        ({"toolUse": {"name": "x"}}, "message 1 calls a tool and is not the assistant's"),
        ("x", "message 1 part 1 is the text 'x'"),
    ],
)
def test_odd_blocks_of_bedrock_are_rejects(block: Any, reason: str) -> None:
    answer = {"role": "assistant", "content": [{"text": "At six."}]}
    row = {"toolConfig": {}, "messages": [{"role": "user", "content": [block]}, answer]}
    assert reason in refused(row)


USER = {"role": "user", "content": "High water?"}
MESSAGE = {"role": "assistant", "content": "At six."}
ITEMS = [
    {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "High water?"}]},
    {"type": "reasoning", "summary": [{"type": "summary_text", "text": "A tool."}]},
    {"type": "function_call", "call_id": "c1", "name": "tide", "arguments": '{"day": "Monday"}'},
    {"type": "function_call_output", "call_id": "c1", "output": "06:10"},
    {
        "type": "message",
        "role": "assistant",
        "content": [{"type": "output_text", "text": "At six.", "annotations": []}],
    },
]


@pytest.mark.parametrize("cut", range(1, 6))
def test_responses_items_are_read_wherever_input_ends_and_output_begins(cut: int) -> None:
    function = {"type": "function", "name": "tide", "parameters": {}, "strict": True}
    row = {
        "instructions": "Be brief.",
        "input": ITEMS[:cut],
        "output": ITEMS[cut:],
        "tools": [function],
    }
    assert reading(row, "responses") == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "High water?"},
        {
            "role": "assistant",
            "content": "",
            "reasoning": "A tool.",
            "tool_calls": '[{"id":"c1","name":"tide","arguments":{"day":"Monday"}}]',
        },
        {"role": "tool", "content": "06:10", "tool_call_id": "c1"},
        {"role": "assistant", "content": "At six."},
    ]
    assert tools(row)[0]["function"]["name"] == "tide"


@pytest.mark.parametrize("output", ["At six.", [MESSAGE], MESSAGE])
def test_stored_messages_and_their_output_are_one_conversation(output: Any) -> None:
    assert said({"input": [USER], "output": output}, "responses") == TALK


def test_calls_of_stored_messages_are_kept() -> None:
    call = {"id": "c", "type": "function", "function": {"name": "tide", "arguments": "{}"}}
    called = {"role": "assistant", "content": None, "tool_calls": [call], "weight": 0}
    result = {"role": "tool", "content": "06:10", "tool_call_id": "c"}
    assert reading({"input": [USER, called, result], "output": "At six."}, "responses")[1:3] == [
        {
            "role": "assistant",
            "content": "",
            "tool_calls": '[{"id":"c","name":"tide","arguments":{}}]',
            "weight": 0.0,
        },
        result,
    ]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"input": "Hi", "output": [*ITEMS[4:], {"type": "web_search_call"}]}, "'web_search_call'"),
        ({"input": 3, "output": ITEMS[4:]}, "user is the number 3"),
        ({"id": "resp_1", "output": ITEMS[4:]}, "orphan: the output answers an input"),
        ({"input": "Hi", "output": ITEMS[4:], "tools": [{"type": "file_search"}]}, "'file_search'"),
        ({"input": ITEMS[:1], "output": []}, "no_answer"),
    ],
)
def test_odd_items_are_rejects(row: Any, reason: str) -> None:
    assert reason in refused(row)


CHOICE = {"index": 0, "message": MESSAGE, "finish_reason": "stop"}
CLAUDE = {"role": "assistant", "content": [{"type": "text", "text": "At six."}], "model": "m"}


@pytest.mark.parametrize(
    "row",
    [
        {"messages": [USER], "choices": [CHOICE], "object": "chat.completion"},
        {"messages": [USER, MESSAGE], "choices": [CHOICE]},
        {"input": [USER], "choices": [CHOICE]},
        {"request": {"messages": [USER]}, "response": {"body": {"choices": [CHOICE]}}},
        {
            "custom_id": "1",
            "body": {"messages": [USER]},
            "response": {"body": {"choices": [CHOICE]}},
        },
        {"params": {"messages": [USER]}, "result": {"type": "succeeded", "message": CLAUDE}},
        {"request": {"messages": [USER]}, "response": CLAUDE},
        {"request": {"messages": [USER]}, "response": {"message": MESSAGE, "done": True}},
        {"request": {"contents": [ASKED]}, "response": {"candidates": [{"content": ANSWERED}]}},
        {
            "request": {"body": "x", "contents": [ASKED]},
            "response": {"candidates": [{"content": ANSWERED}]},
        },
        {"request": {"input": "High water?"}, "response": {"output": ITEMS[4:]}},
        {"request": {"prompt": "High water?"}, "response": {"choices": [{"text": "At six."}]}},
        {
            "input": {"messages": [{"role": "user", "content": [{"text": "High water?"}]}]},
            "output": {"message": {"role": "assistant", "content": [{"text": "At six."}]}},
        },
        {
            "request_body": json.dumps({"messages": [USER]}),
            "response_body": json.dumps({"choices": [CHOICE]}),
        },
    ],
)
def test_a_request_and_its_response_are_one_conversation(row: Any) -> None:
    assert said(row, "api-log") == TALK


def test_a_logged_request_keeps_its_tools_and_what_else_it_asked_for() -> None:
    tool = {"name": "tide", "input_schema": {"type": "object"}}
    use = {"type": "tool_use", "id": "t1", "name": "tide", "input": {}}
    row = {
        "custom_id": "7",
        "params": {"model": "m", "system": "Be brief.", "messages": [USER], "tools": [tool]},
        "result": {"type": "succeeded", "message": {**CLAUDE, "content": [use]}},
    }
    assert [turn["role"] for turn in reading(row, "api-log")] == ["system", "user", "assistant"]
    assert tools(row)[0]["function"]["parameters"] == {"type": "object"}
    assert meta(row) == {"custom_id": "7", "model": "m"}


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"custom_id": "1", "body": {"messages": [USER]}, "method": "POST"}, "no_answer: body has"),
        (
            {"custom_id": "1", "response": {"body": {"choices": [CHOICE]}}},
            "orphan: response answer",
        ),
        ({"custom_id": "1", "result": {"type": "succeeded", "message": CLAUDE}}, "orphan: result"),
        (
            {"request": {"messages": [USER]}, "response": {"error": {"message": "too long"}}},
            "no_answer: the request failed: too long",
        ),
        (
            {"params": {"messages": [USER]}, "result": {"type": "expired"}},
            "no_answer: the request failed: expired",
        ),
        ({"request": {"messages": [USER]}, "response": {"choices": []}}, "no_answer: the response"),
        ({"request": {"messages": [USER]}, "response": 3}, "the response is the number 3"),
        ({"request": {"messages": 3}, "response": {"choices": [CHOICE]}}, "is the number 3"),
    ],
)
def test_half_a_log_is_a_reject_that_says_what_is_missing(row: Any, reason: str) -> None:
    assert reason in refused(row)


def test_a_log_says_that_an_answer_breaks_off_and_that_there_were_others() -> None:
    choice = {**CHOICE, "finish_reason": "length"}
    row = {"messages": [USER], "choices": [choice, CHOICE]}
    (read,) = FORMATS["api-log"].convert(row)
    assert read.notes == (
        "the answer breaks off (length)",
        "the first of several choices is taken",
    )


@pytest.mark.parametrize(
    "row",
    [
        {"contents": [ASKED, content("model", {"functionCall": {"name": "x", "args": {"a": 1}}})]},
        {
            "messages": [
                {"role": "user", "content": [{"text": "High water?"}]},
                {
                    "role": "assistant",
                    "content": [{"text": "I ask."}, {"toolUse": {"name": "x", "input": {"a": 1}}}],
                },
            ]
        },
        {
            "messages": [
                {"type": "human", "content": "High water?"},
                {"type": "ai", "content": "", "tool_calls": [{"name": "x", "args": {"a": 1}}]},
            ]
        },
        {
            "messages": [
                {"role": "User", "message": "High water?"},
                {"role": "Chatbot", "message": "At six.", "weight": 1},
            ]
        },
        {"messages": [USER], "choices": [CHOICE]},
    ],
)
def test_a_table_with_nulls_for_absent_fields_is_read_as_its_rows(row: Any) -> None:
    as_row, as_table = read_rows([row]), read_rows(pl.DataFrame([row]))
    assert as_row.records["messages"].to_list() == as_table.records["messages"].to_list()
    assert as_row.records.height == 1 and as_row.files[0].formats == as_table.files[0].formats


def test_rows_that_only_look_like_logs_keep_their_format() -> None:
    alpaca = {"instruction": "Hi", "input": "x", "output": "Hello", "params": {"prompt": "y"}}
    assert said(alpaca, "alpaca")[1] == ("assistant", "Hello")
    pair = {"prompt": "Hi", "response": "Hello", "request": {"prompt": "Hi"}}
    assert said(pair, "prompt-completion")[1] == ("assistant", "Hello")
