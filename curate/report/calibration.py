"""What steps that judge lengths found out: the verdict, and kinds of request with their target."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from curate.report.charts import Strip

if TYPE_CHECKING:
    from curate.pipeline.run_folder import RunFolder

KINDS = 16  # kinds of request shown, the commonest
_SHOWN = ("0.05", "0.25", "0.5", "0.75", "0.95")
_LENGTHS = {"unit", "before", "after", "shift", "target", "impossible", "groups"}


class Kind(NamedTuple):
    """One kind of request: its rows, its lengths before, after and as they are meant to be."""

    name: str
    rows: int
    kept: int
    before: Strip
    after: Strip | None
    target: Strip | None
    medians: tuple[int, int | None, int | None]  # before, after, target
    ks: float | None


class Calibration(NamedTuple):
    """A step's findings about lengths; the first of `kinds` is the set as a whole."""

    step: str
    unit: str
    before: str  # pass, warn or flag
    after: str | None
    sentences: tuple[str, ...]
    kinds: list[Kind]
    more: int

    @property
    def aims(self) -> bool:
        """Whether the step had a target."""
        return any(kind.target for kind in self.kinds)


def of_run(run: RunFolder) -> list[Calibration]:
    """The findings of all steps that diagnosed lengths, in the funnel's order."""
    return [
        _calibration(step)
        for step in run.manifest["steps"]
        if set(step.get("numbers", {})) >= _LENGTHS and step["rows"]
    ]


def _calibration(step: Mapping[str, Any]) -> Calibration:
    numbers = step["numbers"]
    before, after, target = numbers["before"], numbers["after"], numbers["target"]
    whole = {
        "group": "all",
        "rows": step["rows"],
        "kept": step["kept"],
        "before": before["quantiles"],
        "after": after["quantiles"] if after and after["rows"] else None,
        "target": target and target["quantiles"],
        "ks": numbers["shift"] and numbers["shift"]["ks"],
    }
    moved = after is not None
    lines = [whole, *numbers["groups"][:KINDS]]
    ends = [line[side]["0.95"] for line in lines for side in _SIDES if line[side]]
    scale = math.log1p(max(ends)) or 1.0
    return Calibration(
        step=step["name"],
        unit=numbers["unit"],
        before=before["verdict"],
        after=after["verdict"] if moved else None,
        sentences=tuple(step["sentences"]),
        kinds=[_kind(line, scale, moved=moved) for line in lines],
        more=max(0, len(numbers["groups"]) - KINDS),
    )


_SIDES = ("before", "after", "target")


def _kind(line: Mapping[str, Any], scale: float, *, moved: bool) -> Kind:
    after = line["after"] if moved else None
    target = line["target"]
    return Kind(
        name=line["group"],
        rows=line["rows"],
        kept=line["kept"],
        before=_strip(line["before"], scale),
        after=_strip(after, scale) if after else None,
        target=_strip(target, scale) if target else None,
        medians=(line["before"]["0.5"], after and after["0.5"], target and target["0.5"]),
        ks=line["ks"] if moved else None,
    )


def _strip(quantiles: Mapping[str, int], scale: float) -> Strip:
    shown: Sequence[int] = [quantiles[share] for share in _SHOWN]
    low, lower, median, upper, high = (math.log1p(value) / scale for value in shown)
    return Strip((low, high), (lower, upper), median)
