"""The hinge loss on DPO's margin: pairs that are apart by 1 teach nothing more.

SLiC-HF (Zhao et al. 2023, arXiv 2305.10425), as RSO puts it (Liu et al. 2023, arXiv 2309.06657).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainer.config.config import TrainConfig
from trainer.objectives.dpo import rewards
from trainer.objectives.sides import Sides

if TYPE_CHECKING:
    import torch

__all__ = ["losses", "rewards"]


def losses(sides: Sides, config: TrainConfig) -> torch.Tensor:
    """max(0, 1 - u) of each pair: 1 where the model is the reference."""
    chosen, rejected = rewards(sides, config)
    return (1 - (chosen - rejected)).clamp(min=0.0)
