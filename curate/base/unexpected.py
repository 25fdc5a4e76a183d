"""What nobody expected: the details go to a file, and the user gets one sentence.

It stands on Python alone, and imports nothing of it before it is needed.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from curate.base.version import __version__

MOST = 200_000  # characters of a file of details
_OURS = ("curate", "filters", "templates", "trainer")
_NEXT = "please report it, with what you did"

_SECRET_NAME = r"(?:api|auth|access|secret|private)?[_-]?(?:key|token|secret|passw(?:or)?d)"
_SECRETS = (
    # What stands after a name of a secret, in the user's part of an address, and after "Bearer".
    re.compile(rf"(?i)(?<![a-z-])({_SECRET_NAME}\w*['\"]?\s*[=:]\s*['\"]?)[^\s'\"&,}}]+"),
    re.compile(r"(://)[^/\s@'\"]+(?=@)"),
    re.compile(r"(?i)(\bbearer\s+)[^\s'\"]+"),
    # Keys that are known by how they begin.
    re.compile(r"\b((?:sk|hf|gh[opsu]|xox[a-z])[-_])[A-Za-z0-9_-]{8,}"),
)
_SECRET_VARIABLE = re.compile(r"KEY|TOKEN|SECRET|PASSW|CREDENTIAL")
_SHORTEST = 6  # characters of a secret in the environment: fewer stand anywhere by chance


def answer_unexpected(error: BaseException, argv: Sequence[str]) -> int:
    """Save the details of an error, say so on standard error in one sentence; the exit code."""
    sentence = _sentence(error, argv)
    # Where nobody can be told, the exit code is all there is.
    with suppress(OSError, ValueError, MemoryError, RecursionError):
        if sys.stderr is not None:
            sys.stderr.write(f"curate: {sentence}\n")
            sys.stderr.flush()
    return 1


def _sentence(error: BaseException, argv: Sequence[str]) -> str:
    where = _place(error.__traceback__)
    what = f"a fault of curate itself ({type(error).__name__}{where})"
    try:
        path = save_details(error, argv)
    except Exception as failed:  # a full disk, no memory: the user is told all the same
        return f"{what}; its details could not be saved ({type(failed).__name__}); {_NEXT}"
    return f"{what}; its details are in {path}: look it through, then {_NEXT} and that file"


def save_details(error: BaseException, argv: Sequence[str]) -> Path:
    """Write what a report needs to a new file that only this user may read.

    Secrets of the command and the environment are taken out. Raises `OSError`, and whatever a
    machine without memory raises; then no file is left.
    """
    import tempfile

    text = details(error, argv)
    handle, name = tempfile.mkstemp(prefix="curate-error-", suffix=".txt")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(text)
    except BaseException:
        with suppress(OSError):
            Path(name).unlink()
        raise
    return Path(name)


def details(error: BaseException, argv: Sequence[str]) -> str:
    """The versions, the command and the traceback, without secrets; no values of variables."""
    import shlex
    import traceback

    traceback.clear_frames(error.__traceback__)  # what they hold may be what filled the memory
    lines = traceback.TracebackException(type(error), error, error.__traceback__).format()
    said = "".join(lines)
    if len(said) > MOST:
        said = f"{said[: MOST // 2]}\n[...]\n{said[-MOST // 2 :]}"
    command = shlex.join(["curate", *argv])
    return without_secrets("\n".join([*_versions(), f"command: {command}", "", said]))


def without_secrets(text: str) -> str:
    """The text without what looks like a secret, and without those of the environment.

    >>> without_secrets("--set judge.api_key=abc123 http://me:pass@host/v1")
    '--set judge.api_key=[taken out] http://[taken out]@host/v1'
    """
    for name, value in os.environ.items():
        if _SECRET_VARIABLE.search(name.upper()) and len(value) >= _SHORTEST:
            text = text.replace(value, f"[{name}]")
    for pattern in _SECRETS:
        text = pattern.sub(r"\1[taken out]", text)
    return text


def _versions() -> Iterator[str]:
    import platform

    yield f"curate {__version__}, Python {platform.python_version()}, {platform.platform()}"
    names = ("polars", "numpy", "tokenizers", "datasets", "torch", "transformers", "peft")
    loaded = [(name, sys.modules[name]) for name in names if name in sys.modules]
    yield ", ".join(f"{name} {getattr(each, '__version__', '?')}" for name, each in loaded)


def _place(traceback: TracebackType | None) -> str:
    """Where it was raised, as ` in FILE:LINE`: the last place in a package of ours, if any."""
    ours, home = "", Path(__file__).parents[2]
    while traceback is not None:
        file = Path(traceback.tb_frame.f_code.co_filename)
        if file.is_relative_to(home) and file.relative_to(home).parts[0] in _OURS:
            ours = f" in {file.relative_to(home).as_posix()}:{traceback.tb_lineno}"
        traceback = traceback.tb_next
    return ours
