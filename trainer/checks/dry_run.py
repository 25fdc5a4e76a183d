"""What a run would do, and how long it would take, without writing anything."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np

from trainer.checkpoints import resume
from trainer.checks.loading import load_model
from trainer.checks.planning import make_plan
from trainer.config.config import TrainConfig
from trainer.data import batches
from trainer.distributed import Group, joined
from trainer.evaluation.pace import peak_memory, spoken
from trainer.models.device import deterministic, torch_seed
from trainer.objectives.registry import OBJECTIVES
from trainer.plan import Log, no_log


def rehearse(config: TrainConfig, log: Log) -> float:
    """Check the rows and the model as a run does, time one step, and say what all would take.

    Gradients are computed for the first step as they would be, and no weight is moved. With
    `resume`, all is what is left of the run that was stopped. Returns the estimate in seconds:
    training and held-out loss, without saving or samples.
    """
    with joined(config.device, config.sharding) as group, deterministic(config.deterministic):
        return _rehearse(group, config, log if group.first else no_log)


def _rehearse(group: Group, config: TrainConfig, log: Log) -> float:
    plan = make_plan(config, log)
    rows, chosen = plan.mixture.rows, plan.mixture.epoch(1)[0]
    net, mode, _ = load_model(plan, log, group)
    own = plan.mixture.own
    objective = OBJECTIVES[config.objective]
    objective.gradients(
        net, rows, chosen[:1], config, mode, own
    )  # the first use of a model sets it up
    torch_seed(batches.step_seed(config.seed, 0))
    started = time.perf_counter()
    loss, _, _ = objective.gradients(net, rows, chosen, config, mode, own)
    step = time.perf_counter() - started
    # Rows differ in length, so it is tokens that take time.
    per_token = step / int(rows.lengths[chosen].sum())
    started = time.perf_counter()
    objective.evaluate(net, plan.tokens.rows, plan.held_out, config.micro_tokens, mode)
    evaluation = time.perf_counter() - started
    done = resume.steps_done(Path(config.out)) if config.resume else 0
    epochs = [
        np.concatenate(plan.mixture.epoch(epoch))
        for epoch in range(1, plan.config.num_train_epochs + 1)
    ]
    left = 1 - done / plan.steps
    tokens = round(left * sum(int(rows.lengths[each].sum()) for each in epochs))
    seconds = per_token * tokens + left * evaluation * (plan.config.num_train_epochs + 2)
    if done:
        log(f"a stopped run goes on after step {done} of {plan.steps}")
    log(
        f"first step: loss {loss:.4f}, {step:.2f} s; {1 / per_token:,.0f} tokens/s; "
        f"{tokens:,} tokens in {plan.steps - done:,} steps: about {spoken(seconds)}"
    )
    longest = int(np.max(rows.lengths[plan.train]))
    optimizer = moments(net) / (group.count if group.sharded else 1)
    memory = (peak_memory(next(net.parameters()).device) + optimizer) / 1e9
    log(
        f"longest row {longest:,} tokens; about {memory:.2f} GB at most, the optimizer included; "
        "nothing was written (dry run)"
    )
    return seconds


def moments(net: Any) -> int:
    """Bytes of the two fp32 moments that AdamW makes at its first step."""
    return 8 * sum(int(weight.numel()) for weight in net.parameters() if weight.requires_grad)
