"""Names on the command line as inputs: files, folders, globs, saved or hub datasets, `-`."""

from __future__ import annotations

import glob
import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

from curate.base.errors import CurateError
from curate.base.folder import MANIFEST, check_as_written, files_of
from curate.base.log import Log, no_log
from curate.sources.files import archives, hub, named_pipes
from curate.sources.files.packed import Budget
from curate.sources.files.saved import STATE, saved_files

SUFFIXES = (".json", ".jsonl", ".ndjson", ".parquet", ".arrow", ".csv", ".tsv", ".yaml", ".yml")
PACKED = (".gz", ".zst", ".bz2", ".xz")
ARCHIVE = ".zip"


State = tuple[int, int]  # size, and nanoseconds of the last change


def _state(path: Path) -> State | None:
    """The state of a file; None for one that is not there, or can be read only once."""
    try:
        found = path.stat()
    except OSError:
        return None  # whoever reads it says why
    return (found.st_size, found.st_mtime_ns) if stat.S_ISREG(found.st_mode) else None


@dataclass(frozen=True)
class Input:
    """One source of rows: its name in the records, and its bytes as they are stored.

    `stored` raises `CurateError` when they cannot be read.
    """

    name: str
    stored: Callable[[], bytes]
    notes: tuple[str, ...] = ()  # what lies beside it and is not read
    file: Path | None = None  # where the bytes are, in it or as a member of it
    state: State | None = None  # of that file, when it was found
    budget: Budget | None = None  # to how much it may be unpacked

    def check_unchanged(self) -> None:
        """Raise `CurateError` where the file was written to since it was found."""
        if self.file is not None and _state(self.file) not in (self.state, None):
            raise CurateError(
                f"{shown_name(self.file)}: changed while it was read; run it again when nobody "
                "writes to it"
            )

    def suffix(self) -> str:
        """The file's ending without that of a compression: `.csv` for `a.csv.gz`."""
        return Path(_unpacked_name(self.name)).suffix.lower()


def _unpacked_name(name: str) -> str:
    for packed in PACKED:
        name = name.removesuffix(packed)
    return name


def expand(names: list[str], most: int | None = None, tell: Log = no_log) -> list[Input]:
    """The inputs behind names, in the order given; folders and globs sorted by name.

    `most` is to how many bytes a packed file may be unpacked (see `Budget`), and `tell` hears of
    pipes that are waited for. Raises `CurateError`
    for a name behind which there is nothing. What is found and cannot be read is an input too,
    and says so when it is read.
    """
    how = _How(most, tell)
    return [replace(each, budget=each.budget or Budget(most)) for each in _all_of(names, how)]


class _How(NamedTuple):
    most: int | None
    tell: Log


def _all_of(names: list[str], how: _How) -> Iterator[Input]:
    for name in names:
        if name == "-":
            yield Input("-", partial(named_pipes.read_stdin, how.tell))
        elif (path := _there(name)) is not None:
            yield from _folder(path, how) if path.is_dir() else _file(path, how)
        elif matches := _matches(name):
            # Each is a path as it stands, whatever signs its name has.
            for path in map(Path, matches):
                yield from _folder(path, how) if path.is_dir() else _file(path, how)
        elif any(sign in name for sign in "*?["):
            raise CurateError(f"{shown_name(name)}: no file matches")
        elif hub.is_hub_name(name, (*SUFFIXES, *PACKED, ARCHIVE)):
            tables = hub.splits(name)
            for split in tables:
                yield Input(split, partial(hub.arrow_bytes, tables[split]))
        else:
            raise CurateError(f"{shown_name(name)}: no such file or folder")


def _there(name: str) -> Path | None:
    """The path of this name, also of a link that leads nowhere; None if there is nothing.

    Raises `CurateError` for a name that no file can have.
    """
    if not name:
        raise CurateError("an empty name; name a file or a folder")
    try:
        os.lstat(name)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise CurateError(f"{shown_name(name)}: cannot be looked at ({why})") from error
    return Path(name)


def _matches(name: str) -> list[str]:
    """The paths that a name with `*`, `?` or `[` stands for; its folders may have such signs."""
    if not any(sign in name for sign in "*?["):
        return []
    found = glob.glob(name, recursive=True)  # noqa: PTH207 (absolute patterns)
    if not found:
        folder, slash, last = name.rpartition("/")
        if slash and Path(folder).is_dir():
            found = glob.glob(f"{glob.escape(folder)}/{last}")  # noqa: PTH207
    return sorted(found)


def shown_name(path: str | Path) -> str:
    r"""A path as text: bytes of a name that are not UTF-8 as `\xff`.

    >>> shown_name("caf\udce9.jsonl")
    'caf\\xe9.jsonl'
    """
    text = path.as_posix() if isinstance(path, Path) else path
    if text.isascii():
        return text
    try:
        return text.encode(errors="surrogateescape").decode(errors="backslashreplace")
    except UnicodeEncodeError:  # no bytes of a name give this
        return text.encode(errors="backslashreplace").decode()


def _file(path: Path, how: _How) -> list[Input]:
    """A file, or the files inside of a zip archive; what is no file says so when it is read."""
    name, state = shown_name(path), _state(path)
    if state is None:
        return [Input(name, partial(named_pipes.read_special, path, name, how.tell), file=path)]
    if not archives.is_zip(path):
        return [Input(name, partial(_bytes_of, path), file=path, state=state)]
    try:
        archive = archives.open_zip(path, _is_known, how.most)
    except CurateError as error:
        return [Input(name, partial(_fail, error), file=path, state=state)]
    inside = [
        Input(f"{name}/{member}", stored, file=path, state=state, budget=archive.budget)
        for member, stored in archive.members.items()
    ]
    return _with_notes(inside, archive.notes)


def _with_notes(inputs: list[Input], notes: list[str]) -> list[Input]:
    """The first of the inputs tells what was found beside all of them."""
    first, *others = inputs
    return [replace(first, notes=(*notes, *first.notes)), *others]


def _bytes_of(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CurateError(f"{shown_name(path)}: cannot be read ({error.strerror})") from error


def _fail(error: CurateError) -> bytes:
    raise error


# Of the folders that we write: what wrote them, and the file that holds their rows.
_OWN = {"curate run": ("kept.parquet", "kept.jsonl"), "curate pairs": ("pairs.jsonl",)}


def _own_rows(folder: Path) -> Path | None:
    """The file with the rows of a folder that we wrote; None for any other folder.

    Raises `CurateError` where they are not as they were written, and for a run without a manifest:
    what it dropped would be read as well.
    """
    for maker, names in _OWN.items():
        ours = files_of(folder, maker)
        rows = [folder / name for name in names if name in ours]
        # Of two files that hold the same rows, a change in the other would have no effect.
        for file in rows if len(rows) > 1 else []:
            check_as_written(file, maker)
        if rows:
            return rows[0]
    if all((folder / name).is_file() for name in ("kept.parquet", "ledger.parquet")):
        raise CurateError(
            f"{folder}: a run whose {MANIFEST} is missing or damaged; run it again, or name "
            f"{folder / 'kept.parquet'}"
        )
    return None


def _folder(folder: Path, how: _How) -> list[Input]:
    if (rows := _own_rows(folder)) is not None:
        return _file(rows, how)
    saved = [folder] if (folder / STATE).is_file() else _splits(folder)
    if saved:
        paths = [path for each in saved for path in saved_files(each)]
        return [each for path in paths for each in _file(path, how)]
    return _files_inside(folder, how)


def _splits(folder: Path) -> list[Path]:
    """The folders inside of one that are splits of a saved dataset."""
    try:
        return [path for path in sorted(folder.iterdir()) if (path / STATE).is_file()]
    except OSError as error:
        why = error.strerror
        raise CurateError(f"{shown_name(folder)}: cannot be looked into ({why})") from error


def _files_inside(folder: Path, how: _How) -> list[Input]:
    """All files whose ending is known, with a note on the others."""
    paths, closed = _visible(folder)
    own = {place: _own_rows(place) for place in {path.parent for path in paths}}
    paths = [path for path in paths if own[path.parent] in (None, path)]
    readable = [path for path in paths if _is_known(path.name)]
    if not readable:
        raise CurateError(
            f"{shown_name(folder)}: no {', '.join((*SUFFIXES, ARCHIVE))} file in this folder"
        )
    inputs = [each for path in readable for each in _file(path, how)]
    others = [path for path in paths if not _is_known(path.name)]
    notes = []
    if others:
        listed = archives.listed([shown_name(path.relative_to(folder)) for path in others])
        notes.append(f"not read in {shown_name(folder)}, for their endings: {listed}")
    if closed:
        listed = archives.listed([shown_name(path) for path in closed])
        notes.append(f"folders that cannot be looked into, or are links, are not read: {listed}")
    if rows := [shown_name(path) for path in readable if own[path.parent] == path]:
        notes.append(f"of folders that curate wrote only these are read: {archives.listed(rows)}")
    return _with_notes(inputs, notes) if notes else inputs


def _visible(folder: Path) -> tuple[list[Path], list[Path]]:
    """All that is no folder in a folder and those inside; and folders that were not entered."""
    paths: list[Path] = []
    closed: list[Path] = []

    def note(error: OSError) -> None:
        closed.append(Path(os.fsdecode(error.filename)))

    for place, inside, names in os.walk(folder, onerror=note):
        at = Path(place)
        inside[:] = sorted(name for name in inside if not name.startswith("."))
        closed += [at / name for name in inside if (at / name).is_symlink()]
        paths += [at / name for name in names if not name.startswith(".")]
    return sorted(paths), sorted(closed)


def _is_known(name: str) -> bool:
    """Whether a file's ending is that of rows, or of an archive of such files."""
    return _unpacked_name(name.lower()).endswith((*SUFFIXES, ARCHIVE))


def sha256(data: bytes) -> str:
    """The input's fingerprint in the manifest."""
    return hashlib.sha256(data).hexdigest()
