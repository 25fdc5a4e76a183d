"""Tables as Parquet with plain list types, which `datasets` 4.0, pandas and trainers read."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from curate.exports.target import DATA

GROUP = 64 * 2**20  # bytes of a row group: readers hold one at a time
SHARD = 500 * 2**20  # bytes of a file of a set that is published
# Polars writes lists with 64-bit offsets, of which datasets 4.0 cannot even print the features.
_PLAIN: dict[Any, str] = {
    pl.String: "string",
    pl.Float64: "float64",
    pl.Boolean: "bool_",
    pl.Int32: "int32",
    pl.Int8: "int8",
    pl.UInt32: "uint32",
}


def write(table: pl.DataFrame, folder: Path, json_columns: Sequence[str] = ()) -> None:
    """Write the table as `train.parquet`, in row groups of bounded size."""
    _write_file(table, folder / DATA, json_columns)


def write_shards(table: pl.DataFrame, folder: Path) -> None:
    """Write the table as `train-00000-of-0000n.parquet`, each of about `SHARD` bytes in memory."""
    for part, name in zip(_slices(table, SHARD), shard_names(table), strict=True):
        _write_file(part, folder / name, ())


def shard_names(table: pl.DataFrame) -> list[str]:
    """The files that `write_shards` writes."""
    count = len(list(_slices(table, SHARD)))
    return [f"train-{n:05}-of-{count:05}.parquet" for n in range(count)]


def _slices(table: pl.DataFrame, size: int) -> Iterator[pl.DataFrame]:
    of_a_row = max(1, int(table.estimated_size()) // max(1, table.height))
    yield from table.iter_slices(max(1, size // of_a_row))


def _write_file(table: pl.DataFrame, path: Path, json_columns: Sequence[str]) -> None:
    import pyarrow.parquet as pq

    schema = arrow_schema(table.schema, json_columns)
    # Arrow's "json" texts are stored as texts; statistics of long texts help no reader.
    with pq.ParquetWriter(path, schema, compression="zstd", write_statistics=False) as writer:
        for part in _slices(table, GROUP):
            writer.write_table(part.to_arrow().cast(schema), row_group_size=part.height)


def arrow_schema(schema: pl.Schema, json_columns: Sequence[str] = ()) -> Any:
    """The Arrow schema of these columns; `json_columns` are lists of JSON texts.

    `datasets` (from 4.7 on) learns from the schema's metadata that those are objects.
    """
    import pyarrow as pa

    fields = [
        pa.field(name, pa.list_(pa.json_()) if name in json_columns else _arrow_type(kind))
        for name, kind in schema.items()
    ]
    if not json_columns:
        return pa.schema(fields)
    features = {
        name: {"feature": {"_type": "Json"}, "_type": "List"}
        if name in json_columns
        else {"dtype": str(_arrow_type(kind)), "_type": "Value"}
        for name, kind in schema.items()
    }
    about = {"info": {"features": features}}
    return pa.schema(fields, metadata={"huggingface": json.dumps(about)})


def _arrow_type(kind: Any) -> Any:
    import pyarrow as pa

    if isinstance(kind, pl.List):
        return pa.list_(_arrow_type(kind.inner))
    if isinstance(kind, pl.Struct):
        return pa.struct([(field.name, _arrow_type(field.dtype)) for field in kind.fields])
    return getattr(pa, _PLAIN[kind.base_type()])()
