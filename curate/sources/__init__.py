"""Dumps in, Records out: one reader per dump family, nothing lost on the way.

`FORMATS` (in `formats.py`) is the whole list. A format is asked per row, in its order, and the
first that recognises the row's fields converts it; what none recognises becomes a reject.
"""

from __future__ import annotations

import gc
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import polars as pl

from curate.base.errors import CurateError, nearest
from curate.base.schema import RECORDS
from curate.sources.convert import Reject
from curate.sources.files import Item, items
from curate.sources.formats import FORMATS, is_row
from curate.sources.inputs import Input, expand, sha256
from curate.sources.reader import FileReport, Part, Reader, Reading

REJECTED = pl.Schema(
    {"source": pl.String, "line": pl.UInt32, "reason": pl.String, "raw": pl.String}
)


@dataclass(frozen=True)
class Dump:
    """Everything that was read: `records` + `rejects` account for every row of every file."""

    records: pl.DataFrame
    rejects: pl.DataFrame
    files: list[FileReport]

    @property
    def read(self) -> int:
        """Rows read: records plus rejects."""
        return self.records.height + self.rejects.height


DETECTED = Reading()


def read(names: Iterable[str], how: Reading = DETECTED) -> Dump:
    """Read files, folders and globs of any known format into Records.

    Raises `CurateError` for a missing file, or when nothing at all can be read; every unreadable
    row becomes a reject with its file, line, reason and raw text.
    """
    inputs = expand(list(names))
    found: list[Part] = []
    # The fingerprint is computed beside the reading: hashing lets other threads run.
    with _no_cycles(), ThreadPoolExecutor(1) as beside:
        for source in inputs:
            stored = source.stored()
            fingerprint = beside.submit(sha256, stored)
            part = _read_file(source, stored, how, alone=len(inputs) == 1)
            part.report.sha256 = fingerprint.result()
            found.append(part)
    if not any(part.records.height or part.rejects for part in found):
        raise CurateError("no rows in " + ", ".join(part.report.source for part in found))
    _check_mapped(how, found)
    rejects = [reject for part in found for reject in part.rejects]
    records = pl.concat([pl.DataFrame(schema=RECORDS), *(part.records for part in found)])
    return Dump(
        records.with_columns(row=pl.int_range(pl.len(), dtype=pl.UInt32)),
        pl.DataFrame(rejects, schema=REJECTED, orient="row"),
        [part.report for part in found],
    )


def _check_mapped(how: Reading, found: Sequence[Part]) -> None:
    """A column that no row has is misspelt: not a fault of every row, but of who named it."""
    names = list(dict.fromkeys(name for part in found for name in part.names))
    for known, column in how.columns.items():
        if names and column not in names:
            files = ", ".join(part.report.source for part in found[:3])
            more = f" and {len(found) - 3} more" if len(found) > 3 else ""
            there = f"there are {', '.join(names[:20])}{', ...' if len(names) > 20 else ''}"
            raise CurateError(
                f"{files}{more}: no row has a field {column!r}, which is mapped to {known}"
                f"; {there}{nearest(column, names)}"
            )


def _read_file(source: Input, stored: bytes, how: Reading, *, alone: bool) -> Part:
    reader = Reader(source.name, how)
    try:
        reader.take(items(source, stored, is_row))
    except CurateError as error:
        # One bad file among many must not cost the others; alone it is the user's mistake.
        if alone:
            raise
        reader.reject(Item(0), Reject("unreadable_file", str(error)))
    return reader.part()


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


__all__ = ["FORMATS", "Dump", "FileReport", "Reading", "read"]
