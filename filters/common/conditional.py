"""Settings that only some choices of another one read: `setting(..., only=("cap", "match"))`."""

from __future__ import annotations

import dataclasses
from typing import Any

from curate.base.errors import CurateError


def check_read(settings: Any, where: str, switch: str) -> None:
    """Raise `CurateError` for a setting that is given although nothing would read it.

    `switch` names the setting whose choice decides. Seeds are exempt: a recipe's seed goes to
    every step that has one.
    """
    choice = getattr(settings, switch)
    for field in dataclasses.fields(settings):
        given = field.name != "seed" and getattr(settings, field.name) != field.default
        if given and not _is_read(field, choice):
            users = " or ".join(field.metadata["only"])
            raise CurateError(
                f"{where}: {field.name} is read only with {switch}: {users}, and {switch} is"
                f" {choice}; change {switch}, or leave {field.name} out"
            )


def shown(settings: Any, switch: str) -> str:
    """The settings as a call that makes them, without those that are empty or not read."""
    choice = getattr(settings, switch)
    read = [field.name for field in dataclasses.fields(settings) if _is_read(field, choice)]
    values = {name: getattr(settings, name) for name in read}
    listed = [f"{name}={value!r}" for name, value in values.items() if value not in (None, ())]
    return f"{type(settings).__name__}({', '.join(listed)})"


def _is_read(field: dataclasses.Field[Any], choice: str) -> bool:
    return choice in field.metadata.get("only", (choice,))
