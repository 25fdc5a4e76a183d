"""Run steps over records: measure, judge, write down every verdict, lose nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import polars as pl

from curate.base.contract import VERDICTS, Filter, Findings, Fix, Judgement, hold
from curate.base.errors import CurateError, nearest, one_line
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
    `tables` those of the steps' findings, by `STEP.NAME`.
    """

    records: pl.DataFrame
    kept: pl.Series
    verdicts: pl.DataFrame
    steps: list[StepReport]
    tables: Mapping[str, pl.DataFrame] = field(default_factory=dict)


class Judged(NamedTuple):
    """What one filter measured, was given to judge, and decided.

    `measures` is all that `judge` saw; `verdicts` (see `VERDICTS`) has a line for each of its
    rows, in the same order.
    """

    measures: pl.DataFrame
    verdicts: pl.DataFrame
    findings: Findings


def judge(step: Filter, records: pl.DataFrame, **earlier: Any) -> Judged:
    """Measure and judge records with one filter alone, as a run does.

    `earlier` are columns of earlier steps that `judge` needs, a value a row: `reward.score` is
    given as `reward__score`. Stricter than a run: every reason must stand in `reasons`, every drop
    have evidence, and no kept row a reason. Raises `AssertionError` for a filter that breaks the
    contract.
    """
    if "response" not in records.columns:
        records = with_text(records)
    known = [pl.Series(name.replace("__", "."), values) for name, values in earlier.items()]
    measures = _joined(step.name, _about(records).with_columns(known), step.measure(records))
    judgement = _judgement(step.name, step, measures)
    judgement = replace(
        judgement,
        verdicts=_with_evidence(step, judgement, records, measures),
        findings=_with_quotes(step, judgement, records, measures),
    )
    drops = judgement.verdicts.filter(~pl.col("keep"))
    unknown = set(drops["reason"]) - set(step.reasons)
    hold(not unknown, step.name, f"reasons it does not declare: {unknown}")
    hold(not drops["evidence"].null_count(), step.name, "drops without evidence")
    odd = judgement.verdicts.filter("keep", pl.col("reason").is_not_null()).height
    hold(not odd, step.name, f"{odd} rows were kept and yet have a reason to be dropped")
    return Judged(measures, judgement.verdicts, judgement.findings)


def _about(records: pl.DataFrame) -> pl.DataFrame:
    """What `judge` knows of every record, whatever was measured."""
    about = {f"record.{name}": pl.col(name) for name in ("source", "score", "category")}
    return records.select("row", "id", **about)


def _joined(name: str, earlier: pl.DataFrame, own: pl.DataFrame) -> pl.DataFrame:
    hold(own.height == earlier.height, name, "measure changed the number of rows")
    return pl.concat([earlier, own], how="horizontal")


def _judgement(name: str, step: Filter, measures: pl.DataFrame) -> Judgement:
    """The step's judgement, checked to have a complete verdict for every row."""
    judgement = step.judge(measures)
    verdicts = judgement.verdicts
    hold(verdicts.height == measures.height, name, "judge changed the number of rows")
    hold(verdicts.schema == VERDICTS, name, f"judge returned {verdicts.schema}")
    hold(not verdicts["keep"].null_count(), name, "a row was neither kept nor dropped")
    mute = verdicts.filter(~pl.col("keep") & pl.col("reason").is_null()).height
    hold(not mute, name, f"{mute} rows were dropped without a reason")
    marks = judgement.from_text
    hold(marks is None or len(marks) == measures.height, name, "from_text is not a line a row")
    quoted = judgement.quoted
    hold(quoted is None or len(quoted) == measures.height, name, "quoted is not a line a row")
    return judgement


def _with_evidence(
    step: Filter, judgement: Judgement, records: pl.DataFrame, measures: pl.DataFrame
) -> pl.DataFrame:
    """The verdicts, with the evidence that the step makes of the text of the rows it marked."""
    verdicts, marks = judgement.verdicts, judgement.from_text
    if marks is None or not marks.any():
        return verdicts
    at = marks.fill_null(False).arg_true()
    marked = records[at].select(step.reads or records.columns)
    texts = step.evidence(marked, measures[at], verdicts[at])
    hold(len(texts) == len(at), step.name, "evidence changed the number of rows")
    return verdicts.with_columns(evidence=verdicts["evidence"].scatter(at, texts))


def _with_quotes(
    step: Filter, judgement: Judgement, records: pl.DataFrame, measures: pl.DataFrame
) -> Findings:
    """The findings, completed with what the step takes from the text of the rows it marked."""
    if judgement.quoted is None:
        return judgement.findings
    at = judgement.quoted.fill_null(False).arg_true()
    marked = records[at].select(step.reads or records.columns)
    return step.quote(judgement.findings, marked, measures[at])


def bind_steps(
    steps: Sequence[Step], warn: Callable[[str], None] = lambda line: None
) -> list[Step]:
    """The steps with the files read that some of them compare with.

    `warn` gets a line on rows there that cannot be read. Raises `CurateError`, also where two steps
    would keep what they remember in one place (`remembers_in`, for those that say): the second
    could not see what the first will add.
    """
    ready = [_ready(step, warn) for step in steps]
    taken: dict[str, str] = {}
    for step in ready:
        folder = step.action.remembers_in if isinstance(step.action, Filter) else None
        if folder in taken:
            raise CurateError(
                f"steps {taken[folder]!r} and {step.name!r} both add to {folder}; give each a "
                "folder of its own"
            )
        if folder is not None:
            taken[folder] = step.name
    return ready


def _ready(step: Step, warn: Callable[[str], None]) -> Step:
    if not isinstance(step.action, Filter):
        return step
    read = _EvaluationReader(f"{step.name}.columns", warn)
    ready = Step(step.name, step.action.bind(read))
    read.check_columns()
    return ready


class _EvaluationReader:
    """The `Read` of one step; `setting` is where its columns are named."""

    def __init__(self, setting: str, warn: Callable[[str], None]) -> None:
        self.setting, self.warn = setting, warn
        self.columns: Mapping[str, str] = {}
        self.fields: list[str] = []

    def __call__(
        self, paths: Sequence[str], columns: Mapping[str, str] | None = None
    ) -> pl.DataFrame:
        from curate.sources.evaluations import questions

        self.columns = columns or {}
        records, warnings, fields = questions.read(paths, self.columns, self.setting)
        self.fields += fields
        for line in warnings:
            self.warn(line)
        return with_text(records)

    def check_columns(self) -> None:
        """A column that no file has is misspelt; one that some file lacks need not be."""
        if self.columns:
            from curate.sources.evaluations import questions

            questions.check_columns(self.columns, self.fields, self.setting)


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
    pipeline = PipelineRun(with_text(records), engine or LocalEngine(workers=1))
    for step in bind_steps(steps):
        progress(pipeline.apply(step))
    return pipeline.result()


@contextmanager
def _named(step: Step) -> Iterator[None]:
    """What goes wrong in a step of the user's own is one sentence that names it."""
    try:
        yield
    except CurateError:
        raise
    except Exception as error:
        if type(step.action).__module__.split(".")[0] in ("filters", "curate"):
            raise
        raise CurateError(f"step {step.name!r} failed with {one_line(error)}") from error


class PipelineRun:
    """The rows still kept, what was measured about them, and the verdicts so far."""

    def __init__(self, records: pl.DataFrame, engine: LocalEngine) -> None:
        self.height = records.height
        self.kept = records
        self.dropped: list[pl.DataFrame] = []
        self.engine = engine
        self.measured = _about(records)
        self.ledger = [ledger.without_judgement("read", "keep", records)]
        self.reports: list[StepReport] = []
        self.tables: dict[str, pl.DataFrame] = {}

    def apply(self, step: Step) -> StepReport:
        """Run one step over the rows that are still kept. Raises `CurateError`."""
        started, action = time.perf_counter(), step.action
        with _named(step):
            if isinstance(action, Fix):
                report = self._fix(step, action)
            else:
                report = self._judge(step, action)
        self.reports.append(replace(report, seconds=time.perf_counter() - started))
        return self.reports[-1]

    def _judge(self, step: Step, action: Filter) -> StepReport:
        _check_needs(step.name, action, self.measured)
        own = self.engine.measure(action, self.kept)
        measures = _joined(step.name, self.measured, own)
        judgement = _judgement(step.name, action, measures)
        verdicts = _with_evidence(action, judgement, self.kept, measures)
        findings = _with_quotes(action, judgement, self.kept, measures)
        self.ledger.append(ledger.step_rows(step.name, self.kept, verdicts))
        self.tables |= {f"{step.name}.{name}": table for name, table in findings.tables.items()}
        keep = verdicts["keep"]
        report = self._report(step, kept=int(keep.sum()), reasons=verdicts.filter(~keep)["reason"])
        self.dropped.append(self.kept.filter(~keep))
        self.kept = self.kept.filter(keep)
        # Later steps see narrow numbers by name; lists such as signatures stay behind.
        narrow = own.select(~pl.selectors.nested()).rename(lambda name: f"{step.name}.{name}")
        score = verdicts["score"].alias(f"{step.name}.verdict").to_frame()
        columns = [self.measured, narrow, score]
        self.measured = pl.concat(columns, how="horizontal").filter(keep)
        return replace(report, sentences=findings.sentences, numbers=findings.numbers)

    def _fix(self, step: Step, action: Fix) -> StepReport:
        fixed = action.fix(self.kept)
        hold(fixed.height == self.kept.height, step.name, "a fix must not drop rows")
        edited = fixed["edited"].is_not_null()
        reasons = fixed["edited"].filter(edited)
        before = self.kept.filter(edited)
        self.ledger.append(ledger.without_judgement(step.name, "edited", before, reasons))
        self.kept = _with_new_ids(with_text(fixed.drop("edited")), edited)
        self.measured = self.measured.with_columns(self.kept["id"])
        report = self._report(step, kept=self.kept.height, reasons=reasons)
        return replace(report, edited=len(reasons))

    def _report(self, step: Step, kept: int, reasons: pl.Series) -> StepReport:
        counts = ledger.count_reasons(reasons)
        known = step.action.reasons
        return StepReport(
            name=step.name,
            settings=repr(step.action),
            rows=self.kept.height,
            kept=kept,
            dropped=self.kept.height - kept,
            reasons=counts,
            meanings={slug: meaning for slug in counts if (meaning := known.get(slug))},
        )

    def result(self) -> Result:
        """What became of every record, once all steps were applied."""
        records = pl.concat([self.kept, *self.dropped]).sort("row")
        assert records.height == self.height, "rows were lost between steps"
        kept = records["row"].is_in(self.kept["row"].implode()).alias("kept")
        return Result(records, kept, pl.concat(self.ledger), self.reports, self.tables)


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


def _check_needs(name: str, action: Filter, measured: pl.DataFrame) -> None:
    for column in action.needs:
        if column not in measured.columns:
            known = [other for other in measured.columns if "." in other]
            hint = nearest(column, known) or f"; known here: {', '.join(known)}"
            raise CurateError(
                f"step {name!r} needs {column!r}, which no earlier step measured{hint}"
            )
