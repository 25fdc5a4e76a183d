"""Odds ratio preference optimization: SFT and a preference in one stage, without a reference.

Hong et al. (2024, arXiv 2403.07691). `beta` is the paper's lambda. The loss of SFT is a mean over
the chosen answer's tokens; other implementations count the prompt's as well.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainer.config.config import TrainConfig
from trainer.objectives.sides import Sides, softplus

if TYPE_CHECKING:
    import torch

# The likeliest a token may be on average, in nats: at 0 the odds, and their gradients, are no
# numbers.
_LIKELIEST = -1e-6


def rewards(sides: Sides, config: TrainConfig) -> tuple[torch.Tensor, torch.Tensor]:
    """lambda times the log odds of both answers."""
    assert config.beta is not None
    return config.beta * _log_odds(sides.chosen_mean), config.beta * _log_odds(sides.rejected_mean)


def losses(sides: Sides, config: TrainConfig) -> torch.Tensor:
    """-mean ln p of the chosen answer, and lambda times -ln sigmoid of the log odds ratio."""
    assert config.beta is not None
    apart = _log_odds(sides.chosen_mean) - _log_odds(sides.rejected_mean)
    nats: torch.Tensor = config.beta * softplus(-apart) - sides.chosen_mean
    return nats


def _log_odds(mean: torch.Tensor) -> torch.Tensor:
    import torch

    mean = mean.clamp(max=_LIKELIEST)
    return mean - torch.log(-torch.expm1(mean))
