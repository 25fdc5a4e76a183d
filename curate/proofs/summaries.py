"""A baseline over its seeds: what was trained, and what its models did."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from curate.proofs.cells import Cell, TargetCell
from curate.proofs.checked_cells import Paired
from curate.proofs.metrics import median, of_lengths


@dataclasses.dataclass(frozen=True)
class TargetLevels:
    """What a baseline's models did on one target, a value for each seed.

    The columns of answers are empty where none were written. `own_length` is the median of the
    held-out answers, in tokens as all lengths.
    """

    prompts: int
    bits_per_byte: tuple[float, ...]
    own_length: float
    stopped: tuple[float, ...] = ()
    loops: tuple[float, ...] = ()
    median_length: tuple[float, ...] = ()
    length_w1: tuple[float, ...] = ()
    length_ks: tuple[float, ...] = ()


@dataclasses.dataclass(frozen=True)
class Summary:
    """One baseline over its seeds: medians of what was trained, means of what came of it.

    `length` is of the trained answers, `written` of the models' own (None where none were written;
    then `stopped` is None too), in tokens. `by_seed` names
    the rows by their hash.
    """

    baseline: str
    rows: float
    tokens: float
    steps: float
    epochs: float
    length: float
    final_loss: float
    by_seed: dict[str, str]
    targets: dict[str, TargetLevels]
    written: float | None
    stopped: float | None
    strict: float | None
    loose: float | None


def summaries(sides: Paired) -> list[Summary]:
    """Selected rows and baselines, in order."""
    return [_summary(name, cells) for name, cells in sides.cells.items()]


def _summary(name: str, cells: Sequence[Cell]) -> Summary:
    targets = {
        target: _levels([cell.targets[target] for cell in cells]) for target in cells[0].targets
    }
    written = [each for each in targets.values() if each.median_length]

    def middle(field: str) -> float:
        return float(np.median([getattr(cell, field) for cell in cells]))

    def mean(values: Sequence[Sequence[float]]) -> float | None:
        return float(np.mean(values)) if len(values) and len(values[0]) else None

    return Summary(
        baseline=name,
        rows=middle("rows"),
        tokens=middle("tokens"),
        steps=middle("steps"),
        epochs=middle("epochs"),
        length=middle("median_length"),
        final_loss=middle("final_loss"),
        by_seed={str(cell.seed): cell.rows_sha256 for cell in cells},
        targets=targets,
        written=mean([each.median_length for each in written]),
        stopped=mean([each.stopped for each in written]),
        strict=mean([cell.strict for cell in cells]),
        loose=mean([cell.loose for cell in cells]),
    )


def _levels(cells: Sequence[TargetCell]) -> TargetLevels:
    """One target, seed by seed."""
    bits = tuple(sum(cell.nats) / math.log(2) / sum(cell.bytes) for cell in cells)
    own = median(cells[0].own_lengths)
    if not cells[0].lengths:
        return TargetLevels(len(cells[0].prompts), bits, own)
    lengths = [of_lengths(cell.lengths, cell.own_lengths) for cell in cells]
    return TargetLevels(
        len(cells[0].prompts),
        bits,
        own,
        tuple(float(np.mean(cell.stopped)) for cell in cells),
        tuple(float(np.mean(cell.loops)) for cell in cells),
        **{name: tuple(each[name] for each in lengths) for name in lengths[0]},
    )
