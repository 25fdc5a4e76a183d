"""Settings out of YAML or the command line, checked against a dataclass's own annotations."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from typing import Any

from curate.schema import CurateError, nearest


def checked_settings(kind: type, given: Mapping[str, Any], where: str) -> dict[str, Any]:
    """`given` with every name known and every value of the annotated type.

    Raises `CurateError` that names the field, the value and what was expected.
    """
    hints = typing.get_type_hints(kind)
    fields = {field.name: field for field in dataclasses.fields(kind)}
    values = {}
    for name, value in given.items():
        if name not in fields:
            hint = nearest(str(name), list(fields)) or f"; known are {', '.join(fields)}"
            raise CurateError(f"{where} has no setting {name!r}{hint}")
        try:
            values[name] = fitted(value, hints[name])
        except ValueError as error:
            raise CurateError(f"{where}: {name} is {value!r}; expected {error}") from None
    return values


def fitted(value: Any, hint: Any) -> Any:
    """The value as the annotated type; ValueError says what was expected instead.

    >>> fitted([1, 2], tuple[int, ...])
    (1, 2)
    """
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return _fit_union(value, arguments)
    if origin is typing.Literal:
        if value not in arguments:
            raise ValueError("one of " + ", ".join(map(str, arguments)))
        return value
    if origin is tuple:
        items = value if isinstance(value, list | tuple) else [value]
        return tuple(fitted(item, arguments[0]) for item in items)
    if origin in (dict, Mapping, typing.get_origin(Mapping[str, int])):
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


def _fit_mapping(value: Any, arguments: tuple[Any, ...]) -> Any:
    if not isinstance(value, dict):
        raise ValueError("name: value pairs")
    return {fitted(key, arguments[0]): fitted(item, arguments[1]) for key, item in value.items()}


_EXPECTED = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}


def _fit_plain(value: Any, hint: Any) -> Any:
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if hint is type(None):
        if value is None:
            return None
        raise ValueError("nothing")
    if hint in _EXPECTED and (type(value) is not hint):
        raise ValueError(_EXPECTED[hint])
    return value
