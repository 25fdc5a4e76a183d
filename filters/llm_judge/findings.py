"""What a judge's scores are like as a whole: their spread, and how they depend on length."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import polars as pl

from curate.base.contract import Findings
from filters.common.arrays import Floats
from filters.common.calibrate import fitted_together
from filters.common.score_length import by_length, with_length

CLUMPED = 0.5  # of the scores on one value: the judge hardly tells rows apart
LOW = 0.5  # mass below which a model mostly wanted to say something else


def judge_findings(
    step: Any, measures: pl.DataFrame, keep: pl.Series, raw: Floats, score: Floats
) -> Findings:
    """Scores by value, the mass of labels, and Spearman with length within task groups.

    `step` is the `LLMJudge` whose settings decide what is said; `raw` and `score` (n,) are the
    scores as they came and with length taken out.
    """
    known = np.flatnonzero(~np.isnan(raw))
    numbers = _about(step, measures, known)
    sentences = [_first_sentence(step, numbers)]
    sentences += _problem_sentences(measures)
    sentences += _reference_sentence(step, numbers)
    if not known.size:
        return Findings(tuple(sentences), numbers)
    sentences += _given_sentence(step, numbers, measures)
    sentences += _spread(step, numbers, raw[known])
    sentences += _rule_sentence(step)
    sentences += _masses(numbers, measures["mass"].drop_nulls())
    length = measures["length"].to_numpy().astype(np.int64)
    parts = fitted_together(raw, length, measures["task"].rank("dense").to_numpy())
    before, after = (with_length(values, length, parts) for values in (raw, score))
    numbers["spearman"] = {"as_it_came": before, "calibrated": after}
    sentences += _length_sentence(before, after, step.calibrate)
    tables = {
        "scores": _histogram(raw[known], keep.gather(known)),
        "length": by_length(keep, length, raw, score, known),
    }
    return Findings(tuple(sentences), numbers, tables)


def _about(step: Any, measures: pl.DataFrame, known: Any) -> dict[str, Any]:
    rubric = step.published
    return {
        "rubric": rubric.name,
        "rubric_hash": rubric.fingerprint,
        # Not to be written as Infinity, which is no JSON.
        "range": [rubric.low, rubric.high if math.isfinite(rubric.high) else None],
        "model": step.model,
        "url": step.url,
        "read": step.way,
        "asked": int(measures["asked"].sum()),
        "given": int((~measures["asked"]).sum()),
        "scored": int(known.size),
        "min_score": step.min_score,
        "method": step.calibrate,
        **step.answered,
    }


def _first_sentence(step: Any, numbers: dict[str, Any]) -> str:
    by = f"rubric {numbers['rubric']}, {step.published.low:g} to {step.published.high:g}"
    if not numbers["asked"]:
        return (
            f"{numbers['given']:,} rows came with a score in {step.given} ({by}); nobody is asked"
        )
    how = "the probabilities of labels" if step.way == "probabilities" else "written answers"
    given = f"; {numbers['given']:,} came with a score" if numbers["given"] else ""
    return f"{numbers['asked']:,} rows judged by {step.model} ({by}, read from {how}){given}"


def _problem_sentences(measures: pl.DataFrame) -> list[str]:
    problems = measures["problem"].cast(pl.String).drop_nulls()
    if problems.is_empty():
        return []
    counts = problems.value_counts().sort("count", "problem", descending=[True, False])
    kinds = ", ".join(f"{kind} {count:,}" for kind, count in counts.iter_rows())
    again = "; those without an answer are asked again in the next run"
    failed = (problems == "no_answer").any()
    where = "what the judge said of each is its evidence"
    return [f"{len(problems):,} rows got no score ({where}): {kinds}{again if failed else ''}"]


def _reference_sentence(step: Any, numbers: dict[str, Any]) -> list[str]:
    """How many rows had the right answer that the rubric is to show."""
    seen = numbers.get("with_reference")
    if seen is None:
        return []
    none = "" if seen else "; name the field that holds the right answer in reference"
    return [
        f"{seen:,} of {numbers['asked']:,} rows were asked with a text of {step.reference}{none}"
    ]


def _given_sentence(step: Any, numbers: dict[str, Any], measures: pl.DataFrame) -> list[str]:
    """Scores that rows came with may be on another scale than the rubric's, and min_score's."""
    score = measures.filter(~pl.col("asked"))["score"].drop_nulls()
    low, high = step.published.low, step.published.high
    outside = int(((score < low) | (score > high)).sum())
    numbers["given_out_of_range"] = outside
    if not outside:
        return []
    return [
        f"{outside:,} of {len(score):,} scores in {step.given} lie outside of {low:g} to {high:g}"
        " and are taken as they are; is it on another scale?"
    ]


def _rule_sentence(step: Any) -> list[str]:
    if any(rule is not None for rule in (step.min_score, step.keep_top, step.top_k)):
        return []
    least = step.published.min_score
    known = "" if least is None else f"; {least:g} was published with the rubric"
    return [f"no min_score, keep_top or top_k: every row with a score is kept{known}"]


def _spread(step: Any, numbers: dict[str, Any], raw: Floats) -> list[str]:
    values, counts = np.unique(raw.round(2), return_counts=True)
    most = int(counts.argmax())
    numbers["median"] = round(float(np.median(raw)), 4)
    numbers["largest_share"] = round(float(counts[most]) / len(raw), 4)
    sentences = [f"scores {raw.min():.4g} to {raw.max():.4g}, median {numbers['median']:.4g}"]
    if numbers["largest_share"] > CLUMPED and len(raw) > 1:
        sentences.append(
            f"{numbers['largest_share']:.0%} of the scores are {values[most]:g}: this judge hardly"
            f" tells rows apart{_advice(step)}"
        )
    return sentences


def _advice(step: Any) -> str:
    """How scores might spread more, of what this rubric has."""
    if step.way == "text" and "probabilities" in step.published.ways:
        return "; read: probabilities spreads scores more"
    return "; a rubric with described levels or another model may" if step.way else ""


def _masses(numbers: dict[str, Any], mass: pl.Series) -> list[str]:
    if mass.is_empty():
        return []
    middle = float(np.median(mass.to_numpy()))
    numbers["median_mass"] = round(middle, 4)
    low = ": it mostly wanted to say something else" if middle < LOW else ""
    return [f"the labels have {middle:.2f} of the probability in the median row{low}"]


def _length_sentence(
    before: dict[str, float | None], after: dict[str, float | None], method: str
) -> list[str]:
    if before["within_task"] is None:
        return []
    left = "" if after["within_task"] is None else f"{after['within_task']:.2f}"
    how = (
        "calibrate: none leaves it as it is"
        if method == "none"
        else f"{left or 'none'} after calibration ({method})"
    )
    return [
        "correlation (Spearman) of score and length within task groups:"
        f" {before['within_task']:.2f}; {how}"
    ]


def _histogram(raw: Floats, keep: pl.Series) -> pl.DataFrame:
    """Rows and kept rows by score, rounded to a tenth."""
    frame = pl.DataFrame({"score": pl.Series(raw).round(1), "kept": keep})
    counts = frame.group_by("score").agg(rows=pl.len(), kept=pl.col("kept").sum())
    return counts.sort("score")
