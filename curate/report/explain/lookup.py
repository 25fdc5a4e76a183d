"""Which rows of a run are meant: by number, id, file and line, text, reason or step."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, NamedTuple

import polars as pl

from curate.base.errors import CurateError, nearest, some_of
from curate.base.spelling import option
from curate.base.terminal import printed
from curate.pipeline.run_folder import DROPPED, KEPT, LEDGER, LENGTHS, REJECTS, collected, is_row
from curate.report.explain.input_names import inputs_called, known_inputs, place_of

if TYPE_CHECKING:
    from curate.pipeline.run_folder import RunFolder

READ = "read"  # the step that rejects belong to
# Where the words of a message are; calls are JSON.
_TEXTS, _CALLS = ("content", "reasoning"), "tool_calls"


class Query(NamedTuple):
    """What a user asks for; rows have to meet all that is given.

    `key` is a row number, an id, FILE:LINE or FILE; `grep` a text, in any case; `reason` why rows
    were dropped, edited or rejected, and `step` where.
    """

    key: str | None = None
    grep: str | None = None
    reason: str | None = None
    step: str | None = None


class Matches(NamedTuple):
    """Rows by their numbers, and rejects by their lines from 0, both ascending.

    `about` says in words what they have in common.
    """

    rows: pl.Series
    rejects: pl.Series
    about: str

    @property
    def height(self) -> int:
        """How many there are."""
        return len(self.rows) + len(self.rejects)

    def also(self, other: Matches) -> Matches:
        """Those that both have."""
        rows, rejects = (
            mine.filter(mine.is_in(theirs.implode()))
            for mine, theirs in ((self.rows, other.rows), (self.rejects, other.rejects))
        )
        return Matches(rows, rejects, f"{self.about}, {other.about}")


def search(run: RunFolder, query: Query) -> Matches:
    """The rows that a query means. Raises `CurateError` where there are none, and says what is."""
    _check(query)
    found: list[Matches] = []
    if query.key is not None:
        found.append(_by_key(run, query.key))
    if query.reason is not None or query.step is not None:
        found.append(_by_reason(run, query.reason, query.step))
    results = reduce(Matches.also, found) if found else None
    if query.grep is not None and (results is None or results.height):
        results = _by_text(run, results, query.grep)
    assert results is not None  # `_check` has seen to it
    if not results.height:
        raise CurateError(f"{run.path}: no row matches {results.about}")
    return results


def _check(query: Query) -> None:
    """Raise `CurateError` for a query that asks for nothing, or that no text can match."""
    if all(value is None for value in query):
        options = f"{option('grep')}, {option('reason')} or {option('step')}"
        raise CurateError(f"name a row, an id or FILE:LINE, or give {options}")
    for name, value in query._asdict().items():
        try:
            (value or "").encode()
        except UnicodeEncodeError as error:
            raise CurateError(f"{name} {value!r} is no valid text ({error.reason})") from error
        if value == "" and name != "key":
            raise CurateError(f"{option(name)} is empty; name what to look for")


def _by_key(run: RunFolder, key: str) -> Matches:
    about = "row" if _is_number(key) else "id"
    rows = _numbered(run, int(key)) if _is_number(key) else _with_id(run, key)
    if len(rows):
        return Matches(rows, pl.Series("at", [], dtype=pl.UInt32), f"{about} {key}")
    sources = [str(source["source"]) for source in run.manifest["sources"]]
    place = place_of(key, sources)
    if not place.sources:
        raise CurateError(f"{run.path}: {_nobody(run, key, sources)}")
    results = _at(run, place.sources, place.line)
    if not results.height:
        raise CurateError(f"{run.path}: {_not_at(run, place.sources, place.line)}")
    return results


def _is_number(key: str) -> bool:
    return key.isdecimal() and len(key) < 16  # an id has 16 digits


def _numbered(run: RunFolder, number: int) -> pl.Series:
    return _rows_in(run, {LENGTHS: _equals("row", number)})


def _equals(column: str, number: int) -> pl.Expr:
    # No row and no line has a larger number; the files could not hold it.
    return pl.col(column) == number if number < 2**32 else pl.lit(value=False)


def _with_id(run: RunFolder, key: str) -> pl.Series:
    """Rows by their id, as they are or were before an edit."""
    same = pl.col("id") == key
    tables = {KEPT: same, DROPPED: same, LEDGER: (pl.col("verdict") == "edited") & same}
    return _rows_in(run, tables)


def _at(run: RunFolder, sources: list[str], line: int | None) -> Matches:
    """What begins in some inputs, or on a line of them."""
    here = pl.col("source").is_in(sources)
    if line is not None:
        here &= _equals("line", line)
    rejects = run.scan_rejects("source", "line").filter(here).select("at")
    found = collected(rejects, run.path / REJECTS)["at"]
    rows = _rows_in(run, dict.fromkeys((KEPT, DROPPED), here))
    return Matches(rows, found, _place_about(sources, line))


def _rows_in(run: RunFolder, tables: Mapping[str, pl.Expr]) -> pl.Series:
    """The numbers of the rows that tables hold under a condition, ascending."""
    found = [
        collected(run.scan(name).filter(condition).select("row"), run.path / name)["row"]
        for name, condition in tables.items()
    ]
    return pl.concat(found).unique().sort()


def _place_about(sources: list[str], line: int | None) -> str:
    if len(sources) == 1:
        return sources[0] if line is None else f"{sources[0]}:{line}"
    where = "" if line is None else f"line {line} of "
    more = "; give more of the path for one of them"
    return f"{where}{len(sources):,} inputs ({some_of(sources, 5)}{more})"


def _nobody(run: RunFolder, key: str, sources: list[str]) -> str:
    """What is to be said of a key that is nothing."""
    if key.isdecimal() or not re.search(r"[:/\\.<]", key):
        counts = run.manifest["counts"]
        return (
            f"no record has row or id {key!r}; {counts['kept'] + counts['dropped']:,} rows were "
            "read, counted from 0; see kept.jsonl, dropped.jsonl"
        )
    name, colon, line = key.strip().rstrip(":").rpartition(":")
    if name and line.isdecimal() and inputs_called(name, sources):
        return f"no row of {name} begins on line {line}"  # longer than any line's number
    name = name if colon and line.isdecimal() else key.strip()
    return f"no input is called {name!r}{known_inputs(name, sources)}"


def _not_at(run: RunFolder, sources: list[str], line: int | None) -> str:
    """What is to be said of a line on which no row begins."""
    here = pl.col("source").is_in(sources)
    tables = {name: run.scan(name) for name in (KEPT, DROPPED)}
    tables[REJECTS] = run.scan_rejects("source", "line")
    found = {
        name: collected(table.filter(here).select("line"), run.path / name)["line"]
        for name, table in tables.items()
    }
    lines = pl.concat(found.values()).cast(pl.Int64).unique().sort()
    name = some_of(sources)
    if not len(lines) or line is None:
        return f"no row of {name} was read, and none is a reject"
    beside = [*lines.filter(lines < line).tail(1), *lines.filter(lines > line).head(1)]
    nearest_lines = " and ".join(f"{each:,}" for each in beside)
    rows, rejects = len(found[KEPT]) + len(found[DROPPED]), len(found[REJECTS])
    records = f"{rows:,} record{'' if rows == 1 else 's'}"
    counts = f"{records} and {rejects:,} reject{'' if rejects == 1 else 's'}"
    return (
        f"no row of {name} begins on line {line:,}; it has {counts} on lines {lines[0]:,} to "
        f"{lines[-1]:,}, the nearest on {nearest_lines}"
    )


# The reason of a reject without its detail.
SLUG = pl.col("reason").str.split(": ").list.first()


def _by_reason(run: RunFolder, reason: str | None, step: str | None) -> Matches:
    verdicts = run.scan(LEDGER).filter(pl.col("verdict") != "keep")
    rejects = run.scan_rejects("reason")
    tables = {
        LEDGER: verdicts.select("step", "reason", at="row", detail="reason"),
        REJECTS: rejects.select("at", step=pl.lit(READ), reason=SLUG, detail="reason"),
    }
    counted = pl.concat(
        collected(table.group_by("step", "reason").len(), run.path / name)
        for name, table in tables.items()
    )
    if step is not None:
        known = [str(each["name"]) for each in run.manifest["steps"]]
        _check_step(run, step, [READ, *known])
        counted = counted.filter(_is("step", step, counted))
    asked = pl.col("step").is_in(counted["step"].unique().to_list())
    if reason is not None:
        asked &= _is("reason", reason, counted) | (pl.col("detail") == reason)
    rows, lines = (
        collected(table.filter(asked).select("at"), run.path / name)["at"].unique().sort()
        for name, table in tables.items()
    )
    if reason is not None and not len(rows) and not len(lines):
        raise CurateError(f"{run.path}: {_no_reason(reason, step, counted)}")
    words = [f"{name} {value}" for name, value in (("reason", reason), ("step", step)) if value]
    return Matches(rows, lines, ", ".join(words))


def _is(column: str, wanted: str, frame: pl.DataFrame) -> pl.Expr:
    """Whether a column holds a name, which may be given as it is printed."""
    same = [name for name in frame[column].drop_nulls().unique() if wanted in printed(name)]
    return pl.col(column).is_in(same)


def _check_step(run: RunFolder, step: str, known: list[str]) -> None:
    if not any(step in printed(name) for name in known):
        hint = nearest(step, known) or f"; its steps are {', '.join(known)}"
        raise CurateError(f"{run.path}: no step is called {step!r}{hint}")


def _no_reason(reason: str, step: str | None, counted: pl.DataFrame) -> str:
    by_reason = counted.drop_nulls().group_by("reason").agg(pl.col("len").sum())
    counts = dict(by_reason.sort("len", "reason", descending=[True, False]).iter_rows())
    by = f"step {step}" if step else "a step, or reading,"
    if not counts:
        return f"{by} gave no row a reason"
    named = some_of([f"{name} ({count:,})" for name, count in counts.items()], 20)
    hint = nearest(reason, list(counts))
    return f"{by} gave no row the reason {reason!r}; there are {named}{hint}"


def hit_of(text: str) -> re.Pattern[str]:
    """What finds a text in any case, as it is or as JSON spells it.

    >>> bool(hit_of("Say").search("they say")), bool(hit_of('"a"').search('{"x":"\\\\"A\\\\""}'))
    (True, True)
    """
    return re.compile("|".join(map(re.escape, _spellings(text))), re.IGNORECASE)


def _spellings(text: str) -> Iterable[str]:
    """The text, and how JSON may spell it; its escapes of letters differ by case."""
    cases = [case for case in (text, text.lower(), text.upper()) if len(case) == len(text)]
    written = (
        json.dumps(case, ensure_ascii=ascii)[1:-1] for ascii in (False, True) for case in cases
    )
    return dict.fromkeys([text, *written])


def _by_text(run: RunFolder, among: Matches | None, text: str) -> Matches:
    plain = "(?i)" + pl.escape_regex(text)
    spelt = "(?i)" + "|".join(map(pl.escape_regex, _spellings(text)))
    has = reduce(or_, [_any_message(column, plain, spelt) for column in ("messages", "rejected")])
    rejects = run.scan_rejects("raw")
    records = {name: run.scan(name) for name in (KEPT, DROPPED)}
    if among is not None:
        rejects = rejects.filter(pl.col("at").is_in(among.rejects.implode()))
        records = {name: table.filter(is_row(among.rows)) for name, table in records.items()}
    rejects = rejects.filter(pl.col("raw").str.contains(spelt)).select("at")
    rows = [
        collected(table.filter(has).select("row"), run.path / name)["row"]
        for name, table in records.items()
    ]
    about = f"text {text!r}" if among is None else f"{among.about}, text {text!r}"
    return Matches(pl.concat(rows).sort(), collected(rejects, run.path / REJECTS)["at"], about)


def _any_message(column: str, plain: str, spelt: str) -> pl.Expr:
    """Whether any message of a conversation holds the text."""
    field = pl.element().struct.field
    in_texts = [field(name).str.contains(plain) for name in _TEXTS]
    in_any = pl.any_horizontal(*in_texts, field(_CALLS).str.contains(spelt))
    return pl.col(column).list.eval(in_any).list.any().fill_null(value=False)
