"""What a proof would take: its sets, its time and its room on the disk; nothing is left behind."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from curate.base.log import Log, no_log
from curate.evals.suite_files import SuiteFile
from curate.evals.suite_model import measure
from curate.proofs import proof_folder
from curate.proofs.amounts import notices_of, prepare_sweep, sweep_lines
from curate.proofs.design import Design
from curate.proofs.format_runner import format_lines
from curate.proofs.formats import prepare_formats
from curate.proofs.options import ProveOptions
from curate.proofs.prepared import Prepared
from curate.proofs.preparing import prepare
from curate.proofs.runner import numbered, schedule_of, set_lines
from curate.proofs.schedule import Running, Schedule, job_of, known_models
from curate.proofs.training import one_thread
from trainer.after.suite.asking import Kept

# Rows of each target that are measured to know how long all take.
_TRIED = 8


def forecast(
    run: Path, options: ProveOptions, design: Design, jobs: int, how: Running | None, log: Log
) -> float:
    """Say what would be trained, and about how long it would take, in seconds.

    One optimizer step of the first set is timed, and the untrained model on the first rows of
    each target; loading and saving are not in it. What is in the folder of `how`, which is checked
    as for the proof, is done. Raises `CurateError`.
    """
    schedule, lines = _planned(run, options, design, log)
    done = 0 if how is None else _done(schedule, how)
    for line in lines:
        log(line)
    total = len(schedule.sets) + 1
    if done:
        log(f"{done:,} of {total:,} models are there and are not made again")
    if done == total:
        return 0.0
    with TemporaryDirectory(prefix="curate-") as place, one_thread():
        training = _training(schedule, Path(place))
        measuring = _measuring(schedule)
    # The untrained model comes first.
    cells, ways = min(total - done, len(schedule.sets)), len(schedule.promptings)
    measured = (total - done) * ways
    seconds = (cells * training + measured * measuring) / max(1, min(jobs, cells))
    log(
        f"{cells:,} trainings of about {spoken(training)}, from one step that was timed, and "
        f"{measured:,} measurements of about {spoken(measuring)}, from {_TRIED} rows of each "
        f"target: about {spoken(seconds)} with {jobs} at once, loading and saving not counted"
    )
    log(f"at most about {_room(schedule, jobs) / 1e6:,.0f} MB on the disk; nothing was written")
    return seconds


def _done(schedule: Schedule, how: Running) -> int:
    """How many models of this plan are there. Raises `CurateError` where it could not begin."""
    if not proof_folder.goes_on(how.out, schedule.inputs, schedule.plan, how.force):
        return 0
    return len(known_models(schedule, Path(how.out), proof_folder.plan_hash(schedule.plan)))


def _planned(
    run: Path, options: ProveOptions, design: Design, log: Log
) -> tuple[Schedule, list[str]]:
    """What is to be trained, and what is said of it."""
    if options.templates:
        formats = prepare_formats(run, options, design, log)
        return formats.schedule, [*formats.notices, *format_lines(formats)]
    if options.amounts or options.group is not None:
        found = prepare_sweep(run, options, design, log)
        asked = _asked_lines(found.main, len(found.at))
        return found.schedule, [*notices_of(found), *sweep_lines(found), *asked]
    prepared = prepare(run, options, design, log)
    lines = [*prepared.notices, *set_lines(prepared), *_asked_lines(prepared, 1)]
    return schedule_of(prepared), lines


def _asked_lines(prepared: Prepared, amounts: int) -> Iterator[str]:
    """What scorers would be asked, at so many amounts."""
    options = prepared.options
    prompts = sum(min(options.answers, each.records.height) for each in prepared.targets)
    each = amounts * options.seeds * prompts
    baselines = len(prepared.baselines)
    for scorer in prepared.scorers:
        asked = scorer.asks((baselines + 1) * each, baselines * each)
        yield f"{scorer.kind} {scorer.name}: {asked}"


def _training(schedule: Schedule, place: Path) -> float:
    """Seconds of a training, as the trainer's dry run has it: the mean by trained tokens."""
    import trainer

    first = schedule.sets[0]
    job = job_of(first, schedule.settings, place, proves=False)
    settings = {**job.settings, "tokens": job.tokens, "model": str(schedule.model)}
    config = trainer.TrainConfig.from_mapping({**settings, "out": str(place / "CKPT")})
    mean = sum(each.taken for each in schedule.sets) / len(schedule.sets)
    return trainer.dry_run(config, no_log) * mean / first.taken


def _measuring(schedule: Schedule) -> float:
    """Seconds of measuring one model in one way."""
    files = [
        SuiteFile(
            each.name, "", min(_TRIED, each.records.height), {}, min(_TRIED, each.records.height),
            ("",) * min(_TRIED, each.records.height), numbered(each.records.head(_TRIED)),
        )
        for each in schedule.targets
    ]  # fmt: skip
    suite = next(iter(schedule.promptings.values())).suite
    started = time.perf_counter()
    measure(str(schedule.model), None, files, suite, None, Kept(None, {}), no_log)
    seconds = time.perf_counter() - started
    rows = sum(each.records.height for each in schedule.targets)
    return seconds * max(1.0, rows / sum(file.chosen for file in files))


def _room(schedule: Schedule, jobs: int) -> float:
    """Bytes of models under way: the chosen one, an epoch's, and two states of three numbers."""
    model = sum(path.stat().st_size for path in schedule.model.glob("*.safetensors"))
    return 8.0 * model * min(jobs, len(schedule.sets))


def spoken(seconds: float) -> str:
    """A time as people say it.

    >>> spoken(42.2), spoken(300), spoken(9000)
    ('43 s', '5 min', '2.5 h')
    """
    if seconds < 100:
        return f"{math.ceil(seconds)} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
