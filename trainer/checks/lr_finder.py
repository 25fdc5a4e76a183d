"""The learning-rate range test (Smith 2017, arXiv 1506.01186): which peak rate to train with."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

from curate.base.errors import CurateError
from trainer.data import batches
from trainer.loss import LossMode
from trainer.models import model
from trainer.models.device import torch_seed
from trainer.objectives.registry import OBJECTIVES
from trainer.plan import Log, Plan

# Rates from the first to the last, evenly on a logarithmic scale, one optimizer step each.
FIRST, LAST, STEPS = 1e-7, 1.0, 64
# The test ends when the smoothed loss is so many times the lowest.
_DIVERGED = 2.0
_SMOOTHING = 0.8

Gradients = Callable[[int], tuple[float, float]]


def settle(plan: Plan, net: Any, mode: LossMode, log: Log) -> Plan:
    """The plan with the rate that a range test finds, if one was asked for.

    The test takes the very steps that training would take.
    """
    config, mixture = plan.config, plan.mixture
    if not config.lr_find:
        return plan
    steps, gradients = mixture.epoch(1), OBJECTIVES[config.objective].gradients

    def fill(step: int) -> tuple[float, float]:
        rows = steps[step % len(steps)]
        loss, norm, _ = gradients(net, mixture.rows, rows, config, mode, mixture.own)
        return loss, norm

    rates, losses = tested(plan, net, fill)
    rate = found(rates, losses)
    log(
        f"learning rate {rate:.3g}, found by {len(rates)} steps from {rates[0]:.3g} to "
        f"{rates[-1]:.3g}: where the loss falls fastest"
    )
    return dataclasses.replace(plan, config=dataclasses.replace(config, learning_rate=rate))


def tested(plan: Plan, net: Any, gradients: Gradients) -> tuple[list[float], list[float]]:
    """Rates and the smoothed loss before each step, until it diverges.

    `gradients(step)` fills the gradients of a step and gives its loss and their norm. Weights are
    as before afterwards, bit for bit.
    """
    import torch

    trained = [weight for weight in net.parameters() if weight.requires_grad]
    kept = [weight.detach().clone() for weight in trained]
    optimizer = model.make_optimizer(net, plan.config)
    rates: list[float] = []
    losses: list[float] = []
    mean = 0.0
    try:
        for step in range(STEPS):
            torch_seed(batches.step_seed(plan.config.seed, step))
            loss, norm = gradients(step)
            if not (math.isfinite(loss) and math.isfinite(norm)):
                break
            mean = _SMOOTHING * mean + (1 - _SMOOTHING) * loss
            smooth = mean / (1 - _SMOOTHING ** (step + 1))
            if losses and smooth > _DIVERGED * min(losses):
                break
            rate = FIRST * (LAST / FIRST) ** (step / (STEPS - 1))
            rates.append(rate)
            losses.append(smooth)
            for group in optimizer.param_groups:
                group["lr"] = rate
            optimizer.step()
    finally:
        with torch.no_grad():
            for weight, value in zip(trained, kept, strict=True):
                weight.copy_(value)
                weight.grad = None
    return rates, losses


def found(rates: Sequence[float], losses: Sequence[float]) -> float:
    """The rate at which the loss falls fastest, over three steps of the scale, up to the lowest.

    Raises `CurateError` if it never falls.
    """
    lowest = min(range(len(losses)), key=losses.__getitem__) if losses else 0
    falls = [(losses[at] - losses[at - 3], rates[at - 1]) for at in range(3, lowest + 1)]
    if not falls or min(falls)[0] >= 0:
        raise CurateError(
            "lr_find: the loss falls at no rate; give a learning_rate, or look at the rows"
        )
    return min(falls)[1]
