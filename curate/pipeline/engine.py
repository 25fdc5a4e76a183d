"""Where work is done: in this process, or in several; nothing else here knows of workers.

An engine is one `map`. A task is a pure function of its item, so any engine gives the same answers,
and an item whose worker died can be tried again.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import Any, Protocol, TypeVar

from curate.pipeline.workers import Workers

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
        self._workers = Workers(count)

    def map(self, task: Task[Any, Any], items: Iterable[Any]) -> Iterator[Any]:
        """See `Engine`."""
        return self._workers.map(task, task.about, items)

    def close(self) -> None:
        """See `Engine`."""
        self._workers.close()


def engine_of(workers: int | None = None) -> Engine:
    """An engine with this many processes; None: as many as there are cores."""
    count = workers or os.cpu_count() or 1
    return Here() if count < 2 else Processes(count)


__all__ = ["Engine", "Here", "Processes", "Task", "engine_of"]
