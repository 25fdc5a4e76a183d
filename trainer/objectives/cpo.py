"""Contrastive preference optimization: DPO without a reference, beside the loss of SFT.

Xu et al. (2024, arXiv 2401.08417). The part of SFT is `sft_weight`, 1 unless it is set.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainer.config.config import TrainConfig
from trainer.objectives.sides import Sides, softplus

if TYPE_CHECKING:
    import torch


def rewards(sides: Sides, config: TrainConfig) -> tuple[torch.Tensor, torch.Tensor]:
    """beta times ln p of both answers."""
    assert config.beta is not None
    return config.beta * sides.chosen, config.beta * sides.rejected


def losses(sides: Sides, config: TrainConfig) -> torch.Tensor:
    """-ln sigmoid(margin) of each pair."""
    chosen, rejected = rewards(sides, config)
    nats: torch.Tensor = softplus(rejected - chosen)
    return nats
