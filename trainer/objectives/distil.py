"""Distillation: the answers, and at each of their tokens a teacher's whole distribution.

Hinton et al. (2015, arXiv 1503.02531). The loss of a token is (1 - weight) times its negative
log-likelihood plus weight times T squared times the divergence from the teacher at temperature T.
Tokens that the teacher has nothing for (prompts that are trained, general text) keep plain loss.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from trainer.config.config import TrainConfig
from trainer.data.batches import Batch
from trainer.data.rows import Ints, Rows
from trainer.loss import LossMode, Teacher, target_numbers
from trainer.models.device import put
from trainer.objectives import sft
from trainer.objectives.sft import counted, tokens_read
from trainer.result import Evaluation

if TYPE_CHECKING:
    import torch

__all__ = ["counted", "evaluate", "gradients", "tokens_read"]


def gradients(
    net: Any, rows: Rows, chosen: Ints, config: TrainConfig, mode: LossMode, own: int
) -> tuple[float, float, dict[str, float]]:
    """Fill the gradients of one optimizer step; its loss in nats per target, and their norm.

    Third come, beside what `sft.gradients` gives, `sft_loss` and `teacher_kl`: the two parts of the
    loss, each as a mean over the tokens that the teacher knows.
    """

    def of_pass(batch: Batch, routed: list[torch.Tensor] | None) -> torch.Tensor:
        return _losses(net, batch, mode, routed)

    total, norm, others, (_, nats, apart, known) = sft.take_step(
        net, rows, chosen, config, mode, own, of_pass, besides=4
    )
    parts = {"sft_loss": nats / known, "teacher_kl": apart / known} if known else {}
    return total, norm, others | parts


def _losses(
    net: Any, batch: Batch, mode: LossMode, routed: list[torch.Tensor] | None = None
) -> torch.Tensor:
    """fp32 [targets, 5]: what is trained, nats, and where the teacher knows the token, else 0, its
    nats again, its divergence, and 1."""
    import torch
    import torch.nn.functional as F

    teacher = _teacher(mode)
    taught = teacher.taught(batch)
    share, scale = teacher.weight, teacher.temperature**2

    def measure(logits: torch.Tensor, places: slice) -> torch.Tensor:
        targets = put(batch.targets[places], logits.device)
        nats = F.cross_entropy(logits, targets, reduction="none")
        known = taught.known[places].to(logits.device)
        apart = torch.where(known, taught.apart(logits, places), 0.0)
        trained = torch.where(known, (1 - share) * nats + share * scale * apart, nats)
        return torch.stack([trained, nats, nats * known, apart, known.float()], dim=1)

    return target_numbers(net, batch, measure, whole=mode.whole, routed=routed)


def evaluate(
    net: Any, rows: Rows, chosen: Ints, micro_tokens: int, mode: LossMode
) -> Evaluation | None:
    """The plain loss of the rows `chosen`, as `sft.evaluate`, with the divergence from the teacher
    where these are rows that it knows."""
    if not (len(chosen) and _teacher(mode).knows(rows)):
        return sft.evaluate(net, rows, chosen, micro_tokens, mode)

    def of_pass(batch: Batch) -> torch.Tensor:
        return _losses(net, batch, mode)[:, 1:]

    nats, _, apart, known = sft.sums_by_row(net, rows, chosen, micro_tokens, of_pass)
    held = sft.of_sums(rows, chosen, nats)
    return dataclasses.replace(held, teacher_kl=float(apart.sum() / known.sum()))


def _teacher(mode: LossMode) -> Teacher:
    assert mode.teacher is not None, "distillation has a teacher"
    return mode.teacher
