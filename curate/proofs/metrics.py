"""What is compared: each metric as columns over seeds and prompts, read from the cells.

Most are ratios of sums over prompts. Three look at a model's own answer lengths and are no sums.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from curate.base.distances import kolmogorov_smirnov, wasserstein
from curate.proofs.cells import Cell, TargetCell
from curate.proofs.crossed import Floats

INSTRUCTIONS = "instructions"  # stands where a target would


class Metric(NamedTuple):
    """A metric: its title, and which side is better (None where that cannot be said)."""

    title: str
    lower_is_better: bool | None
    is_share: bool = False


class Ratios(NamedTuple):
    """A metric on a target: numerators (seeds, prompts) by baseline, denominators (prompts,)."""

    above: Mapping[str, Floats]
    below: Floats


METRICS = {
    "bits_per_byte": Metric("bits per byte", True),
    "row_bits_per_byte": Metric("bits per byte of a row", True),
    "stopped": Metric("answers that stop", False, True),
    "loops": Metric("answers that loop", True, True),
    "leaked": Metric("answers with control tokens", True, True),
    "strict": Metric("instructions followed", False, True),
    "loose": Metric("instructions followed, loosely", False, True),
    "median_length": Metric("median tokens of an answer", None),
    "length_w1": Metric("W1 of lengths to the target's own, tokens", True),
    "length_ks": Metric("KS of lengths to the target's own", True),
    "win_rate": Metric("wins", False, True),
    "controlled_win_rate": Metric("wins, length-controlled", False, True),
}

_OF_TARGETS: dict[str, Callable[[TargetCell], tuple[Sequence[float], Sequence[float]]]] = {
    "bits_per_byte": lambda cell: (np.divide(cell.nats, math.log(2)).tolist(), cell.bytes),
    "row_bits_per_byte": lambda cell: (
        np.divide(cell.nats, np.multiply(cell.bytes, math.log(2))).tolist(),
        [1.0] * len(cell.bytes),
    ),
    "stopped": lambda cell: (cell.stopped, [1.0] * len(cell.stopped)),
    "loops": lambda cell: (cell.loops, [1.0] * len(cell.loops)),
    "leaked": lambda cell: (cell.leaked, [1.0] * len(cell.leaked)),
}

Cells = Mapping[str, Sequence[Cell]]  # by baseline, in the order of the same seeds


def ratios(cells: Cells) -> Iterator[tuple[str, dict[str, Ratios]]]:
    """Metrics that are ratios, with their columns by target; those that were not measured are not.

    Instructions have prompts of their own, which stand as one target.
    """
    names = _targets(cells)
    for metric, columns in _OF_TARGETS.items():
        found = {name: _ratios(cells, name, columns) for name in names}
        if measured := {name: one for name, one in found.items() if len(one.below)}:
            yield metric, measured
    for metric in ("strict", "loose"):
        kept = {
            baseline: np.array([getattr(cell, metric) for cell in seeds], np.float64)
            for baseline, seeds in cells.items()
        }
        count = min(columns.shape[1] for columns in kept.values())
        if count:
            yield metric, {INSTRUCTIONS: Ratios(kept, np.ones(count))}


def _targets(cells: Cells) -> list[str]:
    return list(next(iter(cells.values()))[0].targets)


def _ratios(
    cells: Cells,
    target: str,
    columns: Callable[[TargetCell], tuple[Sequence[float], Sequence[float]]],
) -> Ratios:
    found = {
        baseline: [columns(cell.targets[target]) for cell in seeds]
        for baseline, seeds in cells.items()
    }
    above = {
        baseline: np.array([one for one, _ in seeds], np.float64)
        for baseline, seeds in found.items()
    }
    below = next(iter(found.values()))[0][1]
    return Ratios(above, np.array(below, np.float64))


def mean_bits(cell: Cell) -> float:
    """Bits per byte of a cell, the plain mean over targets."""
    each = [sum(one.nats) / math.log(2) / sum(one.bytes) for one in cell.targets.values()]
    return sum(each) / len(each)


def length_targets(cells: Cells) -> list[str]:
    """Targets on which all models wrote answers."""
    every = [cell for seeds in cells.values() for cell in seeds]
    return [name for name in _targets(cells) if all(cell.targets[name].lengths for cell in every)]


LENGTHS = ("median_length", "length_w1", "length_ks")


def of_lengths(lengths: Sequence[int], own: Sequence[int]) -> dict[str, float]:
    """The metrics of a model's answer lengths, beside the target's own.

    >>> of_lengths([1, 2, 9], [1, 2, 3])["length_w1"]
    2.0
    """
    one, other = np.asarray(lengths, np.int64), np.asarray(own, np.int64)
    return {
        "median_length": median(lengths),
        "length_w1": wasserstein(one, other),
        "length_ks": kolmogorov_smirnov(one, other),
    }


def median(values: Sequence[int]) -> float:
    """The lower median, which is a value that is there."""
    ordered = np.sort(np.asarray(values))
    return float(ordered[(len(ordered) - 1) // 2])
