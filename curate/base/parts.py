"""Rows in parts of bounded size: in memory where one part is enough, else each in a file.

Where a part ends follows from the rows alone, never from the pieces in which they came.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import polars as pl

from curate.base.errors import CurateError, one_line
from curate.base.folder import writing
from curate.base.places import unfinished

PART_ROWS = 50_000  # rows of a part, at most
PART_BYTES = 64 << 20  # bytes of text of a part, at most; a row of more is a part by itself


@dataclass(frozen=True)
class PartSize:
    """How much a part holds at most: rows, and bytes of text (one row may be more)."""

    rows: int = PART_ROWS
    size: int = PART_BYTES


@dataclass(frozen=True)
class PartsTo:
    """Where parts go: into files of `folder`, or none: into memory. `tick` hears of rows."""

    folder: Path | None = None
    size: PartSize = PartSize()
    tick: Callable[[int], None] | None = None


@dataclass(frozen=True)
class Part:
    """Some of the rows, in memory or in a file: rows `start` to `start + height`.

    `number` counts parts from 0; the file is Arrow IPC, uncompressed.
    """

    number: int
    start: int
    height: int
    frame: pl.DataFrame | None = field(default=None, repr=False, compare=False)
    path: Path | None = None

    def load(self) -> pl.DataFrame:
        """The rows: columns of `RECORDS`, of which `row` counts over all parts.

        Raises `CurateError` for a file that is gone or damaged.
        """
        if self.frame is not None:
            return self.frame
        with self._reading() as path:
            return pl.read_ipc(path)

    def stretch(self, start: int, stop: int) -> pl.DataFrame:
        """The rows at these places in the part; see `load`."""
        if self.frame is not None:
            return self.frame.slice(start, stop - start)
        with self._reading() as path:
            return pl.scan_ipc(path, glob=False).slice(start, stop - start).collect()

    def columns(self, names: Sequence[str]) -> pl.DataFrame:
        """Some columns of all rows; see `load`."""
        if self.frame is not None:
            return self.frame.select(names)
        with self._reading() as path:
            return pl.scan_ipc(path, glob=False).select(names).collect()

    @contextmanager
    def _reading(self) -> Iterator[Path]:
        assert self.path is not None, "a part is in memory or in a file"
        try:
            yield self.path
        except (OSError, pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
            raise CurateError(f"{self.path}: cannot be read ({one_line(error)})") from error


def together(parts: Iterable[Part], schema: pl.Schema) -> pl.DataFrame:
    """The rows of all parts in one frame."""
    return pl.concat([pl.DataFrame(schema=schema), *(part.load() for part in parts)])


class Content(NamedTuple):
    """What the rows of parts are: the name of their files, and how their text is measured."""

    name: str
    size: pl.Expr  # bytes of text of a row; may be null
    numbered: bool  # whether they have a column `row`


def _of_messages(column: str) -> pl.Expr:
    texts = ("content", "reasoning", "tool_calls")
    sizes = (pl.element().struct.field(name).str.len_bytes() for name in texts)
    return pl.col(column).list.eval(pl.sum_horizontal(*sizes)).list.sum()


_SIZES = [_of_messages("messages"), _of_messages("rejected")]
_SIZES += [pl.col("meta").str.len_bytes(), pl.col("tools").str.len_bytes()]
OF_RECORDS = Content("part", pl.sum_horizontal(*_SIZES), numbered=True)

# Pieces that are measured together, at most, and rows.
_PIECES, _PIECE_ROWS = 16, 4_096

Change = Callable[[pl.DataFrame], pl.DataFrame]


class PartWriter:
    """Cuts rows that come one after another into parts.

    Without a `folder` all parts stay in memory. With one, a single part stays there too; of
    several each is written as soon as it is full, so that no more than one is held.
    """

    def __init__(
        self,
        folder: Path | None,
        rows: int = PART_ROWS,
        size: int = PART_BYTES,
        content: Content = OF_RECORDS,
    ) -> None:
        assert rows > 0 and size > 0, "a part has room for a row"
        self.folder, self.rows, self.size, self.content = folder, rows, size, content
        self.height = 0  # rows so far
        self._parts: list[Part] = []
        self._coming: list[pl.DataFrame] = []  # not measured yet
        self._begin(0)

    def _begin(self, start: int) -> None:
        self._start, self._end, self._bytes = start, start, 0
        self._pieces: list[pl.DataFrame] = []

    def add(self, records: pl.DataFrame) -> None:
        """Append rows, any number of them; `row` is set here, whatever it is.

        Raises `CurateError` where a part cannot be written.
        """
        self.height += records.height
        self._coming.append(records)
        # Many small pieces are measured together, which takes far less time than one by one.
        if len(self._coming) >= _PIECES or self.height - self._end >= _PIECE_ROWS:
            self._measure()

    def _measure(self) -> None:
        records = pl.concat(self._coming)
        sizes = self.content.size.fill_null(0).cast(pl.Int64)
        total = records.select(sizes.cum_sum().alias("bytes"))["bytes"]  # up to each row
        self._coming, start, before = [], 0, 0
        while start < records.height:
            held = self._end - self._start
            end = total.search_sorted(before + self.size - self._bytes, "right")
            end = min(end, start + self.rows - held)
            if end <= start and held:
                self._close()
                continue
            end = max(end, start + 1)
            self._pieces.append(records[start:end])
            self._bytes += total[end - 1] - before
            self._end += end - start
            start, before = end, total[end - 1]

    def amend(self, first: int, change: Change) -> None:
        """Change rows that were added, from number `first` on; neither how many, nor their text."""
        if self._coming:
            self._measure()
        self._parts = [
            self._part(part.number, part.start, _changed(part.load(), first - part.start, change))
            if part.start + part.height > first
            else part
            for part in self._parts
        ]
        if self._pieces:
            self._pieces = [_changed(pl.concat(self._pieces), first - self._start, change)]

    def finish(self) -> list[Part]:
        """All parts, in order; none where there were no rows."""
        if self._coming:
            self._measure()
        if self._pieces and not self._parts:
            self.folder = None  # one part needs no file
        if self._pieces:
            self._close()
        return self._parts

    def _close(self) -> None:
        frame = pl.concat(self._pieces)
        if self.content.numbered:
            rows = pl.int_range(self._start, self._end, dtype=pl.UInt32)
            frame = frame.with_columns(row=rows)
        self._parts.append(self._part(len(self._parts), self._start, frame))
        self._begin(self._end)

    def _part(self, number: int, start: int, frame: pl.DataFrame) -> Part:
        if self.folder is None:
            return Part(number, start, frame.height, frame)
        path = self.folder / f"{self.content.name}-{number:05}.arrow"
        write_part(path, frame)
        return Part(number, start, frame.height, path=path)


def _changed(frame: pl.DataFrame, first: int, change: Change) -> pl.DataFrame:
    first = max(first, 0)
    return pl.concat([frame[:first], change(frame[first:])])


def write_part(path: Path, records: pl.DataFrame) -> None:
    """Write a part's file: it is there whole or not at all. Raises `CurateError`."""
    hidden = unfinished(path)
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            # In one piece: a third of the time of writing several.
            records.rechunk().write_ipc(hidden)
            hidden.replace(path)
        except BaseException:
            hidden.unlink(missing_ok=True)
            raise
