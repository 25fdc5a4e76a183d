"""Processes that take one item at a time; one that dies is replaced and its item tried again."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection, wait
from os import _exit
from threading import Thread
from typing import Any

from curate.base.errors import CurateError
from curate.pipeline.portable import Pickled, pickled, portable, unpickled

# How often an item is tried again whose worker died.
RETRIES = 3
# Items under way or waiting to be given back in order, for each worker.
AHEAD = 2


class Workers:
    """Up to `count` processes; see `curate.pipeline.engine.Processes`."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._idle: list[_Worker] = []
        self._all: set[_Worker] = set()
        self._maps = 0

    def map(
        self, task: Callable[[Any], Any], about: Callable[[Any], str], items: Iterable[Any]
    ) -> Iterator[Any]:
        """`task` of every item, in their order; `about` says what an item is, for errors."""
        self._maps += 1
        work = _Map(self._maps, pickled(task), about, enumerate(items))
        busy: dict[Connection, tuple[_Worker, _Try]] = {}
        try:
            while True:
                while len(busy) < self.count and (tried := work.next(self.count * AHEAD)):
                    worker = self._idle.pop() if self._idle else self._new()
                    busy[worker.connection] = (worker, tried)
                    worker.give(work, tried)
                while work.next_out in work.answers:
                    yield work.take()
                if not busy:
                    if work.is_done:
                        return
                    continue
                ready = wait(list(busy))
                for connection in [each for each in busy if each in ready]:
                    worker, tried = busy.pop(connection)
                    if worker.answer(work, tried):
                        self._idle.append(worker)
                    else:
                        self._all.discard(worker)
        finally:
            # Whoever stopped listening, or an error, leaves workers with items that nobody awaits.
            for worker, _ in busy.values():
                worker.end()
                self._all.discard(worker)

    def _new(self) -> _Worker:
        worker = _Worker()
        self._all.add(worker)
        return worker

    def close(self) -> None:
        """End all processes, also those of a `map` that nobody listens to any more."""
        self._idle = []
        while self._all:
            self._all.pop().end()


@dataclass
class _Try:
    """An item under way, and how often its worker died."""

    index: int
    item: Any
    deaths: int = 0


@dataclass
class _Map:
    """One call of `map`: what is still to do, and answers that wait for those before them."""

    number: int
    pickled: Pickled
    about: Callable[[Any], str]
    items: Iterator[tuple[int, Any]]
    again: list[_Try] = field(default_factory=list)
    answers: dict[int, Any] = field(default_factory=dict)
    next_out: int = 0
    given: int = 0
    is_done: bool = False

    def next(self, ahead: int) -> _Try | None:
        """What to work on next; None if nothing may be begun now."""
        if self.again:
            return self.again.pop()
        if self.is_done or self.given >= self.next_out + ahead:
            return None
        for index, item in self.items:
            self.given += 1
            return _Try(index, item)
        self.is_done = True
        return None

    def take(self) -> Any:
        """The next answer, or the error that its item ended with."""
        failed, answer = self.answers.pop(self.next_out)
        self.next_out += 1
        if failed:
            raise answer
        return answer

    def died(self, tried: _Try, code: int | None, started: bool) -> None:
        """An item's worker died: it is tried again, or answered by an error."""
        tried.deaths += 1
        is_unable = not started and code is not None and code > 0
        if tried.deaths <= RETRIES and not is_unable:
            self.again.append(tried)
            return
        if is_unable:
            error = CurateError(
                f"{self.about(tried.item)}: a worker process could not start (see above); "
                'a script that uses workers needs its `if __name__ == "__main__"`'
            )
        else:
            error = CurateError(
                f"{self.about(tried.item)}: the process that worked on it died {tried.deaths} "
                f"times, the last time {_described(code)}; if memory is short, use fewer workers"
            )
        self.answers[tried.index] = (True, error)


def _described(code: int | None) -> str:
    if code is not None and code < 0:
        return f"by {signal.Signals(-code).name}"
    return f"with exit code {code}"


class _Worker:
    """One process beside this one."""

    def __init__(self) -> None:
        # Spawn, not fork: Polars' thread pool does not survive a fork.
        context = get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs,), daemon=True)
        self.process.start()
        theirs.close()
        self.started = False
        self._knows = 0  # the number of the map whose task it has

    def give(self, work: _Map, tried: _Try) -> None:
        """Hand over an item, and the task if this is another `map`."""
        task = work.pickled if self._knows != work.number else None
        self._knows = work.number
        with suppress(OSError):  # it died; `answer` sees that, since its end of the pipe is closed
            self.connection.send((task, tried.item))

    def answer(self, work: _Map, tried: _Try) -> bool:
        """Take the answer to an item; False if this process is dead."""
        try:
            message = self.connection.recv()
            if message == READY:
                self.started = True
                message = self.connection.recv()
        except (EOFError, OSError):
            self.process.join()
            work.died(tried, self.process.exitcode, self.started)
            self.connection.close()
            return False
        work.answers[tried.index] = message
        return True

    def end(self) -> None:
        """Kill it: what it writes is whole or absent."""
        self.process.kill()
        self.process.join()
        self.connection.close()


READY = "ready"


def _serve(connection: Connection) -> None:
    """What a worker does until its parent is gone: `(failed, answer)` for each item."""
    follow_parent()
    connection.send(READY)
    task: Callable[[Any], Any] | None = None
    while True:
        try:
            given, item = connection.recv()
        except EOFError:
            return
        try:
            if given is not None:
                task = unpickled(given)
            assert task is not None
            message = (False, task(item))
        except Exception as error:
            message = (True, portable(error))
        connection.send(message)


def follow_parent() -> None:
    """An interrupt is for the parent, which ends the others; they never outlive it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = parent_process()
    if parent is not None:
        Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(sentinel: int) -> None:
    wait([sentinel])
    _exit(1)
