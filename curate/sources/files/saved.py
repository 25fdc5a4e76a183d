"""Folders that `datasets.save_to_disk` wrote: which files of theirs hold the rows."""

from __future__ import annotations

import json
from pathlib import Path, PurePosixPath
from typing import Any

from curate.base.errors import CurateError

STATE = "state.json"


def saved_files(folder: Path) -> list[Path]:
    """The Arrow files of a saved dataset, in the order that it states.

    Raises `CurateError` for a state that is none, and for one that names what is not in the
    folder: a stranger's folder gives nothing of another one to a run.
    """
    try:
        state = json.loads((folder / STATE).read_text("utf-8"))
        names: list[Any] = [entry["filename"] for entry in state["_data_files"]]
    except (ValueError, KeyError, TypeError, RecursionError, OSError) as error:
        raise CurateError(f"{folder / STATE}: not the state of a saved dataset") from error
    if not names:
        raise CurateError(f"{folder / STATE}: a saved dataset without a file")
    for name in names:
        if not _is_inside(folder, name):
            raise CurateError(
                f"{folder / STATE}: names {str(name)[:200]!r}, which is no file in its folder; "
                "nothing outside of it is read"
            )
    return [folder / name for name in names]


def _is_inside(folder: Path, name: Any) -> bool:
    """Whether a name is that of a file in the folder, also behind links."""
    if not isinstance(name, str) or not name or "\0" in name or "\\" in name:
        return False
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts:
        return False
    real, home = (folder / name).resolve(), folder.resolve()
    return real.is_relative_to(home) or _is_blob(real, home)


def _is_blob(real: Path, home: Path) -> bool:
    """Whether a file is one that the hub's cache keeps beside the folder of links to it."""
    repositories = [each.parent for each in (home, *home.parents) if each.name == "snapshots"]
    return any(real.parent == repository / "blobs" for repository in repositories)
