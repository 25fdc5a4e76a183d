"""A smaller case that fails in the same way, found greedily."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator
from typing import Any

from fuzz.values import at, paths, put


def shrunk(case: Any, fails: Callable[[Any], bool], seconds: float) -> Any:
    """The smallest case that was found in so many seconds, by taking away what can go.

    >>> shrunk({"rows": ["abcd", "x", 3]}, lambda case: "b" in str(case.get("rows")), 5)
    {'rows': ['b']}
    """
    until, smaller = time.monotonic() + seconds, True
    while smaller:
        smaller = False
        for one in _smaller(case):
            if time.monotonic() > until:
                return case
            if fails(one):
                case, smaller = one, True
                break
    return case


def _smaller(case: Any) -> Iterator[Any]:
    """Cases with one thing less, the largest things first."""
    places = paths(case)[1:]
    for path in sorted(places, key=lambda path: -_size(at(case, path))):
        value = at(case, path)
        if len(path) > 1:  # the fields of the case itself stay
            yield _without(case, path)
        if isinstance(value, str) and len(value) > 1:
            half = len(value) // 2
            yield from (put(copy.deepcopy(case), path, part) for part in _parts(value, half))
        elif isinstance(value, list) and len(value) > 3:
            half = len(value) // 2
            for part in (value[:half], value[half:]):
                yield put(copy.deepcopy(case), path, copy.deepcopy(part))


def _parts(text: str, half: int) -> tuple[str, ...]:
    ends = (text[1:], text[:-1]) if len(text) < 40 else ()
    return (text[:half], text[half:], *ends)


def _without(case: Any, path: tuple[Any, ...]) -> Any:
    case = copy.deepcopy(case)
    del at(case, path[:-1])[path[-1]]
    return case


def _size(value: Any) -> int:
    return len(repr(value))
