"""Which rows of a run are meant: by number, id, file and line, text, reason or step."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Any, NamedTuple

import polars as pl

from curate.base.errors import CurateError, nearest, some_of
from curate.base.spelling import option
from curate.base.terminal import printed
from curate.pipeline import ledger
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
    """Rows by their numbers, ascending, and rejects (columns of `REJECTED`).

    `about` says in words what they have in common.
    """

    rows: pl.Series
    rejects: pl.DataFrame
    about: str

    @property
    def height(self) -> int:
        """How many there are."""
        return len(self.rows) + self.rejects.height


def search(run: RunFolder, query: Query) -> Matches:
    """The rows that a query means. Raises `CurateError` where there are none, and says what is."""
    _check(query)
    results = Matches(run.last_verdicts["row"], run.rejects, "")
    steps: list[tuple[Any, tuple[str | None, ...]]] = [
        (_by_key, (query.key,)),
        (_by_reason, (query.reason, query.step)),
        (_by_text, (query.grep,)),
    ]
    for narrow, given in steps:
        if any(value is not None for value in given):
            before, results = results.about, narrow(run, results, *given)
            if not results.height:
                raise CurateError(f"{run.path}: no row matches {_and(before, results.about)}")
            results = results._replace(about=_and(before, results.about))
    return results


def _and(first: str, second: str) -> str:
    return f"{first}, {second}" if first else second


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


def _by_key(run: RunFolder, among: Matches, key: str) -> Matches:
    about = "row" if _is_number(key) else "id"
    rows = _numbered(run, int(key)) if _is_number(key) else _with_id(run, key)
    if len(rows):
        return Matches(rows, among.rejects.clear(), f"{about} {key}")
    sources = [str(source["source"]) for source in run.manifest["sources"]]
    place = place_of(key, sources)
    if not place.sources:
        raise CurateError(f"{run.path}: {_nobody(run, key, sources)}")
    here = pl.col("source").is_in(place.sources)
    at = here if place.line is None else here & (pl.col("line").cast(pl.Int64) == place.line)
    rows = run.ledger.filter(at)["row"].unique().sort()
    results = Matches(rows, among.rejects.filter(at), _place_about(place.sources, place.line))
    if not results.height:
        raise CurateError(f"{run.path}: {_not_at(run, place.sources, place.line)}")
    return results


def _is_number(key: str) -> bool:
    return key.isdecimal() and len(key) < 16  # an id has 16 digits


def _numbered(run: RunFolder, number: int) -> pl.Series:
    rows = run.last_verdicts["row"]
    return rows.filter(rows.cast(pl.Int64) == number)


def _with_id(run: RunFolder, key: str) -> pl.Series:
    """Rows by their id, as they are or were before an edit."""
    frames = (run.ledger, run.kept, run.dropped)
    return pl.concat([frame.filter(pl.col("id") == key)["row"] for frame in frames]).unique().sort()


def _place_about(sources: list[str], line: int | None) -> str:
    if len(sources) == 1:
        return sources[0] if line is None else f"{sources[0]}:{line}"
    where = "" if line is None else f"line {line} of "
    more = "; give more of the path for one of them"
    return f"{where}{len(sources):,} inputs ({some_of(sources, 5)}{more})"


def _nobody(run: RunFolder, key: str, sources: list[str]) -> str:
    """What is to be said of a key that is nothing."""
    if key.isdecimal() or not re.search(r"[:/\\.<]", key):
        return (
            f"no record has row or id {key!r}; {run.last_verdicts.height:,} rows were read, "
            "counted from 0; see kept.jsonl, dropped.jsonl"
        )
    name, colon, line = key.strip().rstrip(":").rpartition(":")
    if name and line.isdecimal() and inputs_called(name, sources):
        return f"no row of {name} begins on line {line}"  # longer than any line's number
    name = name if colon and line.isdecimal() else key.strip()
    return f"no input is called {name!r}{known_inputs(name, sources)}"


def _not_at(run: RunFolder, sources: list[str], line: int | None) -> str:
    """What is to be said of a line on which no row begins."""
    here = pl.col("source").is_in(sources)
    rows, rejects = run.ledger.filter(here).unique("row"), run.rejects.filter(here)
    lines = pl.concat([rows["line"], rejects["line"]]).cast(pl.Int64).unique().sort()
    name = some_of(sources)
    if not len(lines) or line is None:
        return f"no row of {name} was read, and none is a reject"
    beside = [*lines.filter(lines < line).tail(1), *lines.filter(lines > line).head(1)]
    nearest_lines = " and ".join(f"{each:,}" for each in beside)
    records = f"{rows.height:,} record{'' if rows.height == 1 else 's'}"
    counts = f"{records} and {rejects.height:,} reject{'' if rejects.height == 1 else 's'}"
    return (
        f"no row of {name} begins on line {line:,}; it has {counts} on lines {lines[0]:,} to "
        f"{lines[-1]:,}, the nearest on {nearest_lines}"
    )


def slugs(rejects: pl.DataFrame) -> pl.Series:
    """The reason of each reject without its detail."""
    return rejects["reason"].str.split(": ").list.first()


def _by_reason(run: RunFolder, among: Matches, reason: str | None, step: str | None) -> Matches:
    verdicts = run.ledger.filter(pl.col("verdict") != "keep").select("row", "step", "reason")
    rejects = among.rejects.select(
        step=pl.lit(READ), reason=slugs(among.rejects), detail="reason"
    ).with_row_index("at")
    if step is not None:
        known = [str(each["name"]) for each in run.manifest["steps"]]
        _check_step(run, step, [READ, *known])
        verdicts, rejects = (
            frame.filter(_is("step", step, frame)) for frame in (verdicts, rejects)
        )
    if reason is not None:
        given = pl.concat([verdicts["reason"], rejects["reason"]])
        verdicts = verdicts.filter(_is("reason", reason, verdicts))
        rejects = rejects.filter(_is("reason", reason, rejects) | (pl.col("detail") == reason))
        if not verdicts.height and not rejects.height:
            raise CurateError(f"{run.path}: {_no_reason(reason, step, given)}")
    rows = among.rows.filter(among.rows.is_in(verdicts["row"].unique().implode()))
    words = [f"{name} {value}" for name, value in (("reason", reason), ("step", step)) if value]
    return Matches(rows, among.rejects[rejects["at"]], ", ".join(words))


def _is(column: str, wanted: str, frame: pl.DataFrame) -> pl.Expr:
    """Whether a column holds a name, which may be given as it is printed."""
    same = [name for name in frame[column].drop_nulls().unique() if wanted in printed(name)]
    return pl.col(column).is_in(same)


def _check_step(run: RunFolder, step: str, known: list[str]) -> None:
    if not any(step in printed(name) for name in known):
        hint = nearest(step, known) or f"; its steps are {', '.join(known)}"
        raise CurateError(f"{run.path}: no step is called {step!r}{hint}")


def _no_reason(reason: str, step: str | None, given: pl.Series) -> str:
    counts = ledger.count_reasons(given.drop_nulls())
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


def _by_text(run: RunFolder, among: Matches, text: str) -> Matches:
    plain = "(?i)" + pl.escape_regex(text)
    spelt = "(?i)" + "|".join(map(pl.escape_regex, _spellings(text)))
    has = reduce(or_, [_any_message(column, plain, spelt) for column in ("messages", "rejected")])
    rows = [
        records.filter(pl.col("row").is_in(among.rows.implode())).filter(has)["row"]
        for records in (run.kept, run.dropped)
    ]
    rejects = among.rejects.filter(pl.col("raw").str.contains(spelt))
    return Matches(pl.concat(rows).sort(), rejects, f"text {text!r}")


def _any_message(column: str, plain: str, spelt: str) -> pl.Expr:
    """Whether any message of a conversation holds the text."""
    field = pl.element().struct.field
    in_texts = [field(name).str.contains(plain) for name in _TEXTS]
    in_any = pl.any_horizontal(*in_texts, field(_CALLS).str.contains(spelt))
    return pl.col(column).list.eval(in_any).list.any().fill_null(value=False)
