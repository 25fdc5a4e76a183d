"""Raw rows out of bytes: every row with its line, every unreadable place with its text."""

from __future__ import annotations

import re
from collections.abc import Iterator

from curate.base.errors import CurateError
from curate.sources.files.charsets import as_utf8
from curate.sources.files.delimited import csv_items
from curate.sources.files.inputs import Input
from curate.sources.files.items import AnyItem, Block, IsRow, Item, Note, Numbers
from curate.sources.files.json_rows import json_items
from curate.sources.files.packed import unpack
from curate.sources.files.signatures import what_it_is
from curate.sources.files.tables import is_table, table_items, yaml_items


def items(source: Input, stored: bytes, is_row: IsRow) -> Iterator[AnyItem]:
    """Every row of an input in order; tables and text are told apart by content.

    Its line is where it begins; where lines do not tell rows apart (tables, rows inside of an
    object, several elements of an array on one line) it is the row's number. `is_row` says whether
    an object is a row that some format knows: one that is none may hold lists of rows. Raises
    `CurateError` when nothing in the input can be read.
    """
    yield from map(Note, source.notes)
    if not stored:
        raise CurateError(f"{source.name}: the file is empty (0 bytes)")
    data, broken = unpack(stored, source.name)
    if is_table(data):
        yield from table_items(source.name, data)
        return
    if reason := what_it_is(data):
        raise CurateError(f"{source.name}: {reason}")
    data = as_utf8(data)
    if broken and not data.strip():
        raise CurateError(f"{source.name}: {broken}")
    if data.isspace() or not data:
        raise CurateError(f"{source.name}: the file holds only white space")
    last = 1
    for item in _text_items(source, data, is_row):
        last = _last(item, last)
        yield item
    if broken:
        yield Item(last, reject=f"damaged: {broken}; what follows this line is lost")


def _last(item: AnyItem, last: int) -> int:
    """The line, or the number, of the last row."""
    if isinstance(item, Note | Numbers):
        return last
    return item.lines[-1] if isinstance(item, Block) else item.line


def _text_items(source: Input, data: bytes, is_row: IsRow) -> Iterator[AnyItem]:
    suffix = source.suffix()
    if suffix in (".csv", ".tsv"):
        return csv_items(data, "\t" if suffix == ".tsv" else ",")
    if suffix in (".yaml", ".yml"):
        return yaml_items(source.name, data)
    if _NO_JSON.match(data) and not _BEGINS_JSON.search(data):
        begin = data[:200].decode(errors="backslashreplace").split("\n")[0][:40]
        raise CurateError(
            f"{source.name}: no line begins a JSON object or list (the first is {begin!r}); files "
            "that are not CSV, TSV or YAML by their endings are read as JSON"
        )
    return json_items(data, is_row)


_NO_JSON = re.compile(rb"\s*[^\s\[{]")
_BEGINS_JSON = re.compile(rb"[\[{]")
