"""Raw rows out of bytes: every row with its line, every unreadable place with its text."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import orjson

from curate.base.errors import CurateError
from curate.sources.files.charsets import as_utf8, encoding_of
from curate.sources.files.delimited import csv_items
from curate.sources.files.inputs import Input
from curate.sources.files.items import AnyItem, Block, IsRow, Item, Note, Numbers
from curate.sources.files.json_rows import json_items
from curate.sources.files.packed import Damage, unpack
from curate.sources.files.signatures import what_it_is
from curate.sources.files.tables import is_table, table_items
from curate.sources.files.yaml_rows import yaml_items


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
    data, damages = unpack(stored, source.name, source.budget)
    if is_table(data):
        yield from _table(source.name, data, damages)
        return
    if reason := what_it_is(data):
        raise CurateError(f"{source.name}: {reason}")
    text = as_utf8(data)
    if encoding_of(data) is None:
        mark = len(data) - len(text)  # bytes that were taken away in front
        data, damaged = around(text, [each._replace(at=each.at - mark) for each in damages])
    else:
        damages += _cut_character(data)
        data, damaged = text, []
    if damages and not data.strip():
        raise CurateError(f"{source.name}: {damages[0].wrong}")
    if data.isspace() or not data:
        raise CurateError(f"{source.name}: the file holds only white space")
    last = 1
    for item in _text_items(source, data, is_row):
        last = last_line(item, last)
        yield item
    for item in damaged or [_damaged(damage, last) for damage in damages]:
        yield item


def _cut_character(data: bytes) -> tuple[Damage, ...]:
    """What is wrong with the end of text in units of two or four bytes; none if it is whole."""
    width = 4 if "32" in (encoding_of(data) or "") else 2
    more = len(data) % width
    return (Damage(len(data), f"the text ends {more} bytes into a character"),) if more else ()


def _table(name: str, data: bytes, damages: tuple[Damage, ...]) -> Iterator[AnyItem]:
    """The rows of a table; of one that was packed in damaged data, if there are any."""
    last = 1
    try:
        for item in table_items(name, data):
            last = last_line(item, last)
            yield item
    except CurateError as error:
        raise CurateError(f"{error}; {damages[0].wrong}" if damages else str(error)) from error
    yield from (_damaged(damage, last) for damage in damages)


def around(data: bytes, damages: Sequence[Damage]) -> tuple[bytes, list[Item]]:
    """The text without the lines that break off at damage, and a reject for each damage.

    The piece of a line that is left there is the text of the reject. A text of one line stays as
    it is: what is whole in it can be read.

    >>> around(b"{}\\n[1, 2", [Damage(9, "it ends")])[0]
    b'{}\\n'
    """
    if not damages or b"\n" not in data:
        return data, []
    parts: list[bytes] = []
    rejects: list[Item] = []
    begin, line = 0, 1
    for damage in damages:
        cut = damage.at
        if damage.cuts and not _is_row(data[data.rfind(b"\n", 0, cut) + 1 : cut]):
            cut = max(data.rfind(b"\n", begin, cut) + 1, begin)
        parts.append(data[begin:cut])
        line += parts[-1].count(b"\n")
        rejects.append(_damaged(damage, line, data[cut : damage.at]))
        if damage.cuts and damage.at < len(data):
            parts.append(b"\n")
            line += 1
        begin = damage.at
    return b"".join([*parts, data[begin:]]), rejects


def _is_row(line: bytes) -> bool:
    try:
        orjson.loads(line)
    except ValueError:
        return False
    return True


def _damaged(damage: Damage, line: int, text: bytes = b"") -> Item:
    raw = text.decode(errors="backslashreplace")
    return Item(line, reject=f"damaged: {damage.wrong}", raw=raw)


def last_line(item: AnyItem, last: int) -> int:
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
