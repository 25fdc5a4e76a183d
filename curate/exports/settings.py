"""Configurations: YAML with a comment above each setting, so that a person can go on from there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import yaml

from curate.base.version import __version__


class Setting(NamedTuple):
    """One line of a configuration, and why it is so."""

    name: str
    value: Any
    why: str = ""


def config(head: str, settings: Sequence[Setting]) -> str:
    """The settings as YAML; `head` says how it is run."""
    lines = [f"# Written by curate {__version__}.", *(f"# {line}" for line in head.splitlines())]
    for setting in settings:
        lines += ["", *(f"# {line}" for line in setting.why.splitlines())] if setting.why else []
        text = yaml.safe_dump({setting.name: setting.value}, allow_unicode=True, sort_keys=False)
        lines.append(text.rstrip("\n"))
    return "\n".join(lines) + "\n"


def longest(tokens: int) -> int:
    """A limit of length that holds this many tokens: a power of two, 2048 at least.

    >>> longest(3000)
    4096
    """
    limit = 2048
    while limit < tokens:
        limit *= 2
    return limit
