"""How each step of a run changed the lengths of the responses, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import polars as pl

from curate.base.distances import kolmogorov_smirnov, wasserstein
from curate.report.histograms import Ints

if TYPE_CHECKING:
    from curate.pipeline.run_folder import RunFolder


class LengthShift(NamedTuple):
    """One step that dropped rows: words of the responses that reached it and of those it kept.

    `ks` is the largest gap between the two distributions, `w1` the area between them on
    log(1 + words); `means` and `medians` are (before, after).
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
    ks, w1 = kolmogorov_smirnov(before, after), wasserstein(np.log1p(before), np.log1p(after))
    return LengthShift(step, len(before), len(after), medians, means, ks, w1)
