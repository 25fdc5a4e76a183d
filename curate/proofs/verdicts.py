"""From cells to a proof: every comparison with its interval, p value and verdict.

    judge(cells: Sequence[Cell], design: Design = Design(), asked: Sequence[Asked] = ()) -> Proof
    estimate_of(cells: Sequence[Cell]) -> Estimate
    Proof.as_dict() -> dict        plain values for `proof.json`
    Proof.lines() -> list[str]     for the terminal
    curate.proofs.page.write_page(proof, about, path)

A proof is a pure function of its cells and its design: it can be taken again without a model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from curate.proofs.answers import shown_answers
from curate.proofs.cells import SELECTED, Cell
from curate.proofs.checked_cells import Paired, check_same_prompts, paired
from curate.proofs.comparisons import Comparison, Key, family
from curate.proofs.crossed import (
    Differences,
    Estimate,
    Floats,
    interval,
    mean_differences,
    ratio_differences,
    redrawn_differences,
)
from curate.proofs.design import LEVEL, PRIMARY, Design
from curate.proofs.divergence import diverged
from curate.proofs.metrics import LENGTHS, Ratios, length_targets, of_lengths, ratios
from curate.proofs.proof import Proof
from curate.proofs.redraws import redrawn, redrawn_lengths
from curate.proofs.scored_answers import ByTarget
from curate.proofs.summaries import summaries
from curate.proofs.win_rates import win_rates

LENGTH_DRAWS = 500  # of prompts, for the variance of medians and distances


class Asked(NamedTuple):
    """Who compared answers, and what came of it by baseline and seed: 1 where selected wins."""

    kind: str
    name: str
    outcomes: Mapping[tuple[str, int], ByTarget]


def judge(
    cells: Sequence[Cell],
    design: Design | None = None,
    asked: Sequence[Asked] = (),
    base: Cell | None = None,
) -> Proof:
    """The proof that these cells give; `asked` is about the answers that they hold.

    `base` is of the model before training, beside which trainings that went wrong are seen.

    Raises CurateError where nothing can be compared: no selected rows, no baseline, fewer than two
    seeds in common, or other prompts in one cell than in another.
    """
    design = design or Design()
    sides = paired(cells)
    primary: list[Comparison] = []
    secondary: list[Comparison] = []
    for metric, targets in ratios(sides.cells):
        if metric == PRIMARY:
            beside = redrawn(targets, SELECTED, design.draws, design.seed)
            primary = _families(metric, targets, sides, design, beside)
        else:
            secondary += _families(metric, targets, sides, design, {})
    secondary += _length_families(sides, design)
    return Proof(
        design,
        sides.seeds,
        sides.left_out,
        summaries(sides),
        primary,
        secondary,
        shown_answers(sides),
        [win_rates(each.kind, each.name, sides.cells, each.outcomes, design) for each in asked],
        [] if base is None else list(diverged(cells, base)),
    )


def estimate_of(cells: Sequence[Cell]) -> Estimate:
    """Bits per byte of one baseline over its seeds and prompts, with a 95 % interval.

    The plain mean over targets. Needs at least two seeds, measured on the same prompts; raises
    CurateError for other prompts.
    """
    for cell in cells:
        check_same_prompts(cell, cells[0])
    _, targets = next(ratios({"": cells}))
    found = [
        ratio_differences(each.above[""], np.zeros_like(each.above[""]), each.below)
        for each in targets.values()
    ]
    return interval(mean_differences(found), LEVEL)


def _families(
    metric: str,
    targets: Mapping[str, Ratios],
    sides: Paired,
    design: Design,
    beside: Mapping[Key, Estimate],
) -> list[Comparison]:
    """Over all targets, then on each: two families."""
    others = [name for name in sides.cells if name != SELECTED]
    found: dict[Key, Differences] = {}
    levels: dict[Key, tuple[float, float]] = {}
    for name in others:
        for target, each in targets.items():
            one, other = each.above[SELECTED], each.above[name]
            found[name, target] = ratio_differences(one, other, each.below)
            levels[name, target] = _ratio(one, each), _ratio(other, each)
    return _both(metric, found, levels, design, beside)


def _ratio(above: Floats, ratios: Ratios) -> float:
    """The mean over seeds."""
    return float((above.sum(axis=1) / ratios.below.sum()).mean())


def _both(
    metric: str,
    found: dict[Key, Differences],
    levels: dict[Key, tuple[float, float]],
    design: Design,
    beside: Mapping[Key, Estimate],
) -> list[Comparison]:
    over_all: dict[Key, Differences] = {}
    means: dict[Key, tuple[float, float]] = {}
    for name in dict.fromkeys(name for name, _ in found):
        keys = [key for key in found if key[0] == name]
        over_all[name, None] = mean_differences([found[key] for key in keys])
        one, other = np.mean([levels[key] for key in keys], axis=0)
        means[name, None] = float(one), float(other)
    return [
        *family(metric, over_all, means, design, beside),
        *family(metric, found, levels, design, beside),
    ]


def _length_families(sides: Paired, design: Design) -> list[Comparison]:
    """Comparisons of answer lengths; none where no answers were written."""
    made = []
    seeds = len(sides.seeds)
    names = list(sides.cells)
    found: dict[str, dict[Key, Differences]] = {metric: {} for metric in LENGTHS}
    levels: dict[str, dict[Key, tuple[float, float]]] = {metric: {} for metric in LENGTHS}
    targets = length_targets(sides.cells)
    for target in targets:
        cells = [cell.targets[target] for name in names for cell in sides.cells[name]]
        own = np.array(cells[0].own_lengths, np.float64)
        lengths = np.array([cell.lengths for cell in cells], np.float64)
        drawn = redrawn_lengths(lengths, own, LENGTH_DRAWS, design.seed)
        measured = [of_lengths(cell.lengths, cell.own_lengths) for cell in cells]
        for metric in LENGTHS:
            values = np.array([each[metric] for each in measured]).reshape(len(names), seeds)
            draws = drawn[metric].reshape(-1, len(names), seeds)
            for at, name in enumerate(names[1:], 1):
                found[metric][name, target] = redrawn_differences(
                    values[0] - values[at], draws[:, 0] - draws[:, at], len(own)
                )
                levels[metric][name, target] = float(values[0].mean()), float(values[at].mean())
    for metric in LENGTHS if targets else ():
        # Baseline by baseline, as elsewhere.
        order = sorted(found[metric], key=lambda key: names.index(key[0]))
        ordered = {key: found[metric][key] for key in order}
        made += _both(metric, ordered, levels[metric], design, {})
    return made
