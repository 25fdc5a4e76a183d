"""The filters and fixes, by the names that recipes use."""

from __future__ import annotations

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

FILTERS: dict[str, type[Filter]] = {
    "exact": Exact,
    "near": Near,
    "semantic": Semantic,
    "decontaminate": Decontaminate,
    "quality": Quality,
    "format": Format,
    "bias": Bias,
    "language": Language,
    "length": Length,
    "reward": Reward,
    "judge": LLMJudge,
    "difficulty": Difficulty,
    "mix": Mix,
    "select": Select,
}

FIXES: dict[str, type[Fix]] = {
    "unwrap_prompt": UnwrapPrompt,
    "strip_end_token": StripEndToken,
    "repair_encoding": RepairEncoding,
    "inline_think": InlineThink,
    "mask_pii": MaskPII,
}
