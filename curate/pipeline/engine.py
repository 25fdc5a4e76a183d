"""Where work is done: in this process, in several, or on Ray; nothing else knows of workers.

An engine is one `map`. A task is a pure function of its item, so any engine gives the same answers,
and an item whose worker died can be tried again.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Protocol, TypeVar

from curate.base.errors import CurateError

ENGINES = PROCESSES, RAY = "processes", "ray"

Item = TypeVar("Item", contravariant=True)
Answer = TypeVar("Answer", covariant=True)


class Task(Protocol[Item, Answer]):
    """What is done with each item: picklable, and changes nothing but files of the item's name."""

    def __call__(self, item: Item) -> Answer:
        """The answer to one item."""
        ...

    def about(self, item: Item) -> str:
        """What this is, for an error: `step 'near', part 3`."""
        ...


class Engine(Protocol):
    """Does work."""

    def map(self, task: Task[Any, Any], items: Iterable[Any]) -> Iterator[Any]:
        """The task's answers, in the order of the items; few items are under way at any time.

        Raises what a task raises, and `CurateError` for an item whose worker died again and again.
        """
        ...

    def close(self) -> None:
        """End what runs beside this process."""
        ...


class Here:
    """Works in this process, one item after another."""

    def map(self, task: Task[Any, Any], items: Iterable[Any]) -> Iterator[Any]:
        """See `Engine`."""
        return map(task, items)

    def close(self) -> None:
        """There is nothing to end."""


class Processes:
    """Works in `count` processes beside this one; they start when there is something to do."""

    def __init__(self, count: int) -> None:
        # Later than this module: the command line asks it for names alone.
        from curate.pipeline.workers import Workers

        self._workers = Workers(count)

    def map(self, task: Task[Any, Any], items: Iterable[Any]) -> Iterator[Any]:
        """See `Engine`."""
        return self._workers.map(task, task.about, items)

    def close(self) -> None:
        """See `Engine`."""
        self._workers.close()


def engine_of(
    workers: int | None = None,
    name: str = PROCESSES,
    address: str | None = None,
    shared: Path | None = None,
) -> Engine:
    """An engine by its name, with this many processes; None: as many as there are cores.

    `address` is that of a Ray cluster, whose nodes all see the folder `shared`. Raises
    `CurateError`.
    """
    if name not in ENGINES:
        raise CurateError(f"engine is {name!r}; expected one of {', '.join(ENGINES)}")
    if address is not None and name != RAY:
        raise CurateError(f"address is {address!r}, which engine {name} does not read; give {RAY}")
    if name == RAY:
        from curate.pipeline.on_ray import OnRay

        return OnRay(workers, address, shared)
    count = workers or os.cpu_count() or 1
    return Here() if count < 2 else Processes(count)


__all__ = ["ENGINES", "Engine", "Here", "Processes", "Task", "engine_of"]
