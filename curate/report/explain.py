"""Why a record was kept or dropped: its text, every verdict in order, its twins side by side."""

from __future__ import annotations

import difflib
import json
from pathlib import Path
from typing import Any

import orjson
import polars as pl

from curate.base.errors import CurateError
from curate.base.terminal import printable
from curate.pipeline import ledger
from curate.pipeline.run_folder import RunFolder
from curate.sources import files, formats, inputs


def explain(run: RunFolder, key: str) -> str:
    """The life of one record (or of all records with this id) through a run, as text."""
    lines = ledger.of_row(run.ledger, key)
    if not lines.height:
        raise CurateError(
            f"{run.path}: no record has row or id {key!r}; see kept.jsonl, dropped.jsonl"
        )
    rows = lines["row"].unique().sort()
    return "\n\n".join(_one(run, lines.filter(pl.col("row") == row), row) for row in rows)


def _one(run: RunFolder, verdicts: pl.DataFrame, row: int) -> str:
    record = run.find(row)
    last = verdicts.row(-1, named=True)
    fate = f"dropped by {last['step']}: {last['reason']}" if last["verdict"] == "drop" else "kept"
    parts = [
        f"row {row}  id {record['id']}  {printable(record['source'])}:{record['line']}  {fate}",
        "",
    ]
    for message in record["messages"]:
        parts.append(f"  {_speaker(message)}: {printable(message['content'] or '')}")
        parts += [
            f"    calls {json.dumps(call['function'])}" for call in message.get("tool_calls", [])
        ]
    parts += [*_raw_line(record), "", "verdicts, in order:"]
    settings = {step["name"]: step["settings"] for step in run.manifest["steps"]}
    for verdict in verdicts.iter_rows(named=True):
        parts += _verdict(run, verdict, record, settings.get(verdict["step"], ""))
    return "\n".join(parts)


def _raw_line(record: dict[str, Any]) -> list[str]:
    """The raw row that the record came from, if the file is still there and reads as it did."""
    path, line = Path(record["source"]), record["line"]
    if not path.is_file():
        return []  # standard input, or a file that has gone
    try:
        raw = _raw(path, line)
    except (CurateError, OSError):
        return []  # the file has become another one
    if raw is None:
        return []
    text = printable(" ".join(raw.decode(errors="backslashreplace").split()), 200)
    return ["", f"  line {line} of {printable(record['source'])}: {text}"]


def _raw(path: Path, line: int) -> bytes | None:
    """The row that the reader counts as this line, as JSON: a line may be a row's number."""
    (source,) = inputs.expand([str(path)])
    rows: dict[int, Any] = {}
    starts: list[int] | None = None
    for item in files.items(source, source.stored(), formats.is_row):
        if isinstance(item, files.Starts):
            starts = item.lines
        elif isinstance(item, files.Item):
            rows[item.line] = item.value
        elif line in item.lines:
            return orjson.dumps(item.values[item.lines.index(line)])
    number = line if starts is None else starts.index(line) + 1 if line in starts else 0
    return orjson.dumps(rows[number], default=str) if rows.get(number) is not None else None


def _number(score: float) -> str:
    """A count as it is, anything else in four digits."""
    whole = abs(score) < 1e15 and score == int(score)
    return f"{score:.0f}" if whole else f"{score:.4g}"


def _speaker(message: dict[str, Any]) -> str:
    name = message.get("name")
    return f"{message['role']} ({name})" if name else str(message["role"])


def _verdict(
    run: RunFolder, verdict: dict[str, Any], record: dict[str, Any], settings: str
) -> list[str]:
    said = [f"  {verdict['step']:12} {verdict['verdict']}"]
    if verdict["reason"]:
        said.append(verdict["reason"])
    if verdict["score"] is not None:
        said.append(f"score {_number(verdict['score'])}")
    if verdict["evidence"]:
        said.append(f"evidence: {printable(verdict['evidence'], 200)}")
    lines = ["  ".join(said)]
    if settings:
        lines.append(f"  {'':12} by {settings}")
    if verdict["duplicate_of"] is not None:
        lines += _twin(run, verdict["duplicate_of"], record)
    return lines


def _twin(run: RunFolder, row: int, record: dict[str, Any]) -> list[str]:
    twin = run.find(row)
    here, there = _marked(_text(record), _text(twin))
    where = f"{printable(twin['source'])}:{twin['line']}"
    return [
        f"  {'':12} twin: row {row}  id {twin['id']}  {where}",
        f"  {'':12}   this: {here}",
        f"  {'':12}   twin: {there}",
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
    return printable(" ".join(here)), printable(" ".join(there))
