"""What is read, as it comes: records and rejects, each cut into parts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import polars as pl

from curate.base.parts import Change, Content, Part, PartsTo, PartWriter
from curate.sources.build import CHUNK, CHUNK_TEXT

REJECTED = pl.Schema(
    {"source": pl.String, "line": pl.UInt32, "reason": pl.String, "raw": pl.String}
)
_TEXTS = (pl.col("reason").str.len_bytes(), pl.col("raw").str.len_bytes())
_OF_REJECTS = Content("rejects", pl.sum_horizontal(*_TEXTS), numbered=False)

Rejected = tuple[str, int, str, str]  # source, line, reason, raw


class Place(NamedTuple):
    """How much had been read when something began."""

    records: int
    rejects: int


class Collected:
    """Takes records and rejects in the order of reading; holds no more than a part of each."""

    def __init__(self, to: PartsTo) -> None:
        self.records = PartWriter(to.folder, to.size.rows, to.size.size)
        self.rejects = PartWriter(to.folder, to.size.rows, to.size.size, _OF_REJECTS)
        self._tick = to.tick
        self._waiting: list[Rejected] = []
        self._text = 0

    def add(self, records: pl.DataFrame) -> None:
        """Append records."""
        self.records.add(records)
        if self._tick is not None:
            self._tick(records.height)

    def reject(self, rejected: Rejected) -> None:
        """Append a place that could not be read."""
        self._waiting.append(rejected)
        self._text += len(rejected[-1])
        if len(self._waiting) >= CHUNK or self._text >= CHUNK_TEXT:
            self._flush()

    def place(self) -> Place:
        """How much there is so far."""
        return Place(self.records.height, self.rejects.height + len(self._waiting))

    def number(self, since: Place, lines: Sequence[int]) -> None:
        """Put its number in place of the line of each row that came since; see `Numbers`."""
        self._flush()
        change = _numbered(lines)
        self.records.amend(since.records, change)
        self.rejects.amend(since.rejects, change)

    def finish(self) -> tuple[list[Part], list[Part]]:
        """The parts of the records, and those of the rejects (columns of `REJECTED`)."""
        self._flush()
        return self.records.finish(), self.rejects.finish()

    def _flush(self) -> None:
        if self._waiting:
            self.rejects.add(pl.DataFrame(self._waiting, schema=REJECTED, orient="row"))
            self._waiting, self._text = [], 0


def _numbered(lines: Sequence[int]) -> Change:
    begins = pl.Series(lines, dtype=pl.UInt32)

    def change(frame: pl.DataFrame) -> pl.DataFrame:
        numbers = begins.search_sorted(frame["line"]) + 1
        return frame.with_columns(numbers.cast(pl.UInt32).alias("line"))

    return change
