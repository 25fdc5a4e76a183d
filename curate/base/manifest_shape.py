"""The shapes of what a manifest says: a stranger's may hold anything, and is checked once."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from curate.base.errors import CurateError

Shape = tuple[str, Callable[[Any], bool]]  # in words, and whether a value has it


def _is_id(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def list_of(words: str, holds: Callable[[Any], bool]) -> Shape:
    """The shape of a list whose items all hold to something."""
    return words, lambda value: isinstance(value, list) and all(map(holds, value))


def object_of(words: str, holds: Callable[[Any], bool]) -> Shape:
    """The shape of an object whose values all hold to something."""
    return words, lambda value: isinstance(value, dict) and all(map(holds, value.values()))


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


OBJECT: Shape = ("an object", lambda value: isinstance(value, dict))
LIST: Shape = ("a list", lambda value: isinstance(value, list))
TEXT: Shape = ("a text", _is_text)
SWITCH: Shape = ("true or false", lambda value: isinstance(value, bool))
WHOLE: Shape = ("a whole number", _is_id)
TEXTS = list_of("a list of texts", _is_text)
IDS = list_of("a list of ids", _is_id)
ID_BY_TOKEN = object_of("an object with an id for each token", _is_id)
TEXT_BY_NAME = object_of("an object with a text for each name", _is_text)
WHOLE_BY_NAME = object_of("an object with a whole number for each name", _is_id)
NUMBER_BY_NAME = object_of("an object with a number for each name", _is_number)


def has(**fields: Shape) -> Callable[[Any], bool]:
    """Whether a value is an object that has all these fields, in their shapes."""
    return lambda value: (
        isinstance(value, dict)
        and all(name in value and holds(value[name]) for name, (_, holds) in fields.items())
    )


def may_have(**fields: Shape) -> Callable[[Any], bool]:
    """Whether a value is an object whose fields of these names, if any, are in their shapes."""
    return lambda value: (
        isinstance(value, dict)
        and all(
            value.get(name) is None or holds(value[name]) for name, (_, holds) in fields.items()
        )
    )


def check_shapes(
    manifest: Any, shapes: Mapping[str, Shape], needed: Collection[str], path: Path, then: str
) -> None:
    """Raise `CurateError` for the first value, at a dotted name, that is not of its shape.

    What is not `needed` may be missing or null. `path` is that of the manifest, `then` what to do.
    """
    for name, (words, holds) in shapes.items():
        value = _found(manifest, name)
        if value is None and name in needed:
            raise CurateError(f"{path}: {name}: expected {words}, and there is none; {then}")
        if value is not None and not holds(value):
            raise CurateError(f"{path}: {name}: expected {words}, got {value!r:.80}; {then}")


def _found(manifest: Any, name: str) -> Any:
    """The value at a dotted name; None where it, or an object on the way to it, is missing."""
    value = manifest
    for part in name.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value
