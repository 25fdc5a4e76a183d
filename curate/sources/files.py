"""Raw rows out of files: every row with its line, every unreadable place with its text."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from curate.schema import CurateError


class Item(NamedTuple):
    """One raw row, or (when `reject` is set) the text of a place that could not be read."""

    line: int
    value: Any = None
    reject: str | None = None
    raw: str = ""


SUFFIXES = (".json", ".jsonl", ".ndjson", ".parquet")  # each but parquet also with .gz


def expand(names: list[str]) -> list[Path]:
    """The files behind names of files and folders, in the order given, folders sorted by name."""
    found: list[Path] = []
    for name in names:
        path = Path(name)
        if path.is_dir():
            inside = sorted(file for file in path.rglob("*") if _readable(file))
            if not inside:
                raise CurateError(f"{name}: no {', '.join(SUFFIXES)} file in this folder")
            found += inside
        elif path.is_file():
            found.append(path)
        else:
            raise CurateError(f"{name}: no such file or folder")
    return found


def _readable(path: Path) -> bool:
    return path.is_file() and path.name.removesuffix(".gz").endswith(SUFFIXES)


def items(path: Path) -> Iterator[Item]:
    """Every row of a file in order. JSON, JSON lines and parquet are told apart by content."""
    head = _head(path)
    if not head:
        raise CurateError(f"{path}: the file is empty (0 bytes)")
    if head.startswith(b"PAR1"):
        return _parquet_items(path)
    data = _text_bytes(path, head)
    if not data.strip():
        raise CurateError(f"{path}: the file holds only white space")
    return _json_items(data) if _is_json_document(data) else _line_items(data)


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(4)


def _text_bytes(path: Path, head: bytes) -> bytes:
    """The file's text as UTF-8 bytes, unpacked and without a byte order mark."""
    data = path.read_bytes()
    if head.startswith(b"\x1f\x8b"):
        try:
            data = gzip.decompress(data)
        except (OSError, EOFError) as error:
            raise CurateError(f"{path}: the gzip data is damaged ({error})") from error
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16", errors="replace").encode()
    return data.removeprefix(b"\xef\xbb\xbf")


def _is_json_document(data: bytes) -> bool:
    """True for one JSON value over the whole file, False for one a line."""
    first, _, rest = data.lstrip().partition(b"\n")
    if not first.startswith((b"[", b"{")):
        return False
    if not rest.strip():
        return first.startswith(b"[") and not _parses(b"[" + first + b"]", rows_only=True)
    return not _parses(first) and not first.startswith(b'{"')


def _parses(text: bytes, rows_only: bool = False) -> bool:
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return False
    return isinstance(value[0], dict) if rows_only else True


def _line_items(data: bytes) -> Iterator[Item]:
    start, number = 0, 0
    # Lines are cut one at a time so that a large file is never held twice.
    while start < len(data):
        end = data.find(b"\n", start)
        end = len(data) if end < 0 else end
        line = data[start:end].strip()
        start, number = end + 1, number + 1
        if line:
            yield _line_item(line, number)


def _line_item(line: bytes, number: int) -> Item:
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
        _check_unicode(value)
    except ValueError:
        return Item(number, reject=f"invalid_json: {error}", raw=text)
    return Item(number, value)


def _check_unicode(value: Any) -> None:
    """Raise ValueError for half a surrogate pair, which is no character and cannot be stored."""
    json.dumps(value, ensure_ascii=False).encode()


_DECODER = json.JSONDecoder()
_NEXT_OBJECT = re.compile(r"\}\s*,\s*(?=\{)")
_SPACE = re.compile(r"[\s,]*")


def _json_items(data: bytes) -> Iterator[Item]:
    """Elements of a JSON array, or of the first list of objects inside a JSON object."""
    text = data.decode(errors="backslashreplace")
    if text.lstrip().startswith("{"):
        yield from _object_items(text)
        return
    position, line = text.index("[") + 1, 1
    line += text.count("\n", 0, position)
    suspicious = "\\ud" in text or "\\uD" in text
    while True:
        gap = _SPACE.match(text, position)
        start = gap.end() if gap else position
        line += text.count("\n", position, start)
        if start >= len(text) or text[start] == "]":
            return
        try:
            value, end = _DECODER.raw_decode(text, start)
            if suspicious:
                _check_unicode(value)
            yield Item(line, value)
        except (ValueError, RecursionError) as error:
            end = _next_element(text, start)
            raw = text[start:end].rstrip().removesuffix(",")
            yield Item(line, reject=f"invalid_json: {_reason(error, start)}", raw=raw)
        line += text.count("\n", start, end)
        position = end


def _next_element(text: str, start: int) -> int:
    """Where reading can go on after a broken element: the next object, or the end."""
    following = _NEXT_OBJECT.search(text, start)
    return following.end() if following else len(text)


def _reason(error: Exception, start: int) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg} at character {error.pos - start} of the element"
    return str(error)


def _object_items(text: str) -> Iterator[Item]:
    try:
        value = json.loads(text)
        _check_unicode(value)
    except (ValueError, RecursionError) as error:
        yield Item(1, reject=f"invalid_json: {_reason(error, 0)}", raw=text)
        return
    rows = next((inner for inner in value.values() if _is_rows(inner)), [value])
    for row in rows:
        yield Item(1, row)


def _is_rows(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(row, dict) for row in value)


def _parquet_items(path: Path) -> Iterator[Item]:
    import polars as pl

    try:
        frame = pl.read_parquet(path)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise CurateError(f"{path}: not a readable parquet file ({error})") from error
    # Rows become Python objects because every format reads rows; columns come back in `build`.
    for number, row in enumerate(frame.iter_rows(named=True), 1):
        yield Item(number, row)
