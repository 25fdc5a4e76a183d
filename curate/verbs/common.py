"""What several verbs share: reading what was named, saying what happened."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from curate.base.errors import CurateError
from curate.base.log import Log
from curate.base.terminal import printable

if TYPE_CHECKING:
    from curate.sources import Dump


def speaker(quiet: bool) -> Log:
    """Prints a line at once, or nothing where quiet."""

    def say(line: str) -> None:
        if not quiet:
            print(printable(line), flush=True)

    return say


def live(quiet: bool) -> Log | None:
    """Shows a line in place of the one before; None where nobody looks at a terminal."""
    if quiet or not (sys.stdout.isatty() and sys.stderr.isatty()):
        return None

    def show(line: str) -> None:
        text = printable(line)[: shutil.get_terminal_size((80, 24)).columns - 1]
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)

    return show


def warn(line: str) -> None:
    """A line on standard error, with the program's name."""
    print(f"curate: {printable(line)}", file=sys.stderr)


def width() -> int:
    """Columns of the terminal, within what a table can use."""
    return max(60, min(140, shutil.get_terminal_size((100, 24)).columns))


def line_width() -> int | None:
    """Columns to wrap lines of text to; None where they go to a file or another program."""
    return width() if sys.stdout.isatty() else None


def split(text: str, option: str, expected: str) -> tuple[str, str]:
    """Both sides of NAME=VALUE."""
    name, equals, value = text.partition("=")
    if not equals:
        raise CurateError(f"{option} {text}: expected {expected}")
    return name, value


def assignments(
    given: Sequence[str], option: str = "--set", expected: str = "field=value"
) -> dict[str, Any]:
    """What an option like `--set FIELD=VALUE` gave, values read as YAML."""
    import yaml

    from curate.base import values

    settings = {}
    for text in given:
        name, value = split(text, option, expected)
        try:
            settings[name] = values.load(value)
        except yaml.YAMLError as error:
            message = " ".join(str(error).split())
            raise CurateError(
                f"{option} {text}: the value is not valid YAML ({message})"
            ) from error
    return settings


def mapped(given: Sequence[str]) -> dict[str, str]:
    """The columns that `--map FIELD=COLUMN` gave, by field."""
    pairs = [split(text, "--map", "field=column") for text in given]
    columns = dict(pairs)
    if len(columns) < len(pairs):
        raise CurateError("--map names a field twice; give each field one column")
    return columns


def reading(arguments: argparse.Namespace) -> dict[str, Any]:
    """What the options about reading say."""
    return {
        "format": arguments.format,
        "columns": mapped(arguments.map),
        "paths": arguments.paths,
        "answerer": arguments.answerer,
        "undesirable": arguments.undesirable,
    }


def read(arguments: argparse.Namespace) -> Dump:
    """The dumps that were named, read as the options about reading say."""
    from curate import sources
    from curate.data import read_data

    how, note = sources.ReadOptions(**reading(arguments)), speaker(arguments.quiet)
    return read_data(arguments.dump, how, warn, note)
