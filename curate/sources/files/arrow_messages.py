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
# A column takes at least a table, and a place that says where it is.
_FIELD_BYTES = 8


class Message(NamedTuple):
    """One message: what it is, its bytes, how many rows it has and what it takes in memory.

    `wrong` says why a batch must not be read: it claims bytes that are not there.
    """

    kind: int
    data: bytes
    rows: int = 0
    size: int = 0
    wrong: str = ""


def messages(stored: bytes) -> Iterator[Message]:
    """The messages of a file (as its footer lists them) or of a stream, in order.

    Raises `ValueError` or `struct.error` where there is none, and for a schema or a dictionary
    that cannot be read. A batch that cannot is told; in a stream nothing can be found behind it.
    """
    if stored.startswith(b"ARROW1"):
        yield from _of_file(stored)
        return
    at = 0
    while at < len(stored) and stored[at : at + 8] != END:
        try:
            message, end = _message(stored, at)
        except (ValueError, struct.error) as error:
            if not at:
                raise
            message, end = Message(BATCH, b"", wrong=f"{error}; what follows is lost"), len(stored)
        yield message
        at = end


def _of_file(stored: bytes) -> Iterator[Message]:
    """A file is a stream between marks: its schema, and what its footer lists."""
    footer, length = _footer(stored)
    if schema := footer.table(1):
        _check_columns(schema, length)
    listed = [at for field in (2, 3) for at, _, _ in footer.blocks(field)]
    yield _opening(stored, min(listed, default=len(stored) - 10 - length - len(END)))
    for field in (2, 3):
        for at, head, body in footer.blocks(field):
            try:
                message, end = _message(stored, at)
                if head < 0 or body < 0 or at + head + body > end:
                    raise ValueError("the footer gives a message more bytes than it has")
            except (ValueError, struct.error) as error:
                if field == 2:
                    raise
                message = Message(BATCH, b"", wrong=str(error))
            yield message


def _opening(stored: bytes, end: int) -> Message:
    """The schema at the beginning of a file, up to `end`; Polars writes it without its length."""
    at = len(b"ARROW1\0\0")
    try:
        return _message(stored, at)[0]
    except (ValueError, struct.error):
        bare, root = stored[at:end], _Table(stored, at + _number("<I", stored, at), end)
        schema = root.table(2)
        if root.number(1, "<B") != SCHEMA or not schema:
            raise
        _check_columns(schema, len(bare))
        return Message(SCHEMA, _MARK + struct.pack("<i", len(bare)) + bare)


def _message(stored: bytes, at: int) -> tuple[Message, int]:
    """The message at a place, and where the next one begins."""
    mark = 4 if stored[at : at + 4] == _MARK else 0  # streams of old kind have none
    length = _number("<i", stored, at + mark)
    begin = at + mark + 4
    if length <= 0 or begin + length > len(stored):
        raise ValueError("a message is longer than the file")
    root = _Table(stored, begin + _number("<I", stored, begin), begin + length)
    kind, body_length = root.number(1, "<B"), root.number(3, "<q")
    body = begin + length
    end = body + body_length
    if body_length < 0 or end > len(stored):
        raise ValueError("the body of a message is longer than the file")
    head, data = root.table(2), stored[at:end]
    if kind == SCHEMA and head:
        _check_columns(head, length)
    batch = head.table(1) if kind == DICTIONARY and head else head
    if kind not in (DICTIONARY, BATCH) or not batch:
        return Message(kind, data), end
    wrong = _claims_too_much(batch, stored, body, body_length)
    if wrong and kind == DICTIONARY:
        raise ValueError(wrong)
    if wrong:
        return Message(kind, data, max(batch.number(0, "<q"), 0), wrong=wrong), end
    return Message(kind, data, batch.number(0, "<q"), _size(batch, stored, body, body_length)), end


def _claims_too_much(batch: _Table, stored: bytes, body: int, length: int) -> str:
    """What a batch says of itself that cannot be; empty if nothing is."""
    if batch.number(0, "<q") < 0:
        return "a batch has less than no rows"
    if any(not 0 <= nulls <= count for count, nulls in batch.pairs(1)):
        return "a column has more nulls than values, or less than none"
    is_packed = batch.table(3) is not None
    for offset, size in batch.pairs(2):
        if offset < 0 or size < 0 or offset + size > length:
            return "a buffer is longer than its message"
        if is_packed and size and (size < 8 or _number("<q", stored, body + offset) < -1):
            return "a packed buffer does not say how long it is"
    return ""


def _size(batch: _Table, stored: bytes, body: int, length: int) -> int:
    """What the buffers of a batch take in memory, as they say."""
    size = VALUE_BYTES * sum(count for count, _ in batch.pairs(1)) + length
    if batch.table(3) is None:
        return size
    packed = (offset for offset, size in batch.pairs(2) if size)
    return size + sum(max(_number("<q", stored, body + offset), 0) for offset in packed)


def _footer(stored: bytes) -> tuple[_Table, int]:
    """The table at the end of a file, and how many bytes it has."""
    if not stored.endswith(b"ARROW1"):
        raise ValueError("the Arrow file is cut off; fetch the whole file")
    (length,) = struct.unpack_from("<i", stored, len(stored) - 10)
    begin = len(stored) - 10 - length
    if length <= 0 or begin < 8:
        raise ValueError("its footer is longer than the file")
    return _Table(stored, begin + _number("<I", stored, begin), len(stored) - 10), length


def _check_columns(schema: _Table, length: int) -> None:
    """Raise `ValueError` where columns stand too deep in each other, or more than once.

    A reader that follows the same column along many ways has soon more of them than it can count.
    """
    waiting = [(field, 1) for field in schema.tables(1)]
    seen = 0
    while waiting:
        field, depth = waiting.pop()
        seen += 1
        if depth > MOST_DEEP:
            raise ValueError(f"its columns are nested deeper than {MOST_DEEP}")
        if seen * _FIELD_BYTES > length:
            raise ValueError("a column stands inside of several others")
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
