"""What `curate.run` gives back, and how it is made: read, judge, write, or judge anew."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, nullcontext, suppress
from dataclasses import dataclass, field
from os import fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from curate import report, sources
from curate.base.contract import Estimate, Filter
from curate.base.errors import CurateError, one_line
from curate.base.extras import require
from curate.base.folder import (
    atomic_folder,
    changes_explained,
    copy_folder,
    write_atomic,
    write_page,
    writing,
)
from curate.base.log import Log, no_log
from curate.base.messages import message_json, openai_texts
from curate.base.parts import PartSize, PartsTo
from curate.base.places import check_page, short_of_space
from curate.base.replacing import check_replaced
from curate.base.terminal import printable
from curate.data import Data, Source, paths_of, read_data
from curate.pipeline import recipe as recipes
from curate.pipeline import resume, run_folder, run_writer, runner
from curate.pipeline.cache import MeasureCache, default_folder
from curate.pipeline.engine import Engine, Here
from curate.pipeline.kept_rows import row_objects
from curate.pipeline.measuring import Measures
from curate.pipeline.progress import Progress
from curate.pipeline.result import remember
from curate.pipeline.run_folder import RunFolder
from curate.pipeline.steps import bind_steps
from curate.pipeline.work import Work
from curate.report.run_files import damage_explained
from curate.sources.files.inputs import expand

if TYPE_CHECKING:
    import datasets
    import pandas

    from curate.report.diff import Diff


# Characters of a line that says by which fields a file's formats were found.
EVIDENCE = 400


@dataclass(frozen=True)
class MadeFrom:
    """What a run was made from, so that it can be judged anew."""

    dump: sources.Dump
    recipe: recipes.Recipe
    cache: MeasureCache | None
    work: Work


class Run(RunFolder):
    """A run of `curate.run`, on disk; its frames are read when they are first asked for.

    `path` is its folder, `notices` what a user should know of how it went.
    """

    def __init__(
        self, path: Path, made_from: MadeFrom | None = None, notices: Sequence[str] = ()
    ) -> None:
        super().__init__(path)
        self.name = str(path)  # of a run that goes with its object: NAMELESS
        self.notices = tuple(notices)
        self._made_from = made_from

    def __repr__(self) -> str:
        return "\n".join([f"Run in {self.path}: {self.summary(80)}", *self.notices])

    def summary(self, width: int = 100) -> str:
        """The funnel and what the steps found out, as text of `width` columns."""
        return report.text(self, width)

    def explain(
        self,
        key: int | str | None = None,
        *,
        grep: str | None = None,
        reason: str | None = None,
        step: str | None = None,
        rows: int = 10,
        width: int | None = 100,
    ) -> str:
        """Why rows were kept, dropped or rejected: those that meet all that is given, as text.

        `key` is a row number, an id, `"FILE:LINE"` or `"FILE"`; `grep` a text, in any case;
        `reason` and `step` why and where rows were dropped, edited or rejected. One row is shown
        in full, of several the first `rows`. Raises `CurateError` where there are none.
        """
        from curate.report.explain import explain

        key = None if key is None else str(key)
        with changes_explained(self):
            return explain(self, key, grep=grep, reason=reason, step=step, rows=rows, width=width)

    def diff(self, other: RunFolder | Source) -> Diff:
        """The rows that another run, or the one in a folder, judges differently than this one.

        Its `text` (also `str` and `print`) is for people, its `rows` are a polars frame.
        """
        from curate.report.diff import diff

        theirs = other if isinstance(other, RunFolder) else Run.open(Path(other))
        with changes_explained(self, theirs):
            return diff(self, theirs)

    def report(self, path: Source | None = None) -> Path:
        """Write the report, a page that needs nothing else: to `path`, or into the run's folder."""
        target = check_page(path if path is not None else self.path / run_folder.REPORT)
        self.check_untouched()
        write_page(target, report.html(self))
        return target

    def save(self, out: Source, force: bool = False) -> Path:
        """Keep the run: copy its files to the folder `out`. Raises `CurateError`.

        An earlier run there is replaced if it was made from the same data, or with `force`.
        """
        if note := check_replaced(out, run_folder.KIND, self.manifest, force):
            self.notices += (note,)
        return copy_folder(self.path, out, run_folder.MAKER, force)

    def with_settings(self, settings: Mapping[str, Any]) -> Run:
        """The run that other settings give, `{"near.threshold": 0.7}`; judged, not measured anew.

        A run that was opened from its folder is read and measured again, if the files it was made
        from are still the same. Raises `CurateError`.
        """
        made = self._made_from
        cache = made.cache if made else MeasureCache(default_folder())
        with damage_explained(self):  # what is made of its manifest
            recipe = (made.recipe if made else _recipe_of(self)).with_settings(settings)
            read = _Again(made) if made else _Reread(self)
        return _execute(Plan(recipe, Here(), cache, remember=True), read)

    def to_dicts(self) -> list[dict[str, Any]]:
        """The kept rows as plain objects, with all that `kept.parquet` holds of them."""
        return list(row_objects(self.kept))

    def to_datasets(self) -> datasets.Dataset:
        """The kept rows as a `datasets.Dataset`; tools and rejected messages as JSON text."""
        require("to_datasets", "train", "datasets")
        import datasets

        return datasets.Dataset.from_polars(_slim(self.kept))

    def to_pandas(self) -> pandas.DataFrame:
        """The kept rows as a pandas frame; tools and rejected messages as JSON text."""
        require("to_pandas", "train", "pandas", "pyarrow")
        import pandas as pd

        return pd.DataFrame(_slim(self.kept).to_dicts())


def _slim(records: pl.DataFrame) -> pl.DataFrame:
    """Records with messages as the files have them, without fields that no message has.

    Tool calls, tools and rejected messages are JSON text.
    """
    element = pl.element().struct
    optional = [
        name
        for name in records.schema["messages"].inner.to_schema()  # type: ignore[attr-defined]
        if name not in ("role", "content")
        and records["messages"].explode().struct.field(name).is_not_null().any()
    ]
    names = {"reasoning": "reasoning_content"}
    calls = openai_texts(records["messages"])
    fields = [
        element.field(name).replace(calls["tool_calls"], calls["openai"])
        if name == "tool_calls"
        else element.field(name).alias(names.get(name, name))
        for name in optional
    ]
    messages = pl.col("messages").list.eval(
        pl.struct(element.field("role"), element.field("content"), *fields)
    )
    slim = records.with_columns(
        messages,
        rejected=pl.Series(message_json(records["rejected"]), dtype=pl.String).replace(
            "null", None
        ),
    )
    return slim.drop("row")


@dataclass(frozen=True)
class Plan:
    """What `curate.run` was asked for, beside the data: how to read, judge and write."""

    recipe: recipes.Recipe
    engine: Engine
    cache: MeasureCache | None = None
    how: sources.ReadOptions = sources.DETECTED
    out: Source | None = None
    force: bool = False
    log: Log = no_log
    warn: Log | None = None
    live: Log | None = None
    remember: bool = False
    size: PartSize = field(default_factory=PartSize)
    work: Path | None = None  # the folder for what is under way; None: beside `out`

    def place(self, out: Path) -> Path:
        """Where a run into `out` keeps what is under way."""
        return resume.place_of(out, self.work)


def chosen_recipe(
    recipe: Source | None,
    steps: Sequence[recipes.StepLike] | None,
    seed: int,
    settings: Mapping[str, Any] | None,
) -> recipes.Recipe:
    """The recipe that is named, or that of the steps; `CurateError` where both are given."""
    if steps is None:
        return recipes.load(None if recipe is None else fspath(recipe), settings)
    if recipe is not None:
        raise CurateError("recipe and steps are both given; give one of them")
    return recipes.of_steps(steps, seed, settings)


def start(data: Data, plan: Plan) -> Run:
    """Read and clean a dump; see `curate.run`."""
    return _execute(plan, _Read(data, plan.how, plan.size))


def forecast(data: Data, plan: Plan) -> list[tuple[str, Estimate]]:
    """What the steps that ask a model would ask; see `curate.estimate`. Nothing is written."""
    notices: list[str] = []
    watch = Progress(plan.log, plan.live)
    tell = watch.above(plan.warn or notices.append)
    temporary = Path(tempfile.mkdtemp(prefix="curate-"))
    try:
        with closing(watch):
            steps = bind_steps(plan.recipe.steps, tell)
            if not any(isinstance(step.action, Filter) and step.action.asks for step in steps):
                raise CurateError(
                    f"no step of {plan.recipe.name} asks a model, so there is nothing to estimate;"
                    " run it"
                )
            out = temporary / "RUN"
            place = plan.place(out)
            dump, work = _Read(data, plan.how, plan.size).begin(place, watch, tell, plan.log)
            measures = Measures(plan.engine, plan.cache, work.frames)
            try:
                return runner.estimate(dump.parts, steps, measures, work, watch)
            finally:
                plan.engine.close()
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


class _Read:
    """Reads what a run is made from, or takes it from a run that was cut off."""

    def __init__(self, data: Data, how: sources.ReadOptions, size: PartSize) -> None:
        self.data, self.how, self.size = data, how, size
        self.inputs = [fspath(path) for path in paths_of(data) or ()]

    def begin(
        self, place: Path, watch: Progress, tell: Log, note: Log
    ) -> tuple[sources.Dump, Work]:
        """The rows, and the work that the run keeps in `place`, if it is much."""
        if place.is_dir():
            expand(self.inputs)  # a misspelt name must not cost what was done
        state = resume.state_of(self.inputs, self.how, self.size)
        known = resume.look_for(place, state, self.how)
        if known is not None:
            tell(f"{place}: goes on with what a run that was cut off left there")
        watch.begin("reading", None)
        to = PartsTo(place / "parts", self.size, watch.tick)
        with resume.removed_unless_read(place) if known is None else nullcontext():
            dump = read_data(self.data, self.how, tell, note, to=to, known=known)
            work = resume.keep(place, dump, state)
        watch.clear()
        return dump, work


class _Again:
    """What was read before, to be judged anew."""

    inputs: Sequence[str] = ()

    def __init__(self, made: MadeFrom) -> None:
        self.made = made

    def begin(
        self, place: Path, watch: Progress, tell: Log, note: Log
    ) -> tuple[sources.Dump, Work]:
        """See `_Read`."""
        return self.made.dump, self.made.work.again()


def _execute(plan: Plan, read: _Read | _Again) -> Run:
    if plan.out is not None:
        return _run_into(plan.out, plan, read)
    temporary = Path(tempfile.mkdtemp(prefix="curate-"))
    try:
        run = _run_into(temporary / "RUN", plan, read)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    run.name = "<run>"
    weakref.finalize(run, _discard, run.path, temporary)
    if run._made_from is not None:
        # Runs that were judged anew share it, and may outlive this one.
        work = run._made_from.work
        weakref.finalize(work, _discard, plan.place(run.path), temporary)
    return run


def _discard(folder: Path, temporary: Path) -> None:
    """Delete a folder in one that goes with the last of them."""
    shutil.rmtree(folder, ignore_errors=True)
    with suppress(OSError):
        temporary.rmdir()


def _run_into(out: Source, plan: Plan, read: _Read | _Again) -> Run:
    notices: list[str] = []

    def note(line: str) -> None:
        log(line)
        notices.append(line)

    watch = Progress(plan.log, plan.live)
    log, tell = watch.above(plan.log), watch.above(plan.warn or notices.append)
    claimed = atomic_folder(out, run_folder.MAKER, plan.force, read.inputs, run_folder.FILES)
    place = plan.place(Path(out))
    cut_off = resume.kept_if_cut_off(place, plan.out is not None, tell)
    with closing(watch), claimed as folder, cut_off:
        for name in (out, place) if plan.work is not None else (out,):
            if warning := short_of_space(name, read.inputs):
                tell(warning)
        steps = bind_steps(plan.recipe.steps, tell)
        dump, work = read.begin(place, watch, tell, note)
        new = run_writer.planned(dump, steps, plan.recipe.seed)
        if replaced := check_replaced(out, run_folder.KIND, new, plan.force):
            tell(replaced)
        for file in dump.files:
            evidence = printable(" ".join(file.evidence().split()), EVIDENCE)
            log(f"{file.source}: {evidence}; {file.rejected:,} rejects")
        # In memory measures are held only for who may judge anew.
        frames = work.frames if plan.remember or work.folder else None
        measures = Measures(plan.engine, plan.cache, frames)
        with ThreadPoolExecutor(1) as beside:
            # Steps leave much of Python's time. What fails here fails again where it is needed.
            beside.submit(report.prepare)
            try:
                result = runner.run(dump.parts, steps, measures, work, watch)
            finally:
                plan.engine.close()
        run_writer.check_not_emptied(Path(out), result, plan.force)
        with writing(out):
            run_writer.write(folder, dump, result, plan.recipe, watch)
        fault = _draw(RunFolder(folder))
    made = MadeFrom(dump, plan.recipe, plan.cache, work) if plan.remember else None
    if made is not None:
        work.settle()
    try:
        remember(steps, result)
    finally:
        if made is None:
            work.remove()
    if plan.cache is not None:
        plan.cache.trim()
    if fault is not None:
        raise CurateError(
            f"{out} holds the whole run, but {run_folder.REPORT} could not be made "
            f"({one_line(fault)}); make it again with: curate report {out}"
        ) from fault
    if not result.kept.any():
        tell("no row was kept; the report says why")
    return Run(Path(out), made, notices)


def _draw(run: RunFolder) -> Exception | None:
    """Draw the report; its fault is given back, for a picture of the data must not cost it."""
    try:
        write_atomic(run.path / run_folder.REPORT, report.html(run))
    except Exception as error:
        return error
    return None


class _Reread(_Read):
    """Reads again what a run was made from that was opened from its folder."""

    def __init__(self, folder: RunFolder) -> None:
        names, how, self.hashes = source_files(folder)
        super().__init__(names, how, PartSize())
        self.folder = folder.path

    def begin(
        self, place: Path, watch: Progress, tell: Log, note: Log
    ) -> tuple[sources.Dump, Work]:
        """See `_Read`. Raises `CurateError` where the inputs changed."""
        dump, work = super().begin(place, watch, no_log, no_log)
        if [file.sha256 for file in dump.files] != self.hashes:
            raise CurateError(f"{self.folder}: what it was made from has changed; run it again")
        return dump, work


def source_files(folder: RunFolder) -> tuple[list[str], sources.ReadOptions, list[str]]:
    """The files that a run was made from, how they were read, and the hashes that they had.

    Raises `CurateError` where one is not there any more.
    """
    files = folder.manifest["sources"]
    names = list(_files_of(file["source"] for file in files))
    if gone := [name for name in names if not Path(name).is_file()]:
        raise CurateError(
            f"{folder.path}: not all that it was made from is there (first {gone[0]}, as seen "
            "from here); run it again"
        )
    how = sources.ReadOptions(**folder.manifest["reading"])
    return names, how, [file["sha256"] for file in files]


def _recipe_of(folder: RunFolder) -> recipes.Recipe:
    """The recipe of a run that was opened from its folder."""
    made = folder.manifest["recipe"]
    if made["name"] == recipes.IN_PYTHON:
        raise CurateError(
            f"{folder.path}: its steps were given in Python and are not in the folder; run it again"
        )
    return recipes.bind(made["name"], made["text"], Path(made["name"]).parent, made["settings"])


def _files_of(names: Iterable[str]) -> Iterator[str]:
    """The files that were read: those named, and each archive that some are from once."""
    archives: set[str] = set()
    for name in names:
        above = next((str(path) for path in Path(name).parents if path.is_file()), None)
        if above is None:
            yield name
        elif above not in archives:
            archives.add(above)
            yield above
