"""The lengths to match: a file of numbers, or rows as `curate run` writes them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from curate.base.errors import CurateError
from curate.base.folder import check_as_written, is_made_by
from curate.base.schema import MESSAGES, with_text
from filters.common.arrays import Ints
from filters.length.match import Target, shares

RUN = "curate run"  # what writes run folders
Measure = Callable[[pl.DataFrame], pl.DataFrame]


def reference_file(path: str) -> Path:
    """The file itself, or the kept rows of a run folder.

    Raises `CurateError` when there is none, or the rows are not as the run wrote them.
    """
    inside = [Path(path) / name for name in ("kept.parquet", "kept.jsonl")]
    rows = list(filter(Path.is_file, inside))
    for file in rows if is_made_by(Path(path), RUN) else []:
        check_as_written(file, RUN)
    file = rows[0] if rows else Path(path)
    if not file.is_file():
        raise CurateError(f"length: no reference file at {file}; expected lengths or a run's rows")
    return file


def read_reference(path: str, measure: Measure) -> pl.DataFrame:
    """`length` and `task` (null when only numbers are known) of every row of a reference.

    The file is a run's table, a JSON list, or has one JSON value a line; a value is a length (a
    whole number, in the unit of the step) or an object with `messages`, which `measure` then
    measures.
    """
    file = reference_file(path)
    if file.suffix == ".parquet":
        return measure(_kept_rows(file)).select("length", "task").cast(_KNOWN)
    values = _values(file)
    if not values:
        raise CurateError(f"{file}: no lengths in this reference; expected at least one row")
    if all(type(value) is int and value >= 0 for value in values):
        return pl.DataFrame({"length": values, "task": None}, schema=_KNOWN)
    for number, value in enumerate(values, 1):
        if not isinstance(value, dict) or not isinstance(value.get("messages"), list):
            raise CurateError(
                f"{file}: entry {number} is {_shown(value)}; expected a length (a whole number) or"
                " an object with 'messages', and the same in all entries"
            )
    return measure(_records(values, file)).select("length", "task").cast(_KNOWN)


_KNOWN = pl.Schema({"length": pl.Int64, "task": pl.String})


def target_shares(reference: pl.DataFrame, min_rows: int) -> tuple[Target, dict[str, int]]:
    """The target of each cell, and the cell of each first word that has its own.

    Cell 0 is the reference as a whole. A first word of at least `min_rows` reference rows has
    its own distribution, drawn towards the whole by as many rows' weight: few rows fill few bins.
    """
    lengths: Ints = reference["length"].to_numpy()
    whole = shares(lengths)
    parts, rows = [whole], [len(lengths)]
    cells: dict[str, int] = {}
    counts = reference["task"].drop_nulls().value_counts()
    for task in counts.filter(pl.col("count") >= min_rows)["task"].sort():
        own = reference.filter(task=task)["length"].to_numpy()
        cells[task] = len(parts)
        parts.append((len(own) * shares(own) + min_rows * whole) / (len(own) + min_rows))
        rows.append(len(own))
    return Target(np.stack(parts), np.array(rows, dtype=np.float64)), cells


def _kept_rows(file: Path) -> pl.DataFrame:
    try:
        frame = pl.read_parquet(file, columns=["messages"], glob=False).cast({"messages": MESSAGES})
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        raise CurateError(
            f"{file}: not a table of rows as `curate run` writes it ({error})"
        ) from error
    if not frame.height:
        raise CurateError(f"{file}: no rows in this reference; expected at least one row")
    return with_text(frame)


def _values(file: Path) -> list[Any]:
    import orjson

    raw = file.read_bytes()
    try:
        if raw.lstrip()[:1] == b"[":
            return list(orjson.loads(raw))
        return [orjson.loads(line) for line in raw.splitlines() if line.strip()]
    except orjson.JSONDecodeError as error:
        raise CurateError(
            f"{file}: not JSON ({error}); expected a list or one value a line"
        ) from error


def _records(values: list[Any], file: Path) -> pl.DataFrame:
    import orjson

    # Written out and read again: Polars reads JSON lines far faster than nested Python objects.
    lines = b"\n".join(orjson.dumps({"messages": value["messages"]}) for value in values)
    try:
        frame = pl.read_ndjson(lines, schema={"messages": MESSAGES})
    except pl.exceptions.PolarsError as error:
        raise CurateError(
            f"{file}: its messages are not as `curate run` writes them ({error});"
            " run the dump through `curate run` first"
        ) from error
    return with_text(frame)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
