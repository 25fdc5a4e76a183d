"""Rows are found in whatever JSON they stand: spread over lines, glued, wrapped, or turned."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from curate.sources import Dump, read
from curate.sources.files.inputs import Input
from curate.sources.files.items import AnyItem, Block, Item, Note
from curate.sources.files.raw import items
from curate.sources.formats import is_row

PIER = {"instruction": "What is a pier?", "output": "A platform on posts."}
QUAY = {"instruction": "What is a quay?", "output": "A wall where ships lie."}
BUOY = {"instruction": "What is a buoy?", "output": "A mark, {afloat}."}
TALK = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
MORE = [{"from": "human", "value": "Rain?"}, {"from": "gpt", "value": "No."}]
ONE, TWO, THREE = map(json.dumps, (PIER, QUAY, BUOY))
BROKEN = '{"instruction": "What is a'


def given(folder: Path, text: str, name: str = "dump.json") -> Dump:
    (folder / name).write_text(text, "utf-8")
    return read([str(folder / name)])


def answers(dump: Dump) -> list[str]:
    return [messages[-1]["content"] for messages in dump.records["messages"].to_list()]


def lines(dump: Dump) -> list[int]:
    return list(dump.records["line"])


def items_of(text: str) -> list[AnyItem]:
    data = text.encode()
    return list(items(Input("dump.json", lambda: data), data, is_row))


def rows(found: list[AnyItem]) -> list[Any]:
    values: list[Any] = []
    for item in found:
        values += item.values if isinstance(item, Block) else ()
        values += [item.value] if isinstance(item, Item) and item.reject is None else []
    return values


def notes(found: list[AnyItem]) -> list[str]:
    return [item.text for item in found if isinstance(item, Note)]


def rejects(found: list[AnyItem]) -> list[tuple[int, str]]:
    return [(item.line, item.reject) for item in found if isinstance(item, Item) and item.reject]


PRETTY = "\n".join(json.dumps(row, indent=2) for row in (PIER, QUAY, BUOY))

# How the three rows may stand in a file, and the lines on which they then begin.
WAYS: dict[str, tuple[str, list[int]]] = {
    "a line each": (f"{ONE}\n{TWO}\n{THREE}\n", [1, 2, 3]),
    "over several lines": (PRETTY, [1, 5, 9]),
    "over lines with blank ones between": (PRETTY.replace("}\n{", "}\n\n\n{"), [1, 7, 13]),
    "over lines with commas between": (PRETTY.replace("}\n{", "},\n{"), [1, 5, 9]),
    "over lines with commas before": (PRETTY.replace("}\n{", "}\n, {"), [1, 5, 9]),
    "over lines and glued": (PRETTY.replace("}\n{", "}{"), [1, 4, 7]),
    "over lines without indentation": (
        "\n".join(json.dumps(row, indent=0) for row in (PIER, QUAY, BUOY)),
        [1, 5, 9],
    ),
    "over lines in brackets, none between": ("[\n" + PRETTY + "\n]", [2, 6, 10]),
    "glued on one line": (ONE + TWO + THREE, [1, 2, 3]),
    "glued on one line with commas": (f"{ONE}, {TWO},{THREE}", [1, 2, 3]),
    "two on a line, one on the next": (f"{ONE}{TWO}\n{THREE}", [1, 1, 2]),
    "a comma at the end of each line": (f"{ONE},\n{TWO},\n{THREE},\n", [1, 2, 3]),
    "commas at the ends and brackets around": (f"[\n{ONE},\n{TWO},\n{THREE}\n]\n", [2, 3, 4]),
    "a bracket before the first and after the last": (f"[{ONE},\n{TWO},\n{THREE}]\n", [1, 2, 3]),
    "two arrays on one line": (f"[{ONE}][{TWO}, {THREE}]", [1, 2, 3]),
    "two arrays on two lines": (f"[{ONE}]\n[{TWO}, {THREE}]\n", [1, 2, 2]),
    "two arrays over several lines": (f"[\n{ONE},\n{TWO}\n]\n[\n{THREE}\n]\n", [2, 3, 6]),
    "an array in an array": (f"[[{ONE}, {TWO}], [{THREE}]]", [1, 2, 3]),
    "lines, then one over several": (f"{ONE}\n{TWO}\n{json.dumps(BUOY, indent=2)}", [1, 2, 3]),
    "one over several, then lines": (f"{json.dumps(PIER, indent=2)}\n{TWO}\n{THREE}", [1, 5, 6]),
    "record separators before each": (f"\x1e{ONE}\n\x1e{TWO}\n\x1e{THREE}\n", [1, 2, 3]),
    "byte order marks of joined files": (f"\ufeff{ONE}\n\ufeff{TWO}\n\ufeff{THREE}", [1, 2, 3]),
    "blank lines before": (f"\n \n{ONE}\n\n{TWO}\n{THREE}", [3, 5, 6]),
}  # fmt: skip


@pytest.mark.parametrize("name", ["dump.json", "dump.jsonl", "dump.ndjson", "dump"])
@pytest.mark.parametrize("way", WAYS)
def test_rows_are_read_however_they_stand_and_whatever_the_file_is_called(
    tmp_path: Path, way: str, name: str
) -> None:
    text, begins = WAYS[way]
    dump = given(tmp_path, text, name)
    assert answers(dump) == [PIER["output"], QUAY["output"], BUOY["output"]]
    assert lines(dump) == begins
    assert not dump.rejects.height


def test_many_rows_over_several_lines_are_read_behind_the_first_block(tmp_path: Path) -> None:
    many = [{**PIER, "instruction": f"Question {number}? " + "x" * 2000} for number in range(3000)]
    text = "\n".join(map(json.dumps, many)) + "\n" + PRETTY
    dump = given(tmp_path, text, "dump.jsonl")
    assert lines(dump) == [*range(1, 3001), 3001, 3005, 3009]
    pretty = given(tmp_path, "\n".join(json.dumps(row, indent=1) for row in many))
    assert lines(pretty) == list(range(1, 4 * 3000, 4))


@pytest.mark.parametrize(
    ("text", "read", "reject"),
    [
        (f"{BROKEN}\n{ONE}\n{TWO}\n", [2, 3], (1, BROKEN)),
        (f'{{"instruction": "q",\n{ONE}\n{TWO}\n', [2, 3], (1, '{"instruction": "q",')),
        (f'{ONE}\n{{"instruction":\n{TWO}\n{THREE}', [1, 3, 4], (2, '{"instruction":')),
        (f'{ONE}\n{{"instruction": "q"\n{TWO}', [1, 3], (2, '{"instruction": "q"')),
        (f"{ONE}\n{TWO}\n{{\n", [1, 2], (3, "{")),
        (f"{ONE}{TWO}{BROKEN}\n{THREE}", [1, 1, 2], (1, BROKEN)),
        (f"{ONE} // as asked\n{TWO}", [2], (1, f"{ONE} // as asked")),
        (f"{ONE}\nbetween\nthe rows\n{TWO}", [1, 4], (2, "between")),
    ],
)
def test_a_broken_value_among_lines_takes_no_other_with_it(
    tmp_path: Path, text: str, read: list[int], reject: tuple[int, str]
) -> None:
    dump = given(tmp_path, text, "dump.jsonl")
    assert lines(dump) == read
    assert dump.rejects.select("line", "raw").row(0) == reject
    assert all(reason.startswith("invalid_json: ") for reason in dump.rejects["reason"])


def test_a_broken_object_over_several_lines_is_one_reject(tmp_path: Path) -> None:
    for first in (False, True):
        broken = '{\n  "instruction": oops,\n  "output": "b"\n}'
        parts = [broken, PRETTY] if first else [PRETTY, broken, json.dumps(PIER, indent=2)]
        dump = given(tmp_path, "\n".join(parts))
        assert lines(dump) == ([5, 9, 13] if first else [1, 5, 9, 17])
        assert dump.rejects["raw"].to_list() == [broken]


def test_numbers_of_python_are_read_in_every_way_a_row_may_stand(tmp_path: Path) -> None:
    row = '{"prompt": "q", "completion": "a", "score": NaN, "more": [Infinity, -Infinity]}'
    for text in (f"{row}\n{row}", f"[{row}, {row}]", f"{row}{row}", row.replace(", ", ",\n") * 2):
        assert given(tmp_path, text).records["score"].to_list() == [None, None]


@pytest.mark.parametrize("talk", [TALK, MORE])
def test_an_array_of_messages_is_one_conversation(tmp_path: Path, talk: list[Any]) -> None:
    line = json.dumps(talk)
    expected = list(talk[-1].values())[-1]
    for text, begins in (
        (line, [1]),
        (f"{line}\n{line}\n", [1, 2]),
        (json.dumps(talk, indent=2), [1]),
        (f"{json.dumps(talk, indent=2)}\n{line}", [1, 11]),
        (f"[{line}, {line}]", [1, 2]),
        (f"[\n{line},\n{line}\n]", [2, 3]),
        (f"{line}{line}", [1, 2]),
    ):
        dump = given(tmp_path, text)
        assert answers(dump) == [expected] * len(begins)
        assert lines(dump) == begins


def test_an_array_of_messages_of_which_one_is_broken_is_a_reject(tmp_path: Path) -> None:
    broken = json.dumps(TALK, indent=1).replace('"assistant"', "assistant")
    dump = given(tmp_path, f"{broken}\n{json.dumps(TALK, indent=1)}")
    assert (answers(dump), dump.rejects["raw"].to_list()) == (["Hello"], [broken])


def test_turns_with_parts_stay_turns_with_parts() -> None:
    turns = [{"role": "user", "parts": [{"text": "Hi"}]}, {"role": "model", "parts": []}]
    assert rows(items_of(json.dumps(turns))) == [{"contents": turns}]


@pytest.mark.parametrize(
    "line", ['["What?", "That."]', "[1, 2]", '[["a", "b"]]', '[[["a"]]]', "[]", '["only one"]']
)
def test_a_list_of_values_without_names_is_a_reject_that_says_so(line: str) -> None:
    found = items_of(f"{ONE}\n{line}\n")
    assert rows(found) == [PIER]
    ((number, reason),) = rejects(found)
    assert number == 2
    assert reason.startswith("not_an_object: the row is a")
    assert reason.endswith('; expected an object, such as {"prompt": ..., "completion": ...}')


def test_a_first_list_of_known_names_names_the_values_of_the_others() -> None:
    table = [["question", "answer"], ["Who?", "Me."], ["When?"], ["Where?", "Here."]]
    for text in (json.dumps(table), json.dumps(table, indent=1)):
        found = items_of(text)
        assert rows(found) == [
            {"question": "Who?", "answer": "Me."},
            {"question": "Where?", "answer": "Here."},
        ]
        ((_, reason),) = rejects(found)
        assert reason == "not_an_object: the row is 1 values; the first list names 2"
        assert notes(found) == ["the first list of the array is read as the names of the fields"]


ASKED = {"prompt": "Who?", "completion": "Me."}
AGAIN = {"prompt": "When?", "completion": "Now."}
VALUES = [list(ASKED.values()), list(AGAIN.values())]
SHOWN = [
    {"row_idx": at, "row": row, "truncated_cells": []} for at, row in enumerate((ASKED, AGAIN))
]

TURNED: dict[str, Any] = {
    "columns": {name: {"0": ASKED[name], "1": AGAIN[name]} for name in ASKED},
    "columns as lists": {name: [ASKED[name], AGAIN[name]] for name in ASKED},
    "split": {"columns": list(ASKED), "index": [0, 1], "data": VALUES},
    "split with a header": {"header": list(ASKED), "rows": VALUES},
    "records": [ASKED, AGAIN],
    "index": {"0": ASKED, "1": AGAIN},
    "table": {"schema": {"fields": []}, "data": [ASKED, AGAIN]},
    "viewer": {
        "features": [{"feature_idx": 0, "name": "prompt"}],
        "rows": SHOWN,
        "num_rows_total": 2,
        "num_rows_per_page": 100,
        "partial": False,
    },
}  # fmt: skip


@pytest.mark.parametrize("orient", TURNED)
@pytest.mark.parametrize("indent", [None, 2])
def test_tables_written_as_json_are_rows_whichever_way_they_are_turned(
    orient: str, indent: int | None
) -> None:
    found = items_of(json.dumps(TURNED[orient], indent=indent))
    assert rows(found) == [ASKED, AGAIN]
    assert not notes(found) and not rejects(found)


def test_pages_of_the_dataset_viewer_may_stand_one_a_line() -> None:
    page = json.dumps(TURNED["viewer"])
    found = items_of(f"{page}\n{page}\n")
    assert rows(found) == [ASKED, AGAIN] * 2
    rows_alone = "\n".join(map(json.dumps, TURNED["viewer"]["rows"]))
    assert rows(items_of(rows_alone)) == [ASKED, AGAIN]


def test_a_cell_that_the_dataset_viewer_cut_off_makes_its_row_a_reject() -> None:
    page = {"rows": [
        {"row_idx": 0, "row": ASKED, "truncated_cells": ["completion"]},
        {"row_idx": 1, "row": AGAIN, "truncated_cells": []},
    ]}  # fmt: skip
    found = items_of(json.dumps(page))
    assert rows(found) == [AGAIN]
    ((number, reason),) = rejects(found)
    assert (number, reason) == (
        1,
        "damaged: the dataset viewer cut off the cells completion; download the dataset",
    )


def test_a_row_of_a_table_that_lacks_a_value_is_a_reject() -> None:
    table = {"columns": ["prompt", "completion"], "data": [["Who?"], ["When?", "Now."], "What?"]}
    found = items_of(json.dumps(table))
    assert rows(found) == [AGAIN]
    assert rejects(found) == [
        (1, "not_an_object: the row is 1 values; columns names 2"),
        (3, "not_an_object: the row is the text 'What?'; columns names 2"),
    ]


def test_what_stands_beside_the_rows_of_a_wrapper_is_said() -> None:
    found = items_of(json.dumps({"version": 2, "description": "Of boats.", "data": [ASKED]}))
    assert rows(found) == [ASKED]
    assert notes(found) == ["beside its rows the file has version, description, which no row takes"]
    found = items_of(json.dumps({"train": [ASKED], "test": [AGAIN, ASKED]}))
    assert rows(found) == [ASKED, AGAIN, ASKED]
    assert notes(found) == [
        "the rows of several lists are read one after another: train (1), test (2)"
    ]
    found = items_of(json.dumps({"result": {"items": {"list": [ASKED]}, "about": "Boats."}}))
    assert rows(found) == [ASKED]
    assert notes(found) == ["beside its rows the file has result.about, which no row takes"]


def test_rows_by_name_keep_their_names() -> None:
    found = items_of(json.dumps({"who-1": ASKED, "when-2": {**AGAIN, "key": "k"}, "version": 1}))
    assert rows(found) == [{**ASKED, "key": "who-1"}, {**AGAIN, "key": "k"}]
    assert notes(found) == ["beside its rows the file has version, which no row takes"]


def test_questions_of_squad_have_their_paragraph() -> None:
    asked = {"id": "1", "question": "Where?", "answers": [{"text": "On deck", "answer_start": 3}]}
    none = {"id": "2", "question": "Who?", "answers": [], "is_impossible": True}
    paragraph = {"context": "It is On deck.", "qas": [asked, none]}
    found = items_of(
        json.dumps({"version": "2.0", "data": [{"title": "Boats", "paragraphs": [paragraph]}]})
    )
    about = {"title": "Boats", "context": "It is On deck."}
    assert rows(found) == [
        {**about, **asked, "answers": {"text": ["On deck"], "answer_start": [3]}},
        {**about, **none, "answers": {"text": [], "answer_start": []}},
    ]


# Objects that are one row, whatever lists they hold.
WHOLE: list[Any] = [
    {"contents": [{"role": "user", "parts": [{"text": "Hi"}]}, {"role": "model", "parts": []}]},
    {"contents": [{"role": "user", "text": "Hi"}, {"role": "model", "text": "Hello"}]},
    {"speakers": [{"name": "A", "text": "Hi"}, {"name": "B", "text": "Hello"}]},
    {"request": {"messages": TALK}, "response": {"choices": [{"message": TALK[1]}]}},
    {"input": {"messages": TALK}, "output": {"messages": TALK}},
    {"prompt": [TALK[0]], "completion": [TALK[1]]},
    {"messages": TALK, "tools": [{"name": "a"}, {"name": "b"}]},
    {"conversations": ["Hi", "Hello"]},
    {"turns": [{"a": 1}], "topics": [{"b": 2}]},
    {"question_post": {"Body": "Hi"}, "answer_post": {"Body": "Hello"}},
    {"chosen": TALK, "rejected": TALK},
]


@pytest.mark.parametrize("row", WHOLE, ids=lambda row: "-".join(row))
@pytest.mark.parametrize("indent", [None, 2])
def test_an_object_alone_in_its_file_that_holds_no_rows_is_one_row(
    row: Any, indent: int | None
) -> None:
    found = items_of(json.dumps(row, indent=indent))
    assert rows(found) == [row]
    assert not notes(found) and not rejects(found)


def test_one_of_many_objects_is_taken_apart_only_if_its_list_holds_rows_under_a_usual_name() -> (
    None
):
    page, other = {"data": [ASKED, AGAIN], "page": 1}, {"data": [{"x": 1}], "page": 2}
    third = {"context": "About.", "qas": [{"question": "q", "answer": "a"}]}
    found = items_of("\n".join(map(json.dumps, (page, other, third))))
    assert rows(found) == [ASKED, AGAIN, other, third]
    assert notes(found) == ["beside its rows the file has page, which no row takes"]


HUGE = f'{{"instruction": "q", "output": "a", "n": {"9" * 5000}}}'
DEEP = f'{{"instruction": "q", "output": "a", "n": {"[" * 9000}{"]" * 9000}}}'


def test_a_number_of_any_length_is_read_as_it_is_written() -> None:
    (row, _) = rows(items_of(f"{HUGE}\n{ONE}\n"))
    assert repr(row["n"]) == "9" * 5000


@pytest.mark.parametrize(("row", "message"), [(DEEP, "nested too deeply")])
def test_a_value_that_no_parser_reads_is_one_reject_however_it_stands(
    row: str, message: str
) -> None:
    (reject,) = rejects(items_of(f"{row}\n{ONE}\n"))
    assert reject[0] == 1 and reject[1].startswith("invalid_json: ")
    for text in (f"[{row}, {ONE}]", f"[\n{row},\n{ONE}\n]", row.replace(", ", ",\n") + f"\n{ONE}"):
        found = items_of(text)
        assert rows(found) == [PIER]
        assert [reason for _, reason in rejects(found) if message not in reason] == []
    wrapped = '{"data": [\n' + f"  {row},\n  {ONE}]}}"
    assert [message in reason for _, reason in rejects(items_of(wrapped))] == [True]
