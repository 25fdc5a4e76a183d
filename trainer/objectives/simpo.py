"""Simple preference optimization: means over tokens, a margin to reach, and no reference.

Meng et al. (2024, arXiv 2405.14734). `simpo_gamma` is gamma itself, as TRL has it; SimPO's own
`gamma_beta_ratio` is gamma / beta.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainer.config.config import TrainConfig
from trainer.objectives.sides import Sides, softplus

if TYPE_CHECKING:
    import torch


def rewards(sides: Sides, config: TrainConfig) -> tuple[torch.Tensor, torch.Tensor]:
    """beta times ln p of a token of both answers, on average."""
    assert config.beta is not None
    return config.beta * sides.chosen_mean, config.beta * sides.rejected_mean


def losses(sides: Sides, config: TrainConfig) -> torch.Tensor:
    """-ln sigmoid(margin - gamma) of each pair."""
    chosen, rejected = rewards(sides, config)
    nats: torch.Tensor = softplus(config.simpo_gamma - (chosen - rejected))
    return nats
