"""One cell of a proof: a set is trained on, the model is measured, and what came of it written."""

from __future__ import annotations

import dataclasses
import json
import shutil
import statistics
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from multiprocessing import parent_process
from pathlib import Path
from typing import Any

from curate.base.errors import CurateError
from curate.base.folder import writing
from curate.base.log import no_log
from curate.evals.suite_files import SuiteFile, read_file
from curate.evals.suite_model import FileRows, Measured, measure
from curate.evals.suite_results import SuiteOptions
from curate.proofs import proof_folder
from curate.proofs.cells import Cell, TargetCell
from curate.proofs.options import BASE
from trainer.after.suite.asking import Kept


@dataclasses.dataclass(frozen=True)
class CellJob:
    """What to train, and what is known of it: the fields of its `Cell` before it is trained.

    `tokens` is its TOKENS folder; None for the model before training.
    """

    baseline: str
    seed: int
    rows: int
    rows_sha256: str
    median_length: float
    own_tokens: int
    settings: Mapping[str, Any]
    tokens: str | None

    @property
    def name(self) -> str:
        """How the cell is called in lines and files."""
        return self.baseline if self.baseline == BASE else f"{self.baseline}.{self.seed}"


@dataclasses.dataclass(frozen=True)
class Measuring:
    """A way to measure a model: the files of targets, by name, and what is measured on them."""

    targets: Mapping[str, str]
    suite: SuiteOptions


@dataclasses.dataclass(frozen=True)
class CellTask:
    """What is the same for all cells of a proof in `folder`; called with a job, it makes a cell.

    `measurings` are the ways in which each model is measured, by what is added to the name of its
    cell. `plan` is the hash of the plan that cells belong to.
    """

    folder: str
    plan: str
    model: str
    measurings: Mapping[str, Measuring]
    keep_models: bool = False

    def __call__(self, job: CellJob) -> str:
        """Train, measure, write a file for each cell and remove the model; gives the job's name.

        A training that was stopped goes on. Raises `CurateError`.
        """
        started = time.perf_counter()
        folder = Path(self.folder)
        if parent_process() is not None:
            _plain_bars()
        with one_thread():
            trained = self._trained(job, folder)
            for suffix, measuring in self.measurings.items():
                cell = _measured(job, suffix, trained, measuring, started)
                proof_folder.write_cell(folder, self.plan, cell)
                started = time.perf_counter()
        self._tidy(job, folder)
        return job.name

    def _trained(self, job: CellJob, folder: Path) -> _Trained:
        if job.tokens is None:
            return _Trained(self.model, 0, 0, 0.0)
        import trainer

        out = proof_folder.work_of(folder, job.name) / "model"
        status = _status(out)
        if status != "done":
            settings = {**job.settings, "out": str(out), "resume": status is not None}
            config = trainer.TrainConfig.from_mapping(
                {**settings, "tokens": job.tokens, "model": self.model}
            )
            try:
                trainer.train(config, no_log)
            except CurateError as error:
                raise CurateError(f"training {job.name}: {error}") from error
        lines = (out / "metrics.jsonl").read_text("utf-8").splitlines()
        steps = [line for line in map(json.loads, lines) if not line.get("eval")]
        tokens = sum(line["trained_tokens"] for line in steps)
        return _Trained(str(out), tokens, len(steps), float(steps[-1]["loss"]))

    def _tidy(self, job: CellJob, folder: Path) -> None:
        """Remove what the cell does not need any more; models stay where that was asked for."""
        work = proof_folder.work_of(folder, job.name)
        with writing(folder):
            if self.keep_models and job.tokens is not None:
                proof_folder.keep_model(folder, job.name, work / "model")
            shutil.rmtree(work, ignore_errors=True)


@dataclasses.dataclass(frozen=True)
class _Trained:
    """A model's folder, and what its steps read."""

    model: str
    tokens: int
    steps: int
    loss: float


def _measured(
    job: CellJob, suffix: str, trained: _Trained, measuring: Measuring, started: float
) -> Cell:
    files = [read_file(path, None, 0, no_log) for path in measuring.targets.values()]
    found = measure(trained.model, None, files, measuring.suite, None, Kept(None, {}), no_log)
    return Cell(
        baseline=cell_name(job.baseline, suffix),
        seed=job.seed,
        rows=job.rows,
        rows_sha256=job.rows_sha256,
        tokens=trained.tokens,
        steps=trained.steps,
        epochs=round(trained.tokens / job.own_tokens, 4) if job.own_tokens else 0.0,
        median_length=job.median_length,
        final_loss=trained.loss,
        seconds=round(time.perf_counter() - started, 1),
        targets=_targets(measuring.targets, files, found),
        strict=tuple(statistics.fmean(each.strict) for each in found.verdicts),
        loose=tuple(statistics.fmean(each.loose) for each in found.verdicts),
    )


def cell_name(baseline: str, suffix: str) -> str:
    """The name of a cell's set, with how it was measured.

    >>> cell_name("selected", ""), cell_name("chatml", "alpaca")
    ('selected', 'chatml.alpaca')
    """
    return f"{baseline}.{suffix}" if suffix else baseline


def _targets(
    names: Iterable[str], files: Sequence[SuiteFile], found: Measured
) -> dict[str, TargetCell]:
    written: dict[tuple[str, str], str] = {
        (each.part, each.id): each.answer for each in found.answers
    }
    return {
        name: _target(file.name, rows, written)
        for name, file, rows in zip(names, files, found.files, strict=True)
    }


def _target(part: str, rows: FileRows, written: Mapping[tuple[str, str], str]) -> TargetCell:
    """What was measured on a target; its first prompts are those that were answered."""
    asked = list(rows.states)
    assert asked == list(rows.losses)[: len(asked)], "answers are not of the first prompts"
    return TargetCell(
        prompts=tuple(rows.losses),
        nats=tuple(each.nats for each in rows.losses.values()),
        bytes=tuple(each.size for each in rows.losses.values()),
        own_lengths=tuple(each.tokens for each in rows.losses.values()),
        stopped=tuple(each.stopped for each in rows.states.values()),
        lengths=tuple(each.tokens for each in rows.lengths.values()),
        loops=tuple(each.loops for each in rows.states.values()),
        answers=tuple(written[part, key] for key in asked),
        leaked=tuple(bool(each.leaked) for each in rows.states.values()),
    )


def _status(out: Path) -> str | None:
    """How far an earlier training of the cell came; None where there is none."""
    try:
        return str(json.loads((out / "train.json").read_bytes())["status"])
    except (OSError, ValueError, LookupError, TypeError):
        return None


def _plain_bars() -> None:
    """Let bars of progress, which nobody sees, share a lock of this process alone.

    Theirs is shared among processes: one that is killed leaves it behind, with a warning.
    """
    from threading import RLock

    from tqdm import tqdm  # type: ignore[import-untyped]

    tqdm.set_lock(RLock())


@contextmanager
def one_thread() -> Iterator[None]:
    """One thread for a model on the CPU: with more, sums have other last bits.

    So cells are the same whether they are made one after the other or side by side.
    """
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
