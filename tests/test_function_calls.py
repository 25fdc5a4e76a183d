"""Function calls in texts and columns: xLAM, Glaive, Hermes, ToolACE."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from curate.sources import Dump, read_rows
from curate.sources.formats import FORMATS

TIDE = {
    "name": "tide",
    "description": "Tide of a day",
    "parameters": {"type": "object", "properties": {"day": {"type": "string"}}},
}
TOOL = {"type": "function", "function": TIDE}


def turns(dump: Dump, row: int = 0) -> list[dict[str, Any]]:
    assert dump.records.height > row, dump.rejects["reason"].to_list()
    return dump.records["messages"][row].to_list()


def calls(turn: dict[str, Any]) -> Any:
    return json.loads(turn["tool_calls"])


def tools(dump: Dump) -> Any:
    return json.loads(dump.records["tools"][0])


def notes(row: dict[str, Any]) -> str:
    known = next(each for each in FORMATS.values() if each.matches(row))
    return " ".join(known.convert(row)[0].notes)


BARE = {
    "name": "live_giveaways",
    "description": "Live giveaways",
    "parameters": {
        "type": {"description": "The type", "type": "str", "default": "game"},
        "limit": {"description": "How many", "type": "int, optional", "default": 10},
    },
}
XLAM = {
    "id": 0,
    "query": "Where can I find live giveaways for beta access and games?",
    "answers": json.dumps(
        [
            {"name": "live_giveaways", "arguments": {"type": "beta"}},
            {"name": "live_giveaways", "arguments": {"type": "game", "limit": 5}},
        ]
    ),
    "tools": json.dumps([BARE]),
}


def test_xlams_answers_are_the_calls_of_one_message() -> None:
    dump = read_rows([XLAM])
    user, assistant = turns(dump)
    assert user["content"] == XLAM["query"]
    assert (assistant["role"], assistant["content"]) == ("assistant", "")
    assert calls(assistant) == json.loads(XLAM["answers"])
    assert json.loads(dump.records["meta"][0]) == {"id": 0}


def test_bare_parameters_are_put_into_a_schema_and_none_is_required() -> None:
    (tool,) = tools(read_rows([XLAM]))
    parameters = tool["function"]["parameters"]
    assert parameters == {"type": "object", "properties": BARE["parameters"]}
    assert "parameters bare" in notes(XLAM)


@pytest.mark.parametrize(
    "parameters",
    [
        {"type": "object", "properties": {"day": {"type": "string"}}},
        {"properties": {"type": {"type": "string"}}},
        {"type": "object"},
    ],
)
def test_parameters_that_are_a_schema_stay_as_they_are(parameters: dict[str, Any]) -> None:
    row = {**XLAM, "tools": [{"name": "f", "parameters": parameters}]}
    assert tools(read_rows([row]))[0]["function"]["parameters"] == parameters
    assert notes(row) == ""


@pytest.mark.parametrize("parameters", [{}, {"properties": {"type": "str", "description": "x"}}])
def test_parameters_without_a_type_of_their_own_are_bare(parameters: dict[str, Any]) -> None:
    row = {**XLAM, "tools": [{"name": "f", "parameters": parameters}]}
    found = tools(read_rows([row]))[0]["function"]["parameters"]
    assert found == {"type": "object", "properties": parameters}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"answers": "[]"}, "no_answer: answers is empty"),
        ({"answers": "[{]"}, "wrong_type: answers is not valid JSON"),
        ({"answers": '[{"arguments": {}}]'}, "wrong_type: answers has no function name"),
        ({"tools": "[1]"}, "wrong_type: tools holds something else than objects"),
        ({"tools": "nothing"}, "wrong_type: tools is not valid JSON"),
        ({"query": 3}, "wrong_type: query is the number 3"),
    ],
)
def test_an_odd_row_of_xlam_is_a_reject(change: dict[str, Any], reason: str) -> None:
    assert read_rows([XLAM | change]).rejects["reason"][0].startswith(reason)


INTRO = "You are a helpful assistant with access to the following functions. Use them if required -"
LISTED = json.dumps(TIDE, indent=4)
CHAT = (
    "USER: When is high water on Monday?\n\n\n"
    'ASSISTANT: <functioncall> {"name": "tide", "arguments": \'{"day": "Monday"}\'} <|endoftext|>'
    '\n\n\nFUNCTION RESPONSE: {"time": "06:10"}\n\n\n'
    "ASSISTANT: High water is at ten past six. <|endoftext|>\n\n\n"
    "USER: Thanks!\n\n\nASSISTANT: You are welcome. <|endoftext|>"
)
GLAIVE = {"system": f"SYSTEM: {INTRO}\n{LISTED}\n", "chat": CHAT}
SPOKEN = [
    ("user", "When is high water on Monday?"),
    ("assistant", ""),
    ("tool", '{"time": "06:10"}'),
    ("assistant", "High water is at ten past six."),
    ("user", "Thanks!"),
    ("assistant", "You are welcome."),
]


@pytest.mark.parametrize(
    "row",
    [
        GLAIVE,
        {"sample": f"SYSTEM: {INTRO}\n{LISTED}\n{CHAT}"},
        {"system": f"SYSTEM: {INTRO} [{LISTED}]", "chat": CHAT},
    ],
)
def test_glaives_calls_responses_and_functions_are_read(row: dict[str, Any]) -> None:
    dump = read_rows([row])
    assert [(turn["role"], turn["content"]) for turn in turns(dump)] == SPOKEN
    assert calls(turns(dump)[1]) == [{"name": "tide", "arguments": {"day": "Monday"}}]
    assert tools(dump) == [TOOL]
    assert dump.records["meta"][0] == "{}"
    assert "became tools" in notes(row)


def test_a_system_prompt_without_functions_stays_and_more_than_one_is_read() -> None:
    told = "You are a helpful assistant, with no access to external functions."
    plain = {"system": f"SYSTEM: {told}", "chat": "USER: Hi\n\n\nASSISTANT: Hello <|endoftext|>"}
    assert turns(read_rows([plain]))[0]["content"] == told
    two = {"system": f"SYSTEM: {INTRO}\n{LISTED}\n\n{LISTED}\nBe brief.", "chat": CHAT}
    dump = read_rows([two])
    assert tools(dump) == [TOOL, TOOL]
    assert turns(dump)[0]["content"] == "Be brief."


@pytest.mark.parametrize(
    ("call", "arguments"),
    [
        ('{"name": "f", "arguments": \'{"a": 1}\'}', {"a": 1}),
        ('{"name": "f", "arguments": \'{"a": "it\\\'s"}\'}', {"a": "it's"}),
        ('{"name": "f", "arguments": \'{"a": "it\'s"}\'}', {"a": "it's"}),
        ('{"name": "f", "arguments": \'{"a": "\\\\"hi\\\\""}\'}', {"a": '"hi"'}),
        ('{"name": "f", "arguments": {"a": 1}}', {"a": 1}),
        ('{"name": "f", "arguments": "{\\"a\\": 1}"}', {"a": 1}),
        ('{"name": "f", "arguments": \'{"a": "x\ny"}\'}', {"a": "x\ny"}),
        ('{"name": "f", "arguments": \'\'}', {}),
        ('{"name": "f"}', {}),
        ('{"name": "f", "arguments": \'{"a": 0.1, "b": 9007199254740993}\'}', None),
    ],
)
def test_arguments_are_read_in_every_quoting(call: str, arguments: Any) -> None:
    row = {"chat": f"USER: Hi\n\n\nASSISTANT: Wait. <functioncall> {call} <|endoftext|>"}
    turn = turns(read_rows([row]))[1]
    assert turn["content"] == "Wait."
    wanted = {"a": 0.1, "b": 9007199254740993} if arguments is None else arguments
    assert calls(turn) == [{"name": "f", "arguments": wanted}]


def test_two_calls_in_one_turn_are_two_calls() -> None:
    both = '<functioncall> {"name": "a"} <functioncall> {"name": "b"} <|endoftext|>'
    turn = turns(read_rows([{"chat": f"USER: Hi\nASSISTANT: {both}"}]))[1]
    assert [call["name"] for call in calls(turn)] == ["a", "b"]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (
            {"chat": "USER: Hi\nASSISTANT: <functioncall> get(1) <|endoftext|>"},
            "wrong_type: message 2 has a call that is not valid JSON: 'get(1)'",
        ),
        (
            {"chat": 'USER: Hi\nASSISTANT: <functioncall> {"arguments": {}}'},
            "wrong_type: message 2 has no function name",
        ),
        ({"chat": "USER: Hi\nASSISTANT: <functioncall> "}, "wrong_type: message 2 has a call"),
        ({"chat": "USER: Hi", "system": 3}, "wrong_type: system is the number 3"),
        ({"chat": "USER: Hi"}, "no_answer: "),
        ({**GLAIVE, "system": f"SYSTEM: {INTRO}\n{LISTED[:-9]}"}, "wrong_type: system lists a fun"),
        ({"sample": "SYSTEM: " + "[" * 50_000}, "no_answer: "),
        (
            {"sample": f"SYSTEM: {INTRO}\n" + "[" * 50_000},
            "wrong_type: system lists a function that is not valid JSON",
        ),
    ],
)
def test_what_glaive_cannot_mean_is_a_reject_that_names_it(
    row: dict[str, Any], reason: str
) -> None:
    assert read_rows([row]).rejects["reason"][0].startswith(reason)


HERMES_SYSTEM = (
    "You are a function calling AI model. You are provided with function signatures within <tools>"
    " </tools> XML tags. You may call one or more functions to assist with the user query. Don't"
    " make assumptions about what values to plug into functions.\n<tools>\n"
    f"{json.dumps([TOOL])}\n</tools>\nFor each function call return a json object with function"
    " name and arguments within <tool_call> </tool_call> tags with the following schema:\n"
    "<tool_call>\n{'arguments': <args-dict>, 'name': <function-name>}\n</tool_call>\n"
)
QWEN_SYSTEM = (
    "Be brief.\n\n# Tools\n\nYou may call one or more functions to assist with the user query."
    "\n\nYou are provided with function signatures within <tools></tools> XML tags:\n<tools>\n"
    f"{json.dumps(TOOL)}\n{json.dumps(TOOL)}\n</tools>\n\nFor each function call, return a json"
    " object with function name and arguments within <tool_call></tool_call> XML tags:\n<tool_call>"
    '\n{"name": <function-name>, "arguments": <args-json-object>}\n</tool_call>'
)
CALL = '<tool_call>\n{"arguments": {"day": "Monday"}, "name": "tide"}\n</tool_call>'


def hermes(system: str, call: str = CALL, speaker: str = "tool") -> dict[str, Any]:
    response = '<tool_response>\n{"time": "06:10"}\n</tool_response>'
    said = [("system", system), ("human", "When is high water?"), ("gpt", call)]
    said += [(speaker, response), ("gpt", "At ten past six.")]
    return {"conversations": [{"from": who, "value": text} for who, text in said], "task": "x"}


def test_hermes_calls_and_responses_are_read_and_its_prompt_goes() -> None:
    dump = read_rows([hermes(HERMES_SYSTEM)])
    found = turns(dump)
    assert [(turn["role"], turn["content"]) for turn in found] == [
        ("user", "When is high water?"),
        ("assistant", ""),
        ("tool", '{"time": "06:10"}'),
        ("assistant", "At ten past six."),
    ]
    assert calls(found[1]) == [{"name": "tide", "arguments": {"day": "Monday"}}]
    assert tools(dump) == [TOOL]
    assert "`<tools>` in a system prompt" in notes(hermes(HERMES_SYSTEM))


def test_the_rest_of_a_system_prompt_stays_and_responses_of_the_user_are_the_tools() -> None:
    dump = read_rows([hermes(QWEN_SYSTEM, speaker="human")])
    found = turns(dump)
    assert (found[0]["role"], found[0]["content"]) == ("system", "Be brief.")
    assert [turn["role"] for turn in found] == ["system", "user", "assistant", "tool", "assistant"]
    assert tools(dump) == [TOOL, TOOL]


@pytest.mark.parametrize(
    ("call", "content", "names"),
    [
        ("<tool_call>{'name': 'tide', 'arguments': {'n': None, 'b': True}}</tool_call>", "", 1),
        (f"One moment.\n{CALL}\n{CALL}", "One moment.", 2),
        (f"<scratch_pad>Ask.</scratch_pad>\n{CALL}", "<scratch_pad>Ask.</scratch_pad>", 1),
    ],
)
def test_hermes_calls_are_read_in_their_spellings(call: str, content: str, names: int) -> None:
    turn = turns(read_rows([hermes(HERMES_SYSTEM, call)]))[1]
    assert turn["content"] == content
    assert [call["name"] for call in calls(turn)] == ["tide"] * names


def test_an_argument_of_a_python_call_keeps_its_numbers() -> None:
    call = "<tool_call>{'name': 'f', 'arguments': {'a': 1.5, 'b': -3}}</tool_call>"
    turn = turns(read_rows([hermes(HERMES_SYSTEM, call)]))[1]
    assert turn["tool_calls"] == '[{"name":"f","arguments":{"a":1.5,"b":-3}}]'


@pytest.mark.parametrize(
    "call",
    [
        "<tool_call>tide(day='Monday')</tool_call>",
        "<tool_call>{'name': open('x')}</tool_call>",
        "<tool_call>{'name': 'f', 'arguments': {'a': 1e999}}</tool_call>",
        '<tool_call>{"name": "tide"}',
        "<tool_call>" + "[" * 20_000 + "</tool_call>",
    ],
)
def test_a_call_that_cannot_be_read_leaves_all_of_the_row_as_text(call: str) -> None:
    row = hermes(HERMES_SYSTEM, call)
    dump = read_rows([row])
    assert [turn["content"] for turn in turns(dump)] == [
        turn["value"] for turn in row["conversations"]
    ]
    assert "stay text" in notes(row)


@pytest.mark.parametrize(
    "call",
    [
        "<tool_call>" * 20_000,
        "</tool_call>" * 20_000 + "<tool_call>" * 20_000,
        "<tool_call>" + " " * 100_000 + "</tool_call>",
    ],
)
def test_tags_that_never_end_cost_no_time(call: str) -> None:
    started = time.monotonic()
    assert read_rows([hermes(HERMES_SYSTEM + "<tools>{}" * 10_000, call)]).records.height == 1
    assert read_rows([{"chat": f"USER: x\nASSISTANT: <functioncall> {call}"}]).rejects.height == 1
    assert time.monotonic() - started < 5


def test_a_text_that_shows_a_call_is_no_call_where_the_row_has_no_tools() -> None:
    row = {
        "conversations": [
            {"from": "human", "value": "How does Qwen call a tool?"},
            {"from": "gpt", "value": f"Like so: {CALL}"},
        ]
    }
    assert turns(read_rows([row]))[1]["content"] == f"Like so: {CALL}"


def test_calls_of_toolace_stay_text_and_it_is_said() -> None:
    row = {
        "system": "Put it in the format of [func_name1(params_name1=params_value1)]. [{...}]",
        "conversations": [
            {"from": "user", "value": "When is high water?"},
            {"from": "assistant", "value": '[tide(day="Monday")]'},
        ],
    }
    assert turns(read_rows([row]))[2]["content"] == '[tide(day="Monday")]'
    assert "stay text" in notes(row)
