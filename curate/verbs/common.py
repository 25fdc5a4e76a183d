"""What several verbs share: reading what was named, saying what happened."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curate.base.errors import CurateError
from curate.base.terminal import printable

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

    from curate.base import values

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
    """The dumps that were named, read as `--format`, `--map` and `--paths` say.

    A run among them must be as it was written. Files of the same bytes are said, not refused.
    """
    from curate import sources
    from curate.pipeline.run_folder import RunFolder, is_run

    for name in arguments.dump:
        if is_run(Path(name)):
            RunFolder(Path(name)).check("kept")
    mapped = [split(text, "--map", "field=column") for text in arguments.map]
    columns = dict(mapped)
    if len(columns) < len(mapped):
        raise CurateError("--map names a field twice; give each field one column")
    options = sources.ReadOptions(arguments.format, columns, arguments.paths)
    dump = sources.read(arguments.dump, options)
    same: dict[str, list[str]] = {}
    for file in dump.files:
        same.setdefault(file.sha256, []).append(file.source)
    for names in same.values():
        shown = list(dict.fromkeys(names))
        if len(shown) > 1:
            more = f" and {len(shown) - 3} more" if len(shown) > 3 else ""
            warn(f"{', '.join(shown[:3])}{more} hold the same bytes, read {len(names)} times")
        elif len(names) > 1:
            warn(f"{shown[0]} was given {len(names)} times and read as often")
    return dump
