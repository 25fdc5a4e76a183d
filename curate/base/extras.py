"""Optional packages: whether they are here, and what to install where they are not."""

from __future__ import annotations

from importlib.util import find_spec

from curate.base.errors import CurateError


def missing(*packages: str) -> list[str]:
    """Those of the packages that are not installed; none of them is imported."""
    return [name for name in packages if find_spec(name) is None]


def require(what: str, extra: str, *packages: str, instead: str = "") -> None:
    """Raise `CurateError` unless all packages are installed.

    `what` needs them ("near: stem"), `extra` brings them, `instead` says how to do without.
    """
    if absent := missing(*packages):
        way_out = f", or {instead}" if instead else ""
        raise CurateError(
            f"{what} needs {' and '.join(absent)}; install with:"
            f' pip install "curate-sft[{extra}]"{way_out}'
        )
