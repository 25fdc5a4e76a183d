"""The forest plot: every comparison as an interval on one scale, as shares of the scale's width."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from curate.base.charts import nice_ticks
from curate.proofs.comparisons import Comparison
from curate.proofs.sentences import decimals, number

_TICKS = 8  # about so many
_REACH = 1.5  # by how much the scale goes beyond the intervals over all targets


class Scale(NamedTuple):
    """From `low` to `high`, in the metric's unit."""

    low: float
    high: float

    def at(self, value: float) -> float:
        """Where a value stands, 0..1; what is beyond an end stands there."""
        return min(max((value - self.low) / (self.high - self.low), 0.0), 1.0)


class Bar(NamedTuple):
    """A comparison on the scale; `cut` says which ends of its interval lie beyond it."""

    comparison: Comparison
    low: float
    point: float
    high: float
    cut: tuple[bool, bool]


class Group(NamedTuple):
    """A baseline: over all targets first, then target by target; its margin on the scale."""

    baseline: str
    bars: list[Bar]
    margin: tuple[float, float]


class Forest(NamedTuple):
    """All groups with their common scale: where 0 is, and the ticks with their labels."""

    groups: list[Group]
    zero: float
    ticks: list[tuple[float, str]]


def forest(primary: Sequence[Comparison]) -> Forest:
    """The plot of the primary comparisons, which are one or more."""
    scale = _scale(primary)
    names = dict.fromkeys(each.baseline for each in primary)
    groups = [_group(name, primary, scale) for name in names]
    ticks = nice_ticks(scale.high, scale.low, _TICKS)
    inside = [tick for tick in ticks if scale.low <= tick <= scale.high]
    places = max(decimals(each) for each in primary)
    labels = [number(tick, places) for tick in inside]
    # No more digits than the ticks have.
    while places > 1 and all(label.endswith("0") for label in labels):
        places -= 1
        labels = [number(tick, places) for tick in inside]
    placed = [(scale.at(tick), label) for tick, label in zip(inside, labels, strict=True)]
    return Forest(groups, scale.at(0.0), placed)


def _scale(primary: Sequence[Comparison]) -> Scale:
    """Wide enough for the intervals over all targets, the points and the margins.

    A single target's interval may be far wider; it is cut rather than pressing the others together.
    """
    overall = [each.difference for each in primary if each.target is None]
    points = [each.difference.value for each in primary]
    margins = [each.margin or 0.0 for each in primary]
    low = min(*(each.low * _REACH for each in overall), *points, -max(margins))
    high = max(*(each.high * _REACH for each in overall), *points, max(margins))
    room = 0.05 * (high - low) or 1.0
    return Scale(low - room, high + room)


def _group(name: str, primary: Sequence[Comparison], scale: Scale) -> Group:
    own = [each for each in primary if each.baseline == name]
    own.sort(key=lambda each: each.target is not None)
    margin = own[0].margin or 0.0
    return Group(name, [_bar(each, scale) for each in own], (scale.at(-margin), scale.at(margin)))


def _bar(comparison: Comparison, scale: Scale) -> Bar:
    found = comparison.difference
    cut = found.low < scale.low, found.high > scale.high
    return Bar(comparison, scale.at(found.low), scale.at(found.value), scale.at(found.high), cut)
