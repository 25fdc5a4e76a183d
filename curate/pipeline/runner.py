"""Run steps over records: measure, judge, write down every verdict, lose nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, NamedTuple

import polars as pl

from curate.base.contract import VERDICTS, Filter, Fix
from curate.base.errors import CurateError, nearest
from curate.base.schema import content_id, with_text
from curate.pipeline import ledger
from curate.pipeline.engine import LocalEngine


class Step(NamedTuple):
    """A filter or fix under the name that the recipe, the ledger and the report use."""

    name: str
    action: Filter | Fix


@dataclass(frozen=True)
class StepReport:
    """One line of the funnel."""

    name: str
    settings: str
    rows: int
    kept: int
    dropped: int
    edited: int = 0
    reasons: dict[str, int] = field(default_factory=dict)
    meanings: dict[str, str] = field(default_factory=dict)
    sentences: tuple[str, ...] = ()
    numbers: Mapping[str, Any] = field(default_factory=dict)
    seconds: float = 0.0


@dataclass(frozen=True)
class Result:
    """What became of every record.

    `records` are all records as they were last seen (fixes applied), `kept` a Boolean series of
    the same height, `verdicts` the ledger (see `curate.pipeline.ledger`), `steps` the funnel,
    `tables` what steps found out beside their verdicts, by `STEP.NAME`.
    """

    records: pl.DataFrame
    kept: pl.Series
    verdicts: pl.DataFrame
    steps: list[StepReport]
    tables: Mapping[str, pl.DataFrame] = field(default_factory=dict)


def bound(steps: Sequence[Step], warn: Callable[[str], None] = lambda line: None) -> list[Step]:
    """The steps with the files read that some of them compare with.

    `warn` is told of rows there that cannot be read. Raises `CurateError`, also where two steps
    would keep what they remember in one place (`remembers_in`, for those that say): the second
    could not see what the first will add.
    """
    read = partial(_read, warn=warn)
    ready = [
        Step(step.name, step.action.bind(read)) if isinstance(step.action, Filter) else step
        for step in steps
    ]
    taken: dict[str, str] = {}
    for step in ready:
        place = step.action.remembers_in if isinstance(step.action, Filter) else None
        if place is None:
            continue
        if place in taken:
            raise CurateError(
                f"steps {taken[place]!r} and {step.name!r} both add to {place}; give each a "
                "folder of its own"
            )
        taken[place] = step.name
    return ready


def _read(paths: Sequence[str], warn: Callable[[str], None]) -> pl.DataFrame:
    """Records to compare with; rows that only ask are among them."""
    from curate import sources
    from curate.sources.questions import questions

    dump = sources.read(paths)
    asked, unread = questions(dump.rejects)
    records = pl.concat([dump.records, asked]).sort("source", "line", maintain_order=True)
    records = records.with_columns(row=pl.int_range(pl.len(), dtype=pl.UInt32))
    where = ", ".join(paths)
    if not records.height:
        raise CurateError(f"{where}: no readable rows to compare with")
    if unread.height:
        first = unread.row(0, named=True)
        warn(
            f"{where}: {unread.height:,} of {records.height + unread.height:,} rows cannot be read "
            f"and are not compared with; first {first['source']}:{first['line']}: {first['reason']}"
        )
    return with_text(records)


def remember(steps: Sequence[Step], result: Result) -> None:
    """Let the steps that keep something beyond the run do so; to be called once it is written."""
    kept = with_text(result.records.filter(result.kept))
    for step in steps:
        if isinstance(step.action, Filter):
            step.action.remember(kept)


def run(
    records: pl.DataFrame,
    steps: Sequence[Step],
    engine: LocalEngine | None = None,
    progress: Callable[[StepReport], None] = lambda report: None,
) -> Result:
    """Apply the steps in order, each to the rows that are still kept.

    Raises `CurateError` when a step cannot do what it was asked; a step that breaks the
    contract (wrong height, a drop without a reason) raises `AssertionError`.
    """
    walk = _Walk(with_text(records), engine or LocalEngine(workers=1))
    for step in bound(steps):
        started = time.perf_counter()
        taken = walk.take(step)
        report = replace(taken, seconds=time.perf_counter() - started)
        walk.reports.append(report)
        progress(report)
    return walk.result()


class _Walk:
    """The rows still alive, what was measured about them, and the verdicts so far."""

    def __init__(self, records: pl.DataFrame, engine: LocalEngine) -> None:
        self.height = records.height
        self.alive = records
        self.gone: list[pl.DataFrame] = []
        self.engine = engine
        self.measured = records.select(
            "row",
            "id",
            **{f"record.{name}": pl.col(name) for name in ("source", "score", "category")},
        )
        self.pages = [ledger.opening(records)]
        self.reports: list[StepReport] = []
        self.tables: dict[str, pl.DataFrame] = {}

    def take(self, step: Step) -> StepReport:
        if isinstance(step.action, Fix):
            return self._fix(step, step.action)
        return self._judge(step, step.action)

    def _judge(self, step: Step, action: Filter) -> StepReport:
        own = self.engine.measure(action, self.alive)
        assert own.height == self.alive.height, f"{step.name}: measure changed the number of rows"
        _check_needs(step, self.measured)
        measures = pl.concat([self.measured, own], how="horizontal")
        judgement = action.judge(measures)
        judged, found = judgement.verdicts, judgement.findings
        _check_verdicts(step, judged, self.alive.height)
        self.pages.append(ledger.page(step.name, self.alive, judged))
        keep = judged["keep"]
        reasons = ledger.count_reasons(judged.filter(~keep)["reason"])
        self.tables |= {f"{step.name}.{name}": table for name, table in found.tables.items()}
        report = replace(
            self._report(step, kept=int(keep.sum()), reasons=reasons),
            sentences=found.sentences,
            numbers=found.numbers,
        )
        self.gone.append(self.alive.filter(~keep))
        # Later steps see narrow numbers by name; lists such as signatures stay behind.
        narrow = own.select(~pl.selectors.nested()).rename(lambda name: f"{step.name}.{name}")
        verdict = judged["score"].alias(f"{step.name}.verdict")
        self.measured = pl.concat(
            [self.measured, narrow, verdict.to_frame()], how="horizontal"
        ).filter(keep)
        self.alive = self.alive.filter(keep)
        return report

    def _fix(self, step: Step, action: Fix) -> StepReport:
        fixed = action.fix(self.alive)
        assert fixed.height == self.alive.height, f"{step.name}: a fix must not drop rows"
        edited = fixed["edited"].is_not_null()
        changed = fixed.filter(edited).select("row", reason="edited")
        self.pages.append(ledger.edits(step.name, self.alive.filter(edited), changed["reason"]))
        self.alive = _with_new_ids(with_text(fixed.drop("edited")), edited)
        self.measured = self.measured.with_columns(self.alive["id"])
        reasons = ledger.count_reasons(changed["reason"])
        return self._report(step, kept=self.alive.height, edited=changed.height, reasons=reasons)

    def _report(
        self, step: Step, kept: int, reasons: dict[str, int], edited: int = 0
    ) -> StepReport:
        known = step.action.reasons
        return StepReport(
            name=step.name,
            settings=repr(step.action),
            rows=self.alive.height,
            kept=kept,
            dropped=self.alive.height - kept,
            edited=edited,
            reasons=reasons,
            meanings={slug: meaning for slug in reasons if (meaning := known.get(slug))},
        )

    def result(self) -> Result:
        records = pl.concat([self.alive, *self.gone]).sort("row")
        assert records.height == self.height, "rows were lost between steps"
        kept = records["row"].is_in(self.alive["row"].implode()).alias("kept")
        verdicts = pl.concat(self.pages)
        return Result(records, kept, verdicts, self.reports, self.tables)


def _with_new_ids(records: pl.DataFrame, edited: pl.Series) -> pl.DataFrame:
    """Edited text is other content, so it has another id. Few rows change: a loop will do."""
    if not edited.any():
        return records
    rows = zip(records["id"], records["messages"], records["tools"], edited, strict=True)
    ids = [
        content_id(messages.to_list(), tools) if changed else old
        for old, messages, tools, changed in rows
    ]
    return records.with_columns(id=pl.Series(ids))


def _check_needs(step: Step, measured: pl.DataFrame) -> None:
    needs = step.action.needs if isinstance(step.action, Filter) else ()
    for column in needs:
        if column not in measured.columns:
            known = [name for name in measured.columns if "." in name]
            hint = nearest(column, known) or f"; known here: {', '.join(known)}"
            raise CurateError(
                f"step {step.name!r} needs {column!r}, which no earlier step measured{hint}"
            )


def _check_verdicts(step: Step, judged: pl.DataFrame, height: int) -> None:
    assert judged.height == height, f"{step.name}: judge changed the number of rows"
    assert judged.schema == VERDICTS, f"{step.name}: judge returned {judged.schema}"
    unexplained = judged.filter(~pl.col("keep") & pl.col("reason").is_null()).height
    assert judged["keep"].null_count() == 0, f"{step.name}: a row was neither kept nor dropped"
    assert not unexplained, f"{step.name}: {unexplained} rows were dropped without a reason"
