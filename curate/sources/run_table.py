"""The table that a run wrote of its rows, read back as columns.

Such a table has been through all that reading does, so that nothing is left to do where nobody
changed it. Whatever might not be as a run writes it is for the reader of rows: both give the same.
"""

from __future__ import annotations

import io
from collections.abc import Callable

import polars as pl

from curate.base.messages import flat
from curate.base.schema import KEPT_ROWS, MESSAGES, RECORDS, ROLES, content_id
from curate.sources.build import meta_of, plain_ids
from curate.sources.collected import REJECTED
from curate.sources.file_report import FileReport, FileRows
from curate.sources.formats.chats import scores_by_step
from curate.sources.options import ReadOptions
from curate.sources.shared.controls import MOST_WEIGHT
from curate.sources.shared.convert import (
    MOST_SCORE,
    Reject,
    object_of,
    parsed,
    tool_calls,
    tool_schemas,
)
from curate.sources.shared.thoughts import SETTINGS, THOUGHT

FORMAT = "kept"


def columns_of(name: str, stored: bytes, options: ReadOptions) -> FileRows | None:
    """The records of a run's table; None for any other file, and for rows to be looked at."""
    if not stored.startswith(b"PAR1") or options.columns or options.format not in (None, FORMAT):
        return None
    try:
        table = pl.read_parquet(stored) if _is_run_table(stored) else pl.DataFrame()
        if not table.height or not _is_as_written(table):
            return None
        records = _records(name, table)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError, Reject):
        return None  # the reader of rows says what is wrong with it, and with which row
    report = FileReport(name)
    report.rows, report.formats[FORMAT], report.converted = table.height, table.height, table.height
    first = [column.name for column in table.head(1) if column[0] is not None]
    report.fields[FORMAT] = ", ".join(first)
    return FileRows(records, pl.DataFrame(schema=REJECTED), report)


def _is_run_table(stored: bytes) -> bool:
    return pl.read_parquet_schema(io.BytesIO(stored)) == KEPT_ROWS


def _is_as_written(table: pl.DataFrame) -> bool:
    """Whether each value is one that reading gives, and would be read as itself again."""
    needed = table.select("id", "source", "line", "messages", "meta", "scores")
    if any(column.null_count() for column in needed):
        return False
    messages, rejected = flat(table["messages"]), flat(table["rejected"])
    return (
        _speaks(table["messages"])
        and _are_messages(messages)
        and _are_messages(rejected)
        and not (table["rejected"].list.len() == 0).any()
        and not messages["content"].str.contains(THOUGHT, literal=True).any()
        and all(_is_same(tool_schemas, text) for text in table["tools"].drop_nulls().unique())
        and not table.select((pl.col("score").abs() >= MOST_SCORE) | pl.col("score").is_nan())
        .to_series()
        .any()
        and not (table["category"] == "").any()
    )


def _speaks(conversations: pl.Series) -> bool:
    """Whether the assistant speaks in each conversation."""
    answered = flat(conversations).filter(pl.col("role") == "assistant")
    return answered["at"].n_unique() == len(conversations)


def _are_messages(lines: pl.DataFrame) -> bool:
    if lines["role"].null_count() or lines["content"].null_count():
        return False
    texts = [pl.col(name) == "" for name in ("reasoning", "name", "tool_call_id", "tool_calls")]
    setting = pl.col("reasoning").str.strip_chars().str.to_lowercase().is_in(list(SETTINGS))
    weight = ~pl.col("weight").is_between(0, MOST_WEIGHT) | pl.col("weight").is_nan()
    odd = pl.any_horizontal(~pl.col("role").is_in(ROLES), *texts, setting, weight)
    calls = lines["tool_calls"].drop_nulls().unique()
    return not lines.select(odd.fill_null(False)).to_series().any() and all(
        _is_same(lambda value: tool_calls(value, "tool_calls"), text) for text in calls
    )


def _is_same(read: Callable[[str], str | None], text: str) -> bool:
    return read(text) == text


def _records(name: str, table: pl.DataFrame) -> pl.DataFrame:
    columns = {
        "row": pl.int_range(table.height, dtype=pl.UInt32, eager=True),
        "id": _ids(table),
        "source": pl.repeat(name, table.height, dtype=pl.String, eager=True),
        "line": pl.int_range(1, table.height + 1, dtype=pl.UInt32, eager=True),
        "meta": pl.Series(_metas(table), dtype=pl.String),
    }
    same = table.select("messages", "tools", "rejected", "score", "category")
    read = same.with_columns(**columns)
    return read.select(RECORDS.names()).cast({"messages": MESSAGES, "rejected": MESSAGES})


def _ids(table: pl.DataFrame) -> pl.Series:
    """The ids of the conversations as they are here: a file may say anything of them."""
    more = pl.col("reasoning", "name", "tool_calls", "tool_call_id").is_not_null()
    dressed = flat(table["messages"]).filter(pl.any_horizontal(more))["at"].unique()
    at = pl.int_range(table.height, eager=True)
    plain = ~at.is_in(dressed.implode()) & table["tools"].is_null()
    alike, others = table.filter(plain), table.filter(~plain)
    lines, lengths = flat(alike["messages"]), alike["messages"].list.len().to_list()
    bulk = iter(plain_ids(lengths, lines["role"].to_list(), lines["content"].to_list()))
    single = map(content_id, others["messages"].to_list(), others["tools"].to_list())
    ids = [next(bulk) if is_plain else next(single) for is_plain in plain]
    return pl.Series(ids, dtype=pl.String)


def _metas(table: pl.DataFrame) -> list[str]:
    """What the rows had beside their conversations, after where the run has them from."""
    given = zip(table["meta"].to_list(), table["scores"].to_list(), strict=True)
    where = table.select("id", "source", "line").iter_rows(named=True)
    metas = []
    for row, (text, scores) in zip(where, given, strict=True):
        meta = object_of(parsed(text, "meta") or {}, "meta") if text != "{}" else {}
        by_step = scores_by_step(scores)
        metas.append(meta_of(row, (), {**meta, "scores": by_step} if by_step else meta))
    return metas
