"""What preferences are compared with: the model as it is before its first step, exactly.

It is never loaded a second time, nor told by turning adapters off, which is another model where
biases learn too or where an adapter goes on. Two numbers a pair are computed by the very code of
the steps, without dropout, and kept; the first step's loss has to be the one that formulas give.
"""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import Any

import numpy as np

from curate.base.errors import CurateError
from trainer.checkpoints import resume
from trainer.config.config import TrainConfig
from trainer.config.objectives import WITH_REFERENCE
from trainer.data.lengths import some
from trainer.data.rows import Ints
from trainer.loss import LossMode
from trainer.objectives.preferences import references
from trainer.objectives.registry import OBJECTIVES
from trainer.plan import Log, Plan

# How far the loss before step 1 may be off, relative to 1 or to itself: what batches of another
# shape round by, in either format.
ALLOWED = {"float32": 1e-5, "bfloat16": 2e-2}
# Sums over an answer are multiplied by beta, and so is what they round by; up to here that is less.
_SMALL_BETA = 0.1


def settled(plan: Plan, net: Any, mode: LossMode, log: Log) -> LossMode:
    """How the loss is computed, with the reference if the objective has one, after its check.

    A resumed run takes the one that was kept. Raises `CurateError` if the loss of the first step is
    not what it is by the reference.
    """
    config = plan.config
    if config.objective not in WITH_REFERENCE:
        return mode
    kept = None
    if config.resume:
        of = resume.fingerprint(resume.settings(plan), net, mode)
        kept = resume.stored_reference(Path(config.out), of)
    started = time.perf_counter()
    if kept is None:
        read = _read(plan)
        kept = references(net, read, config.micro_tokens, mode)
        seconds = time.perf_counter() - started
        log(
            f"reference: the model before step 1, two numbers for each of {len(read):,} "
            f"{'answers' if config.objective == 'kto' else 'pairs'}; "
            f"{seconds:.1f} s"
        )
    else:
        log("reference: the one of the run that was stopped")
    mode = dataclasses.replace(mode, reference=kept)
    log(check(plan, net, mode))
    return mode


def _read(plan: Plan) -> Ints:
    """The pairs that the run reads, of a short one not all."""
    config, train = plan.config, plan.train
    if config.max_steps:
        epochs = range(1, config.num_train_epochs + 1)
        steps = [step for epoch in epochs for step in plan.mixture.epoch(epoch)]
        # Those whose loss is measured as training rows, see `probes`.
        fit = some(plan.tokens.rows, train, len(plan.held_out))
        train = np.union1d(np.concatenate(steps), fit)
    read: Ints = np.union1d(train, plan.held_out).astype(np.int64)
    return read


def check(plan: Plan, net: Any, mode: LossMode) -> str:
    """What was found of the loss before the first step, as a line; raises `CurateError`."""
    config = plan.config
    objective: Any = OBJECTIVES[config.objective]
    found, expected = objective.at_start(net, plan.mixture.epoch(1)[0], config, mode)
    allowed = _allowed(config, expected)
    line = (
        f"loss before step 1: {found:.7f}, {expected:.7f} where the model is its reference "
        f"(allowed {allowed:.0e})"
    )
    if not abs(found - expected) <= allowed:
        raise CurateError(
            f"{line}: the model is not the reference it is compared with, so nothing was started; "
            "this model does not give the same numbers twice, or for batches of another shape: try "
            "packing off, or dtype float32"
        )
    return line


def _allowed(config: TrainConfig, expected: float) -> float:
    allowed = ALLOWED["bfloat16" if config.load_in_4bit else config.dtype] * max(1.0, abs(expected))
    assert config.beta is not None
    is_of_sums = not config.length_normalised and config.objective != "ipo"
    return allowed * max(1.0, config.beta / _SMALL_BETA) if is_of_sums else allowed
