"""Dumps in, Records out: one reader per dump family, nothing lost on the way.

`FORMATS` is the whole list. A format is asked per row, in this order, and the first that
recognises the row's fields converts it; what none recognises becomes a reject.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import orjson
import polars as pl

from curate.schema import CurateError
from curate.sources import chats, pairs
from curate.sources.build import Builder
from curate.sources.convert import Conversation, Reject, Row, described
from curate.sources.files import Item, expand, items


class Format(NamedTuple):
    """How to recognise one family of rows, and how to read it."""

    matches: Callable[[Row], bool]
    convert: Callable[[Row], list[Conversation]]


FORMATS = {
    "messages": Format(chats.is_messages, chats.messages),
    "sharegpt": Format(chats.is_sharegpt, chats.sharegpt),
    "dolly": Format(pairs.is_dolly, pairs.dolly),
    "alpaca": Format(pairs.is_alpaca, pairs.alpaca),
    "prompt-completion": Format(pairs.is_pair, pairs.pair),
}

REJECTED = pl.Schema(
    {"source": pl.String, "line": pl.UInt32, "reason": pl.String, "raw": pl.String}
)


@dataclass
class FileReport:
    """What one file turned out to be: rows per format, the fields seen, rejects per slug."""

    source: str
    sha256: str
    rows: int = 0
    formats: dict[str, int] = field(default_factory=dict)
    fields: dict[str, str] = field(default_factory=dict)
    rejects: dict[str, int] = field(default_factory=dict)

    @property
    def rejected(self) -> int:
        return sum(self.rejects.values())

    def evidence(self) -> str:
        """Which formats were found and by which fields, in one line."""
        parts = [
            f"{name} ({count:,} rows; fields {self.fields[name]})"
            for name, count in sorted(self.formats.items(), key=lambda pair: (-pair[1], pair[0]))
        ]
        return ", ".join(parts) or "no known format"


@dataclass(frozen=True)
class Dump:
    """Everything that was read: `records` + `rejects` account for every row of every file."""

    records: pl.DataFrame
    rejects: pl.DataFrame
    files: list[FileReport]

    @property
    def read(self) -> int:
        return self.records.height + self.rejects.height


def read(names: Iterable[str]) -> Dump:
    """Read files and folders of any known format into Records.

    Raises `CurateError` for a missing or empty file; every unreadable row becomes a reject
    with its file, line, reason and raw text.
    """
    builder, rejects, files = Builder(), _Rejects(), []
    for path in expand(list(names)):
        report = FileReport(path.as_posix(), _sha256(path))
        _read_file(path, report, builder, rejects)
        files.append(report)
    records = builder.frame()
    if not records.height and not rejects.rows:
        raise CurateError("no rows in " + ", ".join(report.source for report in files))
    return Dump(records, rejects.frame(), files)


def _read_file(path: Path, report: FileReport, builder: Builder, rejects: _Rejects) -> None:
    # Rows are Python objects here: their shapes differ, and parsing them is C code already.
    for item in items(path):
        try:
            if item.reject is not None:
                raise Reject(*item.reject.split(": ", 1))
            name, found = _convert(item.value)
        except Reject as reject:
            rejects.add(report, item, reject)
            continue
        for conversation in found:
            builder.add(report.source, item.line, item.value, conversation)
        report.rows += len(found)
        report.formats[name] = report.formats.get(name, 0) + len(found)
        report.fields.setdefault(name, ", ".join(map(str, item.value)))


def _convert(row: Any) -> tuple[str, list[Conversation]]:
    if not isinstance(row, dict):
        raise Reject("not_an_object", f"the row is {described(row)}; expected an object")
    for name, known in FORMATS.items():
        if known.matches(row):
            return name, known.convert(row)
    shown = ", ".join(map(str, list(row)[:8])) or "none"
    raise Reject("unknown_shape", f"no known format has the fields {shown}")


class _Rejects:
    def __init__(self) -> None:
        self.rows: list[tuple[str, int, str, str]] = []

    def add(self, report: FileReport, item: Item, reject: Reject) -> None:
        raw = item.raw or orjson.dumps(item.value, default=str).decode()
        self.rows.append((report.source, item.line, str(reject), raw))
        report.rejects[reject.slug] = report.rejects.get(reject.slug, 0) + 1

    def frame(self) -> pl.DataFrame:
        return pl.DataFrame(self.rows, schema=REJECTED, orient="row")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
