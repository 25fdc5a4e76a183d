"""What several amounts gave: verdicts at each, and each set beside itself with fewer tokens."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

from curate.base.terminal import printable_line
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
    short_count,
    verdict_text,
)
from curate.proofs.verdicts import Asked, judge
from curate.proofs.win_lines import win_lines

_NAME = 32  # characters of a set's name


@dataclasses.dataclass(frozen=True)
class AmountStep:
    """A set trained on `larger` tokens minus the same set on `smaller`; below 0 more are better."""

    baseline: str
    smaller: int
    larger: int
    comparison: Comparison

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
            f"{name}@{short_count(self.larger)} - {name}@{short_count(self.smaller)}: "
            f"{METRICS[one.metric].title} {bracketed(one, places)}, {seeds} seeds, "
            f"Holm p {p_text(one.holm)}: {verdict_text(one, places)}"
        )


@dataclasses.dataclass(frozen=True)
class AmountProof:
    """A proof for each amount, by the tokens asked for; `steps` are between neighbours, and from
    the smallest to the largest where those are not neighbours. `curve` has all levels.
    """

    proofs: Mapping[int, Proof]
    steps: Sequence[AmountStep]
    curve: Curve

    @property
    def largest(self) -> Proof:
        """The proof at the largest amount."""
        return self.proofs[max(self.proofs)]

    def as_dict(self) -> dict[str, Any]:
        """Plain values for `proof.json`: those of the largest amount, and of all."""
        return {
            **self.largest.as_dict(),
            "sentences": self.lines(),
            "amounts": {str(tokens): each.as_dict() for tokens, each in self.proofs.items()},
            "steps": [each.as_dict() for each in self.steps],
            "curve": self.curve.as_dict(),
        }

    def lines(self) -> list[str]:
        """What a terminal shows: verdicts at each amount, a table, where more stop helping."""
        made: list[str] = []
        for proof in self.proofs.values():
            made += proof.sentences()
        for tokens, proof in self.proofs.items():
            for wins in proof.wins:
                first, *others = win_lines(wins)
                made += ["", f"{first}, at {tokens:,} trained tokens", *others]
        made += ["", "bits per byte by trained tokens", *self._table(), ""]
        made += [each.line(len(self.largest.seeds)) for each in self.steps if _is_selected(each)]
        made += [*self.stop_lines(), ""]
        return [*made, *_NOTES]

    def step_lines(self) -> list[str]:
        """Every step, and where more stop helping, as sentences."""
        lines = [each.line(len(self.largest.seeds)) for each in self.steps]
        return [*lines, *self.stop_lines()]

    def stop_lines(self) -> Iterator[str]:
        """For each set the amount beyond which no step is shown to help."""
        for name, amount in self.curve.stops.items():
            last = int(self.curve.amounts[-1])
            shown = printable_line(name, _NAME)
            if amount is None:
                yield f"{shown}: more still helps at {last:,} trained tokens"
            else:
                yield (
                    f"{shown}: beyond {int(amount):,} trained tokens no step to the next amount is "
                    "shown to help"
                )

    def _table(self) -> list[str]:
        head = ["", *(short_count(each) for each in self.curve.amounts)]
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
    cells: Mapping[int, Sequence[Cell]],
    design: Design,
    asked: Mapping[int, Sequence[Asked]] | None = None,
    base: Cell | None = None,
) -> AmountProof:
    """What the cells of each amount give, ascending; `asked` and `base` as for `judge`.

    Raises CurateError where an amount's cells cannot be compared, or those of two amounts.
    """
    proofs = {
        tokens: judge(each, design, (asked or {}).get(tokens, ()), base)
        for tokens, each in cells.items()
    }
    sides = {tokens: paired(each).cells for tokens, each in cells.items()}
    amounts = list(cells)
    found: dict[tuple[str, str | None], Differences] = {}
    levels: dict[tuple[str, str | None], tuple[float, float]] = {}
    between: dict[tuple[str, str | None], tuple[int, int]] = {}
    lines: dict[str, list[Estimate]] = {}
    for name in sides[amounts[0]]:
        same = {str(tokens): each[name] for tokens, each in sides.items()}
        first = same[str(amounts[0])][0]
        for cell in (cell for each in same.values() for cell in each):
            check_same_prompts(cell, first)
        columns = next(targets for metric, targets in ratios(same) if metric == PRIMARY)
        lines[name] = [level_of(columns, str(tokens)) for tokens in amounts]
        at = dict(zip(amounts, lines[name], strict=True))
        for smaller, larger in _steps(amounts):
            key = name, f"{smaller} {larger}"
            found[key] = differences_of(columns, str(larger), str(smaller))
            levels[key] = at[larger].value, at[smaller].value
            between[key] = smaller, larger
    made = family(PRIMARY, found, levels, design)
    steps = [AmountStep(each.baseline, *between[each.baseline, each.target], each) for each in made]
    stops = {name: _stop(name, steps, amounts) for name in lines}
    title = "Bits per byte by trained tokens"
    return AmountProof(proofs, steps, curve(title, amounts, lines, stops))


def _steps(amounts: Sequence[int]) -> list[tuple[int, int]]:
    """Neighbours, and the two ends."""
    ends = [(amounts[0], amounts[-1])] if len(amounts) > 2 else []
    return [*pairwise(amounts), *ends]


def _stop(name: str, steps: Sequence[AmountStep], amounts: Sequence[int]) -> float | None:
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
