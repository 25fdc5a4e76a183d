"""Raw rows into records and rejects: each row asked which format it is, then converted."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import accumulate, groupby
from typing import Any, NamedTuple

import orjson
import polars as pl

from curate.sources.build import CHUNK, Builder, meta_of
from curate.sources.bulk import BULK
from curate.sources.convert import Conversation, Reject, Row, described
from curate.sources.formats import GATHERED
from curate.sources.items import AnyItem, Block, Item, Note, Starts
from curate.sources.options import ReadOptions

# Fewer rows than this in a run of like ones are not worth the try to take them together.
PLAIN_FROM = 16

Rejected = tuple[str, int, str, str]  # source, line, reason, raw


@dataclass
class FileReport:
    """What one file turned out to be: rows per format, the fields seen, rejects per slug."""

    source: str
    sha256: str = ""
    rows: int = 0
    formats: dict[str, int] = field(default_factory=dict)
    fields: dict[str, str] = field(default_factory=dict)
    rejects: dict[str, int] = field(default_factory=dict)

    @property
    def rejected(self) -> int:
        """How many places of this file could not be read."""
        return sum(self.rejects.values())

    def evidence(self) -> str:
        """Which formats were found and by which fields, in one line."""
        parts = [
            f"{name} ({count:,} rows; fields {self.fields[name]})"
            for name, count in sorted(self.formats.items(), key=lambda pair: (-pair[1], pair[0]))
        ]
        return ", ".join(parts) or "no known format"


class Part(NamedTuple):
    """What one file turned out to be; `records` count their rows from 0.

    `names` are the fields of its rows, before columns were renamed; none where none are.
    """

    records: pl.DataFrame
    rejects: list[Rejected]
    report: FileReport
    names: tuple[str, ...]


class Reader:
    """Turns the items of a file into records and rejects."""

    def __init__(self, source: str, options: ReadOptions) -> None:
        self.options, self.formats = options, options.formats()
        self.report, self.builder = FileReport(source), Builder()
        self.rejects: list[Rejected] = []
        self.notes: list[str] = []
        self.names: dict[str, None] = {}
        self.starts: list[int] | None = None
        # Rows to be joined, by the format that joins them.
        self.aside: dict[str, list[tuple[int, Row]]] = {}

    def part(self) -> Part:
        """All that was read; rows that only make sense together are joined now."""
        for name, rows in self.aside.items():
            for joined in GATHERED[name][1](rows):
                self._convert(Item(joined.line, joined.row, joined.reject))
        self.aside = {}
        records, rejects = self.builder.frame(), self.rejects
        if self.starts is not None:
            starts = self.starts
            begins = pl.Series("line", starts, pl.UInt32).gather(records["line"] - 1)
            records = records.with_columns(begins)
            rejects = [(file, starts[line - 1], why, raw) for file, line, why, raw in rejects]
        return Part(records, rejects, self.report, tuple(self.names))

    def take(self, items: Iterable[AnyItem]) -> None:
        """Convert all items: neighbours with the same fields together, others one by one."""
        # Rows are Python objects here: their shapes differ, and parsing them is C code already.
        alike: list[Item] = []
        fields: tuple[Any, ...] | None = None
        for item in items:
            if isinstance(item, Starts):
                self.starts = item.lines
                continue
            if isinstance(item, Note):
                self.notes.append(item.text)
                continue
            if isinstance(item, Block):
                self._take_alike(alike)
                alike, fields = [], None
                self._take_block(item)
                continue
            own = tuple(item.value) if type(item.value) is dict else None
            if own != fields or len(alike) >= CHUNK:
                self._take_alike(alike)
                alike, fields = [], own
            alike.append(item)
        self._take_alike(alike)

    def reject(self, item: Item, why: Reject) -> None:
        """Write down a place that could not be read."""
        raw = item.raw
        if not raw and (item.reject is None or item.value is not None):
            raw = _as_text(item.value)
        self.rejects.append((self.report.source, item.line, str(why), raw))
        self.report.rejects[why.slug] = self.report.rejects.get(why.slug, 0) + 1

    def _take_block(self, block: Block) -> None:
        if set(map(type, block.values)) == {dict}:
            kinds: list[tuple[Any, ...] | None] = list(map(tuple, block.values))
        else:
            kinds = [tuple(row) if type(row) is dict else None for row in block.values]
        start = 0
        for end in _ends_of_runs(kinds):
            lines, rows = block.lines[start:end], block.values[start:end]
            if not self._take_plain(lines, rows) and not self._set_aside(lines, rows):
                for line, row in zip(lines, rows, strict=True):
                    self._convert(Item(line, row))
            start = end

    def _take_alike(self, alike: list[Item]) -> None:
        if alike and alike[0].reject is None:
            lines, rows = [item.line for item in alike], [item.value for item in alike]
            if self._take_plain(lines, rows) or self._set_aside(lines, rows):
                return
        for item in alike:
            self._convert(item)

    def _set_aside(self, lines: list[int], rows: list[Any]) -> bool:
        if type(rows[0]) is not dict or self.options.format is not None:
            return False
        for name, (matches, _) in GATHERED.items():
            if matches(rows[0]):
                self.aside.setdefault(name, []).extend(zip(lines, rows, strict=True))
                return True
        return False

    def _take_plain(self, lines: list[int], rows: list[Any]) -> bool:
        """All rows at once, when their format has a way to and every one of them is plain."""
        if len(rows) < PLAIN_FROM or type(rows[0]) is not dict or self.options.columns:
            return False
        name = next((name for name, each in self.formats.items() if each.matches(rows[0])), "")
        flat = BULK[name](rows) if name in BULK else None
        if flat is None:
            return False
        try:
            self.builder.add_plain(self.report.source, lines, rows, flat)
        except Reject:
            return False  # one of the rows is to be rejected: they are looked at one by one
        self._count(name, rows[0], len(rows))
        return True

    def _count(self, name: str, row: Row, rows: int) -> None:
        report = self.report
        report.rows += rows
        report.formats[name] = report.formats.get(name, 0) + rows
        report.fields.setdefault(name, ", ".join(map(str, row)))

    def _convert(self, item: Item) -> None:
        report = self.report
        try:
            if item.reject is not None:
                raise Reject(*item.reject.split(": ", 1))
            row = self._renamed(item.value)
            name, conversations = self._recognised(row)
            # Where a record first came from goes before where an earlier run wrote it.
            metas = [meta_of({**row, **(one.meta or {})}, one.used) for one in conversations]
        except Reject as reject:
            self.reject(item, reject)
            return
        for meta, conversation in zip(metas, conversations, strict=True):
            self.builder.add(report.source, item.line, meta, conversation)
        self._count(name, row, len(conversations))

    def _renamed(self, row: Any) -> Row:
        if not isinstance(row, dict):
            raise Reject("not_an_object", f"the row is {described(row)}; expected an object")
        if not self.options.columns:
            return row
        self.names |= dict.fromkeys(map(str, row))
        for known, column in self.options.columns.items():
            if column not in row:
                raise Reject("unknown_shape", f"no field {column!r}, which is mapped to {known}")
        theirs: dict[Any, str] = {column: known for known, column in self.options.columns.items()}
        return {theirs.get(key) or key: value for key, value in row.items()}

    def _recognised(self, row: Row) -> tuple[str, list[Conversation]]:
        for name, known in self.formats.items():
            if known.matches(row):
                return name, known.convert(row)
        if not row:
            raise Reject("unknown_shape", "the row is an object without fields")
        shown = ", ".join(map(str, list(row)[:8]))
        forced = self.options.format
        lacking = f"format {forced} does not have" if forced else "no known format has"
        raise Reject("unknown_shape", f"{lacking} the fields {shown}")


def _ends_of_runs(kinds: list[Any]) -> list[int]:
    if kinds.count(kinds[0]) == len(kinds):
        return [len(kinds)]
    return list(accumulate(sum(1 for _ in same) for _, same in groupby(kinds)))


def _as_text(value: Any) -> str:
    try:
        return orjson.dumps(value, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
    except TypeError:
        return repr(value)  # nested deeper than JSON writers go
