"""Work on Ray: on this machine, or on a cluster that is there already.

Files carry the data, Ray carries the work: an item holds paths and numbers, answers of any size go
into files. So all nodes must see the folder of what is under way.

Ray is spoken to by a process beside this one (`curate.pipeline.ray_driver`), since Ray ends the
process that speaks to it when a cluster goes away.
"""

from __future__ import annotations

import shutil
import socket
import tempfile
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from curate.base.errors import CurateError, brief
from curate.base.extras import require
from curate.pipeline.portable import pickled
from curate.pipeline.ray_driver import Asked, RayFault, drive
from curate.pipeline.workers import AHEAD

# Seconds after which a cluster's port that does not answer is given up.
_PATIENCE = 10
# Characters of the folder for temporary files: a socket's path has at most 107, Ray adds some 80.
_LONGEST = 20


class OnRay:
    """Works on Ray; `curate.pipeline.engine.Engine`.

    `count` items at once; None: as many as there are cores. With `address` on the cluster there
    (what `ray.init` takes), whose nodes must all see the folder `shared`; else on this machine.
    Nothing is started before there is work.
    """

    def __init__(
        self, count: int | None, address: str | None = None, shared: Path | None = None
    ) -> None:
        require("engine ray", "ray", "ray")
        self._asked = Asked(count, address, shared)
        self._driver: _Driver | None = None

    def map(self, task: Any, items: Iterable[Any]) -> Iterator[Any]:
        """See `Engine`."""
        if self._driver is None:
            self._driver = _Driver(self._asked)
        driver = self._driver
        driver.ask("task", pickled(task))
        waiting: deque[str] = deque()
        try:
            for item in items:
                waiting.append(task.about(item))
                driver.ask("item", item, about=waiting[-1])
                if len(waiting) >= driver.count * AHEAD:
                    yield driver.ask("answer", about=waiting.popleft())
            while waiting:
                yield driver.ask("answer", about=waiting.popleft())
        finally:
            # Whoever stopped listening, or an error, leaves items that nobody awaits.
            if waiting and driver.is_there:
                driver.ask("forget")

    def close(self) -> None:
        """See `Engine`."""
        if self._driver is not None:
            self._driver.end()
            self._driver = None


class _Driver:
    """The process that speaks to Ray; `count` items are worked on at once."""

    def __init__(self, asked: Asked) -> None:
        if asked.address is not None:
            _check_port(asked.address)
        self._asked = asked
        self._folder = tempfile.mkdtemp(prefix="curate-ray-", dir=_short())
        # Spawn, not fork: Polars' thread pool does not survive a fork.
        context = get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(
            target=drive, args=(theirs, asked, self._folder), daemon=True
        )
        self._process.start()
        theirs.close()
        self.is_there = True
        try:
            self.count: int = self.ask("start")
        except BaseException:
            self.end()
            raise

    def ask(self, what: str, *given: Any, about: str = "") -> Any:
        """One question and its answer. Raises what the process raises, or that it is gone."""
        try:
            self._connection.send((what, given))
            failed, answer = self._connection.recv()
        except (EOFError, OSError) as error:
            self.is_there = False
            raise CurateError(self._gone(about)) from error
        except BaseException:  # interrupted: its answer would be taken for that to another question
            self.is_there = False
            raise
        if isinstance(answer, RayFault):
            raise CurateError(f"{about}: {answer}") from answer
        if failed:
            raise answer
        return answer

    def _gone(self, about: str) -> str:
        where = self._asked.address
        who = "Ray on this machine" if where is None else f"the Ray cluster at {brief(where)}"
        start = f"{about}: " if about else ""
        return f"{start}{who} went away; the same command goes on with what was done"

    def end(self) -> None:
        """End it, and what it started."""
        if self.is_there:
            self.is_there = False
            with suppress(OSError):  # it died meanwhile
                self._connection.send(("end", ()))
                self._process.join(_PATIENCE)
        self._process.kill()
        self._process.join()
        self._connection.close()
        shutil.rmtree(self._folder, ignore_errors=True)


def _short() -> str | None:
    """A folder for temporary files whose name leaves room: Ray puts sockets far below it."""
    usual = tempfile.gettempdir()
    return "/tmp" if len(usual) > _LONGEST and Path("/tmp").is_dir() else None


def _check_port(address: str) -> None:
    """Raise `CurateError` where nobody answers at HOST:PORT; Ray would try for long, and loudly."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not colon or not port.isdigit():
        return  # "auto", or what Ray knows by another name
    try:
        socket.create_connection((host.strip("[]"), int(port)), _PATIENCE).close()
    except (OSError, OverflowError) as error:
        raise CurateError(
            f"{brief(address)}: nobody answers there ({error}); give the address of a Ray cluster "
            "that is there, as HOST:PORT, or leave it out to use this machine"
        ) from error
