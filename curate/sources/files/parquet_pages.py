"""What a parquet file says of its own size, page by page, before anybody makes room for it.

A page states to how many bytes it unpacks and how many values it holds; a few hundred bytes may
state gigabytes. The footer and the heads of the pages are structs of Thrift's compact protocol:
https://github.com/apache/parquet-format
"""

from __future__ import annotations

from typing import Any, NamedTuple

# Structs and lists inside each other; those of parquet have six.
_MOST_NESTED = 32
# Columns inside each other: readers call themselves for each.
MOST_DEEP = 100
# Bytes that a value takes in memory, whatever it is packed to.
VALUE_BYTES = 16
# Fields of a page's head: of a page with values (two versions), and of one with a dictionary.
_PAGES_OF_VALUES = (5, 8)
_DICTIONARY = 7


class Declared(NamedTuple):
    """What a file says that it holds: bytes in memory, and the rows of each row group."""

    size: int
    groups: list[int]
    depth: int


Struct = dict[int, Any]


def declared(stored: bytes) -> Declared:
    """What a parquet file says of itself. Raises `ValueError` where its footer is none."""
    length = int.from_bytes(stored[-8:-4], "little")
    begin = len(stored) - 8 - length
    if len(stored) < 12 or begin < 4:
        raise ValueError("its footer is longer than the file")
    footer = _Thrift(stored, begin).struct()
    groups = [_typed(group, dict) for group in _typed(footer.get(4, []), list)]
    size = sum(
        _chunk_size(stored, _typed(_typed(column, dict).get(3, {}), dict))
        for group in groups
        for column in _typed(group.get(1, []), list)
    )
    rows = [_typed(group.get(3, 0), int) for group in groups]
    if any(count < 0 for count in rows):
        raise ValueError("a row group has less than no rows")
    return Declared(size, rows, _depth(_typed(footer.get(2, []), list)))


def _typed(value: Any, kind: type[Any]) -> Any:
    if type(value) is not kind:
        raise ValueError("its footer is damaged")
    return value


def _depth(schema: list[Any]) -> int:
    """How deep columns stand in each other; the schema lists them with their numbers of parts."""
    deepest, open_parts = 0, [1]
    for element in schema:
        while open_parts and not open_parts[-1]:
            open_parts.pop()
        if open_parts:
            open_parts[-1] -= 1
        if parts := _typed(_typed(element, dict).get(5, 0), int):
            open_parts.append(parts)
        deepest = max(deepest, len(open_parts))
        if deepest > MOST_DEEP:
            break
    return deepest


def _chunk_size(stored: bytes, column: Struct) -> int:
    """The bytes that the pages of a column take in memory, as their heads say."""
    first = _typed(column.get(9, 0), int)
    dictionary = column.get(11)
    at = dictionary if type(dictionary) is int and 0 < dictionary < first else first
    end = min(at + _typed(column.get(7, 0), int), len(stored))
    left: int = _typed(column.get(5, 0), int)  # values of all its pages
    size = VALUE_BYTES * left
    while 0 < at < end:
        thrift = _Thrift(stored, at)
        try:
            head = thrift.struct()
        except ValueError:
            break  # no reader gets beyond a page without a head
        unpacked, packed = (_count(head.get(field, 0)) for field in (2, 3))
        left -= sum(_values(head.get(kind)) for kind in _PAGES_OF_VALUES)
        if left < 0:
            raise ValueError("its pages hold more values than their column")
        size += unpacked + VALUE_BYTES * _values(head.get(_DICTIONARY))
        at = thrift.at + packed
    stated: int = _typed(column.get(6, 0), int)
    return max(size, stated)


def _values(head: Any) -> int:
    return _count(head.get(1, 0)) if type(head) is dict else 0


def _count(number: Any) -> int:
    """A number of values or bytes: readers make room for one below nothing as for a huge one."""
    if _typed(number, int) < 0:
        raise ValueError("one of its pages has less than nothing")
    return int(number)


class _Thrift:
    """Reads values of the compact protocol; `at` is behind what was read.

    Raises `ValueError` for what is none. No more is made of it than it has bytes.
    """

    def __init__(self, data: bytes, at: int) -> None:
        self.data, self.at, self._nested = data, at, 0

    def struct(self) -> Struct:
        """The fields of a struct by number, each as a plain value."""
        fields: Struct = {}
        number = 0
        while head := self._byte():
            number = number + (head >> 4) if head >> 4 else self._zigzag()
            fields[number] = self._value(head & 15)
        return fields

    def _byte(self) -> int:
        if self.at >= len(self.data):
            raise ValueError("it ends within a value")
        self.at += 1
        return self.data[self.at - 1]

    def _varint(self) -> int:
        value = shift = 0
        while True:
            byte = self._byte()
            value |= (byte & 127) << shift
            if byte < 128:
                return value
            shift += 7
            if shift > 63:
                raise ValueError("a number is too long")

    def _zigzag(self) -> int:
        value = self._varint()
        return (value >> 1) ^ -(value & 1)

    def _value(self, kind: int) -> Any:
        if kind in (1, 2):
            return kind == 1
        if kind == 3:
            return self._byte()
        if kind in (4, 5, 6):
            return self._zigzag()
        if kind == 7:
            self.at += 8
            return None
        if kind == 8:
            length = self._varint()
            self.at += length  # texts are not looked at
            if self.at > len(self.data):
                raise ValueError("a text is longer than the file")
            return None
        if kind in (9, 10, 12):
            return self._inside(kind)
        raise ValueError(f"a value of kind {kind}")

    def _inside(self, kind: int) -> Any:
        self._nested += 1
        if self._nested > _MOST_NESTED:
            raise ValueError("its structs are nested too deeply")
        value = self.struct() if kind == 12 else self._list()
        self._nested -= 1
        return value

    def _list(self) -> list[Any]:
        head = self._byte()
        length = head >> 4 if head >> 4 < 15 else self._varint()
        if length > len(self.data) - self.at:
            raise ValueError("a list is longer than the file")
        kind = head & 15
        if kind in (1, 2):  # in lists, each takes a byte
            self.at += length
            return []
        return [self._value(kind) for _ in range(length)]
