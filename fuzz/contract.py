"""What a fuzzer is, and how it says that something is wrong."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

Case = dict[str, Any]  # JSON: texts may be anything that JSON can hold


class Fault(Exception):
    """What must not be: a row that is lost, a script in a page, more than one sentence."""


def one(case: Case) -> int:
    """How many inputs a case is, where it is one."""
    return 1


def nothing() -> None:
    """There is nothing to prepare."""


class Fuzzer(NamedTuple):
    """How cases are made and checked; `check` gets an empty folder, and names the outcome;
    `size` counts the inputs in a case, `prepare` does what a child needs to do once.

    Whatever `check` raises is a fault; so are a process that ends, one that takes too long, and
    one that takes too much memory.
    """

    make: Callable[[random.Random], Case]
    check: Callable[[Case, Path], str]
    size: Callable[[Case], int] = one
    prepare: Callable[[], object] = nothing
    cases_a_child: int = 300
