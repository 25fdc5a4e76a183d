"""Tables give the rows that were put into them, whatever Arrow had to do to hold them."""

from __future__ import annotations

import datetime
import decimal
import io
import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from curate.base.errors import CurateError
from curate.base.json_text import loads_exact
from curate.sources import read
from curate.sources.files.inputs import Input
from curate.sources.files.items import AnyItem, Item, Note
from curate.sources.files.raw import items
from curate.sources.formats import is_row

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

KINDS = ("parquet", "file", "stream")


def stored_as(kind: str, table: Any) -> bytes:
    stream = io.BytesIO()
    if kind == "parquet":
        pq.write_table(table, stream)
    else:
        opened = (pa.ipc.new_file if kind == "file" else pa.ipc.new_stream)(stream, table.schema)
        with opened as writer:
            writer.write_table(table)
    return stream.getvalue()


def items_of(stored: bytes) -> list[AnyItem]:
    return list(items(Input("dump", lambda: stored), stored, is_row))


def rows(found: list[AnyItem]) -> list[Any]:
    return [item.value for item in found if isinstance(item, Item) and item.reject is None]


def notes(found: list[AnyItem]) -> list[str]:
    return [item.text for item in found if isinstance(item, Note)]


def rejects(found: list[AnyItem]) -> list[tuple[int, str]]:
    return [(item.line, item.reject) for item in found if isinstance(item, Item) and item.reject]


CALL = {"name": "tide", "arguments": {"day": "Monday"}}
TALK: list[dict[str, Any]] = [
    {"role": "user", "content": "High water?"},
    {"role": "assistant", "tool_calls": [{"function": CALL}]},
    {"role": "tool", "content": "06:10", "name": "tide"},
    {"role": "assistant", "content": "At ten past six."},
]
RAIN = {"name": "rain", "arguments": {"town": "Oslo", "hours": 3}}
MORE: list[dict[str, Any]] = [
    {"role": "user", "content": "Rain?"},
    {"role": "assistant", "content": "", "tool_calls": [{"function": RAIN}]},
]


@pytest.mark.parametrize("kind", KINDS)
def test_fields_that_arrow_added_to_objects_are_left_out_and_counted(kind: str) -> None:
    found = items_of(stored_as(kind, pa.table({"messages": [TALK, None, MORE], "n": [1, 2, 3]})))
    assert rows(found) == [{"messages": TALK, "n": 1}, {"n": 2}, {"messages": MORE, "n": 3}]
    # Of six messages one content, five names and four tool_calls; of two arguments three fields.
    assert notes(found) == [
        "13 empty fields of objects in `messages` are left out: Arrow gives every object the "
        "fields of all"
    ]


def test_a_table_without_nulls_in_its_objects_has_nothing_to_say() -> None:
    plain = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
    found = items_of(
        stored_as("parquet", pa.table({"messages": [plain] * 3, "tags": [[], None, ["a"]]}))
    )
    assert rows(found)[0] == {"messages": plain, "tags": []}
    assert not notes(found)


def test_nulls_in_lists_stay_and_so_do_objects_that_become_empty() -> None:
    table = pa.table({"a": [["x", None]], "b": [[None, {"c": None}, {"c": "d"}]]})
    found = items_of(stored_as("parquet", table))
    assert rows(found) == [{"a": ["x", None], "b": [None, {}, {"c": "d"}]}]
    assert notes(found) == [
        "1 empty field of an object in `b` is left out: Arrow gives every object the fields of all"
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_json_that_the_schema_declares_is_parsed_and_its_nulls_stay(kind: str) -> None:
    texts = [
        '{"due": null, "n": [null]}',
        None,
        '"said"',
        "null",
        '{"account": 40817810099910004312}',
    ]
    top = pa.array(texts, pa.json_())
    listed = pa.ListArray.from_arrays(pa.array(range(6), pa.int32()), top)
    inside = pa.StructArray.from_arrays([top, pa.nulls(5, pa.string())], ["value", "other"])
    table = pa.table({"top": top, "listed": listed, "inside": inside})
    found = items_of(stored_as(kind, table))
    due, account = {"due": None, "n": [None]}, loads_exact(texts[4] or "")
    assert repr(account) == "{'account': 40817810099910004312}" == repr(rows(found)[4]["top"])
    assert rows(found) == [
        {"top": due, "listed": [due], "inside": {"value": due}},
        {"listed": [None], "inside": {}},
        {"top": "said", "listed": ["said"], "inside": {"value": "said"}},
        {"listed": [None], "inside": {"value": None}},
        {"top": account, "listed": [account], "inside": {"value": account}},
    ]
    assert notes(found) == [
        "6 empty fields of objects in `inside` are left out: Arrow gives every object the fields"
        " of all"
    ]


@pytest.mark.parametrize("text", ['{"a": ', "", '"half \\ud83d"', "[" * 100_000])
def test_text_declared_as_json_that_is_none_makes_its_row_a_reject(text: str) -> None:
    found = items_of(stored_as("file", pa.table({"a": pa.array(["1", text], pa.json_())})))
    assert rows(found) == [{"a": 1}]
    ((number, reason),) = rejects(found)
    assert number == 2 and reason.startswith("wrong_type: a: ")


def test_the_json_feature_of_datasets_is_read_as_what_was_put_in(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    given = [
        [{"role": "user", "content": "Clear it."}, {"role": "assistant", "tool_calls": [
            {"function": {"name": "set", "arguments": {"due": None, "n": 7}}}]}],
        [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}],
    ]  # fmt: skip
    features = datasets.Features({"messages": datasets.List(datasets.Json())})
    made = datasets.Dataset.from_dict({"messages": given}, features=features)
    made.to_parquet(tmp_path / "dump.parquet")
    made.save_to_disk(tmp_path / "saved")
    for path in (tmp_path / "dump.parquet", tmp_path / "saved"):
        dump = read([str(path)])
        assert dump.files[0].formats == {"messages": 2}
        assert dump.records["messages"][1].to_list()[-1]["content"] == "Hello"
    assert rows(items_of((tmp_path / "dump.parquet").read_bytes())) == [
        {"messages": messages} for messages in given
    ]


TURNED = pa.struct({"role": pa.list_(pa.string()), "content": pa.list_(pa.string())})


@pytest.mark.parametrize("kind", KINDS)
def test_lists_of_roles_and_contents_are_read_as_a_list_of_messages(kind: str) -> None:
    given = [
        {"role": ["user", "assistant"], "content": ["Hi", "Hello"]},
        {"role": [], "content": []},
        {"role": ["user"], "content": ["a", "b"]},
        None,
        {"role": ["user", "assistant"], "content": ["Go", None]},
    ]
    found = items_of(stored_as(kind, pa.table({"messages": pa.array(given, TURNED)})))
    assert rows(found) == [
        {
            "messages": [
                {"role": "user", "content": "Hi"},
                {"role": "assistant", "content": "Hello"},
            ]
        },
        {"messages": []},
        {},
        {"messages": [{"role": "user", "content": "Go"}, {"role": "assistant"}]},
    ]
    assert rejects(found) == [
        (3, "wrong_type: messages: its lists are not equally long: 1 of role, 2 of content")
    ]
    assert notes(found)[-1] == (
        "`messages` holds lists of roles and of texts; they are read as messages"
    )


def test_other_objects_of_lists_stay_as_they_are() -> None:
    row = {"question": "Q?", "answers": {"text": ["a"], "answer_start": [1]}}
    assert rows(items_of(stored_as("parquet", pa.table({key: [row[key]] for key in row})))) == [row]


XY = pa.struct({"x": pa.int64(), "y": pa.int64()})
TEXTS = pa.map_(pa.string(), pa.string())
DAY = datetime.datetime(2024, 7, 26, 12, 30)
COLUMNS: dict[str, tuple[Any, Any]] = {
    "a map": (pa.array([[("a", "1"), ("b", None)]], TEXTS), {"a": "1", "b": None}),
    "a map of objects": (
        pa.array([[("a", {"x": 1, "y": None})]], pa.map_(pa.string(), XY)),
        {"a": {"x": 1}},
    ),
    "a dictionary": (pa.array(["x"]).dictionary_encode(), "x"),
    "a dictionary of numbers": (pa.DictionaryArray.from_arrays(pa.array([0]), pa.array([10])), 10),
    "large text": (pa.array(["x"], pa.large_string()), "x"),
    "a view of text": (pa.array(["x"], pa.string_view()), "x"),
    "a large list": (pa.array([["x"]], pa.large_list(pa.string())), ["x"]),
    "a list of a fixed size": (pa.array([["x", "y"]], pa.list_(pa.string(), 2)), ["x", "y"]),
    "a list of objects of a fixed size": (
        pa.array([[{"x": 1, "y": None}]], pa.list_(XY, 1)),
        [{"x": 1}],
    ),
    "a decimal": (pa.array([decimal.Decimal("1.50")]), decimal.Decimal("1.50")),
    "a time": (pa.array([DAY], pa.timestamp("us")), DAY),
    "bytes": (pa.array([b"\xff"]), b"\xff"),
    "bytes of a fixed size": (pa.array([b"ab"], pa.binary(2)), b"ab"),
    "a large number": (pa.array([2**64 - 1], pa.uint64()), 2**64 - 1),
    "a half": (pa.array([1.5], pa.float16()), 1.5),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", COLUMNS)
def test_columns_of_every_type_give_the_value_that_was_put_in(name: str, kind: str) -> None:
    column, value = COLUMNS[name]
    table = pa.table({"prompt": ["Q?"], "completion": ["A."], "more": column})
    found = items_of(stored_as(kind, table))
    assert rows(found) == [{"prompt": "Q?", "completion": "A.", "more": value}]


def test_an_extension_type_nobody_knows_is_read_as_what_it_is_stored_as() -> None:
    column = pa.ExtensionArray.from_storage(pa.bool8(), pa.array([1, 0, None], pa.int8()))
    assert rows(items_of(stored_as("file", pa.table({"a": column})))) == [{"a": 1}, {"a": 0}, {}]


def test_types_that_cannot_be_read_are_a_clear_error(capfd: pytest.CaptureFixture[str]) -> None:
    odd = pa.array([decimal.Decimal("1" * 40)], pa.decimal256(50, 0))
    for kind in KINDS:
        with pytest.raises(CurateError, match="dump: not a readable parquet or Arrow file"):
            items_of(stored_as(kind, pa.table({"a": odd})))


PLAIN = pl.DataFrame({"prompt": ["Q?"] * 500, "completion": ["A." * 90] * 500})


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("share", [0.99, 0.5, 0.02])
def test_a_table_that_is_cut_off_is_a_clear_error(kind: str, share: float) -> None:
    stored = stored_as(kind, PLAIN.to_arrow())
    with pytest.raises(CurateError, match=r"dump: (the parquet file is cut off|not a readable)"):
        items_of(stored[: int(len(stored) * share)])


def test_an_arrow_stream_without_its_end_mark_is_read_and_said() -> None:
    stored = stored_as("stream", PLAIN.to_arrow())
    found = items_of(stored[:-8])
    assert len(rows(found)) == 500
    assert notes(found) == [
        "the Arrow stream has no end mark; rows may be lost behind the last one"
    ]
    assert not notes(items_of(stored))


def test_text_may_begin_as_a_parquet_file_does(tmp_path: Path) -> None:
    (tmp_path / "dump.csv").write_text("PAR1,prompt,completion\nx,Q?,A.\n")
    dump = read([str(tmp_path / "dump.csv")])
    assert json.loads(dump.records["meta"][0]) == {"PAR1": "x"}
