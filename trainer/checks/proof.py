"""Before the first step: on the user's own rows, packed, padded and accumulated are the same.

A loss divided by the wrong count, documents that see each other, labels that cross a border:
all of them show as a difference between ways of computing what must be one number.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Iterable
from typing import Any

import numpy as np

from curate.base.errors import CurateError
from trainer.config.config import TrainConfig
from trainer.data.batches import Batch, batches
from trainer.data.rows import Ints, Rows
from trainer.loss import LossMode, target_nats, weighted_sum
from trainer.models.attention import isolated
from trainer.models.modes import without_dropout
from trainer.models.sharding import norm
from trainer.packing import pack

# Largest difference of the loss relative to 1 or to itself, and of the gradient relative to its
# norm: about ten times what rounding was seen to do in either format.
ALLOWED = {"float32": (1e-5, 1e-4), "bfloat16": (2e-2, 1e-1)}
# Four passes over this many tokens times parameters take about 3 s on two CPU cores.
_WORK = 4e9
_MOST_TOKENS = 4096


@dataclasses.dataclass(frozen=True)
class Proof:
    """Differences from the padded way: for each other one, of loss and of gradient."""

    rows: int
    tokens: int
    step_rows: int
    loss: float
    gradient: float
    differences: dict[str, tuple[float, float]]
    allowed: tuple[float, float]
    seconds: float

    @property
    def holds(self) -> bool:
        """Whether all ways agree to rounding."""
        # Written so that a difference that is not a number fails.
        return all(
            found <= most
            for each in self.differences.values()
            for found, most in zip(each, self.allowed, strict=True)
        )

    def __str__(self) -> str:
        part = "" if self.rows == self.step_rows else f" of {self.step_rows}"
        ways = ", ".join(
            f"{way}: loss {loss:.1e}, gradient {gradient:.1e}"
            for way, (loss, gradient) in self.differences.items()
        )
        loss, gradient = self.allowed
        return (
            f"proof on {self.rows}{part} rows of the first step ({self.tokens:,} tokens, loss "
            f"{self.loss:.4f}, gradient {self.gradient:.3g}), differences from padded: {ways} "
            f"(allowed {loss:.0e}, {gradient:.0e}); {self.seconds:.1f} s"
        )


def prove(net: Any, rows: Rows, first: Ints, config: TrainConfig, mode: LossMode) -> Proof:
    """Compute the rows `first` padded, one by one, and packed if the run packs; dropout off.

    Of a large model only the shortest rows that fit in a few seconds are taken, at least two.
    Raises `CurateError` with the numbers if the ways differ by more than rounding does.
    """
    started = time.perf_counter()
    chosen = _slice(net, rows, first)
    tokens = int(rows.lengths[chosen].sum())
    counted = float(rows.target_weights[chosen].sum())
    longest = int(rows.lengths[chosen].max())
    padded = list(batches(rows, chosen, longest * len(chosen)))
    others = {"accumulated": list(batches(rows, chosen, 1))}
    if mode.packed:
        others["packed"] = list(pack(rows, chosen, config.micro_tokens))
    differences = {}
    with without_dropout(net):
        for name, other in others.items():
            # Gradients of one way, then of the other with its sign turned: their difference.
            net.zero_grad(set_to_none=True)
            loss = _add_gradients(net, mode, padded, 1 / counted)
            gradient = _norm(net)
            change = loss + _add_gradients(net, mode, other, -1 / counted)
            apart = _norm(net) / gradient if gradient > 0 else _norm(net)
            differences[name] = (abs(change) / max(1.0, abs(loss)), apart)
        net.zero_grad(set_to_none=True)
    proof = Proof(
        rows=len(chosen),
        tokens=tokens,
        step_rows=len(first),
        loss=loss,
        gradient=gradient,
        differences=differences,
        allowed=ALLOWED["bfloat16" if config.load_in_4bit else config.dtype],
        seconds=time.perf_counter() - started,
    )
    if not (math.isfinite(loss) and math.isfinite(gradient)):
        raise CurateError(
            f"before the first step: loss {loss}, gradient norm {gradient} on {len(chosen)} rows, "
            f"so nothing was started; the weights of {config.model} are broken, or overflow in "
            f"{config.dtype}"
        )
    if not proof.holds:
        raise CurateError(
            f"{proof}: the same rows must give the same numbers, so nothing was started; "
            + ("set packing to off, or " if mode.packed else "")
            + "skip the proof with --no-proof if you know why they differ"
        )
    return proof


def _add_gradients(net: Any, mode: LossMode, passes: Iterable[Batch], scale: float) -> float:
    """Add those of the passes' summed nats times `scale`; the loss with its sign."""
    import torch

    total = 0.0
    for batch in passes:
        with isolated(batch.documents):
            nats = target_nats(net, batch, whole=mode.whole)
            loss = weighted_sum(nats, batch) * scale
            # Of shared weights the gradients of all processes are summed, and all are this.
            torch.autograd.backward(loss / mode.group.count if mode.group.sharded else loss)
        total += loss.item()
    return total


def _slice(net: Any, rows: Rows, first: Ints) -> Ints:
    """The shortest rows that are quick enough, in the order of the step."""
    parameters = sum(weight.numel() for weight in net.parameters())
    on_gpu = next(net.parameters()).device.type == "cuda"
    most = _MOST_TOKENS if on_gpu else min(_MOST_TOKENS, _WORK / parameters)
    by_length = np.argsort(rows.lengths[first], kind="stable")
    fits = int((np.cumsum(rows.lengths[first][by_length]) <= most).sum())
    places: Ints = np.sort(by_length[: max(2, fits)])
    return first[places]


def _norm(net: Any) -> float:
    return norm([weight.grad for weight in net.parameters() if weight.grad is not None])
