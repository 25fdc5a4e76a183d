"""Some answers to be read side by side: what each side's model wrote to the same prompt."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from curate.proofs.checked_cells import Paired
from curate.proofs.metrics import length_targets

OF_TARGET = 3  # prompts shown


class Shown(NamedTuple):
    """One prompt of a target, the `at`-th, and the answers by baseline, of one seed's models."""

    target: str
    at: int
    prompt: str
    seed: int
    answers: Mapping[str, str]


def shown_answers(sides: Paired) -> list[Shown]:
    """Prompts spread over each target, of the first seed; none where no answers were kept.

    They are chosen by their place alone, so that nobody chose them by what was answered.
    """
    found = []
    for target in length_targets(sides.cells):
        cells = {name: seeds[0].targets[target] for name, seeds in sides.cells.items()}
        first = next(iter(cells.values()))
        count = len(first.answers)
        if not count or any(len(cell.answers) != count for cell in cells.values()):
            continue
        for at in sorted({count * part // OF_TARGET for part in range(OF_TARGET)}):
            answers = {name: cell.answers[at] for name, cell in cells.items()}
            found.append(Shown(target, at, first.prompts[at], sides.seeds[0], answers))
    return found
