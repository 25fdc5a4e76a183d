"""Charts as SVG: drawn by pygal, then stripped of its styles, scripts, identifiers and dates.

What is left has the same bytes for the same numbers, and its colours come from a style sheet, by
the classes that curves are given.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Sequence
from typing import Any
from xml.etree import ElementTree

_UNUSED = ("defs", "title", "desc")
_DECIMALS = re.compile(r"-?\d+\.\d+")


def nice_ticks(high: float, low: float = 0.0, about: int = 5) -> list[float]:
    """Round numbers from at most `low` to at least `high`.

    >>> nice_ticks(87)
    [0.0, 20.0, 40.0, 60.0, 80.0, 100.0]
    """
    span = (high - low) or abs(high) or 1.0
    power = 10.0 ** math.floor(math.log10(span / about))
    step = next(power * times for times in (1, 2, 5, 10) if power * times * about >= span * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [float(f"{step * place:.12g}") for place in range(first, max(last, first + 1) + 1)]


def plain_svg(chart: Any, names: Sequence[str], without: Collection[str]) -> ElementTree.Element:
    """A pygal chart as an SVG element without attributes of its own.

    `names` are the classes of its curves, and of their legends, in order; groups of a class in
    `without` are left out.
    """
    # ElementTree's own parser drops the comments, one of which holds today's date.
    root = ElementTree.fromstring(chart.render())
    _strip(root, names, without)
    root.attrib = {}
    return root


def _strip(parent: ElementTree.Element, names: Sequence[str], without: Collection[str]) -> None:
    """Keep shapes and labels, name the curves, drop what is for pygal's own scripts."""
    parent.tag = parent.tag.rpartition("}")[2]
    for child in list(parent):
        if child.tag.rpartition("}")[2] in _UNUSED or child.get("class") in without:
            parent.remove(child)
        else:
            _strip(child, names, without)
    series = re.match(r"series serie-(\d+)", parent.get("class", ""))
    legend = re.match(r"activate-serie-(\d+)", parent.attrib.pop("id", ""))
    if series:
        parent.set("class", f"series {names[int(series[1])]}")
    elif legend:
        parent.set("class", f"legend {names[int(legend[1])]}")
    for name in ("d", "x", "y", "cx", "cy"):
        if name in parent.attrib:
            parent.set(name, _DECIMALS.sub(_shorter, parent.attrib[name]))


def _shorter(number: re.Match[str]) -> str:
    return f"{float(number[0]):.1f}"
