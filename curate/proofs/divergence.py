"""Trainings that made held-out answers much worse than they were before: said, not left out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from curate.base.terminal import printable_line
from curate.proofs.cells import Cell
from curate.proofs.metrics import mean_bits

MUCH = 1.1  # times the bits per byte before training
_NAME = 80  # characters of a set's name


def diverged(cells: Sequence[Cell], base: Cell) -> Iterator[str]:
    """A sentence for each set with such trainings; `base` is the model before training.

    A loss that is no number stops a training, and the proof with it.
    """
    before = mean_bits(base)
    for name in dict.fromkeys(cell.baseline for cell in cells):
        own = [cell for cell in cells if cell.baseline == name]
        worse = {cell.seed: mean_bits(cell) / before for cell in own}
        far = {seed: times for seed, times in worse.items() if times > MUCH}
        if far:
            seeds = ", ".join(f"seed {seed} by {times - 1:.0%}" for seed, times in far.items())
            yield (
                f"{printable_line(name, _NAME)}: {len(far):,} of {len(own):,} trainings made the "
                f"held-out answers more than {MUCH - 1:.0%} worse than before training ({seeds}): "
                f"they diverged, or learnt something else altogether; try a lower learning_rate"
            )
