"""The built-in encoder: words and letters hashed into a fixed number of dimensions.

It finds text that shares wording, in whatever order: reordered sentences, other endings, a few
other words. It knows no meaning: "purchase" and "buy" are strangers to it.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from filters.common.arrays import F32, U64
from filters.common.shingles import Rule, hash_spans, mix64, shingle_hash, spans
from filters.common.text import block, in_blocks

# Chance adds or takes 1/sqrt(512) = 0.04 of cosine between texts that share nothing.
DIMENSIONS = 512
# (unit, size, weight): single words tell most; pairs of words keep some order, letters endings.
FEATURES = ((Rule("word", 1, 0), 1.0), (Rule("word", 2, 0), 0.7), (Rule("char", 4, 0), 0.4))
# A measure sees no other row, so how rare a word is must be known beforehand: the commonest words
# of English count for a fifth.
COMMON = (
    "the of and to a in is it you that he was for on are with as i his they be at one have this "
    "from or had by but what some we can out other were all there when up use your how said an "
    "each she which do their if will many then them these so her would make like him has more "
    "did could my than been who its now how much does after per if"
)
COMMON_WEIGHT = 0.2


def lexical(texts: pl.Series) -> F32:
    """Vectors [texts, 512] (not of unit length): a count sketch of weighted word and letter runs.

    Weight 1 + log(count) times that of its kind; signed feature hashing keeps cosines unbiased
    (Weinberger et al. 2009, arXiv 0902.2206).
    """
    common = np.array(sorted({shingle_hash(word.encode()) for word in COMMON.split()}), np.uint64)
    parts = in_blocks(texts, lambda part: _sketch(part, common))
    return np.concatenate([np.zeros((0, DIMENSIONS), np.float32), *parts])


def _sketch(texts: pl.Series, common: U64) -> F32:
    data, bounds = block(texts, words_only=True)
    size = len(texts) * DIMENSIONS
    total = np.zeros(size)
    for number, (rule, weight) in enumerate(FEATURES):
        starts, ends, count = spans(data, bounds, rule)
        row = np.repeat(np.arange(len(texts), dtype=np.uint64), count)
        keys, times = np.unique(
            row << np.uint64(32) | hash_spans(data, starts, ends), return_counts=True
        )
        hashes = keys & np.uint64(0xFFFFFFFF)
        weights = weight * (1 + np.log(times))
        if number == 0:
            weights[np.isin(hashes, common)] *= COMMON_WEIGHT
        mixed = mix64(hashes + np.uint64(1 + number << 32))
        signs = np.where(mixed >> np.uint64(63), 1.0, -1.0)
        at = (keys >> np.uint64(32)) * np.uint64(DIMENSIONS) + mixed % np.uint64(DIMENSIONS)
        total += np.bincount(at.astype(np.int64), weights * signs, size)
    return total.reshape(len(texts), DIMENSIONS).astype(np.float32)
