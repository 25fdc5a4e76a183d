"""Tables written as their rows come, in row groups whose borders follow from the rows alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import polars as pl

# Rows of a row group, of which a look-up reads a whole one: few where a row is all of its text.
OF_TEXT, OF_CODES = 5_000, 100_000


def write_table(
    path: Path, frames: Iterable[pl.DataFrame], schema: pl.Schema, group: int = OF_CODES
) -> None:
    """Write frames, one after another, as one parquet file; the same bytes however rows are cut.

    Raises what making a frame raises.
    """
    faults: list[BaseException] = []

    def source(*_: object) -> Iterator[pl.DataFrame]:
        try:
            yield from _in_groups(frames, group)
        except BaseException as error:
            faults.append(error)
            raise

    try:
        _sink(source, schema, path, group)
    except (Exception, pl.exceptions.PanicException) as error:
        # Polars makes an error of its own of one that is raised in a source, and of a disk that
        # takes no more in the middle of a page's header.
        if not faults and "transport error" in str(error):
            raise OSError(f"{path.name}: {error}") from error
        raise (faults[0] if faults else error) from error


def _in_groups(frames: Iterable[pl.DataFrame], group: int) -> Iterator[pl.DataFrame]:
    """The same rows, `group` at a time, each group in memory of its own.

    How many pages lists are cut into depends on the whole memory that a slice of them points to.
    """
    pieces: list[pl.DataFrame] = []
    held = 0
    for frame in frames:
        start = 0
        while start < frame.height:
            pieces.append(frame[start : start + group - held])
            start, held = start + pieces[-1].height, held + pieces[-1].height
            if held == group:
                yield _copied(pieces)
                pieces, held = [], 0
    if pieces:
        yield _copied(pieces)


def _copied(pieces: list[pl.DataFrame]) -> pl.DataFrame:
    # One piece alone would not be copied.
    first, *others = pieces
    return pl.concat([first[:1], first[1:], *others], rechunk=True)


def _sink(
    source: Callable[..., Iterator[pl.DataFrame]], schema: pl.Schema, path: Path, group: int
) -> None:
    from polars.io.plugins import register_io_source

    rows = register_io_source(source, schema=schema, validate_schema=True)
    # Statistics say which row groups need not be read for a row.
    rows.sink_parquet(path, row_group_size=group, statistics=True)
