"""The largest values of a manifest, in a table beside it.

A `manifest.json` is read by people and by other programs, so it stays small: of one that would be
larger than `MOST`, the largest values stand in `manifest.parquet`, a line each with the place of
the value (`path`, a JSON pointer) and its JSON text (`value`). A mark in `manifest.json` stands for
each of them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curate.base.errors import CurateError, one_line

if TYPE_CHECKING:
    import polars as pl

TABLE = "manifest.parquet"
MOST = 150_000  # bytes of `manifest.json`
# Bytes of a value that is worth moving, far more than its mark has: a smaller one goes with the
# value that it is part of.
LEAST = 4_000
# What a reader needs to know of a folder before it reads anything else; and what no two runs share,
# so that it must not decide what is moved.
_STAYS = ("maker", "files", "version", "counts", "sha256", "seconds")
_MARK = "moved_to"


def restored(folder: Path, manifest: Mapping[str, Any]) -> dict[str, Any]:
    """What `manifest.json` in a folder holds, with the values that stand in the table beside it.

    Raises `CurateError` for a table that is missing, or is not the one that was written with it.
    """
    whole, listed = dict(manifest), manifest.get("files")
    if not isinstance(listed, list) or TABLE not in listed:
        return whole
    lines = _lines(folder / TABLE, manifest.get("sha256"))
    try:
        # Parents come before what is inside of them.
        for pointer, text in sorted(lines, key=lambda line: line[0].count("/")):
            _put_back(whole, pointer, json.loads(text))
    except (ValueError, RecursionError, KeyError, IndexError, TypeError) as error:
        raise CurateError(f"{folder / TABLE}: damaged ({one_line(error)}); run it again") from error
    return whole


def text_of(content: Mapping[str, Any]) -> str:
    """A manifest as it is written."""
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def shortened(content: Mapping[str, Any]) -> tuple[Mapping[str, Any], dict[str, str]]:
    """The content with marks for its largest values, and these as JSON text by their pointers.

    Nothing is moved from content of up to `MOST` bytes. What is moved depends on the content
    alone: the largest values first, of equal ones the first in the order of pointers.
    """
    moved: dict[str, str] = {}
    if (excess := _excess(content)) <= 0:
        return content, moved
    small = json.loads(json.dumps(content))
    # A second pass finds a list of many values that were moved one by one.
    while excess > 0 and (large := sorted(_large(small), key=lambda each: (-each[0], each[1]))):
        for size, pointer in large:
            if excess > 0:
                moved[pointer] = _take_out(small, pointer)
                excess -= size
        excess = _excess(small)
    return small, moved


def table_of(moved: Mapping[str, str]) -> pl.DataFrame:
    """The values that were moved, by pointer, as the table that is written."""
    import polars as pl

    columns = {"path": sorted(moved), "value": [moved[pointer] for pointer in sorted(moved)]}
    return pl.DataFrame(columns, schema={"path": pl.String, "value": pl.String})


def _lines(path: Path, hashes: Any) -> list[tuple[str, str]]:
    """The lines of the table, if it is the one of these hashes."""
    import polars as pl

    expected = hashes.get(TABLE) if isinstance(hashes, dict) else None
    if path.is_symlink() or not path.is_file():
        raise CurateError(f"{path}: missing; run it again")
    data = path.read_bytes()
    if hashlib.sha256(data).hexdigest() != expected:
        raise CurateError(f"{path}: damaged, or changed since it was written; run it again")
    try:
        table = pl.read_parquet(data, schema={"path": pl.String, "value": pl.String})
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        raise CurateError(f"{path}: damaged ({one_line(error)}); run it again") from error
    return [(str(pointer), str(text)) for pointer, text in table.iter_rows()]


def _excess(content: Mapping[str, Any]) -> int:
    """By how many bytes content is too long."""
    return _bytes(text_of({**content, "seconds": {}})) - MOST


def _bytes(text: str) -> int:
    return len(text.encode())


def _large(content: Mapping[str, Any]) -> Iterator[tuple[int, str]]:
    """Size and pointer of each value that may be moved: it is large, and nothing in it is."""
    for name, value in content.items():
        if name not in _STAYS:
            yield from _large_in(value, _pointer("", name))


def _large_in(value: Any, pointer: str) -> list[tuple[int, str]]:
    size = _bytes(json.dumps(value, ensure_ascii=False))
    if size < LEAST:
        return []
    parts: Iterable[tuple[Any, Any]] = ()
    if isinstance(value, dict | list):
        parts = value.items() if isinstance(value, dict) else enumerate(value)
    inside = [each for name, part in parts for each in _large_in(part, _pointer(pointer, name))]
    return inside or [(size, pointer)]


def _pointer(above: str, name: Any) -> str:
    return f"{above}/{str(name).replace('~', '~0').replace('/', '~1')}"


def _names(pointer: str) -> list[str]:
    first, *names = pointer.split("/")
    if first or not names:
        raise ValueError(f"{pointer[:60]!r} is no JSON pointer")
    return [name.replace("~1", "/").replace("~0", "~") for name in names]


def _holder(content: Any, pointer: str) -> tuple[Any, Any]:
    """The dictionary or list that holds what a pointer names, and the key or number of it."""
    *above, last = _names(pointer)
    for name in above:
        content = content[int(name) if isinstance(content, list) else name]
    return content, int(last) if isinstance(content, list) else last


def _take_out(content: dict[str, Any], pointer: str) -> str:
    """Put a mark where a value stands; the value as JSON text."""
    holder, name = _holder(content, pointer)
    value = holder[name]
    text = json.dumps(value, ensure_ascii=False)
    is_many = isinstance(value, dict | list)
    size = {"entries": len(value)} if is_many else {"characters": len(text)}
    holder[name] = {_MARK: TABLE, **size}
    return text


def _put_back(content: dict[str, Any], pointer: str, value: Any) -> None:
    """Put a value where its mark stands; `KeyError` where there is none."""
    holder, name = _holder(content, pointer)
    mark = holder[name]
    if not isinstance(mark, dict) or mark.get(_MARK) != TABLE:
        raise KeyError(f"{pointer[:60]} was not moved")
    holder[name] = value
