"""Which branch of a conversation that was edited and tried again is the conversation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

LATEST = "the row names no last message: its latest branch is taken"


def path_to(leaf: str, parents: Mapping[str, str | None]) -> list[str]:
    """The ids from the first message to this one. Ends early where parents run in a circle.

    The first of them has a parent if that is not among `parents`, or is one of the circle.

    >>> path_to("c", {"a": None, "b": "a", "c": "b", "other": "a"})
    ['a', 'b', 'c']
    """
    path: dict[str, None] = {}
    here: str | None = leaf
    while here is not None and here in parents and here not in path:
        path[here] = None
        here = parents[here]
    return list(path)[::-1]


def latest_leaf(parents: Mapping[str, str | None], times: Mapping[str, Any]) -> str | None:
    """The last of the messages that nobody answers, by time if all of them have one."""
    answered = set(parents.values())
    leaves = [each for each in parents if each not in answered] or list(parents)
    kinds = {type(times.get(each)) for each in leaves}
    if kinds in ({float}, {int}, {int, float}, {str}):
        leaves = sorted(leaves, key=lambda each: times[each])
    return leaves[-1] if leaves else None
