"""The command line: one verb is run. What it does stands in `verbs`, loaded when one is called."""

from __future__ import annotations

import argparse
import io
import os
import signal
import sys
import threading
from collections.abc import Sequence

from curate.base import unexpected
from curate.base.terminal import complain
from curate.grammar import parsed


class Terminated(KeyboardInterrupt):
    """Somebody asked this process to end (SIGTERM): it cleans up as after Ctrl-C."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb: 0 done, 1 a user's mistake, 2 usage, 130 interrupted, 143 terminated.

    Whatever else happens, what nobody expected too, is one sentence and 1 (`unexpected`).
    """
    given = sys.argv[1:] if argv is None else list(argv)
    try:
        return _answered(given)
    except KeyboardInterrupt as stop:
        ended = isinstance(stop, Terminated)
        complain("terminated" if ended else "interrupted")
        return 143 if ended else 130


def _answered(argv: Sequence[str]) -> int:
    """Run one verb; an error that no one expected is saved, and answered with a sentence."""
    try:
        if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
            sys.stdout.reconfigure(errors="backslashreplace")  # a terminal that has not all letters
        arguments = parsed(argv)
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, _terminate)
        return _run_verb(arguments)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # a library's panic is no Exception
        return unexpected.answer_unexpected(error, argv)


def _terminate(number: int, frame: object) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # once is enough; what follows only cleans up
    raise Terminated


def _run_verb(arguments: argparse.Namespace) -> int:
    from curate import verbs
    from curate.base.errors import CurateError
    from curate.base.packages import put_ours_first
    from curate.base.spelling import in_a_command

    put_ours_first()
    try:
        with in_a_command():
            verbs.called(arguments.verb)(arguments)
        _flush()
        return 0
    except BrokenPipeError:
        # The reader (head, less) has gone; nothing more to say, and nothing to say it to.
        _say_no_more()
        return 0
    except (CurateError, OSError) as error:
        # A full disk, a missing folder, a file that may not be read: the user's to mend.
        try:
            _flush()
        except OSError:
            _say_no_more()
        complain(str(error))
        return 1


def _flush() -> None:
    if sys.stdout is not None:  # as where it is closed
        sys.stdout.flush()


def _say_no_more() -> None:
    """Let standard output go nowhere: what is left for it would fail once more as Python ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
