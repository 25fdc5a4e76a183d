"""The lines of kept.jsonl and dropped.jsonl: the same fields of the same types in every one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import curate
from curate.base.messages import even_messages, fields_in
from curate.base.schema import MESSAGES
from curate.runs import Run

ASKED = {"role": "user", "content": "Where is it?"}
PLAIN = {"messages": [ASKED, {"role": "assistant", "content": "Over there."}]}
CALL = {"type": "function", "function": {"name": "look", "arguments": {"at": 1.50, "n": 2**70}}}
TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}
CALLING = {
    "messages": [
        ASKED,
        {"role": "assistant", "content": "", "tool_calls": [{"id": "c1", **CALL}]},
        {"role": "tool", "content": "here", "tool_call_id": "c1", "name": "look"},
        {"role": "assistant", "content": "Here.", "reasoning_content": "I looked."},
    ],
    "tools": [TOOL],
}
WEIGHED = {
    "messages": [
        ASKED,
        {"role": "assistant", "content": "No idea.", "weight": 0},
        ASKED,
        {"role": "assistant", "content": "There!"},
    ]
}


def kept_lines(folder: Path, *rows: dict[str, Any], file: str = "kept.jsonl") -> list[Any]:
    run = curate.run(list(rows), steps=["exact", {"length": {"action": "limit", "min": 1}}])
    out = run.save(folder / "RUN", force=True)
    return [json.loads(line) for line in (out / file).read_text("utf-8").splitlines()]


def test_plain_chats_have_an_id_and_messages_and_no_more(tmp_path: Path) -> None:
    (line,) = kept_lines(tmp_path, {**PLAIN, "score": 3, "category": "sums", "more": "words"})
    assert list(line) == ["id", "messages"]
    assert line["messages"] == PLAIN["messages"]


def test_where_one_row_calls_tools_every_row_and_message_says_whether_it_does(
    tmp_path: Path,
) -> None:
    plain, calling = kept_lines(tmp_path, PLAIN, CALLING)
    names = ["role", "content", "reasoning_content", "name", "tool_calls", "tool_call_id"]
    for line in (plain, calling):
        assert list(line) == ["id", "messages", "tools"]
        assert [list(message) for message in line["messages"]] == [names] * len(line["messages"])
    assert plain["tools"] == "" and json.loads(calling["tools"]) == [TOOL]
    assert [message["tool_calls"] for message in plain["messages"]] == ["", ""]
    assert json.loads(calling["messages"][1]["tool_calls"]) == [{"id": "c1", **CALL}]
    assert calling["messages"][3]["reasoning_content"] == "I looked."
    assert calling["messages"][2]["name"] == "look" and plain["messages"][0]["name"] == ""


def test_tools_that_no_row_calls_stand_beside_plain_messages(tmp_path: Path) -> None:
    given, plain = kept_lines(tmp_path, {**PLAIN, "tools": [TOOL]}, PLAIN)
    assert json.loads(given["tools"]) == [TOOL] and plain["tools"] == ""
    assert given["messages"] == plain["messages"] == PLAIN["messages"]


def test_weights_are_in_every_message_or_in_none(tmp_path: Path) -> None:
    plain, weighed = kept_lines(tmp_path, PLAIN, WEIGHED)
    assert [message["weight"] for message in plain["messages"]] == [0, 1]
    assert [message["weight"] for message in weighed["messages"]] == [0, 0, 0, 1]


def test_frames_and_datasets_have_the_calls_of_the_lines(tmp_path: Path) -> None:
    pytest.importorskip("datasets")
    lines = kept_lines(tmp_path, PLAIN, CALLING)
    run = Run.open(tmp_path / "RUN")
    for table in (run.to_datasets()["messages"], run.to_pandas()["messages"]):
        for messages, line in zip(table, lines, strict=True):
            calls = [message["tool_calls"] or "" for message in messages]
            assert calls == [message["tool_calls"] for message in line["messages"]]


def test_dropped_lines_say_why_without_a_null(tmp_path: Path) -> None:
    empty = {"messages": [ASKED, {"role": "assistant", "content": ""}]}
    first, second = kept_lines(tmp_path, PLAIN, empty, PLAIN, file="dropped.jsonl")
    assert first["duplicate_of"] == -1 and second["duplicate_of"] == 0
    assert all(isinstance(line["evidence"], str) for line in (first, second))


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=9)
calls = st.lists(st.fixed_dictionaries({"name": texts, "arguments": st.dictionaries(texts, texts)}))
messages = st.fixed_dictionaries(
    {"role": st.sampled_from(["user", "assistant", "tool"]), "content": texts},
    optional={
        "reasoning": texts,
        "name": texts,
        "tool_call_id": texts,
        "weight": st.sampled_from([0.0, 1.0]),
        "tool_calls": calls.map(json.dumps),
    },
)


@given(st.lists(st.lists(messages, max_size=4) | st.none(), max_size=5))
def test_any_conversations_become_lists_of_messages_with_the_same_fields(
    turns: list[list[dict[str, Any]] | None],
) -> None:
    column = pl.Series("messages", turns, dtype=MESSAGES)
    fields = fields_in(column)
    back = even_messages(column, fields).to_list()
    assert [len(turn) for turn in back] == [len(turn or []) for turn in turns]
    for turn, before in zip(back, turns, strict=True):
        for message, was in zip(turn, before or [], strict=True):
            assert len(message) == 2 + len(fields) and None not in message.values()
            assert message["content"] == was["content"]
            assert message.get("reasoning_content", "") == was.get("reasoning", "")
            if "tool_calls" in was:
                made = json.loads(message["tool_calls"])
                assert [each["function"] for each in made] == json.loads(was["tool_calls"])


def test_a_set_of_no_rows_has_no_lines(tmp_path: Path) -> None:
    run = curate.run([PLAIN], steps=[{"length": {"action": "limit", "min": 50}}])
    assert (run.path / "kept.jsonl").read_bytes() == b""
    assert run.kept.height == 0 and run.dropped.height == 1


@pytest.mark.parametrize("reader", [pl.read_ndjson, lambda path: _pandas(path)])
def test_readers_that_look_at_the_first_rows_take_odd_ones_at_the_end(
    tmp_path: Path, reader: Any
) -> None:
    plain = [{"messages": [{**ASKED, "content": f"Where is {n}?"}, *PLAIN["messages"][1:]]}
             for n in range(3000)]  # fmt: skip
    kept_lines(tmp_path, *plain, CALLING, WEIGHED)
    table = reader(tmp_path / "RUN" / "kept.jsonl")
    assert len(table) == 3002 and sorted(table.columns) == ["id", "messages", "tools"]


def _pandas(path: Path) -> Any:
    pandas = pytest.importorskip("pandas")
    return pandas.read_json(path, lines=True)
