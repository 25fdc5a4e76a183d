"""ROUGE-L between texts, to the last bit that of the `rouge-score` package.

The rule of Self-Instruct (Wang et al. 2022) and Alpaca: F1 of the longest common subsequence of
tokens. F <= 2 min(m, n) / (m + n) and LCS <= tokens in common, order apart; so a pair can reach F
only if the Jaccard similarity of the two bags of tokens reaches F / (2 - F), and whatever finds
those pairs misses none. The bit-parallel LCS is RapidFuzz's.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import polars as pl

from filters.common.arrays import U64, Bools, Floats, Ints, ascending
from filters.common.shingles import Sets, as_lists, flat_lists, mix64
from filters.common.text import block, digest, in_blocks
from filters.dedup.near.similarity import SLACK, Comparison

Tokenizer = Literal["ascii", "unicode"]

# Pairs of one call of RapidFuzz, whose sequences are held twice as lists of references.
PAIRS = 1 << 16
# More tokens than code points: sequences cannot be strings, which RapidFuzz reads fastest.
_CODE_POINTS = 0x110000
_POSITION = np.uint64(0x9E3779B97F4A7C15)


def token_lists(texts: pl.Series, tokenizer: Tokenizer, *, stem: bool) -> pl.Series:
    """The tokens of each text (no nulls), as lists of 64-bit hashes named `tokens`.

    `ascii` is rouge-score's tokenizer: small letters, runs of a-z and 0-9. `unicode` has the words
    of any script, and each character of a script without spaces. With `stem`, tokens of more than
    three characters are cut by Porter's rules with NLTK's extensions, which must be there.
    """
    stemmer = porter() if stem else None

    def of_block(part: pl.Series) -> pl.Series:
        words = _words(part, tokenizer)
        flat = words.explode(empty_as_null=False)
        # A loop over the block's vocabulary, because a stemmer takes one word at a time.
        known = flat.unique()
        stems = [_stem(word, stemmer) for word in known.to_list()]
        hashes = pl.Series([digest(word.encode()) for word in stems], dtype=pl.UInt64)
        numbers = flat.replace_strict(known, hashes, return_dtype=pl.UInt64).cast(pl.UInt64)
        return as_lists(numbers.alias("tokens"), words.list.len().to_numpy().astype(np.int64))

    empty = pl.Series("tokens", [], pl.List(pl.UInt64))
    return pl.concat([empty, *in_blocks(texts, of_block)])


def porter() -> Callable[[str], str]:
    """NLTK's Porter stemmer, the one of rouge-score."""
    from nltk.stem.porter import PorterStemmer

    stem: Callable[[str], str] = PorterStemmer().stem
    return stem


def f_measure(common: Ints, left: Ints, right: Ints) -> Floats:
    """F1 of an LCS of `common` tokens between texts of `left` and `right`, in rouge-score's steps.

    >>> float(f_measure(np.array([27]), np.array([39]), np.array([51]))[0])
    0.5999999999999999
    """
    precision, recall = common / np.maximum(right, 1), common / np.maximum(left, 1)
    total = precision + recall
    found: Floats = np.divide(
        2 * precision * recall, total, out=np.zeros(len(total)), where=total > 0
    )
    return found


def jaccard_of(score: float) -> float:
    """The least Jaccard similarity of two bags of tokens whose ROUGE-L is `score`."""
    return score / (2 - score)


def bags(tokens: pl.Series) -> Sets:
    """Each row's tokens as a set: the second "the" is another element than the first.

    Elements are numbered over all rows, so two different ones never share a number.
    """
    flat, bounds = flat_lists(tokens)
    owner = np.repeat(np.arange(len(tokens), dtype=np.int64), np.diff(bounds))
    order = np.lexsort((flat, owner))
    flat = flat[order]
    is_new = np.ones(len(flat), bool)
    is_new[1:] = (flat[1:] != flat[:-1]) | (owner[1:] != owner[:-1])
    place = np.arange(len(flat), dtype=np.int64)
    times = (place - np.maximum.accumulate(np.where(is_new, place, 0))).astype(np.uint64)
    element = _numbered(mix64(flat + times * _POSITION)).astype(np.uint64)
    element |= owner.astype(np.uint64) << np.uint64(32)
    element = ascending(element)
    return Sets(element.astype(np.uint32), bounds)


def token_keys(tokens: pl.Series) -> U64:
    """64 bits a row, equal for equal sequences; 0 if there is no token."""
    flat, bounds = flat_lists(tokens)
    sizes = np.diff(bounds)
    place = np.arange(len(flat)) - np.repeat(bounds[:-1], sizes)
    mixed = mix64(flat + mix64(place.astype(np.uint64) * _POSITION))
    keys = np.zeros(len(tokens), np.uint64)
    filled = np.flatnonzero(sizes)
    if len(filled):
        keys[filled] = np.add.reduceat(mixed, bounds[:-1][filled])
    return keys


class RougeComparison(Comparison):
    """Compares token sequences by their number; `sets` are their bags, `tokens` their lists."""

    def __init__(self, sets: Sets, tokens: pl.Series) -> None:
        super().__init__(sets)
        self._sequences = _sequences(tokens)

    def similarity(self, left: Ints, right: Ints, floor: float = 0.0) -> Floats:
        """ROUGE-L of each pair of numbers; 0 for those that cannot reach `floor`."""
        common = self.common(left, right)
        possible = 2 * common >= (floor - SLACK) * (self.sizes[left] + self.sizes[right])
        chosen = np.flatnonzero(possible)
        scores = np.zeros(len(left))
        left, right = left[chosen], right[chosen]
        longest = self._longest_common(left, right)
        scores[chosen] = f_measure(longest, self.sizes[left], self.sizes[right])
        return scores

    def may_reach(self, threshold: float, left: Ints, right: Ints) -> Bools:
        """False where the lengths alone rule the threshold out."""
        return super().may_reach(jaccard_of(threshold), left, right)

    def _longest_common(self, left: Ints, right: Ints) -> Ints:
        from rapidfuzz.distance import LCSseq
        from rapidfuzz.process import cpdist

        found = [np.zeros(0, np.int64)]
        for low in range(0, len(left), PAIRS):
            ones = [self._sequences[number] for number in left[low : low + PAIRS].tolist()]
            others = [self._sequences[number] for number in right[low : low + PAIRS].tolist()]
            scorer: Any = LCSseq.similarity
            lengths = cpdist(ones, others, scorer=scorer, workers=-1, dtype=np.int64)
            found.append(np.asarray(lengths, np.int64))
        return np.concatenate(found)


def _words(texts: pl.Series, tokenizer: Tokenizer) -> pl.Series:
    if tokenizer == "ascii":
        return texts.str.to_lowercase().str.extract_all("[a-z0-9]+")
    rows = [row.decode() for row in block(texts, words_only=True).rows()]
    return pl.Series(rows, dtype=pl.String).str.extract_all("[^ ]+")


def _stem(word: str, stemmer: Callable[[str], str] | None) -> str:
    return stemmer(word) if stemmer and len(word) > 3 else word


def _numbered(values: U64) -> Ints:
    return np.unique(values, return_inverse=True)[1].astype(np.int64)


def _sequences(tokens: pl.Series) -> list[Any]:
    """Something that RapidFuzz compares, without the tokens that stand only once anywhere."""
    flat, bounds = flat_lists(tokens)
    number = _numbered(flat)
    often = np.bincount(number)[number] > 1 if len(number) else np.zeros(0, bool)
    upto = np.concatenate([[0], np.cumsum(often)])
    ends = upto[bounds].tolist()
    chosen = _numbered(number[often].astype(np.uint64))
    if len(chosen) and int(chosen.max()) >= _CODE_POINTS:
        return [chosen[low:high].tolist() for low, high in pairwise(ends)]
    raw = chosen.astype("<u4").tobytes()
    return [
        raw[4 * low : 4 * high].decode("utf-32-le", "surrogatepass") for low, high in pairwise(ends)
    ]
