"""Pieces of the page for what is varied: a curve over amounts, a matrix of two choices."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from xml.etree import ElementTree

from markupsafe import Markup

from curate.base.charts import nice_ticks
from curate.base.errors import CurateError
from curate.base.terminal import printable_line
from curate.proofs.crossed import Estimate
from curate.proofs.sentences import number, short_count

_SIZES = (("wide", 760, 260), ("narrow", 360, 230))  # class, and pixels as drawn
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 14, 10, 40
_LINES = 4  # looks of lines in the style sheet


class Curve(NamedTuple):
    """Bits per byte by amount, a line with a band for each name.

    `stops` has for each name the amount beyond which no step to the next one is shown to help; None
    where the last step does.
    """

    title: str
    across: str
    amounts: tuple[float, ...]
    lines: dict[str, tuple[Estimate, ...]]
    stops: dict[str, float | None]
    is_share: bool = False

    def label(self, amount: float) -> str:
        """An amount at the axis."""
        return f"{100 * amount:g} %" if self.is_share else short_count(amount)

    def place(self, amount: float) -> float:
        """Where an amount stands, 0..1: tokens by their logarithms."""
        first, last, at = (
            each if self.is_share else math.log(each)
            for each in (self.amounts[0], self.amounts[-1], amount)
        )
        return (at - first) / (last - first)

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        lines = {name: [each.as_dict() for each in line] for name, line in self.lines.items()}
        return {**self._asdict(), "lines": lines}


class Matrix(NamedTuple):
    """A value with its interval for each row and column, `shades` 0 (lowest) to 1 (highest)."""

    title: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    values: tuple[tuple[Estimate, ...], ...]
    shades: tuple[tuple[float, ...], ...]
    down: str
    across: str
    unit: str

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        values = [[each.as_dict() for each in row] for row in self.values]
        return {**self._asdict(), "values": values}


def curve(
    title: str,
    amounts: Sequence[float],
    lines: Mapping[str, Sequence[Estimate]],
    stops: Mapping[str, float | None],
    across: str = "trained tokens",
    is_share: bool = False,
) -> Curve:
    """A curve over ascending amounts above 0 (or shares), each with an estimate in every line.

    `stops` are by the paired test of neighbouring amounts, which the bands say little of: those
    hold what prompts add to all amounts alike.

    Raises CurateError for fewer than two amounts, other orders, and lines of another length.
    """
    if len(amounts) < 2 or list(amounts) != sorted(set(amounts)):
        raise CurateError(f"a curve needs two amounts or more, ascending; got {list(amounts)}")
    for name, line in lines.items():
        if len(line) != len(amounts):
            raise CurateError(f"{name!r} has {len(line)} values for {len(amounts)} amounts")
    return Curve(
        title,
        across,
        tuple(amounts),
        {name: tuple(each) for name, each in lines.items()},
        dict(stops),
        is_share,
    )


def matrix(
    title: str,
    rows: Sequence[str],
    columns: Sequence[str],
    values: Sequence[Sequence[Estimate]],
    down: str = "trained with",
    across: str = "prompted with",
    unit: str = "bits per byte",
) -> Matrix:
    """A matrix of estimates. Raises CurateError for another shape than the names have."""
    if len(values) != len(rows) or any(len(row) != len(columns) for row in values):
        raise CurateError(f"a matrix of {len(rows)} by {len(columns)} names has other values")
    every = [each.value for row in values for each in row]
    low, span = min(every), (max(every) - min(every)) or 1.0
    shades = tuple(tuple((each.value - low) / span for each in row) for row in values)
    whole = tuple(tuple(row) for row in values)
    return Matrix(title, tuple(rows), tuple(columns), whole, shades, down, across, unit)


def drawn(found: Curve) -> Markup:
    """The curve as SVG, for wide and for narrow screens."""
    made = [_chart(found, *size) for size in _SIZES]
    # Made of our own shapes and numbers; ElementTree escapes the title and the labels.
    return Markup("").join(Markup(ElementTree.tostring(each, encoding="unicode")) for each in made)


def _chart(found: Curve, name: str, width: int, height: int) -> ElementTree.Element:
    ends = [end for line in found.lines.values() for each in line for end in (each.low, each.high)]
    ticks = nice_ticks(max(ends), min(ends))

    def x(amount: float) -> float:
        return _LEFT + found.place(amount) * (width - _LEFT - _RIGHT)

    def y(value: float) -> float:
        share = (value - ticks[0]) / (ticks[-1] - ticks[0])
        return height - _BOTTOM - share * (height - _TOP - _BOTTOM)

    title = printable_line(found.title)
    root = ElementTree.Element(
        "svg",
        {
            "class": f"chart {name}",
            "viewBox": f"0 0 {width} {height}",
            "role": "img",
            "aria-label": f"{title}: bits per byte by {printable_line(found.across)}",
        },
    )
    _axes(root, found, ticks, (x, y), (width, height))
    for at, line in enumerate(found.lines.values()):
        points = list(zip(found.amounts, line, strict=True))
        there = [(x(amount), y(each.low)) for amount, each in points]
        back = [(x(amount), y(each.high)) for amount, each in reversed(points)]
        look = f"line-of-{at % _LINES}"
        _shape(root, "polygon", f"band {look}", [*there, *back])
        _shape(root, "polyline", f"mean {look}", [(x(a), y(each.value)) for a, each in points])
    return root


def _axes(
    root: ElementTree.Element, found: Curve, ticks: Sequence[float], scales: Any, size: Any
) -> None:
    (x, y), (width, height) = scales, size
    places = max(0, 1 - math.floor(math.log10(ticks[1] - ticks[0])))
    for tick in ticks:
        level = f"{y(tick):.1f}"
        line = {"class": "rule", "x1": str(_LEFT), "x2": str(width - _RIGHT)}
        ElementTree.SubElement(root, "line", {**line, "y1": level, "y2": level})
        _label(root, number(tick, places), _LEFT - 6, y(tick) + 4, "end")
    for amount in _amounts_shown(found.amounts, width):
        _label(root, found.label(amount), x(amount), height - _BOTTOM + 16, "middle")
    middle = (_LEFT + width - _RIGHT) / 2
    _label(root, printable_line(found.across, 60), middle, height - 6, "middle", "title")


def _amounts_shown(amounts: Sequence[float], width: int) -> list[float]:
    """As many as have room for their labels."""
    every = math.ceil(len(amounts) * 48 / (width - _LEFT - _RIGHT))
    return list(amounts)[:: max(1, every)]


def _label(
    root: ElementTree.Element, text: str, x: float, y: float, anchor: str, kind: str = "label"
) -> None:
    where = {"x": f"{x:.1f}", "y": f"{y:.1f}", "text-anchor": anchor, "class": kind}
    ElementTree.SubElement(root, "text", where).text = text


def _shape(
    root: ElementTree.Element, tag: str, kind: str, points: Sequence[tuple[float, float]]
) -> None:
    at = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    ElementTree.SubElement(root, tag, {"class": kind, "points": at})
