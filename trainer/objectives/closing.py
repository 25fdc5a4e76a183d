"""The end of a step's gradients: the penalty of where training started, then clipping."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from trainer.config.config import TrainConfig
from trainer.loss import LossMode
from trainer.models.sharding import clip

if TYPE_CHECKING:
    import torch

PENALTY = "penalty"


def close(
    trained: Sequence[torch.Tensor], config: TrainConfig, mode: LossMode
) -> tuple[float, dict[str, float]]:
    """The norm of all gradients, clipped to the most that is allowed, and the penalty by its name.

    Gradients are those of the whole step, summed over processes. The penalty's are added first, so
    the norm has them and clipping sees them; its value is no part of the loss. There is none
    without an anchor.
    """
    found = {} if mode.anchor is None else {PENALTY: mode.anchor.pull(mode.group)}
    return clip(trained, config.max_grad_norm), found


def penalty_shown(others: Mapping[str, float]) -> str:
    """The penalty of a step for its line in the log; empty without one."""
    return f"penalty {others[PENALTY]:.4g} " if PENALTY in others else ""
