"""The process in which templates of strangers run: it does jobs until its pipe is closed.

It is started by `contained.py` and imports little, so that it is soon ready.
"""

from __future__ import annotations

import faulthandler
import math
import os
import pickle
import signal
import sys
import time
import types
from typing import Any

from curate.base.errors import CurateError
from curate.base.sandbox.environment import SourceError
from curate.base.sandbox.frames import receive, send, written
from curate.base.sandbox.limits import LimitExceeded
from curate.base.sandbox.spent import KNOWN, OUT_OF_MEMORY, WALL_SECONDS, Spent

try:
    import resource

    HAS_LIMITS = True
except ImportError:  # on Windows
    HAS_LIMITS = False


def main(memory: int) -> None:
    """Answer requests from standard input on standard output until there are no more.

    All of it may take so many bytes of memory.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides when this process ends
    answers = os.dup(1)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    if HAS_LIMITS:
        _limit(resource.RLIMIT_CORE, 0)
        _limit(resource.RLIMIT_AS, memory)
    send(answers, b"ready")
    for output in (1, 2):
        os.dup2(nowhere, output)
    known: dict[str, Any] = {}
    while (request := receive(0)) is not None:
        answer = _answer(request, known, nowhere)
        if not HAS_LIMITS:
            faulthandler.cancel_dump_traceback_later()  # waiting takes as long as it does
        send(answers, answer)


class NotPlain(Exception):
    """A value that this process cannot make: it knows no classes but its own."""


def _given(packed: bytes) -> Any:
    try:
        return pickle.loads(packed)
    except MemoryError:
        raise
    except Exception as error:  # a class may be any code
        raise NotPlain(f"{type(error).__name__}: {error}") from error


def _answer(request: bytes, known: dict[str, Any], nowhere: int) -> bytes:
    """What became of a job, in a word and what belongs to it; then steps and seconds."""
    spent, start = Spent(), time.process_time()
    answer: list[Any]
    try:
        # Only the parent writes here. What its template is given may be of any class.
        package, inner = pickle.loads(request)
        _name(*package)
        key, text, spent.steps, seconds, job, packed = pickle.loads(inner)
        _limit_time(seconds, nowhere)
        if text is not None:
            if len(known) >= KNOWN:
                known.clear()
            made, source, name = text
            known[key] = made(source, name)
        answer = ["done", known[key].within(spent, job, *_given(packed))]
        return written([*answer, spent.steps, time.process_time() - start])
    except SourceError as error:
        answer = ["source", [str(error), error.reason, error.line]]
    except CurateError as failure:
        if isinstance(failure.__cause__, MemoryError):
            os._exit(OUT_OF_MEMORY)
        at_limit = isinstance(failure.__cause__, LimitExceeded)
        answer = ["limit" if at_limit else "failed", str(failure)]
    except NotPlain as error:
        answer = ["given", str(error)]
    except MemoryError:  # what is known is not certain any more
        os._exit(OUT_OF_MEMORY)
    except Exception as error:  # whatever a stranger's template came upon: its row is refused
        answer = ["failed", f"the template fails: {type(error).__name__}: {str(error)[:1000]}"]
    return written([*answer, spent.steps, time.process_time() - start])


def _name(package: str, folders: list[str]) -> None:
    """Name a package to this process without its `__init__`, which may import much."""
    if package not in sys.modules:
        sys.modules[package] = types.ModuleType(package)
        sys.modules[package].__path__ = folders


def _limit_time(seconds: float, nowhere: int) -> None:
    """End this process if it goes on for so long."""
    if HAS_LIMITS:
        _limit(resource.RLIMIT_CPU, math.ceil(time.process_time() + seconds))
    else:
        faulthandler.dump_traceback_later(WALL_SECONDS, exit=True, file=nowhere)


def _limit(what: int, most: int) -> None:
    """Set a limit that may be moved again, below what this process may have anyway."""
    highest = resource.getrlimit(what)[1]
    allowed = most if highest == resource.RLIM_INFINITY else min(most, highest)
    try:
        resource.setrlimit(what, (allowed, highest))
    except (OSError, ValueError):  # macOS has no limit of memory; the limits of time remain
        if what != resource.RLIMIT_AS:
            raise
