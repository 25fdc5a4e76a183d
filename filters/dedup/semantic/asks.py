"""What no vector tells apart: prompts with another number, name or sign, or a negation more.

Texts that mean the same may have other words in another order, so their words are not aligned (as
`near` does): each kind is a code or two a row, and those of two rows are compared.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import polars as pl

from filters.common.arrays import U64, Bools, Ints
from filters.common.shingles import mix64
from filters.common.text import keys
from filters.dedup.differences.pairs import Words
from filters.dedup.differences.vocabulary import negations, opposites, units
from filters.dedup.differences.words import (
    CAPITAL,
    NUMBER,
    SIGN,
    START,
    WORD,
    code_of,
    code_shapes,
    word_lists,
)
from filters.dedup.protect import KINDS, Kind, case_codes

# Kinds whose codes must be equal.
_EQUAL: tuple[Kind, ...] = ("numbers", "negations", "signs", "code", "case")
# 64 bits of words; and of the words of pairs of opposites, a bit for each pair.
_BITS = ("names", "one_side", "other_side")
COLUMNS = (*_EQUAL, "letters", *_BITS)


@dataclass(frozen=True)
class Asks:
    """What n rows ask for, in the kinds that are looked at: `columns` (n,) as they are measured."""

    columns: Mapping[str, U64]
    kinds: tuple[Kind, ...]

    @classmethod
    def of(cls, measures: pl.DataFrame, protect: Sequence[Kind]) -> Asks:
        """From measures; null is a code of its own."""
        columns = {name: measures[name].fill_null(0).to_numpy() for name in COLUMNS}
        wide = {name: values.astype(np.uint64) for name, values in columns.items()}
        return cls(wide, tuple(kind for kind in KINDS if kind in protect))

    def take(self, at: Ints) -> Asks:
        """Those at these positions."""
        return Asks({name: values[at] for name, values in self.columns.items()}, self.kinds)

    def rows(self) -> list[npt.NDArray[np.uint32]]:
        """All that is looked at (n, codes): rows with the same ask for the same; [] for nothing."""
        if not self.kinds:
            return []
        return [np.stack(list(self.columns.values()), axis=1).view(np.uint32)]

    def same(self, one: Ints, other: Ints) -> Bools:
        """For pairs of positions whether they may ask for the same."""
        same = np.ones(len(one), bool)
        at = np.arange(len(one))
        for kind in self.kinds:
            differ = self._differ(kind, one, other)
            same[at[differ]] = False
            # Most pairs that differ do so in the first kind.
            one, other, at = one[~differ], other[~differ], at[~differ]
        return same

    def first_kinds(self, one: Ints, other: Ints) -> list[Kind | None]:
        """The first kind in which each pair differs."""
        found: list[Kind | None] = [None] * len(one)
        for kind in reversed(self.kinds):
            for at in np.flatnonzero(self._differ(kind, one, other)).tolist():
                found[at] = kind
        return found

    def _differ(self, kind: Kind, one: Ints, other: Ints) -> Bools:
        if kind == "names":
            return self._each_has_own("names", "names", one, other)
        codes = self.columns[kind]
        differ: Bools = codes[one] != codes[other]
        if kind == "case":
            differ &= self.columns["letters"][one] == self.columns["letters"][other]
        if kind == "negations":
            differ |= self._each_has_own("one_side", "other_side", one, other)
            differ |= self._each_has_own("other_side", "one_side", one, other)
        return differ

    def _each_has_own(self, ours: str, theirs: str, one: Ints, other: Ints) -> Bools:
        """Whether each of two rows has a bit (of words of this side) that the other lacks.

        So a prompt in small letters, or with a capital for each word, has no other names. Of
        opposites the one must stand for the other.
        """
        left, right = self.columns[ours], self.columns[theirs]
        own = left[one] & ~left[other]
        its = right[other] & ~right[one]
        found: Bools = (own & its) != 0 if ours != theirs else (own != 0) & (its != 0)
        return found


def ask_columns(asked: pl.Series, prompts: pl.Series, compared: pl.Series) -> list[pl.Series]:
    """The columns of `Asks`: what the words of `asked` say, and case and code of all `compared`.

    `numbers` (with the unit behind each) and `signs` are equal for the same in the same order,
    `negations` is their count; `code` is that of `code_shapes`, `case` that of `case_codes`, and
    `letters` is equal where only case can differ: u32, so of two that differ one in four billion
    passes for equal. `names` (words with a capital inside of a sentence) and both sides of
    opposites are u64, a bit for each; two names share one once in 64 pairs.
    """
    words = Words.of(word_lists(asked, "words"))
    plain = words.codes & WORD
    is_number = words.codes & NUMBER != 0
    is_measure = is_number | (_behind(is_number, words.bounds) & np.isin(plain, _codes(units())))
    is_not = np.isin(plain, _codes(negations()))
    is_name = (words.codes & CAPITAL != 0) & (words.codes & START == 0) & (plain != code_of("i"))
    one_side, other_side = _sides(plain)
    bare = words._replace(codes=plain)
    letters = keys(compared, normalise=True)
    return [
        _narrow("numbers", bare.only(is_measure).sums(in_order=True)),
        pl.Series("negations", bare.only(is_not).sizes, dtype=pl.UInt32),
        _narrow("signs", bare.only(words.codes & SIGN != 0).sums(in_order=True)),
        _narrow("code", code_shapes(compared).fill_null(0).to_numpy()),
        _narrow("case", case_codes(prompts, compared).fill_null(0).to_numpy()),
        _narrow("letters", letters),
        pl.Series("names", bare.any_of(np.where(is_name, _bit(plain), np.uint64(0)))),
        pl.Series("one_side", bare.any_of(one_side)),
        pl.Series("other_side", bare.any_of(other_side)),
    ]


def _narrow(name: str, codes: U64) -> pl.Series:
    return pl.Series(name, codes & np.uint64(0xFFFFFFFF), dtype=pl.UInt32)


def _codes(words: frozenset[int]) -> U64:
    return np.array(sorted(words), np.uint64)


def _behind(chosen: Bools, bounds: Ints) -> Bools:
    """Which words stand right behind one of these, in the same text."""
    found = np.zeros(len(chosen), bool)
    found[1:] = chosen[:-1]
    starts = bounds[:-1]
    found[starts[starts < len(found)]] = False
    return found


def _bit(codes: U64) -> U64:
    """One of 64 bits for each code."""
    bit: U64 = np.uint64(1) << (mix64(codes) & np.uint64(63))
    return bit


def _sides(plain: U64) -> tuple[U64, U64]:
    """For each word the bits of the pairs of opposites of which it is one word, or the other."""
    words, one_side, other_side = _opposites()
    at = np.minimum(np.searchsorted(words, plain), len(words) - 1)
    known = words[at] == plain
    nothing = np.uint64(0)
    return np.where(known, one_side[at], nothing), np.where(known, other_side[at], nothing)


@lru_cache(maxsize=1)
def _opposites() -> tuple[U64, U64, U64]:
    """Words that have an opposite, ascending, and the bits of their pairs on either side."""
    words = _codes(frozenset(opposites()))
    one_side, other_side = np.zeros_like(words), np.zeros_like(words)
    for at, word in enumerate(words.tolist()):
        for mate in opposites()[word]:
            side = one_side if word < mate else other_side
            side[at] |= _bit(np.array([word ^ mate], np.uint64))[0]
    return words, one_side, other_side
