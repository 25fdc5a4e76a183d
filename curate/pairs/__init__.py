"""Preference pairs out of records: from votes, scores, ranks, annotators, or pairs as they are.

Every function takes Records and gives `Made`: the pairs, and for each record in how many pairs
it is or why in none.
"""

from __future__ import annotations

from curate.pairs.annotators import of_annotators
from curate.pairs.grouped import Rule, of_groups
from curate.pairs.lists import unfolded
from curate.pairs.paired import of_rejected
from curate.pairs.shape import PAIRS, REASONS, Made, pair_texts
from curate.pairs.summary import Summary, summary

__all__ = [
    "PAIRS",
    "REASONS",
    "Made",
    "Rule",
    "Summary",
    "of_annotators",
    "of_groups",
    "of_rejected",
    "pair_texts",
    "summary",
    "unfolded",
]
