"""Rows of a file with a prompt and a label each, before any model reads them."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Sequence
from os import fspath
from pathlib import Path
from typing import Any

import polars as pl

from curate import sources
from curate.base.errors import CurateError, nearest, some_of
from curate.base.log import Log
from curate.base.schema import RECORDS
from curate.data import Source, read_data
from curate.evals.label_classes import Classes
from curate.pipeline.run_folder import RunFolder, is_run
from curate.sources import Dump, ReadOptions
from curate.sources.guess import check_mapped
from curate.sources.shared.convert import ANSWERS, QUESTIONS
from curate.unanswered import answered
from filters.common.given_scores import text_of_field
from trainer.data import classes as class_lists
from trainer.data.labelled import LeftOut, other_label


@dataclasses.dataclass(frozen=True)
class FileRows:
    """Conversations whose last answer is to be each class in turn.

    `records` have the columns of RECORDS, `row` being the number of the row in the file, from 0.
    `truth` [rows] are numbers of `classes`.
    """

    records: pl.DataFrame
    classes: tuple[str, ...]
    truth: tuple[int, ...]
    left_out: tuple[LeftOut, ...]


def read_rows(source: Source, classes: Classes, how: ReadOptions, tell: Log) -> FileRows:
    """The rows of a file or RUN, and the label of each.

    A row without an answer is one where its field holds the label. What cannot be read, and what
    has no label or one that is no class, is left out. Raises `CurateError` where no row is left.
    """
    field = classes.field
    columns = dict(how.columns)
    asks = {*QUESTIONS, "instruction"} & set(columns)
    if field is not None and asks and not set(ANSWERS) & set(columns):
        columns["response"] = field
    how = dataclasses.replace(how, columns=columns)
    dump = read_data(source, how, tell) if field is None else _unanswered_too(source, how)
    records, places, left_out = _all_records(dump, field)
    is_answer = field in [columns.get(name) for name in ANSWERS]
    labels = _labels(records, None if is_answer else field)
    texts = [_class_text(each, classes) for each in labels]
    names = classes.names or _found_classes(texts, classes, tell)
    number = {name: place for place, name in enumerate(names)}
    kept: list[int] = []
    for place, text in enumerate(texts):
        if text in number:
            kept.append(place)
        else:
            left_out.append(LeftOut(places[place], _id(records, place), *_why(text, names)))
    if not kept:
        first = min(left_out, key=lambda one: one.row)
        raise CurateError(
            f"{source}: no row has a label that is one of the classes; row {first.row}: "
            f"{first.message}"
        )
    chosen = records[kept].with_columns(row=pl.Series([places[at] for at in kept], dtype=pl.UInt32))
    truth = tuple(number[text] for place in kept if (text := texts[place]) is not None)
    return FileRows(chosen, tuple(names), truth, tuple(left_out))


def _unanswered_too(source: Source, how: ReadOptions) -> Dump:
    """The rows of a file or RUN, though none may have an answer yet.

    Nothing is said of words that are in no conversation, as the label is one of them; what cannot
    be read is left out by the caller.
    """
    check_mapped(how.columns)
    path = Path(source)
    return sources.read(
        RunFolder(path).row_files("kept") if is_run(path) else [fspath(source)], how
    )


def _all_records(dump: Dump, field: str | None) -> tuple[pl.DataFrame, list[int], list[LeftOut]]:
    """The records in the order of the file with their numbers; and what cannot be read."""
    records = dump.records
    found: list[tuple[str, int, pl.DataFrame | str]] = [
        (source, line, records[at])
        for at, (source, line) in enumerate(records.select("source", "line").iter_rows())
    ]
    for source, line, reason, raw in dump.iter_rejects():
        may_be_asked = field is not None and str(reason).startswith("no_answer")
        asked = answered(raw, source, dump.options) if may_be_asked else None
        found.append((source, line or 0, str(reason) if asked is None else asked))
    found.sort(key=lambda each: each[:2])
    frames = {at: each for at, (_, _, each) in enumerate(found) if isinstance(each, pl.DataFrame)}
    left_out = [
        LeftOut(at, f"{source}:{line}", "unreadable", f"{source}:{line}: {each}")
        for at, (source, line, each) in enumerate(found)
        if isinstance(each, str)
    ]
    every = pl.concat(frames.values()) if frames else pl.DataFrame(schema=RECORDS)
    return every, list(frames), left_out


def _id(records: pl.DataFrame, place: int) -> str:
    return str(records["id"][place])


def _labels(records: pl.DataFrame, field: str | None) -> list[str | None]:
    """What each row holds as its label: a field's value as text, or its last answer."""
    if field is None:
        return [_last_answer(messages) for messages in records["messages"].to_list()]
    if field in ("score", "category"):
        found = records[field].cast(pl.String)
    else:
        found = text_of_field(records, field)
    if found.null_count() == len(found):
        raise CurateError(
            f"none of {len(found):,} rows has a field {field!r}{_fields(records, field)}"
        )
    return found.to_list()


def _last_answer(messages: Sequence[dict[str, Any]]) -> str | None:
    answers = [each["content"] for each in messages if each["role"] == "assistant"]
    return answers[-1] if answers else None


def _fields(records: pl.DataFrame, field: str) -> str:
    """The fields that rows do have, or the one that was meant."""
    names = {key for text in records["meta"].drop_nulls().head(1000) for key in json.loads(text)}
    known = sorted(names)
    if not known:
        return "; the rows have no fields beside their conversation"
    return nearest(field, known) or f"; there is {some_of(known, 12)}"


def _class_text(label: str | None, classes: Classes) -> str | None:
    """The class that a row's label stands for, or the label itself."""
    if label is None or classes.texts is None:
        return label
    return classes.texts.get(label, label)


def _found_classes(texts: Sequence[str | None], classes: Classes, tell: Log) -> tuple[str, ...]:
    """The classes that rows have, sorted; said, as another set might have more."""
    counted = Counter(text for text in texts if text is not None and text.strip())
    names = class_lists.distinct(counted, len(texts), classes.source)
    shown = some_of([*map(repr, names)], 8)
    tell(f"the classes are the {len(names)} that rows have: {shown}; a file fixes them")
    return names


def _why(text: str | None, names: Sequence[str]) -> tuple[str, str]:
    """Why a label is no class: a slug and a sentence."""
    if text is None:
        return "no_label", "has no label"
    if not text.strip():
        return "no_label", "its label is empty"
    return "other_label", other_label(text, names)
