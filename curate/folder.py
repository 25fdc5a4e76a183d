"""Output folders: claimed without harm, filled out of sight, shown only when whole."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from curate.schema import CurateError

MANIFEST = "manifest.json"


def written_by_us(folder: Path, maker: str) -> list[str]:
    """The files that an earlier `maker` says it wrote in this folder; none if it wrote none."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text("utf-8"))
    except (OSError, ValueError):
        return []
    mine = isinstance(manifest, dict) and manifest.get("maker") == maker
    return [name for name in manifest.get("files", []) if isinstance(name, str)] if mine else []


@contextmanager
def whole(out: Path, maker: str, force: bool = False) -> Iterator[Path]:
    """A hidden folder to write into; its files appear in `out` when the block ends well.

    A folder that holds anything else than an earlier result of the same maker is refused unless
    `force`; even then only files that the maker wrote are replaced. Raises `CurateError`, also
    when something cannot be written.
    """
    check_free(out, maker, force)
    hidden = out.parent / f".{out.name}.unfinished"
    shutil.rmtree(hidden, ignore_errors=True)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        hidden.mkdir()
        yield hidden
        _show(hidden, out, maker)
    except OSError as error:
        raise CurateError(
            f"{out}: could not be written ({error}); check the free space, the greatest size of a "
            "file (ulimit -f) and the folder's rights"
        ) from error
    finally:
        shutil.rmtree(hidden, ignore_errors=True)


def check_free(
    out: Path,
    maker: str,
    force: bool = False,
    files: Sequence[str] = (),
    inputs: Sequence[str] = (),
) -> None:
    """Raise `CurateError` when writing `files` to `out` could harm something that is not ours."""
    for name in inputs:
        if name != "-" and Path(name).resolve().is_relative_to(out.resolve()):
            raise CurateError(f"--out {out} holds the input {name}; choose another folder")
        if name != "-" and _would_be_read(out.resolve(), Path(name).resolve()):
            raise CurateError(
                f"--out {out} lies in the input {name}, so the next run would read it too; choose "
                "a folder outside"
            )
    above = next((parent for parent in out.absolute().parents if parent.exists()), Path())
    if not above.is_dir():
        raise CurateError(f"{out}: {above} is a file, so there can be no folder in it")
    if out.exists() and not out.is_dir():
        raise CurateError(f"{out}: is a file; give the name of a folder to write to")
    if not out.is_dir() or not any(out.iterdir()) or written_by_us(out, maker):
        return
    taken = [name for name in files if (out / name).exists()]
    if force and taken:
        raise CurateError(
            f"{out}: {', '.join(taken)} was not written by curate; move it away first"
        )
    if not force:
        raise CurateError(
            f"{out}: the folder holds something else; choose another --out, or --force"
        )


def _would_be_read(out: Path, folder: Path) -> bool:
    """Whether a scan of `folder` would find files in `out`; hidden folders are left out of it."""
    if not folder.is_dir() or not out.is_relative_to(folder):
        return False
    return not any(part.startswith(".") for part in out.relative_to(folder).parts)


def _show(hidden: Path, out: Path, maker: str) -> None:
    names = sorted(path.name for path in hidden.iterdir())
    if not out.exists() or not any(out.iterdir()):
        out.mkdir(exist_ok=True)
        hidden.replace(out)
        return
    ours = written_by_us(out, maker)
    foreign = [name for name in names if (out / name).exists() and name not in ours]
    if foreign:
        raise CurateError(
            f"{out}: {', '.join(foreign)} was not written by curate; move it away first"
        )
    # The manifest goes first and comes last: a folder without one is visibly unfinished.
    for name in [MANIFEST, *ours]:
        (out / name).unlink(missing_ok=True)
    for name in [name for name in names if name != MANIFEST] + [MANIFEST]:
        (hidden / name).replace(out / name)
