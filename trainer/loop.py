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

from curate.base.errors import CurateError
from trainer.checkpoints import checkpoint, finish, fisher, place, resume
from trainer.checkpoints.resume import Progress
from trainer.checks import finite, lr_finder
from trainer.checks.loading import load_model
from trainer.checks.planning import make_plan
from trainer.config.config import TrainConfig
from trainer.data import batches
from trainer.data.rows import Ints, Rows
from trainer.distributed import Group, joined
from trainer.evaluation import choosing, probes
from trainer.evaluation.metrics import Metrics, opened
from trainer.evaluation.pace import Pace, measure
from trainer.evaluation.samples import LONGEST, SHOWN, answers, pair, prompts
from trainer.evaluation.table import certainty_lines, length_lines, table_lines
from trainer.loss import LossMode
from trainer.models import model
from trainer.models.device import deterministic, torch_seed
from trainer.models.precision import lost_updates
from trainer.objectives.closing import PENALTY, penalty_shown
from trainer.objectives.registry import OBJECTIVES
from trainer.plan import Log, Plan, learning_rate, no_log
from trainer.result import Epoch, Evaluation, TrainResult

if TYPE_CHECKING:
    import torch


def run(config: TrainConfig, log: Log) -> TrainResult:
    """Train, choose an epoch, and leave a folder that `from_pretrained` loads."""
    with (
        joined(config.device, config.sharding) as group,
        place.claimed(config, group.first),
        deterministic(config.deterministic),
    ):
        return run_in(group, config, log if group.first else no_log)


def run_in(group: Group, config: TrainConfig, log: Log) -> TrainResult:
    """What every process does; its model is out of reach at the end (see `joined`)."""
    plan = make_plan(config, log)
    group.wait()  # else a late process would find the output folder begun, or emptied
    net, mode, about = load_model(plan, log, group)
    plan = lr_finder.settle(plan, net, mode, log)
    if not group.first:
        return run_worker(plan, net, mode)
    out = place.start(config)
    try:
        finish.describe(plan, out, "running", about)
        result = tune(plan, net, mode, out, log)
        finish.write_results(result)
        finish.describe(plan, out, "done", {**about, **result.as_dict()})
        shutil.rmtree(out / resume.STATE)
    except (CurateError, OSError) as error:
        raise finish.stopped(plan, out, error) from error
    for line in _outcome(result):
        log(line)
    group.shared(result)
    return result


def _outcome(result: TrainResult) -> list[str]:
    """The table of epochs, how much it means, and the choice."""
    chosen = next(line for line in result.table if line.epoch == result.epoch)
    table = table_lines(result.table, result.epoch)
    return [*table, *length_lines(result.table), *certainty_lines(chosen), f"chosen: {result.why}"]


def tune(plan: Plan, net: Any, mode: LossMode, out: Path, log: Log) -> TrainResult:
    """Train, load back the epoch that is chosen, and compare it with the model before."""
    final = Path(plan.config.out)
    asked = prompts(plan.tokens.rows, plan.wanted(plan.held_out), min(SHOWN, plan.config.prompts))
    before = answers(plan, net, asked, LONGEST)
    table = train_epochs(plan, net, mode, out, log)
    chosen, why = choosing.choose(table, plan.config)
    net = finish.save_chosen(plan, net, final, chosen.epoch, mode.group)
    after = loss_of(plan, mode, net, plan.tokens.rows, plan.held_out)
    finish.check_saved(plan, final, chosen, after)
    samples = pair(plan, asked, before, answers(plan, net, asked, LONGEST))
    return TrainResult(final, chosen.epoch, why, tuple(table), table[0].held_out, after, samples)


def run_worker(plan: Plan, net: Any, mode: LossMode) -> TrainResult:
    """Another process than the first: it takes the same steps and writes nothing that stays.

    With a share of the weights it has a part in all that the first does with the model.
    """
    with TemporaryDirectory() as folder:
        part = tune if mode.group.sharded else train_epochs
        part(plan, net, mode, Path(folder), no_log)
    result: TrainResult = mode.group.shared(None)
    return result


def train_epochs(plan: Plan, net: Any, mode: LossMode, out: Path, log: Log) -> list[Epoch]:
    """The table of epochs; each ends with an evaluation, a checkpoint and a line in it."""
    config, first = plan.config, mode.group.first
    of = resume.fingerprint(resume.settings(plan), net, mode)
    fisher.keep(out, mode)
    optimizer = model.make_optimizer(net, config)
    asks = probes.prepare(plan, net, partial(loss_of, plan, mode), mode.whole)
    progress = None
    if config.resume:
        progress = resume.restore(Path(config.out), of, net, optimizer, log, tidy=first)
    if progress:
        resume.restore_updates(optimizer, progress.updates, mode.group)
        log(f"resumed after step {progress.step} of {plan.steps}")
    elif config.resume:
        log(f"{out} holds no state to resume from: training begins with step 1")
    settings = dataclasses.asdict(config)
    with opened(out, progress is not None, config.report_to, settings) as metrics:
        pace = measure(plan, net)
        run = Run(plan, net, mode, optimizer, asks, out, of, metrics, pace, log)
        if progress is None:
            progress = Progress(table=(evaluated(run, 0, None),))
        for epoch in range(progress.table[-1].epoch + 1, config.num_train_epochs + 1):
            if why := choosing.ended(progress.table, config):
                log(why)
                break
            progress = train_epoch(run, epoch, progress)
            finite.check_weights(net, epoch, out, mode.group)
            mode.group.check_alike(net)
            loss = progress.nats / progress.counted
            table = (*progress.table, evaluated(run, epoch, loss))
            progress = Progress(progress.step, table, (*progress.kept, epoch))
            if mode.group.gives:
                progress = run.keep(epoch, progress)
    return list(progress.table)


@dataclasses.dataclass(frozen=True)
class Run:
    """What stays the same from the first step to the last."""

    plan: Plan
    net: Any
    mode: LossMode
    optimizer: torch.optim.Optimizer
    probes: probes.Probes
    out: Path
    of: dict[str, Any]  # what its states belong to
    metrics: Metrics
    pace: Pace
    log: Log

    def save(self, progress: Progress) -> None:
        """Write the state that a stopped run goes on from."""
        first = self.mode.group.first
        updates = resume.updates(self.optimizer, self.mode.group)
        progress = dataclasses.replace(progress, updates=updates)
        what = (self.of, self.net, self.optimizer, progress, first, self.mode.reference)
        resume.save(self.out, *what)

    def keep(self, epoch: int, progress: Progress) -> Progress:
        """Write an epoch's checkpoint and state, and remove those that are not kept."""
        config, first = self.plan.config, self.mode.group.first
        folder = checkpoint.epoch_folder(self.out, epoch)
        checkpoint.save(self.net, folder, self.plan, first)
        self.save(progress)
        best, _ = choosing.choose(progress.table, config)
        kept = checkpoint.prune(self.out, progress.kept, config.save_total_limit, best.epoch)
        return dataclasses.replace(progress, kept=tuple(kept))


def train_epoch(run: Run, epoch: int, progress: Progress) -> Progress:
    """The rest of one pass over the training rows, and the sums of the whole pass."""
    plan, config, mode, rows = run.plan, run.plan.config, run.mode, run.plan.mixture.rows
    objective, group, own = OBJECTIVES[config.objective], mode.group, plan.mixture.own
    steps = plan.mixture.epoch(epoch)
    first = (epoch - 1) * plan.steps_per_epoch
    for step in range(progress.step, first + len(steps)):
        started = time.perf_counter()
        chosen = steps[step - first]
        torch_seed(batches.step_seed(config.seed, step, group.rank))
        loss, norm, others = objective.gradients(run.net, rows, chosen, config, mode, own)
        if not (math.isfinite(loss) and math.isfinite(norm)):
            penalty = others.get(PENALTY)
            raise finite.not_finite(plan, run.out, chosen, epoch, step, loss, norm, penalty)
        rate = learning_rate(config, step, plan.steps)
        for part in run.optimizer.param_groups:
            part["lr"] = rate
        if group.count > 1 and not group.sharded:
            # Where weights are rounded at random, every process must round alike.
            torch_seed(batches.step_seed(config.seed, step))
        run.optimizer.step()
        tokens, counted = objective.tokens_read(rows, chosen, mode), objective.counted(rows, chosen)
        progress = dataclasses.replace(
            progress,
            step=step + 1,
            nats=progress.nats + loss * counted,
            counted=progress.counted + counted,
        )
        seconds = time.perf_counter() - started
        run.pace.step(tokens, seconds)
        run.metrics.note(
            step=step + 1,
            epoch=epoch,
            loss=loss,
            learning_rate=rate,
            grad_norm=norm,
            tokens=tokens,
            trained_tokens=int(rows.target_counts[chosen].sum()),
            seconds=round(seconds, 6),
            **others,
        )
        is_last = step + 1 == first + len(steps)
        is_due = config.save_steps and (step + 1) % config.save_steps == 0
        if is_due and not is_last and group.gives:
            run.save(progress)
        if run.pace.is_due or is_last:
            run.log(
                f"epoch {epoch}/{config.num_train_epochs} step {step + 1}/{plan.steps} "
                f"loss {progress.nats / progress.counted:.4f} {penalty_shown(others)}"
                f"rate {rate:.3g} "
                f"gradient {norm:.3g} {run.pace.line(step + 1, epoch)}"
            )
    return progress


def evaluated(run: Run, epoch: int, loss: float | None) -> Epoch:
    """The line of the table for the end of `epoch`, noted and logged; 0 is before training."""
    plan = run.plan
    started = time.perf_counter()
    held = loss_of(plan, run.mode, run.net, plan.tokens.rows, plan.held_out)
    probe = run.probes.measure(run.net, held)
    run.pace.evaluated(time.perf_counter() - started)
    # What is decided by it must be decided alike in all processes.
    line: Epoch = run.mode.group.shared(Epoch(epoch, plan.steps_until(epoch), loss, held, probe))
    when = f"epoch {epoch}/{plan.config.num_train_epochs}" if epoch else "before training"
    if held is not None:
        if not math.isfinite(held.loss):
            raise CurateError(
                f"{when}: the held-out loss is {held.loss}, so no checkpoint was written; "
                f"{checkpoint.last_good(run.out)}"
            )
        run.log(f"{when}: held out {held}")
    numbers = {**line.measures(), **lost_updates(run.optimizer, run.log, run.mode.group)}
    if numbers.keys() - {"length_target"}:
        seconds = round(time.perf_counter() - started, 6)
        run.metrics.note(eval=True, step=line.step, epoch=epoch, seconds=seconds, **numbers)
    return line


def loss_of(plan: Plan, mode: LossMode, net: Any, rows: Rows, chosen: Ints) -> Evaluation | None:
    """The loss of the rows `chosen`, by the run's objective; None if there are none."""
    evaluate = OBJECTIVES[plan.config.objective].evaluate
    return evaluate(net, rows, chosen, plan.config.micro_tokens, mode)
