"""What a judge's answers become as columns: a score, the mass of labels, and why there is none."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from filters.llm_judge.session import Judged

# Why a row has no score. `no_answer`: the question failed; the rest is about what was answered.
PROBLEMS = pl.Enum(
    [
        "no_answer",
        "empty_answer",
        "unreadable",
        "out_of_range",
        "low_mass",
        "nothing_to_judge",
        "not_applicable",
    ]
)
NOT_APPLICABLE = "not_applicable"


def measured(
    judged: Sequence[Judged], given: pl.Series, asked: pl.Series, aspects: Sequence[str]
) -> pl.DataFrame:
    """`score` (f64), `mass` (f32, least of the aspects), `problem`, `asked`, and each aspect (f64).

    `judged` is of the rows that `asked` (n,) marks, the others have a `given` score (n,) or null.
    """
    at = np.flatnonzero(asked.to_numpy())
    score, mass = given.to_numpy().astype(np.float64), np.full(len(given), np.nan, np.float32)
    problem: list[str | None] = [None] * len(given)
    parts = np.full((len(given), len(aspects)), np.nan)
    for row, one in zip(at.tolist(), judged, strict=True):  # answers are Python objects
        score[row], mass[row], problem[row] = _together(one)
        for aspect, reading in enumerate(one.readings[: len(aspects)]):
            parts[row, aspect] = np.nan if reading.score is None else reading.score
    columns = [
        pl.Series("score", score).fill_nan(None),
        pl.Series("mass", mass).fill_nan(None),
        pl.Series("problem", problem, dtype=PROBLEMS),
        asked.alias("asked"),
    ]
    if len(aspects) > 1:
        columns += [pl.Series(name, parts[:, at]).fill_nan(None) for at, name in enumerate(aspects)]
    return pl.DataFrame(columns)


def _together(judged: Judged) -> tuple[float, float, str | None]:
    """A row's score: the mean of its aspects, if each that applies to it has one."""
    readings = [each for each in judged.readings if each.problem != NOT_APPLICABLE]
    masses = [each.mass for each in readings if each.mass is not None]
    mass = min(masses, default=float("nan"))
    problem = next((each.problem for each in readings if each.problem), None)
    if not readings:
        problem = NOT_APPLICABLE
    if problem is not None:
        return float("nan"), mass, problem
    scores = [each.score for each in readings if each.score is not None]
    return sum(scores) / len(scores), mass, None
