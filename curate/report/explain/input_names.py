"""What a user calls a row's file and line, and which inputs of a run that can mean."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from curate.base.errors import nearest, some_of
from curate.base.replacing import NAMELESS
from curate.base.terminal import printed
from curate.report.run_files import short_names


class Place(NamedTuple):
    """Inputs that a user's words can mean, and the line, or None for all of them."""

    sources: list[str]
    line: int | None


def place_of(key: str, sources: Sequence[str]) -> Place:
    r"""What `FILE:LINE` or `FILE` means among the inputs; without `sources` it means none.

    A name may hold colons itself.

    >>> place_of(r"C:\\x.json:3", [r"C:\\x.json"])
    Place(sources=['C:\\\\x.json'], line=3)
    >>> place_of("a.json", ["dump/a.json", "dump/b.json"])
    Place(sources=['dump/a.json'], line=None)
    """
    name, _, line = key.strip().rstrip(":").rpartition(":")
    # Longer numbers are no line of any file.
    if name and line.isdecimal() and len(line) < 16 and (inputs := inputs_called(name, sources)):
        return Place(inputs, int(line))
    return Place(inputs_called(key.strip(), sources), None)


def inputs_called(name: str, sources: Sequence[str]) -> list[str]:
    """The inputs that are called so: as they are printed, else as a path, else by its end.

    They are printed by their names, or without the folders that all of them share. The name of an
    archive or a folder means all that was read in it.

    >>> inputs_called("b.json", ["dump/a.json", "dump/more/b.json"])
    ['dump/more/b.json']
    >>> inputs_called("a.json", ["dump/a.json", "dump/more/a.json"])
    ['dump/a.json']
    """
    names = list(dict.fromkeys(sources))
    short = short_names(names)
    as_printed = [each for each in names if name in printed(each) or name in printed(short[each])]
    if as_printed or not name:
        return as_printed
    given = _resolved(name)
    if as_paths := [each for each in names if given and given == _resolved(each)]:
        return as_paths
    if not (end := _slashes(name).rstrip("/")):
        return []
    end = f"/{end}"
    forms = {each: [f"/{_slashes(form)}" for form in printed(each)] for each in names}
    as_end = [each for each in names if any(form.endswith(end) for form in forms[each])]
    # Else an archive, or a folder.
    return as_end or [each for each in names if any(f"{end}/" in form for form in forms[each])]


def _slashes(name: str) -> str:
    return name.replace("\\", "/").removeprefix("./")


def _resolved(name: str) -> Path | None:
    """The file that a name means as seen from here; None for one that can mean none."""
    try:
        return None if name in NAMELESS else Path(name).resolve()
    except (OSError, ValueError, RuntimeError):
        return None


def known_inputs(name: str, sources: Sequence[str]) -> str:
    """What is to be said where no input is called so: the nearest name, or some of them."""
    names = list(dict.fromkeys(sources))
    ends = {each.replace("\\", "/").rpartition("/")[2]: each for each in names}
    known = dict.fromkeys([*names, *short_names(names).values(), *ends])
    count = f"{len(names):,} input{'s were' if len(names) != 1 else ' was'} read"
    return nearest(name, list(known)) or f"; {count}: {some_of(names, 5)}"
