"""Why a record was kept or dropped: its text, every verdict in order, the row it duplicates."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from itertools import repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from curate.base.errors import CurateError
from curate.base.json_text import as_text
from curate.base.replacing import NAMELESS
from curate.base.terminal import printable
from curate.pipeline import ledger
from curate.report.run_files import damage_explained
from curate.sources import formats
from curate.sources.files import inputs
from curate.sources.files.items import Block, Item, Starts
from curate.sources.files.raw import items

if TYPE_CHECKING:
    from curate.pipeline.run_folder import RunFolder

SHOWN = 200  # characters of raw rows and of evidence

Record = dict[str, Any]


def explain(run: RunFolder, key: str) -> str:
    """All that happened to one record in a run, as text that is safe for a terminal.

    `key` is a row number, or an id, which several rows may share. Raises `CurateError` when the
    run has no such record, or is damaged.
    """
    with damage_explained(run):
        try:
            verdicts = ledger.of_row(run.ledger, key)
        except (OverflowError, TypeError):  # a number that no row can have
            verdicts = run.ledger.clear()
        if not verdicts.height:
            raise CurateError(
                f"{run.path}: no record has row or id {key!r}; {run.last_verdicts.height:,} rows "
                "were read, counted from 0; see kept.jsonl, dropped.jsonl"
            )
        rows = verdicts["row"].unique().sort()
        records = run.records([*rows, *verdicts["duplicate_of"].drop_nulls()])
        settings = {step["name"]: step["settings"] for step in run.manifest["steps"]}
        of_row = [verdicts.filter(pl.col("row") == row) for row in rows]
        pages = map(_one, of_row, rows, repeat(records), repeat(settings))
        return printable("\n\n".join(pages))


def _one(
    verdicts: pl.DataFrame, row: int, records: Mapping[int, Record], settings: Mapping[str, str]
) -> str:
    record, last = records[row], verdicts.row(-1, named=True)
    fate = f"dropped by {last['step']}: {last['reason']}" if last["verdict"] == "drop" else "kept"
    parts = [f"{_name(row, record)}  {fate}", ""]
    for message in record["messages"]:
        name = f" ({message['name']})" if message.get("name") else ""
        parts.append(f"  {message['role']}{name}: {message['content'] or ''}")
        parts += [
            f"    calls {json.dumps(call['function'])}" for call in message.get("tool_calls", [])
        ]
    parts += [*_raw_line(record), "", "verdicts, in order:"]
    for verdict in verdicts.iter_rows(named=True):
        parts += _verdict(verdict, settings.get(verdict["step"], ""))
        if (other := verdict["duplicate_of"]) is not None:
            parts += _duplicate_of(row, record, other, records.get(other))
    return "\n".join(parts)


def _name(row: int, record: Record) -> str:
    return f"row {row}  id {record['id']}  {record['source']}:{record['line']}"


def _raw_line(record: dict[str, Any]) -> list[str]:
    """The raw row that the record came from, or why it cannot be shown."""
    path, line = Path(record["source"]), record["line"]
    where = f"  line {line} of {record['source']}"
    if record["source"] in NAMELESS:
        return []
    if not path.is_file():
        return ["", f"{where}: not shown, as there is no such file as seen from here"]
    try:
        raw = _raw(path, line)
    except (CurateError, OSError) as error:
        return ["", f"{where}: not shown, as the file cannot be read any more ({error})"]
    if raw is None:
        return ["", f"{where}: not shown, as the file has no such row any more"]
    if raw == _SHARED:
        return ["", f"{where}: not shown, as several rows share the line"]
    text = printable(" ".join(raw.decode(errors="backslashreplace").split()), SHOWN)
    return ["", f"{where}: {text}"]


def _raw(path: Path, line: int) -> bytes | None:
    """The row that the reader counts as this line, as JSON: a line may be a row's number."""
    (source,) = inputs.expand([str(path)])
    rows: dict[int, Any] = {}
    starts: list[int] | None = None
    for item in items(source, source.stored(), formats.is_row):
        if isinstance(item, Starts):
            starts = item.lines
        elif isinstance(item, Item):
            # A line that several rows share does not say which of them is meant.
            rows[item.line] = _SHARED if item.line in rows else item.value
        elif isinstance(item, Block) and line in item.lines:
            return as_text(item.values[item.lines.index(line)]).encode()
    number = line if starts is None else starts.index(line) + 1 if line in starts else 0
    row = rows.get(number)
    return row if row is None or row == _SHARED else as_text(row).encode()


# Stands for the rows of a line that are several.
_SHARED = b"several"


def _number(score: float) -> str:
    """A count as it is, anything else in four digits."""
    is_count = abs(score) < 1e15 and score == int(score)
    return f"{score:.0f}" if is_count else f"{score:.4g}"


def _verdict(verdict: dict[str, Any], settings: str) -> list[str]:
    parts = [f"  {verdict['step']:12} {verdict['verdict']}"]
    if verdict["reason"]:
        parts.append(verdict["reason"])
    if verdict["score"] is not None:
        parts.append(f"score {_number(verdict['score'])}")
    if verdict["evidence"]:
        parts.append(f"evidence: {printable(verdict['evidence'], SHOWN)}")
    return ["  ".join(parts), *([f"  {'':12} settings: {settings}"] if settings else [])]


def _duplicate_of(row: int, record: Record, other: int, duplicate: Record | None) -> list[str]:
    if duplicate is None:
        return [f"  {'':12} duplicates row {other}, which is not in this run"]
    here, there = _marked(_text(record), _text(duplicate))
    width = len(f"row {max(row, other)}: ")
    return [
        f"  {'':12} duplicates {_name(other, duplicate)}",
        f"  {'':12}   {f'row {row}: ':{width}}{here}",
        f"  {'':12}   {f'row {other}: ':{width}}{there}",
    ]


def _text(record: dict[str, Any]) -> str:
    return " ".join(message["content"] or "" for message in record["messages"])


def _marked(ours: str, theirs: str, around: int = 6) -> tuple[str, str]:
    """Both texts with the differing words in [brackets], long equal stretches shortened.

    >>> _marked("the red fox", "the grey fox")
    ('the [red] fox', 'the [grey] fox')
    """
    # Matching is quadratic in the worst case; the start of a very long text shows enough.
    left, right = ours.split()[:2000], theirs.split()[:2000]
    matcher = difflib.SequenceMatcher(None, left, right, autojunk=False)
    here: list[str] = []
    there: list[str] = []
    for tag, a, b, c, d in matcher.get_opcodes():
        if tag == "equal":
            shown = left[a:b]
            if len(shown) > 2 * around:
                shown = [*shown[:around], f"… {len(shown) - 2 * around} more …", *shown[-around:]]
            here += shown
            there += shown
        else:
            here += [f"[{' '.join(left[a:b])}]"] if b > a else []
            there += [f"[{' '.join(right[c:d])}]"] if d > c else []
    return " ".join(here), " ".join(there)
