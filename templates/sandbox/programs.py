"""What is made of one template: its programs, and what they are asked to do.

A job is a function of a template's programs that gives plain data (texts, numbers, lists), so
that it can be done in this process or in another (see `contained.py`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import Any, ClassVar, TypeVar

import jinja2.meta

from curate.base.errors import CurateError
from curate.base.sandbox.limits import MAX_STEPS
from curate.base.sandbox.spent import SEARCH_SECONDS, SECONDS, Spent
from templates.provenance import runs_of
from templates.refusals import TemplateFailed
from templates.sandbox.environment import Program, Sandbox, compile_source
from templates.sandbox.tagging import Tagging
from templates.sandbox.tracing import Tracing

T = TypeVar("T")
Variables = Mapping[str, Any]


class TooCostly(CurateError):
    """A template that takes more than it may, whatever it is given."""


class SearchEnded(TooCostly):
    """A search that has taken all that it may."""


_shared: ContextVar[Spent | None] = ContextVar("_shared", default=None)
_search: ContextVar[Spent | None] = ContextVar("_search", default=None)


class Programs(ABC):
    """The programs of one template, here or elsewhere.

    `apart` says that each job is an exchange with another process, so that several at a time are
    done sooner.
    """

    apart: ClassVar[bool] = False

    def __init__(self, source: str, name: str) -> None:
        self.source, self.name = source, name

    @abstractmethod
    def within(self, spent: Spent, job: Callable[..., T], *given: Any) -> T:
        """Do a job within what is left of the limits; `spent` grows by what it took."""

    def do(self, job: Callable[..., T], *given: Any) -> T:
        """Do a job. What it gives may hold lists for tuples.

        Raises `TemplateFailed` where the template fails or reaches a limit, and `CurateError` for
        a template that cannot be compiled.
        """
        shared, searched = _shared.get(), _search.get()
        spent = shared or Spent()
        if searched is not None and searched.is_long:
            raise self._searched_long()
        if shared is not None and shared.is_all:
            raise self._too_costly("nothing is left of that")
        before = spent.seconds
        try:
            return self.within(spent, job, *given)
        except TemplateFailed as failure:
            if shared is not None and shared.is_all:
                raise self._too_costly(failure) from failure
            raise
        finally:
            if searched is not None:
                searched.seconds += spent.seconds - before

    def _searched_long(self) -> SearchEnded:
        return SearchEnded(
            f"template {self.name}: to look for options takes more than {SECONDS} seconds, "
            f"or {SEARCH_SECONDS} beside its process"
        )

    def _too_costly(self, why: object) -> TooCostly:
        return TooCostly(
            f"template {self.name}: to try it out takes more than a single rendering may take "
            f"({MAX_STEPS:,} steps, {SECONDS} seconds): {why}"
        )

    def compile(self) -> None:
        """Know now that the template can be compiled. Raises `CurateError`."""
        try:
            self.do(compiled)
        except TemplateFailed as failure:  # at a limit of the process that compiles it
            raise CurateError(f"template {self.name}: {failure}") from failure

    @cached_property
    def reads(self) -> frozenset[str]:
        """The variables that the template reads."""
        return frozenset(self.do(undeclared))


@contextmanager
def allowance() -> Iterator[None]:
    """All renderings inside may take together what one may take, else they raise `TooCostly`.

    Inside of another allowance they are counted with that.
    """
    token = _shared.set(_shared.get() or Spent())
    try:
        yield
    finally:
        _shared.reset(token)


@contextmanager
def search() -> Iterator[None]:
    """All renderings inside, each within limits of its own, may take together what one may take.

    What is made of them in this process may take `SEARCH_SECONDS`. Beyond that they raise
    `SearchEnded`.
    """
    token = _search.set(Spent())
    try:
        yield
    finally:
        _search.reset(token)


def is_shared() -> bool:
    """Whether what is done now is counted with other renderings, as inside of an allowance."""
    return _shared.get() is not None


class LocalPrograms(Programs):
    """Programs in this process, each compiled when it is first wanted."""

    def __init__(self, source: str, name: str) -> None:
        super().__init__(source, name)
        self._made: dict[type[Sandbox], Program] = {}
        self._spent = Spent()

    def of(self, sandbox: type[Sandbox]) -> Program:
        """The program in a sandbox of this kind."""
        if sandbox not in self._made:
            # Those that read tags alike are compiled once.
            shares = sandbox is not Sandbox and sandbox.tags == Sandbox.tags
            code = self.of(Sandbox).code if shares else None
            self._made[sandbox] = compile_source(self.source, self.name, sandbox(), code)
        return self._made[sandbox]

    def run(self, sandbox: type[Sandbox], variables: Variables) -> str:
        """What the program in a sandbox of this kind renders. Raises `TemplateFailed`."""
        program, spent = self.of(sandbox), self._spent
        program.spent = spent.steps
        try:
            return program.run(variables)
        finally:
            spent.steps = program.environment.steps

    @property
    def steps(self) -> int:
        """The steps of the last rendering, and of those that it is counted with."""
        return self._spent.steps

    def within(self, spent: Spent, job: Callable[..., T], *given: Any) -> T:
        """Do a job here; see `Programs.do`."""
        self._spent = spent
        return job(self, *given)


@dataclass(frozen=True)
class Runner:
    """A job that renders a text."""

    programs: Programs
    job: Callable[[LocalPrograms, Variables], str]

    def run(self, variables: Variables) -> str:
        """The text. Raises `TemplateFailed`."""
        return self.programs.do(self.job, variables)


def compiled(programs: LocalPrograms) -> None:
    """Compile the template, to know that it can be."""
    programs.of(Sandbox)


def undeclared(programs: LocalPrograms) -> list[str]:
    """The variables that the template reads."""
    compiled(programs)  # whose errors are those of a template that cannot be read
    return sorted(jinja2.meta.find_undeclared_variables(Sandbox().parse(programs.source)))


def plain(programs: LocalPrograms, variables: Variables) -> str:
    """The rendered text."""
    return programs.run(Sandbox, variables)


def tagged(programs: LocalPrograms, variables: Variables) -> str:
    """The rendered text, with marks around what the generation tags enclose."""
    return programs.run(Tagging, variables)


def traced(programs: LocalPrograms, variables: Variables) -> tuple[str, list[int]]:
    """The text rendered of traced texts, and the runs of its origins, one after the other."""
    text = programs.run(Tracing, variables)
    return str.__str__(text), list(chain.from_iterable(runs_of(text)))


Outcome = tuple[bool, Any]  # whether the job was done, and what it gave or how the template failed


def several(programs: LocalPrograms, jobs: Sequence[tuple[Any, ...]]) -> list[Outcome]:
    """Jobs one after the other, each with what it is given; `outcome` reads each."""
    return [_outcome(programs, *job) for job in jobs]


def _outcome(programs: LocalPrograms, job: Callable[..., Any], *given: Any) -> Outcome:
    try:
        return True, programs.within(Spent(), job, *given)
    except TemplateFailed as failure:
        if isinstance(failure.__cause__, MemoryError):
            raise  # alone it may have enough
        return False, str(failure)


def outcome(of: Outcome) -> Any:
    """What a job gave. Raises `TemplateFailed`."""
    done, content = of
    if not done:
        raise TemplateFailed(content)
    return content
