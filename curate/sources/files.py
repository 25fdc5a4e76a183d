"""Raw rows out of bytes: every row with its line, every unreadable place with its text."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import orjson

from curate.base.errors import CurateError
from curate.sources.inputs import Input, unpack
from curate.sources.items import AnyItem, Block, Item, Starts
from curate.sources.tables import csv_items, table_items, yaml_items

# Bytes of lines parsed in one go: large enough to spread the cost of a call, small beside a file.
BLOCK = 1 << 22

IsRow = Callable[[Any], bool]


def items(source: Input, stored: bytes, is_row: IsRow) -> Iterator[AnyItem]:
    """Every row of an input in order; tables and text are told apart by content.

    Its line is where it begins; where lines do not tell rows apart (tables, rows inside of an
    object, several elements of an array on one line) it is the row's number. `is_row` says whether
    an object is a row that some format knows: one that is none may hold lists of rows. Raises
    `CurateError` when nothing in the input can be read.
    """
    if not stored:
        raise CurateError(f"{source.name}: the file is empty (0 bytes)")
    if stored.startswith((b"PAR1", b"ARROW1", b"\xff\xff\xff\xff")):
        yield from table_items(source.name, stored)
        return
    data, broken = unpack(stored, source.name)
    data = _utf8(data)
    if broken and not data.strip():
        raise CurateError(f"{source.name}: {broken}")
    if data.isspace() or not data:
        raise CurateError(f"{source.name}: the file holds only white space")
    item: AnyItem = Item(1)
    for item in _text_items(source, data, is_row):
        yield item
    if broken:
        yield Item(_last(item), reject=f"damaged: {broken}; what follows this line is lost")


def _last(item: AnyItem) -> int:
    """The line, or the number, of the last row."""
    if isinstance(item, Starts):
        return len(item.lines)
    return item.lines[-1] if isinstance(item, Block) else item.line


def _text_items(source: Input, data: bytes, is_row: IsRow) -> Iterator[AnyItem]:
    suffix = source.suffix()
    if suffix in (".csv", ".tsv"):
        return csv_items(data, "\t" if suffix == ".tsv" else ",")
    if suffix in (".yaml", ".yml"):
        return yaml_items(source.name, data)
    return _json_items(data, is_row) if _is_json_document(data) else _line_items(data, is_row)


def _utf8(data: bytes) -> bytes:
    """Text as UTF-8 without byte order mark; broken UTF-16 stays broken, and is rejected later."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        # An odd byte at the end is half a character: it may not take the whole file with it.
        text = data[: len(data) // 2 * 2].decode("utf-16", errors="surrogatepass")
        return text.encode("utf-8", errors="surrogatepass")
    return data.removeprefix(b"\xef\xbb\xbf")


def _is_json_document(data: bytes) -> bool:
    """True for one JSON value over the whole file, False for one a line."""
    first = re.search(rb"\S", data)
    start = first.start() if first else 0
    if data[start : start + 1] not in (b"[", b"{"):
        return False
    end = data.find(b"\n", start)
    only_line = end < 0 or re.compile(rb"\S").search(data, end) is None
    line = data[start:] if end < 0 else data[start:end]
    if line.startswith(b"["):
        return only_line or not _parses(line)
    return not only_line and not _parses(line) and _parses(data)


def _parses(text: bytes) -> bool:
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError:
        return False
    return True


def _line_items(data: bytes, is_row: IsRow) -> Iterator[Item | Block]:
    if b"\r" in data:
        data = _with_line_feeds(data)
    if data.find(b"\n", data.find(b"\n") + 1) < 0 and b"\n" not in data.strip():
        # One line may be a whole file's object, with the rows inside.
        item = line_item(data.strip(), 1)
        yield from _rows_in(item.value, is_row) if item.reject is None else [item]
        return
    start, number = 0, 1
    # Blocks end with a line, so that a large file is never held twice.
    while start < len(data):
        end = data.find(b"\n", min(start + BLOCK, len(data)))
        end = len(data) if end < 0 else end + 1
        texts = data[start:end].split(b"\n")
        following = number + len(texts) - 1
        yield from _block_items(texts, number)
        start, number = end, following


def _with_line_feeds(data: bytes) -> bytes:
    """Line ends of an old kind as usual ones, also where only some are: between two rows."""
    if b"\n" not in data:
        return data.replace(b"\r", b"\n")  # JSON escapes those in text
    return _OLD_END.sub(b"\n", data)


_OLD_END = re.compile(rb"\r(?=\{)(?<=\}\r)")


def _block_items(texts: list[bytes], first: int) -> Iterator[Item | Block]:
    """The rows of some lines: together if all can be read, else line by line."""
    if texts and not texts[-1]:
        texts.pop()  # what stands behind the last line's end
    try:
        yield Block(list(range(first, first + len(texts))), list(map(orjson.loads, texts)))
        return
    except orjson.JSONDecodeError:
        pass  # an empty line, or one that takes a second look
    numbered = [(first + at, text) for at, text in enumerate(texts) if text and not text.isspace()]
    if not numbered:
        return
    try:
        values = [orjson.loads(text) for _, text in numbered]
    except orjson.JSONDecodeError:
        for number, text in numbered:
            yield line_item(text.strip(), number)
        return
    yield Block([number for number, _ in numbered], values)


def line_item(line: bytes, number: int) -> Item:
    """The row that one line of JSON Lines holds, or a reject."""
    try:
        return Item(number, orjson.loads(line))
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
        value = json.loads(text)
        check_unicode(value)
    except (ValueError, RecursionError):
        return Item(number, reject=f"invalid_json: {error}", raw=text)
    return Item(number, value, raw=text)


def check_unicode(value: Any, default: Callable[[Any], Any] | None = None) -> None:
    """Raise ValueError for half a surrogate pair, which is no character and cannot be stored.

    `default` gives what is written for a value without a JSON type.
    """
    json.dumps(value, ensure_ascii=False, default=default).encode()


_DECODER = json.JSONDecoder()
_NEXT_OBJECT = re.compile(r"\}\s*,\s*(?=\{)")
_SPACE = re.compile(r"[\s,]*")


def _json_items(data: bytes, is_row: IsRow) -> Iterator[Item | Starts]:
    """Elements of a JSON array, or the rows inside a JSON object."""
    text = data.decode(errors="backslashreplace")
    if text.lstrip().startswith("{"):
        yield from _rows_in(json.loads(text), is_row)
        return
    lines: list[int] = []
    item = Item(1)
    for item in _elements(text):
        lines.append(item.line)
        yield item._replace(line=len(lines))
    # A reject at the end is what follows the rows, and may begin where the last of them does.
    rows = lines if item.reject is None else lines[:-1]
    if all(first < second for first, second in pairwise(rows)):
        yield Starts(lines)


def _elements(text: str) -> Iterator[Item]:
    """Elements of a JSON array with the line on which each begins."""
    position = text.index("[") + 1
    line = 1 + text.count("\n", 0, position)
    suspicious = "\\ud" in text or "\\uD" in text
    while True:
        gap = _SPACE.match(text, position)
        start = gap.end() if gap else position
        line += text.count("\n", position, start)
        if start >= len(text):
            wrong = "the array is never closed; what followed it is lost"
            yield Item(line, reject=f"invalid_json: {wrong}", raw=text[position:])
            return
        if text[start] == "]":
            if text[start + 1 :].strip():
                wrong = "invalid_json: text after the end of the array"
                yield Item(line, reject=wrong, raw=text[start + 1 :].strip())
            return
        try:
            value, end = _DECODER.raw_decode(text, start)
            if suspicious:
                check_unicode(value)
            yield Item(line, value)
        except (ValueError, RecursionError) as error:
            end = _next_element(text, start)
            raw = text[start:end].rstrip().removesuffix(",")
            why = _reason(error, start)
            if end == len(text):
                # Nothing tells the rows behind it from its own text.
                why += "; the file ends with it, and any row behind it is lost"
            yield Item(line, reject=f"invalid_json: {why}", raw=raw)
            if end == len(text):
                return
        line += text.count("\n", start, end)
        position = end


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


def _reason(error: Exception, start: int) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg} at character {error.pos - start} of the element"
    return str(error)


def _rows_in(value: Any, is_row: IsRow) -> Iterator[Item]:
    """The rows of one JSON object: itself, its lists of objects, or its objects by name.

    The parser tells no lines, so they are numbered.
    """
    if not isinstance(value, dict) or is_row(value):
        yield Item(1, value)
        return
    lists = [inner for inner in value.values() if _holds_objects(inner)]
    rows = [row for inner in lists for row in inner]
    if not lists and any(is_row(inner) for inner in value.values()):
        rows = [inner for inner in value.values() if isinstance(inner, dict)]
    for number, row in enumerate(rows or [value], 1):
        yield Item(number, row)


def _holds_objects(value: Any) -> bool:
    return isinstance(value, list) and any(isinstance(row, dict) for row in value)
