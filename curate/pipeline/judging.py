"""One filter's judgement: measured, judged, checked, and its evidence made."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any, NamedTuple

import polars as pl

from curate.base.contract import VERDICTS, Filter, Findings, Judgement, hold
from curate.base.errors import one_line
from curate.base.schema import with_text
from curate.pipeline.measuring import read_columns


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
    measures = joined(
        step.name, what_judges_know(records).with_columns(known), step.measure(records)
    )
    judgement = judgement_of(step.name, step, measures)
    judgement = replace(
        judgement,
        verdicts=with_evidence(step, judgement, records, measures),
        findings=with_quotes(step, judgement, records, measures),
    )
    drops = judgement.verdicts.filter(~pl.col("keep"))
    unknown = set(drops["reason"]) - set(step.reasons)
    hold(not unknown, step.name, f"reasons it does not declare: {unknown}")
    hold(not drops["evidence"].null_count(), step.name, "drops without evidence")
    odd = judgement.verdicts.filter("keep", pl.col("reason").is_not_null()).height
    hold(not odd, step.name, f"{odd} rows were kept and yet have a reason to be dropped")
    return Judged(measures, judgement.verdicts, judgement.findings)


def what_judges_know(records: pl.DataFrame) -> pl.DataFrame:
    """What `judge` knows of every record, whatever was measured."""
    about = {f"record.{name}": pl.col(name) for name in ("source", "score", "category")}
    return records.select("row", "id", **about)


def joined(name: str, earlier: pl.DataFrame, own: pl.DataFrame) -> pl.DataFrame:
    """What `judge` gets: what is known of the rows, and what its filter measured of them."""
    hold(own.height == earlier.height, name, "measure changed the number of rows")
    return pl.concat([earlier, own], how="horizontal")


def judgement_of(name: str, step: Filter, measures: pl.DataFrame) -> Judgement:
    """The step's judgement, checked to have a complete verdict for every row."""
    judgement = step.judge(measures)
    is_one = isinstance(judgement, Judgement) and isinstance(judgement.findings, Findings)
    hold(is_one, name, f"judge gave {type(judgement).__name__}; expected Judgement with Findings")
    _hold_json(name, judgement.findings)
    verdicts = judgement.verdicts
    hold(verdicts.height == measures.height, name, "judge changed the number of rows")
    hold(verdicts.schema == VERDICTS, name, f"judge returned {verdicts.schema}")
    hold(not verdicts["keep"].null_count(), name, "a row was neither kept nor dropped")
    mute = verdicts.filter(~pl.col("keep") & pl.col("reason").is_null()).height
    hold(not mute, name, f"{mute} rows were dropped without a reason")
    for marked, marks in (("from_text", judgement.from_text), ("quoted", judgement.quoted)):
        if marks is not None:
            is_column = isinstance(marks, pl.Series) and marks.dtype == pl.Boolean
            hold(is_column, name, f"{marked} is no Boolean pl.Series")
            hold(len(marks) == measures.height, name, f"{marked} is not a line a row")
    if judgement.raw is not None:
        is_column = isinstance(judgement.raw, pl.Series) and judgement.raw.dtype == pl.Float64
        hold(is_column, name, "raw is no pl.Series of Float64")
        hold(len(judgement.raw) == measures.height, name, "raw is not a line a row")
    return judgement


def with_evidence(
    step: Filter, judgement: Judgement, records: pl.DataFrame, measures: pl.DataFrame
) -> pl.DataFrame:
    """The verdicts, with the evidence that the step makes of the text of the rows it marked."""
    verdicts, marks = judgement.verdicts, judgement.from_text
    if marks is None:
        return verdicts
    at = marks.fill_null(False).arg_true()
    marked = read_columns(records[at], step.reads)
    texts = evidence_of(step.name, step, marked, measures[at], verdicts[at])
    return verdicts.with_columns(evidence=verdicts["evidence"].scatter(at, texts))


def with_quotes(
    step: Filter, judgement: Judgement, records: pl.DataFrame, measures: pl.DataFrame
) -> Findings:
    """The findings, completed with what the step takes from the text of the rows it marked."""
    if judgement.quoted is None:
        return judgement.findings
    at = judgement.quoted.fill_null(False).arg_true()
    marked = read_columns(records[at], step.reads)
    return findings_of(step.name, step, judgement.findings, marked, measures[at])


def evidence_of(
    name: str, step: Filter, records: pl.DataFrame, measures: pl.DataFrame, verdicts: pl.DataFrame
) -> pl.Series:
    """The evidence that a step makes of the text of rows that it marked, checked to be theirs."""
    texts = step.evidence(records, measures, verdicts)
    is_column = isinstance(texts, pl.Series)
    hold(is_column, name, f"evidence gave {type(texts).__name__}; expected pl.Series")
    hold(len(texts) == records.height, name, "evidence changed the number of rows")
    return texts.cast(pl.String)


def findings_of(
    name: str, step: Filter, findings: Findings, records: pl.DataFrame, measures: pl.DataFrame
) -> Findings:
    """The findings that a step completes with texts of rows that it marked, checked to be some."""
    quoted = step.quote(findings, records, measures)
    is_some = isinstance(quoted, Findings)
    hold(is_some, name, f"quote gave {type(quoted).__name__}; expected Findings")
    _hold_json(name, quoted)
    return quoted


def _hold_json(name: str, findings: Findings) -> None:
    """Findings go into the manifest, which the run writes last."""
    try:
        json.dumps(findings.numbers)
    except (TypeError, ValueError, RecursionError) as error:
        wrong = f"its findings have numbers that are no JSON ({one_line(error)})"
        hold(False, name, f"{wrong}; give plain int, float, str, list and dict")
