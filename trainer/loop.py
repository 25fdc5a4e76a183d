"""The training run, read from top to bottom: plan, load, step, evaluate, choose, save."""

from __future__ import annotations

import dataclasses
import json
import math
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from curate.schema import CurateError
from trainer import batches, checkpoint, faults, finish, model, monitor, packing, prepare, resume
from trainer.config import TrainConfig
from trainer.data import Ints, Rows
from trainer.device import deterministic, pick_device, torch_seed
from trainer.loss import Way, head_is_plain, target_nats, weighted_sum
from trainer.plan import Log, Plan, learning_rate, make_plan
from trainer.result import Epoch, Evaluation, TrainResult
from trainer.resume import Progress
from trainer.samples import answers, pair, prompts

if TYPE_CHECKING:
    import torch

# A line of progress at least every so many seconds, and at the end of each epoch.
_PROGRESS_SECONDS = 10.0


def run(config: TrainConfig, log: Log) -> TrainResult:
    """Train, choose an epoch, and leave a folder that `from_pretrained` loads."""
    plan = make_plan(config, log)
    with deterministic():
        net, way = load_model(plan, log)
        out = checkpoint.start(config.out, config.resume)
        try:
            finish.describe(plan, out, "running")
            asked = prompts(plan.tokens.rows, plan.held_out, config.samples)
            before = answers(plan, net, asked, config.sample_tokens)
            table = train_epochs(plan, net, way, out, log)
            chosen, why = monitor.choose(table, config.choose)
            net = finish.save_chosen(plan, net, out, chosen.epoch)
            after = held_out_loss(plan, net, way)
            finish.check_saved(plan, out, chosen, after)
            said = pair(plan, asked, before, answers(plan, net, asked, config.sample_tokens))
            result = TrainResult(
                out, chosen.epoch, why, tuple(table), table[0].held_out, after, said
            )
            finish.write_results(result)
            finish.describe(plan, out, "done", result.as_dict())
            shutil.rmtree(out / resume.STATE)
        except (CurateError, OSError) as error:
            raise finish.stopped(plan, out, error) from error
    for line in [*monitor.table_lines(table, chosen.epoch), f"chosen: {why}"]:
        log(line)
    return result


def load_model(plan: Plan, log: Log) -> tuple[Any, Way]:
    """The model on its device, and how its loss is computed."""
    net = prepare.ready(plan, pick_device(plan.config.device), log)
    rows = plan.tokens.rows
    packed = packing.decide(net, rows, plan.train, plan.config, log)
    return net, Way(not head_is_plain(net, batches.pad(rows, plan.train[:1])), packed)


def train_epochs(plan: Plan, net: Any, way: Way, out: Path, log: Log) -> list[Epoch]:
    """The table of epochs; each ends with an evaluation, a checkpoint and a line in it."""
    config = plan.config
    of = resume.fingerprint(plan, net)
    optimizer = model.make_optimizer(net, config)
    progress = resume.restore(out, of, net, optimizer) if config.resume else None
    if progress:
        log(f"resumed after step {progress.step} of {plan.steps}")
    elif config.resume:
        log(f"{out} holds no state to resume from: training begins with step 1")
    with (out / "metrics.jsonl").open(
        "a" if progress else "w", encoding="utf-8", buffering=1
    ) as metrics:
        run = Run(plan, net, way, optimizer, out, of, metrics, log)
        if progress is None:
            progress = Progress(table=(evaluated(run, 0, None),))
        for epoch in range(progress.table[-1].epoch + 1, config.epochs + 1):
            progress = train_epoch(run, epoch, progress)
            faults.check_weights(net, epoch, out)
            loss = progress.nats / progress.targets
            table = (*progress.table, evaluated(run, epoch, loss))
            checkpoint.save(net, checkpoint.epoch_folder(out, epoch), config)
            progress = Progress(progress.step, table, (*progress.kept, epoch))
            run.save(progress)
            best, _ = monitor.choose(table, config.choose)
            kept = checkpoint.prune(out, progress.kept, config.keep, best.epoch)
            progress = dataclasses.replace(progress, kept=tuple(kept))
    return list(progress.table)


@dataclasses.dataclass(frozen=True)
class Run:
    """What stays the same from the first step to the last."""

    plan: Plan
    net: Any
    way: Way
    optimizer: torch.optim.Optimizer
    out: Path
    of: dict[str, Any]  # what its states belong to
    metrics: TextIO
    log: Log

    def save(self, progress: Progress) -> None:
        """Write the state that a stopped run goes on from."""
        resume.save(self.out, self.of, self.net, self.optimizer, progress)


def train_epoch(run: Run, epoch: int, progress: Progress) -> Progress:
    """The rest of one pass over the training rows, and the sums of the whole pass."""
    plan, config, rows = run.plan, run.plan.config, run.plan.tokens.rows
    order = batches.epoch_order(len(plan.train), config.seed, epoch)
    first = (epoch - 1) * plan.steps_per_epoch
    began = shown = time.perf_counter()
    seen_before = progress.tokens
    for step in range(progress.step, first + plan.steps_per_epoch):
        started = time.perf_counter()
        chosen = batches.step_rows(plan.train, order, config.batch, step - first)
        torch_seed(batches.step_seed(config.seed, step))
        loss, norm = gradients(run.net, rows, chosen, config, run.way)
        if not (math.isfinite(loss) and math.isfinite(norm)):
            raise faults.not_finite(plan, run.out, chosen, epoch, step, loss, norm)
        rate = learning_rate(config, step, plan.steps)
        for group in run.optimizer.param_groups:
            group["lr"] = rate
        run.optimizer.step()
        seen = int(rows.lengths[chosen].sum())
        trained = int(rows.target_counts[chosen].sum())
        progress = dataclasses.replace(
            progress,
            step=step + 1,
            nats=progress.nats + loss * trained,
            targets=progress.targets + trained,
            tokens=progress.tokens + seen,
        )
        now = time.perf_counter()
        note(
            run.metrics,
            step=step + 1,
            epoch=epoch,
            loss=loss,
            lr=rate,
            grad_norm=norm,
            tokens=seen,
            trained_tokens=trained,
            seconds=round(now - started, 6),
        )
        is_last = step + 1 == first + plan.steps_per_epoch
        if config.save_every and (step + 1) % config.save_every == 0 and not is_last:
            run.save(progress)
        if now - shown > _PROGRESS_SECONDS or is_last:
            shown = now
            run.log(
                f"epoch {epoch}/{config.epochs} step {step + 1}/{plan.steps} "
                f"loss {progress.nats / progress.targets:.4f} rate {rate:.3g} "
                f"gradient {norm:.3g} "
                f"{(progress.tokens - seen_before) / (now - began):,.0f} tokens/s"
            )
    return progress


def gradients(
    net: Any, rows: Rows, chosen: Ints, config: TrainConfig, way: Way
) -> tuple[float, float]:
    """Fill the gradients of one optimizer step; its loss in nats per target, and their norm.

    Nats are summed over every forward pass and divided once, by what the targets of the whole
    step count: however the rows are cut into passes, each trained token weighs the same.
    """
    import torch

    counted = float(rows.target_weights[chosen].sum())
    net.zero_grad(set_to_none=True)
    total = 0.0
    for batch in packing.step_batches(rows, chosen, config, way.packed):
        with packing.isolated(batch.documents):
            nats = target_nats(net, batch, whole=way.whole)
            loss = weighted_sum(nats, batch) / counted
            torch.autograd.backward(loss)
        total += loss.item()
    trained = [weight for weight in net.parameters() if weight.requires_grad]
    norm = torch.nn.utils.clip_grad_norm_(trained, config.clip or math.inf)
    return total, float(norm)


def evaluated(run: Run, epoch: int, loss: float | None) -> Epoch:
    """The line of the table for the end of `epoch`, noted and logged; 0 is before training."""
    plan = run.plan
    started = time.perf_counter()
    held = held_out_loss(plan, run.net, run.way)
    line = Epoch(epoch, epoch * plan.steps_per_epoch, loss, held)
    when = f"epoch {epoch}/{plan.config.epochs}" if epoch else "before training"
    if held is not None:
        if not math.isfinite(held.loss):
            raise CurateError(
                f"{when}: the held-out loss is {held.loss}, so no checkpoint was written; "
                f"{checkpoint.last_good(run.out)}"
            )
        seconds = round(time.perf_counter() - started, 6)
        note(
            run.metrics,
            eval=True,
            step=line.step,
            epoch=epoch,
            loss=held.loss,
            loss_per_example=held.loss_per_example,
            rows=held.rows,
            trained_tokens=held.targets,
            seconds=seconds,
        )
        run.log(f"{when}: held out {held.loss:.4f} a token, {held.loss_per_example:.4f} a row")
    return line


def held_out_loss(plan: Plan, net: Any, way: Way) -> Evaluation | None:
    return monitor.evaluate(
        net, plan.tokens.rows, plan.held_out, plan.config.micro_tokens, whole=way.whole
    )


def note(metrics: TextIO, **values: Any) -> None:
    metrics.write(json.dumps(values) + "\n")
