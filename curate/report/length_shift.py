"""How each step of a run changed the lengths of the responses, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import polars as pl

from curate.report.histograms import Floats, Ints

if TYPE_CHECKING:
    from curate.pipeline.run_folder import RunFolder


class LengthShift(NamedTuple):
    """One step that dropped rows: words of the responses that reached it and of those it kept.

    `ks` and `w1` are the `distances` of the two; `means` and `medians` are (before, after).
    """

    step: str
    rows: int
    kept: int
    medians: tuple[float, float]
    means: tuple[float, float]
    ks: float
    w1: float


def of_run(run: RunFolder) -> list[LengthShift]:
    """The shifts of all steps that dropped some of their rows and kept others."""
    names = [step["name"] for step in run.manifest["steps"]]
    number = pl.col("step").replace_strict(names, range(len(names)), return_dtype=pl.UInt32)
    dropped = run.ledger.filter(pl.col("verdict") == "drop").select("row", at=number)
    lengths = run.lengths.join(dropped, on="row", how="left")
    dropped_at = lengths["at"].fill_null(len(names)).to_numpy()
    words: Ints = lengths["words"].cast(pl.Int64).to_numpy()
    shifts = []
    for at, name in enumerate(names):
        before, after = words[dropped_at >= at], words[dropped_at > at]
        if 0 < len(after) < len(before):
            shifts.append(_shift(name, before, after))
    return shifts


def _shift(step: str, before: Ints, after: Ints) -> LengthShift:
    medians = (float(np.median(before)), float(np.median(after)))
    means = (float(before.mean()), float(after.mean()))
    return LengthShift(step, len(before), len(after), medians, means, *distances(before, after))


def distances(one: Ints, other: Ints) -> tuple[float, float]:
    """Kolmogorov-Smirnov distance, and W1 on log(1 + length), of two sets of lengths.

    The first is the largest gap between their cumulative distributions, from 0 (the same) to 1
    (no overlap), the second the area between them.

    >>> distances(np.array([0, 0]), np.array([0, 1]))
    (0.5, 0.34657359027997264)
    """
    # scipy.stats has both, but takes longer to import than the report takes to draw.
    values: Ints = np.unique(np.concatenate([one, other]))
    gap = np.abs(_below(one, values) - _below(other, values))
    steps = np.diff(np.log1p(values.astype(np.float64)))
    return float(gap.max()), float((gap[:-1] * steps).sum())


def _below(lengths: Ints, values: Ints) -> Floats:
    """The share of `lengths` at or below each of `values`."""
    shares: Floats = np.searchsorted(np.sort(lengths), values, side="right") / len(lengths)
    return shares
