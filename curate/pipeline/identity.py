"""What a step's results depend on beside the rows: another identity, another result."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable, Iterator
from typing import Any

from curate.base.contract import Filter, Fix
from curate.base.places import files_named
from curate.base.version import __version__


def is_ours(action: Filter | Fix) -> bool:
    """Whether the step's code is that of this version, so that its settings say all."""
    return type(action).__module__.split(".")[0] == "filters"


def is_resumable(action: Filter | Fix) -> bool:
    """Whether what it decided may be taken from a run that was cut off.

    Not from a user's code, which may be another by now, nor where judging is part of remembering,
    nor where a question that failed is to be asked again.
    """
    decides_anew = isinstance(action, Filter) and (action.remembers_in or action.asks)
    return is_ours(action) and not decides_anew


def measure_name(step: Filter) -> str:
    """A name for what a filter measures: another version or setting of it has another name."""
    if step.cached:
        settings: dict[str, Any] = {name: getattr(step, name) for name in sorted(step.measured_by)}
        whose = [] if is_ours(step) else [type(step).__module__, type(step).__qualname__]
        return f"{_plain(step.name)}-{_hashed(step.name, step.version, settings, *whose)}"
    names = step.measured_by or None
    return f"{_plain(step.name)}-{_hashed(*_about(step), sorted(_values(step, names).items()))}"


def judge_name(action: Filter | Fix) -> str:
    """A name for what a step decides of given rows; it changes with files that it names."""
    return _hashed(*_about(action), sorted(_values(action).items()))


def _about(action: Filter | Fix) -> Iterator[Any]:
    kind = type(action)
    yield from (kind.__module__, kind.__qualname__, getattr(action, "version", 0), __version__)
    yield list(_states(action))


def _values(action: Filter | Fix, names: Iterable[str] | None = None) -> dict[str, Any]:
    fields = [field.name for field in dataclasses.fields(action)]  # type: ignore[arg-type]
    return {name: getattr(action, name) for name in (names or fields)}


def _states(action: Filter | Fix) -> Iterator[tuple[str, int, int]]:
    """Every file that a setting names, with its size and the time of its last change."""
    for field in dataclasses.fields(action):  # type: ignore[arg-type]
        if not field.metadata.get("path"):
            continue
        value = getattr(action, field.name)
        for name in value if isinstance(value, list | tuple) else [value]:
            yield from _state(name)


def _state(name: Any) -> Iterator[tuple[str, int, int]]:
    if not isinstance(name, str) or not name:
        return
    code, colon, _ = name.rpartition(":")
    for file in files_named(code if colon and code.endswith(".py") else name):
        state = file.stat()
        yield str(file), state.st_size, state.st_mtime_ns


def _plain(name: str) -> str:
    """A name of the user's as part of a file's name."""
    return "".join(c if c.isascii() and c.isalnum() else "_" for c in name)[:40]


def _hashed(*values: Any) -> str:
    return hashlib.blake2b(repr(values).encode(), digest_size=8).hexdigest()
