"""How lengths and scores are distributed: bins, quantiles, concentration."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from curate.pipeline.run_folder import LEDGER, collected

if TYPE_CHECKING:
    from curate.pipeline.run_folder import RunFolder

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
SCORE_BINS = 40


LINES = 3  # thresholds in one chart, each with dashes of its own


class Histogram(NamedTuple):
    """Rows per bin: `edges` (n + 1,) and, for each named group, `heights` (n,)."""

    edges: Floats
    heights: dict[str, Floats]


class Summary(NamedTuple):
    """Lengths of one group of rows, in words."""

    name: str
    rows: int
    quantiles: tuple[float, ...]  # at QUANTILES
    largest: int
    mean: float
    share: float  # rows in the densest window of +-10 %
    centre: int  # where that window is

    @property
    def low(self) -> int:
        """The least length in the densest window."""
        return -(-9 * self.centre // 10)

    @property
    def high(self) -> int:
        """The greatest length in the densest window."""
        return 11 * self.centre // 10


class Scores(NamedTuple):
    """One step's scores: shares of each group per bin, and the line between the groups."""

    step: str
    rows: dict[str, int]
    histogram: Histogram
    logarithmic: bool
    between: tuple[float, float] | None  # nearest scores of the two groups, if they do not overlap
    thresholds: tuple[tuple[str, float], ...] = ()  # what the step compared them with, by setting
    corrected: str = ""  # the method that corrected them for length: not the scale they came on

    @property
    def lines(self) -> list[tuple[str, float]]:
        """What the chart draws: thresholds within its range, else where the groups separate."""
        low, high = float(self.histogram.edges[0]), float(self.histogram.edges[-1])
        inside = [(name, at) for name, at in self.thresholds if low <= at <= high]
        if self.thresholds or self.between is None:
            return inside[:LINES]
        return [("", sum(self.between) / 2)]


def length_histogram(words: Ints, kept: NDArray[np.bool_]) -> Histogram:
    """Rows per log-spaced bin, of all rows and of those kept."""
    edges = length_edges(int(words.max(initial=1)))
    groups = {"read": words, "kept": words[kept]}
    heights = {name: np.histogram(group, edges)[0] for name, group in groups.items()}
    return Histogram(edges, {name: rows.astype(np.float64) for name, rows in heights.items()})


def length_edges(largest: int) -> Floats:
    """Whole-number edges from 0 to beyond `largest`, each about a fifth above the one before.

    Bins of whole numbers, so that none is empty merely because no whole number lies in it.
    """
    edges = [0]
    while edges[-1] <= largest:
        edges.append(max(edges[-1] + 1, round((edges[-1] + 1) * 1.2) - 1))
    return np.array(edges, dtype=np.float64)


def summary(name: str, words: Ints) -> Summary:
    """Quantiles, mean and concentration; all zero for no rows."""
    if not len(words):
        return Summary(name, 0, (0.0,) * len(QUANTILES), 0, 0.0, 0.0, 0)
    quantiles = tuple(float(value) for value in np.quantile(words, QUANTILES))
    share, centre = densest(words)
    mean = float(words.mean())
    return Summary(name, len(words), quantiles, int(words.max()), mean, share, centre)


def densest(words: Ints) -> tuple[float, int]:
    """The largest share of rows within 10 % of one length m >= 10, and the smallest such m."""
    upto = np.concatenate([[0], np.cumsum(np.bincount(words))])
    centres = np.arange(10, max(11, len(upto)))
    # In whole numbers: 0.9 and 1.1 in floating point move the edges.
    low, high = -(-9 * centres // 10), 11 * centres // 10 + 1
    last = len(upto) - 1
    inside = upto[np.minimum(high, last)] - upto[np.minimum(low, last)]
    best = int(inside.argmax())
    return float(inside[best]) / len(words), int(centres[best])


def scores(run: RunFolder) -> list[Scores]:
    """The scores of every step that gave more than two different ones, in the funnel's order."""
    # Beyond these bounds differences are no longer finite; no measurement means that.
    scored = run.scan(LEDGER).filter(pl.col("score").is_between(-1e100, 1e100))
    charts = []
    for step in run.manifest["steps"]:
        of_this = scored.filter(pl.col("step") == step["name"]).select("verdict", "score")
        mine = collected(of_this, run.path / LEDGER)
        if mine["score"].n_unique() > 2:
            numbers = step.get("numbers", {})
            thresholds = tuple(numbers.get("thresholds", {}).items())
            method = numbers.get("method", "none")
            corrected = "" if method == "none" else method
            drawn = of_step(step["name"], mine)
            charts.append(drawn._replace(thresholds=thresholds, corrected=corrected))
    return charts


def of_step(step: str, scored: pl.DataFrame) -> Scores:
    """Histogram of one step's scores; `scored` has `verdict` and `score`."""
    groups = {
        name: scored.filter(pl.col("verdict") == verdict)["score"].to_numpy()
        for name, verdict in (("kept", "keep"), ("dropped", "drop"))
    }
    everything = scored["score"].to_numpy()
    low, high = float(everything.min()), float(everything.max())
    # Counts of words and the like: a few huge ones would press the others into one bin.
    logarithmic = low >= 0 and high > 20 * max(float(np.median(everything)), 1.0)
    edges = _score_edges(everything, logarithmic)
    heights = {
        name: np.histogram(values, edges)[0] / len(values)
        for name, values in groups.items()
        if len(values)
    }
    rows = {name: len(values) for name, values in groups.items()}
    return Scores(step, rows, Histogram(edges, heights), logarithmic, _between(groups))


def _score_edges(values: Floats, logarithmic: bool) -> Floats:
    """Bin edges over all values; of whole numbers when the values are, lest some stay empty."""
    low, high = float(values.min()), float(values.max())
    integers = bool((values == np.round(values)).all())
    if integers and logarithmic:
        edges = length_edges(int(high))
        return edges[max(0, int(np.searchsorted(edges, low, side="right")) - 1) :]
    if integers:
        width = math.ceil((high - low + 1) / SCORE_BINS)
        return np.arange(low, high + width + 1, width)
    if logarithmic:
        edges = np.expm1(np.linspace(math.log1p(low), math.log1p(high), SCORE_BINS + 1))
        edges[0], edges[-1] = low, high  # rounding must not shut out the extremes
        return edges
    return np.linspace(low, high, SCORE_BINS + 1)


def _between(groups: dict[str, Floats]) -> tuple[float, float] | None:
    kept, dropped = groups["kept"], groups["dropped"]
    for lower, upper in ((kept, dropped), (dropped, kept)):
        if len(lower) and len(upper) and lower.max() < upper.min():
            return float(lower.max()), float(upper.min())
    return None
