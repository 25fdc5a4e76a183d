"""Charts as inline SVG.

Colours come from the page's style sheet, by class, so that they follow light and dark. A wide
chart is drawn a second time for narrow screens, so that its text stays readable.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple
from xml.etree import ElementTree

import numpy as np
from markupsafe import Markup

from curate.base.charts import nice_ticks, plain_svg
from curate.base.terminal import printable
from curate.report.histograms import Histogram, Scores, Summary

Size = tuple[str, int, int]  # its name, and pixels as drawn
WIDE, NARROW = ("wide", 760, 250), ("narrow", 360, 210)
LENGTH_TICKS = (0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 100_000, 1_000_000)
FEW_LENGTH_TICKS = (0, 1, 3, 10, 30, 100, 300, 1000, 10_000, 100_000, 1_000_000)


class Curve(NamedTuple):
    """A named outline; the name is its class in the style sheet."""

    name: str
    points: list[tuple[float, float]]


class Tick(NamedTuple):
    """A label of an axis, and where it stands on it."""

    at: float
    label: str


def lengths(histogram: Histogram, summaries: Sequence[Summary]) -> Markup:
    """Rows by words of the response, read behind kept, with both medians."""
    scaled = np.log10(1 + histogram.edges)
    medians = {
        f"median-{group.name}": math.log10(1 + group.quantiles[2])
        for group in summaries
        if group.rows and group.name in histogram.heights
    }
    curves, ticks = _curves(scaled, histogram.heights, medians)
    last = float(histogram.edges[-1])
    y = [Tick(rows, f"{rows:,.0f}") for rows in ticks]
    title = "Rows by words of the response, read and kept"
    charts = []
    for lengths, size in ((LENGTH_TICKS, WIDE), (FEW_LENGTH_TICKS, NARROW)):
        x = [Tick(math.log10(1 + words), f"{words:,}") for words in lengths if words <= last]
        charts.append(drawn(curves, x, y, title, size))
    return Markup("").join(charts)


class Strip(NamedTuple):
    """A box plot on the scale of log(1 + words), as shares of the widest whisker's end."""

    whisker: tuple[float, float]  # 5 % to 95 %
    box: tuple[float, float]  # 25 % to 75 %
    median: float


def log_strip(quantiles: Sequence[float], longest: float) -> Strip:
    """The box plot of lengths with these quantiles (5, 25, 50, 75, 95 %); `longest` is its end."""
    scale = math.log1p(longest) or 1.0
    low, lower, median, upper, high = (math.log1p(length) / scale for length in quantiles)
    return Strip((low, high), (lower, upper), median)


def strips(summaries: Sequence[Summary]) -> list[Strip]:
    """One box plot per group, all on the same scale."""
    longest = max(summary.quantiles[-1] for summary in summaries)
    return [log_strip(summary.quantiles, longest) for summary in summaries]


def scores(step: Scores) -> Markup:
    """Shares of kept and of dropped rows by score, with the thresholds, or where they separate."""
    edges = step.histogram.edges
    scaled = np.log1p(edges) if step.logarithmic else edges
    lines = {
        f"line-{number}": math.log1p(value) if step.logarithmic else value
        for number, (_, value) in enumerate(step.lines, 1)
    }
    curves, ticks = _curves(scaled, step.histogram.heights, lines)
    x = _score_ticks(step)
    few = x[::2] if len(x) > 6 else x
    y = [Tick(value, f"{100 * value:g} %") for value in ticks]
    return drawn(curves, few, y, f"Scores of step {printable(step.step)}", NARROW)


def _curves(
    edges: np.ndarray, heights: Mapping[str, np.ndarray], lines: Mapping[str, float]
) -> tuple[list[Curve], list[float]]:
    """The outlines of groups with upright lines among them, and the ticks of the y axis."""
    ticks = nice_ticks(max(float(group.max()) for group in heights.values()))
    curves = [Curve(name, outline(edges, group)) for name, group in heights.items()]
    upright = [Curve(name, [(at, 0), (at, ticks[-1])]) for name, at in lines.items()]
    return curves + upright, ticks


def _score_ticks(step: Scores) -> list[Tick]:
    low, high = float(step.histogram.edges[0]), float(step.histogram.edges[-1])
    if step.logarithmic:
        chosen = [value for value in LENGTH_TICKS if low <= value <= high]
        return [Tick(math.log1p(value), f"{value:,}") for value in chosen]
    return [Tick(value, f"{value:,g}") for value in nice_ticks(high, low) if low <= value <= high]


def outline(edges: np.ndarray, heights: np.ndarray) -> list[tuple[float, float]]:
    """The steps of a histogram, from the axis and back to it, without points on a level line."""
    points = [(float(edges[0]), 0.0)]
    for left, height in zip(edges.tolist(), heights.tolist(), strict=False):
        if height != points[-1][1]:
            points += [(left, points[-1][1]), (left, height)]
    last = float(edges[-1])
    return [*points, (last, points[-1][1]), (last, 0.0)]


def drawn(
    curves: Sequence[Curve],
    x: Sequence[Tick],
    y: Sequence[Tick],
    title: str,
    size: Size,
    filled: bool = True,
) -> Markup:
    """The chart as SVG of a class called like its size; curves are `filled` down to the axis."""
    import pygal

    name, width, height = size
    across = [at for curve in curves for at, _ in curve.points]
    chart = pygal.XY(
        width=width,
        height=height,
        margin=4,
        margin_right=16,
        js=[],
        fill=filled,
        show_dots=False,
        show_legend=False,
        xrange=(min(across), max(across)),
        range=(0, y[-1].at),
        x_labels=[{"value": tick.at, "label": tick.label} for tick in x],
        y_labels=[{"value": tick.at, "label": tick.label} for tick in y],
        show_x_guides=False,
        truncate_label=-1,
    )
    for curve in curves:
        chart.add(curve.name, curve.points)
    root = plain_svg(chart, [curve.name for curve in curves], _EMPTY_GROUPS)
    root.attrib = {
        "class": f"chart {name}",
        "viewBox": f"0 0 {width} {height}",
        "role": "img",
        "aria-label": title,
    }
    # Made of our own names and numbers; ElementTree has escaped the title, the only text.
    return Markup(ElementTree.tostring(root, encoding="unicode"))


_EMPTY_GROUPS = ("titles", "plot overlay", "plot text-overlay", "plot tooltip-overlay")
