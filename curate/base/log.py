"""Lines for whoever watches: one function that takes a line is all that a log is here."""

from __future__ import annotations

from collections.abc import Callable

Log = Callable[[str], None]


def no_log(line: str) -> None:
    """Takes a line and says nothing."""
