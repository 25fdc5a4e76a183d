"""Stand-ins for a row's texts: what a template does with them shows for which rows it holds.

A `Symbol` is no `str`. Nothing can read it but the operations below, so a template that renders
with symbols has either only put texts together and trimmed them, which is redone for any other
row, or asked about them; then the condition and its answer are on record. All else, from slices
to `json.dumps`, meets an object that it cannot use: `Unsupported`, or the template's `TypeError`.

What is learnt so is exact. Given the shape of a conversation (roles, fields) and the same
answers to the recorded conditions, a template takes the same path and writes the same parts.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, NoReturn

import jinja2

from templates.fast.skeleton import Part, Slot, Trim

MAX_CONDITIONS = 400  # about the texts of one row


class Unsupported(BaseException):
    """A template reads a text in a way that is not supported. No template code can catch it."""


class PathCondition(NamedTuple):
    """What a template asked about a text put together of `parts`: its path depends on it."""

    kind: str
    parts: tuple[Part, ...]
    argument: str | tuple[Part, ...]

    def holds(self, texts: Sequence[str]) -> bool:
        """The answer for a row of these texts."""
        given = self.argument
        other = given if isinstance(given, str) else filled(given, texts)
        return _ANSWERS[self.kind](filled(self.parts, texts), other)


_ANSWERS: dict[str, Callable[[str, str], bool]] = {
    "nonempty": lambda text, _: bool(text),
    "contains": operator.contains,
    "starts": str.startswith,
    "ends": str.endswith,
    "equals": operator.eq,
}


def filled(parts: Iterable[Part], texts: Sequence[str]) -> str:
    """The text of these parts."""
    return "".join(
        [part if isinstance(part, str) else part.fill(texts[part.source])[0] for part in parts]
    )


@dataclass
class Trace:
    """The texts that symbols stand for in one rendering, and what was asked about them.

    `constant` and `counts` bound the text that was built or read on the way: characters of the
    template's own, and how often each text went into a longer one, was trimmed or asked about.
    """

    texts: list[str]
    answers: dict[PathCondition, bool] = field(default_factory=dict)
    constant: int = 0
    counts: list[int] = field(init=False)

    def __post_init__(self) -> None:
        self.counts = [1] * len(self.texts)

    def symbols(self) -> list[Symbol]:
        """A symbol for each text."""
        return [Symbol((Slot(number),), self) for number in range(len(self.texts))]

    def ask(self, kind: str, parts: tuple[Part, ...], argument: str | tuple[Part, ...]) -> bool:
        """The answer for the texts of the trace; on record as a condition of its path."""
        condition = PathCondition(kind, parts, argument)
        self.read((*parts, *((argument,) if isinstance(argument, str) else argument)))
        known = self.answers.get(condition)
        if known is None:
            if len(self.answers) >= MAX_CONDITIONS:
                raise Unsupported
            known = self.answers[condition] = condition.holds(self.texts)
        return known

    def joined(self, texts: Iterable[Any]) -> Symbol | str:
        """The texts as one; on record as a text that was built."""
        parts: list[Part] = []
        for text in texts:
            if isinstance(text, Symbol):
                parts += text.parts
            elif text.__class__ is str:
                parts.append(text)
            else:  # such as Markup, which would change what it is put together with
                raise Unsupported
        self.read(parts)
        return self.text(parts)

    def read(self, parts: Iterable[Part]) -> None:
        """Put on record that so much text was built, or read, which costs no more."""
        for part in parts:
            if isinstance(part, str):
                self.constant += len(part)
            else:
                self.counts[part.source] += 1

    def text(self, parts: Iterable[Part]) -> Symbol | str:
        """A text of these parts; a plain one where no symbol is left."""
        merged: list[Part] = []
        for part in parts:
            if isinstance(part, str) and merged and isinstance(merged[-1], str):
                merged[-1] += part
            elif part != "":
                merged.append(part)
        if all(isinstance(part, str) for part in merged):
            return "".join(map(str, merged))
        return Symbol(tuple(merged), self)


def unsupported(*_: Any) -> NoReturn:
    """What a symbol does for all that is not supported."""
    raise Unsupported


_OTHER_KINDS = (type(None), bool, int, float, list, tuple, dict, jinja2.Undefined)


class Symbol:
    """A text that is known by its parts alone."""

    __slots__ = ("parts", "trace")

    def __init__(self, parts: tuple[Part, ...], trace: Trace) -> None:
        self.parts = parts
        self.trace = trace

    def __add__(self, other: Any) -> Any:
        if isinstance(other, Symbol | str):
            return self.trace.joined((self, other))
        return NotImplemented

    def __radd__(self, other: Any) -> Any:
        return self.trace.joined((other, self)) if isinstance(other, str) else NotImplemented

    def __bool__(self) -> bool:
        written = any(isinstance(part, str) for part in self.parts)
        return written or self.trace.ask("nonempty", self.parts, "")

    def __contains__(self, item: Any) -> bool:
        return self.trace.ask("contains", self.parts, _plain(item))

    def __eq__(self, other: Any) -> bool:
        if isinstance(other, Symbol):
            return self.parts == other.parts or self.trace.ask("equals", self.parts, other.parts)
        if isinstance(other, _OTHER_KINDS):  # equal to no text
            return False
        return self.trace.ask("equals", self.parts, _plain(other))

    def __ne__(self, other: Any) -> bool:
        return not self == other

    def strip(self, characters: Any = None) -> Symbol | str:
        """As `str.strip`, of white space."""
        self.trace.read(self.parts)
        if len(self.parts) == 1 and isinstance(self.parts[0], Slot):
            slot, trim = self.parts[0], Trim(True, True, _white(characters))
            return Symbol((Slot(slot.source, (*slot.trims, trim)),), self.trace)
        return self.trace.text(
            self._trimmed(self._trimmed(self.parts, characters, 0), characters, -1)
        )

    def lstrip(self, characters: Any = None) -> Symbol | str:
        """As `str.lstrip`, of white space."""
        return self.trace.text(self._trimmed(self.parts, characters, 0))

    def rstrip(self, characters: Any = None) -> Symbol | str:
        """As `str.rstrip`, of white space."""
        return self.trace.text(self._trimmed(self.parts, characters, -1))

    def _trimmed(self, given: Sequence[Part], characters: Any, side: int) -> list[Part]:
        """The parts without white space at one side: 0 or -1."""
        self.trace.read(given)
        trim = Trim(side == 0, side != 0, _white(characters))
        parts = list(given)
        while parts:
            end = parts[side]
            if isinstance(end, str):
                parts[side] = trim.apply(end)[0]
                left = bool(parts[side])
            else:  # where more follows, it matters whether anything is left of this one
                parts[side] = Slot(end.source, (*end.trims, trim))
                left = len(parts) == 1 or self.trace.ask("nonempty", (parts[side],), "")
            if left:
                break
            del parts[side]
        return parts

    def startswith(self, start: Any) -> bool:
        """As `str.startswith`; on record."""
        return self._any("starts", start)

    def endswith(self, end: Any) -> bool:
        """As `str.endswith`; on record."""
        return self._any("ends", end)

    def _any(self, kind: str, wanted: Any) -> bool:
        choices = wanted if isinstance(wanted, tuple) else (wanted,)
        asked = [_plain(choice) for choice in choices]
        return any(self.trace.ask(kind, self.parts, choice) for choice in asked)

    def split(self, separator: Any = None, times: Any = -1) -> list[Symbol]:
        """Only of a text without the separator, which stays whole."""
        if times.__class__ is not int or not _plain(separator) or separator in self:
            raise Unsupported
        return [self]

    __hash__ = __str__ = __repr__ = __format__ = __len__ = __iter__ = __reversed__ = unsupported
    __getitem__ = __call__ = __index__ = __int__ = __float__ = __complex__ = __bytes__ = unsupported
    __lt__ = __le__ = __gt__ = __ge__ = __mul__ = __rmul__ = __mod__ = __rmod__ = unsupported
    __abs__ = __neg__ = __pos__ = __invert__ = __round__ = __sub__ = __rsub__ = unsupported
    __pow__ = __rpow__ = __truediv__ = __floordiv__ = __and__ = __or__ = __reduce_ex__ = unsupported


def _plain(value: Any) -> str:
    if value.__class__ is not str:
        raise Unsupported
    text: str = value
    return text


def _white(characters: Any) -> str | None:
    """What may be trimmed: only white space, so that no words are lost."""
    if characters is not None and (not _plain(characters) or characters.strip()):
        raise Unsupported
    return characters  # type: ignore[no-any-return]


# What a template may call on a text.
METHODS = ("strip", "lstrip", "rstrip", "startswith", "endswith", "split", "rsplit")
METHOD_OF: dict[str, Callable[..., Any]] = {
    name: getattr(Symbol, name.replace("rsplit", "split")) for name in METHODS
}
