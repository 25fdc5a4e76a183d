"""Cells put in order for a comparison: the same seeds and the same prompts on all sides."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from curate.base.errors import CurateError, some_of
from curate.base.terminal import printable_line
from curate.proofs.cells import SELECTED, Cell, TargetCell
from curate.proofs.design import MIN_SEEDS


class Paired(NamedTuple):
    """Cells by baseline, each in the order of `seeds`; `left_out` are seeds that some lack."""

    cells: dict[str, list[Cell]]
    seeds: list[int]
    left_out: list[int]


def paired(cells: Sequence[Cell]) -> Paired:
    """The cells by baseline and seed, for the seeds that all baselines have.

    Raises CurateError where nothing can be compared: no selected rows, no baseline, fewer than two
    seeds in common, a cell twice, or other prompts than in the first cell.
    """
    by_name: dict[str, dict[int, Cell]] = {}
    for cell in cells:
        seeds = by_name.setdefault(cell.baseline, {})
        if cell.seed in seeds:
            raise CurateError(f"{_named(cell)} is there twice; expected one training of each")
        seeds[cell.seed] = cell
    if SELECTED not in by_name or len(by_name) < 2:
        raise CurateError(
            f"a proof compares {SELECTED!r} with a baseline; got {some_of(list(by_name)) or 'none'}"
        )
    common = sorted(set.intersection(*(set(seeds) for seeds in by_name.values())))
    every = sorted(set.union(*(set(seeds) for seeds in by_name.values())))
    if len(common) < MIN_SEEDS:
        raise CurateError(
            f"all baselines have {len(common)} seed{'s' if len(common) != 1 else ''} in common; "
            "one alone does not show how much a seed moves a result: "
            f"train {MIN_SEEDS} at least, better 5"
        )
    # Selected rows first, the others as they came.
    names = [SELECTED, *(name for name in by_name if name != SELECTED)]
    found = {name: [by_name[name][seed] for seed in common] for name in names}
    for seeds_of in found.values():
        for cell in seeds_of:
            check_same_prompts(cell, found[SELECTED][0])
    return Paired(found, common, [seed for seed in every if seed not in common])


def check_same_prompts(cell: Cell, first: Cell) -> None:
    """Raise CurateError where a cell was measured otherwise than the first, or not usably."""
    if not cell.targets or list(cell.targets) != list(first.targets):
        raise CurateError(
            f"{_named(cell)} has the targets {some_of(list(cell.targets)) or 'none'}; "
            f"expected {some_of(list(first.targets)) or 'one or more'}"
        )
    for name, target in cell.targets.items():
        where = f"{_named(cell)}, target {printable_line(name, 80)}"
        one = first.targets[name]
        if (target.prompts, target.bytes, target.own_lengths) != (
            one.prompts,
            one.bytes,
            one.own_lengths,
        ):
            raise CurateError(f"{where}: the prompts are not those of {_named(first)}")
        _check_columns(target, one, where)
    for column in ("strict", "loose"):
        if len(getattr(cell, column)) != len(getattr(first, column)):
            raise CurateError(
                f"{_named(cell)}: {len(getattr(cell, column)):,} instructions; "
                f"expected the {len(getattr(first, column)):,} of {_named(first)}"
            )


def _check_columns(target: TargetCell, first: TargetCell, where: str) -> None:
    count = len(target.prompts)
    if count < 2:
        raise CurateError(f"{where}: {count} prompts; expected at least two")
    for name in ("nats", "bytes", "own_lengths"):
        if len(getattr(target, name)) != count:
            raise CurateError(f"{where}: {len(getattr(target, name))} {name} of {count} prompts")
    for name in ("stopped", "lengths", "loops", "leaked"):
        answered = len(getattr(target, name))
        if answered > count or answered != len(getattr(first, name)):
            raise CurateError(f"{where}: {answered} {name} of {count} prompts")
    for at, (nats, size) in enumerate(zip(target.nats, target.bytes, strict=True), 1):
        if not math.isfinite(nats) or size < 1:
            raise CurateError(
                f"{where}: prompt {at:,} has {nats:g} nats in {size} bytes; "
                "expected a finite number in at least one byte"
            )


def _named(cell: Cell) -> str:
    return f"{printable_line(cell.baseline, 80)}, seed {cell.seed}"
