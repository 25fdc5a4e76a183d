"""Rows that are in memory are read as the file that holds them would be."""

from __future__ import annotations

import datetime
import decimal
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import polars as pl
import pytest

from curate.base.errors import CurateError
from curate.sources import Dump, ReadOptions, read, read_rows

TURNS = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
ROWS: list[Any] = [
    {"prompt": "One?", "completion": "Yes.", "score": 3, "category": "short", "extra": {"a": [1]}},
    {"prompt": "Two?", "completion": "No.", "score": None, "n": float("nan")},
    {"messages": TURNS, "more": True},
    {"instruction": "Add.", "input": "1 2", "output": "3"},
    {"chosen": "Human: a\n\nAssistant: b", "rejected": "Human: a\n\nAssistant: c"},
    {"prompt": "Nobody answers?"},
    {"message_id": "1", "parent_id": None, "text": "Root?", "role": "prompter"},
    {"message_id": "2", "parent_id": "1", "text": "Leaf.", "role": "assistant"},
    {"colour": "blue"},
    {"prompt": "Big?", "completion": "Big.", "score": 10**30, "more": [10**30]},
    {"prompt": "Odd?", "completion": "Odd.", "both": [10**30, float("nan")]},
    "no object",
    None,
    {1: "a key that is a number", "prompt": "Key?", "completion": "Key."},
]


def frames(dump: Dump) -> tuple[pl.DataFrame, pl.DataFrame]:
    return dump.records.drop("source", "line"), dump.rejects.drop("source", "line")


def from_file(folder: Path, rows: list[Any]) -> Dump:
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return read([str(path)])


def test_rows_give_the_records_and_reasons_of_a_file_that_holds_them(tmp_path: Path) -> None:
    of_file, of_rows = from_file(tmp_path, ROWS), read_rows(ROWS)
    for there, here in zip(frames(of_file), frames(of_rows), strict=True):
        assert here.drop("raw", strict=False).equals(there.drop("raw", strict=False))
    assert of_rows.records["line"].to_list() == of_file.records["line"].to_list()
    assert of_rows.rejects["line"].to_list() == of_file.rejects["line"].to_list()
    assert of_rows.rejects["raw"].to_list()[:3] == of_file.rejects["raw"].to_list()[:3]
    assert [file.formats for file in of_rows.files] == [file.formats for file in of_file.files]


def test_many_plain_rows_are_read_as_those_of_a_file(tmp_path: Path) -> None:
    rows = [{"prompt": f"Question {at}?", "completion": "Yes. " * (at % 9)} for at in range(25_000)]
    of_file, of_rows = from_file(tmp_path, rows), read_rows(rows)
    assert frames(of_rows)[0].equals(frames(of_file)[0])
    assert of_rows.records["line"].to_list() == list(range(1, 25_001))


def test_the_source_is_named_and_the_line_is_the_rows_number() -> None:
    dump = read_rows(iter(ROWS[:2]), name="mine")
    assert dump.records["source"].to_list() == ["mine", "mine"]
    assert dump.records["line"].to_list() == [1, 2]
    assert read_rows(ROWS[:1]).records["source"].to_list() == ["<rows>"]


def test_the_fingerprint_is_that_of_the_rows() -> None:
    one, same, other = (read_rows(rows).files[0].sha256 for rows in (ROWS, ROWS, ROWS[1:]))
    assert one == same != other and len(one) == 64


def test_read_options_hold_for_rows() -> None:
    rows = [{"ask": "One?", "reply": "Yes."}]
    columns = {"prompt": "ask", "completion": "reply"}
    assert read_rows(rows, ReadOptions(columns=columns)).records.height == 1
    with pytest.raises(CurateError, match="<rows>: no row has a field 'asked'"):
        read_rows(rows, ReadOptions(columns={"prompt": "asked"}))


def test_python_values_that_json_writes_as_lists_and_numbers_are_such() -> None:
    given = {"messages": tuple(TURNS), "score": np.float32(0.5), "ids": np.array([1, 2])}
    canonical = {"messages": TURNS, "score": 0.5, "ids": [1, 2]}
    assert frames(read_rows([given]))[0].equals(frames(read_rows([canonical]))[0])


DAY = datetime.datetime(2024, 7, 26, 12, 30)


@pytest.mark.parametrize(
    "value",
    [DAY, DAY.date(), DAY.time(), datetime.timedelta(hours=1), b"\x00\xff", decimal.Decimal("1.5")],
)
def test_values_without_a_json_type_are_what_the_parquet_reader_makes_of_them(
    tmp_path: Path, value: Any
) -> None:
    meta = {"prompt": "When?", "completion": "Then.", "field": value}
    text = {"prompt": value, "completion": "Then."}
    for row in (meta, text):
        pl.DataFrame([row]).write_parquet(tmp_path / "rows.parquet")
        of_file = read([str(tmp_path / "rows.parquet")])
        for found in (read_rows([row]), read_rows(pl.DataFrame([row]))):
            for there, here in zip(frames(of_file), frames(found), strict=True):
                assert here.drop("raw", strict=False).equals(there.drop("raw", strict=False))


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"prompt": "a", "completion": "b", "tags": {"x", "y"}}, "it holds a value of type set"),
        ({"prompt": "half \ud800", "completion": "b"}, "invalid_json: .*surrogates not allowed"),
        ({"prompt": b"a", "completion": "b"}, "wrong_type: prompt is a value of type bytes"),
        (
            {"prompt": "a", "completion": "b", (1, 2): "c"},
            "wrong_type: a field cannot be kept as JSON",
        ),
    ],
)
def test_a_row_that_no_json_can_hold_is_a_reject_beside_good_ones(row: Any, reason: str) -> None:
    dump = read_rows([ROWS[0], row, ROWS[1]])
    assert dump.records["line"].to_list() == [1, 3]
    assert dump.rejects["line"].to_list() == [2]
    assert dump.rejects["reason"].str.contains(reason).all()
    orjson.dumps(dump.rejects.to_dicts())


def test_a_row_that_holds_itself_is_a_reject() -> None:
    circle: dict[str, Any] = {"prompt": "a", "completion": "b"}
    circle["self"] = circle
    assert read_rows([circle]).rejects["reason"].str.starts_with("invalid_json: ").all()


TABLE = [
    {"prompt": "One?", "completion": "Yes.", "score": 3.5, "turns": [{"a": "b"}]},
    {"prompt": "Two?", "completion": "No.", "score": None, "turns": None},
]


def test_frames_are_read_as_the_parquet_file_that_holds_them(tmp_path: Path) -> None:
    datasets, pandas = pytest.importorskip("datasets"), pytest.importorskip("pandas")
    frame = pl.DataFrame(TABLE)
    frame.write_parquet(tmp_path / "rows.parquet")
    of_file = read([str(tmp_path / "rows.parquet")])
    assert of_file.records["score"].to_list() == [3.5, None]
    given = [frame, pandas.DataFrame(TABLE), datasets.Dataset.from_list(TABLE)]
    for rows in (*given, pandas.read_parquet(tmp_path / "rows.parquet")):
        dump = read_rows(rows)
        assert frames(dump)[0].equals(frames(of_file)[0])
        assert dump.records["line"].to_list() == [1, 2]


def test_fields_that_arrow_added_to_objects_are_left_out_of_frames_of_every_kind() -> None:
    datasets, pandas = pytest.importorskip("datasets"), pytest.importorskip("pandas")
    call = {"name": "tide", "arguments": {"day": "Monday"}}
    other = {"name": "rain", "arguments": {"town": "Oslo"}}
    rows = [
        {"messages": [TURNS[0], {"role": "assistant", "content": "", "tool_calls": [one]}]}
        for one in (call, other)
    ]
    frame, made = pl.DataFrame(rows), datasets.Dataset.from_list(rows)
    for given in (rows, frame, made, made.to_pandas(), pandas.DataFrame(frame.to_dicts())):
        read_from = read_rows(given).records
        calls = [messages[1]["tool_calls"] for messages in read_from["messages"].to_list()]
        assert [json.loads(each)[0]["arguments"] for each in calls] == [
            {"day": "Monday"},
            {"town": "Oslo"},
        ]


TREE = [
    {"message_id": "1", "message_tree_id": "1", "parent_id": None, "text": "Root?"},
    {"message_id": "2", "message_tree_id": "1", "parent_id": "1", "text": "Leaf."},
]


def test_the_root_of_a_tree_is_a_question_in_a_table_too() -> None:
    rows = [row | {"role": role} for row, role in zip(TREE, ("prompter", "assistant"), strict=True)]
    of_rows, of_frame = (frames(read_rows(given)) for given in (rows, pl.DataFrame(rows)))
    assert of_rows[0].equals(of_frame[0]) and of_rows[0].height == 1
    roles = of_rows[0]["messages"][0].struct.field("role").to_list()
    assert roles == ["user", "assistant"]


def test_a_pandas_frame_has_no_missing_values_but_absent_ones() -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"prompt": ["a", "b"], "completion": ["c", None], "n": [np.nan, 1]})
    frame["day"] = pandas.to_datetime(["2024-07-26T12:30", None])
    dump = read_rows(frame)
    assert dump.records["meta"].to_list() == ['{"day":"2024-07-26T12:30:00"}']
    assert dump.rejects["reason"].to_list() == [
        "no_answer: none of the fields output, response, completion, answer, target, solution"
        " is there"
    ]


@pytest.mark.parametrize(
    ("rows", "given"),
    [
        ("dump.jsonl", "the text 'dump.jsonl'"),
        ({"prompt": "a"}, "an object"),
        (3, "the number 3"),
        (None, "null"),
        (pl.LazyFrame(), "a value of type LazyFrame"),
    ],
)
def test_what_is_no_list_of_rows_is_a_clear_error(rows: Any, given: str) -> None:
    with pytest.raises(CurateError, match=f"the rows are {given}; expected a list of dicts"):
        read_rows(rows)


def test_no_rows_at_all_are_an_error() -> None:
    with pytest.raises(CurateError, match="no rows in <rows>"):
        read_rows([])


def test_rows_are_read_without_pandas_or_datasets() -> None:
    program = (
        "import sys; from curate.sources import read_rows;"
        " read_rows([{'prompt': 'a', 'completion': 'b'}]);"
        " sys.exit(bool({'pandas', 'datasets', 'pyarrow', 'numpy'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
