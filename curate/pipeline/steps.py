"""A step of a recipe: its filter or fix under a name, made ready to run, and what it did."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import polars as pl

from curate.base.contract import Filter, Fix
from curate.base.errors import CurateError, one_line
from curate.base.schema import with_text


class Step(NamedTuple):
    """A filter or fix under the name that the recipe, the ledger and the report use."""

    name: str
    action: Filter | Fix


@dataclass(frozen=True)
class StepReport:
    """One line of the funnel."""

    name: str
    settings: str
    rows: int
    kept: int
    dropped: int
    edited: int = 0
    reasons: dict[str, int] = field(default_factory=dict)
    meanings: dict[str, str] = field(default_factory=dict)
    sentences: tuple[str, ...] = ()
    numbers: Mapping[str, Any] = field(default_factory=dict)
    seconds: float = 0.0


def bind_steps(
    steps: Sequence[Step], warn: Callable[[str], None] = lambda line: None
) -> list[Step]:
    """The steps with the files read that some of them compare with.

    `warn` gets a line on rows there that cannot be read. Raises `CurateError`, also where two steps
    would keep what they remember in one place (`remembers_in`, for those that say): the second
    could not see what the first will add.
    """
    ready = [_ready(step, warn) for step in steps]
    taken: dict[str, str] = {}
    for step in ready:
        folder = step.action.remembers_in if isinstance(step.action, Filter) else None
        if folder in taken:
            raise CurateError(
                f"steps {taken[folder]!r} and {step.name!r} both add to {folder}; give each a "
                "folder of its own"
            )
        if folder is not None:
            taken[folder] = step.name
    return ready


def _ready(step: Step, warn: Callable[[str], None]) -> Step:
    if not isinstance(step.action, Filter):
        return step
    read = _EvaluationReader(f"{step.name}.columns", warn)
    ready = Step(step.name, step.action.bind(read))
    read.check_columns()
    return ready


class _EvaluationReader:
    """The `Read` of one step; `setting` is where its columns are named."""

    def __init__(self, setting: str, warn: Callable[[str], None]) -> None:
        self.setting, self.warn = setting, warn
        self.columns: Mapping[str, str] = {}
        self.fields: list[str] = []

    def __call__(
        self, paths: Sequence[str], columns: Mapping[str, str] | None = None
    ) -> pl.DataFrame:
        from curate.sources.evaluations import questions

        self.columns = columns or {}
        records, warnings, fields = questions.read(paths, self.columns, self.setting)
        self.fields += fields
        for line in warnings:
            self.warn(line)
        return with_text(records)

    def check_columns(self) -> None:
        """A column that no file has is misspelt; one that some file lacks need not be."""
        if self.columns:
            from curate.sources.evaluations import questions

            questions.check_columns(self.columns, self.fields, self.setting)


def _of_step(error: CurateError, step: Step) -> CurateError:
    """The error of the second `judge` names `judge-2`, whose settings are to be mended."""
    kind = getattr(step.action, "name", step.name)
    if type(error) is not CurateError or step.name == kind:
        return error
    text = str(error).replace(f"--set {kind}.", f"--set {step.name}.")
    start = f"{kind}: "
    return CurateError(
        f"{step.name}: {text.removeprefix(start)}" if text.startswith(start) else text
    )


@contextmanager
def named(step: Step, known: Sequence[str] = ()) -> Iterator[None]:
    """What goes wrong in a step of the user's own is one sentence that names it.

    `known` are the columns of earlier steps that it could have asked for.
    """
    try:
        yield
    except CurateError as error:
        raise _of_step(error, step) from error.__cause__
    except Exception as error:
        if type(step.action).__module__.split(".")[0] in ("filters", "curate"):
            raise
        # Polars lists the columns that there are behind the one that is missing.
        told = str(error).split("valid columns")[0]
        missing = next((name for name in known if f'"{name}"' in told), None)
        if missing is not None:
            raise CurateError(
                f"step {step.name!r} reads {missing!r} of an earlier step; name it in `needs`"
            ) from error
        raise CurateError(f"step {step.name!r} failed with {one_line(error)}") from error
