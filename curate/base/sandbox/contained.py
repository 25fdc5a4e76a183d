"""The process in which templates of strangers run, seen from the one that asks it.

A file or a tokenizer's own template is foreign code, and the limits of the sandbox are as good as
its list of what costs. So nothing of it runs in this process, not even its compilation. There is
one such process for each Python process, started when it is first wanted and ended with it. It may
take so much time and memory; where it ends, the row is refused, and the next row gets a new one. A
template that ends several in a row is given up: rows that are left are refused without a try.

Requests are pickled, as this side is trusted; answers are JSON, which runs no code.
"""

from __future__ import annotations

import atexit
import hashlib
import os
import pickle
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jinja2
import markupsafe

import curate.base.errors
from curate.base.errors import CurateError
from curate.base.sandbox.environment import SourceError
from curate.base.sandbox.frames import read, receive, send
from curate.base.sandbox.spent import (
    KNOWN,
    MEMORY,
    OUT_OF_MEMORY,
    SECONDS,
    WALL_SECONDS,
    Spent,
)

DEATHS = 5  # processes in a row that a template may end before it is given up
START_SECONDS = 60

_CANNOT_START = "the process for templates that are not bundled cannot be started"

# The package is named to the new process without its `__init__`, which imports Polars and more.
_START = """
import sys, types
folder, memory, folders = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
sys.modules["curate"] = types.ModuleType("curate")
sys.modules["curate"].__path__ = [folder]
sys.path += folders
from curate.base.sandbox.worker import main
main(memory)
"""


class Ended(Exception):
    """The process of the templates has ended, or was ended; says what happened."""

    def __init__(self, message: str, out_of_time: bool = False) -> None:
        self.out_of_time = out_of_time
        super().__init__(message)


class Worker:
    """A process that renders. Raises `CurateError` if it cannot be started."""

    def __init__(self) -> None:
        self.known: set[str] = set()  # templates whose source it has
        package = Path(curate.base.errors.__file__).parents[1]
        libraries = [Path(str(each.__file__)).parent for each in (jinja2, markupsafe)]
        folders = dict.fromkeys(str(each.parent) for each in (package, *libraries))
        given = [str(package), str(MEMORY), *folders]
        try:
            self.process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", _START, *given],
                bufsize=0,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,  # an interrupt is for this process alone
            )
        except OSError as error:
            raise CurateError(f"{_CANNOT_START}: {error}") from error
        assert self.process.stdin and self.process.stdout
        self.requests, self.answers = self.process.stdin.fileno(), self.process.stdout.fileno()
        self._poll = select.poll() if hasattr(select, "poll") else None
        if self._poll:
            self._poll.register(self.answers, select.POLLIN)
        try:
            self._received(START_SECONDS)  # its word that it is ready
        except Ended as error:
            raise CurateError(f"{_CANNOT_START}: {error}") from error

    def ask(self, request: bytes) -> Any:
        """The answer to a request. Raises `Ended`."""
        try:
            send(self.requests, request)
            return read(self._received(WALL_SECONDS))
        except OSError:
            raise self._ended() from None
        except BaseException:  # an interrupt: what it is doing is not wanted any more
            self.end()
            raise

    def _received(self, seconds: float) -> bytes:
        limit = time.monotonic() + seconds

        def wait() -> None:
            # Without `poll` (on Windows) the process ends itself when its time is up.
            if self._poll and not self._poll.poll(max(0.0, limit - time.monotonic()) * 1000):
                self.end()
                raise late

        late = Ended(f"it took more than {seconds:.0f} seconds", out_of_time=True)
        message = receive(self.answers, wait)
        if message is None:
            ended = self._ended()
            raise late if time.monotonic() > limit else ended
        return message

    def _ended(self) -> Ended:
        """Why the process ended by itself."""
        words = self.process.stderr.read() if self.process.stderr else b""
        code = self.end(grace=5)
        if hasattr(signal, "SIGXCPU") and code == -signal.SIGXCPU:
            return Ended(f"it took more than {SECONDS} seconds of processor time", True)
        if code == OUT_OF_MEMORY:
            return Ended(f"it needs more memory than {MEMORY / (1 << 30):.1f} GiB")
        how = signal.strsignal(-code) if code < 0 else f"exit code {code}"
        last = words.decode(errors="replace").strip().rpartition("\n")[2]
        return Ended(f"it ended the process that it is rendered in ({last or how})")

    def end(self, grace: float = 0) -> int:
        """End the process, which its closed pipe tells it to; its exit code."""
        process = self.process
        self._close()
        try:
            return process.wait(grace)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()

    def abandon(self) -> None:
        """Let go of a process that belongs to the one that this one was forked from."""
        self._close()
        self.process.returncode = 0  # not for us to wait for

    def _close(self) -> None:
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            if stream:
                stream.close()


class Failed(Exception):
    """A template that fails on what it is given, or cannot take it; says how."""


class AtLimit(Failed):
    """A template that wants more than it may have; the process goes on."""


class NotPlain(Exception):
    """Something that the process cannot make of what it is given; says why."""


_ERRORS: dict[str, type[Exception]] = {"given": NotPlain, "limit": AtLimit}


class Contained:
    """What is made of one template, in the process for templates of strangers.

    `made` makes it there, of source and name: a class whose `within(spent, job, *given)` does a
    job, a function that gives plain data. Class and jobs are of one package, of which the process
    reads no more than it needs.
    """

    def __init__(self, made: type, source: str, name: str) -> None:
        self.made, self.source, self.name = made, source, name
        # Equal templates are compiled once.
        self._key = hashlib.sha256(
            f"{made.__qualname__}\0{name}\0{source}".encode(errors="surrogatepass")
        ).hexdigest()
        package = made.__module__.partition(".")[0]
        self._package = (package, list(sys.modules[package].__path__))
        self._deaths = 0  # processes that it ended in a row
        self._end = ""  # of the last of them

    @property
    def given_up(self) -> str:
        """Why the template is not asked any more; "" while it is."""
        if self._deaths < DEATHS:
            return ""
        return f"it ended {DEATHS} processes in a row and is given up; at last: {self._end}"

    def ask(
        self, spent: Spent, job: Callable[..., Any], packed: bytes, *, counts: bool = True
    ) -> Any:
        """What a job gives, of pickled arguments; `spent` grows by what it took.

        Raises `Failed` where the template does (`AtLimit` at a limit), `Ended` where it ended the
        process (one that `counts` towards giving it up), `NotPlain`, and `SourceError` for a
        template that cannot be compiled.
        """
        word, content, spent.steps, seconds = self._asked(spent, job, packed, counts)
        spent.seconds += seconds
        self._deaths = 0
        if word == "done":
            return content
        if word == "source":
            raise SourceError(*content)
        raise _ERRORS.get(word, Failed)(content)

    def _asked(self, spent: Spent, job: Callable[..., Any], packed: bytes, counts: bool) -> Any:
        with workers.lock:
            worker = workers.running()
            text = None if self._key in worker.known else (self.made, self.source, self.name)
            if text is not None:
                if len(worker.known) >= KNOWN:  # as the worker itself forgets them
                    worker.known.clear()
                worker.known.add(self._key)
            left = SECONDS - spent.seconds
            inner = pickle.dumps(
                (self._key, text, spent.steps, left, job, packed), pickle.HIGHEST_PROTOCOL
            )
            try:
                return worker.ask(pickle.dumps((self._package, inner), pickle.HIGHEST_PROTOCOL))
            except BaseException as error:
                workers.current = None
                if not isinstance(error, Ended):
                    raise
                if counts:
                    self._deaths, self._end = self._deaths + 1, str(error)
                spent.seconds = SECONDS if error.out_of_time else spent.seconds
                raise


class Workers:
    """The process of this Python process, once there is one."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.current: Worker | None = None
        self._is_watched = False

    def running(self) -> Worker:
        """The process, started if need be, as where someone ended it between two jobs."""
        if self.current is not None and self.current.process.poll() is not None:
            self.current.end()
            self.current = None
        if self.current is None:
            self.current = Worker()
            if not self._is_watched:
                self._is_watched = True
                atexit.register(self._end)
                if hasattr(os, "register_at_fork"):
                    os.register_at_fork(after_in_child=self._abandon)
        return self.current

    def _end(self) -> None:
        if self.current is not None:
            self.current.end(grace=1)
            self.current = None

    def _abandon(self) -> None:
        """A forked process starts one of its own, and whoever held the lock is not in it."""
        self.lock = threading.Lock()
        if self.current is not None:
            self.current.abandon()
            self.current = None


workers = Workers()
