"""How a score depends on length: rank correlations, and a table over lengths."""

from __future__ import annotations

import numpy as np
import polars as pl

from filters.common.arrays import Floats, Ints
from filters.common.calibrate import length_bins
from filters.common.stats import spearman

BINS = 10  # of equal size by length


def with_length(values: Floats, length: Ints, parts: list[Ints]) -> dict[str, float | None]:
    """Spearman of `values` (n,) with length over all scored rows, and its mean within task groups.

    `parts` are the positions of the scored rows of each group (`fitted_together`); the mean is
    weighted by their rows. None where all values, or all lengths, are equal.
    """
    rows = np.sort(np.concatenate(parts))
    by_part = [(len(part), spearman(values[part], length[part])) for part in parts]
    known = [(count, rho) for count, rho in by_part if rho is not None]
    overall = spearman(values[rows], length[rows])
    within = (
        sum(count * rho for count, rho in known) / sum(count for count, _ in known)
        if known
        else None
    )
    return {
        "all": None if overall is None else round(overall, 4),
        "within_task": None if within is None else round(within, 4),
    }


def by_length(
    keep: pl.Series, length: Ints, raw: Floats, score: Floats, known: Ints
) -> pl.DataFrame:
    """One line per tenth of the scored rows by length: what a chart of score over length needs.

    `known` are the positions of the scored rows; `raw` and `score` (n,) are the score as it came
    and with length taken out.
    """
    frame = pl.DataFrame(
        {
            "bin": length_bins(length[known], BINS),
            "length": length[known],
            "score": raw[known],
            "verdict": score[known],
            "kept": keep.gather(known),
        }
    )
    quartiles = [
        pl.col(name).quantile(share, "linear").alias(f"{name}_{label}")
        for name in ("score", "verdict")
        for label, share in (("low", 0.25), ("median", 0.5), ("high", 0.75))
    ]
    return (
        frame.group_by("bin")
        .agg(
            pl.len().alias("rows"),
            pl.col("kept").sum(),
            pl.col("length").min().alias("length_from"),
            pl.col("length").median().alias("length_median"),
            pl.col("length").max().alias("length_to"),
            *quartiles,
        )
        .sort("bin")
    )
