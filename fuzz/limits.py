"""What a case may take, and how a process holds to it."""

from __future__ import annotations

import faulthandler
import resource
import signal
import sys

SECONDS = 10  # of processor, so that a busy machine makes no faults
WALL_SECONDS = 90
MEMORY = 2 << 30  # bytes that a process may hold
_ADDRESSES = 12 << 30  # libraries reserve far more than they use; beyond this they may not
_FILE = 256 << 20
_FILES = 512


def hold() -> None:
    """Bound what this process, and those that it starts, may take."""
    _lower(resource.RLIMIT_AS, _ADDRESSES)
    _lower(resource.RLIMIT_FSIZE, _FILE)
    _lower(resource.RLIMIT_NOFILE, _FILES)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _lower(what: int, most: int) -> None:
    hard = resource.getrlimit(what)[1]
    most = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(what, (most, hard))


def watch() -> None:
    """Begin the seconds of a case: when they are over, this process says where it is, and ends."""
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    faulthandler.register(signal.SIGPROF, file=sys.stderr, all_threads=False, chain=True)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    faulthandler.dump_traceback_later(WALL_SECONDS, exit=True, file=sys.stderr)


def unwatch() -> None:
    """End the seconds of a case."""
    signal.setitimer(signal.ITIMER_PROF, 0)
    faulthandler.cancel_dump_traceback_later()


def peak() -> int:
    """The most bytes that this process, or one that it started and that has ended, has held."""
    who = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return max(resource.getrusage(each).ru_maxrss for each in who) * 1024
