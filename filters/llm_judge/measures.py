"""What a judge's answers become as columns: a score, the mass of labels, and why there is none."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from filters.llm_judge.reading import PROBLEMS
from filters.llm_judge.session import Judged

WHY = pl.Enum(list(PROBLEMS))


def measured(
    judged: Sequence[Judged], given: pl.Series, asked: pl.Series, aspects: Sequence[str]
) -> pl.DataFrame:
    """`score` (f64), `mass` (f32, least of the aspects), `problem`, `asked`, and each aspect (f64).

    `judged` is of the rows that `asked` (n,) marks, the others have a `given` score (n,) or null.
    """
    score = given.to_list()
    mass: list[float | None] = [None] * len(given)
    problem: list[str | None] = [None] * len(given)
    parts: list[list[float | None]] = [[None] * len(given) for _ in aspects]
    # Answers are Python objects: a loop it is.
    for row, one in zip(asked.arg_true().to_list(), judged, strict=True):
        score[row], mass[row] = one.together.score, one.together.mass
        problem[row] = one.together.problem or None
        for values, reading in zip(parts, one.readings, strict=False):  # one if nothing was asked
            values[row] = reading.score
    columns = [
        pl.Series("score", score, dtype=pl.Float64),
        pl.Series("mass", mass, dtype=pl.Float32),
        pl.Series("problem", problem, dtype=WHY),
        asked.alias("asked"),
    ]
    if len(aspects) > 1:
        sides = zip(aspects, parts, strict=True)
        columns += [pl.Series(name, values, dtype=pl.Float64) for name, values in sides]
    return pl.DataFrame(columns)
