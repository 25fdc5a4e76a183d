"""Rows out of CSV and its kin: what separates them, what their header says, what is a number."""

from __future__ import annotations

import csv
import io
import re
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from curate.sources.files.columns import converters, is_known
from curate.sources.files.items import Item, Note

if TYPE_CHECKING:
    from _csv import Reader as _Reader

_SEPARATORS = {",": "commas", "\t": "tabs", ";": "semicolons", "|": "vertical bars"}


class _Table(NamedTuple):
    """The text of a table from its header on, and how it is to be read."""

    text: str
    delimiter: str
    header: list[str]
    above: int  # lines above the header

    def rows(self) -> _Reader:
        """A reader behind the header."""
        rows = _reader(self.text, self.delimiter)
        next(rows)
        return rows


def csv_items(data: bytes, delimiter: str) -> Iterator[Item | Note]:
    """Rows of a table with a header; the line is the row's first one.

    Values are text, but for columns of numbers and of true and false (see `columns`). Another
    separator is found by the names of known fields in the header.
    """
    # The whole field may be a long answer: the module's own limit of 128 KB would be an error.
    csv.field_size_limit(sys.maxsize)
    text = data.decode(errors="surrogateescape").lstrip("\ufeff")
    try:
        table = _table(text, delimiter)
    except (csv.Error, StopIteration) as error:
        yield Item(1, reject=f"invalid_csv: no header ({error})", raw=_rest(data, 1))
        return
    if table.delimiter != delimiter:
        yield Note(f"the columns are separated by {_SEPARATORS[table.delimiter]}")
    yield from _of_header(table)
    yield from _rows(table, data)


def _table(text: str, delimiter: str) -> _Table:
    stated = re.match(r"sep=(.)\r?\n", text)  # Excel's way to tell what it separates by
    if stated and stated[1] in _SEPARATORS:
        text = text[stated.end() :]
        return _Table(text, stated[1], _header(text, stated[1]), above=1)
    header = _header(text, delimiter)
    if len(header) == 1 or not any(map(is_known, header)):
        for other in _SEPARATORS:
            names = _header(text, other, strict=False)
            if len(names) > len(header) and sum(map(is_known, names)) > 1:
                return _Table(text, other, names, above=0)
    return _Table(text, delimiter, header, above=0)


def _reader(text: str, delimiter: str, *, strict: bool = True) -> _Reader:
    return csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=strict)


def _header(text: str, delimiter: str, *, strict: bool = True) -> list[str]:
    names = next(_reader(text, delimiter, strict=strict))
    return [_visible(name).strip(" \t\ufeff") for name in names]


def _of_header(table: _Table) -> Iterator[Item | Note]:
    """What is to be said of a header that names no known field: it may be the first row."""
    if any(map(is_known, table.header)):
        return
    shown = ", ".join(name if len(name) < 40 else f"{name[:40]}..." for name in table.header[:5])
    if any(_DATA.search(name) or len(name) > 60 for name in table.header):
        wrong = "the first line looks like a row, not like the names of the columns"
        raw = table.delimiter.join(table.header)
        yield Item(
            1 + table.above,
            reject=f"invalid_csv: {wrong}; put a line with the names above it",
            raw=raw,
        )
    else:
        yield Note(f"no name in the header is that of a known field: {shown}")


# Names of columns are neither sentences nor numbers, nor lists.
_DATA = re.compile(r"[?!.]$|\n|^\s*-?\d+([.,]\d+)?\s*$|^\s*[\[{]")


def _rows(table: _Table, data: bytes) -> Iterator[Item]:
    header, rows = table.header, table.rows()
    numbers = converters(header, table.rows())
    line = rows.line_num + 1
    while True:
        at = line + table.above
        try:
            row = next(rows, None)
        except csv.Error as error:
            yield Item(at, reject=f"invalid_csv: {error}", raw=_rest(data, at))
            return
        if row is None:
            return
        if row:
            item = _item(at, header, row, table.delimiter)
            for name, convert in numbers.items() if item.reject is None else ():
                item.value[name] = convert(item.value[name])
            yield item
        line = rows.line_num + 1


def _item(line: int, header: list[str], row: list[str], delimiter: str) -> Item:
    if _BROKEN.search("".join(row)):
        wrong = "invalid_utf8: bytes that are not UTF-8; save the file as UTF-8"
        return Item(line, reject=wrong, raw=_visible(delimiter.join(row)))
    if len(row) != len(header):
        wrong = f"invalid_csv: {len(row)} fields; the header has {len(header)}"
        if len(header) == 1 and delimiter == "," and ";" in header[0]:
            wrong += "; it seems to be separated by semicolons: save it with commas"
        return Item(line, reject=wrong, raw=delimiter.join(row))
    fields = _fields(header, row)
    if isinstance(fields, str):
        return Item(line, reject=fields, raw=delimiter.join(row))
    return Item(line, fields)


def _fields(header: Sequence[str], row: Sequence[str]) -> dict[str, str] | str:
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
