"""What a loss of preferences is made of: numbers for both answers of each pair of a pass."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

LN_2 = math.log(2)


@dataclasses.dataclass(frozen=True)
class Sides:
    """ln p of the trained tokens of both answers, stop included, each summed: fp64 [pairs].

    `chosen_reference` and `rejected_reference` are those of the model before training, and the
    lengths count the trained tokens. Sums are of weighted tokens where tails count less.
    """

    chosen: torch.Tensor
    rejected: torch.Tensor
    chosen_reference: torch.Tensor
    rejected_reference: torch.Tensor
    chosen_length: torch.Tensor
    rejected_length: torch.Tensor

    @property
    def chosen_ratio(self) -> torch.Tensor:
        """How much likelier the chosen answer is than by the reference, in nats."""
        return self.chosen - self.chosen_reference

    @property
    def rejected_ratio(self) -> torch.Tensor:
        """How much likelier the rejected answer is than by the reference, in nats."""
        return self.rejected - self.rejected_reference

    @property
    def chosen_mean(self) -> torch.Tensor:
        """ln p of a token of the chosen answer, on average."""
        return self.chosen / self.chosen_length

    @property
    def rejected_mean(self) -> torch.Tensor:
        """ln p of a token of the rejected answer, on average."""
        return self.rejected / self.rejected_length

    def at_reference(self) -> Sides:
        """The same pairs by the model before training."""
        return dataclasses.replace(
            self, chosen=self.chosen_reference, rejected=self.rejected_reference
        )


def softplus(values: torch.Tensor) -> Any:
    """ln(1 + e^x), which is -ln sigmoid(-x); large values neither overflow nor are cut."""
    import torch.nn.functional as F

    return -F.logsigmoid(-values)
