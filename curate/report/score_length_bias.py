"""Whether a step's scores depend on length: the scores by tenths of the length."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import polars as pl

from curate.report.charts import Strip
from curate.report.run_files import tables

if TYPE_CHECKING:
    from curate.pipeline.run_folder import RunFolder

_COLUMNS = {"rows", "kept", "length_from", "length_to"} | {
    f"{side}_{at}" for side in ("score", "verdict") for at in ("low", "median", "high")
}


class Tenth(NamedTuple):
    """Rows of about one length; strips are the middle half of their scores, with the median."""

    lengths: tuple[int, int]  # words
    rows: int
    kept: float  # share of `rows`
    original: Strip
    judged: Strip


class ScoreLengthBias(NamedTuple):
    """One step's scores against length, as they were given and as the step judged by them.

    `ranges` are the lowest and highest scores of both, `spearman` the correlations of both with
    length within a task group, where they are known; `method` corrected the judged scores.
    """

    step: str
    tenths: list[Tenth]
    ranges: tuple[tuple[float, float], tuple[float, float]]
    spearman: tuple[float | None, float | None]
    method: str


def score_length_bias(run: RunFolder) -> list[ScoreLengthBias]:
    """All steps that left a table of scores by length, in the funnel's order."""
    numbers = {step["name"]: step.get("numbers") or {} for step in run.manifest["steps"]}
    return [
        _of_step(step, table, numbers.get(step, {}))
        for step, table in tables(run, "length", _COLUMNS)
    ]


def _of_step(step: str, table: pl.DataFrame, numbers: dict[str, Any]) -> ScoreLengthBias:
    ranges = (_range(table, "score"), _range(table, "verdict"))
    strips = (_strips(table, "score", ranges[0]), _strips(table, "verdict", ranges[1]))
    tenths = [
        Tenth((row["length_from"], row["length_to"]), row["rows"], row["kept"] / row["rows"], *both)
        for row, *both in zip(table.to_dicts(), *strips, strict=True)
    ]
    spearman = numbers.get("spearman") or {}
    original, judged = (
        (spearman.get(side) or {}).get("within_task") for side in ("as_it_came", "calibrated")
    )
    return ScoreLengthBias(step, tenths, ranges, (original, judged), numbers.get("method") or "")


def _range(table: pl.DataFrame, side: str) -> tuple[float, float]:
    lowest, highest = pl.col(f"{side}_low").min(), pl.col(f"{side}_high").max()
    low, high = table.select(lowest, highest).row(0)
    return float(low), float(high)


def _strips(table: pl.DataFrame, side: str, ends: tuple[float, float]) -> list[Strip]:
    span = (ends[1] - ends[0]) or 1.0
    columns = [f"{side}_{at}" for at in ("low", "median", "high")]
    shares = table.select((pl.col(columns) - ends[0]) / span)
    return [Strip((low, high), (low, high), median) for low, median, high in shares.iter_rows()]
