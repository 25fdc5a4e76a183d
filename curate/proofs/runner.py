"""A proof from its plan to its verdict: every training that is not there yet, then what came."""

from __future__ import annotations

import dataclasses
import json
import math
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import polars as pl

import templates
from curate.base.folder import MANIFEST, sha256, write_atomic, write_manifest, writing
from curate.base.log import Log, no_log
from curate.pipeline.workers import Workers
from curate.proofs import page, proof_folder
from curate.proofs.cells import Cell, TargetCell
from curate.proofs.design import Design
from curate.proofs.options import BASE, ProveOptions
from curate.proofs.preparing import PlannedSet, Prepared, prepare
from curate.proofs.proof import Proof
from curate.proofs.targets import texts_of
from curate.proofs.training import CellJob, CellTask
from curate.proofs.verdicts import judge

# Steps between states to go on from, as a share of all; shorter trainings begin anew.
_SAVES, _SAVED_FROM = 4, 40


def prove(
    run: Path,
    options: ProveOptions,
    design: Design,
    out: str,
    jobs: int = 1,
    keep_models: bool = False,
    force: bool = False,
    log: Log = no_log,
) -> Proof:
    """See `curate.prove`."""
    prepared = prepare(run, options, design, log)
    for line in prepared.notices:
        log(line)
    inputs = [str(run), str(prepared.model), *options.targets]
    with proof_folder.opened(out, inputs, prepared.plan, force) as folder:
        for line in set_lines(prepared):
            log(line)
        _write_targets(prepared, folder)
        plan = proof_folder.plan_hash(prepared.plan)
        known = {name: cell for name, cell in _cells(prepared, folder, plan) if cell is not None}
        if known:
            log(f"{out}: goes on with {len(known):,} trainings that are there")
        task = _task(prepared, folder, plan, keep_models)
        try:
            _train_all(task, prepared, folder, set(known), jobs, log)
        except KeyboardInterrupt:
            command = command_of(run, options, design, out)
            log(f"{out}: what is done stays there; the same command goes on: {command}")
            raise
        cells = [cell for _, cell in _cells(prepared, folder, plan) if cell is not None]
        log(before_line(cells[-1]))
        return _concluded(prepared, folder, cells, command_of(run, options, design, out))


def _task(prepared: Prepared, folder: Path, plan: str, keep_models: bool) -> CellTask:
    files = {
        each.name: str(proof_folder.target_file(folder, each.name)) for each in prepared.targets
    }
    return CellTask(
        str(folder), plan, str(prepared.model), files, prepared.suite, keep_models=keep_models
    )


def _names(prepared: Prepared) -> Iterator[tuple[str, int]]:
    """Baseline and seed of every cell, in the order of tables: the untrained model comes last."""
    for each in prepared.sets:
        yield each.matched.baseline, each.matched.seed
    yield BASE, 0


def _cells(
    prepared: Prepared, folder: Path, plan: str
) -> Iterator[tuple[tuple[str, int], Cell | None]]:
    for name in _names(prepared):
        yield name, proof_folder.read_cell(folder, plan, *name)


def _write_targets(prepared: Prepared, folder: Path) -> None:
    with writing(folder):
        for each in prepared.targets:
            path = proof_folder.target_file(folder, each.name)
            if not path.is_file() or sha256(path) != prepared.files[each.name]:
                each.write(path)


def _train_all(
    task: CellTask,
    prepared: Prepared,
    folder: Path,
    known: set[tuple[str, int]],
    jobs: int,
    log: Log,
) -> None:
    """Every cell that is not known, `jobs` at a time."""
    total = len(prepared.sets) + 1
    left = _jobs(prepared, folder, known)
    workers = Workers(min(jobs, total)) if jobs > 1 else None
    made = map(task, left) if workers is None else workers.map(task, lambda job: job.name, left)
    try:
        for number, name in enumerate(made, len(known) + 1):
            log(f"{number:,} of {total:,}: {name}")
    finally:
        if workers is not None:
            workers.close()


def _jobs(prepared: Prepared, folder: Path, known: set[tuple[str, int]]) -> Iterator[CellJob]:
    """What is left to do; the rows of a set are written when it is its turn."""
    if (BASE, 0) not in known:
        yield CellJob(BASE, 0, 0, "", 0.0, 0, {}, None)
    for number, each in enumerate(prepared.sets):
        if (each.matched.baseline, each.matched.seed) not in known:
            yield job_of(each, prepared, folder, proves=number == 0)


def job_of(each: PlannedSet, prepared: Prepared, folder: Path, proves: bool) -> CellJob:
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
            **prepared.settings,
            "seed": own.seed,
            "batch_tokens": own.batch_tokens,
            "max_steps": own.steps,
            "proof": proves and bool(prepared.settings.get("proof", True)),
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


def _concluded(prepared: Prepared, folder: Path, cells: Sequence[Cell], command: str) -> Proof:
    """The verdicts of all cells, as values, a page and a manifest."""
    compared = [cell for cell in cells if cell.baseline != BASE]
    (base,) = (cell for cell in cells if cell.baseline == BASE)
    proof = judge(compared, prepared.design)
    before = {name: bits_per_byte(target) for name, target in base.targets.items()}
    values = {"plan": prepared.plan, "before_training": before, **proof.as_dict()}
    text = json.dumps(values, indent=2, ensure_ascii=False) + "\n"
    with writing(folder):
        write_atomic(folder / proof_folder.PROOF, text)
        about = _about(prepared, base, command)
        page.write_page(proof, about, folder / proof_folder.PAGE)
        work = folder / proof_folder.WORK
        if work.is_dir() and not any(work.iterdir()):
            work.rmdir()
        (folder / MANIFEST).unlink(missing_ok=True)
        write_manifest(folder, proof_folder.MAKER, {"plan": prepared.plan})
    return proof


def bits_per_byte(target: TargetCell) -> float:
    """Bits that a model needs for a byte of the held-out answers, all together."""
    return sum(target.nats) / math.log(2) / sum(target.bytes)


def before_line(base: Cell) -> str:
    """The model before training, as a line."""
    shown = (f"{bits_per_byte(target):.3f} on {name}" for name, target in base.targets.items())
    return f"bits per byte before training: {', '.join(shown)}"


def _about(prepared: Prepared, base: Cell, command: str) -> dict[str, Any]:
    """What the page says beside the numbers."""
    keys = {name: target.prompts for name, target in base.targets.items()}
    sets = [
        {
            "name": f"{each['baseline']}, seed {each['seed']}",
            **{name: each[name] for name in ("rows", "tokens", "sha256")},
        }
        for each in prepared.plan["sets"]
    ]
    measured = [
        {
            "name": f"target {each.name}",
            "rows": each.records.height,
            "tokens": None,
            "sha256": prepared.files[each.name],
        }
        for each in prepared.targets
    ]
    return {
        "model": prepared.options.model,
        "template": prepared.template.name,
        "set": str(prepared.run.path),
        "sets": [*sets, *measured],
        "commands": [command],
        "notices": [*prepared.notices, before_line(base)],
        "versions": prepared.plan["versions"],
        "texts": {
            each.name: texts_of(numbered(each.records), keys[each.name])
            for each in prepared.targets
        },
    }


def numbered(records: pl.DataFrame) -> pl.DataFrame:
    """Records as they are when their file is read: numbered from 0."""
    return records.drop("row").with_row_index("row")


def set_lines(prepared: Prepared) -> list[str]:
    """The sets as lines: rows, tokens, steps and passes, of the seeds' means."""
    lines = [
        f"{prepared.amount.tokens:,} trained tokens in {prepared.amount.steps:,} steps, "
        f"{prepared.options.seeds} seeds"
    ]
    sets = prepared.sets
    for name in dict.fromkeys(each.matched.baseline for each in sets):
        own = [each for each in sets if each.matched.baseline == name]
        rows = sum(len(each.matched.rows) for each in own) / len(own)
        taken = sum(each.taken for each in own) / len(own)
        epochs = sum(each.epochs for each in own) / len(own)
        length = sum(each.median_length for each in own) / len(own)
        lines.append(
            f"  {name}: {rows:,.0f} rows, {taken:,.0f} trained tokens, "
            f"{own[0].matched.steps:,} steps, {epochs:.2f} epochs, median answer {length:,.0f}"
        )
    return lines


def command_of(run: Path, options: ProveOptions, design: Design, out: str) -> str:
    """The command that makes, or goes on with, this proof."""
    words = ["curate", "prove", str(run), "--model", options.model]
    words += [] if options.template is None else ["--template", options.template]
    words += ["--baselines", ",".join(options.baselines)]
    for name, value in _numbers(options, design).items():
        words += [f"--{name.replace('_', '-')}", str(value)]
    for target in options.targets:
        words += ["--targets", target]
    for name, value in options.training.items():
        given = ",".join(value) if isinstance(value, list | tuple) else json.dumps(value)
        words += ["--set", f"{name}={value if isinstance(value, str) else given}"]
    return shlex.join([*words, "--out", out])


def _numbers(options: ProveOptions, design: Design) -> dict[str, Any]:
    """Options with a number that is not what it is without them."""
    fields = {field.name: field.default for field in dataclasses.fields(ProveOptions)}
    names = ("tokens", "seeds", "max_rows", "answers", "instructions", "max_tokens")
    given = {name: getattr(options, name) for name in names}
    changed = {name: value for name, value in given.items() if value != fields[name]}
    return changed if design.margin == Design().margin else {**changed, "margin": design.margin}
