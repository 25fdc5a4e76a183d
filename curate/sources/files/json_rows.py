"""Rows out of JSON text: a value a line in blocks, anything else value by value."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Generator, Iterator
from itertools import islice, pairwise
from typing import Any

import orjson

from curate.base.json_text import as_written, exact_decoder, loads_exact, needs_exact
from curate.sources.files.containers import (
    NAMED,
    conversation,
    element,
    is_message,
    may_hold_rows,
    named,
    names_in,
    rows_of,
)
from curate.sources.files.items import AnyItem, Block, IsRow, Item, Note, Starts

# Bytes of lines parsed in one go: large enough to spread the cost of a call, small beside a file.
BLOCK = 1 << 22

# What may stand between values besides white space: commas, byte order marks of files that were
# put together, and the record separators of JSON text sequences (RFC 7464).
_GLUE = re.compile("[\\s,\ufeff\x1e]*")
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
        yield from _document_items(data, is_row)
        return
    item = line_item(line, 1)
    if item.reject is None:
        # One line may be a whole file's object, with the rows inside.
        yield from _numbered(rows_of(item.value, is_row, alone=True))
    elif item.reject.startswith("invalid_utf8"):
        yield item
    else:
        yield from _document_items(data, is_row)


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
        yield from _values(_Cursor(text, line), is_row)
    else:
        yield from _document_items(data, is_row)


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
        yield from _at(line, rows_of(value, is_row, alone=False))


def _at(line: int, rows: Iterator[Item | Note]) -> Iterator[Item | Note]:
    for row in rows:
        yield Item(line, *row[1:]) if isinstance(row, Item) else row


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
            yield from _at(number, rows_of(item.value, is_row, alone=False))
        elif _goes_on(text, following):
            return number
        else:
            yield from _at(number, iter(_glued(line, is_row) or [line_item(text.strip(), number)]))
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
    begins = _GLUE.match(line)
    start = begins.end() if begins else 0
    if not following.strip() or line[start : start + 1] not in ("{", "["):
        return False
    wrong = _wrong_at(line, start)
    if wrong != len(line):
        return wrong == _UNREADABLE and line[start] == "["  # its other elements can be read
    after = following.decode(errors="backslashreplace").strip()
    return _wrong_at(f"{line}\n{after}", start) != len(line) + 1


_UNREADABLE = -1  # JSON, but with numbers too long or nested too deeply to be read


def _wrong_at(text: str, start: int) -> int | None:
    """The position at which a value turns out to be no JSON; None if it does nowhere."""
    try:
        _DECODER.raw_decode(text, start)
    except json.JSONDecodeError as error:
        is_cut = not text[error.pos :].strip()
        return len(text) if is_cut else error.pos
    except (ValueError, RecursionError):
        return _UNREADABLE
    return None


def _glued(line: bytes, is_row: IsRow) -> list[Item | Note] | None:
    """The rows of objects and lists that share a line; None for a line that is none of these."""
    at = _Cursor(line.decode(errors="backslashreplace"), 1)
    items: list[Item | Note] = []
    while at.skip():
        if at.text[at.position] not in "{[":
            return None
        try:
            items += rows_of(at.value(), is_row, alone=False)
        except (ValueError, RecursionError) as error:
            if not items:
                return None
            wrong = f"invalid_json: {_reason(error, at.position)}"
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
        value = _DECODER.decode(text)
        check_unicode(value)
    except (ValueError, RecursionError):
        return Item(number, reject=f"invalid_json: {error}", raw=text)
    return Item(number, value, raw=text)


def check_unicode(value: Any, default: Callable[[Any], Any] | None = None) -> None:
    """Raise ValueError for half a surrogate pair, which is no character and cannot be stored.

    `default` gives what is written for a value without a JSON type.
    """
    if default is None:
        try:
            orjson.dumps(value, default=as_written)
            return
        except TypeError:
            pass  # half a pair, or only what the fast writer does not take
    json.dumps(value, ensure_ascii=False, default=default).encode()


_DECODER = exact_decoder()


class _Cursor:
    """A position in JSON text, and the line that it is on."""

    def __init__(self, text: str, line: int) -> None:
        self.text, self.line, self.position = text, line, 0
        self._suspicious = "\\ud" in text or "\\uD" in text

    def move(self, position: int) -> None:
        """Go on to a later position."""
        self.line += self.text.count("\n", self.position, position)
        self.position = position

    def skip(self) -> bool:
        """Go on to what is neither white space nor a comma; False at the end of the text."""
        gap = _GLUE.match(self.text, self.position)
        self.move(gap.end() if gap else self.position)
        return self.position < len(self.text)

    def value(self) -> Any:
        """The value that begins here, which is gone past; raises what the parser does."""
        value, end = _DECODER.raw_decode(self.text, self.position)
        if self._suspicious and self._has_surrogates(end):
            check_unicode(value)
        self.move(end)
        return value

    def _has_surrogates(self, end: int) -> bool:
        """Whether the text from here to `end` may hold escapes of surrogates."""
        halves = (self.text.find(half, self.position, end) for half in ("\\ud", "\\uD"))
        return any(at >= 0 for at in halves)


def _document_items(data: bytes, is_row: IsRow) -> Iterator[AnyItem]:
    """The rows of values over several lines, numbered; the lines come last, if they tell apart."""
    lines: list[int] = []
    item = Item(1)
    for row in _values(_Cursor(data.decode(errors="backslashreplace"), 1), is_row):
        if isinstance(row, Item):
            item = row
            lines.append(row.line)
            row = Item(len(lines), *row[1:])
        yield row
    # A reject at the end is what follows the rows, and may begin where the last of them does.
    rows = lines if item.reject is None else lines[:-1]
    if all(first < second for first, second in pairwise(rows)):
        yield Starts(lines)


def _values(at: _Cursor, is_row: IsRow) -> Iterator[Item | Note]:
    """The rows of all values of a text, each with the line on which it begins."""
    is_first = True
    while at.skip():
        line = at.line
        if at.text[at.position] == "[":
            yield from _array(at, is_row)
        else:
            try:
                value = at.value()
            except (ValueError, RecursionError) as error:
                yield _broken(at, error, _next_value(at.text, at.position))
            else:
                alone = is_first and not at.skip()
                yield from _at(line, rows_of(value, is_row, alone=alone))
        is_first = False


def _array(at: _Cursor, is_row: IsRow) -> Iterator[Item | Note]:
    """The rows of an array, one by one: a broken element takes no other one with it."""
    if (whole := _conversation(at, is_row)) is not None:
        yield whole
        return
    names: list[str] | None = None
    is_first = True
    at.position += 1
    while at.skip():
        line = at.line
        if at.text[at.position] == "]":
            at.position += 1
            return
        try:
            value = at.value()
        except (ValueError, RecursionError) as error:
            yield _broken_element(at, error)
            if at.position == len(at.text):
                return
            continue
        if is_first and (names := names_in(value, is_row)):
            yield Note(NAMED)
        elif names:
            yield named(names, value, "the first list")._replace(line=line)
        elif type(value) is dict and "row" not in value:
            yield Item(line, value)  # what `element` gives for nearly all
        else:
            yield from _at(line, element(value, is_row))
        is_first = False
    yield Item(at.line, reject="invalid_json: the array is never closed; what followed it is lost")


def _conversation(at: _Cursor, is_row: IsRow) -> Item | None:
    """The array that begins here as one row, if it is one of messages; else it is not gone past.

    A conversation with a broken message is a reject: one that lacks a turn says something else.
    """
    gap = _GLUE.match(at.text, at.position + 1)
    try:
        first, _ = _DECODER.raw_decode(at.text, gap.end() if gap else at.position + 1)
        if not is_message(first) or is_row(first):
            return None
    except (ValueError, RecursionError):
        return None
    line, begins = at.line, at.position
    try:
        messages = at.value()
    except (ValueError, RecursionError) as error:
        return _broken(at, error, _next_value(at.text, begins))
    if all(map(is_message, messages)):
        return Item(line, conversation(messages))
    at.line, at.position = line, begins
    return None


def _broken(at: _Cursor, error: Exception, end: int, more: str = "") -> Item:
    """A reject for the text from here to `end`, which is gone past."""
    raw = at.text[at.position : end].rstrip().removesuffix(",")
    item = Item(at.line, reject=f"invalid_json: {_reason(error, at.position)}{more}", raw=raw)
    at.move(end)
    return item


def _reason(error: Exception, start: int) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg} at character {error.pos - start} of the element"
    if isinstance(error, RecursionError):
        return "nested too deeply"
    # Python reads no integers of more digits than this.
    return "a number of more than 4,300 digits" if "digits" in str(error) else str(error)


def _next_value(text: str, start: int) -> int:
    """Where reading can go on after a broken value: where a line begins with another, or the end.

    It is indented as the broken one is: what is indented further is inside of that.
    """
    indent = text[text.rfind("\n", 0, start) + 1 : start]
    indent = "" if indent.strip() else indent
    found = (text.find(f"\n{indent}{opening}", start) for opening in "{[")
    places = [place + 1 + len(indent) for place in found if place >= 0]
    return min(places, default=len(text))


def _broken_element(at: _Cursor, error: Exception) -> Item:
    end = _next_element(at.text, at.position)
    # At the end of the text, nothing tells the rows behind it from its own text.
    lost = "; the file ends with it, and any row behind it is lost"
    return _broken(at, error, end, lost if end == len(at.text) else "")


def _next_element(text: str, start: int) -> int:
    """Where reading can go on after a broken element: the next object, or the end.

    An object that begins a line as the broken element does (same indentation) is its neighbour;
    without one, what follows the next closed object.
    """
    indent = text[text.rfind("\n", 0, start) + 1 : start]
    if not indent.strip():
        neighbour = text.find(f"\n{indent}{{", start)
        if neighbour >= 0:
            return neighbour + 1 + len(indent)
    following = _NEXT_OBJECT.search(text, start)
    return following.end() if following else len(text)


_NEXT_OBJECT = re.compile(r"\}\s*,\s*(?=\{)")
