"""The objectives by the name that the setting `objective` has for them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from trainer.config.config import TrainConfig
from trainer.data.rows import Ints, Rows
from trainer.loss import LossMode
from trainer.objectives import cpo, distil, dpo, hinge, ipo, kto, orpo, reward, sft, simpo
from trainer.objectives.preferences import Preference
from trainer.result import Evaluation


class Objective(Protocol):
    """What the loop needs of an objective; a module with these functions is one."""

    def gradients(
        self, net: Any, rows: Rows, chosen: Ints, config: TrainConfig, mode: LossMode, own: int
    ) -> tuple[float, float, dict[str, float]]:
        """Fill the gradients of one optimizer step over the rows `chosen`.

        Gives its loss in nats, the norm of the gradients, and other losses by name, such as that of
        general text alone (rows from number `own` on), where there are any.
        """

    def evaluate(
        self, net: Any, rows: Rows, chosen: Ints, micro_tokens: int, mode: LossMode
    ) -> Evaluation | None:
        """The loss of the rows `chosen` (ascending), without dropout; None if there are none."""

    def counted(self, rows: Rows, chosen: Ints) -> float:
        """What a step's loss is divided by."""

    def tokens_read(self, rows: Rows, chosen: Ints, mode: LossMode) -> int:
        """How many tokens a step reads."""


OBJECTIVES: Mapping[str, Objective] = {
    "sft": sft,
    "distil": distil,
    "reward": reward,
    "dpo": Preference(dpo.losses, dpo.rewards),
    "hinge": Preference(hinge.losses, hinge.rewards),
    "ipo": Preference(ipo.losses, ipo.rewards),
    "simpo": Preference(simpo.losses, simpo.rewards, needs_reference=False),
    "cpo": Preference(cpo.losses, cpo.rewards, needs_reference=False),
    "orpo": Preference(orpo.losses, orpo.rewards, needs_reference=False),
    "kto": kto,
}
