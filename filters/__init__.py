"""The filters and fixes, by the names that recipes use."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from curate.base.contract import Filter, Fix
    from filters.bias.filter import Bias
    from filters.decontaminate.filter import Decontaminate
    from filters.dedup.exact import Exact
    from filters.dedup.near.filter import Near
    from filters.dedup.semantic.filter import Semantic
    from filters.difficulty.filter import Difficulty
    from filters.fixes.pii import MaskPII
    from filters.fixes.rewrite import RepairEncoding, StripEndToken, UnwrapPrompt
    from filters.fixes.thoughts import InlineThink
    from filters.language.filter import Language
    from filters.length.filter import Length
    from filters.llm_judge.filter import LLMJudge
    from filters.mix.filter import Mix
    from filters.quality.filter import Quality
    from filters.quality.formatting import Format
    from filters.reward.filter import Reward
    from filters.selection.filter import Select

Kind = TypeVar("Kind", covariant=True)


class Registry(Mapping[str, type[Kind]]):
    """Classes by name, written `module:Class`; each is loaded when it is asked for.

    So a run, and each of its worker processes, loads its own filters and no others.
    """

    def __init__(self, classes: Mapping[str, str]) -> None:
        self.modules: dict[str, str] = {}  # by class
        self._names: dict[str, str] = {}
        for name, where in classes.items():
            module, _, self._names[name] = where.partition(":")
            self.modules[self._names[name]] = module

    def __getitem__(self, name: str) -> type[Kind]:
        found: type[Kind] = __getattr__(self._names[name])
        return found

    def __contains__(self, name: object) -> bool:
        return name in self._names  # without loading it

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


FILTERS: Registry[Filter] = Registry(
    {
        "exact": "filters.dedup.exact:Exact",
        "near": "filters.dedup.near.filter:Near",
        "semantic": "filters.dedup.semantic.filter:Semantic",
        "decontaminate": "filters.decontaminate.filter:Decontaminate",
        "quality": "filters.quality.filter:Quality",
        "format": "filters.quality.formatting:Format",
        "bias": "filters.bias.filter:Bias",
        "language": "filters.language.filter:Language",
        "length": "filters.length.filter:Length",
        "reward": "filters.reward.filter:Reward",
        "judge": "filters.llm_judge.filter:LLMJudge",
        "difficulty": "filters.difficulty.filter:Difficulty",
        "mix": "filters.mix.filter:Mix",
        "select": "filters.selection.filter:Select",
    }
)

FIXES: Registry[Fix] = Registry(
    {
        "unwrap_prompt": "filters.fixes.rewrite:UnwrapPrompt",
        "strip_end_token": "filters.fixes.rewrite:StripEndToken",
        "repair_encoding": "filters.fixes.rewrite:RepairEncoding",
        "inline_think": "filters.fixes.thoughts:InlineThink",
        "mask_pii": "filters.fixes.pii:MaskPII",
    }
)

__all__ = [
    "FILTERS",
    "FIXES",
    "Bias",
    "Decontaminate",
    "Difficulty",
    "Exact",
    "Format",
    "InlineThink",
    "LLMJudge",
    "Language",
    "Length",
    "MaskPII",
    "Mix",
    "Near",
    "Quality",
    "RepairEncoding",
    "Reward",
    "Select",
    "Semantic",
    "StripEndToken",
    "UnwrapPrompt",
]


def __getattr__(name: str) -> Any:
    """The filters and fixes as attributes, `filters.Near`."""
    module = {**FILTERS.modules, **FIXES.modules}.get(name)
    if module is None:
        raise AttributeError(f"module 'filters' has no attribute {name!r}")
    return getattr(import_module(module), name)
