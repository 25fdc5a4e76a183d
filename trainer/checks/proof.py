"""Before the first step: on the user's own rows, packed, padded and accumulated are the same.

A loss divided by the wrong count, documents that see each other, labels that cross a border:
all of them show as a difference between ways of computing what must be one number.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from curate.base.errors import CurateError
from trainer.config.config import TrainConfig
from trainer.data.batches import Batch, batches
from trainer.data.rows import Ints, Rows
from trainer.loss import LossMode, target_nats, weighted_sum
from trainer.models import float64
from trainer.models.attention import in_one_call, isolated
from trainer.models.modes import without_dropout
from trainer.models.sharding import norm
from trainer.packing import pack
from trainer.plan import Log, no_log

# Largest difference of the loss relative to 1 or to itself, and of the gradient relative to its
# norm: about ten times what rounding does to most models in either format.
ALLOWED = {"float32": (1e-5, 1e-4), "bfloat16": (2e-2, 1e-1)}
# Rounding goes down with the format and a fault does not. In float64 loss and gradient of some
# ways have the same bits and others are 1e-15 apart, but some models compute parts in float32.
ALLOWED_IN_FLOAT64 = (1e-6, 1e-5)
# Four passes over this many tokens times parameters take about 3 s on two CPU cores.
_WORK = 4e9
_MOST_TOKENS = 4096

Difference = tuple[float, float]


@dataclasses.dataclass(frozen=True)
class Proof:
    """Differences from the padded way: for each other one, of loss and of gradient.

    `exact` are those of the same rows in float64, of the ways whose `differences` are larger than
    `allowed`, and then decide.
    """

    rows: int
    tokens: int
    step_rows: int
    loss: float
    gradient: float
    differences: dict[str, Difference]
    allowed: Difference
    seconds: float
    exact: dict[str, Difference] | None = None

    @property
    def holds(self) -> bool:
        """Whether all ways agree to rounding."""
        if self.exact is not None:
            return not _beyond(self.exact.values(), ALLOWED_IN_FLOAT64)
        return not _beyond(self.differences.values(), self.allowed)

    def __str__(self) -> str:
        part = "" if self.rows == self.step_rows else f" of {self.step_rows}"
        exact = ""
        if self.exact is not None:
            found = "so it is rounding" if self.holds else "so it is not rounding alone"
            exact = f"; in float64 {_spoken(self.exact, ALLOWED_IN_FLOAT64)}, {found}"
        return (
            f"proof on {self.rows}{part} rows of the first step ({self.tokens:,} tokens, loss "
            f"{self.loss:.4f}, gradient {self.gradient:.3g}), differences from padded: "
            f"{_spoken(self.differences, self.allowed)}{exact}; {self.seconds:.1f} s"
        )


def _beyond(differences: Iterable[Difference], allowed: Difference) -> bool:
    # Written so that a difference that is not a number is beyond.
    return not all(
        found <= most for each in differences for found, most in zip(each, allowed, strict=True)
    )


def _spoken(differences: Mapping[str, Difference], allowed: Difference) -> str:
    ways = ", ".join(
        f"{way}: loss {loss:.1e}, gradient {gradient:.1e}"
        for way, (loss, gradient) in differences.items()
    )
    return f"{ways} (allowed {allowed[0]:.0e}, {allowed[1]:.0e})"


def prove(
    net: Any, rows: Rows, first: Ints, config: TrainConfig, mode: LossMode, log: Log = no_log
) -> Proof:
    """Compute the rows `first` padded, one by one, and packed if the run packs; dropout off.

    Of a large model only the shortest rows that fit in a few seconds are taken, at least two. If
    the ways differ by more than most models round, float64 tells rounding from a fault. Raises
    `CurateError` with the numbers of a fault.
    """
    started = time.perf_counter()
    chosen = _slice(net, rows, first)
    longest = int(rows.lengths[chosen].max())
    padded = list(batches(rows, chosen, longest * len(chosen)))
    others = {"accumulated": list(batches(rows, chosen, 1))}
    if mode.packed:
        others["packed"] = list(pack(rows, chosen, config.micro_tokens))
    ways = _Ways(net, mode, padded, others, float(rows.target_weights[chosen].sum()))
    loss, gradient, differences = ways.compare()
    if not (math.isfinite(loss) and math.isfinite(gradient)):
        raise CurateError(
            f"before the first step: loss {loss}, gradient norm {gradient} on {len(chosen)} rows, "
            f"so nothing was started; the weights of {config.model} are broken, or overflow in "
            f"{config.dtype}"
        )
    proof = Proof(
        rows=len(chosen),
        tokens=int(rows.lengths[chosen].sum()),
        step_rows=len(first),
        loss=loss,
        gradient=gradient,
        differences=differences,
        allowed=ALLOWED["bfloat16" if config.load_in_4bit else config.dtype],
        seconds=time.perf_counter() - started,
    )
    unknown = ""
    if not proof.holds:
        try:
            exact = _exact(ways, config, proof, log)
            seconds = time.perf_counter() - started
            proof = dataclasses.replace(proof, exact=exact, seconds=seconds)
        except _Unable as error:
            unknown = f", and {error}, so that rounding cannot be told from a fault"
    if not proof.holds:
        raise CurateError(
            f"{proof}{unknown}: the same rows must give the same numbers, so nothing was started; "
            + ("set packing to off, or " if mode.packed else "")
            + "skip the proof with --no-proof if you know why they differ"
        )
    return proof


@dataclasses.dataclass(frozen=True)
class _Ways:
    """The same rows as passes of each kind, and what their targets count."""

    net: Any
    mode: LossMode
    padded: list[Batch]
    others: Mapping[str, list[Batch]]
    counted: float

    def compare(self) -> tuple[float, float, dict[str, Difference]]:
        """Loss, norm of the gradient, and how far other ways are off; dropout off."""
        net, differences = self.net, {}
        with without_dropout(net):
            for name, other in self.others.items():
                # Gradients of one way, then of the other with its sign turned: their difference.
                net.zero_grad(set_to_none=True)
                loss = _add_gradients(net, self.mode, self.padded, 1 / self.counted)
                gradient = _norm(net)
                change = loss + _add_gradients(net, self.mode, other, -1 / self.counted)
                apart = _norm(net) / gradient if gradient > 0 else _norm(net)
                differences[name] = (abs(change) / max(1.0, abs(loss)), apart)
            net.zero_grad(set_to_none=True)
        return loss, gradient, differences


class _Unable(Exception):
    """Why float64 cannot tell."""


def _exact(ways: _Ways, config: TrainConfig, proof: Proof, log: Log) -> dict[str, Difference]:
    """The differences in float64; raises `_Unable`."""
    net, mode = ways.net, ways.mode
    if config.load_in_4bit:
        raise _Unable("weights of 4 bits cannot be made float64")
    if mode.group.sharded:
        raise _Unable("weights that processes share are not made float64")
    if mode.packed and in_one_call():
        raise _Unable("flash attention does not take float64")
    size, left = float64.needed(net), float64.free(net)
    if left is not None and size > left:
        raise _Unable(f"float64 takes {size / 1e9:.1f} GB more, with {left / 1e9:.1f} GB free")
    log(
        f"proof: {_spoken(proof.differences, proof.allowed)}; computing the {proof.rows} rows "
        f"again in float64 ({size / 1e9:.1f} GB more) to tell rounding from a fault"
    )
    apart = {name: one for name, one in proof.differences.items() if _beyond([one], proof.allowed)}
    some = dataclasses.replace(ways, others={name: ways.others[name] for name in apart})
    with float64.in_float64(net):
        try:
            return some.compare()[2]
        except RuntimeError as error:  # of a model that names a format itself
            reason = str(error).splitlines()[0][:120]
            raise _Unable(f"it does not run in float64 ({reason})") from error


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
