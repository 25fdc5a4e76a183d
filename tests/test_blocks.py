"""Messages made of blocks (Anthropic) and of channels (Harmony)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from curate.sources import FORMATS, Dump, read_rows

QUESTION = {"role": "user", "content": "High water?"}
TEXT = {"type": "text", "text": "Let me look."}
CALL = {"type": "tool_use", "id": "t1", "name": "tide", "input": {"day": "Monday"}}
RESULT = {"type": "tool_result", "tool_use_id": "t1", "content": "06:10"}
ANSWER = {"role": "assistant", "content": [{"type": "text", "text": "At ten past six."}]}


def called(**more: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": [TEXT, CALL], **more}


def turns(dump: Dump) -> list[dict[str, Any]]:
    assert dump.rejects.height == 0, dump.rejects["reason"].to_list()
    return [
        {name: value for name, value in turn.items() if value is not None}
        for turn in dump.records["messages"][0].to_list()
    ]


def reading(*messages: Any, **more: Any) -> list[dict[str, Any]]:
    return turns(read_rows([{"messages": list(messages), **more}]))


def refused(*messages: Any, **more: Any) -> str:
    dump = read_rows([{"messages": list(messages), **more}, {"prompt": "a", "completion": "b"}])
    assert dump.rejects["line"].to_list() == [1]
    return str(dump.rejects["reason"][0])


def test_a_message_of_text_and_a_call_is_one_message_with_its_weight() -> None:
    results = {"role": "user", "content": [RESULT]}
    _, call, result, answer = reading(QUESTION, called(weight=0), results, {**ANSWER, "weight": 1})
    assert call == {
        "role": "assistant",
        "content": "Let me look.",
        "tool_calls": '[{"id":"t1","name":"tide","arguments":{"day":"Monday"}}]',
        "weight": 0.0,
    }
    assert result == {"role": "tool", "content": "06:10", "tool_call_id": "t1"}
    assert answer == {"role": "assistant", "content": "At ten past six.", "weight": 1.0}


@pytest.mark.parametrize("control", [{"train": False}, {"masked": True}, {"loss": 0}])
def test_every_message_that_blocks_become_has_the_weight_of_their_message(
    control: dict[str, Any],
) -> None:
    both = {"role": "user", "content": [RESULT, {"type": "text", "text": "So?"}], **control}
    read = reading(QUESTION, called(**control), both, ANSWER)
    assert [turn.get("weight") for turn in read] == [None, 0.0, 0.0, 0.0, None]


def test_a_thought_with_loss_controls_that_disagree_is_a_reject() -> None:
    assert "disagree" in refused(QUESTION, called(weight=0, train=True), ANSWER)


def test_an_input_schema_is_the_parameters_of_a_tool_in_rows_without_a_call() -> None:
    tool = {
        "name": "tide",
        "description": "Tide of a day",
        "input_schema": {"type": "object", "properties": {"day": {"type": "string"}}},
        "cache_control": {"type": "ephemeral"},
    }
    plain = {"role": "assistant", "content": "A platform on posts."}
    rows = [
        {"messages": [QUESTION, plain], "tools": [tool]},
        {"messages": [QUESTION, plain], "tools": json.dumps([tool])},
        {"messages": [QUESTION, called(), plain], "tools": [{**tool, "type": "custom"}]},
    ]
    dump = read_rows(rows)
    assert dump.files[0].formats == {"anthropic": 3}
    function = {
        "name": "tide",
        "description": "Tide of a day",
        "parameters": {"type": "object", "properties": {"day": {"type": "string"}}},
    }
    for tools in dump.records["tools"]:
        assert json.loads(tools) == [{"type": "function", "function": function}]


@pytest.mark.parametrize("as_text", [True, False])
def test_an_openai_tool_may_have_a_parameter_called_input_schema(as_text: bool) -> None:
    function = {"name": "check", "parameters": {"properties": {"input_schema": {}}}}
    tools = [{"type": "function", "function": function}]
    answer = {"role": "assistant", "content": "At six."}
    row = {"messages": [QUESTION, answer], "tools": json.dumps(tools) if as_text else tools}
    dump = read_rows([row])
    assert dump.files[0].formats == {"messages": 1}
    assert json.loads(dump.records["tools"][0]) == tools


def test_a_system_prompt_of_blocks_is_one_text() -> None:
    system = [
        {"type": "text", "text": "Be brief."},
        {"type": "text", "text": "Be kind.", "cache_control": {"type": "ephemeral"}},
    ]
    read = reading(QUESTION, {"role": "assistant", "content": "At six."}, system=system)
    assert read[0] == {"role": "system", "content": "Be brief.\n\nBe kind."}


def test_openai_fields_beside_blocks_are_read_too() -> None:
    thought = {"type": "thinking", "thinking": "A tool.", "signature": "x"}
    beside = {"id": "c", "type": "function", "function": {"name": "tide", "arguments": "{}"}}
    call = {"role": "assistant", "content": [thought], "tool_calls": [beside]}
    result = {"role": "tool", "tool_call_id": "c", "content": "06:10"}
    read = reading(QUESTION, call, result, {"role": "assistant", "content": "At six."})
    assert read[1]["reasoning"] == "A tool."
    assert read[1]["tool_calls"] == '[{"id":"c","name":"tide","arguments":{}}]'
    assert read[2]["tool_call_id"] == "c"


def test_results_inside_a_turn_of_the_assistant_part_it() -> None:
    loop = [TEXT, CALL, RESULT, {"type": "text", "text": "At six."}]
    read = reading(QUESTION, {"role": "assistant", "content": loop, "weight": 1})
    assert [(turn["role"], turn["content"]) for turn in read[1:]] == [
        ("assistant", "Let me look."),
        ("tool", "06:10"),
        ("assistant", "At six."),
    ]
    assert [turn.get("weight") for turn in read] == [None, 1.0, 1.0, 1.0]


def test_two_calls_in_one_message_keep_their_order_and_their_results() -> None:
    second = {**CALL, "id": "t2", "input": {}}
    results = [RESULT, {**RESULT, "tool_use_id": "t2", "content": [{"type": "text", "text": "7"}]}]
    calls = {"role": "assistant", "content": [CALL, second]}
    read = reading(QUESTION, calls, {"role": "user", "content": results}, ANSWER)
    assert [call["id"] for call in json.loads(read[1]["tool_calls"])] == ["t1", "t2"]
    assert [(turn["tool_call_id"], turn["content"]) for turn in read[2:4]] == [
        ("t1", "06:10"),
        ("t2", "7"),
    ]


def test_texts_that_citations_cut_apart_are_joined_without_a_gap() -> None:
    cited = {"type": "text", "text": "at six", "citations": [{"cited_text": "06:00"}]}
    blocks = [{"type": "text", "text": "High water is "}, cited, {"type": "text", "text": "."}]
    thought = {"type": "thinking", "thinking": [{"type": "text", "text": "See the table."}]}
    read = reading(QUESTION, {"role": "assistant", "content": [thought, *blocks]})
    assert read[1]["content"] == "High water is at six."
    assert read[1]["reasoning"] == "See the table."


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ({"role": "user", "content": [CALL]}, "message 1 calls a tool and is not the assistant's"),
        ({"role": "user", "content": [RESULT, {"type": "image"}]}, "part 2 of type 'image'"),
        (
            {"role": "user", "content": [{**RESULT, "content": [{"type": "image"}]}]},
            "message 1 result has a part 1 of type 'image'; only blocks of text are read",
        ),
        ({"role": "user", "content": [RESULT, 7]}, "part 2 of type the number 7"),
        ({"role": "assistant", "content": [{**CALL, "name": None}]}, "no function name"),
        (
            {"role": "assistant", "content": [CALL, {"type": "server_tool_use"}]},
            "part 2 of type 'server_tool_use'; text, thinking, tool_use and tool_result are read",
        ),
    ],
)
def test_a_block_that_cannot_be_read_rejects_the_row_by_its_name(
    message: dict[str, Any], reason: str
) -> None:
    assert reason in refused(message, ANSWER)


@pytest.mark.parametrize("kind", ["web_search_20250305", "code_execution_20250522"])
def test_a_tool_that_runs_on_the_server_rejects_the_row_by_its_name(kind: str) -> None:
    reason = refused(QUESTION, called(), ANSWER, tools=[{"type": kind, "name": "search"}])
    assert kind in reason


def test_harmony_weights_belong_to_the_messages_that_channels_become() -> None:
    analysis = {"role": "assistant", "channel": "analysis", "content": "Hm.", "weight": 0}
    final = {"role": "assistant", "channel": "final", "content": "At six.", "weight": 0}
    read = reading(QUESTION, analysis, final)
    assert read[1] == {
        "role": "assistant",
        "content": "At six.",
        "reasoning": "Hm.",
        "weight": 0.0,
    }
    assert "different weights" in refused(QUESTION, analysis, {**final, "weight": 1})


def test_an_analysis_that_leads_to_no_answer_is_a_reject() -> None:
    analysis = {"role": "assistant", "channel": "analysis", "content": "Hm."}
    final = {"role": "assistant", "channel": "final", "content": "At six."}
    assert "before message 3 leads to no answer" in refused(QUESTION, analysis, QUESTION, final)


def notes(*messages: Any) -> tuple[str, ...]:
    (read,) = FORMATS["anthropic"].convert({"messages": list(messages)})
    return read.notes


def test_what_is_assumed_of_blocks_is_said() -> None:
    assert notes(QUESTION, called(), {"role": "user", "content": [RESULT]}, ANSWER) == ()
    (moved,) = notes(QUESTION, {"role": "assistant", "content": [CALL, TEXT]})
    assert "another" in moved
    (hidden,) = notes(
        {"role": "assistant", "content": [{"type": "redacted_thinking", "data": "x"}, TEXT]}
    )
    assert "redacted" in hidden
    (failed,) = notes(called(), {"role": "user", "content": [{**RESULT, "is_error": True}]})
    assert "error" in failed
