"""Names on the command line as inputs: files, folders, globs, saved or hub datasets, `-`."""

from __future__ import annotations

import glob
import hashlib
import json
import stat
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from curate.base.errors import CurateError
from curate.base.folder import MANIFEST, check_as_written, files_of
from curate.sources.files import archives, hub

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

    def check_unchanged(self) -> None:
        """Raise `CurateError` where the file was written to since it was found."""
        if self.file is not None and _state(self.file) not in (self.state, None):
            raise CurateError(
                f"{self.file.as_posix()}: changed while it was read; run it again when nobody "
                "writes to it"
            )

    def suffix(self) -> str:
        """The file's ending without that of a compression: `.csv` for `a.csv.gz`."""
        return Path(_unpacked_name(self.name)).suffix.lower()


def _unpacked_name(name: str) -> str:
    for packed in PACKED:
        name = name.removesuffix(packed)
    return name


def expand(names: list[str]) -> list[Input]:
    """The inputs behind names, in the order given; folders and globs sorted by name.

    Raises `CurateError` for a name behind which there is nothing.
    """
    inputs: list[Input] = []
    for name in names:
        path = Path(name)
        if name == "-":
            inputs.append(Input("-", sys.stdin.buffer.read))
        elif path.is_dir():
            inputs += _folder(path)
        elif path.is_file() or path.is_fifo():
            inputs += _file(path)
        elif any(sign in name for sign in "*?["):
            matches = sorted(glob.glob(name, recursive=True))  # noqa: PTH207 (absolute patterns)
            if not matches:
                raise CurateError(f"{name}: no file matches")
            inputs += expand(matches)
        elif hub.is_hub_name(name, (*SUFFIXES, *PACKED, ARCHIVE)):
            tables = hub.splits(name)
            inputs += [Input(split, partial(hub.arrow_bytes, tables[split])) for split in tables]
        else:
            raise CurateError(f"{name}: no such file or folder")
    return inputs


def _file(path: Path) -> list[Input]:
    """A file, or the files inside of a zip archive."""
    name, state = path.as_posix(), _state(path)
    if path.is_fifo() or not archives.is_zip(path):
        return [Input(name, partial(_bytes_of, path), file=path, state=state)]
    try:
        archive = archives.open_zip(path, _is_known)
    except CurateError as error:
        return [Input(name, partial(_fail, error), file=path, state=state)]
    inside = [
        Input(f"{name}/{member}", stored, file=path, state=state)
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
        raise CurateError(f"{path.as_posix()}: cannot be read ({error.strerror})") from error


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


def _folder(folder: Path) -> list[Input]:
    if (rows := _own_rows(folder)) is not None:
        return _file(rows)
    if (folder / "state.json").is_file():
        return [each for path in _saved_dataset(folder) for each in _file(path)]
    splits = [path for path in sorted(folder.iterdir()) if (path / "state.json").is_file()]
    if splits:
        return [each for split in splits for path in _saved_dataset(split) for each in _file(path)]
    return _files_inside(folder)


def _files_inside(folder: Path) -> list[Input]:
    """All files whose ending is known, with a note on the others."""
    paths = sorted(path for path in folder.rglob("*") if _is_visible_file(path, folder))
    own = {place: _own_rows(place) for place in {path.parent for path in paths}}
    paths = [path for path in paths if own[path.parent] in (None, path)]
    readable = [path for path in paths if _is_known(path.name)]
    if not readable:
        raise CurateError(f"{folder}: no {', '.join((*SUFFIXES, ARCHIVE))} file in this folder")
    inputs = [each for path in readable for each in _file(path)]
    others = [path.relative_to(folder).as_posix() for path in paths if not _is_known(path.name)]
    notes = []
    if others:
        listed = archives.listed(others)
        notes.append(f"not read in {folder.as_posix()}, for their endings: {listed}")
    if rows := [path.as_posix() for path in readable if own[path.parent] == path]:
        notes.append(f"of folders that curate wrote only these are read: {archives.listed(rows)}")
    return _with_notes(inputs, notes) if notes else inputs


def _saved_dataset(folder: Path) -> list[Path]:
    """The Arrow files of a folder from `datasets.save_to_disk`, in the order it states."""
    try:
        state = json.loads((folder / "state.json").read_text("utf-8"))
        return [folder / entry["filename"] for entry in state["_data_files"]]
    except (ValueError, KeyError, TypeError) as error:
        raise CurateError(f"{folder / 'state.json'}: not the state of a saved dataset") from error


def _is_visible_file(path: Path, folder: Path) -> bool:
    hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
    return path.is_file() and not hidden


def _is_known(name: str) -> bool:
    """Whether a file's ending is that of rows, or of an archive of such files."""
    return _unpacked_name(name.lower()).endswith((*SUFFIXES, ARCHIVE))


def sha256(data: bytes) -> str:
    """The input's fingerprint in the manifest."""
    return hashlib.sha256(data).hexdigest()
