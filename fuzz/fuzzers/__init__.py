"""The fuzzers by name. Each is imported when it is asked for: some bring large libraries."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

from fuzz.contract import Fuzzer


def _of(module: str) -> Callable[[], Fuzzer]:
    return lambda: import_module(f"fuzz.fuzzers.{module}").FUZZER


FUZZERS: dict[str, Callable[[], Fuzzer]] = {
    "rows": _of("rows"),
    "files": _of("files"),
    "settings": _of("settings"),
    "templates": _of("templates"),
    "rendering": _of("rendering"),
    "folders": _of("folders"),
    "checkpoints": _of("checkpoints"),
    "pages": _of("pages"),
}
