"""Rows out of CSV and its kin."""

from __future__ import annotations

import csv
import io
import re
import sys
from collections.abc import Iterator

from curate.sources.items import Item


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
