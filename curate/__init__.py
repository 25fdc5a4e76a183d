"""Turn raw instruction dumps into a small, proven SFT dataset, and fine-tune on it.

>>> import curate
>>> run = curate.run([{"instruction": "Say hi.", "output": "Hi there, friend."}], steps=["exact"])
>>> run.counts["kept"]
1
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from curate.api import (
    baselines,
    diagnose,
    estimate,
    evaluate_labels,
    evaluate_suite,
    export,
    export_gguf,
    inspect,
    merge,
    open,
    preview,
    render,
    run,
    teacher,
    train,
)
from curate.base.errors import CurateError
from curate.base.version import __version__
from curate.proving import forecast_proof, prove, prove_amounts, prove_formats, prove_shares
from curate.rewinding import forecast_rewind, rewind

if TYPE_CHECKING:
    from curate.base.contract import Estimate, Filter, Findings, Fix, Judgement
    from curate.base.settings import setting


__all__ = [
    "CurateError",
    "Estimate",
    "Filter",
    "Findings",
    "Fix",
    "Judgement",
    "__version__",
    "baselines",
    "diagnose",
    "estimate",
    "evaluate_labels",
    "evaluate_suite",
    "export",
    "export_gguf",
    "forecast_proof",
    "forecast_rewind",
    "inspect",
    "merge",
    "open",
    "preview",
    "prove",
    "prove_amounts",
    "prove_formats",
    "prove_shares",
    "render",
    "rewind",
    "run",
    "setting",
    "teacher",
    "train",
]

# For filters of one's own. They stand on Polars, which takes longer to import than all of this.
_LAZY = dict.fromkeys(("Estimate", "Filter", "Findings", "Fix", "Judgement"), "contract")
_LAZY |= {"setting": "settings"}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'curate' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"curate.base.{_LAZY[name]}"), name)
