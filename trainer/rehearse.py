"""What a run would do, and how long it would take, without writing anything."""

from __future__ import annotations

import time

import numpy as np

from trainer import batches
from trainer.config import TrainConfig
from trainer.device import deterministic, torch_seed
from trainer.loop import gradients, held_out_loss, load_model
from trainer.plan import Log, make_plan


def rehearse(config: TrainConfig, log: Log) -> float:
    """Check the rows and the model as a run does, time one step, and say what all would take.

    Gradients are computed for the first step as they would be, and no weight is
    moved. Returns the estimate in seconds: training and held-out loss, without saving or samples.
    """
    plan = make_plan(config, log)
    with deterministic():
        net, way = load_model(plan, log)
        rows = plan.tokens.rows
        order = batches.epoch_order(len(plan.train), config.seed, 1)
        chosen = batches.step_rows(plan.train, order, config.batch, 0)
        gradients(net, rows, chosen[:1], config, way)  # the first use of a model sets it up
        torch_seed(batches.step_seed(config.seed, 0))
        started = time.perf_counter()
        loss, _ = gradients(net, rows, chosen, config, way)
        step = time.perf_counter() - started
        # Rows differ in length, so it is tokens that take time.
        per_token = step / int(rows.lengths[chosen].sum())
        started = time.perf_counter()
        held_out_loss(plan, net, way)
        evaluation = time.perf_counter() - started
    tokens = int(rows.lengths[plan.train].sum()) * config.epochs
    seconds = per_token * tokens + evaluation * (config.epochs + 2)
    log(
        f"first step: loss {loss:.4f}, {step:.2f} s; {1 / per_token:,.0f} tokens/s; "
        f"{tokens:,} tokens in {plan.steps:,} steps: about {_spoken(seconds)}"
    )
    longest = int(np.max(rows.lengths[plan.train]))
    log(f"longest row {longest:,} tokens; nothing was written (dry run)")
    return seconds


def _spoken(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 5400 else f"{seconds / 3600:.1f} hours"
