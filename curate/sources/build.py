"""Conversations into columns: a flat list of messages, folded into one list a row."""

from __future__ import annotations

import datetime
import decimal
from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b
from itertools import chain, islice, repeat
from typing import Any

import orjson
import polars as pl
from polars.datatypes import DataTypeClass

from curate.base.json_text import Number, as_written
from curate.base.schema import MESSAGE, MESSAGE_FIELDS, MESSAGES, RECORDS
from curate.sources.bulk import FlatMessages
from curate.sources.shared.convert import (
    Conversation,
    Message,
    Reject,
    Row,
    described,
    label_of,
    number_of,
)

# Conversations held as Python objects before they become columns, and characters of their text.
CHUNK = 20_000
CHUNK_TEXT = 1 << 23
_PLAIN = ("id", "source", "line", "tools", "score", "category", "meta")


class Builder:
    """Turns conversations into Records frames, and hands each over as soon as it is made.

    `row` counts from 0 in all of them together.
    """

    def __init__(self, add: Callable[[pl.DataFrame], None]) -> None:
        self._add = add
        self._rows = 0
        self._clear()

    def _clear(self) -> None:
        self._plain: list[tuple[Any, ...]] = []
        self._messages: list[list[Message]] = []
        self._rejected: list[list[Message] | None] = []
        self._text = 0

    def add(self, source: str, line: int, name: str, meta: str, conversation: Conversation) -> None:
        """Append one conversation; `name` is its id, `meta` what its row has that it does not."""
        labels = (conversation.tools, conversation.score, conversation.category)
        self._plain.append((name, source, line, *labels, meta))
        self._messages.append(conversation.messages)
        self._rejected.append(conversation.rejected)
        self._text += len(meta) + sum([len(said["content"]) for said in conversation.messages])
        if len(self._messages) >= CHUNK or self._text >= CHUNK_TEXT:
            self.flush()

    def add_plain(
        self, source: str, lines: list[int], rows: Sequence[Row], flat: FlatMessages
    ) -> None:
        """Append many conversations of two-field messages, given as flat lists."""
        self.flush()
        scores, named_scores = _of_each(rows, flat.scores, number_of)
        categories, named_categories = _of_each(rows, flat.categories, label_of)
        taken = flat.taken or repeat((), len(rows))
        labels = list(zip(named_scores, named_categories, taken, strict=True))
        columns: dict[str, list[Any] | pl.Series] = {
            "id": plain_ids(flat.lengths, flat.roles, flat.contents),
            "source": repeated("source", source, pl.String(), len(rows)),
            "line": lines,
            "tools": repeated("tools", None, pl.String(), len(rows)),
            "score": scores,
            "category": categories,
            "meta": _metas(rows, flat.used, labels),
        }
        given: dict[str, list[Any]] = {"role": flat.roles, "content": flat.contents}
        if flat.weights is not None:
            given["weight"] = flat.weights
        messages = _folded("messages", flat.lengths, given)
        self._append(columns, messages, _sides(flat.rejected, len(rows)))

    def flush(self) -> None:
        """Hand over what is still held."""
        if self._messages:
            messages = _from_objects("messages", self._messages)
            rejected = _from_objects("rejected", self._rejected)
            columns = map(list, zip(*self._plain, strict=True))
            self._append(dict(zip(_PLAIN, columns, strict=True)), messages, rejected)
            self._clear()

    def _append(
        self, columns: Mapping[str, list[Any] | pl.Series], messages: pl.Series, rejected: pl.Series
    ) -> None:
        end = self._rows + len(messages)
        rows = pl.int_range(self._rows, end, dtype=pl.UInt32, eager=True).alias("row")
        series = [pl.Series(name, values, RECORDS[name]) for name, values in columns.items()]
        chunk = pl.DataFrame([rows, messages, rejected, *series])
        self._rows += chunk.height
        self._add(chunk.select(RECORDS.names()))


Used = tuple[str, ...]


def _sides(texts: Sequence[str | None] | None, rows: int) -> pl.Series:
    """The column `rejected` of what the assistant said instead, one message a row or none."""
    if texts is None:
        return repeated("rejected", None, MESSAGES, rows)
    said = [text for text in texts if text is not None]
    lengths = [int(text is not None) for text in texts]
    return _folded("rejected", lengths, {"role": ["assistant"] * len(said), "content": said})


def _of_each(rows: Sequence[Row], names: Used, look: Any) -> tuple[list[Any], list[Used]]:
    """A field that may be called by several names, from rows that all have the same fields.

    For each row the value and the names it was found under.
    """
    if not set(names) & set(rows[0]):
        return [None] * len(rows), [()] * len(rows)
    pairs = [look(row, names) for row in rows]
    return [value for value, _ in pairs], [used for _, used in pairs]


def plain_ids(lengths: Sequence[int], roles: Sequence[str], contents: Sequence[str]) -> pl.Series:
    """`content_id` of conversations whose messages have a role and a content and no more.

    `lengths` says how many messages each has.
    """
    if not lengths:
        return pl.Series(dtype=pl.String)
    pairs = zip(roles, contents, strict=True)
    every = [list(islice(pairs, length)) for length in lengths]
    # All at once, then cut: inside a string no quote stands without a backslash before it, so
    # that what is between two conversations can stand nowhere else.
    texts = orjson.dumps(every)[len(b'[[["') : -len(b'"]]]')].split(b'"]],[["')
    digests = [blake2b(b'[[["' + text + b'"]],null]', digest_size=8).digest() for text in texts]
    return pl.Series(digests, dtype=pl.Binary).bin.encode("hex")


def _from_objects(name: str, conversations: Sequence[list[Message] | None]) -> pl.Series:
    flat = [message for messages in conversations for message in messages or ()]
    lengths = [0 if messages is None else len(messages) for messages in conversations]
    plain = all(len(message) == 2 for message in flat)
    fields = ("role", "content") if plain else MESSAGE_FIELDS
    given = {field: [message.get(field) for message in flat] for field in fields}
    return _folded(name, lengths, given)


def _folded(name: str, lengths: list[int], given: dict[str, list[Any]]) -> pl.Series:
    """A column of message lists out of flat columns; several times faster than from objects."""
    if not any(lengths):
        return pl.Series(name, [None] * len(lengths), MESSAGES)
    height = sum(lengths)
    table = pl.DataFrame(
        [
            pl.Series(field.name, given[field.name], field.dtype)
            if field.name in given
            else repeated(field.name, None, field.dtype, height)
            for field in MESSAGE.fields
        ]
    )
    if lengths.count(lengths[0]) == len(lengths):
        # Nearly all dumps hold pairs, and no groups have to be made of what is equally long.
        return table.to_struct(name).reshape((len(lengths), lengths[0])).arr.to_list()
    numbers = pl.int_range(len(lengths), dtype=pl.UInt32, eager=True).alias("at")
    at = numbers.repeat_by(pl.Series(lengths)).explode(empty_as_null=False)
    folded = (
        table.with_columns(at=at)
        .group_by("at", maintain_order=True)
        .agg(pl.struct(MESSAGE_FIELDS).alias(name))
    )
    if folded.height == len(lengths):
        return folded[name].cast(MESSAGES)
    rows = numbers.to_frame()
    return rows.join(folded, on="at", how="left", maintain_order="left")[name].cast(MESSAGES)


def repeated(
    name: str, value: str | None, dtype: pl.DataType | DataTypeClass, rows: int
) -> pl.Series:
    """A column of one value; ten times faster than `pl.repeat` for a few rows."""
    return pl.Series(name, [value], dtype).new_from_index(0, rows)


def meta_of(row: Row, used: Used, more: Row | None = None) -> str:
    """The fields of a raw row that no column took, as JSON; a reject if JSON cannot hold them.

    `more` are fields that it had elsewhere; they go before those of the row.
    """
    rest = {key: value for key, value in row.items() if key not in used}
    if more:
        rest |= more
    if not rest:
        return "{}"
    try:
        return orjson.dumps(rest, default=_plain, option=orjson.OPT_NON_STR_KEYS).decode()
    except TypeError as error:
        why = error.__cause__ or error
        raise Reject("wrong_type", f"a field cannot be kept as JSON ({why})") from error


def _metas(rows: Sequence[Row], always: Used, labels: Sequence[tuple[Used, ...]]) -> list[str]:
    """`meta_of` for rows that all have the same fields; `labels` are what further columns took."""
    used = (*always, *chain.from_iterable(labels[0]))
    if labels.count(labels[0]) < len(labels):
        # A score that is no number in some rows stays in the meta of these.
        each = ((*always, *chain.from_iterable(label)) for label in labels)
        return [meta_of(row, taken) for row, taken in zip(rows, each, strict=True)]
    names = [name for name in rows[0] if name not in used]
    if not names:
        return ["{}"] * len(rows)
    rests = (
        [{name: row[name]} for name in names for row in rows]
        if len(names) == 1
        else [{name: row[name] for name in names} for row in rows]
    )
    try:
        return list(map(bytes.decode, map(orjson.dumps, rests)))
    except TypeError:
        return [meta_of(row, used) for row in rows]  # values that only tables hold


def _plain(value: Any) -> Any:
    """Values that tables hold and JSON does not."""
    if isinstance(value, Number):
        return as_written(value)
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, datetime.timedelta):
        return value.total_seconds()
    if isinstance(value, decimal.Decimal):
        return str(value)
    # The text of anything else, such as a set, may differ from one process to the next.
    raise TypeError(f"it holds {described(value)}")
