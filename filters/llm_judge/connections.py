"""What is there only while a server is asked: the key, its connections, the pace of the threads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from curate.base.log import Log
from filters.llm_judge.address import Address
from filters.llm_judge.attempts import Ability, Attempts
from filters.llm_judge.keys import KEY, SHORTEST, Key, guard_logs, key_for
from filters.llm_judge.pace import Pace
from filters.llm_judge.protocol import Fields
from filters.llm_judge.wire import Wire


class Connections:
    """Connections to one server, opened at once; `choices` are its temperature and seed.

    Raises `CurateError` for a key that no request can carry.
    """

    def __init__(
        self,
        address: Address,
        model: str,
        concurrency: int,
        timeout: float,
        backoff: float,
        choices: tuple[float | None, int | None],
        log: Log,
    ) -> None:
        self._address, self._concurrency = address, concurrency
        self._key = key_for(address)
        scrub = str if self._key is None else self._key.scrubber()
        self.notices = [] if self._key is None else _on_the_key(self._key, address)
        self.attempts = Attempts(
            self._wire(),
            address,
            model,
            timeout,
            backoff,
            Ability(Fields(temperature=choices[0], seed=choices[1])),
            Pace(concurrency),
            scrub,
            log,
        )
        self._end_guard: Callable[[], None] = guard_logs(scrub)
        self.closed = False

    @property
    def pace(self) -> Pace:
        """When the threads may go on."""
        return self.attempts.pace

    @property
    def ability(self) -> Ability:
        """What the server takes."""
        return self.attempts.ability

    def take_fields(self, fields: list[Any]) -> None:
        """Send what the server took before."""
        self.ability.fields = Fields(*fields)

    def interrupt(self) -> None:
        """End all that is under way, without an answer."""
        self.pace.end()
        self.attempts.wire.interrupt()

    def close(self) -> None:
        """End all connections."""
        if not self.closed:
            self.closed = True
            self.pace.end()
            self.attempts.wire.close()
            self._end_guard()

    def reopen(self) -> None:
        """After `close`: new connections, at the pace that was found."""
        self.attempts.wire = self._wire()
        self.pace.begin()
        self._end_guard = guard_logs(self.attempts.scrub)
        self.closed = False

    def _wire(self) -> Wire:
        return Wire(self._address, self._key, self._concurrency)


def _on_the_key(key: Key, address: Address) -> list[str]:
    """What to know of how the key is used."""
    if key.is_placeholder:
        return [
            f"{KEY} has fewer than {SHORTEST} characters: it is taken for a placeholder, not for "
            "a secret"
        ]
    if address.scheme == "http" and not address.is_loopback:
        return [f"{KEY} goes to {address.text} in clear text; https would hide it"]
    return []
