"""What several amounts gave: verdicts at each, and each set beside itself with fewer tokens."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

from curate.base.terminal import printable_line
from curate.proofs.axes import TOKENS, Axis
from curate.proofs.cells import SELECTED, Cell
from curate.proofs.checked_cells import check_same_prompts, paired
from curate.proofs.comparisons import BETTER, Comparison, family
from curate.proofs.crossed import Differences, Estimate
from curate.proofs.design import PRIMARY, Design
from curate.proofs.format_results import differences_of, level_of
from curate.proofs.metrics import METRICS, ratios
from curate.proofs.pieces import Curve, curve
from curate.proofs.proof import Proof
from curate.proofs.sentences import (
    aligned,
    bracketed,
    decimals,
    number,
    p_text,
    verdict_text,
)
from curate.proofs.verdicts import Asked, judge
from curate.proofs.win_lines import win_lines

_NAME = 32  # characters of a set's name


@dataclasses.dataclass(frozen=True)
class AmountStep:
    """A set at the `larger` value minus the same set at the `smaller`; below 0 more is better."""

    baseline: str
    smaller: float
    larger: float
    comparison: Comparison
    axis: Axis = TOKENS

    def as_dict(self) -> dict[str, Any]:
        """Plain values for `proof.json`."""
        found = self.comparison.as_dict()
        for name in ("baseline", "target", "redrawn"):
            del found[name]
        values = {"at_larger": found.pop("selected"), "at_smaller": found.pop("other")}
        amounts = {"smaller": self.smaller, "larger": self.larger}
        return {"baseline": self.baseline, **amounts, **values, **found}

    def line(self, seeds: int) -> str:
        """The step in a sentence."""
        one = self.comparison
        places = decimals(one)
        name = printable_line(self.baseline, _NAME)
        return (
            f"{name}@{self.axis.short(self.larger)} - {name}@{self.axis.short(self.smaller)}: "
            f"{METRICS[one.metric].title} {bracketed(one, places)}, {seeds} seeds, "
            f"Holm p {p_text(one.holm)}: {verdict_text(one, places)}"
        )


@dataclasses.dataclass(frozen=True)
class AmountProof:
    """A proof for each amount, by the tokens asked for, or for each share; `steps` are between
    neighbours, and from the smallest to the largest where those are not neighbours. `curve` has all
    levels.
    """

    proofs: Mapping[float, Proof]
    steps: Sequence[AmountStep]
    curve: Curve
    axis: Axis = TOKENS

    @property
    def largest(self) -> Proof:
        """The proof at the largest amount or share."""
        return self.proofs[max(self.proofs)]

    def as_dict(self) -> dict[str, Any]:
        """Plain values for `proof.json`: those of the largest amount or share, and of all."""
        return {
            **self.largest.as_dict(),
            "sentences": self.lines(),
            "amounts": {str(value): each.as_dict() for value, each in self.proofs.items()},
            "steps": [each.as_dict() for each in self.steps],
            "curve": self.curve.as_dict(),
        }

    def lines(self) -> list[str]:
        """What a terminal shows: verdicts at each amount, a table, where more stop helping."""
        made: list[str] = []
        for value, proof in self.proofs.items():
            # What is trained stands in the sentences, a share does not.
            where = f"{self.axis.long(value)}: " if self.axis.is_share else ""
            made += [f"{where}{line}" for line in proof.sentences()]
        for value, proof in self.proofs.items():
            for wins in proof.wins:
                first, *others = win_lines(wins)
                made += ["", f"{first}, at {self.axis.long(value)}", *others]
        made += ["", f"bits per byte by {self.axis.across}", *self._table(), ""]
        made += [each.line(len(self.largest.seeds)) for each in self.steps if _is_selected(each)]
        made += [*self.stop_lines(), ""]
        return [*made, *_NOTES]

    def step_lines(self) -> list[str]:
        """Every step, and where more stop helping, as sentences."""
        lines = [each.line(len(self.largest.seeds)) for each in self.steps]
        return [*lines, *self.stop_lines()]

    def stop_lines(self) -> Iterator[str]:
        """For each set the amount or share beyond which no step is shown to help."""
        what = "share" if self.axis.is_share else "amount"
        for name, value in self.curve.stops.items():
            last = self.curve.amounts[-1]
            shown = printable_line(name, _NAME)
            if value is None:
                yield f"{shown}: more still helps at {self.axis.long(last)}"
            else:
                yield (
                    f"{shown}: beyond {self.axis.long(value)} no step to the next {what} is shown "
                    "to help"
                )

    def _table(self) -> list[str]:
        head = ["", *(self.axis.short(each) for each in self.curve.amounts)]
        rows = [
            [printable_line(name, _NAME), *(_cell(each) for each in line)]
            for name, line in self.curve.lines.items()
        ]
        return aligned([head, *rows])


_NOTES = (
    "in brackets: 95 % intervals over seeds and prompts, each alone",
    "verdicts at an amount are adjusted for its baselines, steps for all steps of all sets",
)


def _is_selected(step: AmountStep) -> bool:
    return step.baseline == SELECTED


def _cell(each: Estimate) -> str:
    return f"{number(each.value, 3)} ({number(each.low, 3)} to {number(each.high, 3)})"


def judge_amounts(
    cells: Mapping[float, Sequence[Cell]],
    design: Design,
    asked: Mapping[float, Sequence[Asked]] | None = None,
    base: Cell | None = None,
    axis: Axis = TOKENS,
) -> AmountProof:
    """What the cells of each amount, or share, give, ascending; `asked` and `base` as for `judge`.

    Steps are of all sets; where shares are varied, of the selected rows alone: baselines are the
    same at all shares.

    Raises CurateError where an amount's cells cannot be compared, or those of two amounts.
    """
    said = asked or {}
    proofs = {
        value: judge(each, design, said.get(value, ()), base) for value, each in cells.items()
    }
    sides = {value: paired(each).cells for value, each in cells.items()}
    values = list(cells)
    found: dict[tuple[str, str | None], Differences] = {}
    levels: dict[tuple[str, str | None], tuple[float, float]] = {}
    between: dict[tuple[str, str | None], tuple[float, float]] = {}
    lines: dict[str, list[Estimate]] = {}
    for name in sides[values[0]]:
        same = {str(value): each[name] for value, each in sides.items()}
        first = same[str(values[0])][0]
        for cell in (cell for each in same.values() for cell in each):
            check_same_prompts(cell, first)
        columns = next(targets for metric, targets in ratios(same) if metric == PRIMARY)
        lines[name] = [level_of(columns, str(value)) for value in values]
        at = dict(zip(values, lines[name], strict=True))
        for smaller, larger in _steps(values) if _is_varied(name, axis) else ():
            key = name, f"{smaller} {larger}"
            found[key] = differences_of(columns, str(larger), str(smaller))
            levels[key] = at[larger].value, at[smaller].value
            between[key] = smaller, larger
    made = family(PRIMARY, found, levels, design)
    steps = [
        AmountStep(each.baseline, *between[each.baseline, each.target], each, axis) for each in made
    ]
    stops = {name: _stop(name, steps, values) for name in lines if _is_varied(name, axis)}
    title = f"Bits per byte by {axis.across}"
    drawn = curve(title, values, lines, stops, axis.across, is_share=axis.is_share)
    return AmountProof(proofs, steps, drawn, axis)


def _is_varied(name: str, axis: Axis) -> bool:
    return name == SELECTED or not axis.is_share


def _steps(amounts: Sequence[float]) -> list[tuple[float, float]]:
    """Neighbours, and the two ends."""
    ends = [(amounts[0], amounts[-1])] if len(amounts) > 2 else []
    return [*pairwise(amounts), *ends]


def _stop(name: str, steps: Sequence[AmountStep], amounts: Sequence[float]) -> float | None:
    """The smallest amount beyond which no step to a neighbour helps; None where the last does."""
    neighbours = set(pairwise(amounts))
    helped = [
        each.larger
        for each in steps
        if each.baseline == name
        and (each.smaller, each.larger) in neighbours
        and each.comparison.verdict == BETTER
    ]
    highest = max(helped, default=amounts[0])
    return None if highest == amounts[-1] else float(highest)
