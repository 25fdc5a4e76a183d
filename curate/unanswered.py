"""Rows that ask and have no answer, read as those that have one."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import polars as pl

from curate import sources

# Put in place of the answer that a row has not, so that it is read like any other.
NO_ANSWER = "-"
_LISTS = ("messages", "conversations", "conversation", "prompt", "dialogue", "turns")
_ANSWERS = ("output", "response", "completion")


def answered(
    raw: str, place: str, how: sources.ReadOptions = sources.DETECTED
) -> pl.DataFrame | None:
    """The record of a row in JSON with `NO_ANSWER` as its last answer; None where there is none.

    `place` is the record's source. Columns are those of RECORDS, height 1.
    """
    try:
        row = json.loads(raw)
    except (ValueError, RecursionError):
        return None
    for filled in _filled(row):
        dump = sources.read_rows([filled], how, name=place)
        if dump.height:
            return dump.records
    return None


def _filled(row: Any) -> Iterator[Any]:
    """The row with an answer, in each of the places where rows may have one."""
    if isinstance(row, list):
        yield [*row, _turn(row)]
    if not isinstance(row, Mapping):
        return
    for name in _LISTS:
        turns = row.get(name)
        if isinstance(turns, list) and turns:
            yield {**row, name: [*turns, _turn(turns)]}
    for name in _ANSWERS:
        yield {**row, name: NO_ANSWER}


def _turn(turns: list[Any]) -> dict[str, str]:
    of_gpt = isinstance(turns[-1], Mapping) and "from" in turns[-1] if turns else False
    if of_gpt:
        return {"from": "gpt", "value": NO_ANSWER}
    return {"role": "assistant", "content": NO_ANSWER}
