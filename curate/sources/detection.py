"""Which formats are worth asking about a row: most are ruled out by the names of its fields."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from curate.sources.formats import Format, recognises
from curate.sources.shared.convert import Row

# Sets of fields that are remembered; a dump has a handful.
_MOST = 10_000


class Detection:
    """The formats to ask, in order, by the fields that rows have.

    A format that said no without a look at any value says no of every row with these fields; one
    that said yes so is the last to ask. What it looked at is noted while it is asked.
    """

    def __init__(self, formats: Mapping[str, Format]) -> None:
        self._formats = formats
        self._known: dict[tuple[Any, ...], list[tuple[str, Format]]] = {}

    def candidates(self, row: Row) -> list[tuple[str, Format]]:
        """The formats that may read a row, the most particular first."""
        fields = tuple(row)
        known = self._known.get(fields)
        if known is None:
            known = self._worth_asking(row)
            if len(self._known) < _MOST:
                self._known[fields] = known
        return known

    def _worth_asking(self, row: Row) -> list[tuple[str, Format]]:
        found = []
        for name, each in self._formats.items():
            watched = _Watched(row)
            # One that fails at it has looked at a value: it is asked again, and then says so.
            matches = recognises(each.matches, watched)
            if matches or watched.is_read:
                found.append((name, each))
            if matches and not watched.is_read:
                break
        return found


class _Watched(dict[Any, Any]):
    """A row that notices when a value of it is read, and not only the name of a field."""

    is_read = False

    def __getitem__(self, key: Any) -> Any:
        self.is_read = True
        return super().__getitem__(key)

    def get(self, key: Any, default: Any = None) -> Any:
        self.is_read |= key in self
        return super().get(key, default)

    def items(self) -> Any:
        self.is_read = True
        return super().items()

    def values(self) -> Any:
        self.is_read = True
        return super().values()

    def copy(self) -> dict[Any, Any]:
        self.is_read = True
        return super().copy()

    def keys(self) -> Any:
        # Unpacking a row reads its values by its keys, where this is defined.
        self.is_read = True
        return super().keys()
