"""Where each character of a rendered text came from.

A message's texts enter the template as `TracedStr`, a `str` that carries its origin through `+`,
`~`, slices, strip, split, replace, case changes, join and `tojson`; macros, `{% set %}` blocks
and filters keep it, because the tracing sandbox joins text in one place. What a template does
beyond that loses the origin: the row is refused (`answer_altered`), and no mask is ever wrong.

An origin is kept as runs `(length, first)`: that many characters, the first of which is
character number `first` of all data, the others following; `TEMPLATE` for the template's own.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import Any, SupportsIndex

from templates.spans import Span, TracedText

TEMPLATE = -1

Runs = tuple[tuple[int, int], ...]


class TracedStr(str):
    """A text that knows where each of its characters came from."""

    __slots__ = ("runs",)
    runs: Runs

    def __new__(cls, text: str, runs: Runs | None = None) -> TracedStr:
        made = super().__new__(cls, text)
        made.runs = runs_of(text) if runs is None else runs
        return made

    def __str__(self) -> str:
        return self

    def __add__(self, other: str) -> str:
        if not isinstance(other, str):
            return NotImplemented
        return _with_runs(str.__add__(self, other), self.runs + runs_of(other))

    def __radd__(self, other: str) -> str:
        if not isinstance(other, str):
            return NotImplemented
        return _with_runs(str.__add__(other, self), runs_of(other) + self.runs)

    def __mul__(self, times: SupportsIndex) -> str:
        return joined([self] * times.__index__())

    __rmul__ = __mul__

    def __getitem__(self, key: SupportsIndex | slice) -> str:
        places = range(len(self))[key]
        if isinstance(places, int):
            return self.cut(places, places + 1)
        if places.step == 1:
            return self.cut(places.start, places.stop)
        return joined([self.cut(place, place + 1) for place in places])

    def __iter__(self) -> Iterator[str]:
        return (self.cut(place, place + 1) for place in range(len(self)))

    def cut(self, start: int, stop: int) -> TracedStr:
        """The characters `start` to `stop`, each with its origin."""
        return _with_runs(
            str.__getitem__(self, slice(start, stop)), cut_runs(self.runs, start, stop)
        )

    def strip(self, characters: str | None = None) -> str:
        """As `str.strip`, with origins."""
        return self.cut(
            len(self) - len(super().lstrip(characters)), len(super().rstrip(characters))
        )

    def lstrip(self, characters: str | None = None) -> str:
        """As `str.lstrip`, with origins."""
        return self.cut(len(self) - len(super().lstrip(characters)), len(self))

    def rstrip(self, characters: str | None = None) -> str:
        """As `str.rstrip`, with origins."""
        return self.cut(0, len(super().rstrip(characters)))

    def removeprefix(self, prefix: str, /) -> str:
        """As `str.removeprefix`, with origins."""
        return self.cut(len(self) - len(super().removeprefix(prefix)), len(self))

    def removesuffix(self, suffix: str, /) -> str:
        """As `str.removesuffix`, with origins."""
        return self.cut(0, len(super().removesuffix(suffix)))

    def split(self, sep: str | None = None, maxsplit: SupportsIndex = -1) -> list[str]:
        """As `str.split`, with origins."""
        return self._found(super().split(sep, maxsplit))

    def rsplit(self, sep: str | None = None, maxsplit: SupportsIndex = -1) -> list[str]:
        """As `str.rsplit`, with origins."""
        return self._found(super().rsplit(sep, maxsplit))

    def splitlines(self, keepends: bool = False) -> list[str]:
        """As `str.splitlines`, with origins."""
        return self._found(super().splitlines(keepends))

    def partition(self, sep: str, /) -> tuple[str, str, str]:
        """As `str.partition`, with origins."""
        head, middle, tail = self._found(super().partition(sep))
        return head, middle, tail

    def rpartition(self, sep: str, /) -> tuple[str, str, str]:
        """As `str.rpartition`, with origins."""
        head, middle, tail = self._found(super().rpartition(sep))
        return head, middle, tail

    def _found(self, parts: Iterable[str]) -> list[str]:
        """Parts of this text that stand in it in this order, each at its first possible place."""
        cursor, found = 0, []
        for part in parts:
            start = super().index(part, cursor)
            cursor = start + len(part)
            found.append(self.cut(start, cursor))
        return list[str](found)

    def replace(self, old: str, new: str, count: SupportsIndex = -1, /) -> str:
        """As `str.replace`, with origins."""
        if not old:  # between all characters: not worth tracing
            return super().replace(old, new, count)
        between = self.split(old, count)
        return joined([part for kept in between for part in (new, kept)][1:])

    def join(self, parts: Iterable[str], /) -> str:
        """As `str.join`, with origins."""
        return joined([part for item in parts for part in (self, item)][1:])

    def lower(self) -> str:
        """As `str.lower`, with origins unless the length changes."""
        return self._recased(super().lower())

    def upper(self) -> str:
        """As `str.upper`, with origins unless the length changes."""
        return self._recased(super().upper())

    def title(self) -> str:
        """As `str.title`, with origins unless the length changes."""
        return self._recased(super().title())

    def capitalize(self) -> str:
        """As `str.capitalize`, with origins unless the length changes."""
        return self._recased(super().capitalize())

    def _recased(self, text: str) -> str:
        return TracedStr(text, self.runs) if len(text) == len(self) else text


def _with_runs(text: str, runs: Runs) -> TracedStr:
    """A traced text from parts that fit: the constructor without its checks."""
    made = str.__new__(TracedStr, text)
    made.runs = runs
    return made


def runs_of(text: str) -> Runs:
    """The origins of a text, run by run; one run of the template's own for a plain `str`."""
    if text.__class__ is TracedStr:
        return text.runs
    return ((len(text), TEMPLATE),) if text else ()


def cut_runs(runs: Runs, start: int, stop: int) -> Runs:
    """The runs of the characters from `start` to `stop`."""
    if len(runs) == 1 and start < stop:
        first = runs[0][1]
        return ((stop - start, first if first == TEMPLATE else first + start),)
    kept = []
    place = 0
    for length, first in runs:
        low, high = max(start - place, 0), min(stop - place, length)
        if low < high:
            kept.append((high - low, first if first == TEMPLATE else first + low))
        place += length
    return tuple(kept)


def joined(parts: list[str]) -> str:
    """The parts as one text; a plain `str` if nothing in it is traced."""
    text = "".join(parts)
    runs: list[tuple[int, int]] = []
    traced = False
    for part in parts:
        if part.__class__ is TracedStr:
            traced = True
            runs += part.runs
        elif part:
            runs.append((len(part), TEMPLATE))
    return _with_runs(text, tuple(runs)) if traced else text


class Origins:
    """The texts of one conversation, numbered character by character."""

    def __init__(self) -> None:
        self.sources: list[TracedText] = []
        self._next = 0

    def trace(self, text: str, message: int, field: str, is_answer: bool) -> TracedStr:
        """A text that knows which characters of the data it is."""
        first = self._next
        self.sources.append(TracedText(first, text, message, field, is_answer))
        self._next += len(text) + 1  # a gap, so that runs of two texts never look like one
        return TracedStr(text, ((len(text), first),) if text else ())

    def trace_all(self, value: Any, message: int, field: str, is_answer: bool) -> Any:
        """Plain data with every text in it traced, keys too."""
        if isinstance(value, str):
            return self.trace(value, message, field, is_answer)
        inner = partial(self.trace_all, message=message, field=field, is_answer=is_answer)
        if isinstance(value, Mapping):
            return {inner(key): inner(item) for key, item in value.items()}
        if isinstance(value, list):
            return [inner(item) for item in value]
        return value

    def spans(self, text: str) -> list[Span]:
        """The places of a rendered text that hold data, in order."""
        firsts = [source.first for source in self.sources]
        found = []
        place = 0
        for length, first in runs_of(text):
            if first != TEMPLATE:
                source = self.sources[bisect_right(firsts, first) - 1]
                found.append(Span(place, place + length, source, first - source.first))
            place += length
        return found
