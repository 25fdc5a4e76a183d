"""Rows that people really have, and what must be read of them: no word lost, no control ignored."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curate.sources import Dump, ReadOptions, read, read_rows

PIER, PLATFORM = "What is a pier?", "A platform on posts that reaches out over the water."
USER, ASSISTANT = {"role": "user", "content": PIER}, {"role": "assistant", "content": PLATFORM}
ASKED = [("user", PIER), ("assistant", PLATFORM)]


def spoken(dump: Dump, row: int = 0) -> list[tuple[str, str]]:
    """Role and content of each message of a record, or its calls."""
    assert not dump.rejects.height, dump.rejects["reason"].to_list()
    return [
        (message["role"], message["tool_calls"] or message["content"])
        for message in dump.records["messages"][row]
    ]


def weights(dump: Dump) -> list[float | None]:
    """The weights of the messages of the only record."""
    assert not dump.rejects.height, dump.rejects["reason"].to_list()
    return [message["weight"] for message in dump.records["messages"][0]]


def reason(row: Any, options: ReadOptions | None = None) -> str:
    """Why a row is a reject."""
    dump = read_rows([row], options or ReadOptions())
    assert not dump.records.height, dump.records["messages"].to_list()
    found: str = dump.rejects["reason"][0]
    return found


PROMPTED = {
    # What is asked stands in several fields: the material first, then the question.
    "context": ({"question": "Q?", "context": "C.", "answer": "A."}, "C.\n\nQ?", "A."),
    "passage": ({"passage": "P.", "question": "Q?", "answer": "A."}, "P.\n\nQ?", "A."),
    "two materials": (
        {"schema": "CREATE TABLE t (a INT)", "document": "D.", "query": "Q?", "response": "A."},
        "CREATE TABLE t (a INT)\n\nD.\n\nQ?",
        "A.",
    ),
    "table of values": (
        {"table": {"header": ["a"], "rows": [[1.50]]}, "question": "Q?", "answer": "A."},
        '{"header":["a"],"rows":[[1.5]]}\n\nQ?',
        "A.",
    ),
    "paragraphs": (
        {"context": ["C.", "D."], "question": "Q?", "answer": "A."},
        "C.\n\nD.\n\nQ?",
        "A.",
    ),
    "source text": (
        {"source": "The pier was built of oak in the spring.", "question": "Q?", "answer": "A."},
        "The pier was built of oak in the spring.\n\nQ?",
        "A.",
    ),
    "source label": ({"source": "flan cot", "question": "Q?", "answer": "A."}, "Q?", "A."),
    "dolly": ({"instruction": "Q?", "context": "C.", "response": "A."}, "Q?\n\nC.", "A."),
    "alpaca": (
        {"instruction": "Q?", "input": "I.", "table": "T.", "output": "A."},
        "Q?\n\nI.\n\nT.",
        "A.",
    ),
    "input and output": ({"input": "Q?", "output": "A."}, "Q?", "A."),
    "speakers": ({"user": "Q?", "assistant": "A."}, "Q?", "A."),
    "capitals": ({"Question": "Q?", "Context": "C.", "Answer": "A."}, "C.\n\nQ?", "A."),
    "spaces": ({" Prompt ": "Q?", "Response": "A."}, "Q?", "A."),
    # The answer is the first that says something.
    "blank answer": ({"question": "Q?", "answer": "", "response": "A."}, "Q?", "A."),
    "null answer": ({"question": "Q?", "output": None, "response": "A."}, "Q?", "A."),
    "spaces for an answer": ({"instruction": "Q?", "output": " \n", "response": "A."}, "Q?", "A."),
    # Choices have letters, and so has the answer.
    "choices": (
        {"question": "Q?", "choices": ["a stone", "a cork"], "answer": "B"},
        "Q?\n\nA. a stone\nB. a cork",
        "B",
    ),
    "answer by number": (
        {"question": "Q?", "choices": ["cod", "swan"], "answer": 1},
        "Q?\n\nA. cod\nB. swan",
        "B",
    ),
    "numbered in text": (
        {"question": "Q?", "choices": ["cod", "swan"], "answer": "0"},
        "Q?\n\nA. cod\nB. swan",
        "A",
    ),
    "a choice that is a number": (
        {"question": "Q?", "choices": ["3", "0"], "answer": "0"},
        "Q?\n\nA. 3\nB. 0",
        "0",
    ),
    "lettered": (
        {
            "question": "Q?",
            "options": {"A": "Swift", "B": "Kiwi"},
            "answer": "Kiwi",
            "answer_idx": "B",
        },
        "Q?\n\nA. Swift\nB. Kiwi",
        "Kiwi",
    ),
    "ARC": (
        {"question": "Q?", "choices": {"text": ["x", "y"], "label": ["1", "2"]}, "answerKey": "2"},
        "Q?\n\n1. x\n2. y",
        "2",
    ),
    "objects": (
        {
            "question": "Q?",
            "choices": [{"label": "A", "text": "x"}, {"label": "B", "text": "y"}],
            "answerKey": "A",
        },
        "Q?\n\nA. x\nB. y",
        "A",
    ),
    "JSON of choices": (
        {"question": "Q?", "choices": '["x", "y"]', "answer": "A"},
        "Q?\n\nA. x\nB. y",
        "A",
    ),
    "own letters": (
        {"question": "Q?", "options": ["A. x", "B. y"], "answer": "A"},
        "Q?\n\nA. x\nB. y",
        "A",
    ),
    "a column a choice": (
        {"question": "Q?", "A": "w", "B": "x", "C": "y", "D": "z", "answer": "C"},
        "Q?\n\nA. w\nB. x\nC. y\nD. z",
        "C",
    ),
    # Beside a bare answer the worked solution is trained, and ends in the answer.
    "solution": (
        {"question": "Q?", "solution": "It is 60 + 3 = 63.", "answer": "63"},
        "Q?",
        "It is 60 + 3 = 63.",
    ),
    "number beside a solution": (
        {"question": "Q?", "answer": 63, "solution": "It is 63."},
        "Q?",
        "It is 63.",
    ),
    "explanation without it": (
        {"question": "Q?", "answer": "Kiwi", "explanation": "Its wings are too small."},
        "Q?",
        "Its wings are too small.\n\nKiwi",
    ),
    "part of a number": (
        {"question": "Q?", "answer": "6", "rationale": "There are 60 jars here."},
        "Q?",
        "There are 60 jars here.\n\n6",
    ),
    "long answer": (
        {
            "question": "Q?",
            "answer": " ".join(["word"] * 20),
            "explanation": " ".join(["more"] * 30),
        },
        "Q?",
        " ".join(["word"] * 20),
    ),
}


@pytest.mark.parametrize("name", PROMPTED)
def test_a_question_has_all_that_belongs_to_it(name: str) -> None:
    row, question, answer = PROMPTED[name]
    assert spoken(read_rows([row])) == [("user", question), ("assistant", answer)]
    # As many at once, and with the rows around them plain.
    assert spoken(read_rows([row] * 40), 39) == [("user", question), ("assistant", answer)]


def test_what_was_assumed_of_an_answer_is_said() -> None:
    rows = [PROMPTED[name][0] for name in ("solution", "answer by number", "table of values")]
    notes = read_rows(rows).files[0].notes
    assert [note.split("`")[1] if "`" in note else note[:26] for note in notes] == [
        "solution",
        "answers that are numbers c",
        "table",
    ]


HISTORIES = [
    [["Hi", "Hello"]],
    [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}],
    [{"question": "Hi", "answer": "Hello"}],
    [{"human": "Hi", "assistant": "Hello"}],
    [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"}],
    ["Hi", "Hello"],
    '[["Hi", "Hello"]]',
    "Human: Hi\n\nAssistant: Hello",
]


@pytest.mark.parametrize("history", HISTORIES, ids=str)
@pytest.mark.parametrize("question", ["query", "instruction", "prompt"])
def test_a_history_is_the_turns_before_the_question(history: Any, question: str) -> None:
    row = {"system": "Be brief.", question: PIER, "response": PLATFORM, "history": history}
    opening = [("system", "Be brief."), ("user", "Hi"), ("assistant", "Hello")]
    assert spoken(read_rows([row])) == opening + ASKED


@pytest.mark.parametrize("history", [[["Hi"]], [5], 5, [{"a": "b"}], "We spoke before."], ids=str)
def test_a_history_of_no_known_form_is_a_reject(history: Any) -> None:
    row = {"query": PIER, "response": PLATFORM, "history": history}
    assert reason(row).startswith("wrong_type: history")


@pytest.mark.parametrize("name", ["system", "system_prompt", "system_message", "System Prompt"])
@pytest.mark.parametrize(
    "row",
    [
        {"question": PIER, "response": PLATFORM},
        {"instruction": PIER, "output": PLATFORM},
        {"messages": [USER, ASSISTANT]},
        {"conversations": [{"from": "human", "value": PIER}, {"from": "gpt", "value": PLATFORM}]},
        {"conversations": [PIER, PLATFORM]},
        {"prompt": PIER, "chosen": PLATFORM, "rejected": "No."},
        {"conversation": [{"human": PIER, "assistant": PLATFORM}]},
    ],
    ids=lambda row: "+".join(row),
)
def test_the_systems_words_come_first_in_any_format(name: str, row: dict[str, Any]) -> None:
    dump = read_rows([{**row, name: "You are patient."}])
    assert spoken(dump) == [("system", "You are patient."), *ASKED]
    assert dump.records["meta"][0] == "{}" and not dump.files[0].leftovers


def test_two_system_prompts_are_both_kept() -> None:
    messages = [{"role": "system", "content": "Be brief."}, USER, ASSISTANT]
    dump = read_rows([{"messages": messages, "system_prompt": "You are very patient."}])
    both = [("system", "You are very patient."), ("system", "Be brief.")]
    assert spoken(dump) == both + ASKED and not dump.files[0].leftovers


SPEAKERS = ("role", "from", "sender", "author", "speaker")
TEXTS = ("content", "value", "text", "body", "message")


@pytest.mark.parametrize("speaker", SPEAKERS)
@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("name", ["messages", "conversations", "dialog", "turns"])
def test_turns_are_read_under_any_pair_of_names(speaker: str, text: str, name: str) -> None:
    turns = [{speaker: "human", text: PIER}, {speaker: "gpt", text: PLATFORM}]
    assert spoken(read_rows([{name: turns}])) == ASKED
    assert spoken(read_rows([{name: json.dumps(turns)}])) == ASKED
    assert spoken(read_rows([{name: [json.dumps(turn) for turn in turns]}])) == ASKED
    assert spoken(read_rows([{name: str(turns)}])) == ASKED


@pytest.mark.parametrize(
    "turns",
    [
        [
            {"author": {"role": "user"}, "content": PIER},
            {"author": {"role": "model"}, "text": PLATFORM},
        ],
        [
            {"message": {"role": "user", "content": PIER}},
            {"message": {"role": "bot", "content": PLATFORM}},
        ],
        [
            {"role": "user", "content": [{"type": "text", "text": PIER}]},
            {"role": "ai", "content": PLATFORM},
        ],
        [{"role": "customer", "content": PIER}, {"role": "Agent", "content": {"text": PLATFORM}}],
        [{"role": "user", "content": "", "text": PIER}, {"role": "Chatbot", "message": PLATFORM}],
    ],
    ids=str,
)
def test_nested_and_mixed_turns_are_read(turns: list[Any]) -> None:
    assert spoken(read_rows([{"messages": turns}])) == ASKED


@pytest.mark.parametrize(
    "turn",
    [
        {"role": "assistant", "words": PLATFORM},
        {"from": "gpt", "msg": PLATFORM, "id": 3},
        {"role": "assistant", "content": None, "answer_text": PLATFORM},
        {"role": "assistant"},
    ],
    ids=str,
)
def test_a_turn_whose_words_have_no_known_name_is_a_reject_that_names_its_fields(turn: Any) -> None:
    key = next(iter(turn))
    said = reason({"messages": [{key: "user", "content": PIER}, turn]})
    assert said.startswith("no_text: message 2") and ", ".join(turn) in said


CALL, TIDE = (
    '[{"name":"tide","arguments":{"day":"Monday"}}]',
    {"name": "tide", "arguments": {"day": "Monday"}},
)


@pytest.mark.parametrize("role", ["function_call", "tool_call", "function-call"])
@pytest.mark.parametrize("said", [TIDE, json.dumps(TIDE), [TIDE], json.dumps([TIDE])], ids=str)
@pytest.mark.parametrize(("speaker", "text"), [("role", "content"), ("from", "value")])
def test_who_speaks_as_a_call_makes_one(role: str, said: Any, speaker: str, text: str) -> None:
    turns = [
        {speaker: "user", text: "High water?"},
        {speaker: role, text: said},
        {speaker: "observation", text: {"time": "06:10"}},
        {speaker: "assistant", text: "At ten past six."},
    ]
    dump = read_rows([{"conversations": turns, "tools": json.dumps([{"name": "tide"}])}])
    assert spoken(dump) == [
        ("user", "High water?"),
        ("assistant", CALL),
        ("tool", '{"time":"06:10"}'),
        ("assistant", "At ten past six."),
    ]
    assert dump.records["tools"][0] == '[{"type":"function","function":{"name":"tide"}}]'


def test_a_number_that_no_float_holds_stops_no_later_look_at_the_row(tmp_path: Path) -> None:
    call = {"type": "function", "function": {"name": "f", "arguments": '{"n": 1e400}'}}
    turns = [{"role": "user", "content": "Go."}, {"role": "assistant", "tool_calls": [call]}]
    path = tmp_path / "calls.jsonl"
    path.write_text(json.dumps({"messages": turns, "remark": "Nobody knows what this is for."}))
    dump = read([str(path)])
    assert dump.rejects.height == 0 and "1e400" in dump.records["messages"][0][1]["tool_calls"]


@pytest.mark.parametrize(
    "arguments",
    [
        '{"account": 40817810099910004312, "amount": 100.50}',
        '{"n": 123456789012345678901234567890, "x": 0.1000000000000000055511151231257827}',
        '{"small": 1e-400, "large": 1E5, "due": null, "nested": {"keep": null, "n": [1.0]}}',
        '{"beyond": 1e400}',
    ],
)
@pytest.mark.parametrize("as_text", [True, False])
def test_numbers_and_nulls_of_calls_are_never_changed(
    tmp_path: Path, arguments: str, as_text: bool
) -> None:
    given = json.dumps(arguments) if as_text else arguments
    call = f'{{"id": "1", "type": "function", "function": {{"name": "f", "arguments": {given}}}}}'
    path = tmp_path / "calls.jsonl"
    turns = (
        '{"role": "user", "content": "Go."}, {"role": "assistant", "content": null, "tool_calls": '
    )
    path.write_text(f'{{"messages": [{turns}[{call}]}}]}}\n' * 3)
    (_, (_, calls)) = spoken(read([str(path)]))
    assert calls == f'[{{"id":"1","name":"f","arguments":{arguments.replace(" ", "")}}}]'


def test_long_numbers_beside_the_messages_stay_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    numbers = '"n": 40817810099910004312, "x": 3.14159265358979323846'
    path.write_text(f'{{"prompt": "Q?", "completion": "A.", {numbers}}}\n' * 40)
    (meta,) = set(read([str(path)]).records["meta"])
    assert meta == f"{{{numbers.replace(': ', ':').replace(', ', ',')}}}"


TOOL = {
    "name": "f",
    "parameters": {
        "type": "object",
        "properties": {"due": {"type": ["string", "null"], "default": None}},
    },
}


def test_nulls_that_a_table_invented_go_and_those_that_a_schema_has_stay() -> None:
    call = {"name": "f", "arguments": {"due": None, "of_another_tool": None}}
    turns = [USER, {"role": "assistant", "content": "", "tool_calls": [call]}]
    tool = {**TOOL, "strict": None, "parameters": {**TOOL["parameters"], "required": None}}
    dump = read_rows([{"messages": turns, "tools": [tool]}])
    assert spoken(dump)[1] == ("assistant", '[{"name":"f","arguments":{"due":null}}]')
    assert json.loads(dump.records["tools"][0])[0]["function"] == TOOL
    assert "null arguments of calls that the tool does not have are left out" in dump.files[0].notes


@pytest.mark.parametrize(
    ("control", "weight"),
    [
        ({"weight": 0}, 0.0),
        ({"loss_mask": 0}, 0.0),
        ({"loss_weight": 0.5}, 0.5),
        ({"train": "false"}, 0.0),
        ({"train_on_turn": False}, 0.0),
        ({"loss": True}, 1.0),
        ({"masked": True}, 0.0),
        ({"train_detail": [{"begin_offset": 0, "end_offset": 99, "train": False}]}, 0.0),
        ({"train_detail": [{"begin_offset": 0, "end_offset": 99, "train": True}]}, 1.0),
    ],
    ids=str,
)
@pytest.mark.parametrize(
    "turn",
    [
        {"role": "assistant", "content": PLATFORM},
        {"from": "gpt", "value": PLATFORM},
        {"speaker": "bot", "text": PLATFORM},
        {"from": "function_call", "value": json.dumps(TIDE)},
        {"role": "assistant", "content": None, "tool_calls": [TIDE]},
        {
            "role": "assistant",
            "content": [
                {"type": "text", "text": PLATFORM},
                {"type": "tool_use", "id": "1", "name": "f", "input": {}},
            ],
        },
        {"role": "assistant", "channel": "final", "content": PLATFORM},
        {"type": "ai", "content": PLATFORM},
        {"role": "assistant", "parts": [{"text": PLATFORM}]},
        {"role": "CHATBOT", "message": PLATFORM},
    ],
    ids=lambda turn: "+".join(turn),
)
def test_a_turn_of_any_format_obeys_its_loss_control(
    turn: dict[str, Any], control: dict[str, Any], weight: float
) -> None:
    opening = {
        "parts": {"role": "user", "parts": [{"text": PIER}]},
        "type": {"type": "human", "content": PIER},
    }
    first = next(
        (opening[key] for key in opening if key in turn), {"role": "user", "content": PIER}
    )
    if "from" in turn:
        first = {"from": "human", "value": PIER}
    if "speaker" in turn:
        first = {"speaker": "customer", "text": PIER}
    name = "contents" if "parts" in turn else "messages"
    dump = read_rows([{name: [first, {**turn, **control}]}])
    assert weights(dump)[-1] == weight


@pytest.mark.parametrize(
    ("control", "expected"),
    [
        ({"weight": 0}, [None, 0.0, None, 0.0]),
        ({"train": False}, [None, 0.0, None, 0.0]),
        ({"loss_weight": 0.5}, [None, 0.5, None, 0.5]),
        ({"loss_mask": [0, 0, 0, 1]}, [0.0, 0.0, 0.0, 1.0]),
        ({"loss_mask": [0, 1]}, [None, 0.0, None, 1.0]),
        ({"masked": True}, [None, 0.0, None, 0.0]),
        # Two that say the same are one.
        ({"weight": 0.5, "loss_weight": 0.5}, [None, 0.5, None, 0.5]),
        ({"train": False, "masked": True}, [None, 0.0, None, 0.0]),
        # A measure is no control.
        ({"loss": 2.31}, [None, None, None, None]),
        ({"weight": "12 kg"}, [None, None, None, None]),
    ],
    ids=str,
)
def test_a_loss_control_of_the_row_holds_for_its_answers(
    control: dict[str, Any], expected: list[float | None]
) -> None:
    row = {"messages": [USER, ASSISTANT] * 2, **control}
    assert weights(read_rows([row])) == expected
    many = read_rows([row] * 40).records["messages"]
    assert [[turn["weight"] for turn in turns] for turns in many] == [expected] * 40


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (
            {"messages": [USER, ASSISTANT], "loss_mask": [0, 1, 1]},
            "loss_mask of the row has 3 entries for 2",
        ),
        (
            {
                "messages": [
                    USER,
                    {
                        **ASSISTANT,
                        "train_detail": [{"begin_offset": 0, "end_offset": 3, "train": True}],
                    },
                ]
            },
            "trains a part of the message",
        ),
        (
            {
                "messages": [
                    USER,
                    {**ASSISTANT, "train_detail": [{"train": True}, {"train": False}]},
                ]
            },
            "trains a part",
        ),
        ({"instruction": "Q?", "output": "A.", "train_detail": {}}, "train_detail of the row"),
    ],
    ids=str,
)
def test_a_loss_control_that_cannot_be_followed_is_a_reject(row: Any, said: str) -> None:
    assert reason(row).startswith("partial_loss: ") and said in reason(row)


TEXT, MORE = {"type": "text", "text": "Hello"}, {"type": "text", "text": "there"}
USE = {"type": "tool_use", "id": "1", "name": "f", "input": {}}
OFF = {"weight": 0}


@pytest.mark.parametrize(
    "turn",
    [
        {"content": [TEXT | OFF]},
        {"content": [TEXT | OFF, MORE | {"train": False}]},
        {"content": [TEXT | OFF, USE | {"loss_mask": 0}]},
        {"content": [{"type": "thinking", "thinking": "Hm."} | OFF, TEXT | OFF]},
        {"content": [TEXT | OFF], "weight": 0},
        {"content": "", "tool_calls": [TIDE | OFF]},
    ],
    ids=str,
)
def test_a_loss_control_on_every_part_of_a_message_is_one_of_the_message(turn: Any) -> None:
    assert weights(read_rows([{"messages": [USER, {"role": "assistant", **turn}]}]))[-1] == 0


@pytest.mark.parametrize(
    "turn",
    [
        {"content": [TEXT | OFF, MORE]},
        {"content": [TEXT | OFF, MORE | {"weight": 1}]},
        {"content": [TEXT, USE | OFF]},
        {"content": [TEXT | OFF], "weight": 1},
        {"content": "Wait.", "tool_calls": [TIDE | OFF]},
        {"content": "", "tool_calls": [TIDE | OFF, TIDE]},
    ],
    ids=str,
)
def test_a_loss_control_on_some_parts_of_a_message_is_a_reject(turn: Any) -> None:
    row = {"messages": [USER, {"role": "assistant", **turn}]}
    assert reason(row).startswith("partial_loss: message 2 has a loss control on a part of it")


def test_two_loss_controls_of_a_row_that_disagree_are_a_reject() -> None:
    row = {"messages": [USER, ASSISTANT], "weight": 0, "train": True}
    assert "the row has loss controls that disagree: weight=0, train=1" in reason(row)


def test_a_switch_of_messages_that_is_not_understood_is_said() -> None:
    rows = [
        {"messages": [{**USER, "keep": True, "n": 1}, {**ASSISTANT, "keep": False, "n": 7}]}
    ] * 3
    notes = read_rows(rows).files[0].notes
    ((note, count),) = notes.items()
    assert note.startswith("`messages.keep` is yes or no and is not understood") and count == 3


def test_jsons_that_arrow_declares_are_taken_apart(tmp_path: Path) -> None:
    """As `datasets` writes columns of mixed types since its version 4.7."""
    turns = [
        {"role": "user", "content": "High water?"},
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [{"name": "tide", "arguments": {"day": "Monday"}}],
        },
        {"role": "tool", "content": "06:10"},
        {"role": "assistant", "content": "At ten past six."},
    ]
    expected = [
        ("user", "High water?"),
        ("assistant", CALL),
        ("tool", "06:10"),
        ("assistant", "At ten past six."),
    ]
    texts = pa.array([json.dumps(turn) for turn in turns], pa.json_())
    listed = pa.ListArray.from_arrays(pa.array([0, 4], pa.int32()), texts)
    values = ["High water?", TIDE, "06:10", "At ten past six."]
    inside = pa.StructArray.from_arrays(
        [
            pa.array(["human", "function_call", "observation", "gpt"]),
            pa.array([json.dumps(value) for value in values], pa.json_()),
        ],
        ["from", "value"],
    )
    for name, column in (
        ("messages", listed),
        ("conversations", listed),
        ("conversations", pa.ListArray.from_arrays(pa.array([0, 4], pa.int32()), inside)),
        ("messages", pa.array([json.dumps(turns)], pa.json_())),
    ):
        path = tmp_path / "rows.parquet"
        pq.write_table(pa.table({name: column}), path)
        assert spoken(read([str(path)])) == expected


@pytest.mark.parametrize(
    ("row", "columns", "expected"),
    [
        (
            {"q": "Q?", "a": "A."},
            {"prompt": "q", "response": "a"},
            [("user", "Q?"), ("assistant", "A.")],
        ),
        (
            {"q": "Q?", "a": 63},
            {"prompt": "q", "response": "a"},
            [("user", "Q?"), ("assistant", "63")],
        ),
        (
            {"q": "Q?", "a": True},
            {"prompt": "q", "response": "a"},
            [("user", "Q?"), ("assistant", "true")],
        ),
        (
            {"q": "Q?", "a": ["A."]},
            {"prompt": "q", "response": "a"},
            [("user", "Q?"), ("assistant", "A.")],
        ),
        (
            {"article": "T.", "summary": "S."},
            {"prompt": "article", "response": "summary"},
            [("user", "T."), ("assistant", "S.")],
        ),
        (
            {"text": "T.", "label": "sports"},
            {"prompt": "text", "response": "label"},
            [("user", "T."), ("assistant", "sports")],
        ),
        (
            {"q": "Q?", "a": "A.", "response": "no", "prompt": "no"},
            {"prompt": "q", "response": "a"},
            [("user", "Q?"), ("assistant", "A.")],
        ),
        (
            {"question": "Q?", "solution": "S.", "output": "O."},
            {"response": "solution"},
            [("user", "Q?"), ("assistant", "S.")],
        ),
        (
            {"q": "Q?", "a": "A.", "ctx": "C."},
            {"prompt": "q", "response": "a", "context": "ctx"},
            [("user", "C.\n\nQ?"), ("assistant", "A.")],
        ),
        (
            {"q": "Q?", "a": "A."},
            {"prompt": "q", "response": "a", "system": "sys"},
            [("user", "Q?"), ("assistant", "A.")],
        ),
        ({"talk": [USER, ASSISTANT]}, {"messages": "talk"}, ASKED),
        # A row with none of the columns is read as it is.
        ({"messages": [USER, ASSISTANT]}, {"prompt": "q", "response": "a"}, ASKED),
    ],
    ids=str,
)
def test_mapped_columns_win_and_numbers_that_are_mapped_are_text(
    row: dict[str, Any], columns: dict[str, str], expected: list[tuple[str, str]]
) -> None:
    assert (
        spoken(
            read_rows([row, {"q": "", "a": "", "sys": "", **row}], ReadOptions(columns=columns))
        )[:2]
        == expected
    )


@pytest.mark.parametrize(
    "row",
    [
        {"article": "T.", "summary": "S."},
        {"dialogue": "A: hi. B: hello.", "summary": "S."},
        {"inputs": "Q?", "targets": "A."},
        {"text": "A dull film.", "label": 0},
        {"text": "T.", "summary": "S."},
        {"q": "Q?", "a": "A."},
        {"question": "Is it so?", "answer": True},
        {"query": "Q?", "answers": ["A.", "B."]},
    ],
    ids=str,
)
def test_rows_that_need_a_mapping_are_rejects(row: dict[str, Any]) -> None:
    assert reason(row).split(":")[0] in ("unknown_shape", "wrong_type", "no_answer")
