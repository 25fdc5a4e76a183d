"""What an Arrow file or stream says of its own size, message by message, and its batches apart.

A compressed buffer states to how many bytes it unpacks, and a column of nulls needs no bytes at
all for any number of rows. Heads of messages are tables of FlatBuffers:
https://arrow.apache.org/docs/format/Columnar.html
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

SCHEMA, DICTIONARY, BATCH = 1, 2, 3
# Columns inside each other: readers call themselves for each.
MOST_DEEP = 100
# Bytes that a value takes in memory, whatever it is packed to.
VALUE_BYTES = 8
END = b"\xff\xff\xff\xff\0\0\0\0"
_MARK = b"\xff\xff\xff\xff"


def only_batch(stored: bytes, number: int) -> bytes:
    """An Arrow file with one of its batches alone: its footer lists no other."""
    footer, _ = _footer(stored)
    begin, count = footer.vector(3, 24)
    block = stored[begin + 24 * number : begin + 24 * (number + 1)]
    if number >= count:
        raise ValueError("there is no such batch")
    return b"".join(
        (stored[: begin - 4], struct.pack("<I", 1), block, stored[begin + len(block) :])
    )


class Message(NamedTuple):
    """One message: what it is, its bytes, how many rows it has and what it takes in memory."""

    kind: int
    data: bytes
    rows: int
    size: int


def messages(stored: bytes) -> Iterator[Message]:
    """The messages of a file (as its footer lists them) or of a stream, in order.

    Raises `ValueError` or `struct.error` where there is none.
    """
    if stored.startswith(b"ARROW1"):
        yield from (_message(stored, at)[0] for at in _blocks(stored))
        return
    at = 0
    while at < len(stored) and stored[at : at + 8] != END:
        message, at = _message(stored, at)
        yield message


def _message(stored: bytes, at: int) -> tuple[Message, int]:
    """The message at a place, and where the next one begins."""
    mark = 4 if stored[at : at + 4] == _MARK else 0  # streams of old kind have none
    (length,) = struct.unpack_from("<i", stored, at + mark)
    begin = at + mark + 4
    if length <= 0 or begin + length > len(stored):
        raise ValueError("a message is longer than the file")
    root = _Table(stored, begin + _number("<I", stored, begin), begin + length)
    kind, body_length = root.number(1, "<B"), root.number(3, "<q")
    body = begin + length
    if body_length < 0 or body + body_length > len(stored):
        raise ValueError("the body of a message is longer than the file")
    head, rows, size = root.table(2), 0, 0
    if kind == SCHEMA and head:
        _check_depth(head)
    batch = head.table(1) if kind == DICTIONARY and head else head
    if kind in (DICTIONARY, BATCH) and batch:
        rows = batch.number(0, "<q")
        size = _size(batch, stored, body, body_length)
    end = body + body_length
    return Message(kind, stored[at:end], rows, size), end


def _size(batch: _Table, stored: bytes, body: int, length: int) -> int:
    """What the buffers of a batch take in memory, as they say."""
    values = sum(max(count, 0) for count, _ in batch.pairs(1))
    size = VALUE_BYTES * values + length
    if batch.table(3) is None:
        return size
    for offset, packed in batch.pairs(2):
        if packed > 8 and 0 <= offset <= length - 8:
            (unpacked,) = struct.unpack_from("<q", stored, body + offset)
            size += max(unpacked, 0)
    return size


def _blocks(stored: bytes) -> list[int]:
    """Where the dictionaries and the batches of a file begin."""
    footer, _ = _footer(stored)
    if schema := footer.table(1):
        _check_depth(schema)
    return [offset for field in (2, 3) for offset, *_ in footer.blocks(field)]


def _footer(stored: bytes) -> tuple[_Table, int]:
    """The table at the end of a file, and where it begins."""
    if not stored.endswith(b"ARROW1"):
        raise ValueError("the Arrow file is cut off; fetch the whole file")
    (length,) = struct.unpack_from("<i", stored, len(stored) - 10)
    begin = len(stored) - 10 - length
    if length <= 0 or begin < 8:
        raise ValueError("its footer is longer than the file")
    return _Table(stored, begin + _number("<I", stored, begin), len(stored) - 10), begin


def _check_depth(schema: _Table) -> None:
    """Raise `ValueError` where columns stand too deep in each other."""
    waiting = [(field, 1) for field in schema.tables(1)]
    while waiting:
        field, depth = waiting.pop()
        if depth > MOST_DEEP:
            raise ValueError(f"its columns are nested deeper than {MOST_DEEP}")
        waiting += [(child, depth + 1) for child in field.tables(5)]


def _number(form: str, data: bytes, at: int) -> int:
    if at < 0:
        raise ValueError("a place before the file")
    (value,) = struct.unpack_from(form, data, at)
    return int(value)


class _Table:
    """A table of FlatBuffers: its fields by number. Raises `ValueError` beyond its message."""

    def __init__(self, data: bytes, at: int, end: int) -> None:
        self._data, self._at, self._end = data, at, end
        if not 0 <= at <= end - 4:
            raise ValueError("a table outside of its message")
        self._fields = at - _number("<i", data, at)

    def _place(self, field: int) -> int | None:
        """Where a field stands; None where the table does not have it."""
        if 4 + 2 * field >= _number("<H", self._data, self._fields):
            return None
        offset = _number("<H", self._data, self._fields + 4 + 2 * field)
        return self._at + offset if offset else None

    def number(self, field: int, form: str) -> int:
        at = self._place(field)
        return 0 if at is None else _number(form, self._data, at)

    def table(self, field: int) -> _Table | None:
        at = self._place(field)
        if at is None:
            return None
        return _Table(self._data, at + _number("<I", self._data, at), self._end)

    def vector(self, field: int, width: int) -> tuple[int, int]:
        """Where the elements of a vector begin, and how many there are."""
        at = self._place(field)
        if at is None:
            return 0, 0
        begin = at + _number("<I", self._data, at)
        count = _number("<I", self._data, begin)
        if begin + 4 + count * width > self._end:
            raise ValueError("a vector is longer than its message")
        return begin + 4, count

    def tables(self, field: int) -> list[_Table]:
        begin, count = self.vector(field, 4)
        places = range(begin, begin + 4 * count, 4)
        return [_Table(self._data, at + _number("<I", self._data, at), self._end) for at in places]

    def pairs(self, field: int) -> Iterator[tuple[int, int]]:
        """The elements of a vector of pairs of long numbers."""
        begin, count = self.vector(field, 16)
        yield from struct.iter_unpack("<qq", self._data[begin : begin + 16 * count])

    def blocks(self, field: int) -> Iterator[tuple[int, int, int]]:
        """Where messages begin, and how long their heads and bodies are."""
        begin, count = self.vector(field, 24)
        yield from struct.iter_unpack("<qi4xq", self._data[begin : begin + 24 * count])
