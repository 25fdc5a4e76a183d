"""How far a run is: rows done, rows a second and time left, while a step is under way."""

from __future__ import annotations

import time
from collections.abc import Callable

from curate.base.log import Log, no_log
from curate.pipeline.steps import StepReport

# Seconds between two plain lines of a log, and between two states of a line on a terminal.
EVERY = 30.0
SHOWN = 0.2


class Progress:
    """Hears of what a run does and tells `log` plain lines, and `live` (a terminal) each state.

    A `live` line replaces the one before; an empty one takes it away. A step that is done in no
    time is said once.
    """

    def __init__(
        self,
        log: Log = no_log,
        live: Log | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.log, self.live, self.clock = log, live, clock
        self.begin("", 0)

    def begin(self, what: str, rows: int | None) -> None:
        """Something begins, over so many rows; None where nobody knows yet how many there are."""
        self.what, self.rows, self.done, self.known = what, rows, 0, 0
        self.started = self.said = self.shown = self.clock()

    def tick(self, rows: int, known: int = 0) -> None:
        """So many more rows are done, of which some had been measured before."""
        self.done += rows
        self.known += known
        self._say(self._state())

    def deciding(self) -> None:
        """All rows are measured; what follows looks at all of them at once."""
        if self.rows:
            self._say(f"{self.what}: {self.rows:,} rows measured, deciding")

    def end(self, report: StepReport) -> None:
        """A step is done."""
        self.clear()
        edited = f", {report.edited:,} edited" if report.edited else ""
        known = f" ({self.known:,} measured before)" if self.known else ""
        self.log(f"{report.name}: {report.rows:,} rows{known}, {report.dropped:,} dropped{edited}")

    def clear(self) -> None:
        """Take the line away from the terminal."""
        if self.live is not None:
            self.live("")

    close = clear  # whatever ended the run

    def above(self, log: Log) -> Log:
        """`log`, with the line on the terminal taken away before each of its lines."""

        def say(line: str) -> None:
            self.clear()
            log(line)

        return say

    def _say(self, line: str) -> None:
        now = self.clock()
        if self.live is not None:
            if now - self.shown >= SHOWN:
                self.shown = now
                self.live(line)
        elif now - self.said >= EVERY:
            self.said = now
            self.log(line)

    def _state(self) -> str:
        seconds = max(self.clock() - self.started, 1e-9)
        pace = self.done / seconds
        if self.rows is None:
            return f"{self.what}: {self.done:,} rows, {pace:,.0f} rows/s"
        left = (self.rows - self.done) / pace if pace else 0.0
        return (
            f"{self.what}: {self.done:,} of {self.rows:,} rows, {pace:,.0f} rows/s, "
            f"{duration(left)} left"
        )


def duration(seconds: float) -> str:
    """A span of time, as people say it.

    >>> duration(8), duration(95), duration(7_300)
    ('8 s', '1 min 35 s', '2 h 1 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
