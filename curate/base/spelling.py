"""How an option is spelt where the user gives it: `--out` in a command, `out` in Python."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

_IN_A_COMMAND = ContextVar("_IN_A_COMMAND", default=False)


@contextmanager
def in_a_command() -> Iterator[None]:
    """Within the block, messages speak of options as the command line has them."""
    before = _IN_A_COMMAND.set(True)
    try:
        yield
    finally:
        _IN_A_COMMAND.reset(before)


def option(name: str, value: object = None) -> str:
    """An option, alone or with what it should be.

    >>> option("out"), option("force", True)
    ('out', 'force=True')
    >>> with in_a_command():
    ...     option("out"), option("force", True), option("max_length", 9)
    ('--out', '--force', '--max-length 9')
    """
    if not _IN_A_COMMAND.get():
        return name if value is None else f"{name}={value!r}"
    dashed = "--" + name.replace("_", "-")
    return dashed if value is None or value is True else f"{dashed} {shlex.quote(str(value))}"


def verb(name: str) -> str:
    """A verb: `curate run` in a command, `curate.run` in Python.

    >>> verb("run")
    'curate.run'
    """
    return f"curate {name}" if _IN_A_COMMAND.get() else f"curate.{name}"


def mapped(columns: Mapping[str, str]) -> str:
    """The option that says under which names a file has the fields that formats know.

    >>> mapped({"prompt": "q"})
    "columns={'prompt': 'q'}"
    >>> with in_a_command():
    ...     mapped({"prompt": "q", "response": "the answer"})
    "--map prompt=q --map 'response=the answer'"
    """
    if not _IN_A_COMMAND.get():
        return option("columns", dict(columns))
    pairs = [shlex.quote(f"{known}={column}") for known, column in columns.items()]
    return " ".join(f"--map {pair}" for pair in pairs)


def added_tokens(*texts: str) -> str:
    """The option that makes texts tokens of their own.

    >>> added_tokens("<end>", "<bye>")
    "add_tokens=['<end>', '<bye>']"
    >>> with in_a_command():
    ...     added_tokens("<end>", "<bye>")
    "--add-token '<end>' --add-token '<bye>'"
    """
    if not _IN_A_COMMAND.get():
        return option("add_tokens", [*texts])
    return " ".join(f"--add-token {shlex.quote(text)}" for text in texts)


def stop(text: str) -> str:
    """The option that names a further stop of a template.

    >>> stop("<end>")
    "stops=('<end>',)"
    >>> with in_a_command():
    ...     stop("<end>")
    "--stop '<end>'"
    """
    return f"--stop {shlex.quote(text)}" if _IN_A_COMMAND.get() else f"stops={(text,)!r}"


def template_argument(name: str, value: bool) -> str:
    """The option that gives the template a switch.

    >>> template_argument("enable_thinking", True)
    "arguments={'enable_thinking': True}"
    >>> with in_a_command():
    ...     template_argument("enable_thinking", True)
    '--arg enable_thinking=true'
    """
    if not _IN_A_COMMAND.get():
        return option("arguments", {name: value})
    return f"--arg {name}={str(value).lower()}"


def amounts(*values: int) -> str:
    """The option that names several amounts of tokens, alone or with what it should be.

    >>> amounts(), amounts(25_000, 50_000)
    ('amounts', 'amounts=(25000, 50000)')
    >>> with in_a_command():
    ...     amounts(), amounts(25_000, 50_000)
    ('--sweep', '--sweep tokens=25000,50000')
    """
    if not _IN_A_COMMAND.get():
        return option("amounts", values or None)
    return f"--sweep tokens={','.join(map(str, values))}" if values else "--sweep"


def shares_of(group: str, *values: float) -> str:
    """The option that names several shares of a group of rows, alone or with what it should be.

    >>> shares_of("code"), shares_of("code", 0.1, 0.3)
    ("shares of 'code'", "shares of 'code' (0.1, 0.3)")
    >>> with in_a_command():
    ...     shares_of("code"), shares_of("code", 0.1, 0.3)
    ('--sweep mix.code', '--sweep mix.code=0.1,0.3')
    """
    listed = [f"{value:g}" for value in values]
    if not _IN_A_COMMAND.get():
        return f"shares of {group!r}" + (f" ({', '.join(listed)})" if listed else "")
    given = shlex.quote(f"mix.{group}={','.join(listed)}" if listed else f"mix.{group}")
    return f"--sweep {given}"
