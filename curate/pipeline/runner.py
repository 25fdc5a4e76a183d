"""Run steps over records: measure, judge, write down every verdict, lose nothing."""

from __future__ import annotations

import hashlib
import io
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace

import numpy as np
import polars as pl

from curate.base.contract import VERDICTS, Estimate, Filter, Findings, Fix, Judgement, hold
from curate.base.errors import CurateError, nearest
from curate.base.log import Log
from curate.base.parts import Part
from curate.base.schema import RECORDS, content_id, with_text
from curate.pipeline import ledger
from curate.pipeline.identity import is_ours, is_resumable, judge_name
from curate.pipeline.judging import evidence_of, findings_of, joined, judgement_of
from curate.pipeline.measuring import Bools, Measures, Rows, read_columns
from curate.pipeline.progress import Progress
from curate.pipeline.result import Result
from curate.pipeline.steps import Step, StepReport, bind_steps, named
from curate.pipeline.work import Done, Work

_KEYS = ["row", "id"]
# Codes of every record: what `judge` knows of it, and what a line of the ledger says.
_COLUMNS: dict[str, pl.DataType | type[pl.DataType]] = {
    "row": pl.UInt32,
    "id": pl.String,
    "line": pl.UInt32,
    "source": pl.Categorical(),
    "score": pl.Float64,
    "category": pl.Categorical(),
}
_ABOUT = pl.Schema(_COLUMNS)


def run(
    records: pl.DataFrame | Sequence[Part],
    steps: Sequence[Step],
    measures: Measures | None = None,
    work: Work | None = None,
    progress: Progress | None = None,
) -> Result:
    """Apply the steps in order, each to the rows that are still kept.

    `records` are a frame or parts of one. Raises `CurateError` when a step cannot do what it was
    asked; a step that breaks the contract (wrong height, a drop without a reason) raises
    `AssertionError`.
    """
    if isinstance(records, pl.DataFrame):
        records = [Part(0, 0, records.height, records.select(RECORDS.names()))]
    measures, work, watch = measures or Measures(), work or Work(), progress or Progress()
    with _asking(bind_steps(steps), measures, work, watch) as bound:
        pipeline = PipelineRun(records, bound, measures, work)
        for step in bound:
            pipeline.apply(step, watch)
        return pipeline.result()


def estimate(
    parts: Sequence[Part], steps: Sequence[Step], measures: Measures, work: Work, watch: Progress
) -> list[tuple[str, Estimate]]:
    """What each step that asks would ask, by name; nothing is asked.

    Steps before the first of them are applied; its rows are taken for all of them, since nobody
    knows which ones it would drop. Raises `CurateError`.
    """
    with _asking(bind_steps(steps), measures, work, watch) as bound:
        pipeline = PipelineRun(parts, bound, measures, work)
        found: list[tuple[str, Estimate]] = []
        for step in bound:
            if isinstance(step.action, Filter) and step.action.asks:
                with named(step):
                    found.append((step.name, pipeline.estimate(step.action)))
            elif not found:
                pipeline.apply(step, watch)
        return found


@contextmanager
def _asking(
    steps: Sequence[Step], measures: Measures, work: Work, watch: Progress
) -> Iterator[list[Step]]:
    """The steps, those that ask with a place for their answers; all is closed afterwards."""
    with ExitStack() as stack:

        def at_work(step: Step) -> Step:
            if not isinstance(step.action, Filter) or not step.action.asks:
                return step
            folder = measures.cache.folder if measures.cache is not None else work.place
            say = _named(step.name, watch.above(watch.log))
            return step._replace(action=stack.enter_context(step.action.asking(folder, say)))

        yield [at_work(step) for step in steps]


def _named(name: str, log: Log) -> Log:
    """A log whose lines begin with a step's name."""

    def say(line: str) -> None:
        log(f"{name}: {line}")

    return say


class PipelineRun:
    """Which rows are still kept, what was measured that later steps need, and the verdicts so far.

    Text is in the parts, verdicts are in `work`; here are codes: a few numbers a row.
    """

    def __init__(
        self, parts: Sequence[Part], steps: Sequence[Step], measures: Measures, work: Work
    ) -> None:
        self.parts = list(parts)
        self.measures, self.work = measures, work
        self.about = pl.concat([pl.DataFrame(schema=_ABOUT), *map(_about, parts)])
        self.read = self.about  # as they were read, before any fix
        self.kept = np.ones(self.about.height, dtype=bool)
        filters = [step.action for step in steps if isinstance(step.action, Filter)]
        self.wanted = {name for action in filters for name in (*action.needs, *action.may_need)}
        self.needed: list[pl.DataFrame] = []  # of earlier steps: `row`, and what later ones need
        self.known: list[str] = []  # the names of all that earlier steps measured
        self.pages: list[tuple[str, str]] = []
        self.reports: list[StepReport] = []
        self.tables: dict[str, pl.DataFrame] = {}
        self.fixed: list[str] = []  # what says which fixes there were, and what they did

    def apply(self, step: Step, watch: Progress) -> StepReport:
        """Run one step over the rows that are still kept. Raises `CurateError`."""
        started, rows = time.perf_counter(), int(self.kept.sum())
        watch.begin(step.name, rows)
        name = self._name(step)
        with named(step, self.known):
            done = self.work.done(name, self.parts) if is_resumable(step.action) else None
            if done is None:
                done = self._do(step, name, watch)
                self.work.finish(name, done)
        report = self._learn(step, name, done, rows)
        self.reports.append(replace(report, seconds=time.perf_counter() - started))
        watch.end(self.reports[-1])
        return self.reports[-1]

    def estimate(self, action: Filter) -> Estimate:
        """What a step would ask of the rows that are still kept."""
        found = Estimate()
        for part, _, count in self._alive():
            if count:
                at = pl.arange(count, eager=True)
                found += action.estimate(self._records(part, at, action.reads))
        return found

    def _name(self, step: Step) -> str:
        """A name for this step on these rows: with other rows or settings it is another."""
        state = hashlib.blake2b(digest_size=8)
        state.update(np.packbits(self.kept).tobytes())
        state.update("".join(self.about["id"]).encode())
        about = [(step.name, sorted(self.wanted)), len(self.parts), self.fixed]
        state.update(repr(about).encode())
        for needed in self.needed:
            buffer = io.BytesIO()
            needed.write_ipc(buffer)
            state.update(buffer.getbuffer())
        return f"step-{len(self.pages) + 1:02}-{judge_name(step.action)}-{state.hexdigest()}"

    def _context(self, action: Filter) -> str:
        """What measures depend on beside settings and ids, where they are not kept by content.

        A fix may have changed what is not in the id; a user's code may be another in another run.
        """
        parts = [] if action.cached else self.fixed
        own = [] if is_ours(action) else [self.work.token]
        digest = hashlib.blake2b(repr([parts, own]).encode(), digest_size=4).hexdigest()
        return f"-{digest}" if parts or own else ""

    def _do(self, step: Step, name: str, watch: Progress) -> Done:
        if isinstance(step.action, Fix):
            return self._fix(step, step.action, name, watch)
        return self._judge(step, step.action, name, watch)

    def _judge(self, step: Step, action: Filter, name: str, watch: Progress) -> Done:
        _check_needs(step.name, action, self.known)
        keys = self.about.select(_KEYS)
        context = self._context(action)
        own = self.measures.of(step.name, action, self.parts, keys, self.kept, watch.tick, context)
        watch.deciding()
        measures = joined(step.name, self._given(action), own)
        judgement = judgement_of(step.name, action, measures)
        self._put(step, action, name, judgement, measures)
        # Later steps see narrow numbers by name; lists such as signatures stay behind.
        narrow = own.select(~pl.selectors.nested()).get_columns()
        narrow.append(judgement.verdicts["score"].alias("verdict"))
        named = [column.alias(f"{step.name}.{column.name}") for column in narrow]
        needed = [column for column in named if column.name in self.wanted]
        by_row = pl.DataFrame([measures["row"], *needed])
        findings = self._findings(step, action, judgement, measures)
        return Done(findings, by_row, [column.name for column in named])

    def _given(self, action: Filter) -> pl.DataFrame:
        """What `judge` gets of the rows still kept beside the measures of its own filter."""
        alive = self.about.filter(pl.Series(self.kept))
        about = {
            f"record.{name}": pl.col(name).cast(RECORDS[name])
            for name in ("source", "score", "category")
        }
        given = alive.select(*_KEYS, **about)
        for needed in self.needed:
            asked = {*action.needs, *action.may_need}
            names = [name for name in needed.columns if name in asked]
            if names:
                columns = needed.select("row", *names)
                given = given.join(columns, on="row", how="left", maintain_order="left")
        return given

    def _put(
        self, step: Step, action: Filter, name: str, judgement: Judgement, measures: pl.DataFrame
    ) -> None:
        """Keep the verdicts part by part, with the evidence that is made of the part's text."""
        verdicts = judgement.verdicts.select(
            measures["row"],
            measures["id"],
            pl.when("keep").then(pl.lit("keep")).otherwise(pl.lit("drop")).alias("verdict"),
            *VERDICTS.names()[1:],
            raw=pl.lit(None) if judgement.raw is None else judgement.raw,
        ).cast(ledger.VERDICT)
        for part, start, count in self._alive():
            own = verdicts.slice(start, count)
            at = _marked(judgement.from_text, start, count)
            if len(at):
                records = self._records(part, at, action.reads)
                seen, decided = measures.slice(start, count), judgement.verdicts.slice(start, count)
                texts = evidence_of(step.name, action, records, seen[at], decided[at])
                own = own.with_columns(own["evidence"].scatter(at, texts))
            self.work.put_verdicts(name, part, own)

    def _findings(
        self, step: Step, action: Filter, judgement: Judgement, measures: pl.DataFrame
    ) -> Findings:
        """The findings, completed with texts of the few rows that the step marked for it."""
        if judgement.quoted is None:
            return judgement.findings
        records = [
            self._records(part, at, action.reads)
            for part, start, count in self._alive()
            if len(at := _marked(judgement.quoted, start, count))
        ]
        none = read_columns(pl.DataFrame(schema=RECORDS), action.reads)
        marked = measures.filter(judgement.quoted.fill_null(False))
        return findings_of(
            step.name, action, judgement.findings, pl.concat([none, *records]), marked
        )

    def _alive(self) -> Iterator[tuple[Part, int, int]]:
        """Each part, with the place of its first row among those still kept, and their number."""
        start = 0
        for part in self.parts:
            count = int(self.kept[part.start : part.start + part.height].sum())
            yield part, start, count
            start += count

    def _records(self, part: Part, at: pl.Series, reads: Sequence[str] | None) -> pl.DataFrame:
        """Of a part's rows still kept those at these places, as `measure` gets them."""
        alive = Rows.of(part, 0, self.kept[part.start : part.start + part.height])
        return read_columns(alive.only(at.to_numpy()).load(), reads)

    def _fix(self, step: Step, action: Fix, name: str, watch: Progress) -> Done:
        parts, content = [], hashlib.blake2b(digest_size=8)
        for part in self.parts:
            alive = self.kept[part.start : part.start + part.height]
            parts.append(self._fix_part(step, action, name, part, alive))
            if not is_ours(action) and parts[-1] is not part:
                content.update(_bytes_of(parts[-1].load()))
            watch.tick(int(alive.sum()))
        return Done(parts=parts, content="" if is_ours(action) else content.hexdigest())

    def _fix_part(self, step: Step, action: Fix, name: str, part: Part, alive: Bools) -> Part:
        if not alive.any():
            self.work.put_verdicts(name, part, pl.DataFrame(schema=ledger.VERDICT))
            return part
        records = Rows.of(part, 0, alive).load()
        records = with_text(records) if action.reads_texts else records
        fixed = action.fix(records)
        hold(fixed.height == records.height, step.name, "a fix must not drop rows")
        edited = fixed["edited"].is_not_null()
        verdicts = records.filter(edited).select(
            *_KEYS, verdict=pl.lit("edited"), reason=fixed["edited"].filter(edited)
        )
        none = pl.DataFrame(schema=ledger.VERDICT)
        verdicts = verdicts.cast({"verdict": ledger.VERDICT["verdict"], "reason": pl.Categorical()})
        self.work.put_verdicts(name, part, pl.concat([none, verdicts], how="diagonal"))
        if not edited.any():
            return part
        changed = _with_new_ids(fixed.filter(edited).select(RECORDS.names()))
        every = part.load()
        others = every.filter(~pl.col("row").is_in(changed["row"].implode()))
        return self.work.rewritten(name, part, pl.concat([others, changed]).sort("row"))

    def _learn(self, step: Step, name: str, done: Done, rows: int) -> StepReport:
        """Take over what a step did; the report on it."""
        self.pages.append((step.name, name))
        self.known += done.known
        if len(done.needed.columns) > 1:
            self.needed.append(done.needed)
        tables = done.findings.tables.items()
        self.tables |= {f"{step.name}.{key}": table for key, table in tables}
        if done.parts is not None:
            self.parts = list(done.parts)
            self.fixed.append(f"{judge_name(step.action)} {done.content}")
            self.about = pl.concat([pl.DataFrame(schema=_ABOUT), *map(_about, self.parts)])
        reasons: list[pl.Series] = []
        for part in self.parts:
            verdicts = self.work.verdicts(name, part)
            drops = verdicts.filter(pl.col("verdict") == "drop")["row"].to_numpy()
            own = self.about["row"].slice(part.start, part.height).to_numpy()
            self.kept[part.start + np.searchsorted(own, drops)] = False
            reasons.append(verdicts.filter(pl.col("verdict") != "keep")["reason"])
        return _report(step, done, rows, int(self.kept.sum()), pl.concat(reasons))

    def result(self) -> Result:
        """What became of every record, once all steps were applied."""
        kept = pl.Series("kept", self.kept)
        pages, reports, tables = self.pages, self.reports, self.tables
        return Result(self.parts, kept, self.read, pages, self.work, reports, tables)


def _marked(marks: pl.Series | None, start: int, count: int) -> pl.Series:
    """Places in a stretch of rows that are marked."""
    if marks is None:
        return pl.Series(dtype=pl.UInt32)
    return marks.slice(start, count).fill_null(False).arg_true()


def _report(step: Step, done: Done, rows: int, kept: int, reasons: pl.Series) -> StepReport:
    counts = ledger.count_reasons(reasons.cast(pl.String))
    known = step.action.reasons
    return StepReport(
        name=step.name,
        settings=repr(step.action),
        rows=rows,
        kept=kept,
        dropped=rows - kept,
        edited=len(reasons) if isinstance(step.action, Fix) else 0,
        reasons=counts,
        meanings={slug: meaning for slug in counts if (meaning := known.get(slug))},
        sentences=done.findings.sentences,
        numbers=done.findings.numbers,
    )


def _about(part: Part) -> pl.DataFrame:
    return part.columns(_ABOUT.names()).cast(_ABOUT)


def _bytes_of(records: pl.DataFrame) -> bytes:
    buffer = io.BytesIO()
    records.rechunk().write_ipc(buffer)
    return buffer.getvalue()


def _with_new_ids(edited: pl.DataFrame) -> pl.DataFrame:
    """Edited text is other content, so it has another id. Few rows change: a loop will do."""
    rows = zip(edited["messages"], edited["tools"], strict=True)
    ids = [content_id(messages.to_list(), tools) for messages, tools in rows]
    return edited.with_columns(id=pl.Series(ids, dtype=pl.String))


def _check_needs(name: str, action: Filter, known: Sequence[str]) -> None:
    about = [f"record.{column}" for column in ("source", "score", "category")]
    for column in action.needs:
        if column not in [*known, *about]:
            hint = nearest(column, known) or f"; known here: {', '.join([*about, *known])}"
            raise CurateError(
                f"step {name!r} needs {column!r}, which no earlier step measured{hint}"
            )
