"""Scores that came with the rows, or with their ids in a file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl

from curate.base.errors import CurateError

LARGEST = 1e300  # the size up to which the score that came with a record is read


def scores_of_column(records: pl.DataFrame, column: str) -> pl.Series:
    """`record.score` for the name `score`, else the field of `meta`; null where there is none.

    Dots lead into nested objects: `judge.helpfulness`. The last name may have dots itself:
    `scores.reward.calibrated`.
    """
    if column == "score":
        return records["score"].alias("score")
    return text_of_field(records, column).cast(pl.Float64, strict=False).alias("score")


def text_of_field(records: pl.DataFrame, column: str) -> pl.Series:
    """What a field of `meta` holds, as text; null where there is none. Dots lead into objects."""
    steps = column.split(".")
    named = [steps, *([*steps[:at], ".".join(steps[at:])] for at in range(len(steps) - 2, -1, -1))]
    paths = ("$" + "".join(f"['{_escaped(name)}']" for name in each) for each in named)
    found = pl.coalesce(pl.col("meta").str.json_path_match(path) for path in paths)
    return records.select(found).to_series()


def scores_of_file(records: pl.DataFrame, path: str, column: str) -> pl.Series:
    """The score of each record's id in a JSON Lines file of `{"id": ..., COLUMN: ...}`."""
    known: dict[str, float | None] = {}
    for where, row in _rows(Path(path)):  # rows of a file are Python objects already
        name, score = row.get("id"), _number(row, column, where)
        if not isinstance(name, str):
            raise CurateError(f"{where}: no text in 'id'; expected the id of a record")
        if name in known and known[name] != score:
            raise CurateError(f"{where}: id {name} has two scores, {known[name]} and {score}")
        known[name] = score
    scores = records["id"].replace_strict(known, default=None, return_dtype=pl.Float64)
    return scores.alias("score")


def _rows(file: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    import orjson

    with file.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            where = f"{file}:{number}"
            try:
                row = orjson.loads(line)
            except orjson.JSONDecodeError:
                row = _lenient(line, where)
            if not isinstance(row, dict):
                raise CurateError(f"{where}: expected an object with 'id' and a score")
            yield where, row


def _lenient(line: bytes, where: str) -> Any:
    """Python writes NaN and Infinity into JSON; such a score is a missing one, not a bad file."""
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:
        raise CurateError(f"{where}: not JSON ({error})") from error


def _number(row: dict[str, Any], column: str, where: str) -> float | None:
    if column not in row:
        raise CurateError(f"{where}: no field {column!r}; there is {', '.join(map(str, row))}")
    value = row[column]
    if value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
        return None if value is None or value != value else float(value)
    raise CurateError(f"{where}: {column} is {value!r}; expected a number")


def _escaped(name: str) -> str:
    return name.replace("\\", "\\\\").replace("'", "\\'")
