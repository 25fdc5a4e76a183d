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
from functools import cached_property
from itertools import chain
from typing import Any, NamedTuple

import polars as pl

from curate.base.errors import CurateError, nearest, one_line
from curate.base.log import Log, no_log
from curate.base.parts import Part, PartsTo, together
from curate.base.schema import RECORDS
from curate.sources.collected import REJECTED, Collected, Rejected
from curate.sources.file_report import FileReport
from curate.sources.files.inputs import Input, expand, sha256
from curate.sources.files.items import AnyItem, Item
from curate.sources.files.raw import items, last_line
from curate.sources.formats import FORMATS, is_row
from curate.sources.memory import arrow_bytes, dicts_of, row_items
from curate.sources.options import ReadOptions
from curate.sources.reader import Reader
from curate.sources.run_table import columns_of
from curate.sources.shared.convert import Reject


@dataclass(frozen=True)
class Dump:
    """Everything that was read: records and rejects account for every row of every file.

    `parts` are those of the records, `unread` those of the rejects.
    """

    parts: list[Part]
    unread: list[Part]
    files: list[FileReport]
    options: ReadOptions

    @property
    def height(self) -> int:
        """How many records there are."""
        return sum(part.height for part in self.parts)

    @property
    def rejected(self) -> int:
        """How many places could not be read."""
        return sum(part.height for part in self.unread)

    @property
    def read(self) -> int:
        """Rows read: records plus rejects."""
        return self.height + self.rejected

    @cached_property
    def records(self) -> pl.DataFrame:
        """All records in one frame, which stays in memory: for who needs all text at once."""
        return together(self.parts, RECORDS)

    @property
    def rejects(self) -> pl.DataFrame:
        """All places that could not be read, in one frame: columns of `REJECTED`."""
        return together(self.unread, REJECTED)

    def reject_parts(self) -> Iterator[pl.DataFrame]:
        """The places that could not be read, part by part: columns of `REJECTED`."""
        return (part.load() for part in self.unread)

    def iter_rejects(self) -> Iterator[Rejected]:
        """The places that could not be read, one by one."""
        return chain.from_iterable(frame.iter_rows() for frame in self.reject_parts())


DETECTED = ReadOptions()
IN_MEMORY = PartsTo()


def read(
    names: Iterable[str],
    options: ReadOptions = DETECTED,
    to: PartsTo = IN_MEMORY,
    tell: Log = no_log,
) -> Dump:
    """Read files, folders and globs of any known format into Records.

    Without a folder in `to` all stays in memory. With one, no more than a part of it does: where
    there are several parts they are written there, for the caller to remove. `tell` hears of pipes
    whose writers give nothing. Raises `CurateError` for a missing file, for one that somebody
    writes to meanwhile, or when nothing at all can be read; every unreadable row becomes a reject
    with its file, line, reason and raw text.
    """
    inputs, into = expand(list(names), options.max_unpacked, tell), Collected(to)
    files = [_read_file(source, options, into, alone=len(inputs) == 1) for source in inputs]
    return _dump(files, into, options)


def read_rows(
    rows: Any,
    options: ReadOptions = DETECTED,
    name: str = "<rows>",
    to: PartsTo = IN_MEMORY,
) -> Dump:
    """Read rows that are in memory, in any format that `read` knows, into Records.

    `rows` are dicts (any iterable of them), a `datasets.Dataset`, or a Polars or pandas frame.
    They become what a JSON Lines file of them (of a frame, a parquet file) becomes; `name` is
    their `source`, and `line` the row's number, from 1. For `to` see `read`. Raises
    `CurateError` for anything else, or when there is no row.
    """
    stored, into = arrow_bytes(rows), Collected(to)
    if stored is not None:
        source = Input(name, lambda: stored)
        return _dump([_read_file(source, options, into, alone=True)], into, options)
    reader, digest = Reader(name, options, into), hashlib.sha256()
    with _no_cycles():
        reader.take(row_items(dicts_of(rows), digest.update))
        report = reader.finish()
    report.sha256 = digest.hexdigest()
    return _dump([_File(report, reader.names)], into, options)


class _File(NamedTuple):
    """What a file turned out to be, and the names of the fields that its rows have."""

    report: FileReport
    names: Iterable[str]


def _dump(files: Sequence[_File], into: Collected, options: ReadOptions) -> Dump:
    records, rejects = into.finish()
    if not records and not rejects:
        raise CurateError("no rows in " + ", ".join(file.report.source for file in files))
    _check_mapped(options, files)
    return Dump(records, rejects, [file.report for file in files], options)


def _check_mapped(options: ReadOptions, files: Sequence[_File]) -> None:
    """A column that no row has is misspelt: not a fault of every row, but of who named it."""
    names = list(dict.fromkeys(name for file in files for name in file.names))
    for known, column in options.columns.items():
        if names and column not in names:
            where = ", ".join(file.report.source for file in files[:3])
            more = f" and {len(files) - 3} more" if len(files) > 3 else ""
            there = f"there are {', '.join(names[:20])}{', ...' if len(names) > 20 else ''}"
            raise CurateError(
                f"{where}{more}: no row has a field {column!r}, which is mapped to {known}"
                f"; {there}{nearest(column, names)}"
            )


def _read_file(source: Input, options: ReadOptions, into: Collected, *, alone: bool) -> _File:
    reader, stored, fault = Reader(source.name, options, into), b"", None
    try:
        stored = source.stored()
    except CurateError as error:
        fault = error
    # The fingerprint is computed beside the reading: hashing lets other threads run.
    with _no_cycles(), ThreadPoolExecutor(1) as beside:
        fingerprint = beside.submit(sha256, stored)
        table = None if source.notes else columns_of(source.name, stored, options)
        if table is None:
            reader.take(_items(source, stored, fault, alone))
            report = reader.finish()
        else:
            into.add(table.records)
            report = table.report
        report.sha256 = "" if fault is not None else fingerprint.result()
    source.check_unchanged()
    return _File(report, reader.names)


def _items(
    source: Input, stored: bytes, fault: CurateError | None, alone: bool
) -> Iterator[AnyItem]:
    """The items of a file; of many, a bad one must not cost the others, and becomes a reject.

    Alone it is the user's mistake. What goes wrong with the rows afterwards is no fault of it.
    """
    line = 0
    try:
        if fault is not None:
            raise fault
        for item in items(source, stored, is_row):
            yield item
            line = last_line(item, line)
        return
    except MemoryError:
        raise
    except CurateError as error:
        if alone and not line:
            raise
        wrong = str(error)
    except Exception as error:  # a stranger's file that the reader of its kind did not foresee
        wrong = (
            f"{source.name}: the reader of such files failed ({one_line(error)}); if the file is "
            "sound, please report it"
        )
        if alone and not line:
            raise CurateError(wrong) from error
    lost = f"; what follows line {line} is lost" if line else ""
    yield Item(line, reject=str(Reject("unreadable_file", f"{wrong}{lost}")))


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


__all__ = ["FORMATS", "REJECTED", "Dump", "FileReport", "ReadOptions", "read", "read_rows"]
