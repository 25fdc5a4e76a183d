"""`sources.parquet` of a TOKENS folder: what each example of the dataset beside it is from.

The dataset holds what trainers read and nothing else. Line n here explains its example n, and
what was proven of its mask holds for these very tokens and labels. So the manifest has a hash of
each column in its order (`content_hashes`): rows that were saved again in another order, cut, or
with other labels would otherwise be trained as if they had been rendered so.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from curate.base.errors import CurateError
from curate.base.folder import MANIFEST, sha256, written_hashes

SOURCES = "sources.parquet"
# In the manifest: the hash of the ids, and those of all columns by name.
IDS_HASH, CONTENT_HASHES = "input_ids_sha256", "content_sha256"
_IDS, _LABELS, _MASK = "input_ids", "labels", "attention_mask"
_PIECE = 1 << 20  # a copy of this many values at a time, not of all
# The length of each list of a column, and all of its values end to end.
Lists = tuple[NDArray[Any], NDArray[Any]]
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


def content_hashes(columns: Mapping[str, Lists]) -> dict[str, str]:
    """The hash of each column of examples: its lengths, and its values in their order.

    A column is `input_ids`, `labels` or `attention_mask`, of a pair's other answer with a prefix.
    The number format of a column changes nothing. Labels are written as what they differ from,
    their own ids and -100, and masks as what differs from 1: a fraction of a byte for a token.
    """
    return {name: _hash(*columns[name], _usual(columns, name)) for name in columns}


def _usual(columns: Mapping[str, Lists], name: str) -> list[NDArray[Any]]:
    """What nearly every value of a column is, one of them at each place."""
    _, values = columns[name]
    if name.endswith(_MASK):
        return [np.broadcast_to(np.int8(1), values.shape)]
    if not name.endswith(_LABELS):
        return []
    _, ids = columns.get(name.removesuffix(_LABELS) + _IDS, (None, values[:0]))
    untrained = np.broadcast_to(np.int32(-100), values.shape)
    return [ids, untrained] if ids.shape == values.shape else [untrained]


def _hash(lengths: NDArray[Any], values: NDArray[Any], usual: list[NDArray[Any]]) -> str:
    """The hash of the lengths, of where values are as usual, in bits, and of all other values."""
    digest = hashlib.sha256(lengths.astype("<i8").tobytes())
    for start in range(0, len(values), _PIECE):
        piece = slice(start, start + _PIECE)
        rest = values[piece]
        if usual:
            flags = [values[piece] == each[piece] for each in usual]
            for flag in flags:
                digest.update(np.packbits(flag).tobytes())
            rest = rest[~np.logical_or.reduce(flags)]
        digest.update(_as_bytes(rest))
    return digest.hexdigest()


def _as_bytes(values: NDArray[Any]) -> bytes:
    """The values in four bytes each, or in eight if they do not fit: no two give the same."""
    short = values.astype("<i4")
    return (short if np.array_equal(short, values) else values.astype("<i8")).tobytes()


def check_content(folder: Path, manifest: Mapping[str, Any], columns: Mapping[str, Lists]) -> None:
    """Raise `CurateError` unless these are the examples of the manifest, in their order.

    `columns` are all that is trained, as in `content_hashes`.
    """
    expected = manifest.get(CONTENT_HASHES)
    if not isinstance(expected, dict):
        raise CurateError(
            f"{folder / MANIFEST}: has no {CONTENT_HASHES}, so nobody knows whether the labels are "
            "those that were rendered. An earlier version of curate wrote none, or it was taken "
            f"out; {_AGAIN}"
        )
    if other := sorted(expected.keys() ^ columns.keys()):
        where = "the manifest" if other[0] in columns else "the dataset"
        raise CurateError(
            f"{folder}: column {other[0]!r} is not in {where}, so this is not what was rendered; "
            f"{_AGAIN}"
        )
    found = content_hashes(columns)
    # An id that changed is the most that can go wrong, and labels are compared with ids.
    changed = [name for name, each in found.items() if each != expected[name]]
    if _IDS in changed or manifest.get(IDS_HASH, found[_IDS]) != found[_IDS]:
        raise CurateError(
            f"{folder}: its examples are not those of the manifest, or not in their order, so "
            f"{SOURCES} does not say what they are from; {_AGAIN}"
        )
    if changed:
        raise CurateError(
            f"{folder}: column {changed[0]!r} is not as it was rendered, so what would be trained "
            f"is not what was proven; {_AGAIN}"
        )
