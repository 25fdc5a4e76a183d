"""Lists of classes: what makes a text a class, and files of them."""

from __future__ import annotations

import json
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from curate.base.errors import CurateError, some_of

# More distinct labels than this are no classes, unless a list names them.
MOST = 256
# They are none either if there are more than half as many as rows, or as this if rows are few.
FEW = 16


class ClassFile(NamedTuple):
    """What a file of classes holds; `texts` gives the class for what a row holds, if it says so."""

    names: tuple[str, ...]
    texts: Mapping[str, str] | None


def check(classes: Sequence[str], where: str) -> tuple[str, ...]:
    """A list of classes as it was given, from `where`; raises `CurateError` for one that is none.

    >>> check(["yes", "no"], "labels.txt")
    ('yes', 'no')
    """
    for number, name in enumerate(classes, 1):
        if not isinstance(name, str):
            raise CurateError(f"{where}: class {name!r} is no text; put it in quotes")
        if not name.strip():
            raise CurateError(f"{where}: class {number} is empty; give each class a text")
    twice = [name for name, count in Counter(classes).items() if count > 1]
    if twice:
        raise CurateError(f"{where}: names {some_of([*map(repr, twice)])} twice; name a class once")
    folded: dict[str, list[str]] = {}
    for name in classes:
        folded.setdefault(_folded(name), []).append(name)
    if alike := [names for names in folded.values() if len(names) > 1]:
        one, other = alike[0][:2]
        is_shown = one.strip().casefold() == other.strip().casefold()
        shown = f"{one!r} and {other!r}" if is_shown else f"{one!a} and {other!a}"
        how = "in case or spaces" if is_shown else "in spaces or in how letters are encoded"
        raise CurateError(
            f"{where}: {shown} differ {how} alone, so which is right would be chance; name the "
            "classes that are meant in a file"
        )
    if len(classes) < 2:
        shown = f"only {classes[0]!r}" if classes else "no class"
        raise CurateError(f"{where}: names {shown}, so no answer can be wrong; name two or more")
    return tuple(classes)


def _folded(name: str) -> str:
    """What two names have in common that a reader takes for one."""
    return " ".join(unicodedata.normalize("NFKC", name).casefold().split())


def distinct(counted: Counter[str], rows: int, where: str) -> tuple[str, ...]:
    """The different labels of so many rows, sorted. Raises `CurateError` if they are no classes."""
    if len(counted) > MOST or 2 * len(counted) > max(rows, FEW):
        shown = some_of([repr(name[:40]) for name in sorted(counted)], 2)
        raise CurateError(
            f"{where}: {rows:,} rows have {len(counted):,} different labels ({shown}), which are "
            "no classes; name the classes in a file"
        )
    return check(sorted(counted), where)


def read_file(path: str) -> ClassFile:
    """The classes of a file: one a line, or JSON, a list or an object that ends in classes.

    Raises `CurateError` for a file that is not there, or holds no such list.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise CurateError(f"{path}: is not UTF-8 (byte {error.start})") from error
    except OSError as error:
        raise CurateError(f"{path}: cannot be read ({error.strerror})") from error
    if text.lstrip()[:1] in ("[", "{"):
        return _of_json(path, text)
    lines = [line.removesuffix("\r") for line in text.split("\n")]
    while lines and not lines[-1].strip():
        lines.pop()
    return ClassFile(check(lines, path), None)


def plain_file(path: str) -> tuple[str, ...]:
    """The classes of a file that is a list of them; raises `CurateError` for any other."""
    found = read_file(path)
    if found.texts is not None:
        raise CurateError(
            f"{path}: is a map, and the answers of token rows are classes already; name a list"
        )
    return found.names


def _of_json(path: str, text: str) -> ClassFile:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CurateError(f"{path}: begins like JSON and is none ({error})") from error
    return of_map(found, path) if isinstance(found, dict) else ClassFile(check(found, path), None)


def of_map(found: Mapping[str, str], where: str) -> ClassFile:
    """The classes that a map from what rows hold ends in, in its order. Raises `CurateError`."""
    every = list(found.values())
    for name in every:
        if not isinstance(name, str):
            raise CurateError(f"{where}: class {name!r} is no text; put it in quotes")
    return ClassFile(check(list(dict.fromkeys(every)), where), found)
