"""How each step of a run moved the lengths of the responses, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import polars as pl

from curate.report.spread import Floats, Ints

if TYPE_CHECKING:
    from curate.pipeline.run_folder import RunFolder


class Move(NamedTuple):
    """One step that dropped rows: words of the responses that reached it and of those it kept.

    `ks` is the Kolmogorov-Smirnov distance of the two laws (0: the same, 1: no overlap), `w1`
    the area between them on the scale of log(1 + words); `means` and `medians` are (before, after).
    """

    step: str
    rows: int
    kept: int
    medians: tuple[float, float]
    means: tuple[float, float]
    ks: float
    w1: float


def of_steps(run: RunFolder, lengths: pl.DataFrame) -> list[Move]:
    """The moves of all steps that dropped some of their rows and kept others.

    `lengths` has `row` and `words` of every record, as they were last seen.
    """
    names = [step["name"] for step in run.manifest["steps"]]
    places = pl.DataFrame({"step": names, "place": range(len(names))}, schema_overrides=_PLACES)
    drops = run.ledger.filter(pl.col("verdict") == "drop").select("row", "step")
    gone = drops.join(places, on="step").select("row", "place")
    lived = lengths.join(gone, on="row", how="left")["place"].fill_null(len(names)).to_numpy()
    words: Ints = lengths["words"].cast(pl.Int64).to_numpy()
    found = []
    for place, name in enumerate(names):
        before, after = words[lived >= place], words[lived > place]
        if 0 < len(after) < len(before):
            found.append(_move(name, before, after))
    return found


_PLACES = {"step": pl.String, "place": pl.UInt32}


def _move(step: str, before: Ints, after: Ints) -> Move:
    ks, w1 = distances(before, after)
    medians = (float(np.median(before)), float(np.median(after)))
    means = (float(before.mean()), float(after.mean()))
    return Move(step, len(before), len(after), medians, means, ks, w1)


def distances(one: Ints, other: Ints) -> tuple[float, float]:
    """Kolmogorov-Smirnov, and W1 on log(1 + l), between two sets of lengths.

    >>> distances(np.array([0, 0]), np.array([0, 1]))
    (0.5, 0.34657359027997264)
    """
    values: Ints = np.unique(np.concatenate([one, other]))
    gap = np.abs(_below(one, values) - _below(other, values))
    steps = np.diff(np.log1p(values.astype(np.float64)))
    return float(gap.max()), float((gap[:-1] * steps).sum())


def _below(lengths: Ints, values: Ints) -> Floats:
    """The share of `lengths` at or below each of `values`."""
    found: Floats = np.searchsorted(np.sort(lengths), values, side="right") / len(lengths)
    return found
