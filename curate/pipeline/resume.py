"""A run that goes on: what was read before it was cut off, if the inputs are still the same."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from curate.base.errors import CurateError
from curate.base.log import Log
from curate.base.parts import PartSize
from curate.base.places import files_named
from curate.base.version import __version__
from curate.pipeline.work import READ, Damaged, Work
from curate.sources import Dump, FileReport, ReadOptions
from curate.sources.account import Leftover

# What the records depend on, as JSON holds it; None where it cannot be known, as of a pipe.
State = dict[str, Any] | None
ADVICE = "check the free space, the greatest size of a file (ulimit -f) and the folder's rights"


def place_of(out: Path, folder: Path | None = None) -> Path:
    """Where a run into `out` keeps what is under way, if it is much: beside it, or in `folder`."""
    # The current folder may be another one by the time that the run is judged anew.
    whole = out.absolute()
    if folder is None:
        return whole.with_name(f".{out.name}.work")
    # Runs of the same name in other folders do not meet there.
    code = hashlib.blake2b(str(whole).encode(), digest_size=4).hexdigest()
    return folder.absolute() / f"{out.name}-{code}.work"


def look_for(place: Path, state: State, how: ReadOptions) -> Dump | None:
    """What a run that was cut off had read of inputs in this state.

    None where there is nothing, or the inputs changed since; what is there then is removed. Raises
    `CurateError` for a link in its place.
    """
    if place.is_symlink():
        raise CurateError(f"{place}: is a link, and a run keeps there what is under way; remove it")
    if not place.is_dir():
        return None
    work = Work(place, ADVICE)
    found = work.json(READ)
    if found is None or state is None or found["state"] != state:
        shutil.rmtree(place)
        return None
    try:
        parts, unread = (work.parts(found[name]) for name in ("parts", "unread"))
    except Damaged:
        shutil.rmtree(place)
        return None
    return Dump(parts, unread, [_report(file) for file in found["files"]], how)


def keep(place: Path, dump: Dump, state: State) -> Work:
    """Where the run keeps what is under way: in memory, unless the rows are in files.

    `state` is that of the inputs before they were read: who changed them since made it another.
    """
    if not any(part.path for part in (*dump.parts, *dump.unread)):
        return Work()
    work = Work(place, ADVICE)
    work.claim()
    if state is not None:
        listed = {
            "parts": work.listed("parts", dump.parts),
            "unread": work.listed("unread", dump.unread),
        }
        files = [asdict(file) for file in dump.files]
        work.put_json(READ, {"state": state, **listed, "files": files})
    return work


@contextmanager
def removed_unless_read(place: Path) -> Iterator[None]:
    """Reading that comes to nothing leaves nothing."""
    try:
        yield
    except BaseException:
        shutil.rmtree(place, ignore_errors=True)
        raise


@contextmanager
def kept_if_cut_off(place: Path, stays: bool, tell: Log) -> Iterator[None]:
    """Say where the work is that a run leaves when it is cut off; `stays`: if it does."""
    try:
        yield
    except BaseException:
        if not stays or place.is_symlink() or not place.is_dir():
            raise
        if not _is_kept(place):
            shutil.rmtree(place, ignore_errors=True)
        else:
            tell(
                f"what was done is kept in {place}: the same command goes on from there; delete "
                "the folder if you will not run it again"
            )
        raise


def _is_kept(place: Path) -> bool:
    """Whether the next run could go on: not without the inputs' state, nor with another key."""
    try:
        return Work(place, ADVICE).json(READ) is not None
    except CurateError:  # it cannot be read now, which says nothing of later
        return True


def _report(file: dict[str, Any]) -> FileReport:
    leftovers = {name: Leftover(**left) for name, left in file["leftovers"].items()}
    return FileReport(**{**file, "leftovers": leftovers})


def state_of(inputs: Iterable[str], how: ReadOptions, size: PartSize) -> State:
    """What the records depend on that are read of these inputs."""
    files = []
    for name in inputs:
        found = files_named(name)
        if not found or name == "-":
            return None
        files += [(name, str(path), *_stat(path)) for path in found]
    if not files:
        return None
    return {
        "version": __version__,
        "files": [list(file) for file in files],
        "how": asdict(how),
        "size": asdict(size),
    }


def _stat(path: Path) -> tuple[int, int, int]:
    state = path.stat()
    return state.st_size, state.st_mtime_ns, state.st_ctime_ns
