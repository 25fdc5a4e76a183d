"""Output folders: claimed before the work, filled out of sight, shown only when whole.

A folder that an earlier run wrote may be replaced. What that run wrote stands in its
`manifest.json`, with a hash of every file; but a manifest may come from a stranger, so only plain
files that lie in the folder itself, and still have that hash, are ever replaced or removed.
"""

from __future__ import annotations

import glob
import hashlib
import json
import os
import re
import shutil
from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from curate.base.errors import CurateError, brief, one_line, some_of
from curate.base.manifest_table import TABLE, shortened, table_of, text_of
from curate.base.places import (
    UNFINISHED,
    check_input,
    check_page,
    check_place,
    is_there,
    unfinished,
)
from curate.base.spelling import option

MANIFEST = "manifest.json"
OWN_HASH = "manifest_sha256"
# What is made from the other files of a folder, and may be made anew: it has no hash.
DRAWN = ("report.html",)
# Folders inside of one that is written: tokenizers look for templates by name there.
_INNER = ("additional_chat_templates",)
_ADVICE = "check the free space, the greatest size of a file (ulimit -f) and the folder's rights"


def files_of(folder: Path, maker: str) -> dict[str, str | None]:
    """The files that the manifest here says `maker` wrote, with their hashes; none without one.

    Only plain names count: no path, no link, nothing that is not a file in this very folder, or in
    one of those that it may hold; and, but for the manifest and what is drawn from the other files
    (`DRAWN`), only with a hash.
    """
    manifest = read_manifest(folder)
    if manifest.get("maker") != maker:
        return {}
    listed, hashes = manifest.get("files"), manifest.get("sha256")
    if not isinstance(listed, list) or not isinstance(hashes, dict):
        return {}
    return {
        name: hashes.get(name)
        for name in listed
        if _is_file_of(folder, name) and (name in (MANIFEST, *DRAWN) or hashes.get(name))
    }


def _is_file_of(folder: Path, name: Any) -> bool:
    """Whether a name is that of a plain file here, or in a folder that may lie here."""
    inner, _, rest = name.partition("/") if isinstance(name, str) else ("", "", "")
    if inner in _INNER and not (folder / inner).is_symlink():
        return is_plain_file(folder / inner, rest)
    return is_plain_file(folder, name)


def _is_ours(path: Path, ours: Container[str]) -> bool:
    """Whether a file is one of `ours`, or all that lies in a folder is."""
    if path.name in ours:
        return True
    if path.name not in _INNER or path.is_symlink() or not path.is_dir():
        return False
    within = [f"{path.name}/{each.name}" in ours for each in path.iterdir()]
    return bool(within) and all(within)


def read_manifest(folder: Path) -> dict[str, Any]:
    """What `manifest.json` in a folder holds; nothing where it is no JSON object."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return manifest if isinstance(manifest, dict) else {}


def is_plain_file(folder: Path, name: Any) -> bool:
    """Whether a name is that of a file in this very folder: no path, no link."""
    if not isinstance(name, str) or name in ("", ".", "..") or Path(name).name != name:
        return False
    path = folder / name
    return path.is_file() and not path.is_symlink()


def is_made_by(folder: Path, maker: str) -> bool:
    """Whether `maker` wrote this folder."""
    return bool(files_of(folder, maker))


def write_manifest(
    folder: Path,
    maker: str,
    about: Mapping[str, Any],
    drawn: Sequence[str] = (),
    table: bool = False,
) -> None:
    """Write `manifest.json`: the maker, every file in `folder` with its hash, and `about`.

    `drawn` are those of `DRAWN` that are in the folder or will be. With `table` the largest values
    of a long manifest stand in a table beside it (`manifest_table`).
    """
    moved: Mapping[str, str] = {}
    if table:
        about, moved = shortened(about)
    if moved:
        table_of(moved).write_parquet(folder / TABLE, statistics=False)
    places = [folder, *(folder / inner for inner in _INNER if (folder / inner).is_dir())]
    files = (
        path.relative_to(folder).as_posix()
        for place in places
        for path in place.iterdir()
        if path.is_file()
    )
    names = sorted(name for name in files if name not in (MANIFEST, *DRAWN))
    content = {
        "maker": maker,
        "files": [*names, *drawn, MANIFEST],
        **about,
        "sha256": {name: sha256(folder / name) for name in names},
    }
    content[OWN_HASH] = _own_hash(content)
    (folder / MANIFEST).write_text(text_of(content), encoding="utf-8")


def _own_hash(content: Mapping[str, Any]) -> str:
    """The hash of a manifest: of all that it says but this, and but the time that a run took."""
    rest = {name: value for name, value in content.items() if name not in (OWN_HASH, "seconds")}
    # As it is read again: names are text there, and there are lists for tuples.
    plain = json.dumps(json.loads(json.dumps(rest)), sort_keys=True)
    return hashlib.sha256(plain.encode()).hexdigest()


def is_changed(manifest: Mapping[str, Any]) -> bool:
    """Whether a manifest is another than the one that was written; one without a hash is not."""
    return OWN_HASH in manifest and manifest[OWN_HASH] != _own_hash(manifest)


def is_as_written(folder: Path) -> bool:
    """Whether a folder's manifest and all its files are what was written, by their hashes."""
    manifest = read_manifest(folder)
    hashes = manifest.get("sha256")
    if OWN_HASH not in manifest or is_changed(manifest) or not isinstance(hashes, dict):
        return False
    return all(
        is_plain_file(folder, name) and sha256(folder / name) == hashes[name] for name in hashes
    )


@contextmanager
def changes_explained(*given: Any) -> Iterator[None]:
    """Turn what a changed folder makes of the code that reads it into one sentence.

    `given` are folders, or objects with a `path`; others are passed over. What goes wrong with a
    folder that is as it was written is a fault of ours, and stays as it is.
    """
    try:
        yield
    except (CurateError, OSError, MemoryError):
        raise
    except BaseException as error:
        # A panic of polars is no `Exception`.
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        for folder in filter(None, map(_folder_of, given)):
            if not is_as_written(folder):
                raise CurateError(
                    f"{folder}: a file is not as it was written there "
                    f"({brief(one_line(error))}); make the folder again"
                ) from error
        if not isinstance(error, Exception):
            raise CurateError(
                f"a library failed on what it was given ({brief(one_line(error))}); if a tokenizer "
                "was named, its patterns may take too long on these texts"
            ) from error
        raise


def _folder_of(given: Any) -> Path | None:
    """The folder that was given, if there is a manifest in it."""
    path = getattr(given, "path", given)
    if not isinstance(path, str | os.PathLike):
        return None
    folder = Path(path)
    return folder if is_there(folder / MANIFEST) else None


def sha256(path: Path) -> str:
    """The hash of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def written_hashes(folder: Path) -> dict[str, Any]:
    """The hashes that the manifest of a folder has for its files; none without a manifest."""
    hashes = read_manifest(folder).get("sha256")
    return hashes if isinstance(hashes, dict) else {}


def check_as_written(path: Path, maker: str) -> None:
    """Raise `CurateError` for a file that is not as the manifest beside it says."""
    if not path.is_file() or sha256(path) != written_hashes(path.parent).get(path.name):
        raise CurateError(
            f"{path}: damaged, or changed since {maker} wrote it; run it again, or name the file "
            "itself to read it as it is"
        )


def check_untouched(path: Path, maker: str) -> None:
    """Raise `CurateError` for a file that was changed since the manifest beside it was written.

    A file that nobody touched since then is not read: so this costs nothing for large ones, where
    `check_as_written` also finds what a disk or a copy has damaged.
    """
    # Within one tick of the clock nobody can tell which came first.
    if not path.is_file() or _touched(path) >= _touched(path.parent / MANIFEST):
        check_as_written(path, maker)


def _touched(path: Path) -> int:
    """When a file was last written, renamed or given other rights."""
    state = path.stat()
    # The second says so too where a program set the first back.
    return max(state.st_mtime_ns, state.st_ctime_ns)


@contextmanager
def atomic_folder(
    out: str | os.PathLike[str],
    maker: str,
    force: bool = False,
    inputs: Sequence[str] = (),
    files: Sequence[str] = (),
) -> Iterator[Path]:
    """A hidden folder to write into; its files appear in `out` when the block ends well.

    The block does all the work, so that whatever stands in the way is found before it: `out` is
    checked (`check_out`), locked against other runs, and a folder beside it is made. Two runs
    into one folder: the first has it, the other is refused. Raises `CurateError`. What the block
    writes, it writes within `writing(out)`.
    """
    place = check_out(out, maker, force, inputs, files)
    with locked(place):
        for left_over in place.parent.glob(f".{glob.escape(place.name)}.*{UNFINISHED}"):
            if not left_over.is_symlink():
                shutil.rmtree(left_over, ignore_errors=True)
        with writing(place):
            hidden = unfinished(place)
            hidden.mkdir()
        try:
            yield hidden
            with writing(place):
                _show(hidden, check_out(place, maker, force, inputs, files), maker)
        finally:
            shutil.rmtree(hidden, ignore_errors=True)


def copy_folder(source: Path, out: str | os.PathLike[str], maker: str, force: bool) -> Path:
    """Copy the files that `maker` wrote into `source` to the folder `out`.

    Raises `CurateError`, also where they are not all there, or not as they were written.
    """
    changed = [
        str(name)
        for name, old in written_hashes(source).items()
        if not is_plain_file(source, name) or sha256(source / name) != old
    ]
    if changed:
        raise CurateError(
            f"{source}: {some_of(changed)} is missing or was changed since {maker} wrote it, so a "
            "copy would not be what its manifest says; make it again"
        )
    with atomic_folder(out, maker, force) as folder, writing(out):
        for name in files_of(source, maker):
            shutil.copyfile(source / name, folder / name)
    return Path(out)


@contextmanager
def writing(out: str | os.PathLike[str]) -> Iterator[None]:
    """Turn a failed write into a `CurateError` that names the folder, and what to do."""
    try:
        yield
    except OSError as error:
        raise CurateError(f"{out}: could not be written ({error}); {_ADVICE}") from error


@contextmanager
def locked(out: Path) -> Iterator[None]:
    """Keep other runs from writing to `out` until the block ends; `CurateError` if one does."""
    from filelock import FileLock, Timeout

    missing = [parent for parent in out.absolute().parents if not parent.exists()]
    with writing(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        name = out.parent / f".{out.name}.lock"
        lock = FileLock(name, timeout=0)
        try:
            lock.acquire()
        except Timeout:
            raise CurateError(
                f"{out}: another run is writing to this folder; wait for it, or choose another "
                f"{option('out')}"
            ) from None
    try:
        yield
    finally:
        # While it is held: who opened this file before sees that it has no name any more.
        name.unlink(missing_ok=True)
        lock.release()
        # Of work that came to nothing, no empty folder stays.
        with suppress(OSError):
            for parent in missing:
                parent.rmdir()


def check_out(
    out: str | os.PathLike[str],
    maker: str,
    force: bool = False,
    inputs: Sequence[str] = (),
    files: Sequence[str] = (),
) -> Path:
    """The folder to write to, as a path; `CurateError` if writing there could harm anything.

    Free are: a new name, an empty folder, and a folder that the same `maker` wrote and that
    nobody changed since. With `force` the folder may hold other files as well, and they stay, but
    none of `files`, which are to be written. `inputs` must not lie in it, nor it in them.
    """
    place = check_place(out)
    for name in inputs:
        check_input(out, place, name, files)
    try:
        _check_content(out, place, maker, force, files)
    except OSError as error:
        raise CurateError(
            f"{out}: {error.filename} cannot be read ({error.strerror}), so nobody knows what "
            f"would be replaced; choose another {option('out')}"
        ) from error
    return place


def _check_content(
    out: str | os.PathLike[str], place: Path, maker: str, force: bool, files: Sequence[str]
) -> None:
    if not place.is_dir() or not any(place.iterdir()):
        return
    ours = files_of(place, maker)
    others = sorted(path.name for path in place.iterdir() if not _is_ours(path, ours))
    if others and not force:
        own = f"{some_of(others)}, which {maker} has not written"
        what = own if ours else _described(place, maker)
        raise CurateError(
            f"{out}: the folder holds {what}; choose another {option('out')}, or "
            f"{option('force', True)}"
        )
    _check_not_there(place, maker, files, ours)
    changed = [name for name, old in ours.items() if old and sha256(place / name) != old]
    if changed:
        raise CurateError(
            f"{out}: {', '.join(changed[:3])} was changed since {maker} wrote it; move it away, or "
            f"choose another {option('out')}"
        )


def _described(place: Path, maker: str) -> str:
    """What a folder holds that this maker has not written."""
    theirs = read_manifest(place).get("maker")
    if theirs == maker:
        return "what an earlier version of curate wrote"
    known = isinstance(theirs, str) and re.fullmatch(r"curate [a-z ]{1,20}", theirs)
    return f"what {theirs} wrote" if known else "something else"


def _show(hidden: Path, out: Path, maker: str) -> None:
    """Put the finished files in place; the manifest goes first and comes last."""
    sync_folder(hidden)
    if not out.exists() or not any(out.iterdir()):
        hidden.replace(out)
        return
    ours = files_of(out, maker)
    names = sorted(path.name for path in hidden.iterdir())
    _check_not_there(out, maker, names, ours)
    for name in [MANIFEST, *ours]:
        (out / name).unlink(missing_ok=True)
    for name in {name.partition("/")[0] for name in ours if "/" in name}:
        if not any((out / name).iterdir()):  # else a stranger's files lie there too
            (out / name).rmdir()
    for name in [*(name for name in names if name != MANIFEST), MANIFEST]:
        (hidden / name).replace(out / name)


def _check_not_there(out: Path, maker: str, names: Sequence[str], ours: Container[str]) -> None:
    """Raise `CurateError` where a file to be written is there and is not ours."""
    there = [name for name in names if (out / name).exists() or (out / name).is_symlink()]
    if foreign := [name for name in there if not _is_ours(out / name, ours)]:
        raise CurateError(
            f"{out}: {', '.join(foreign)} was not written by {maker}; move it away first"
        )


@contextmanager
def atomic_subfolder(final: Path) -> Iterator[Path]:
    """A folder that appears under its name only when everything in it is on the disk.

    For folders inside an output folder that is ours already, such as a checkpoint; `final` must
    not exist. Whatever ends the block early leaves nothing of it.
    """
    partial = final.with_name(f".{final.name}{UNFINISHED}")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        with writing(final):
            partial.mkdir()
            yield partial
            sync_folder(partial)
            partial.rename(final)
            _sync(final.parent)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def write_atomic(path: Path, text: str) -> None:
    """A file that is either the old one or the new one, never half of it."""
    partial = unfinished(path)
    try:
        partial.write_text(text, encoding="utf-8")
        _sync(partial)
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    _sync(path.parent)


def write_page(path: str | os.PathLike[str], page: str) -> None:
    """Write a page under a name of the user's; what is there and is no page is left alone."""
    target = check_page(path)
    try:
        write_atomic(target, page)
    except OSError as error:
        raise CurateError(f"{path}: could not be written ({error.strerror}); {_ADVICE}") from error


def sync_folder(folder: Path) -> None:
    """See to it that all that lies in `folder` is on the disk."""
    for entry in sorted(folder.rglob("*")):
        _sync(entry)
    _sync(folder)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
