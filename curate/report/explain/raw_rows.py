"""The raw row that a record came from, read again from its file."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from curate.base.errors import CurateError
from curate.base.folder import sha256 as hash_of
from curate.base.json_text import as_text
from curate.base.replacing import NAMELESS
from curate.base.terminal import printable
from curate.sources import formats
from curate.sources.files import inputs
from curate.sources.files.items import Block, Item, Numbers
from curate.sources.files.raw import items

SHOWN = 200  # characters
# Bytes of a file that is read whole for one row (a second and 200 MB of memory), and of a line.
LARGEST, LONGEST = 50_000_000, 10_000_000


class RawRow(NamedTuple):
    """A row as its file has it now, as JSON, and the hash of that file."""

    text: bytes
    sha256: str


def raw_row(source: str, line: int, sha256: str | None) -> list[str]:
    """The raw row on a line of an input, or why it cannot be shown, as lines for a terminal.

    `sha256` is the hash that the input had when it was read; a file that has changed since is
    said to. Rows that were in no file have none.
    """
    path = _file_of(source)
    where = f"  line {line} of {source}"
    if source in NAMELESS:
        return []
    if path is None:
        return ["", f"{where}: not shown, as there is no such file as seen from here"]
    try:
        size = path.stat().st_size
        raw = (_raw if size <= LARGEST else _from_lines)(path, source, line)
    except (CurateError, OSError) as error:
        return ["", f"{where}: not shown, as the file cannot be read any more ({error})"]
    if raw is None and size > LARGEST:
        return ["", f"{where}: not shown, as all {size / 1e6:,.0f} MB would be read for it"]
    if raw is not None and sha256 and raw.sha256 != sha256:
        where += ", as the file is now (it has changed since)"
    if raw is None:
        return ["", f"{where}: not shown, as the file has no such row any more"]
    if raw.text == _SHARED:
        return ["", f"{where}: not shown, as several rows share the line"]
    text = printable(" ".join(raw.text.decode(errors="backslashreplace").split()), SHOWN)
    return ["", f"{where}: {text}"]


def _file_of(source: str) -> Path | None:
    """The file of an input, or the archive that it is in; None where there is none."""
    path = Path(source)
    return next((each for each in (path, *path.parents) if each.is_file()), None)


def _from_lines(path: Path, name: str, line: int) -> RawRow | None:
    """The row on a line of a large file with a JSON object a line; None where it may be another.

    Of a file whose first line is one row the reader counts the lines, but for those that end as
    they once did.
    """
    if path != Path(name):
        return None  # it is in an archive
    number = 1
    with path.open("rb") as file:
        text = file.readline(LONGEST)
        if _row_on(text) is None:
            return None
        for number, text in enumerate(islice(file, line - 1), 2):  # noqa: B007 (of the last line)
            if b"\r" in text and not text.endswith(b"\r\n"):
                return None
    row = _row_on(text) if number == line else None
    return None if row is None else RawRow(as_text(row).encode(), hash_of(path))


def _row_on(text: bytes) -> Any:
    """The one row that a line holds; None for any other text."""
    try:
        row = orjson.loads(text) if len(text) < LONGEST else None
    except ValueError:
        return None
    return row if formats.is_row(row) else None


def _raw(path: Path, name: str, line: int) -> RawRow | None:
    """The row that the reader counts as this line, as JSON: a line may be a row's number."""
    source = next((each for each in inputs.expand([str(path)]) if each.name == name), None)
    if source is None:
        return None
    stored = source.stored()
    rows: dict[int, Any] = {}
    for item in items(source, stored, formats.is_row):
        if isinstance(item, Numbers):
            rows = dict(enumerate(rows.values(), 1))
        elif isinstance(item, Item):
            # A line that several rows share does not say which of them is meant. What is no value
            # is no row.
            if item.line not in rows:
                rows[item.line] = item.value
            elif item.value is not None:
                rows[item.line] = _SHARED
        elif isinstance(item, Block) and line in item.lines:
            rows[line] = item.values[item.lines.index(line)]
            break
    row = rows.get(line)
    if row is None:
        return None
    text = row if row == _SHARED else as_text(row).encode()
    return RawRow(text, inputs.sha256(stored))


# Stands for the rows of a line that are several.
_SHARED = b"several"
