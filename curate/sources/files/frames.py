"""Tables out of the bytes of parquet and Arrow: within bounds, and around what is damaged."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Iterator
from itertools import chain
from typing import NamedTuple

import polars as pl

from curate.base.errors import CurateError, one_line
from curate.sources.files import arrow_messages, parquet_pages
from curate.sources.files.packed import too_much

# A panic is how Polars meets what it does not know, and no Exception.
FAILURES = (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError)


class Lost(NamedTuple):
    """Rows of a table that cannot be read: behind how many others, how many, and why.

    None is known of them where their part of the file does not say how many it has.
    """

    after: int
    rows: int
    wrong: str


class Table(NamedTuple):
    """The rows that can be read, in order, and those between them that cannot."""

    frame: pl.DataFrame
    lost: tuple[Lost, ...] = ()

    def numbers(self) -> Iterator[int]:
        """The number of each row, from 1; rows that are lost have theirs too."""
        begin = done = 0
        for after, rows, _ in (*self.lost, (self.frame.height, 0, "")):
            yield from range(begin + 1, begin + 1 + after - done)
            begin, done = begin + after - done + rows, after


class _Piece(NamedTuple):
    """Rows that can be read for themselves, unless something is known to be wrong with them."""

    rows: int
    read: Callable[[], pl.DataFrame]
    wrong: str = ""


def table_of(name: str, stored: bytes, most: int) -> Table:
    """The table that bytes hold. Raises `CurateError` where nothing of it can be read.

    So it is for one that takes more than `most` bytes of memory: by what it says of itself, which
    is looked at before there is room for it, or by the texts that it repeats.
    """
    is_parquet = stored.startswith(b"PAR1")
    if is_parquet and not stored.endswith((b"PAR1", b"PARE")):
        raise CurateError(f"{name}: the parquet file is cut off; fetch the whole file")
    try:
        size, pieces = _parquet(stored) if is_parquet else _arrow(stored)
        if size > most:
            raise CurateError(too_much(name, len(stored), most))
        table = _read(stored, is_parquet, pieces)
    except (ValueError, struct.error) as error:
        raise CurateError(f"{name}: not a readable parquet or Arrow file ({error})") from error
    if sum(map(_text_bytes, table.frame)) > most:
        raise CurateError(too_much(name, len(stored), most))
    return table


def _read(stored: bytes, is_parquet: bool, pieces: list[_Piece]) -> Table:
    """All at once, or around what is damaged. Raises `ValueError` where there is no row.

    With a piece that claims what cannot be, all at once is not tried: Polars makes room for it.
    """
    wrong = next((piece.wrong for piece in pieces if piece.wrong), "")
    if not wrong:
        try:
            return Table(pl.read_parquet(stored) if is_parquet else _read_arrow(stored))
        except FAILURES as error:
            wrong = one_line(error)
    table = _around(pieces)
    if not table.frame.height:
        raise ValueError(wrong)
    return table


def _read_arrow(stored: bytes) -> pl.DataFrame:
    return pl.read_ipc(stored) if stored.startswith(b"ARROW1") else pl.read_ipc_stream(stored)


def _around(pieces: list[_Piece]) -> Table:
    """All pieces of a table that can be read each for itself."""
    frames: list[pl.DataFrame] = []
    lost: list[Lost] = []
    done = 0
    for number, piece in enumerate(pieces, 1):
        wrong = piece.wrong
        try:
            if not wrong:
                frames.append(piece.read())
                done += frames[-1].height
        except FAILURES as error:
            wrong = one_line(error)
        if wrong:
            lost.append(Lost(done, piece.rows, f"part {number} ({wrong})"))
    return Table(pl.concat(frames) if frames else pl.DataFrame(), tuple(lost))


def _parquet(stored: bytes) -> tuple[int, list[_Piece]]:
    declared = parquet_pages.declared(stored)
    if declared.depth > parquet_pages.MOST_DEEP:
        raise ValueError(f"its columns are nested deeper than {parquet_pages.MOST_DEEP}")
    size = declared.size + parquet_pages.VALUE_BYTES * sum(declared.groups)

    def group(begin: int, rows: int) -> Callable[[], pl.DataFrame]:
        return lambda: pl.scan_parquet(io.BytesIO(stored)).slice(begin, rows).collect()

    pieces, begin = [], 0
    for rows in declared.groups:
        pieces.append(_Piece(rows, group(begin, rows)))
        begin += rows
    return size, pieces


def _arrow(stored: bytes) -> tuple[int, list[_Piece]]:
    size, pieces, before = 0, [], b""
    for message in arrow_messages.messages(stored):
        size += message.size + arrow_messages.VALUE_BYTES * message.rows
        if message.kind == arrow_messages.BATCH:
            pieces.append(_Piece(message.rows, _batch(before, message), message.wrong))
        else:
            before += message.data
    return size, pieces


def _batch(before: bytes, batch: arrow_messages.Message) -> Callable[[], pl.DataFrame]:
    parts = (before, batch.data, arrow_messages.END)
    return lambda: pl.read_ipc_stream(b"".join(parts))


def _text_bytes(column: pl.Series) -> int:
    """How many bytes the texts of a column are, each as often as it stands there."""
    kind = column.dtype
    if isinstance(kind, pl.Extension):
        return _text_bytes(column.ext.storage())
    if kind == pl.String:
        return int(column.str.len_bytes().sum())
    if kind == pl.Binary:
        return int(column.bin.size().sum())
    if isinstance(kind, pl.Categorical | pl.Enum):
        return _text_bytes(column.cast(pl.String))
    if isinstance(kind, pl.Struct):
        return sum(_text_bytes(column.struct.field(field.name)) for field in kind.fields)
    if isinstance(kind, pl.List | pl.Array):
        return _text_bytes(column.drop_nulls().explode(empty_as_null=False))
    if isinstance(kind, pl.Map):
        return sum(
            _text_bytes(inner.explode(empty_as_null=False))
            for inner in chain([column.map.keys()], [column.map.values()])
        )
    return 0
