"""Cells of proofs: small, with losses that are laid down or drawn from a seed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from curate.proofs.cells import Cell, TargetCell

BYTES = 100


def target(bits: Sequence[float], **more: Sequence[object]) -> TargetCell:
    """A target whose prompts have these bits per byte."""
    count = len(bits)
    columns = {name: tuple(values) for name, values in more.items()}
    return TargetCell(
        tuple(f"prompt {at}" for at in range(count)),
        tuple(each * BYTES * math.log(2) for each in bits),
        (BYTES,) * count,
        tuple(range(10, 10 + count)),
        **columns,  # type: ignore[arg-type]
    )


def cell(
    baseline: str,
    seed: int,
    targets: Mapping[str, TargetCell],
    tokens: int = 30_000,
    strict: Sequence[float] = (),
    loose: Sequence[float] = (),
) -> Cell:
    """A training with these results."""
    sha256 = f"{len(baseline):x}{seed:x}" * 16
    facts = {"rows": 250, "rows_sha256": sha256, "tokens": tokens, "steps": 60, "epochs": 2.0}
    more = {"median_length": 95.0, "final_loss": 1.5, "seconds": 61.0}
    scores = {"strict": tuple(strict), "loose": tuple(loose)}
    return Cell(baseline, seed, targets=dict(targets), **facts, **more, **scores)  # type: ignore[arg-type]


def cells(
    shifts: Mapping[str, float],
    seeds: int = 5,
    names: Sequence[str] = ("lima", "dolly"),
    prompts: int = 30,
    scatter: float = 0.001,
    answers: bool = True,
) -> list[Cell]:
    """Trainings whose losses lie `shifts` above a common level, and scatter by seed and prompt."""
    draw = np.random.Generator(np.random.PCG64(7))
    level = {name: draw.normal(1, 0.2, prompts) for name in names}
    made = []
    for baseline, shift in shifts.items():
        for seed in range(seeds):
            moved = shift + draw.normal(0, scatter)
            found = {}
            for name in names:
                bits = level[name] + moved + draw.normal(0, scatter, prompts)
                own = {
                    "stopped": (draw.random(prompts) < 0.9).tolist(),
                    "lengths": draw.integers(1, 80, prompts).tolist(),
                    "loops": (draw.random(prompts) < 0.1).tolist(),
                    "answers": [f"{baseline} answers {at}" for at in range(prompts)],
                }
                found[name] = target(bits.tolist(), **(own if answers else {}))
            strict = (draw.random(20) < 0.3).astype(float).tolist() if answers else ()
            made.append(cell(baseline, seed, found, strict=strict, loose=strict))
    return made
