"""What becomes of one row: helpers for tests of formats."""

from __future__ import annotations

from typing import Any

from curate.sources import read_rows


def reading(row: Any, name: str) -> list[dict[str, Any]]:
    """The messages of a row that is read as this format, without what they do not have."""
    dump = read_rows([row])
    assert dump.files[0].formats == {name: 1}, dump.rejects["reason"].to_list()
    messages = dump.records["messages"][0].to_list()
    return [{key: turn[key] for key in turn if turn[key] is not None} for turn in messages]


def said(row: Any, name: str) -> list[tuple[str, str]]:
    """Role and content of each message."""
    return [(turn["role"], turn["content"]) for turn in reading(row, name)]


def refused(row: Any) -> str:
    """Why a row is a reject, beside one that is none."""
    dump = read_rows([row, {"prompt": "a", "completion": "b"}])
    assert dump.rejects["line"].to_list() == [1]
    return str(dump.rejects["reason"][0])
