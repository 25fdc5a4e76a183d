"""Rows out of JSON text: a value a line in blocks, anything else value by value."""

from __future__ import annotations

import json
import re
from collections.abc import Generator, Iterator
from itertools import islice

import orjson

from curate.base.json_text import loads_exact, needs_exact
from curate.sources.files.containers import may_hold_rows, rows_of
from curate.sources.files.items import AnyItem, Block, IsRow, Item, Note
from curate.sources.files.json_values import (
    DECODER,
    GLUE,
    UNREADABLE,
    Cursor,
    check_unicode,
    document_items,
    each_at,
    reason,
    values,
    wrong_at,
)

# Bytes of lines parsed in one go: large enough to spread the cost of a call, small beside a file.
BLOCK = 1 << 22

# `GLUE` in bytes.
_BYTE_GLUE = re.compile(rb"(?:[\s,\x1e]|\xef\xbb\xbf)*")


def json_items(data: bytes, is_row: IsRow) -> Iterator[AnyItem]:
    """Every row of JSON text, in whatever way its values stand: one a line, over lines, glued.

    Commas and white space may stand between values. Lists and objects that hold rows are taken
    apart by `containers.rows_of`.
    """
    if b"\r" in data:
        data = _with_line_feeds(data)
    if _has_lines(data):
        yield from _line_items(data, is_row)
        return
    line = _stripped(data)
    if line.startswith(b"["):
        yield from document_items(data, is_row)
        return
    item = line_item(line, 1)
    if item.reject is None:
        # One line may be a whole file's object, with the rows inside.
        yield from _numbered(rows_of(item.value, is_row, alone=True))
    elif item.reject.startswith("invalid_utf8"):
        yield item
    else:
        yield from document_items(data, is_row)


def _has_lines(data: bytes) -> bool:
    """Whether there is more than one line; without a copy of the data."""
    begins = _NOT_SPACE.search(data)
    end = data.find(b"\n", begins.start() if begins else 0)
    return end >= 0 and _NOT_SPACE.search(data, end) is not None


_NOT_SPACE = re.compile(rb"\S")


def _with_line_feeds(data: bytes) -> bytes:
    """Line ends of an old kind as usual ones, also where only some are: between two rows."""
    if b"\n" not in data:
        return data.replace(b"\r", b"\n")  # JSON escapes those in text
    return _OLD_END.sub(b"\n", data)


_OLD_END = re.compile(rb"\r(?=\{)(?<=\}\r)")


def _stripped(line: bytes) -> bytes:
    glue = _BYTE_GLUE.match(line)
    return line[glue.end() if glue else 0 :].rstrip(b" \t\r\n,")


def _line_items(data: bytes, is_row: IsRow) -> Iterator[AnyItem]:
    start, number = 0, 1
    # Blocks end with a line, so that a large file is never held twice.
    while start < len(data):
        end = data.find(b"\n", min(start + BLOCK, len(data)))
        end = len(data) if end < 0 else end + 1
        piece = data[start:end]
        texts = piece.split(b"\n")
        following = number + len(texts) - 1
        block = _block(texts, number)
        if block is not None:
            yield from _block_items(block, is_row)
        else:
            after = data[end : end + 256].lstrip().split(b"\n")[0]
            opened = yield from _each_line(texts, number, after, is_row)
            if opened is not None:
                start += sum(len(text) + 1 for text in texts[: opened - number])
                yield from _beyond_lines(data, start, opened, is_row)
                return
        start, number = end, following


def _beyond_lines(data: bytes, start: int, line: int, is_row: IsRow) -> Iterator[AnyItem]:
    """The rows from a place on where a value goes on in the next line: lines tell none apart."""
    if _stripped(data[:start]):
        text = data[start:].decode(errors="backslashreplace")
        yield from values(Cursor(text, line), is_row)
    else:
        yield from document_items(data, is_row)


def _block(texts: list[bytes], first: int) -> Block | None:
    """The values of some lines, if each line but the empty ones holds one."""
    if texts and not texts[-1]:
        texts.pop()  # what stands behind the last line's end
    # In a document over many lines the first one tells; a look at the whole piece takes longer.
    if not all(_is_json(text) for _, text in islice(_filled(texts, first), 1)):
        return None
    try:
        return Block(list(range(first, first + len(texts))), list(map(orjson.loads, texts)), texts)
    except ValueError:
        pass  # an empty line, or one that takes a second look
    try:
        found = [(number, orjson.loads(text), text) for number, text in _filled(texts, first)]
    except ValueError:
        return None
    return Block(*map(list, zip(*found, strict=True))) if found else Block([], [], [])


def _filled(texts: list[bytes], first: int) -> Iterator[tuple[int, bytes]]:
    """The lines that are not empty, with their numbers."""
    return ((at, text) for at, text in enumerate(texts, first) if text and not text.isspace())


def _is_json(line: bytes) -> bool:
    """Whether a line holds one value for any of the parsers."""
    try:
        orjson.loads(line)
    except ValueError:
        try:
            json.loads(line)
        except (ValueError, RecursionError):
            return False
    return True


def _block_items(block: Block, is_row: IsRow) -> Iterator[Item | Block | Note]:
    """The rows of a block: together, unless its first value or any list in it may hold rows."""
    if not block.values:
        return
    if not may_hold_rows(block.values[0]) and list not in set(map(type, block.values)):
        yield block
        return
    for line, value in zip(block.lines, block.values, strict=True):
        yield from each_at(line, rows_of(value, is_row, alone=False))


def _numbered(rows: Iterator[Item | Note]) -> Iterator[Item | Note]:
    number = 0
    for row in rows:
        number += isinstance(row, Item)
        yield row._replace(line=number) if isinstance(row, Item) else row


Opened = int | None


def _each_line(
    texts: list[bytes], first: int, after: bytes, is_row: IsRow
) -> Generator[Item | Note, None, Opened]:
    """The rows of lines that do not all hold one value; `after` is the line that follows them.

    Returns the number of the first line whose value goes on in the next one, if there is such.
    """
    # Line by line: where a value goes on in the next line, the many after it are not looked at.
    for number, text, line, following in _with_followers(texts, first, after):
        item = line_item(line, number)
        if item.reject is None and not may_hold_rows(item.value):
            yield item
        elif item.reject is None:
            yield from each_at(number, rows_of(item.value, is_row, alone=False))
        elif _goes_on(text, following):
            return number
        else:
            yield from each_at(
                number, iter(_glued(line, is_row) or [line_item(text.strip(), number)])
            )
    return None


def _with_followers(
    texts: list[bytes], first: int, after: bytes
) -> Iterator[tuple[int, bytes, bytes, bytes]]:
    """Each line that is not empty: its number, itself, it without glue, and the one after it."""
    before: tuple[int, bytes, bytes] | None = None
    for number, text in enumerate(texts, first):
        if line := _stripped(text):
            if before:
                yield *before, text
            before = number, text, line
    if before:
        yield *before, after


def _goes_on(text: bytes, following: bytes) -> bool:
    """Whether the value that a line begins is cut short by its end, and may go on in the next."""
    line = text.decode(errors="backslashreplace").rstrip()
    begins = GLUE.match(line)
    start = begins.end() if begins else 0
    if not following.strip() or line[start : start + 1] not in ("{", "["):
        return False
    wrong = wrong_at(line, start)
    if wrong != len(line):
        return wrong == UNREADABLE and line[start] == "["  # its other elements can be read
    after = following.decode(errors="backslashreplace").strip()
    return wrong_at(f"{line}\n{after}", start) != len(line) + 1


def _glued(line: bytes, is_row: IsRow) -> list[Item | Note] | None:
    """The rows of objects and lists that share a line; None for a line that is none of these."""
    at = Cursor(line.decode(errors="backslashreplace"), 1)
    items: list[Item | Note] = []
    while at.skip():
        if at.text[at.position] not in "{[":
            return None
        try:
            items += rows_of(at.value(), is_row, alone=False)
        except (ValueError, RecursionError) as error:
            if not items:
                return None
            wrong = f"invalid_json: {reason(error)}"
            return [*items, Item(0, reject=wrong, raw=at.text[at.position :])]
    return items


def line_item(line: bytes, number: int) -> Item:
    """The row that one line of JSON Lines holds, or a reject."""
    try:
        value = orjson.loads(line)
        return Item(number, loads_exact(line) if needs_exact(line) else value)
    except orjson.JSONDecodeError as error:
        return _second_try(line, number, str(error))


def _second_try(line: bytes, number: int, error: str) -> Item:
    """Python's own parser takes NaN and huge integers, which the fast one refuses."""
    try:
        text = line.decode()
    except UnicodeDecodeError as broken:
        raw = line.decode(errors="backslashreplace")
        return Item(number, reject=f"invalid_utf8: {broken.reason}", raw=raw)
    try:
        value = DECODER.decode(text)
        check_unicode(value)
    except (ValueError, RecursionError):
        return Item(number, reject=f"invalid_json: {error}", raw=text)
    return Item(number, value, raw=text)
