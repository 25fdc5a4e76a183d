"""Pipes, and other names behind which no file is: read if they give bytes, else named."""

from __future__ import annotations

import os
import select
import stat
import sys
import time
from io import UnsupportedOperation
from pathlib import Path

from curate.base.errors import CurateError
from curate.base.log import Log, no_log

# Seconds to wait for somebody to open a named pipe for writing.
NO_WRITER = 30.0
# Seconds without a byte after which a writer is said to be waited for.
STALLED = 10.0
_CHUNK = 1 << 20

_KINDS = {
    stat.S_IFCHR: "a device, not a file",
    stat.S_IFBLK: "a device, not a file",
    stat.S_IFSOCK: "a socket, not a file",
    stat.S_IFDIR: "a folder where a file was expected",
    stat.S_IFLNK: "a link that leads nowhere, or in a circle",
}


def read_special(path: Path, name: str, tell: Log = no_log) -> bytes:
    """The bytes of a named pipe. Raises `CurateError` for anything else that is no file.

    `tell` hears of a writer that gives nothing.
    """
    try:
        mode = path.stat().st_mode
    except OSError as error:
        if path.is_symlink():
            raise CurateError(f"{name}: {_KINDS[stat.S_IFLNK]}") from error
        raise CurateError(f"{name}: cannot be read ({error.strerror})") from error
    if not stat.S_ISFIFO(mode):
        raise CurateError(f"{name}: {_KINDS.get(stat.S_IFMT(mode), 'no file')}")
    try:
        # Opened so, it does not wait for a writer that may never come.
        opened = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError as error:
        raise CurateError(f"{name}: cannot be read ({error.strerror})") from error
    try:
        if not _is_ready(opened, NO_WRITER):
            raise CurateError(
                f"{name}: a pipe that nobody wrote to for {NO_WRITER:g} seconds; start the program "
                "that writes to it before"
            )
        return _read_all(opened, name, tell)
    finally:
        os.close(opened)


def read_stdin(tell: Log = no_log) -> bytes:
    """All of standard input; where it is a pipe, `tell` hears of a writer that gives nothing."""
    stream = sys.stdin.buffer
    try:
        opened = stream.fileno()
    except (OSError, UnsupportedOperation):
        return stream.read()  # something in memory
    try:
        is_pipe = stat.S_ISFIFO(os.fstat(opened).st_mode)
        return _read_all(opened, "-", tell) if is_pipe else stream.read()
    except OSError as error:
        raise CurateError(f"standard input cannot be read ({error.strerror})") from error


def _read_all(opened: int, name: str, tell: Log) -> bytes:
    """All bytes until the last writer closes the pipe; a writer that gives none is waited for."""
    chunks: list[bytes] = []
    waited, said = 0.0, STALLED
    while True:
        began = time.monotonic()
        if not _is_ready(opened, STALLED):
            waited += time.monotonic() - began
            if waited >= said:  # ever more seldom: it may be at work for an hour
                tell(f"{name}: its writer gave nothing for {waited:.0f} seconds; still waiting")
                said *= 2
            continue
        waited, said = 0.0, STALLED
        chunk = os.read(opened, _CHUNK)
        if not chunk:
            return b"".join(chunks)
        chunks.append(chunk)


def _is_ready(opened: int, seconds: float) -> bool:
    """Whether there is something to read, or an end, within so many seconds."""
    poll = select.poll()
    poll.register(opened, select.POLLIN | select.POLLHUP)
    return bool(poll.poll(seconds * 1000))
