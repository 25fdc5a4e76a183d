"""What a proof would take: its sets, its time and its room on the disk; nothing is left behind."""

from __future__ import annotations

import math
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from curate.base.log import Log, no_log
from curate.evals.suite_files import SuiteFile
from curate.evals.suite_model import measure
from curate.proofs.design import Design
from curate.proofs.options import ProveOptions
from curate.proofs.preparing import Prepared, prepare
from curate.proofs.runner import job_of, numbered, set_lines
from curate.proofs.training import one_thread
from trainer.after.suite.asking import Kept

# Rows of each target that are measured to know how long all take.
_TRIED = 8


def forecast(run: Path, options: ProveOptions, design: Design, jobs: int, log: Log) -> float:
    """Say what would be trained, and about how long it would take, in seconds.

    One optimizer step of the selected set is timed, and the untrained model on the first rows of
    each target; loading and saving are not in it. Raises `CurateError`.
    """
    prepared = prepare(run, options, design, log)
    for line in (*prepared.notices, *set_lines(prepared)):
        log(line)
    with TemporaryDirectory(prefix="curate-") as place, one_thread():
        training = _training(prepared, Path(place))
        measuring = _measuring(prepared)
    cells = len(prepared.sets)
    seconds = (cells * training + (cells + 1) * measuring) / max(1, min(jobs, cells))
    log(
        f"{cells:,} trainings of about {spoken(training)}, from one step that was timed, and "
        f"{cells + 1:,} measurements of about {spoken(measuring)}, from {_TRIED} rows of each "
        f"target: about {spoken(seconds)} with {jobs} at once, loading and saving not counted"
    )
    log(f"at most about {_room(prepared, jobs) / 1e6:,.0f} MB on the disk; nothing was written")
    return seconds


def _training(prepared: Prepared, place: Path) -> float:
    """Seconds of one training, as the trainer's dry run has it."""
    import trainer

    job = job_of(prepared.sets[0], prepared, place, proves=False)
    settings = {**job.settings, "tokens": job.tokens, "model": str(prepared.model)}
    config = trainer.TrainConfig.from_mapping({**settings, "out": str(place / "CKPT")})
    return trainer.dry_run(config, no_log)


def _measuring(prepared: Prepared) -> float:
    """Seconds of measuring one model."""
    files = [
        SuiteFile(
            each.name, "", min(_TRIED, each.records.height), {}, min(_TRIED, each.records.height),
            ("",) * min(_TRIED, each.records.height), numbered(each.records.head(_TRIED)),
        )
        for each in prepared.targets
    ]  # fmt: skip
    started = time.perf_counter()
    measure(str(prepared.model), None, files, prepared.suite, None, Kept(None, {}), no_log)
    seconds = time.perf_counter() - started
    rows = sum(each.records.height for each in prepared.targets)
    return seconds * max(1.0, rows / sum(file.chosen for file in files))


def _room(prepared: Prepared, jobs: int) -> float:
    """Bytes of models under way: the chosen one, an epoch's, and two states of three numbers."""
    model = sum(path.stat().st_size for path in prepared.model.glob("*.safetensors"))
    return 8.0 * model * min(jobs, len(prepared.sets))


def spoken(seconds: float) -> str:
    """A time as people say it.

    >>> spoken(42.2), spoken(300), spoken(9000)
    ('43 s', '5 min', '2.5 h')
    """
    if seconds < 100:
        return f"{math.ceil(seconds)} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
