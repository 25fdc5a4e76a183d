"""Supervised fine-tuning: the trained tokens of an answer become more likely."""

from __future__ import annotations

from typing import Any

import numpy as np

from trainer.config.config import TrainConfig
from trainer.data.batches import Batch, batches, pad
from trainer.data.rows import Ints, Rows
from trainer.loss import LossMode, target_nats, weighted_sum
from trainer.models import attention
from trainer.models.device import put
from trainer.models.modes import evaluating
from trainer.models.sharding import clip
from trainer.packing import step_batches
from trainer.result import Evaluation


def gradients(
    net: Any, rows: Rows, chosen: Ints, config: TrainConfig, mode: LossMode, own: int
) -> tuple[float, float, float | None]:
    """Fill the gradients of one optimizer step; its loss in nats per target, and their norm.

    Nats are summed over every forward pass and divided once, by what the targets of the whole
    step count: however the rows are cut into passes, each trained token weighs the same. Rows
    from number `own` on are general text, whose loss alone comes third.
    """
    import torch

    divisor = counted(rows, chosen)
    net.zero_grad(set_to_none=True)
    total: Any = 0.0
    general: Any = 0.0
    mine = chosen[mode.group.share(rows.lengths[chosen])]
    passes = step_batches(rows, mine, config, mode.packed)
    shortest = chosen[[np.argmin(rows.lengths[chosen])]]
    for batch, counts in mode.group.in_step(passes, lambda: pad(rows, shortest)):
        with attention.isolated(batch.documents):
            nats = target_nats(net, batch, whole=mode.whole)
            loss = weighted_sum(nats, batch) * counts / divisor
            torch.autograd.backward(loss)
        # Read once a step: a GPU is not waited for between passes.
        total = total + loss.detach().double()
        if counts and int(batch.rows.max()) >= own:
            general = general + _general_nats(nats, batch, own)
    trained = [weight for weight in net.parameters() if weight.requires_grad]
    total, general = mode.group.add_up(trained, float(total), float(general))
    norm = clip(trained, config.max_grad_norm)
    read = int(rows.target_counts[chosen[chosen >= own]].sum())
    return total, norm, general / read if read else None


def _general_nats(nats: Any, batch: Batch, own: int) -> Any:
    """The sum of the nats of the targets that are in general text, fp64 and on their device."""
    places = np.flatnonzero(batch.rows[batch.row_of] >= own)
    return nats.detach()[put(places, nats.device)].sum().double()


def evaluate(
    net: Any, rows: Rows, chosen: Ints, micro_tokens: int, mode: LossMode
) -> Evaluation | None:
    """Loss of the rows `chosen` (sorted), or None if there are none.

    Nats and targets are summed over all rows before anything is divided, so the result does not
    depend on how the rows were batched.
    """
    if not len(chosen):
        return None
    sums = np.zeros(len(chosen))
    with evaluating(net):
        for batch in batches(rows, chosen, micro_tokens):
            nats = target_nats(net, batch, whole=mode.whole).double().cpu().numpy()
            places = np.searchsorted(chosen, batch.rows[batch.row_of])
            sums += np.bincount(places, weights=nats, minlength=len(chosen))
    counts = rows.target_counts[chosen]
    return Evaluation(
        loss=float(sums.sum() / counts.sum()),
        example_loss=float((sums / counts).mean()),
        rows=len(chosen),
        targets=int(counts.sum()),
    )


def counted(rows: Rows, chosen: Ints) -> float:
    """What a step's loss is divided by: its targets, as they count."""
    return float(rows.target_weights[chosen].sum())


def tokens_read(rows: Rows, chosen: Ints, mode: LossMode) -> int:
    """How many tokens a step reads."""
    return int(rows.lengths[chosen].sum())
