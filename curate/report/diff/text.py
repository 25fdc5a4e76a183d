"""How two runs differ, as text for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import polars as pl

from curate.base.errors import some_of
from curate.base.replacing import sources_of
from curate.base.spelling import option
from curate.base.terminal import printable, printable_line
from curate.base.wrapping import wrapped
from curate.report.excerpts import side_by_side
from curate.report.explain.row_text import (
    BRIEF,
    Record,
    answer,
    brief,
    number,
    one_line,
    records_of,
)
from curate.report.funnel import read_sum
from curate.report.run_files import damage_explained

if TYPE_CHECKING:
    from curate.report.diff.changes import Changes

KINDS = 20  # of changes in the table
EVIDENCE = 200  # characters

Line = Mapping[str, Any]  # of `Changes.rows`


def text(diff: Changes, rows: int, width: int | None) -> str:
    """Counts, settings that differ, and some rows of every change; safe for a terminal."""
    with damage_explained(diff.first):
        lines = map(printable_line, [*_runs(diff), *_body(diff, rows)])
        return wrapped("\n".join(lines), width)


def _runs(diff: Changes) -> Iterator[str]:
    for name, run in (("run 1", diff.first), ("run 2", diff.second)):
        yield f"{name}: {run.path}: {read_sum(run.manifest['counts'])}"
    yield ""


def _body(diff: Changes, rows: int) -> Iterator[str]:
    if not diff.in_both:
        read = [
            some_of([each.name for each in sources_of(run.manifest)], 3) or "nothing"
            for run in (diff.first, diff.second)
        ]
        yield f"the runs have no row in common: run 1 read {read[0]}; run 2 read {read[1]}"
        return
    rows_and_rejects = "row or reject" if diff.in_both == 1 else "rows and rejects"
    yield f"{diff.in_both:,} {rows_and_rejects} in both runs:"
    for change, count in diff.counts.items():
        if count or change == "unchanged":
            yield f"  {count:>9,}  {change}{_detail(diff, change)}"
    yield from ["", "settings that differ:" if diff.settings else "the settings are the same"]
    yield from (f"  {line}" for line in diff.settings)
    if diff.rows.height:
        yield from [*_kinds(diff), "", *_rows(diff, rows)]


def _detail(diff: Changes, change: str) -> str:
    if change == "unchanged" and diff.duplicates:
        return f", {diff.duplicates:,} of them duplicates of another row than before"
    alone = diff.rows.filter(pl.col("change") == change, pl.col("why").is_not_null())
    counted = alone["why"].value_counts().sort("count", "why", descending=[True, False])
    reasons = [f"{why} ({count:,})" for why, count in counted.iter_rows()]
    return f": {', '.join(reasons)}" if reasons else ""


def _fates(lines: pl.DataFrame) -> pl.DataFrame:
    """The lines with `fate_1` and `fate_2`, what became of the row in words."""
    return lines.with_columns(_fate(1).alias("fate_1"), _fate(2).alias("fate_2"))


def _fate(run: int) -> pl.Expr:
    verdict, step, reason, edits = (
        pl.col(f"{name}_{run}") for name in ("verdict", "step", "reason", "edits")
    )
    fate = (
        pl.when(verdict.is_null())
        .then(pl.format("not there: {}", "why"))
        .when(verdict == "dropped")
        .then(pl.format("dropped by {}: {}", step, reason))
        .when(verdict == "rejected")
        .then(pl.format("rejected: {}", reason))
        .otherwise(verdict)
    )
    # Only where it matters: else the same change would be several lines of the table.
    edited = edits.is_not_null() & (pl.col("change") == "edited differently")
    return pl.when(edited).then(pl.format("{}, edited: {}", fate, edits)).otherwise(fate)


def _kinds(diff: Changes) -> Iterator[str]:
    """The table of changes of rows that are in both runs, commonest first."""
    both = diff.rows.filter(pl.col("why").is_null())
    counted = _fates(both).group_by("fate_1", "fate_2").len()
    counted = counted.sort("len", "fate_1", "fate_2", descending=[True, False, False])
    if counted.height:
        yield from ["", "changes, from run 1 to run 2:"]
    for before, after, count in counted.head(KINDS).iter_rows():
        yield f"  {count:>9,}  {before} -> {after}"
    if counted.height > KINDS:
        yield f"             … {counted.height - KINDS:,} more changes"


def _rows(diff: Changes, most: int) -> Iterator[str]:
    """Some rows, of every change at least one where there is room."""
    lines = _fates(diff.rows.with_row_index("order"))
    # Rows of one run come last, whatever became of them there.
    alone = pl.col("why").is_not_null()
    kind = pl.when(alone).then("change").otherwise(pl.format("{} -> {}", "fate_1", "fate_2"))
    lines = lines.with_columns(kind=kind, alone=alone)
    nth, size = pl.int_range(pl.len()).over("kind"), pl.len().cast(pl.Int64).over("kind")
    lines = lines.with_columns(nth=nth, smallness=-size)
    chosen = lines.sort("nth", "alone", "smallness", "kind").head(most)
    chosen = chosen.sort("alone", "smallness", "kind", "order")
    count = f"{chosen.height:,} of " if chosen.height < lines.height else ""
    differ = "row that differs" if lines.height == 1 else "rows that differ"
    yield f"{count}{lines.height:,} {differ}:"
    records = [
        records_of(run, chosen[f"row_{at}"].drop_nulls())
        for at, run in ((1, diff.first), (2, diff.second))
    ]
    for line in chosen.iter_rows(named=True):
        yield from _row(line, records[0].get(line["row_1"]), records[1].get(line["row_2"]))
    if chosen.height < lines.height:
        all_of_them = option("rows", lines.height)
        yield from ["", f"… {lines.height - chosen.height:,} more; {all_of_them} shows all"]


def _row(line: Line, before: Record | None, after: Record | None) -> Iterator[str]:
    yield from ["", f"{_place(line)}  {line['change']}"]
    for run in (1, 2):
        yield f"  run {run}: {'  '.join(_side(line, run))}"
    if before and after and line["change"] in ("read differently", "edited differently"):
        here, there = side_by_side(answer(before), answer(after), BRIEF)
        yield from [f"  response 1: {one_line(here)}", f"  response 2: {one_line(there)}"]
    elif record := after or before:
        yield from brief(record)


def _place(line: Line) -> str:
    places = [
        f"{line[f'source_{run}']}:{line[f'line_{run}']}"
        for run in (1, 2)
        if line[f"source_{run}"] is not None
    ]
    return " -> ".join(dict.fromkeys(places))


def _side(line: Line, run: int) -> Iterator[str]:
    """What one run says of a row."""

    def of(name: str) -> Any:
        return line[f"{name}_{run}"]

    if of("row") is not None:
        yield f"row {of('row')}"
    yield line[f"fate_{run}"]
    about = [f"score {number(of('score'))}"] if of("score") is not None else []
    about += [f"evidence: {_short(of('evidence'))}"] if of("evidence") else []
    if about and of("verdict") == "kept":
        # What the step finds that dropped the row in the other run.
        yield f"({line[f'step_{3 - run}']}: {', '.join(about)})"
    else:
        yield from about
    if of("duplicate_of") is not None:
        yield f"duplicates row {of('duplicate_of')}, {of('duplicate_at')}"


def _short(evidence: str) -> str:
    return printable(" ".join(evidence.split()), EVIDENCE)
