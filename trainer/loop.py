"""The training run, read from top to bottom: plan, load, step, evaluate, choose, save."""

from __future__ import annotations

import dataclasses
import math
import shutil
import time
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from curate.base.errors import CurateError
from trainer import faults, reward
from trainer.checks import lr_finder
from trainer.checks.plan import Log, Plan, learning_rate, make_plan
from trainer.distributed import joined
from trainer.loss import Way, target_nats, weighted_sum
from trainer.models import attention, model
from trainer.models.device import deterministic, torch_seed
from trainer.models.precision import lost_updates
from trainer.models.prepare import load_model
from trainer.models.sharding import clip
from trainer.rows import batches, mixing, packing
from trainer.rows.data import Ints, Rows
from trainer.saving import checkpoint, finish, resume
from trainer.saving.resume import Progress
from trainer.settings.config import TrainConfig
from trainer.watch import monitor, probes
from trainer.watch.metrics import Metrics, opened
from trainer.watch.pace import Pace, measure
from trainer.watch.result import Epoch, Evaluation, TrainResult
from trainer.watch.samples import answers, pair, prompts

if TYPE_CHECKING:
    import torch


def run(config: TrainConfig, log: Log) -> TrainResult:
    """Train, choose an epoch, and leave a folder that `from_pretrained` loads."""
    with joined(config.device, config.sharding) as group, deterministic(config.deterministic):
        log = log if group.first else unheard
        plan = make_plan(config, log)
        group.wait()  # else a late process would find the output folder begun, or emptied
        net, way, about = load_model(plan, log, group)
        plan = lr_finder.settle(plan, net, way, gradients, log)
        if not group.first:
            return follow(plan, net, way)
        out = checkpoint.start(config.out, config.resume)
        try:
            finish.describe(plan, out, "running", about)
            result = tune(plan, net, way, out, log)
            finish.write_results(result)
            finish.describe(plan, out, "done", {**about, **result.as_dict()})
            shutil.rmtree(out / resume.STATE)
        except (CurateError, OSError) as error:
            raise finish.stopped(plan, out, error) from error
        for line in [*monitor.table_lines(result.table, result.epoch), f"chosen: {result.why}"]:
            log(line)
        group.shared(result)
    return result


def tune(plan: Plan, net: Any, way: Way, out: Path, log: Log) -> TrainResult:
    """Train, load back the epoch that is chosen, and compare it with the model before."""
    config, place = plan.config, Path(plan.config.out)
    asked = prompts(plan.tokens.rows, plan.held_out, config.samples)
    before = answers(plan, net, asked, config.sample_tokens)
    table = train_epochs(plan, net, way, out, log)
    chosen, why = monitor.choose(table, config)
    net = finish.save_chosen(plan, net, place, chosen.epoch, way.group)
    after = held_out_loss(plan, way, net, plan.tokens.rows, plan.held_out)
    finish.check_saved(plan, place, chosen, after)
    said = pair(plan, asked, before, answers(plan, net, asked, config.sample_tokens))
    return TrainResult(place, chosen.epoch, why, tuple(table), table[0].held_out, after, said)


def follow(plan: Plan, net: Any, way: Way) -> TrainResult:
    """Another process than the first: it takes the same steps and writes nothing that stays.

    With a share of the weights it has a part in all that the first does with the model.
    """
    with TemporaryDirectory() as folder:
        part = tune if way.group.sharded else train_epochs
        part(plan, net, way, Path(folder), unheard)
    result: TrainResult = way.group.shared(None)
    return result


def unheard(line: str) -> None:
    """The log of all processes but the first."""


def train_epochs(plan: Plan, net: Any, way: Way, out: Path, log: Log) -> list[Epoch]:
    """The table of epochs; each ends with an evaluation, a checkpoint and a line in it."""
    config = plan.config
    of = resume.fingerprint(resume.settings(plan), net)
    optimizer = model.make_optimizer(net, config)
    asks = probes.prepare(plan, net, partial(held_out_loss, plan, way), way.whole)
    first = way.group.first
    progress = None
    if config.resume:
        progress = resume.restore(Path(config.out), of, net, optimizer, log, tidy=first)
    if progress:
        log(f"resumed after step {progress.step} of {plan.steps}")
    elif config.resume:
        log(f"{out} holds no state to resume from: training begins with step 1")
    with opened(out, progress is not None, config.tensorboard) as metrics:
        pace = measure(plan, net)
        run = Run(plan, net, way, optimizer, asks, out, of, metrics, pace, log)
        if progress is None:
            progress = Progress(table=(evaluated(run, 0, None),))
        for epoch in range(progress.table[-1].epoch + 1, config.epochs + 1):
            if why := monitor.ended(progress.table, config):
                log(why)
                break
            progress = train_epoch(run, epoch, progress)
            faults.check_weights(net, epoch, out, way.group)
            way.group.check_alike(net)
            loss = progress.nats / progress.counted
            table = (*progress.table, evaluated(run, epoch, loss))
            progress = Progress(progress.step, table, (*progress.kept, epoch))
            if way.group.gives:
                progress = run.keep(epoch, progress)
    return list(progress.table)


@dataclasses.dataclass(frozen=True)
class Run:
    """What stays the same from the first step to the last."""

    plan: Plan
    net: Any
    way: Way
    optimizer: torch.optim.Optimizer
    probes: probes.Probes
    out: Path
    of: dict[str, Any]  # what its states belong to
    metrics: Metrics
    pace: Pace
    log: Log

    def save(self, progress: Progress) -> None:
        """Write the state that a stopped run goes on from."""
        first = self.way.group.first
        resume.save(self.out, self.of, self.net, self.optimizer, progress, first)

    def keep(self, epoch: int, progress: Progress) -> Progress:
        """Write an epoch's checkpoint and state, and remove those that are not kept."""
        config, first = self.plan.config, self.way.group.first
        place = checkpoint.epoch_folder(self.out, epoch)
        checkpoint.save(self.net, place, config, self.plan.tokens.manifest_hash, first)
        self.save(progress)
        best, _ = monitor.choose(progress.table, config)
        kept = checkpoint.prune(self.out, progress.kept, config.keep, best.epoch)
        return dataclasses.replace(progress, kept=tuple(kept))


def train_epoch(run: Run, epoch: int, progress: Progress) -> Progress:
    """The rest of one pass over the training rows, and the sums of the whole pass."""
    plan, config, rows = run.plan, run.plan.config, run.plan.mixture.rows
    steps, group = plan.mixture.epoch(epoch), run.way.group
    first = (epoch - 1) * plan.steps_per_epoch
    for step in range(progress.step, first + len(steps)):
        started = time.perf_counter()
        chosen = steps[step - first]
        torch_seed(batches.step_seed(config.seed, step, group.rank))
        loss, norm, general = gradients(run.net, rows, chosen, config, run.way, plan.mixture.own)
        if not (math.isfinite(loss) and math.isfinite(norm)):
            raise faults.not_finite(plan, run.out, chosen, epoch, step, loss, norm)
        rate = learning_rate(config, step, plan.steps)
        for part in run.optimizer.param_groups:
            part["lr"] = rate
        if group.count > 1 and not group.sharded:
            # Where weights are rounded at random, every process must round alike.
            torch_seed(batches.step_seed(config.seed, step))
        run.optimizer.step()
        seen, counted = run.way.read(rows, chosen), run.way.counted(rows, chosen)
        progress = dataclasses.replace(
            progress,
            step=step + 1,
            nats=progress.nats + loss * counted,
            counted=progress.counted + counted,
        )
        run.pace.step(seen)
        run.metrics.note(
            step=step + 1,
            epoch=epoch,
            loss=loss,
            lr=rate,
            grad_norm=norm,
            tokens=seen,
            trained_tokens=int(rows.target_counts[chosen].sum()),
            seconds=round(time.perf_counter() - started, 6),
            **({} if general is None else {"general_loss": general}),
        )
        is_last = step + 1 == first + len(steps)
        is_due = config.save_every and (step + 1) % config.save_every == 0
        if is_due and not is_last and group.gives:
            run.save(progress)
        if run.pace.is_due or is_last:
            run.log(
                f"epoch {epoch}/{config.epochs} step {step + 1}/{plan.steps} "
                f"loss {progress.nats / progress.counted:.4f} rate {rate:.3g} "
                f"gradient {norm:.3g} {run.pace.line(step + 1)}"
            )
    return progress


def gradients(
    net: Any, rows: Rows, chosen: Ints, config: TrainConfig, way: Way, own: int
) -> tuple[float, float, float | None]:
    """Fill the gradients of one optimizer step; its loss in nats per target, and their norm.

    Nats are summed over every forward pass and divided once, by what the targets of the whole
    step count: however the rows are cut into passes, each trained token weighs the same. Rows
    from number `own` on are general text, whose loss alone comes third.
    """
    import torch

    if way.rejected is not None:
        return *reward.gradients(net, rows, way.rejected, chosen, config, way.group), None
    counted = way.counted(rows, chosen)
    net.zero_grad(set_to_none=True)
    total: Any = 0.0
    general: Any = 0.0
    mine = chosen[way.group.share(rows.lengths[chosen])]
    passes = packing.step_batches(rows, mine, config, way.packed)
    shortest = chosen[[np.argmin(rows.lengths[chosen])]]
    for batch, counts in way.group.in_step(passes, lambda: batches.pad(rows, shortest)):
        with attention.isolated(batch.documents):
            nats = target_nats(net, batch, whole=way.whole)
            loss = weighted_sum(nats, batch) * counts / counted
            torch.autograd.backward(loss)
        # Read once a step: a GPU is not waited for between passes.
        total = total + loss.detach().double()
        if counts and int(batch.rows.max()) >= own:
            general = general + mixing.general_nats(nats, batch, own)
    trained = [weight for weight in net.parameters() if weight.requires_grad]
    total, general = way.group.add_up(trained, float(total), float(general))
    norm = clip(trained, config.clip)
    read = int(rows.target_counts[chosen[chosen >= own]].sum())
    return total, norm, general / read if read else None


def evaluated(run: Run, epoch: int, loss: float | None) -> Epoch:
    """The line of the table for the end of `epoch`, noted and logged; 0 is before training."""
    plan = run.plan
    started = time.perf_counter()
    held = held_out_loss(plan, run.way, run.net, plan.tokens.rows, plan.held_out)
    probe = run.probes.measure(run.net, held)
    # What is decided by it must be decided alike in all processes.
    line: Epoch = run.way.group.shared(
        Epoch(epoch, epoch * plan.steps_per_epoch, loss, held, probe)
    )
    when = f"epoch {epoch}/{plan.config.epochs}" if epoch else "before training"
    said: dict[str, Any] = {}
    if held is not None:
        if not math.isfinite(held.loss):
            raise CurateError(
                f"{when}: the held-out loss is {held.loss}, so no checkpoint was written; "
                f"{checkpoint.last_good(run.out)}"
            )
        said = {
            "loss": held.loss,
            "loss_per_example": held.loss_per_example,
            "rows": held.rows,
            "trained_tokens": held.targets,
            **({} if held.accuracy is None else {"accuracy": held.accuracy}),
        }
        run.log(f"{when}: held out {held.loss:.4f} a token, {held.loss_per_example:.4f} a row")
    said |= {**probe.measured(), **lost_updates(run.optimizer, run.log, run.way.group)}
    if said.keys() - {"length_target"}:
        seconds = round(time.perf_counter() - started, 6)
        run.metrics.note(eval=True, step=line.step, epoch=epoch, seconds=seconds, **said)
    return line


def held_out_loss(plan: Plan, way: Way, net: Any, rows: Rows, chosen: Ints) -> Evaluation | None:
    if way.rejected is not None:
        return reward.evaluate(net, rows, way.rejected, chosen, plan.config.micro_tokens)
    return monitor.evaluate(net, rows, chosen, plan.config.micro_tokens, whole=way.whole)
