"""What `curate.run` gives back, and how it is made: read, judge, write, or judge anew."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from os import fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from curate import report, sources
from curate.base.errors import CurateError, one_line
from curate.base.extras import require
from curate.base.folder import atomic_folder, copy_folder, write_atomic, write_page, writing
from curate.base.log import Log, no_log
from curate.base.messages import message_json, openai_texts
from curate.base.places import check_page, short_of_space
from curate.base.replacing import check_replaced
from curate.base.terminal import printable
from curate.data import Data, Source, paths_of, read_data
from curate.pipeline import recipe as recipes
from curate.pipeline import run_folder, runner
from curate.pipeline.cache import MeasureCache, default_folder
from curate.pipeline.engine import LocalEngine
from curate.pipeline.kept_rows import row_objects
from curate.pipeline.run_folder import RunFolder
from curate.pipeline.session import SessionEngine
from curate.report.diff import Diff, diff
from curate.report.explain import explain

if TYPE_CHECKING:
    import datasets
    import pandas


# Characters of a line that says by which fields a file's formats were found.
EVIDENCE = 400
# What a run was made from, so that it can be judged anew.
MadeFrom = tuple[sources.Dump, recipes.Recipe, LocalEngine]


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
        key = None if key is None else str(key)
        return explain(self, key, grep=grep, reason=reason, step=step, rows=rows, width=width)

    def diff(self, other: RunFolder | Source) -> Diff:
        """The rows that another run, or the one in a folder, judges differently than this one.

        Its `text` (also `str` and `print`) is for people, its `rows` are a polars frame.
        """
        return diff(self, other if isinstance(other, RunFolder) else Run.open(Path(other)))

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
        dump, recipe, engine = self._made_from or _made_from(self)
        return _execute(Plan(recipe.with_settings(settings), engine), lambda *_: dump)

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
    engine: LocalEngine
    how: sources.ReadOptions = sources.DETECTED
    out: Source | None = None
    force: bool = False
    log: Log = no_log
    warn: Log | None = None


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
    inputs = [fspath(path) for path in paths_of(data) or ()]
    return _execute(plan, lambda tell, note: read_data(data, plan.how, tell, note), inputs)


# Reads what a run is made from; given who hears of oddities, and of what was left over.
Read = Callable[[Log, Log], sources.Dump]


def _execute(plan: Plan, read: Read, inputs: Sequence[str] = ()) -> Run:
    if plan.out is not None:
        return _run_into(plan.out, plan, read, inputs)
    temporary = Path(tempfile.mkdtemp(prefix="curate-"))
    try:
        run = _run_into(temporary / "RUN", plan, read, inputs)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    run.name = "<run>"
    weakref.finalize(run, shutil.rmtree, temporary, ignore_errors=True)
    return run


def _run_into(out: Source, plan: Plan, read: Read, inputs: Sequence[str]) -> Run:
    notices: list[str] = []
    tell = plan.warn or notices.append

    def note(line: str) -> None:
        plan.log(line)
        notices.append(line)

    with atomic_folder(out, run_folder.MAKER, plan.force, inputs, run_folder.FILES) as folder:
        if warning := short_of_space(out, inputs):
            tell(warning)
        steps = runner.bind_steps(plan.recipe.steps, tell)
        dump = read(tell, note)
        new = run_folder.planned(dump, steps, plan.recipe.seed)
        if replaced := check_replaced(out, run_folder.KIND, new, plan.force):
            tell(replaced)
        for file in dump.files:
            evidence = printable(" ".join(file.evidence().split()), EVIDENCE)
            plan.log(f"{file.source}: {evidence}; {file.rejected:,} rejects")

        def progress(step: runner.StepReport) -> None:
            plan.log(f"{step.name}: {step.rows:,} rows, {step.dropped:,} dropped")

        try:
            result = runner.run(dump.records, steps, plan.engine, progress)
        finally:
            plan.engine.close()
        run_folder.check_not_emptied(Path(out), result, plan.force)
        with writing(out):
            run_folder.write(folder, dump, result, plan.recipe)
        fault = _draw(RunFolder(folder))
    runner.remember(steps, result)
    if plan.engine.cache is not None:
        plan.engine.cache.trim()
    if fault is not None:
        raise CurateError(
            f"{out} holds the whole run, but {run_folder.REPORT} could not be made "
            f"({one_line(fault)}); make it again with: curate report {out}"
        ) from fault
    if not result.kept.any():
        tell("no row was kept; the report says why")
    return Run(Path(out), (dump, plan.recipe, plan.engine), notices)


def _draw(run: RunFolder) -> Exception | None:
    """Draw the report; its fault is given back, for a picture of the data must not cost it."""
    try:
        write_atomic(run.path / run_folder.REPORT, report.html(run))
    except Exception as error:
        return error
    return None


def _made_from(folder: RunFolder) -> MadeFrom:
    """What a run that was opened from its folder was made from, read again."""
    made = folder.manifest["recipe"]
    if made["name"] == recipes.IN_PYTHON:
        raise CurateError(
            f"{folder.path}: its steps were given in Python and are not in the folder; run it again"
        )
    files = folder.manifest["sources"]
    names = list(_files_of(file["source"] for file in files))
    if gone := [name for name in names if not Path(name).is_file()]:
        raise CurateError(
            f"{folder.path}: not all that it was made from is there (first {gone[0]}, as seen from "
            "here); run it again"
        )
    dump = sources.read(names, sources.ReadOptions(**folder.manifest["reading"]))
    if [file.sha256 for file in dump.files] != [file["sha256"] for file in files]:
        raise CurateError(f"{folder.path}: what it was made from has changed; run it again")
    beside = Path(made["name"]).parent
    recipe = recipes.bind(made["name"], made["text"], beside, made["settings"])
    return dump, recipe, SessionEngine(1, MeasureCache(default_folder()))


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
