"""A bounded memory of what was learnt about rows of one shape."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

MAX_WEIGHT = 200_000  # parts of shapes and of what is known of them: about 20 megabytes
MAX_PATHS = 8  # ways that a template goes for one shape
SEEN = 2  # rows of a shape before one is learnt from: learning costs as much as a few rows
FAILURES = 3  # rows that cannot be learnt from before a shape is given up

Known = TypeVar("Known")


@dataclass(slots=True)
class Entry(Generic[Known]):
    """One shape: what is known of it, rows that this did not fit, failures to learn more."""

    known: list[Known] = field(default_factory=list)
    missed: int = 0
    failures: int = 0


class ShapeCache(Generic[Known]):
    """What is known, by shape. It forgets everything at once when it holds too much.

    Nothing that is rendered depends on what is remembered, only the time that it takes.
    """

    def __init__(self) -> None:
        self._entries: dict[Hashable, Entry[Known]] = {}
        self._weight = 0

    def known(self, shape: Hashable) -> list[Known]:
        entry = self._entries.get(shape)
        return entry.known if entry else []

    def wants(self, shape: Hashable, size: int) -> bool:
        """Whether to learn from a row of a shape of this size that nothing known fits."""
        entry = self._entries.get(shape)
        if entry is None:
            self._weigh(size)
            entry = self._entries[shape] = Entry()
        entry.missed += 1
        return entry.missed > SEEN and entry.failures < FAILURES and len(entry.known) < MAX_PATHS

    def learn(self, shape: Hashable, found: Known | None, size: int) -> None:
        """Remember what was found; None if the row could not be learnt from."""
        entry = self._entries.get(shape)
        if entry is None:
            return
        if found is None:
            entry.failures += 1
            return
        entry.known.append(found)
        self._weigh(size)

    def _weigh(self, size: int) -> None:
        self._weight += size + 1
        if self._weight > MAX_WEIGHT:
            self._entries.clear()
            self._weight = size + 1
