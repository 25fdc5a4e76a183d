"""Tables of text: what separates the columns, what the header says, what is a number."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from curate.sources import Dump, read
from curate.sources.files.inputs import Input
from curate.sources.files.items import AnyItem, Item, Note
from curate.sources.files.raw import items
from curate.sources.formats import is_row


def items_of(text: str, name: str = "dump.csv") -> list[AnyItem]:
    data = text.encode()
    return list(items(Input(name, lambda: data), data, is_row))


def rows(found: list[AnyItem]) -> list[Any]:
    return [item.value for item in found if isinstance(item, Item) and item.reject is None]


def rejects(found: list[AnyItem]) -> list[tuple[int, str]]:
    return [(item.line, item.reject) for item in found if isinstance(item, Item) and item.reject]


def notes(found: list[AnyItem]) -> list[str]:
    return [item.text for item in found if isinstance(item, Note)]


def column(name: str, *cells: str) -> list[Any]:
    lines = [f"question,answer,{name}", *(f"Q?,A.,{cell}" for cell in cells)]
    return [row[name] for row in rows(items_of("\n".join(lines)))]


@pytest.mark.parametrize(
    ("name", "cells", "values"),
    [
        ("score", ["1", "2.5", "-3"], [1, 2.5, -3]),
        ("score", ["4.50", "5.00"], [4.5, 5.0]),
        ("score", ["1", "", "NaN"], [1, None, None]),
        ("helpfulness", ["1", "0.25", "1e-05"], [1, 0.25, 1e-05]),
        ("helpfulness", ["1", "", "3"], [1, None, 3]),
        ("is_good", ["true", "False", "TRUE", ""], [True, False, True, None]),
        ("label", ["True", "False"], [True, False]),
        ("label", ["0", "1"], [0, 1]),
        ("answer_index", ["0", "3"], [0, 3]),
    ],
)
def test_a_column_of_numbers_or_of_true_and_false_is_read_as_such(
    name: str, cells: list[str], values: list[Any]
) -> None:
    found = column(name, *cells)
    assert found == values
    assert list(map(type, found)) == list(map(type, values))


@pytest.mark.parametrize(
    ("name", "cells"),
    [
        ("code", ["007", "12"]),
        ("price", ["1.50", "2"]),
        ("shift", ["+1", "2"]),
        ("account", ["40817810099910004312", "1"]),
        ("year", ["1999", "about 2000"]),
        ("year", ["1999", " 2000"]),
        ("year", ["NaN", "2000"]),
        ("score", ["high", "3"]),
        ("score", ["1e999", "3"]),
        ("score", ["Infinity", "3"]),
        ("score", ["1_000", "3"]),
        ("score", ["٣", "3"]),
        ("is_good", ["true", "yes"]),
        ("colour", ["", ""]),
        ("message_id", ["1", "2"]),
        ("Id", ["1", "2"]),
        ("output", ["42", "43"]),
        ("Answer Text", ["42", "43"]),
        ("output_1", ["42", "43"]),
        ("response_j", ["1", "2"]),
        ("human_ref_A", ["1", "2"]),
        ("ground_truth", ["true", "false"]),
        ("option1", ["1", "2"]),
        ("A", ["1", "2"]),
        ("1", ["1", "2"]),
    ],
)
def test_other_columns_stay_the_text_they_are(name: str, cells: list[str]) -> None:
    assert column(name, *cells) == cells


def test_answers_that_are_numbers_are_text(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("question,answer,score\nSix by seven?,42,3\nTrue?,true,4.5\n")
    dump = read([str(tmp_path / "a.csv")])
    assert [messages[1]["content"] for messages in dump.records["messages"].to_list()] == [
        "42",
        "true",
    ]
    assert dump.records["score"].to_list() == [3.0, 4.5]


def test_a_number_far_down_decides_too() -> None:
    cells = ["1"] * 5_000
    assert column("helpfulness", *cells) == [1] * 5_000
    assert column("helpfulness", *cells, "none") == [*cells, "none"]
    ragged = "question,answer,size\nQ?,A.,1\nonly one\nQ?,A.,2\n"
    assert [row["size"] for row in rows(items_of(ragged))] == [1, 2]
    unclosed = 'question,answer,size\nQ?,A.,1\nQ?,"A.,x\n'
    assert [row["size"] for row in rows(items_of(unclosed))] == [1]


def test_a_column_that_stands_twice_stays_text() -> None:
    assert rows(items_of("question,answer,n,n\nQ?,A.,1,1\n")) == [
        {"question": "Q?", "answer": "A.", "n": "1"}
    ]


@pytest.mark.parametrize(
    ("separator", "word"), [(";", "semicolons"), ("\t", "tabs"), ("|", "vertical bars")]
)
def test_another_separator_is_found_by_the_names_in_the_header(separator: str, word: str) -> None:
    lines = [["question", "answer", "note"], ["How, then?", "So.", "a,b"]]
    found = items_of("\n".join(map(separator.join, lines)))
    assert rows(found) == [{"question": "How, then?", "answer": "So.", "note": "a,b"}]
    assert notes(found) == [f"the columns are separated by {word}"]


def test_commas_in_a_file_for_tabs_are_found_too() -> None:
    found = items_of("question,answer\nQ?,A.\n", "dump.tsv")
    assert (rows(found), notes(found)) == (
        [{"question": "Q?", "answer": "A."}],
        ["the columns are separated by commas"],
    )


def test_excel_may_state_the_separator() -> None:
    found = items_of("sep=;\r\nfrage;antwort\r\nWer?;Ich.\r\nzu;viel;hier\r\n")
    assert rows(found) == [{"frage": "Wer?", "antwort": "Ich."}]
    assert notes(found)[0] == "the columns are separated by semicolons"
    assert rejects(found) == [(4, "invalid_csv: 3 fields; the header has 2")]


def test_one_column_of_text_is_not_taken_apart() -> None:
    found = items_of("text\na;b|c\n")
    assert (rows(found), notes(found)) == ([{"text": "a;b|c"}], [])
    found = items_of("frage;antwort\nWer?;Ich.\nWas, bitte?;Das.\n")
    assert rows(found) == [{"frage;antwort": "Wer?;Ich."}]
    assert "separated by semicolons: save it with commas" in rejects(found)[0][1]


@pytest.mark.parametrize("header", [
    " question , answer", "\ufeffquestion,answer", '\ufeff"question","answer"',
    "question\t,answer",
])  # fmt: skip
def test_spaces_and_marks_around_the_names_of_columns_do_not_count(header: str) -> None:
    for mark in ("", "\ufeff"):
        assert rows(items_of(f"{mark}{header}\nQ?, A.\n")) == [{"question": "Q?", "answer": " A."}]


@pytest.mark.parametrize(
    "first",
    [
        "What is a pier?,A platform.",
        '"Two\nlines","more"',
        "12,some",
        '"[{""role"": ""user""}]",x',
        "x," + "word " * 30,
    ],
)
def test_a_first_row_without_names_above_it_is_not_lost(first: str) -> None:
    found = items_of(f"{first}\nQ,A\n")
    assert rejects(found) == [(
        1,
        "invalid_csv: the first line looks like a row, not like the names of the columns; put a "
        "line with the names above it",
    )]  # fmt: skip
    assert len(rows(found)) == 1


def test_a_header_without_a_known_name_is_said() -> None:
    found = items_of("frage,antwort\nWer?,Ich.\n")
    assert rows(found) == [{"frage": "Wer?", "antwort": "Ich."}]
    assert notes(found) == ["no name in the header is that of a known field: frage, antwort"]
    for header in ("Question,Answer", "Body,Id", "human_ref_A,labels", "userMessage,x"):
        assert not notes(items_of(f"{header}\nQ,A\n"))


def read_text(folder: Path, text: str) -> Dump:
    (folder / "a.csv").write_text(text, "utf-8")
    return read([str(folder / "a.csv")])


def test_json_in_cells_is_left_to_the_formats(tmp_path: Path) -> None:
    messages = json.dumps([{"role": "user", "content": "Hi"}]).replace('"', '""')
    (row,) = rows(items_of(f'messages,score\n"{messages}",3\n'))
    assert row == {"messages": '[{"role": "user", "content": "Hi"}]', "score": 3}
    assert read_text(tmp_path, "question,answer\n{x},[y]\n").records.height == 1
