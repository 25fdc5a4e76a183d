"""Optional packages: whether they are here, and what to install where they are not."""

from __future__ import annotations

from importlib.util import find_spec

from curate.base.errors import CurateError


def require(what: str, extra: str, *packages: str, instead: str = "") -> None:
    """Raise `CurateError` unless all packages are installed; none of them is imported.

    `what` needs them ("near: stem"), `extra` brings them, `instead` says how to do without.
    """
    if absent := [name for name in packages if find_spec(name) is None]:
        way_out = f", or {instead}" if instead else ""
        raise CurateError(
            f"{what} needs {' and '.join(absent)}; install with:"
            f' pip install "curate-sft[{extra}]"{way_out}'
        )
