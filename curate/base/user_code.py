"""Code of the user's own, named as a file or as a module."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

from curate.base.errors import CurateError


def user_module(where: str, kind: str, *, register: bool) -> ModuleType:
    """The module that is a `.py` file, called `curate_KIND_NAME`, or is imported by its name.

    With `register` a file is run once, until it changes, and stands in `sys.modules`, so that what
    it defines can be pickled (see `registered`); without, it is run anew. Raises whatever the code
    raises.
    """
    if not where.endswith(".py"):
        return importlib.import_module(where)
    name = f"curate_{kind}_{Path(where).stem}"
    changed = Path(where).stat().st_mtime_ns
    known = sys.modules.get(name)
    if register and getattr(known, "_curate_read", None) == (where, changed):
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, where)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    if register:
        module._curate_read = (where, changed)  # type: ignore[attr-defined]
        sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


# Files that were run, and when each had been changed, by the names of their modules.
Registered = dict[str, tuple[str, int]]


def registered() -> Registered:
    """The files that `user_module` registered in this process; see `register_again`."""
    modules = list(sys.modules.items())
    return {name: module._curate_read for name, module in modules if _is_registered(module)}


def register_again(files: Registered) -> None:
    """Register in another process what its parent has, to unpickle what they define.

    Raises `CurateError` for a file that changed since, and whatever the code raises.
    """
    for name, (where, changed) in files.items():
        if name in sys.modules:
            continue
        if Path(where).stat().st_mtime_ns != changed:
            raise CurateError(f"{where}: was changed while it was used; run it again")
        user_module(where, name.split("_")[1], register=True)


def _is_registered(module: ModuleType) -> bool:
    return "_curate_read" in getattr(module, "__dict__", {})
