"""Rows out of tables: parquet, Arrow, CSV, YAML lists."""

from __future__ import annotations

import csv
import io
import re
import sys
from collections.abc import Iterator
from typing import Any

import polars as pl

from curate.base.errors import CurateError
from curate.sources.items import Item


def table_items(name: str, stored: bytes) -> Iterator[Item]:
    """Rows of a parquet file, an Arrow file or an Arrow stream; the line is the row's number.

    Columns that are null in a row are absent from it: a table gives every row the columns of all.
    """
    try:
        if stored.startswith(b"PAR1"):
            frame = pl.read_parquet(stored)
        elif stored.startswith(b"ARROW1"):
            frame = pl.read_ipc(stored)
        else:
            frame = pl.read_ipc_stream(stored)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise CurateError(f"{name}: not a readable parquet or Arrow file ({error})") from error
    # Rows become Python objects because every format reads rows; columns come back in `build`.
    for number, row in enumerate(frame.iter_rows(named=True), 1):
        yield Item(number, {key: value for key, value in row.items() if value is not None})


def csv_items(data: bytes, delimiter: str) -> Iterator[Item]:
    """Rows of a CSV file with a header, all values as text; the line is the row's first one."""
    # The whole field may be a long answer: the module's own limit of 128 KB would be an error.
    csv.field_size_limit(sys.maxsize)
    text = io.StringIO(data.decode(errors="surrogateescape"), newline="")
    rows = csv.reader(text, delimiter=delimiter, strict=True)
    try:
        header = [_visible(name) for name in next(rows)]
    except (csv.Error, StopIteration) as error:
        yield Item(1, reject=f"invalid_csv: no header ({error})")
        return
    line = rows.line_num + 1
    while True:
        try:
            row = next(rows, None)
        except csv.Error as error:
            yield Item(line, reject=f"invalid_csv: {error}", raw=_rest(data, line))
            return
        if row is None:
            return
        if _BROKEN.search("".join(row)):
            wrong = "invalid_utf8: bytes that are not UTF-8; save the file as UTF-8"
            yield Item(line, reject=wrong, raw=_visible(delimiter.join(row)))
        elif len(row) == len(header):
            fields = _fields(header, row)
            if isinstance(fields, str):
                yield Item(line, reject=fields, raw=delimiter.join(row))
            else:
                yield Item(line, fields)
        elif row:
            wrong = f"invalid_csv: {len(row)} fields; the header has {len(header)}"
            if len(header) == 1 and delimiter == "," and ";" in header[0]:
                wrong += "; it seems to be separated by semicolons: save it with commas"
            yield Item(line, reject=wrong, raw=delimiter.join(row))
        line = rows.line_num + 1


def _fields(header: list[str], row: list[str]) -> dict[str, str] | str:
    """The row by column; of a column that stands twice, what it says, or why that is unknown."""
    fields = dict(zip(header, row, strict=True))
    if len(fields) == len(header):
        return fields
    for name, value in zip(header, row, strict=True):
        fields[name] = fields[name] or value
    for name, value in zip(header, row, strict=True):
        if value and value != fields[name]:
            return (
                f"invalid_csv: the header has the column {name!r} twice, and here they differ; "
                "rename one"
            )
    return fields


# Bytes that are no UTF-8, as the decoder hands them on.
_BROKEN = re.compile("[\udc80-\udcff]")


def _visible(text: str) -> str:
    return text.encode(errors="surrogateescape").decode(errors="backslashreplace")


def _rest(data: bytes, line: int) -> str:
    """All text from a line on: after a broken quote nothing more can be told apart."""
    lines = list(io.StringIO(data.decode(errors="backslashreplace"), newline=""))
    return "".join(lines[line - 1 :])


def yaml_items(name: str, data: bytes) -> Iterator[Item]:
    """Rows of a YAML list."""
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        # A few aliases can stand for more text than any memory holds.
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(data, Loader=loader)):
            raise CurateError(f"{name}: YAML aliases (*name) are not read; write the values out")
        value: Any = yaml.load(data, Loader=loader)
    except (yaml.YAMLError, RecursionError) as error:
        raise CurateError(f"{name}: not valid YAML ({error})") from error
    if not isinstance(value, list):
        raise CurateError(f"{name}: expected a YAML list of rows, found {type(value).__name__}")
    for number, row in enumerate(value, 1):
        yield Item(number, row)
