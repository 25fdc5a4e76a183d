"""The table of a run, read as columns: the same records as its rows, read one by one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import curate
from curate import sources
from curate.base.schema import KEPT_ROWS, MESSAGES
from curate.sources.reader import Reader

USER = {"role": "user", "content": "What is it?"}
ANSWER = {"role": "assistant", "content": "It is a tree."}
CALL = {"function": {"name": "look", "arguments": {"at": 1.50, "long": 2**70, "who": "me"}}}
TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}
DUMP: list[dict[str, Any]] = [
    {"messages": [USER, ANSWER]},
    {"messages": [{"role": "system", "content": ""}, USER, ANSWER], "score": 3, "category": "a"},
    {
        "messages": [USER, {**ANSWER, "content": "", "tool_calls": [{"id": "c", **CALL}]},
                     {"role": "tool", "content": "x", "tool_call_id": "c", "name": "look"},
                     {**ANSWER, "reasoning_content": "Green."}],
        "tools": [TOOL],
    },
    {"messages": [USER, {**ANSWER, "weight": 0}, USER, {**ANSWER, "content": "Yes!", "weight": 1}]},
    {"prompt": "A colour?", "chosen": "Blue.", "rejected": "No.", "margin": 2.50, "id": "r1"},
    {"messages": [{**USER, "name": "Bo"}, ANSWER], "meta": {"a": [1, None]}, "line": 7, "url": "u"},
]  # fmt: skip


def both(table: pl.DataFrame) -> tuple[sources.Dump, sources.Dump]:
    """The table read as columns, and as rows."""
    stored = Path("RUN", "kept.parquet")
    stored.parent.mkdir(exist_ok=True)
    table.write_parquet(stored)
    return sources.read([str(stored)]), sources.read_rows(table, name=str(stored))


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def made(rows: list[dict[str, Any]]) -> pl.DataFrame:
    return curate.run(rows, steps=[{"length": {"action": "report"}}], cache=False).kept


def test_columns_give_what_rows_give() -> None:
    table = made(DUMP)
    assert table.schema == KEPT_ROWS and table.height == len(DUMP)
    columns, rows = both(table)
    assert columns.records.equals(rows.records)
    assert not columns.rejects.height
    for name in ("formats", "fields", "rows", "converted", "leftovers", "notes"):
        assert getattr(columns.files[0], name) == getattr(rows.files[0], name), name


@pytest.mark.parametrize("given", ['"just text"', '"{}"', "5", "[1]", '""', "null", '"\\"a\\""'])
def test_arguments_of_any_kind_come_back_from_a_run(given: str) -> None:
    call = {"function": {"name": "look", "arguments": given}}
    table = made([{"messages": [USER, {**ANSWER, "tool_calls": [call]}]}])
    columns, rows = both(table)
    assert columns.records["messages"].equals(table["messages"])
    assert columns.records.equals(rows.records) and columns.records.height == 1


def test_rows_of_a_run_are_not_looked_at_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    made(DUMP).write_parquet("kept.parquet")

    def looked_at(self: object, items: object) -> None:
        raise AssertionError("a row was looked at")

    monkeypatch.setattr(Reader, "take", looked_at)
    assert sources.read(["kept.parquet"]).records.height == len(DUMP)


def test_a_run_of_a_run_of_a_run_gives_the_same_columns_and_rows() -> None:
    table = made(DUMP)
    for _ in range(3):
        columns, rows = both(table)
        assert columns.records.equals(rows.records)
        table = curate.run("RUN/kept.parquet", steps=["exact"], cache=False).kept


@pytest.mark.parametrize("name", ["sharegpt_toolcall_en.json", "messages_loss_weight.jsonl"])
def test_real_rows_with_calls_and_weights_are_the_same(name: str, test_data: Path) -> None:
    run = curate.run(test_data / "raw" / name, steps=["exact"], cache=False)
    columns, rows = both(run.kept)
    assert columns.records.equals(rows.records) and columns.records.height > 50


def with_message(**changed: Any) -> Callable[[pl.DataFrame], pl.DataFrame]:
    def change(table: pl.DataFrame) -> pl.DataFrame:
        messages = table["messages"].to_list()
        messages[0][1] |= changed
        return table.with_columns(pl.Series("messages", messages, MESSAGES))

    return change


def with_value(**changed: Any) -> Callable[[pl.DataFrame], pl.DataFrame]:
    def change(table: pl.DataFrame) -> pl.DataFrame:
        first = pl.int_range(pl.len()) == 0
        return table.with_columns(
            pl.when(first).then(pl.lit(value, KEPT_ROWS[name])).otherwise(name).alias(name)
            for name, value in changed.items()
        )

    return change


CHANGES = {
    "a role that nobody has": with_message(role="owl"),
    "a role by another name": with_message(role="model"),
    "no role": with_message(role=None),
    "no content": with_message(content=None),
    "an empty name": with_message(name=""),
    "no reasoning but a setting": with_message(reasoning=" Off"),
    "a weight below 0": with_message(weight=-1.0),
    "a weight that is no number": with_message(weight=float("nan")),
    "calls that are no JSON": with_message(tool_calls="look()"),
    "calls in another spelling": with_message(tool_calls=json.dumps([CALL])),
    "no calls": with_message(tool_calls="[]"),
    "a thought between marks": with_message(
        content="<|begin_of_thought|>Hm.<|end_of_thought|><|begin_of_solution|>4"
    ),
    "nobody answers": with_message(role="user"),
    "another id": with_value(id="0" * 16),
    "no id": with_value(id=None),
    "no messages": with_value(messages=[]),
    "null messages": with_value(messages=None),
    "an empty rejected side": with_value(rejected=[]),
    "an empty category": with_value(category=""),
    "a score without end": with_value(score=float("inf")),
    "a score that is no number": with_value(score=float("nan")),
    "tools that are no JSON": with_value(tools="look"),
    "no tools": with_value(tools="[]"),
    "bare tools": with_value(tools='[{"name": "look", "parameters": {}}]'),
    "meta that is no JSON": with_value(meta="words"),
    "meta that is a list": with_value(meta="[1]"),
    "meta with scores and an id": with_value(meta='{"scores": {"x": 1}, "id": 7, "n": 1.50}'),
    "no source": with_value(source=None),
    "no scores": with_value(scores=None),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_table_that_somebody_changed_gives_what_its_rows_give(change: str) -> None:
    columns, rows = both(CHANGES[change](made(DUMP)))
    assert columns.records.equals(rows.records)
    assert columns.rejects.equals(rows.rejects)
    assert columns.files[0].notes == rows.files[0].notes
    assert columns.records.height + columns.rejects.height == len(DUMP)


text = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
message = st.fixed_dictionaries(
    {
        "role": st.sampled_from(["user", "assistant", "tool", "system", "human", ""]),
        "content": text | st.none(),
    },
    optional={
        "reasoning": text,
        "name": text,
        "weight": st.floats(),
        "tool_calls": st.sampled_from(['[{"name":"f","arguments":{}}]', "[]", "{}", "x", ""]),
    },
)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.fixed_dictionaries(
            {
                "messages": st.lists(message, max_size=3),
                "rejected": st.none() | st.lists(message, max_size=2),
                "tools": st.sampled_from([None, "[]", "x", json.dumps([TOOL]), "null"]),
                "score": st.none() | st.floats(),
                "category": st.none() | text,
                "meta": st.sampled_from(["{}", '{"a": 1}', '{"id": "b"}', "x", ""]),
            }
        ),
        min_size=1,
        max_size=4,
    )
)
def test_any_table_gives_what_its_rows_give(rows: list[dict[str, Any]]) -> None:
    filled = [
        {"row": n, "id": "", "source": "a", "line": n, "scores": [], **row}
        for n, row in enumerate(rows)
    ]
    columns, read = both(pl.DataFrame(filled, schema=KEPT_ROWS))
    assert columns.records.equals(read.records) and columns.rejects.equals(read.rejects)
