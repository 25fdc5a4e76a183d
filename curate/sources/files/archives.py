"""The files inside of a zip archive, each read for itself; nothing is ever written."""

from __future__ import annotations

import lzma
import os
import stat
import struct
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from curate.base.errors import CurateError
from curate.sources.files.packed import ZIPPED, Budget, too_much, unpack

MOST_MEMBERS = 10_000

# Documents and weights that are zip archives: a name inside, what it shows, what to do.
_KINDS = (
    ("xl/workbook.xml", "an Excel workbook", "save its sheet as CSV"),
    ("xl/workbook.bin", "an Excel workbook", "save its sheet as CSV"),
    ("word/document.xml", "a Word document", "save its rows as JSON Lines or CSV"),
    ("ppt/presentation.xml", "a PowerPoint presentation", "save its rows as JSON Lines or CSV"),
    ("content.xml", "an OpenDocument file", "save it as CSV"),
    ("META-INF/MANIFEST.MF", "a Java archive", "give the file with the rows"),
)


class Archive(NamedTuple):
    """What an archive holds: how each readable member is read, by name, and what else is in it."""

    members: dict[str, Callable[[], bytes]]
    notes: list[str]
    budget: Budget


def is_zip(path: Path) -> bool:
    """Whether a file begins as a zip archive does."""
    try:
        with path.open("rb") as opened:
            return opened.read(4) == b"PK\x03\x04"
    except OSError:
        return False  # whoever reads it says why


def open_zip(path: Path, is_readable: Callable[[str], bool], most: int | None = None) -> Archive:
    """The members of a zip archive that `is_readable` says are such by their names.

    All of them together, and what is packed in them, may unpack to `most` bytes, or to what the
    size of the archive allows. Raises `CurateError` for an archive that is damaged, is a document,
    holds no readable file, or would unpack to more. A member that cannot be read says so when it
    is.
    """
    infos = _infos(path)
    if wrong := _no_dump(infos):
        raise CurateError(f"{path.as_posix()}: {wrong}")
    readable = [info for info in infos if is_readable(info.filename)]
    others = [info.filename for info in infos if not is_readable(info.filename)]
    if not readable:
        held = f"; it holds {listed(others)}" if others else ""
        raise CurateError(f"{path.as_posix()}: no file in this zip archive can be read{held}")
    size = path.stat().st_size
    budget = Budget(Budget(most).limit(size))
    unpacked = sum(info.file_size for info in readable)
    if len(readable) > MOST_MEMBERS:
        raise CurateError(
            f"{path.as_posix()}: {len(readable):,} files in one zip archive; more than "
            f"{MOST_MEMBERS:,} are not read; unpack it"
        )
    if unpacked > budget.limit(size):
        raise CurateError(too_much(path.as_posix(), size, budget.limit(size)))
    members: dict[str, Callable[[], bytes]] = {}
    seen: Counter[str] = Counter()
    for info in readable:
        name = info.filename
        seen[name] += 1
        if seen[name] > 1 or name in members:  # an archive may hold two files of one name
            name = f"{name}#{seen[name]}"
        members[name] = partial(_read, path, info, budget)
    notes = [f"not read in the archive: {listed(others)}"] if others else []
    return Archive(members, notes, budget)


def listed(names: list[str]) -> str:
    """How many names there are, and the first of them."""
    more = ", ..." if len(names) > 5 else ""
    files = "file" if len(names) == 1 else "files"
    return f"{len(names):,} {files} ({', '.join(names[:5])}{more})"


def _infos(path: Path) -> list[zipfile.ZipInfo]:
    try:
        with zipfile.ZipFile(path) as archive:
            infos = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, struct.error) as error:
        raise CurateError(f"{path.as_posix()}: the zip archive is damaged ({error})") from error
    return [info for info in infos if not info.is_dir() and not _is_hidden(info.filename)]


def _is_hidden(name: str) -> bool:
    parts = PurePosixPath(name).parts
    return "__MACOSX" in parts or any(part.startswith(".") and part != ".." for part in parts)


def _no_dump(infos: list[zipfile.ZipInfo]) -> str | None:
    names = {info.filename for info in infos}
    for name, kind, advice in _KINDS:
        if name in names:
            return f"this is {kind}; {advice}"
    if any(PurePosixPath(name).name == "data.pkl" for name in names):
        return (
            "this is a PyTorch file, which is never loaded: loading it could run a stranger's "
            "code; convert it to parquet or JSON Lines"
        )
    if names and all(name.endswith(".npy") for name in names):
        return "this is a NumPy archive, which has no named rows; convert it to parquet"
    return None


def _read(path: Path, info: zipfile.ZipInfo, budget: Budget) -> bytes:
    """What a member holds; of a damaged one, a member of gzip with the same damage."""
    name = f"{path.as_posix()}/{info.filename}"
    if info.flag_bits & 1:
        raise CurateError(f"{name}: encrypted; unpack the archive with its password")
    if _is_trick(info):
        raise CurateError(f"{name}: a link or a path that leads out of its archive; not read")
    try:
        if info.compress_type == zipfile.ZIP_DEFLATED:
            return _inflated(_as_gzip(path, info), name, budget)
        budget.spent += info.file_size
        with zipfile.ZipFile(path) as archive:
            return archive.read(info)
    except (
        *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError, RuntimeError),
        *(ValueError, NotImplementedError, struct.error),
    ) as error:
        raise CurateError(f"{name}: damaged in the zip archive ({error})") from error


def _inflated(packed: bytes, name: str, budget: Budget) -> bytes:
    found = unpack(packed, name, budget)
    return packed if found.damages else found.data


def _as_gzip(path: Path, info: zipfile.ZipInfo) -> bytes:
    """A packed member with the head and the end that it would have in gzip, which packs alike."""
    with path.open("rb") as opened:
        opened.seek(info.header_offset)
        head = opened.read(30)
        if head[:4] != b"PK\x03\x04":
            raise zipfile.BadZipFile("it does not begin where the archive says")
        name, extra = struct.unpack("<HH", head[26:30])
        opened.seek(name + extra, os.SEEK_CUR)
        stored = opened.read(info.compress_size)
    if len(stored) < info.compress_size:
        return ZIPPED + stored
    return ZIPPED + stored + struct.pack("<II", info.CRC, info.file_size & 0xFFFFFFFF)


def _is_trick(info: zipfile.ZipInfo) -> bool:
    name = info.filename
    is_link = stat.S_ISLNK(info.external_attr >> 16)
    leads_out = name.startswith("/") or ".." in PurePosixPath(name).parts
    return is_link or leads_out or "\\" in name or ":" in name[:2]
