"""Dumps in, Records out: one reader per dump family, nothing lost on the way.

`FORMATS` (in `formats.py`) is the whole list. A format is asked per row, in its order, and the
first that recognises the row's fields converts it; what none recognises becomes a reject.
"""

from __future__ import annotations

import gc
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import polars as pl

from curate.base.errors import CurateError, nearest
from curate.base.parts import Part as Part2
from curate.base.schema import RECORDS
from curate.sources.files.inputs import Input, expand, sha256
from curate.sources.files.items import Item
from curate.sources.files.raw import items
from curate.sources.formats import FORMATS, is_row
from curate.sources.memory import arrow_bytes, dicts_of, row_items
from curate.sources.options import ReadOptions
from curate.sources.reader import FileReport, Part, Reader
from curate.sources.run_table import part_of
from curate.sources.shared.convert import Reject

REJECTED = pl.Schema(
    {"source": pl.String, "line": pl.UInt32, "reason": pl.String, "raw": pl.String}
)


@dataclass(frozen=True)
class Dump:
    """Everything that was read: `records` + `rejects` account for every row of every file."""

    records: pl.DataFrame
    rejects: pl.DataFrame
    files: list[FileReport]
    options: ReadOptions

    @property
    def parts(self) -> list[Part2]:
        return [Part2(0, 0, self.records.height, self.records)] if self.records.height else []

    @property
    def unread(self) -> list[Part2]:
        return [Part2(0, 0, self.rejects.height, self.rejects)]

    @property
    def height(self) -> int:
        return self.records.height

    @property
    def rejected(self) -> int:
        return self.rejects.height

    def reject_parts(self):
        return iter([self.rejects])

    @property
    def read(self) -> int:
        """Rows read: records plus rejects."""
        return self.records.height + self.rejects.height


DETECTED = ReadOptions()


def read(names: Iterable[str], options: ReadOptions = DETECTED) -> Dump:
    """Read files, folders and globs of any known format into Records.

    Raises `CurateError` for a missing file, or when nothing at all can be read; every unreadable
    row becomes a reject with its file, line, reason and raw text.
    """
    inputs = expand(list(names))
    return _dump(
        [_read_file(source, options, alone=len(inputs) == 1) for source in inputs], options
    )


def read_rows(rows: Any, options: ReadOptions = DETECTED, name: str = "<rows>") -> Dump:
    """Read rows that are in memory, in any format that `read` knows, into Records.

    `rows` are dicts (any iterable of them), a `datasets.Dataset`, or a Polars or pandas frame.
    They become what a JSON Lines file of them (of a frame, a parquet file) becomes; `name` is
    their `source`, and `line` the row's number, from 1. Raises `CurateError` for anything else,
    or when there is no row.
    """
    stored = arrow_bytes(rows)
    if stored is not None:
        return _dump([_read_file(Input(name, lambda: stored), options, alone=True)], options)
    reader, digest = Reader(name, options), hashlib.sha256()
    with _no_cycles():
        reader.take(row_items(dicts_of(rows), digest.update))
        part = reader.part()
    part.report.sha256 = digest.hexdigest()
    return _dump([part], options)


def _dump(parts: Sequence[Part], options: ReadOptions) -> Dump:
    if not any(part.records.height or part.rejects for part in parts):
        raise CurateError("no rows in " + ", ".join(part.report.source for part in parts))
    _check_mapped(options, parts)
    rejects = [reject for part in parts for reject in part.rejects]
    records = pl.concat([pl.DataFrame(schema=RECORDS), *(part.records for part in parts)])
    return Dump(
        records.with_columns(row=pl.int_range(pl.len(), dtype=pl.UInt32)),
        pl.DataFrame(rejects, schema=REJECTED, orient="row"),
        [part.report for part in parts],
        options,
    )


def _check_mapped(options: ReadOptions, parts: Sequence[Part]) -> None:
    """A column that no row has is misspelt: not a fault of every row, but of who named it."""
    names = list(dict.fromkeys(name for part in parts for name in part.names))
    for known, column in options.columns.items():
        if names and column not in names:
            files = ", ".join(part.report.source for part in parts[:3])
            more = f" and {len(parts) - 3} more" if len(parts) > 3 else ""
            there = f"there are {', '.join(names[:20])}{', ...' if len(names) > 20 else ''}"
            raise CurateError(
                f"{files}{more}: no row has a field {column!r}, which is mapped to {known}"
                f"; {there}{nearest(column, names)}"
            )


def _read_file(source: Input, options: ReadOptions, *, alone: bool) -> Part:
    reader, stored, part = Reader(source.name, options), b"", None
    # The fingerprint is computed beside the reading: hashing lets other threads run.
    with _no_cycles(), ThreadPoolExecutor(1) as beside:
        fingerprint = None
        try:
            stored = source.stored()
            fingerprint = beside.submit(sha256, stored)
            part = None if source.notes else part_of(source.name, stored, options)
            if part is None:
                reader.take(items(source, stored, is_row))
        except CurateError as error:
            # One bad file among many must not cost the others; alone it is the user's mistake.
            if alone:
                raise
            reject = Reject("unreadable_file", str(error))
            reader.reject(Item(0, reject=str(reject)), reject)
        part = part or reader.part()
        part.report.sha256 = fingerprint.result() if fingerprint else sha256(b"")
    return part


@contextmanager
def _no_cycles() -> Iterator[None]:
    """Rows of JSON hold no cycles, and looking for some takes a fifth of the time of reading."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


__all__ = ["FORMATS", "Dump", "FileReport", "ReadOptions", "read", "read_rows"]
