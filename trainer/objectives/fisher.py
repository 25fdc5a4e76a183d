"""Fisher information: how much each weight matters to the probability of general text.

The diagonal: of each sequence the gradient of ln p of all of its tokens together, squared; then the
mean over sequences. Gradients are taken one sequence at a time, as the square of a mean over a
batch is smaller by about its size. "empirical" takes the text's own tokens; "sampled" draws each
target from the model, after the text's own tokens, which makes it the true Fisher information of
the model on that text (Kunstner et al. 2019, arXiv 1905.12558).
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from curate.base.errors import CurateError
from trainer.data.batches import Batch, pad, step_seed
from trainer.data.rows import Ints, Rows
from trainer.loss import CHUNK_VALUES, LossMode, read_logits, target_nats
from trainer.models.anchor import Part
from trainer.models.modes import without_dropout
from trainer.models.sharding import agreed, is_share, own

if TYPE_CHECKING:
    import torch

# What F is in before it is scaled to mean 1.
UNITS = "squared nats of a whole sequence, per squared unit of a weight"
# Keeps the draws of targets from being those of anything else that the seed decides.
_DRAWS = 0xF15E


def information(
    net: Any,
    rows: Rows,
    chosen: Ints,
    parts: Sequence[Part],
    mode: LossMode,
    sampled_by: int | None = None,
) -> tuple[dict[str, torch.Tensor], float]:
    """F of each part by its name, fp32 like its weight and of mean 1 over all, and its mean before.

    With `sampled_by`, a seed, targets are drawn from the model. Every process reads all sequences,
    so that F has the same bits however many there are. Raises `CurateError` where nothing has a
    gradient.
    """
    import torch

    weights = {part.name: part.measured() for part in parts}
    sums = {
        name: torch.zeros_like(own(weight), dtype=torch.float32) for name, weight in weights.items()
    }
    with without_dropout(net), _only(net, list(weights.values())):
        for row in chosen.tolist():
            batch = pad(rows, np.array([row]))
            if sampled_by is not None:
                batch = _drawn(net, batch, mode, step_seed(sampled_by ^ _DRAWS, row))
            _add_squares(net, batch, weights, sums, mode)
    total = sum(float(each.double().sum()) for each in sums.values())
    count = float(sum(each.numel() for each in sums.values()))
    if mode.group.sharded:
        total, count = mode.group.total([total, count])
    scale = total / count / len(chosen)
    if not np.isfinite(scale) or scale <= 0:
        raise CurateError(
            f"regulariser: the mean squared gradient of {len(chosen):,} sequences of general text "
            f"is {scale}, so nothing says which weights matter; take another fisher_text"
        )
    for each in sums.values():
        each.div_(scale * len(chosen))
    return sums, scale


@contextmanager
def _only(net: Any, weights: Sequence[torch.Tensor]) -> Iterator[None]:
    """Inside, these weights alone have gradients; what was trained before is after."""
    wanted = {id(weight) for weight in weights}
    changed = [
        weight for weight in net.parameters() if weight.requires_grad != (id(weight) in wanted)
    ]
    for weight in changed:
        weight.requires_grad_(not weight.requires_grad)
    try:
        yield
    finally:
        net.zero_grad(set_to_none=True)
        for weight in changed:
            weight.requires_grad_(not weight.requires_grad)


def _add_squares(
    net: Any,
    batch: Batch,
    weights: Mapping[str, torch.Tensor],
    sums: Mapping[str, torch.Tensor],
    mode: LossMode,
) -> None:
    """Add the squared gradient of one sequence's ln p; gradients are let go one by one."""
    import torch

    def take(name: str, weight: torch.Tensor) -> None:
        if weight.grad is not None:
            gradient = own(weight.grad).float()
            sums[name].addcmul_(gradient, gradient)
            weight.grad = None

    plain: list[tuple[str, Any]] = [
        (name, weight) for name, weight in weights.items() if not is_share(weight)
    ]
    handles = [
        weight.register_post_accumulate_grad_hook(partial(take, name)) for name, weight in plain
    ]
    nats = target_nats(net, batch, whole=mode.whole).sum()
    # Of shared weights the gradients of all processes are summed, and all are this one.
    torch.autograd.backward(nats / mode.group.count if mode.group.sharded else nats)
    for handle in handles:
        handle.remove()
    for name, weight in weights.items():
        take(name, weight)


def _drawn(net: Any, batch: Batch, mode: LossMode, seed: int) -> Batch:
    """The pass with targets that the model draws, each after the text's own tokens."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    places = torch.rand(len(batch.targets), generator=generator, dtype=torch.float64)
    found = np.empty_like(batch.targets)

    def draw(piece: slice, logits: torch.Tensor) -> None:
        running = logits.double().softmax(dim=-1).cumsum(dim=-1)
        wanted = places[piece].to(running.device)[:, None] * running[:, -1:]
        tokens = (running <= wanted).sum(dim=-1).clamp(max=logits.shape[-1] - 1)
        found[piece] = agreed(net, tokens).cpu().numpy()

    # Two fp64 values are made of each logit.
    read_logits(net, batch, draw, whole=mode.whole, chunk=CHUNK_VALUES // 4)
    return dataclasses.replace(batch, targets=found)


def content_hash(fisher: Mapping[str, torch.Tensor]) -> str:
    """The hash of F, whole and by name."""
    digest = hashlib.sha256()
    for name in sorted(fisher):
        digest.update(name.encode())
        digest.update(fisher[name].contiguous().numpy().data)
    return digest.hexdigest()
