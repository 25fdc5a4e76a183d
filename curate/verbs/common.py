"""What several verbs share: reading what was named, saying what happened."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from curate.schema import CurateError
from curate.terminal import printable

if TYPE_CHECKING:
    from curate.sources import Dump

Say = Callable[[str], None]


def speaker(quiet: bool) -> Say:
    """Prints a line at once, or nothing where quiet."""

    def say(line: str) -> None:
        if not quiet:
            print(printable(line), flush=True)

    return say


def warn(line: str) -> None:
    """A line on standard error, with the program's name."""
    print(f"curate: {printable(line)}", file=sys.stderr)


def width() -> int:
    """Columns of the terminal, within what a table can use."""
    return max(60, min(140, shutil.get_terminal_size((100, 24)).columns))


def split(text: str, option: str, expected: str) -> tuple[str, str]:
    """Both sides of NAME=VALUE."""
    name, equals, value = text.partition("=")
    if not equals:
        raise CurateError(f"{option} {text}: expected {expected}")
    return name, value


def assignments(given: Sequence[str], option: str = "--set") -> dict[str, Any]:
    """What an option like `--set FIELD=VALUE` gave, values read as YAML."""
    import yaml

    from curate import values

    found = {}
    for text in given:
        name, value = split(text, option, "field=value")
        try:
            found[name] = values.load(value)
        except yaml.YAMLError as error:
            said = " ".join(str(error).split())
            raise CurateError(f"{option} {text}: the value is not valid YAML ({said})") from error
    return found


def read(arguments: argparse.Namespace) -> Dump:
    """The dumps that were named, read as `--format`, `--map` and `--paths` say."""
    from curate import sources

    columns = dict(split(text, "--map", "field=column") for text in arguments.map)
    how = sources.Reading(arguments.format, columns, arguments.paths)
    dump = sources.read(arguments.dump, how)
    for name, times in Counter(file.source for file in dump.files).items():
        if times > 1:
            print(f"curate: {name} was given {times} times and read as often", file=sys.stderr)
    return dump
