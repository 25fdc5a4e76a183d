"""An error that the reader of a format did not foresee costs one row, and is said as such.

Strangers' rows hold what nobody thought of. The row becomes a reject that names the format, the
field and the error; a note counts such rows, because each of them may be a fault of the reader.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import chain
from typing import Any

from curate.base.errors import one_line, some_of
from curate.sources.formats import Format, Gather
from curate.sources.shared.convert import Conversation, Joined, Reject, Row, described

NOTE = (
    "rows that the reader of format {} did not foresee at `{}` ({}) are rejects; if they are "
    "sound, please report it"
)
SLOWLY = (
    "rows of format {} could not be read together ({}) and were read one by one; please report it"
)
UNCOUNTED = "what is left over in rows of format {} could not be counted ({}); please report it"

_SHOWN = 200  # characters of an error of Python's


class Unforeseen(Reject):
    """A row at which a reader failed in a way of its own; `note` is to be counted."""

    def __init__(self, name: str, field: str, error: Exception) -> None:
        what = one_line(error)
        shown = what if len(what) <= _SHOWN else f"{what[:_SHOWN]} …"
        super().__init__(
            "wrong_type", f"{field or 'a field'} is not as format {name} expects it ({shown})"
        )
        # Without places in lists: one sentence stands for all rows with this fault.
        where = field.partition("[")[0].partition(".")[0] or "some field"
        self.note = NOTE.format(name, where, type(error).__name__)


def conversations_of(name: str, known: Format, row: Row) -> list[Conversation] | None:
    """What a format makes of a row; None where it does not recognise the row.

    Raises `Reject`, and `Unforeseen` for whatever else goes wrong.
    """
    try:
        return known.convert(row) if known.matches(row) else None
    except (Reject, MemoryError):
        raise
    except Exception as error:
        field = _field_at(lambda noted: known.matches(noted) and known.convert(noted), row, error)
        raise Unforeseen(name, field, error) from error


def gathered(
    name: str, gather: Gather, rows: list[tuple[int, Row]]
) -> Iterator[Joined | tuple[int, Row, Reject]]:
    """What a format joins of its rows; after an error, without those that it cannot take alone.

    A row that cannot be joined comes with its line and the reject that says why.
    """
    try:
        yield from list(gather(rows))
        return
    except MemoryError:
        raise
    except Exception as error:
        failed = error
    sound = []
    for line, row in rows:
        reject = _alone(name, gather, line, row)
        if reject is None:
            sound.append((line, row))
        else:
            yield line, row, reject
    if len(sound) < len(rows):
        yield from gathered(name, gather, sound)
    else:  # each can be taken alone, and all of them together cannot
        yield from ((line, row, Unforeseen(name, "", failed)) for line, row in rows)


def _alone(name: str, gather: Gather, line: int, row: Row) -> Reject | None:
    """Why a row cannot be joined even with none; None where it can."""
    try:
        list(gather([(line, row)]))
    except MemoryError:
        raise
    except Exception as error:
        field = _field_at(lambda noted: list(gather([(line, noted)])), row, error)
        return Unforeseen(name, field, error)
    return None


def check_types(one: Conversation) -> None:
    """Raise `Reject` for a message with something else than text: no column could hold it."""
    for message in chain(one.messages, one.rejected or ()):
        if type(message.get("content")) is not str or type(message.get("role")) is not str:
            raise Reject("wrong_type", "a message has no text or no role")
        if len(message) == 2:
            continue
        for key, value in message.items():
            if type(value) is not str and value is not None and key != "weight":
                raise Reject("wrong_type", f"{key} of a message is {described(value)}")


def _field_at(work: Callable[[Row], object], row: Row, error: Exception) -> str:
    """The path of the field that was looked at last before the error; the fields if unknown."""
    seen: list[str] = []
    try:
        work(_Noted(row, "", seen))
    except Exception as again:  # the same error, looked for once more
        if type(again) is type(error) and seen:
            return seen[-1]
    return "one of " + some_of([str(name) for name in row], 8) if row else ""


class _Noted(dict[Any, Any]):
    """A row that writes down which of its fields was read last, inside of it too."""

    def __init__(self, row: Mapping[Any, Any], path: str, seen: list[str]) -> None:
        super().__init__(row)
        self._path, self._seen = path, seen

    def _of(self, key: Any, value: Any) -> Any:
        path = f"{self._path}.{key}" if self._path else str(key)
        self._seen.append(path)
        return self._noted(value, path)

    def _noted(self, value: Any, path: str) -> Any:
        if type(value) is dict:
            return _Noted(value, path, self._seen)
        if type(value) is list:
            return [self._noted(one, f"{path}[{at}]") for at, one in enumerate(value)]
        return value

    def __getitem__(self, key: Any) -> Any:
        return self._of(key, super().__getitem__(key))

    def get(self, key: Any, default: Any = None) -> Any:
        return self._of(key, super().get(key)) if key in self else default

    def items(self) -> Any:
        return [(key, self._of(key, super(_Noted, self).__getitem__(key))) for key in self]

    def values(self) -> Any:
        return [value for _, value in self.items()]
