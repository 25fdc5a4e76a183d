"""What a proof has to train and to measure, and all of it done: what is there is not done again."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import templates
from curate.base.folder import MANIFEST, sha256, write_manifest, writing
from curate.base.log import Log
from curate.evals.suite_results import SuiteOptions
from curate.pipeline.workers import Workers
from curate.proofs import proof_folder
from curate.proofs.cells import Cell
from curate.proofs.options import BASE
from curate.proofs.prepared import PlannedSet
from curate.proofs.targets import Target
from curate.proofs.training import CellJob, CellTask, Measuring, cell_name

# Steps between states to go on from, as a share of all; shorter trainings begin anew.
_SAVES, _SAVED_FROM = 4, 40
_MEASURED = "measured"  # in the folder of what is under way: targets that were rendered


@dataclasses.dataclass(frozen=True)
class Prompting:
    """How models are asked: what is measured, and the targets rendered (None: by `suite`)."""

    suite: SuiteOptions
    rendered: Mapping[str, templates.Rendered] | None = None


@dataclasses.dataclass(frozen=True)
class Schedule:
    """All trainings of a proof: one of each of `sets`, with the same `settings`.

    Each model, and the one before training, is measured in every way of `promptings`, whose names
    are added to those of the sets. `files` are the hashes of the `targets`, `plan` is what is laid
    down beforehand, `inputs` what must not be written over.
    """

    model: Path
    plan: Mapping[str, Any]
    settings: Mapping[str, Any]
    sets: tuple[PlannedSet, ...]
    targets: tuple[Target, ...]
    files: Mapping[str, str]
    promptings: Mapping[str, Prompting]
    inputs: tuple[str, ...]

    @property
    def jobs(self) -> Iterator[tuple[str, int]]:
        """Set and seed of every model, in the order of tables: the untrained one comes last."""
        for each in self.sets:
            yield each.matched.baseline, each.matched.seed
        yield BASE, 0

    def cells_of(self, baseline: str, seed: int) -> list[tuple[str, int]]:
        """The cells that a model gives."""
        return [(cell_name(baseline, suffix), seed) for suffix in self.promptings]


@dataclasses.dataclass(frozen=True)
class Running:
    """How a proof runs: `jobs` trainings at once, models kept or not, begun anew with `force`."""

    out: str
    jobs: int = 1
    keep_models: bool = False
    force: bool = False


@contextmanager
def done(
    schedule: Schedule, how: Running, command: str, lines: Sequence[str], log: Log
) -> Iterator[tuple[Path, list[Cell]]]:
    """The folder of a proof and all of its cells, trained where they are not there.

    `lines` are logged before the first training; `command` is what goes on with a stopped one. What
    the block writes into the folder is in the manifest. Raises `CurateError`.
    """
    with proof_folder.opened(how.out, schedule.inputs, schedule.plan, how.force) as folder:
        for line in lines:
            log(line)
        plan = proof_folder.plan_hash(schedule.plan)
        known = known_models(schedule, folder, plan)
        for name in _changed(schedule, folder, set(known)):
            log(f"{name}: its file was changed since, so it is made again")
        if known:
            log(f"{how.out}: goes on with {len(known):,} trainings that are there")
        task = _task(schedule, folder, plan, how.keep_models)
        try:
            _train_all(task, schedule, folder, set(known), how.jobs, log)
            made = known_models(schedule, folder, plan)
            yield folder, [cell for cells in made.values() for cell in cells]
        except KeyboardInterrupt:
            log(f"{how.out}: what is done stays there; the same command goes on: {command}")
            raise
        _finished(schedule, folder)


def known_models(
    schedule: Schedule, folder: Path, plan: str
) -> dict[tuple[str, int], tuple[Cell, ...]]:
    """The models all of whose cells are there."""
    found = {}
    for job in schedule.jobs:
        read = [proof_folder.read_cell(folder, plan, *name) for name in schedule.cells_of(*job)]
        cells = tuple(cell for cell in read if cell is not None)
        if len(cells) == len(read):
            found[job] = cells
    return found


def _changed(schedule: Schedule, folder: Path, known: set[tuple[str, int]]) -> list[str]:
    """The files of trainings that are there and of no use."""
    names = [name for job in schedule.jobs if job not in known for name in schedule.cells_of(*job)]
    # Of a model that is measured in several ways some may be missing, the others sound.
    broken = [name for name in names if proof_folder.has_cell(folder, *name)]
    plan = proof_folder.plan_hash(schedule.plan)
    return [
        ".".join(map(str, name))
        for name in broken
        if proof_folder.read_cell(folder, plan, *name) is None
    ]


def _task(schedule: Schedule, folder: Path, plan: str, keep_models: bool) -> CellTask:
    """The task of every cell; what is measured on is written for it."""
    with writing(folder):
        for each in schedule.targets:
            path = proof_folder.target_file(folder, each.name)
            if not path.is_file() or sha256(path) != schedule.files[each.name]:
                each.write(path)
        measurings = {
            suffix: Measuring(_measured_files(schedule, folder, suffix), prompting.suite)
            for suffix, prompting in schedule.promptings.items()
        }
    return CellTask(str(folder), plan, str(schedule.model), measurings, keep_models)


def _measured_files(schedule: Schedule, folder: Path, suffix: str) -> dict[str, str]:
    """What a model is measured on, by target: conversations, or what was rendered of them."""
    rendered = schedule.promptings[suffix].rendered
    if rendered is None:
        return {
            each.name: str(proof_folder.target_file(folder, each.name)) for each in schedule.targets
        }
    place = proof_folder.work_of(folder, _MEASURED) / suffix
    place.mkdir(parents=True, exist_ok=True)
    for name, each in rendered.items():
        if not templates.is_tokens(place / name):
            templates.write(each, place / name, force=True)
    return {name: str(place / name) for name in rendered}


def _train_all(
    task: CellTask,
    schedule: Schedule,
    folder: Path,
    known: set[tuple[str, int]],
    jobs: int,
    log: Log,
) -> None:
    """Every model that is not known, `jobs` at a time."""
    total = len(schedule.sets) + 1
    left = _jobs(schedule, folder, known)
    workers = Workers(min(jobs, total)) if jobs > 1 else None
    made = map(task, left) if workers is None else workers.map(task, lambda job: job.name, left)
    try:
        for number, name in enumerate(made, len(known) + 1):
            log(f"{number:,} of {total:,}: {name}")
    finally:
        if workers is not None:
            workers.close()


def _jobs(schedule: Schedule, folder: Path, known: set[tuple[str, int]]) -> Iterator[CellJob]:
    """What is left to do; the rows of a set are written when it is its turn."""
    if (BASE, 0) not in known:
        yield CellJob(BASE, 0, 0, "", 0.0, 0, {}, None)
    for number, each in enumerate(schedule.sets):
        if (each.matched.baseline, each.matched.seed) not in known:
            yield job_of(each, schedule.settings, folder, proves=number == 0)


def job_of(each: PlannedSet, settings: Mapping[str, Any], folder: Path, proves: bool) -> CellJob:
    """The training of a set, whose TOKENS folder is written. One of them `proves` the model."""
    own = each.matched
    job = CellJob(
        own.baseline,
        own.seed,
        len(own.rows),
        each.sha256,
        each.median_length,
        own.tokens,
        {
            **settings,
            "seed": own.seed,
            "batch_tokens": own.batch_tokens,
            "max_steps": own.steps,
            "proof": proves and bool(settings.get("proof", True)),
            "save_total_limit": 1,
            "save_steps": own.steps // _SAVES if own.steps >= _SAVED_FROM else 0,
        },
        None,
    )
    place = proof_folder.work_of(folder, job.name) / "tokens"
    if not templates.is_tokens(place):
        place.parent.mkdir(parents=True, exist_ok=True)
        templates.write(each.rendered, place, force=True)
    return dataclasses.replace(job, tokens=str(place))


def _finished(schedule: Schedule, folder: Path) -> None:
    """Remove what only trainings need, and write the manifest of all that is left."""
    with writing(folder):
        work = folder / proof_folder.WORK
        shutil.rmtree(work / _MEASURED, ignore_errors=True)
        if work.is_dir() and not any(work.iterdir()):
            work.rmdir()
        (folder / MANIFEST).unlink(missing_ok=True)
        write_manifest(folder, proof_folder.MAKER, {"plan": dict(schedule.plan)})
