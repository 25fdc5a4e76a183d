"""Identity preference optimization: the margin shall be 1 / (2 tau), no less and no more.

Azar et al. (2023, arXiv 2310.12036). The paper has sums over tokens; its authors have said since
that means are meant, and means are taken here. `beta` is tau.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainer.config.config import TrainConfig
from trainer.objectives.sides import Sides

if TYPE_CHECKING:
    import torch


def rewards(sides: Sides, config: TrainConfig) -> tuple[torch.Tensor, torch.Tensor]:
    """The log ratios of both answers, nats a token."""
    return sides.chosen_ratio / sides.chosen_length, sides.rejected_ratio / sides.rejected_length


def losses(sides: Sides, config: TrainConfig) -> torch.Tensor:
    """(margin - 1 / (2 tau)) squared of each pair: 25 at tau 0.1 where nothing was learnt yet."""
    assert config.beta is not None
    chosen, rejected = rewards(sides, config)
    return (chosen - rejected - 1 / (2 * config.beta)).square()
