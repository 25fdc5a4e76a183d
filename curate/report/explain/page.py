"""Why records were kept or dropped: one in full, with every verdict, or several as a list."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

import polars as pl

from curate.base.replacing import sources_of
from curate.base.spelling import option
from curate.base.terminal import printable, printable_line
from curate.base.wrapping import wrapped
from curate.pipeline.run_folder import LEDGER, REJECTS
from curate.report.excerpts import excerpt
from curate.report.explain.lookup import Matches, Query, hit_of, search
from curate.report.explain.raw_rows import raw_row
from curate.report.explain.row_text import (
    BRIEF,
    Record,
    brief,
    full_text,
    hits,
    number,
    one_line,
    records_of,
)
from curate.report.run_files import damage_explained, score_name, source_names

if TYPE_CHECKING:
    from curate.pipeline.run_folder import RunFolder

SHOWN = 200  # characters of evidence
RAW = 10_000  # characters of a reject
ROWS = 10  # of a list
WIDTH = 100  # columns

Verdict = dict[str, Any]  # a line of the ledger
Reject = Mapping[str, Any]  # a line of rejects.jsonl


def explain(
    run: RunFolder,
    key: str | None = None,
    *,
    grep: str | None = None,
    reason: str | None = None,
    step: str | None = None,
    rows: int = ROWS,
    width: int | None = WIDTH,
) -> str:
    """What happened to the rows that meet all that is given (`Query`), safe for a terminal.

    One row is shown in full, of several the first `rows`, a few lines each. Lines are broken to
    `width` columns, or not where it is None. Raises `CurateError` when the run has no such row, or
    is damaged.
    """
    with damage_explained(run):
        query = Query(key, grep, reason, step)
        results = search(run, query)
        hit = None if grep is None else hit_of(grep)
        if results.height > 1:
            page = "\n".join(map(printable_line, _list(run, results, hit, rows)))
        else:
            page = "\n".join(_page(run, results, query, hit))
        return wrapped(printable(page), width)


def _page(
    run: RunFolder, results: Matches, query: Query, hit: re.Pattern[str] | None
) -> Iterator[str]:
    """All about the one row that is meant."""
    if query[1:] != (None, None, None):
        yield from [printable_line(f"1 row: {results.about}"), ""]
    for reject in _rejects_at(run, results.rejects):
        yield from _reject(reject)
    for row in results.rows:
        verdicts = run.lines_about(LEDGER, [row])
        records = records_of(run, [row, *verdicts["duplicate_of"].drop_nulls()])
        yield from _record(verdicts, records, run.manifest, hit)


def _record(
    verdicts: pl.DataFrame,
    records: Mapping[int, Record],
    manifest: Mapping[str, Any],
    hit: re.Pattern[str] | None,
) -> Iterator[str]:
    row = verdicts["row"][0]
    record = records[row]
    yield printable_line(f"{_name(record)}  {_fate(verdicts.to_dicts())}")
    for old in verdicts["id"].unique(maintain_order=True):
        if old != record["id"]:
            yield f"  its id was {old} before it was edited"
    yield from ["", *(f"{line}\n" for line in (hits(record, hit) if hit else []))]
    yield from full_text(record)
    hashes = {source.name: source.sha256 for source in sources_of(manifest)}
    raw = raw_row(record["source"], record["line"], hashes.get(record["source"]))
    yield from map(printable_line, [*raw, "", "verdicts, in order:"])
    settings = {step["name"]: step["settings"] for step in manifest["steps"]}
    for verdict in verdicts.iter_rows(named=True):
        score, used = score_name(manifest, verdict["step"]), settings.get(verdict["step"], "")
        yield from map(printable_line, _verdict(verdict, score, used))
        if (other := verdict["duplicate_of"]) is not None:
            duplicate = _duplicate_of(record, other, records.get(other))
            yield from map(printable_line, duplicate)


def _name(record: Record) -> str:
    return f"row {record['row']}  id {record['id']}  {record['source']}:{record['line']}"


def _fate(verdicts: Sequence[Verdict]) -> str:
    """Kept, or dropped by which step; and which steps edited the row."""
    last = verdicts[-1]
    fate = f"dropped by {last['step']}: {last['reason']}" if last["verdict"] == "drop" else "kept"
    edits = [
        f"{each['step']}: {each['reason']}" for each in verdicts if each["verdict"] == "edited"
    ]
    return f"{fate}, edited by {'; '.join(edits)}" if edits else fate


def _reject(reject: Reject) -> Iterator[str]:
    """A row that could not be read."""
    heading = f"{reject['source']}:{reject['line']}  reject: {reject['reason']}"
    yield from [printable_line(heading), ""]
    raw = printable(reject["raw"], RAW) if reject["raw"] else "(it has no raw text)"
    yield from (f"  {line}" for line in raw.split("\n"))


def _list(
    run: RunFolder, results: Matches, hit: re.Pattern[str] | None, most: int
) -> Iterator[str]:
    """How many rows are meant, and the first of them; rejects come last."""
    rows = results.rows.head(most)
    rejects = results.rejects.head(most - len(rows))
    shown = len(rows) + len(rejects)
    count = f"{shown:,} of {results.height:,}" if shown < results.height else f"{shown:,}"
    yield f"{count} {_rows(results)}: {results.about}"
    names = source_names(run)
    yield from chain(
        _records(run, rows, names, hit), _rejects(_rejects_at(run, rejects), names, hit)
    )
    if shown < results.height:
        all_of_them = option("rows", results.height)
        yield from ["", f"… {results.height - shown:,} more; {all_of_them} shows all"]


def _rows(results: Matches) -> str:
    if not len(results.rows):
        return "rejects"
    rejects = len(results.rejects)
    are_rejects = f"{rejects:,} of them {'rejects' if rejects > 1 else 'a reject'}"
    return f"rows, {are_rejects}" if rejects else "rows"


def _records(
    run: RunFolder, rows: pl.Series, names: Mapping[str, str], hit: re.Pattern[str] | None
) -> Iterator[str]:
    verdicts: dict[int, list[Verdict]] = {}
    for verdict in run.lines_about(LEDGER, rows).iter_rows(named=True):
        verdicts.setdefault(verdict["row"], []).append(verdict)
    records = records_of(run, rows)
    for row in rows:
        record = records[row]
        place = f"{names[record['source']]}:{record['line']}"
        last = verdicts[row][-1]
        about = [_fate(verdicts[row]), *_why(last, score_name(run.manifest, last["step"]))]
        yield from ["", f"row {row}  id {record['id']}  {place}  {'  '.join(about)}"]
        yield from brief(record, hit)


def _why(last: Verdict, score: str) -> Iterator[str]:
    """What a drop rests on."""
    if last["verdict"] == "drop":
        if last["score"] is not None:
            yield f"{score} {number(last['score'])}"
        if last["evidence"]:
            yield f"evidence: {printable(' '.join(last['evidence'].split()), SHOWN)}"
        if last["duplicate_of"] is not None:
            yield f"duplicates row {last['duplicate_of']}"


def _rejects_at(run: RunFolder, lines: pl.Series) -> list[Reject]:
    """The rejects on these lines."""
    return list(run.pick(REJECTS, lines).values())


def _rejects(
    rejects: Iterable[Reject], names: Mapping[str, str], hit: re.Pattern[str] | None
) -> Iterator[str]:
    for reject in rejects:
        match = hit.search(reject["raw"]) if hit else None
        raw = one_line(excerpt(reject["raw"], match[0] if match else None, BRIEF))
        place = f"{names[reject['source']]}:{reject['line']}"
        yield from ["", f"{place}  reject: {reject['reason']}", *([f"  raw: {raw}"] if raw else [])]


def _verdict(verdict: Verdict, score: str, settings: str) -> list[str]:
    parts = [f"  {verdict['step']:12} {verdict['verdict']}"]
    if verdict["reason"]:
        parts.append(verdict["reason"])
    if verdict["score"] is not None:
        parts.append(f"{score} {number(verdict['score'])}")
    if verdict["evidence"]:
        parts.append(f"evidence: {printable(verdict['evidence'], SHOWN)}")
    return ["  ".join(parts), *([f"  {'':12} settings: {settings}"] if settings else [])]


def _duplicate_of(record: Record, other: int, duplicate: Record | None) -> list[str]:
    if duplicate is None:
        return [f"  {'':12} duplicates row {other}, which is not in this run"]
    row = record["row"]
    here, there = _marked(_text(record), _text(duplicate))
    width = len(f"row {max(row, other)}: ")
    return [
        f"  {'':12} duplicates {_name(duplicate)}",
        f"  {'':12}   {f'row {row}: ':{width}}{here}",
        f"  {'':12}   {f'row {other}: ':{width}}{there}",
    ]


def _text(record: Record) -> str:
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
