"""Values of settings: of the right type, and inside their limits."""

from __future__ import annotations

import contextlib
import math
import operator
import os
import types
from collections.abc import Mapping
from typing import Any, Literal, Union, get_args, get_origin

from curate.base.errors import CurateError, nearest


def checked(name: str, hint: Any, value: Any) -> Any:
    """`value` as the field's type; ints count as floats, lists as tuples, paths as text."""
    if get_origin(hint) is Literal:
        if value not in get_args(hint):
            choices = ", ".join(repr(choice) for choice in get_args(hint))
            raise CurateError(
                f"{name}: expected one of {choices}, got {value!r}"
                f"{nearest(str(value), get_args(hint))}"
            )
        return value
    if get_origin(hint) in (Union, types.UnionType):
        if value is None:
            return None
        hint = next(kind for kind in get_args(hint) if kind is not type(None))
    if hint is str and isinstance(value, os.PathLike):
        value = os.fspath(value)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if get_origin(hint) is tuple:
        if isinstance(value, str):  # names on the command line: a,b
            value = [item.strip() for item in value.split(",") if item.strip()]
        if isinstance(value, list | tuple) and all(isinstance(item, str) for item in value):
            return tuple(value)
        raise CurateError(f"{name}: expected a list of names, got {value!r}")
    if not isinstance(value, hint) or (isinstance(value, bool) and hint is not bool):
        raise CurateError(f"{name}: expected {hint.__name__}, got {value!r}")
    if value == "":
        raise CurateError(f"{name}: must not be empty")
    return value


def as_number(hint: Any, value: Any) -> Any:
    """A text such as 2e-3 as the number it is where one is wanted: YAML asks for 2.0e-3.

    >>> as_number(float, "2e-3")
    0.002
    """
    if hint is float and isinstance(value, str):
        with contextlib.suppress(ValueError):
            return float(value)
    return value


def limited(name: str, value: Any, limits: Mapping[str, Any]) -> None:
    """Refuse a number outside the limits that the field declares; None has none."""
    if value is None:
        return
    if isinstance(value, float) and not math.isfinite(value):
        raise CurateError(f"{name}: expected a finite number, got {value!r}")
    inside = {
        "low": ("at least", operator.ge),
        "high": ("at most", operator.le),
        "above": ("more than", operator.gt),
        "below": ("less than", operator.lt),
    }
    broken = [
        f"{words} {limits[limit]}"
        for limit, (words, holds) in inside.items()
        if limit in limits and not holds(value, limits[limit])
    ]
    if broken:
        raise CurateError(f"{name}: must be {' and '.join(broken)}, got {value!r}")
