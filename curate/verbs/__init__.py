"""What each verb of the command line does, one module for each folder that they make.

A module is loaded when one of its verbs is called; heavy imports live inside the verbs.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from importlib import import_module

_MODULES = {
    "chatting": ("chat",),
    "cleaning": ("run", "inspect", "explain", "diff", "report", "baselines", "filters"),
    "diagnosing": ("diagnose",),
    "evaluating": ("eval",),
    "exporting": ("export",),
    "judge": ("judge",),
    "merging": ("merge",),
    "pairs": ("pairs",),
    "proving": ("prove",),
    "rendering": ("preview", "render", "templates"),
    "reward": ("reward",),
    "rewinding": ("rewind",),
    "training": ("teacher", "train"),
}


def called(name: str) -> Callable[[argparse.Namespace], None]:
    """The function of a verb."""
    (module,) = (module for module, verbs in _MODULES.items() if name in verbs)
    verb: Callable[[argparse.Namespace], None] = getattr(
        import_module(f"curate.verbs.{module}"), name
    )
    return verb
