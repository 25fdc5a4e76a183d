"""Names that a user gives for what is to be written, looked at before any work is done."""

from __future__ import annotations

import glob
import os
import shutil
from collections.abc import Iterable, Sequence
from fnmatch import fnmatch
from pathlib import Path

from curate.base.errors import CurateError
from curate.base.spelling import option

UNFINISHED = ".unfinished"
# What a name gets added while its folder or file is being written, see `unfinished`.
_ADDED = len(f"..{2**22}{UNFINISHED}")

Name = str | os.PathLike[str]


def is_there(path: Path) -> bool:
    """Whether there is a file or folder of this name; none is there of a name that cannot be."""
    try:
        return path.exists()
    except (OSError, ValueError):  # too long, without rights, a null or half a character
        return False


def unfinished(path: Path) -> Path:
    """Where something is written until it is whole: hidden, beside it, with this process's id."""
    return path.with_name(f".{path.name}.{os.getpid()}{UNFINISHED}")


def check_place(out: Name) -> Path:
    """`out` as a path that can become a folder: not empty, no link, no file, nor below one.

    Raises `CurateError`, also where this user may not write.
    """
    if not os.fspath(out).strip():
        raise CurateError(f"{option('out')} is empty; name the folder to write to")
    place = Path(out)
    try:
        _check_name(place)
        if place.resolve() in (Path.cwd(), *Path.cwd().parents):
            what = f"{option('out', os.fspath(out))} holds the current folder"
            raise CurateError(f"{what}; name a new folder in it")
        if place.is_symlink():
            raise CurateError(f"{out}: is a link; name the folder itself")
        above = next((parent for parent in place.absolute().parents if parent.exists()), Path())
        if not above.is_dir():
            raise CurateError(f"{out}: {above} is a file, so there can be no folder in it")
        if place.exists() and not place.is_dir():
            raise CurateError(f"{out}: is a file; give the name of a folder to write to")
        _check_rights(out, [above, place] if place.exists() else [above])
    except OSError as error:
        raise CurateError(
            f"{out}: cannot be written ({error.strerror}); name another folder"
        ) from error
    return place


def _check_name(path: Path) -> None:
    """Raise `CurateError` for a name that no file system takes."""
    if "\0" in str(path):
        raise CurateError(f"{str(path)!r}: holds a null character; choose another name")
    longest = 255 - _ADDED
    if len(os.fsencode(path.name)) > longest:
        raise CurateError(
            f"{path.name[:40]}…: is too long a name, of {len(os.fsencode(path.name)):,} bytes; "
            f"choose one of {longest} at most"
        )


def _check_rights(name: Name, folders: Iterable[Path]) -> None:
    """A result is made beside its place, so the folder above must be open to this user too."""
    for folder in folders:
        if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
            raise CurateError(
                f"{name}: cannot be written, as {folder} is no folder in which this user may make "
                "files; name another folder"
            )


def check_page(path: Name) -> Path:
    """`path` as that of a page to write: no folder, nor a file that is no page.

    Raises `CurateError`, also where this user may not write.
    """
    target = Path(path)
    try:
        _check_name(target)
        if target.is_dir():
            raise CurateError(f"{path}: is a folder; give the name of a file to write to")
        if not target.absolute().parent.is_dir():
            raise CurateError(f"{path}: there is no folder {target.parent}; make it first")
        _check_rights(path, [target.absolute().parent])
        if target.exists() and not _is_page(target):
            raise CurateError(f"{path}: is there already and is no page; choose another name")
    except OSError as error:
        raise CurateError(f"{path}: cannot be written ({error.strerror})") from error
    return target


def _is_page(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(1_000).lstrip()[:9].lower() == b"<!doctype"


def check_input(out: Name, place: Path, name: str, files: Sequence[str] = ()) -> None:
    """Raise `CurateError` where an input lies in `out`, or would hold `out` the next time.

    `files` are the names of what is to be written.
    """
    if name == "-":
        return
    given, into = Path(name).resolve(), place.resolve()
    if given.is_relative_to(into):
        raise CurateError(
            f"{option('out', os.fspath(out))} holds the input {name}; choose another folder"
        )
    # A scan of the input would find files there; hidden folders are left out of it.
    inside = given.is_dir() and into.is_relative_to(given)
    if inside and not any(part.startswith(".") for part in into.relative_to(given).parts):
        lies = "in"
    elif not given.exists() and _matches(name, into, files):
        lies = "in what is matched by"
    else:
        return
    raise CurateError(
        f"{option('out', os.fspath(out))} lies {lies} the input {name}, so the next run would read "
        "it too; choose a folder outside"
    )


def _matches(pattern: str, folder: Path, files: Sequence[str]) -> bool:
    """Whether a glob matches a folder, or one of the files that will be in it."""
    parts = Path(pattern).absolute().parts
    if not glob.has_magic(pattern):
        return False
    return any(
        _fits(parts, path.parts) for path in (folder, *(folder / name for name in files or ["*"]))
    )


def _fits(pattern: Sequence[str], parts: Sequence[str]) -> bool:
    """Whether a path's parts fit a glob's, of which `**` stands for any number of folders."""
    if not pattern:
        return not parts
    if pattern[0] == "**":
        return any(_fits(pattern[1:], parts[start:]) for start in range(len(parts) + 1))
    return bool(parts) and fnmatch(parts[0], pattern[0]) and _fits(pattern[1:], parts[1:])


def short_of_space(out: Name, inputs: Iterable[str]) -> str | None:
    """What to say where the disk has less room than the inputs take; None where it has more."""
    needed = sum(map(_size, inputs))
    above = next((path for path in Path(out).absolute().parents if path.exists()), Path())
    free = shutil.disk_usage(above).free
    if needed <= free:
        return None
    return (
        f"{out}: the disk has {free / 1e9:,.2f} GB left and the inputs take "
        f"{needed / 1e9:,.2f} GB; what is written may not fit"
    )


def _size(name: str) -> int:
    return sum(path.stat().st_size for path in files_named(name))


def files_named(name: str) -> list[Path]:
    """The files that a name stands for: a file, those in a folder, or in what a glob matches."""
    path = Path(name)
    matches = [path] if path.exists() else map(Path, glob.iglob(name, recursive=True))  # noqa: PTH207 (absolute patterns)
    inside = (match.rglob("*") if match.is_dir() else [match] for match in matches)
    return sorted({file for files in inside for file in files if file.is_file()})
