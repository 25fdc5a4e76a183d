"""How many questions are under way at once, and when all of them wait for the server."""

from __future__ import annotations

import threading
import time


class Pace:
    """At most `most` at once; fewer after a server said "too many", and slowly more again.

    The share is halved for each time that a server says so, and grows by one as often as that many
    were answered: so many workers settle at the rate that a server allows.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.pauses = 0
        self.waited = 0.0  # seconds in pauses that a server asked for
        self._limit = float(most)
        self._running = 0
        self._until = 0.0
        self._change = threading.Condition()
        self.ended = False

    def enter(self) -> bool:
        """Wait for a place; False if there is none any more."""
        with self._change:
            while not self.ended:
                now = time.monotonic()
                if now >= self._until and self._running < max(1, int(self._limit)):
                    self._running += 1
                    return True
                left = self._until - now
                self._change.wait(left if left > 0 else None)
            return False

    def leave(self, *, answered: bool) -> None:
        """Give the place back."""
        with self._change:
            self._running -= 1
            if answered:
                self._limit = min(self.most, self._limit + 1 / self._limit)
            self._change.notify_all()

    def slow_down(self, seconds: float | None) -> bool:
        """The server said "too many", and when to go on, in seconds from now, or not.

        Whether that is news: others that were under way are refused for the same reason.
        """
        with self._change:
            now = time.monotonic()
            news = now >= self._until
            if news:
                self._limit = max(1.0, min(self._limit, float(self._running or 1)) / 2)
                self.pauses += seconds is not None
            if seconds is not None and now + seconds > self._until:
                self.waited += now + seconds - max(now, self._until)
                self._until = now + seconds
            self._change.notify_all()
            return news

    def sleep(self, seconds: float) -> bool:
        """Wait on one's own; False if all is over before."""
        until = time.monotonic() + seconds
        with self._change:
            while not self.ended and (left := until - time.monotonic()) > 0:
                self._change.wait(left)
            return not self.ended

    def begin(self) -> None:
        """Go on after an end, at the pace that was found."""
        with self._change:
            self.ended = False

    def end(self) -> None:
        """Nobody waits any longer, and nobody gets a place."""
        with self._change:
            self.ended = True
            self._change.notify_all()
