"""What a reward step finds out about the set: scores against length, raw and calibrated."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl

from curate.base.contract import Findings
from filters.common.arrays import Bools, Floats
from filters.common.calibrate import fitted_together
from filters.common.score_length import by_length, with_length
from filters.reward.rules import Choices, best_graded, choices

LITTLE = 0.1  # share of the variance below which little is left to choose by


def reward_findings(
    step: Any, measures: pl.DataFrame, keep: pl.Series, raw: Floats, score: Floats
) -> Findings:
    """Spearman of score and length, raw and calibrated, and how prompts chose their best answer.

    `step` is the `Reward` whose settings decide what is said.
    """
    method, min_score = step.calibrate, step.min_score
    known = np.flatnonzero(~np.isnan(raw))
    if not known.size:
        return Findings(("no row has a score",))
    length = measures["length"].to_numpy().astype(np.int64)
    task = measures["task"].rank("dense").to_numpy()
    before, after = (
        with_length(values, length, fitted_together(raw, length, task)) for values in (raw, score)
    )
    numbers: dict[str, Any] = {
        "scored": int(known.size),
        "method": method,
        "spearman": {"as_it_came": before, "calibrated": after},
    }
    kept = length[keep.to_numpy()]
    if 0 < len(kept) < len(length):
        numbers["median_words"] = {
            "scored": float(np.median(length[known])),
            "kept": float(np.median(kept)),
        }
    sentences = [_length_sentence(before, after, method)]
    if "median_words" in numbers:
        sentences.append(
            "median words: {scored:g} scored, {kept:g} kept".format(**numbers["median_words"])
        )
    left = _left(raw[known], score[known], method)
    if left is not None:
        numbers["left_of_variance"] = round(left, 4)
        if left < LITTLE:
            sentences.append(
                f"length explains {100 * (1 - left):.0f} % of the variance of the scores; the rules"
                " compare the little that is left"
            )
    if min_score is not None and method != "none":
        low, high = raw[known].min(), raw[known].max()
        sentences.append(
            f"min_score {min_score:g} is compared with scores as they came, {low:.4g} to"
            f" {high:.4g} (reward); charts and reward.calibrated show them with length taken out"
            f" ({method})"
        )
    if step.per_prompt is not None:
        made = choices(measures, score)
        numbers["prompts"] = made._asdict()
        sentences.append(_choice_sentence(made))
    bins = by_length(keep, length, raw, score, known)
    return Findings(tuple(sentences), numbers, {"length": bins})


def _left(raw: Floats, score: Floats, method: str) -> float | None:
    """The share of the scores' variance that is left without length; None where ranks stand for
    scores, or nothing varies."""
    spread = float(raw.std())
    if method not in ("lwr", "bin") or spread <= 1e-9 * max(1.0, float(np.abs(raw).max())):
        return None
    return float((score / spread).std() ** 2)


def with_grades(findings: Findings, step: Any, raw: Floats, top: Bools, grades: Floats) -> Findings:
    """The findings, and how many rows the score's rules (`top`, (n,)) and the best grade keep."""
    best = best_graded(grades)
    if not best.any():  # there are no rows
        return findings
    only = best & ~top
    grade = float(np.nanmax(grades))
    counts = {
        "by_both": int((top & best).sum()),
        "by_score_alone": int((top & ~best).sum()),
        "by_grade_alone": int(only.sum()),
        "by_grade_alone_without_score": int((only & np.isnan(raw)).sum()),
    }
    sentence = (
        "{by_both:,} rows are within the rules on scores and have the best grade, "
        "{by_score_alone:,} are only within the rules, {by_grade_alone:,} only have the grade"
        " ({by_grade_alone_without_score:,} of them without a score)"
    ).format(**counts)
    kept = "all of these are kept" if step.combine == "or" else "the first of these are kept"
    told = f"the best grade in {step.judge_by} is {grade:g}: {sentence}; {kept}"
    return replace(
        findings,
        sentences=(*findings.sentences, f"{told} (combine: {step.combine})"),
        numbers={**findings.numbers, "judge": {"best_grade": grade, **counts}},
    )


def _length_sentence(
    before: dict[str, float | None], after: dict[str, float | None], method: str
) -> str:
    if before["within_task"] is None:
        return "score and length have no correlation: one of them is the same for all rows"
    if method == "none":
        return (
            "correlation (Spearman) of score and length within task groups:"
            f" {before['within_task']:.2f}, and calibrate: none leaves it as it is"
        )
    now = after["within_task"]
    shown = "none (all scores are equal)" if now is None else f"{now:.2f}"
    return (
        "correlation (Spearman) of score and length within task groups:"
        f" {before['within_task']:.2f} as it came, {shown} after calibration ({method})"
    )


def _choice_sentence(made: Choices) -> str:
    if not made.with_choice:
        return (
            f"none of {made.prompts:,} prompts has two scored answers, so per_prompt drops nothing"
        )
    return (
        f"{made.with_choice:,} of {made.prompts:,} prompts have several answers; the best is the"
        f" longest for {made.longest:.0%} of them (by chance {made.chance:.0%})"
    )
