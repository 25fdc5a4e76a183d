"""Rows that are in memory already: dicts, or a frame of Polars, pandas or `datasets`."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import orjson
import polars as pl

from curate.base.errors import CurateError
from curate.sources.files import hub
from curate.sources.files.items import Item
from curate.sources.files.json_rows import line_item
from curate.sources.files.json_values import check_unicode
from curate.sources.shared.convert import described

_EXPECTED = "expected a list of dicts, a datasets.Dataset, or a Polars or pandas frame"
# Dates are no JSON: they must not pass for the texts that orjson would make of them.
_JSON = orjson.OPT_NON_STR_KEYS | orjson.OPT_SERIALIZE_NUMPY
_JSON |= orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_DATACLASS


def arrow_bytes(rows: Any) -> bytes | None:
    """A Polars frame or a `datasets.Dataset` as an Arrow stream; None for anything else."""
    if isinstance(rows, pl.DataFrame):
        if odd := [name for name, kind in rows.schema.items() if kind == pl.Object]:
            raise CurateError(f"the column {odd[0]!r} holds Python objects, which are no data")
        stream = io.BytesIO()
        try:
            rows.write_ipc_stream(stream)
        except pl.exceptions.PolarsError as error:
            raise CurateError(f"the frame cannot be read as Arrow ({error})") from error
        return stream.getvalue()
    return hub.arrow_bytes(rows) if _is_a("datasets", "Dataset", rows) else None


def dicts_of(rows: Any) -> Iterable[Any]:
    """The rows as dicts; cells that a pandas frame marks as missing are left out of theirs.

    Raises `CurateError` for what is no list of rows.
    """
    if _is_a("pandas", "DataFrame", rows):
        if not rows.columns.is_unique:
            twice = rows.columns[rows.columns.duplicated()][0]
            raise CurateError(f"the frame has two columns {twice!r}; give each a name of its own")
        known = rows.astype(object).where(rows.notna(), None)
        return (
            {name: _without_nulls(value) for name, value in row.items() if value is not None}
            for row in known.to_dict("records")
        )
    if isinstance(rows, str | bytes | Mapping | pl.LazyFrame) or not isinstance(rows, Iterable):
        raise CurateError(f"the rows are {described(rows)}; {_EXPECTED}")
    return rows


def _without_nulls(value: Any) -> Any:
    """A cell without null fields of objects: it may come from Arrow, which adds those."""
    if isinstance(value, dict):
        return {key: _without_nulls(inner) for key, inner in value.items() if inner is not None}
    if hasattr(value, "tolist"):
        value = value.tolist()
    return list(map(_without_nulls, value)) if isinstance(value, list | tuple) else value


def _is_a(package: str, name: str, value: Any) -> bool:
    """Whether the value is of a class of a package, which is not imported to find out."""
    module = sys.modules.get(package)
    return module is not None and isinstance(value, getattr(module, name))


def row_items(rows: Iterable[Any], seen: Callable[[bytes], None]) -> Iterator[Item]:
    """The rows as a file of JSON lines would hold them, numbered from 1.

    What JSON has no type for stays as it is, to be judged as in a table; a row with text that no
    JSON can hold becomes a reject. `seen` is called with the bytes of all rows, in order.
    """
    # One by one: any of them may hold what JSON cannot.
    for number, row in enumerate(rows, 1):
        try:
            text = orjson.dumps(row, default=_json_type, option=_JSON)
            item = Item(number, orjson.loads(text))
        except TypeError:
            item, text = _beyond_orjson(number, row)
        seen(text + b"\n")
        yield item


def _beyond_orjson(number: int, row: Any) -> tuple[Item, bytes]:
    raw = described(row)
    try:
        value = _with_json_types(row)
        raw = json.dumps(value, default=_written)
        check_unicode(value, default=_written)
        item = line_item(json.dumps(value).encode(), number)
    except TypeError:
        item = Item(number, value, raw=raw)
    except (ValueError, RecursionError) as error:
        wrong = f"invalid_json: the row cannot be written as JSON ({error})"
        item = Item(number, reject=wrong, raw=raw)
    return item, raw.encode()


def _written(value: Any) -> Any:
    """What stands for a value without a JSON type in the raw text of a row."""
    return sorted(map(str, value)) if isinstance(value, set | frozenset) else str(value)


def _json_type(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    if hasattr(value, "tolist"):  # numpy's arrays and numbers, without an import of numpy
        return value.tolist()
    raise TypeError(f"{described(value)} is no JSON")


def _with_json_types(value: Any) -> Any:
    """The value with lists for tuples and arrays, and Python's dates for those of pandas."""
    if isinstance(value, Mapping):
        return {key: _with_json_types(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_with_json_types(inner) for inner in value]
    if hasattr(value, "tolist"):
        return _with_json_types(value.tolist())
    return value.to_pydatetime() if hasattr(value, "to_pydatetime") else value
