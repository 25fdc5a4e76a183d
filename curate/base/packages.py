"""Our top-level packages have common names; another file of such a name must not hide them."""

from __future__ import annotations

import sys
from importlib.machinery import PathFinder
from importlib.util import find_spec
from pathlib import Path

from curate.base.errors import CurateError

NAMES = ("filters", "templates", "trainer")
_HOME = Path(__file__).resolve().parents[2]


def put_ours_first() -> None:
    """Move what hides our packages to the end of `sys.path`; for the command line alone.

    That a user works beside a `filters.py`, or has a package `templates` on PYTHONPATH, is no
    mistake. Worker processes take over `sys.path`.
    """
    for name in NAMES:
        if hidden_by(name) is None:
            continue
        ahead = [entry for entry in sys.path if _holds(entry, name)]
        sys.path[:] = [entry for entry in sys.path if entry not in ahead] + ahead
        sys.modules.pop(name, None)


def check_ours() -> None:
    """Raise `CurateError` if a module of another's is found in place of one of our packages."""
    for name in NAMES:
        if (origin := hidden_by(name)) is not None:
            raise CurateError(
                f"{origin} hides curate's own package {name!r}; rename it, or import curate from "
                "another folder"
            )


def hidden_by(name: str) -> str | None:
    """The file that is imported in place of our package; None if ours is."""
    loaded = sys.modules.get(name)
    spec = loaded.__spec__ if loaded is not None else find_spec(name)
    origin = spec.origin if spec is not None else None
    if origin is None and spec is not None:
        origin = str(next(iter(spec.submodule_search_locations or ()), name))
    ours = origin is not None and Path(origin).resolve().parent == _HOME / name
    return None if ours else origin or f"no package {name!r}: something"


def _holds(entry: str, name: str) -> bool:
    folder = Path(entry or ".").resolve()
    return folder != _HOME and PathFinder.find_spec(name, [str(folder)]) is not None
