"""Direct preference optimization: the chosen answer gains on the rejected one, by a reference.

Rafailov et al. (2023, arXiv 2305.18290): -ln sigmoid(u), where u is beta times how much more the
model prefers the chosen answer than the model before training does. Its kin are settings:
per-token means (Tulu 3, arXiv 2411.15124), labels that are wrong at times (cDPO, and Chowdhury et
al. 2024, arXiv 2403.00409, which is unbiased), a part for length (R-DPO, arXiv 2403.19159), tails
that count less (LD-DPO, arXiv 2409.06411) and a part of SFT (RPO, arXiv 2405.16436).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainer.config.config import TrainConfig
from trainer.objectives.sides import Sides, softplus

if TYPE_CHECKING:
    import torch


def rewards(sides: Sides, config: TrainConfig) -> tuple[torch.Tensor, torch.Tensor]:
    """The implicit rewards of both answers: beta times their log ratios; per token, if asked."""
    chosen, rejected = sides.chosen_ratio, sides.rejected_ratio
    if config.length_normalised:
        chosen, rejected = chosen / sides.chosen_length, rejected / sides.rejected_length
    return _beta(config) * chosen, _beta(config) * rejected


def losses(sides: Sides, config: TrainConfig) -> torch.Tensor:
    """Nats of each pair: ln 2 where the model is the reference and nothing is said of length.

    By R-DPO a longer winner adds to the margin, and so pulls less.
    """
    chosen, rejected = rewards(sides, config)
    longer = sides.chosen_length - sides.rejected_length
    margin = chosen - rejected + config.length_regularised * longer
    wrong = config.label_smoothing
    if not wrong:
        plain: torch.Tensor = softplus(-margin)
        return plain
    right, flipped = (1 - wrong) * softplus(-margin), wrong * softplus(margin)
    mixed: torch.Tensor = (right - flipped) / (1 - 2 * wrong) if config.robust else right + flipped
    return mixed


def _beta(config: TrainConfig) -> float:
    assert config.beta is not None, "every objective of preferences has a beta"
    return config.beta
