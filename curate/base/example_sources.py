"""`sources.parquet` of a TOKENS folder: what each example of the dataset beside it is from.

The dataset holds what trainers read and nothing else. Line n here explains its example n, so the
manifest has a hash of the token ids in their order (`ids_hash`): rows that were saved again in
another order would otherwise get the ids and sources of others.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl
from numpy.typing import NDArray

from curate.base.errors import CurateError
from curate.base.folder import sha256, written_hashes

SOURCES = "sources.parquet"
IDS_HASH = "input_ids_sha256"  # in the manifest
EXAMPLE_SOURCES = pl.Schema(
    {
        "id": pl.String(),  # of the record that the example was made of
        "row": pl.UInt32(),  # its number among the records
        "turns": pl.List(pl.UInt32()),  # the messages that are trained
        "source": pl.String(),  # what the record gives as its source, else its file
    }
)
_NEVER_NULL = ("id", "row", "turns")
_AGAIN = "render the rows again"


def write_sources(folder: Path, examples: pl.DataFrame) -> None:
    """Write `sources.parquet` of the examples, which have its columns (`EXAMPLE_SOURCES`)."""
    examples.select(EXAMPLE_SOURCES.names()).write_parquet(folder / SOURCES, statistics=False)


def read_sources(folder: Path, examples: int) -> pl.DataFrame:
    """What the `examples` rows of a TOKENS folder are from: columns of `EXAMPLE_SOURCES`.

    Raises `CurateError` where the file is missing or damaged, lacks a column or a value, has
    another number of lines than the dataset, or is not the one that the manifest names.
    """
    path = folder / SOURCES
    if not path.is_file():
        raise CurateError(
            f"{path}: missing; it says where each example is from. An earlier version of curate "
            f"wrote none: {_AGAIN}"
        )
    frame = _read(path)
    if frame.height != examples:
        raise CurateError(
            f"{path}: has {frame.height:,} lines for {examples:,} examples in the dataset; "
            f"where some were left out or added, choose the rows of the run instead; {_AGAIN}"
        )
    for name in _NEVER_NULL:
        if nulls := frame[name].null_count():
            raise CurateError(f"{path}: column {name!r} has {nulls:,} nulls; {_AGAIN}")
    _check_own(path)
    return frame


def _check_own(path: Path) -> None:
    """Raise `CurateError` for lines in another order, or of other examples.

    A manifest without the file's hash says nothing of it.
    """
    expected = written_hashes(path.parent).get(SOURCES)
    if expected is not None and expected != sha256(path):
        raise CurateError(
            f"{path}: is not the file that was written with these examples, so it does not say "
            f"what they are from; {_AGAIN}"
        )


def _read(path: Path) -> pl.DataFrame:
    try:
        frame = pl.read_parquet(path, glob=False)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        raise CurateError(f"{path}: damaged ({type(error).__name__}: {error}); {_AGAIN}") from error
    if missing := [name for name in EXAMPLE_SOURCES if name not in frame.columns]:
        raise CurateError(
            f"{path}: has no column {', '.join(missing)}; its columns are "
            f"{', '.join(frame.columns)}; {_AGAIN}"
        )
    return pl.DataFrame([_column(path, frame[name]) for name in EXAMPLE_SOURCES])


def _column(path: Path, column: pl.Series) -> pl.Series:
    """The column with its type of `EXAMPLE_SOURCES`; other libraries write wider integers."""
    kind = EXAMPLE_SOURCES[column.name]
    try:
        return column.cast(kind)
    except pl.exceptions.PolarsError as error:
        raise CurateError(
            f"{path}: column {column.name!r} holds {column.dtype}, expected {kind}; {_AGAIN}"
        ) from error


def ids_hash(lengths: NDArray[Any], ids: NDArray[Any]) -> str:
    """The hash of token ids laid end to end, and of how many each example has."""
    digest = hashlib.sha256(lengths.astype("<i8").tobytes())
    piece = 1 << 20  # a copy of this many ids at a time, not of all
    for start in range(0, len(ids), piece):
        digest.update(ids[start : start + piece].astype("<i4").tobytes())
    return digest.hexdigest()


def check_order(
    folder: Path, manifest: Mapping[str, Any], lengths: NDArray[Any], ids: NDArray[Any]
) -> None:
    """Raise `CurateError` unless these are the examples, in the order, of the manifest.

    A manifest without their hash says nothing of the order.
    """
    expected = manifest.get(IDS_HASH)
    if expected is not None and expected != ids_hash(lengths, ids):
        raise CurateError(
            f"{folder}: its examples are not those of the manifest, or not in their order, so "
            f"{SOURCES} does not say what they are from; {_AGAIN}"
        )
