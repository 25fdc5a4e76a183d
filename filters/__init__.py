"""The filters and fixes, by the names that recipes use."""

from __future__ import annotations

from curate.schema import Filter, Fix
from filters.bias import Bias
from filters.decontaminate import Decontaminate
from filters.difficulty import Difficulty
from filters.exact import Exact
from filters.fixes import RepairEncoding, StripEndToken, UnwrapPrompt
from filters.fixes_pii import MaskPII
from filters.formatting import Format
from filters.language import Language
from filters.length import Length
from filters.mix import Mix
from filters.near import Near
from filters.quality import Quality
from filters.reward import Reward
from filters.selection import Select
from filters.semantic import Semantic

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
    "difficulty": Difficulty,
    "mix": Mix,
    "select": Select,
}

FIXES: dict[str, type[Fix]] = {
    "unwrap_prompt": UnwrapPrompt,
    "strip_end_token": StripEndToken,
    "repair_encoding": RepairEncoding,
    "mask_pii": MaskPII,
}
