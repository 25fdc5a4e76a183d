"""How each step of a run changed the lengths of the responses, in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import polars as pl

from curate.pipeline.run_folder import LEDGER, LENGTHS, collected
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
    words, dropped_at = _counted(run, names)
    shifts = []
    for at, name in enumerate(names):
        before, after = dropped_at[at:].sum(axis=0), dropped_at[at + 1 :].sum(axis=0)
        if 0 < after.sum() < before.sum():
            shifts.append(_shift(name, words, before, after))
    return shifts


def _counted(run: RunFolder, steps: Sequence[str]) -> tuple[Ints, Ints]:
    """The lengths that occur, ascending, and how many rows of each a step dropped.

    The counts have a line for every step, and one for the rows that none dropped.
    """
    number = pl.col("step").replace_strict(steps, range(len(steps)), return_dtype=pl.UInt32)
    drops = run.scan(LEDGER).filter(pl.col("verdict") == "drop").select("row", at=number)
    dropped = collected(drops, run.path / LEDGER).lazy()
    lengths = run.scan(LENGTHS).select("row", "words").join(dropped, on="row", how="left")
    at = pl.col("at").fill_null(len(steps))
    counted = collected(lengths.group_by(at, "words").len(), run.path / LENGTHS)
    words, where = np.unique(counted["words"].cast(pl.Int64).to_numpy(), return_inverse=True)
    counts = np.zeros((len(steps) + 1, len(words)), dtype=np.int64)
    counts[counted["at"].to_numpy(), where] = counted["len"].to_numpy()
    return words, counts


def _shift(step: str, words: Ints, before: Ints, after: Ints) -> LengthShift:
    rows, kept = int(before.sum()), int(after.sum())
    medians = (_median(words, before), _median(words, after))
    means = (float(before @ words) / rows, float(after @ words) / kept)
    return LengthShift(step, rows, kept, medians, means, *distances(words, before, after))


def distances(words: Ints, before: Ints, after: Ints) -> tuple[float, float]:
    """`ks` and `w1` between the rows that are counted for each of `words` (n,), which ascend.

    They are those of `curate.base.distances`, without a list of all rows, and without scipy, whose
    import takes longer than a report.
    """
    gaps = np.abs(np.cumsum(before) / before.sum() - np.cumsum(after) / after.sum())
    return float(gaps.max()), float((gaps[:-1] * np.diff(np.log1p(words))).sum())


def _median(words: Ints, counts: Ints) -> float:
    upto = np.cumsum(counts)
    middle = [(upto[-1] - 1) // 2, upto[-1] // 2]
    return float(words[np.searchsorted(upto, middle, side="right")].mean())
