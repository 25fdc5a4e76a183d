"""The checks that `near` makes of its settings before any data is read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from curate.base.errors import CurateError
from filters.dedup.keep import FIELDS, SPARE, check_choice, check_keep
from filters.dedup.near.rouge import TOKENIZERS

if TYPE_CHECKING:
    from filters.dedup.near.filter import Near

SIMILARITIES = ("jaccard", "rouge_l")
# datasketch draws its permutations one by one, and 128 to 256 is usual; at 4,096 a signature is
# 16 KB, more than most records.
MOST_PERMUTATIONS = 4096

# What only one similarity reads, and the value that is not a wish.
_ONLY: Mapping[str, Mapping[str, Any]] = {
    "jaccard": {"shingle": "adaptive", "size": None},
    "rouge_l": {"tokenizer": "ascii", "stem": False, "strict": False},
}


def check(step: Near) -> None:
    """Raise `CurateError` for a value that makes no sense, or that nothing would read."""
    check_choice("near", "similarity", step.similarity, SIMILARITIES)
    check_choice("near", "field", step.field, FIELDS)
    check_choice("near", "shingle", step.shingle, ("adaptive", "word", "char"))
    check_choice("near", "tokenizer", step.tokenizer, TOKENIZERS)
    check_choice("near", "clusters", step.clusters, ("greedy", "connected"))
    check_choice("near", "spare", step.spare, SPARE)
    check_keep("near", step.keep, step.by)
    _check_unread(step)
    known = step.threshold is None or 0 < step.threshold <= 1
    _expect(step, "threshold", known, "a number above 0 and at most 1")
    _expect(step, "size", step.size is None or step.size >= 1, "1 or more")
    _expect(step, "num_perm", 1 <= step.num_perm <= MOST_PERMUTATIONS, f"1 to {MOST_PERMUTATIONS}")
    fits = step.bands is None or 1 <= step.bands <= step.num_perm
    _expect(step, "bands", fits, f"1 to num_perm ({step.num_perm})")
    _expect(step, "seed", 0 <= step.seed < 1 << 32, "0 to 4294967295")
    if step.strict and step.level >= 1:
        raise CurateError("near: threshold is 1.0 with strict: true, which no row is above")
    if step.index is not None and not step.index.strip():
        raise CurateError("near: index is an empty path; expected a folder")


def _check_unread(step: Near) -> None:
    for similarity, settings in _ONLY.items():
        for name, unset in settings.items():
            value = getattr(step, name)
            if step.similarity != similarity and value != unset:
                raise CurateError(
                    f"near: {name} is {value!r}, which similarity: {step.similarity} does not "
                    f"read; leave it out or set similarity: {similarity}"
                )


def _expect(step: Near, field: str, holds: bool, expected: str) -> None:
    if not holds:
        raise CurateError(f"near: {field} is {getattr(step, field)}; expected {expected}")
