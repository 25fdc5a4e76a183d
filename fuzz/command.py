"""The command line, called here, without the handler that hides what nobody expected."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from typing import NamedTuple

from curate.base import unexpected
from curate.cli import main
from fuzz.contract import Fault

# What acts on a terminal, or turns the text around it.
ACTS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


class Said(NamedTuple):
    """The exit code, and what was said on both outputs."""

    code: int
    out: str
    error: str


def command(words: Sequence[str | os.PathLike[str]]) -> Said:
    """Call the command line. Raises what reached its last handler: nothing may."""
    reached: list[BaseException] = []

    def keep(error: BaseException, argv: object) -> int:
        reached.append(error)
        return 1

    handler, unexpected.answer_unexpected = unexpected.answer_unexpected, keep
    out, error = io.StringIO(), io.StringIO()
    try:
        with redirect_stderr(error), redirect_stdout(out):
            code = main([os.fspath(word) for word in words])
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    finally:
        unexpected.answer_unexpected = handler
    if reached:
        raise reached[0]
    return Said(code, out.getvalue(), error.getvalue())


def check_said(verb: str, said: Said) -> None:
    """Raise `Fault` unless it is a success or a sentence, with nothing that acts on a terminal."""
    if said.code not in (0, 1):
        raise Fault(f"{verb} ends with {said.code}: {said.error[-500:]}")
    if said.code == 1 and not said.error.startswith("curate: "):
        raise Fault(f"{verb} fails without a sentence: {said.error[-500:]!r}")
    if "Traceback" in said.error:
        raise Fault(f"{verb} prints a traceback: {said.error[-500:]}")
    if found := ACTS.search(said.out + said.error):
        at = found.start()
        near = (said.out + said.error)[max(0, at - 80) : at + 40]
        raise Fault(f"{verb} prints what acts on a terminal: {near!r}")
