"""Lists that a table holds as text: as JSON, as Python prints them, and as numpy does."""

from __future__ import annotations

import json
from typing import Any

import pandas as pd
import pytest

from curate.sources import Dump, read, read_rows

ASKED, ANSWERED = {"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}
CHAT = [ASKED, {"role": "assistant", "content": "No."}, ASKED, ANSWERED]
TOOL = {"name": "tide", "parameters": {"type": "object", "properties": {"day": {"type": "string"}}}}


def as_numpy(objects: list[Any]) -> str:
    """As `Dataset.to_csv` writes a list of objects."""
    return "[" + " ".join(map(str, objects)) + "]"


def said(dump: Dump) -> list[list[tuple[str, str]]]:
    return [[(each["role"], each["content"]) for each in row] for row in dump.records["messages"]]


def weights(dump: Dump) -> list[float | None]:
    return [each["weight"] for each in dump.records["messages"][0] if each["role"] == "assistant"]


@pytest.mark.parametrize("mask", ["[0, 1]", "[false, true]", "[False, True]", "[False  True]"])
@pytest.mark.parametrize("name", ["loss_mask", "weight", "train"])
def test_a_loss_control_that_is_a_list_as_text_is_obeyed(name: str, mask: str) -> None:
    dump = read_rows([{"messages": json.dumps(CHAT), name: mask}])
    assert weights(dump) == [0, 1]
    assert dump.files[0].leftovers == {}


@pytest.mark.parametrize(("mask", "slug"), [("[0, 1, 1]", "partial_loss"), ("[null]", "partial")])
def test_a_loss_control_as_text_that_fits_no_message_is_a_reject(mask: str, slug: str) -> None:
    dump = read_rows([{"messages": CHAT, "loss_mask": mask}])
    assert dump.records.is_empty() and dump.rejects["reason"][0].startswith(slug)


def test_zero_as_text_with_a_point_is_zero() -> None:
    assert weights(read_rows([{"messages": CHAT, "weight": "0.0"}])) == [0, 0]


@pytest.mark.parametrize("side", [CHAT, [ASKED, ANSWERED]])
def test_turns_that_numpy_printed_on_one_line_are_read_as_turns(side: list[Any]) -> None:
    other = [*side[:-1], {"role": "assistant", "content": "Bye"}]
    dump = read_rows([{"chosen": as_numpy(side), "rejected": as_numpy(other)}])
    assert said(dump) == [[(each["role"], each["content"]) for each in side]]
    assert dump.records["rejected"][0][-1]["content"] == "Bye"


def test_ends_of_objects_inside_of_printed_texts_stay_as_they_are() -> None:
    code = 'if (a) {b} {c} it\'s "d" } \n {'
    dump = read_rows([{"messages": as_numpy([{"role": "user", "content": code}, ANSWERED])}])
    assert said(dump) == [[("user", code), ("assistant", "Hello")]]


@pytest.mark.parametrize("name", ["chosen", "messages", "conversations"])
def test_what_begins_like_a_list_of_turns_and_cannot_be_read_is_a_reject(name: str) -> None:
    broken = "[{'role': 'user', 'content': array(['Hi'], dtype=object)}]"
    row = {name: broken, **({"rejected": "No."} if name == "chosen" else {})}
    dump = read_rows([row])
    assert dump.records.is_empty()
    assert dump.rejects["reason"][0].startswith(f"wrong_type: {name} begins like a list of turns")


def test_tools_as_text_of_python_are_read(tmp_path: Any) -> None:
    rows = pd.DataFrame([{"messages": [ASKED, ANSWERED], "tools": [TOOL]}])
    rows.to_csv(tmp_path / "dump.csv", index=False)
    dump = read([str(tmp_path / "dump.csv")])
    assert json.loads(dump.records["tools"][0])[0]["function"]["name"] == "tide"


PARTS = [
    {"role": "user", "parts": [{"text": "Hi"}]},
    {"role": "model", "parts": [{"text": "Hello"}]},
]
LISTS = [
    {"contents": PARTS},
    {"conversation_a": [ASKED, CHAT[1]], "conversation_b": [ASKED, ANSWERED], "winner": "model_b"},
    {
        "instruction": "Hi",
        "completions": [
            {"response": "Hello", "overall_score": 9.0},
            {"response": "No.", "overall_score": 1.0},
        ],
    },
]


@pytest.mark.parametrize("write", [json.dumps, str])
@pytest.mark.parametrize("row", LISTS)
def test_lists_as_text_are_read_as_the_lists(row: dict[str, Any], write: Any) -> None:
    texts = {name: write(each) if type(each) is list else each for name, each in row.items()}
    many = [texts for _ in range(40)]
    assert (
        said(read_rows([texts]))
        == said(read_rows([row]))
        == [[("user", "Hi"), ("assistant", "Hello")]]
    )
    assert read_rows(many).records.height == 40


def test_answers_and_their_ratings_as_json_text_are_read() -> None:
    row = {"instruction": "Hi", "generations": '["No.", "Hello"]', "ratings": "[1, 5]"}
    assert said(read_rows([row])) == [[("user", "Hi"), ("assistant", "Hello")]]


PRINTED = ["['a stone', 'a cork']", "{'text': ['a stone', 'a cork'], 'label': ['A', 'B']}"]


@pytest.mark.parametrize("printed", PRINTED)
def test_choices_as_text_of_python_are_in_the_prompt_and_not_left_over(printed: str) -> None:
    dump = read_rows([{"question": "Which floats?", "choices": printed, "answer": "B"}])
    assert said(dump)[0][0][1] == "Which floats?\n\nA. a stone\nB. a cork"
    assert "choices" not in dump.files[0].leftovers


def test_a_column_without_a_name_is_not_proposed_as_the_answer() -> None:
    dump = read_rows([{"": "0", "instruction": "Hi", "notes": '[{"a": "b"}]'}])
    assert "map it" not in dump.rejects["reason"][0]
