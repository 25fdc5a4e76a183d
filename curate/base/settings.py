"""Settings of filters, rendering and training: declared as dataclass fields, checked one way.

A field's annotation says its type (choices are a `Literal`), `setting` its help and limits. Values
come from Python, YAML or the command line; a wrong one is a `CurateError` that names the setting,
what it is and what was expected.
"""

from __future__ import annotations

import dataclasses
import math
import operator
import os
import types
import typing
from collections.abc import Mapping
from typing import Any

from curate.base.errors import CurateError, nearest, shown

_LIMITS = {
    "low": ("at least", operator.ge),
    "above": ("more than", operator.gt),
    "high": ("at most", operator.le),
    "below": ("less than", operator.lt),
}


_LARGEST = 2**63 - 1  # of a whole number: what arrays and tables hold


def setting(
    default: Any = dataclasses.MISSING,
    help: str = "",
    *,
    path: bool = False,
    **more: Any,
) -> Any:
    """A parameter: its default (none: it must be given), a line of help with its unit, limits.

    `low` and `high` are inclusive limits of a number, `above` and `below` are not. `path=True`
    marks a file or folder name, looked up beside the recipe first. Anything else in `more` stands
    in the field's metadata.
    """
    metadata = {"help": help, "path": path, **more}
    return dataclasses.field(default=default, metadata=metadata)


def choices_of(kind: type, name: str) -> tuple[Any, ...]:
    """The values that a setting may have, none where its type is not a choice."""
    hint = typing.get_type_hints(kind)[name]
    parts = (hint, *typing.get_args(hint))
    return tuple(
        choice
        for part in parts
        if typing.get_origin(part) is typing.Literal
        for choice in typing.get_args(part)
    )


def known_settings(
    kind: type, given: Mapping[str, Any], where: str, renamed: Mapping[str, str] | None = None
) -> None:
    """Refuse names that `kind` has no setting for; a former name is answered with the new one."""
    names = [field.name for field in dataclasses.fields(kind)]
    for name in given:
        if name in names:
            continue
        if not isinstance(name, str):
            raise CurateError(f"{where}: {shown(name)} is no name of a setting; expected text")
        if name in (renamed or {}):
            raise CurateError(f"{where}: the setting {name!r} is now {(renamed or {})[name]!r}")
        hint = nearest(str(name), names) or f"; known are {', '.join(names)}"
        raise CurateError(f"{where} has no setting {shown(name)}{hint}")


def checked_settings(
    kind: type, given: Mapping[str, Any], where: str, renamed: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """`given` with every name known and every value of the annotated type, inside its limits.

    `renamed` maps former names of settings to the present ones. Raises `CurateError`.
    """
    known_settings(kind, given, where, renamed)
    hints = typing.get_type_hints(kind)
    fields = {field.name: field for field in dataclasses.fields(kind)}
    return {
        name: _checked(fields[name], hints[name], value, where) for name, value in given.items()
    }


def check_settings(settings: Any, where: str) -> None:
    """Check every field of a dataclass instance; a value is put in the form of its type.

    For `__post_init__`: whole numbers become floats, lists tuples, paths text. Raises
    `CurateError`.
    """
    hints = typing.get_type_hints(type(settings))
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        fitting = _checked(field, hints[field.name], value, where)
        if fitting is not value:
            object.__setattr__(settings, field.name, fitting)


def _checked(field: dataclasses.Field[Any], hint: Any, value: Any, where: str) -> Any:
    try:
        fitting = fitted(value, hint)
        _check_limits(fitting, field.metadata)
    except ValueError as error:
        raise CurateError(f"{where}: {field.name} is {shown(value)}; expected {error}") from None
    return fitting


def _check_limits(value: Any, limits: Mapping[str, Any]) -> None:
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("a finite number")
    wanted = [(*_LIMITS[name], limits[name]) for name in _LIMITS if name in limits]
    if value is None or all(holds(value, limit) for _, holds, limit in wanted):
        return
    raise ValueError(
        "a number of " + " and ".join(f"{text} {_number(limit)}" for text, _, limit in wanted)
    )


def values_of(settings: Any, kind: type) -> dict[str, Any]:
    """The values of those settings that `kind`, or what it extends, declares."""
    return {field.name: getattr(settings, field.name) for field in dataclasses.fields(kind)}


def _number(limit: float) -> str:
    """1.0 as 1; a large whole number with all its digits."""
    return f"{limit:g}" if isinstance(limit, float) else str(limit)


def fitted(value: Any, hint: Any) -> Any:
    """The value as the annotated type; ValueError says what was expected instead.

    >>> fitted([1, 2], tuple[int, ...])
    (1, 2)
    """
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return _fit_union(value, arguments)
    if origin is typing.Literal:
        return _fit_choice(value, arguments)
    if origin is tuple:
        items = value if isinstance(value, list | tuple) else [value]
        return tuple(fitted(item, arguments[0]) for item in items)
    if origin in (dict, typing.get_origin(Mapping[str, int])):
        return _fit_mapping(value, arguments)
    return _fit_plain(value, hint)


def _fit_union(value: Any, arguments: tuple[Any, ...]) -> Any:
    expected = []
    for argument in arguments:
        try:
            return fitted(value, argument)
        except ValueError as error:
            expected.append(str(error))
    raise ValueError(" or ".join(expected))


def _fit_choice(value: Any, choices: tuple[Any, ...]) -> Any:
    if value in choices and isinstance(value, type(choices[0])):
        return value
    known = [str(choice) for choice in choices]
    raise ValueError(f"one of {', '.join(known)}{nearest(str(value), known)}")


def _fit_mapping(value: Any, arguments: tuple[Any, ...]) -> Any:
    if not isinstance(value, Mapping):
        raise ValueError("name: value pairs")
    return {fitted(key, arguments[0]): fitted(item, arguments[1]) for key, item in value.items()}


_EXPECTED = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}


def _fit_plain(value: Any, hint: Any) -> Any:
    if type(value) is int and hint in (int, float) and abs(value) > _LARGEST:
        raise ValueError("a number of at most 64 bits")
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if hint is float and isinstance(value, float) and not math.isfinite(value):
        raise ValueError("a finite number")
    if hint is str and isinstance(value, os.PathLike):
        return os.fspath(value)
    if hint is type(None):
        if value is None:
            return None
        raise ValueError("nothing")
    if hint in _EXPECTED and (type(value) is not hint):
        raise ValueError(_EXPECTED[hint])
    return value
