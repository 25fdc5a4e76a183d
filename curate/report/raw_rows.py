"""The raw row that a record came from, read again from its file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from curate.base.errors import CurateError
from curate.base.json_text import as_text
from curate.base.replacing import NAMELESS
from curate.base.terminal import printable
from curate.sources import formats
from curate.sources.files import inputs
from curate.sources.files.items import Block, Item, Starts
from curate.sources.files.raw import items

SHOWN = 200  # characters


def raw_row(source: str, line: int) -> list[str]:
    """The raw row on a line of an input, or why it cannot be shown, as lines for a terminal.

    Rows that were in no file have none.
    """
    path = _file_of(source)
    where = f"  line {line} of {source}"
    if source in NAMELESS:
        return []
    if path is None:
        return ["", f"{where}: not shown, as there is no such file as seen from here"]
    try:
        raw = _raw(path, source, line)
    except (CurateError, OSError) as error:
        return ["", f"{where}: not shown, as the file cannot be read any more ({error})"]
    if raw is None:
        return ["", f"{where}: not shown, as the file has no such row any more"]
    if raw == _SHARED:
        return ["", f"{where}: not shown, as several rows share the line"]
    text = printable(" ".join(raw.decode(errors="backslashreplace").split()), SHOWN)
    return ["", f"{where}: {text}"]


def _file_of(source: str) -> Path | None:
    """The file of an input, or the archive that it is in; None where there is none."""
    path = Path(source)
    return next((each for each in (path, *path.parents) if each.is_file()), None)


def _raw(path: Path, name: str, line: int) -> bytes | None:
    """The row that the reader counts as this line, as JSON: a line may be a row's number."""
    source = next((each for each in inputs.expand([str(path)]) if each.name == name), None)
    if source is None:
        return None
    rows: dict[int, Any] = {}
    starts: list[int] | None = None
    for item in items(source, source.stored(), formats.is_row):
        if isinstance(item, Starts):
            starts = item.lines
        elif isinstance(item, Item):
            # A line that several rows share does not say which of them is meant.
            rows[item.line] = _SHARED if item.line in rows else item.value
        elif isinstance(item, Block) and line in item.lines:
            return as_text(item.values[item.lines.index(line)]).encode()
    number = line if starts is None else starts.index(line) + 1 if line in starts else 0
    row = rows.get(number)
    return row if row is None or row == _SHARED else as_text(row).encode()


# Stands for the rows of a line that are several.
_SHARED = b"several"
