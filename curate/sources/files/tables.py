"""Rows out of tables: parquet and Arrow."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import polars as pl

from curate.base.json_text import loads_exact
from curate.base.schema import MESSAGES
from curate.sources.files.frames import table_of
from curate.sources.files.items import Item, Note
from curate.sources.files.json_values import check_unicode
from curate.sources.files.packed import Budget

# How a stream of Arrow ends; without it, more may have been meant to follow.
_END_OF_STREAM = b"\xff\xff\xff\xff\0\0\0\0"


def is_table(stored: bytes) -> bool:
    """Whether bytes are those of a parquet file, an Arrow file or an Arrow stream.

    Text may begin as a parquet file does; one that is cut off holds bytes that no text does.
    """
    if stored.startswith(b"PAR1"):
        return stored.endswith((b"PAR1", b"PARE")) or b"\0" in stored
    return stored.startswith((b"ARROW1\0\0", b"\xff\xff\xff\xff"))


def table_items(name: str, stored: bytes, most: int | None = None) -> Iterator[Item | Note]:
    """Rows of a parquet file, an Arrow file or an Arrow stream; the line is the row's number.

    Columns that are null in a row are absent from it: a table gives every row the columns of all.
    So are null fields of objects inside of columns, which are counted in a note for each column.
    Text that the schema declares as JSON (`arrow.json`, the `Json` feature of `datasets`) is
    parsed, and the nulls in it stay. An object of equally long lists of roles and contents is
    read as a list of messages. `most` bytes may be unpacked. Rows that are damaged are one reject
    for each part of the file that holds them.
    """
    table = table_of(name, stored, Budget().limit(len(stored)) if most is None else most)
    frame = table.frame
    if stored.startswith(b"\xff") and not stored.endswith(_END_OF_STREAM):
        yield Note("the Arrow stream has no end mark; rows may be lost behind the last one")
    plans = {column.name: plan for column in frame if (plan := _plan(column))}
    for column, plan in plans.items():
        if frame[column].dtype != MESSAGES:  # of a run: nobody's objects, and nothing to tell
            yield from _notes(column, plan)
    # Rows become Python objects because every format reads rows; columns come back in `build`.
    for number, row in zip(table.numbers(), frame.iter_rows(named=True), strict=True):
        present = {key: value for key, value in row.items() if value is not None}
        yield _item(number, present, plans) if plans else Item(number, present)
    before = 0
    for after, rows, wrong in table.lost:
        first = after + before + 1
        before += rows
        many = f"{rows:,} rows" if rows else "rows"
        yield Item(first, reject=f"damaged: {many} from here on are lost with {wrong}")


Convert = Callable[[Any], Any]


class _Plan(NamedTuple):
    """What is to be done with each value of a column, and what to say of it."""

    convert: Convert
    nulls: int = 0  # fields of objects that are left out
    turned: bool = False  # lists of roles and contents became a list of messages


def _notes(column: str, plan: _Plan) -> Iterator[Note]:
    if plan.nulls:
        fields = "field of an object" if plan.nulls == 1 else "fields of objects"
        are = "is" if plan.nulls == 1 else "are"
        yield Note(
            f"{plan.nulls:,} empty {fields} in `{column}` {are} left out: Arrow gives every "
            "object the fields of all"
        )
    if plan.turned:
        yield Note(f"`{column}` holds lists of roles and of texts; they are read as messages")


def _item(number: int, row: dict[str, Any], plans: Mapping[str, _Plan]) -> Item:
    changed = dict(row)
    for column, plan in plans.items():
        if column in row:
            try:
                changed[column] = plan.convert(row[column])
            except (ValueError, RecursionError) as error:
                return Item(number, row, reject=f"wrong_type: {column}: {error}")
    return Item(number, {key: value for key, value in changed.items() if value is not None})


def _plan(column: pl.Series) -> _Plan | None:
    """What to do with the values of a column or of what is inside of them; None for nothing.

    Looks at columns, not at values: a table without nulls or JSON costs nothing more.
    """
    kind = column.dtype
    if isinstance(kind, pl.Extension):
        return _Plan(_json_value) if kind.ext_name() == "arrow.json" else None
    if not kind.is_nested():
        return None
    values = column.drop_nulls()
    if isinstance(kind, pl.Struct):
        names = [field.name for field in kind.fields]
        return _plan_of_objects([values.struct.field(name) for name in names])
    if isinstance(kind, pl.Map):
        inner = _plan(values.map.values().explode(empty_as_null=False))
        return inner and inner._replace(convert=_in_map(inner.convert))
    inner = _plan(values.explode(empty_as_null=False))
    return inner and inner._replace(convert=_in_list(inner.convert))


def _plan_of_objects(fields: list[pl.Series]) -> _Plan | None:
    if _are_turned(fields):
        return _plan_of_turned(fields)
    plans = {field.name: plan for field in fields if (plan := _plan(field))}
    nulls = sum(field.null_count() for field in fields)
    if not plans and not nulls:
        return None
    converts = {name: plan.convert for name, plan in plans.items()}
    inside = sum(plan.nulls for plan in plans.values())
    return _Plan(_in_object(converts), nulls + inside, any(plan.turned for plan in plans.values()))


def _in_list(convert: Convert) -> Convert:
    return lambda values: [None if value is None else convert(value) for value in values]


def _in_map(convert: Convert) -> Convert:
    return lambda values: {
        key: None if value is None else convert(value) for key, value in values.items()
    }


def _in_object(converts: Mapping[str, Convert]) -> Convert:
    """Objects without their null fields; those of JSON text are gone only if there is no text."""

    def converted(value: dict[str, Any]) -> dict[str, Any]:
        return {
            key: converts[key](inner) if key in converts else inner
            for key, inner in value.items()
            if inner is not None
        }

    return converted


# The `Sequence` feature of older versions of `datasets` turns a list of objects into lists.


def _are_turned(fields: list[pl.Series]) -> bool:
    names = {field.name for field in fields}
    speaks = not names.isdisjoint({"role", "from"}) and not names.isdisjoint({"content", "value"})
    return speaks and all(field.dtype.base_type() == pl.List for field in fields)


def _plan_of_turned(fields: list[pl.Series]) -> _Plan:
    plans = {field.name: _plan(field) for field in fields}
    converts = {name: plan.convert for name, plan in plans.items() if plan}
    nulls = sum(field.explode(empty_as_null=False).null_count() for field in fields)
    inside = sum(plan.nulls for plan in plans.values() if plan)

    def messages(value: dict[str, Any]) -> list[dict[str, Any]]:
        lists = _in_object(converts)(value)
        lengths = {name: len(inner) for name, inner in lists.items()}
        if len(set(lengths.values())) > 1:
            listed = ", ".join(f"{length} of {name}" for name, length in lengths.items())
            raise ValueError(f"its lists are not equally long: {listed}")
        rows = (dict(zip(lists, row, strict=True)) for row in zip(*lists.values(), strict=True))
        return [{key: one for key, one in row.items() if one is not None} for row in rows]

    return _Plan(messages, nulls + inside, turned=True)


def _json_value(text: str) -> Any:
    """The value of JSON text in a table, integers of any size as they are."""
    try:
        return loads_exact(text)
    except ValueError:
        pass  # NaN, or nothing that is JSON
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"declared as JSON, but not valid JSON ({error})") from error
    check_unicode(value)
    return value
