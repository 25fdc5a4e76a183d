"""Whether a step's scores lean on length: scores by tenths of the length, before and after."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import polars as pl

from curate.report.charts import Strip
from curate.report.tables import tables

if TYPE_CHECKING:
    from curate.pipeline.run_folder import RunFolder

_COLUMNS = {"rows", "kept", "length_from", "length_to"} | {
    f"{kind}_{place}" for kind in ("score", "verdict") for place in ("low", "median", "high")
}


class Tenth(NamedTuple):
    """Rows of about one length; strips are the middle half of their scores, with the median."""

    lengths: tuple[int, int]  # words
    rows: int
    kept: float  # share of `rows`
    came: Strip
    judged: Strip


class Leaning(NamedTuple):
    """One step's scores against length; `spearman` is within a kind of request, if known."""

    step: str
    tenths: list[Tenth]
    ranges: tuple[tuple[float, float], tuple[float, float]]  # of the scores as they came, as judged
    spearman: tuple[float | None, float | None]
    method: str


def of_run(run: RunFolder) -> list[Leaning]:
    """All steps that left a table of scores by length, in the funnel's order."""
    numbers = {step["name"]: step.get("numbers") or {} for step in run.manifest["steps"]}
    return [
        _leaning(step, table, numbers.get(step, {}))
        for step, table in tables(run, "length", _COLUMNS)
    ]


def _leaning(step: str, table: pl.DataFrame, numbers: dict[str, object]) -> Leaning:
    came, judged = (_strips(table, kind) for kind in ("score", "verdict"))
    tenths = [
        Tenth((row["length_from"], row["length_to"]), row["rows"], row["kept"] / row["rows"], *pair)
        for row, *pair in zip(table.to_dicts(), came, judged, strict=True)
    ]
    ranges = (_range(table, "score"), _range(table, "verdict"))
    found = numbers.get("spearman")
    within = [
        (found.get(when) or {}).get("within_task") if isinstance(found, dict) else None
        for when in ("as_it_came", "calibrated")
    ]
    method = str(numbers.get("method") or "")
    return Leaning(step, tenths, ranges, (within[0], within[1]), method)


def _range(table: pl.DataFrame, kind: str) -> tuple[float, float]:
    low, high = table.select(
        pl.col(f"{kind}_low").min().alias("low"), pl.col(f"{kind}_high").max().alias("high")
    ).row(0)
    return float(low), float(high)


def _strips(table: pl.DataFrame, kind: str) -> list[Strip]:
    low, high = _range(table, kind)
    span = (high - low) or 1.0
    places = table.select(
        (pl.col(f"{kind}_{place}") - low) / span for place in ("low", "median", "high")
    )
    return [Strip((first, last), (first, last), mid) for first, mid, last in places.iter_rows()]
