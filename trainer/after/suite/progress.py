"""How far a measure is: what was done, and the time left, a line every few seconds."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable

from trainer.evaluation.pace import spoken

Log = Callable[[str], None]
EVERY = 10.0  # seconds between two lines


@dataclasses.dataclass
class Counted:
    """Counts work of known size and says so now and then: `40 of 200 rows scored, ...`.

    `work` is how much there is in all, in any unit; time left is by that unit, so that long rows
    count for more. `clock` gives seconds.
    """

    log: Log
    what: str
    total: int
    work: float
    clock: Callable[[], float] = time.monotonic
    done: int = 0
    worked: float = 0.0

    def __post_init__(self) -> None:
        self._started = self._said = self.clock()

    def add(self, count: int, work: float) -> None:
        """So many more are done, which were so much of the work."""
        self.done += count
        self.worked += work
        now = self.clock()
        if self.done == self.total:
            self.log(f"{self.total:,} {self.what}, in {spoken(now - self._started)}")
        elif now - self._said >= EVERY:
            self._said = now
            left = (now - self._started) * (self.work - self.worked) / max(self.worked, 1e-9)
            self.log(f"{self.done:,} of {self.total:,} {self.what}, {spoken(left)} left")
