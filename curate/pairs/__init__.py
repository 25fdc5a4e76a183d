"""Preference pairs out of records: from votes, scores, ranks, annotators, or pairs as they are.

Every function takes Records and gives a `PairResult`: the pairs, and for each record in how many
pairs it is, or why in none.
"""

from __future__ import annotations

from curate.pairs.annotators import of_annotators
from curate.pairs.compared import Compare, Comparison, of_comparisons
from curate.pairs.grouped import Rule, of_groups
from curate.pairs.lists import unfold_lists
from curate.pairs.paired import of_rejected
from curate.pairs.shape import PAIRS, REASONS, PairResult, pair_texts
from curate.pairs.summary import Summary, summary

__all__ = [
    "PAIRS",
    "REASONS",
    "Compare",
    "Comparison",
    "PairResult",
    "Rule",
    "Summary",
    "of_annotators",
    "of_comparisons",
    "of_groups",
    "of_rejected",
    "pair_texts",
    "summary",
    "unfold_lists",
]
