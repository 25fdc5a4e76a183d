"""Pairs by hand, and the parts of a run of preferences, without a run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tests.trainer_toys import ASK, START, STOP, with_masks, write_columns
from trainer import TrainConfig
from trainer.data.pairs import Pairs
from trainer.data.rows import make_rows
from trainer.loss import LossMode
from trainer.objectives.preferences import references
from trainer.objectives.registry import OBJECTIVES

Answers = tuple[list[int], list[int]]


def made(count: int) -> list[tuple[list[int], list[int], list[int]]]:
    """Prompt, chosen and rejected answer; lengths of both sides differ from pair to pair."""
    found = []
    for number in range(count):
        one, two = 4 + number % 28, 4 + (5 * (number // 28) + number) % 28
        prompt = [START, one, two, ASK]
        chosen = [7 + number % 5] * (1 + number % 4)
        rejected = [20 + number % 7] * (1 + (number * 3) % 5)
        found.append((prompt, [*chosen, STOP], [*rejected, STOP]))
    return found


def write_pairs(folder: Path, count: int, **manifest: Any) -> str:
    return write_made(folder, made(count), **manifest)


def write_made(folder: Path, pairs: Sequence[tuple[list[int], ...]], **manifest: Any) -> str:
    """A TOKENS folder of these prompts and answers."""
    columns: dict[str, list[list[int]]] = {}
    for side, prefix in ((1, ""), (2, "rejected_")):
        columns[f"{prefix}input_ids"] = [[*pair[0], *pair[side]] for pair in pairs]
        columns[f"{prefix}labels"] = [[-100] * len(pair[0]) + pair[side] for pair in pairs]
    ids = [f"{number:016x}" for number in range(len(pairs))]
    return write_columns(folder, ids, with_masks(columns), **manifest)


def pairs_of(pairs: Sequence[tuple[list[int], ...]], **fields: Any) -> Pairs:
    """The same as `Pairs`."""
    names = [str(number) for number in range(len(pairs))]
    sides = [
        make_rows(
            names,
            [[*pair[0], *pair[side]] for pair in pairs],
            [[-100] * len(pair[0]) + pair[side] for pair in pairs],
        )
        for side in (1, 2)
    ]
    return Pairs(*sides, **fields)


def settings(objective: str, **fields: Any) -> TrainConfig:
    return TrainConfig(tokens="t", model="m", out="o", objective=objective, **fields)


def mode_of(net: Any, pairs: Pairs, config: TrainConfig, packed: bool = False) -> LossMode:
    """How the loss is computed, with the model as it is for a reference."""
    mode = LossMode(False, packed, pairs=pairs, settings=config)
    found = references(net, np.arange(len(pairs)), config.micro_tokens, mode)
    return LossMode(False, packed, pairs=pairs, settings=config, reference=found)


def step(
    net: Any, config: TrainConfig, mode: LossMode, chosen: Any = None
) -> tuple[float, np.ndarray[Any, np.dtype[np.float64]], dict[str, float]]:
    """Loss of one step over the pairs, all its gradients end to end, and what else was noted."""
    pairs = mode.pairs
    assert pairs is not None
    taken = np.arange(len(pairs)) if chosen is None else np.array(chosen)
    objective = OBJECTIVES[config.objective]
    loss, _, others = objective.gradients(net, pairs.chosen, taken, config, mode, len(pairs))
    found = [
        weight.grad.double().flatten().numpy()
        for weight in net.parameters()
        if weight.grad is not None
    ]
    return loss, np.concatenate(found), others
