"""What a rendering in a process of its own may take, and what it took."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from curate.base.sandbox.limits import MAX_STEPS

# Limits of a rendering in a process of its own, beside those of the sandbox.
SECONDS = 10  # of processor
SEARCH_SECONDS = 4  # of this process, for what a search among options makes of renderings
WALL_SECONDS = 60
MEMORY = 2 << 30  # bytes, of all that the process has
OUT_OF_MEMORY = 77  # the exit code of a process that had no more
KNOWN = 64  # templates that such a process keeps compiled


@dataclass
class Spent:
    """What renderings took: steps of the sandbox, and seconds of another process."""

    steps: int = 0
    seconds: float = 0.0
    # What this process makes of long texts takes time as well.
    start: float = field(default_factory=time.thread_time)

    @property
    def is_all(self) -> bool:
        """Whether it is more than a rendering may take."""
        return self.steps > MAX_STEPS or self.seconds + self.here >= SECONDS

    @property
    def is_long(self) -> bool:
        """Whether it is more than a search may take."""
        return self.seconds >= SECONDS or self.here >= SEARCH_SECONDS

    @property
    def here(self) -> float:
        """Seconds of processor of this process since the start."""
        return time.thread_time() - self.start
