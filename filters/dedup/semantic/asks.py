"""What no vector tells apart: prompts with another number, name, or a negation more or less."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from typing import Literal, NamedTuple, get_args

import numpy as np
import polars as pl

from filters.common.arrays import U64, Bools, Ints
from filters.common.text import digest

Protected = Literal["numbers", "negations", "names"]
PROTECTED: tuple[Protected, ...] = get_args(Protected)

_SPELT = "two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|hundred|thousand|million"
# What is looked for in small letters. An apostrophe may be missing.
_NUMBERS = rf"(?-u:\b)(?:\d+(?:[.,]\d+)*|(?:{_SPELT})(?-u:\b))"
_NEGATIONS = (
    r"(?-u:\b)(?:not|never|no|none|without|except|cannot|[a-z]+n['’]t"
    r"|(?:do|does|did|is|are|was|were|would|could|should|ca|wo)nt)(?-u:\b)"
)
# Words with a capital inside of a sentence: where one begins, any word has one.
_NAMES = r"[\p{Ll}\d,;)] (?:\p{Lu}[\w'’-]*\.? ?)+"
_NO_NAME = frozenset(("i", "im", "ill", "ive"))


class Asks(NamedTuple):
    """What n prompts ask for: `codes` (n,) must be equal, and `names` (n,) are bits of names.

    Names are others where each of two prompts has one that the other lacks. So a prompt in small
    letters, or with a capital for each word, is like any other in this.
    """

    codes: U64
    names: U64

    def take(self, at: Ints) -> Asks:
        """Those at these positions."""
        return Asks(self.codes[at], self.names[at])

    def same(self, one: Ints, other: Ints) -> Bools:
        """For pairs of positions whether they may ask for the same."""
        left, right = self.names[one], self.names[other]
        has_own = ((left & ~right) != 0) & ((right & ~left) != 0)
        same: Bools = (self.codes[one] == self.codes[other]) & ~has_own
        return same


def ask_columns(prompts: pl.Series) -> list[pl.Series]:
    """A column for each of `PROTECTED`: `numbers` (u32), equal for the same ones in the same
    order, `negations` (u32), their count, and `names` (u64), a bit for each."""
    at = prompts.str.contains("&", literal=True).arg_true()
    # Few rows have an entity, and its number ("&#39;") is none of the text.
    plain = prompts.clone().scatter(at, [html.unescape(text) for text in prompts.gather(at)])
    small = plain.str.to_lowercase()
    numbers = small.str.extract_all(_NUMBERS).list.join(" ")
    names = plain.str.extract_all(_NAMES).list.join("\n")
    # Loops over different texts: hashlib takes one at a time.
    codes = {text: digest(text.encode()) & 0xFFFFFFFF for text in numbers.unique()}
    bits = {text: _bits(text) for text in names.unique()}
    return [
        numbers.replace_strict(codes, return_dtype=pl.UInt32).alias("numbers"),
        small.str.count_matches(_NEGATIONS).alias("negations"),
        names.replace_strict(bits, return_dtype=pl.UInt64).alias("names"),
    ]


def _bits(found: str) -> int:
    """One of 64 bits for each name; two names share one once in 64 pairs."""
    names = {
        re.sub(r"['’]s$|\W", "", word).lower()
        for line in found.splitlines()
        for word in line.split()[1 if line[1:2] == " " and line[0] != " " else 0 :]
    }
    bits = 0
    for name in names - _NO_NAME - {""}:
        bits |= 1 << (digest(name.encode()) & 63)
    return bits


def asks_of(measures: pl.DataFrame, protect: Sequence[Protected]) -> Asks:
    """What rows ask for, of the kinds in `protect`."""
    nothing = np.zeros(measures.height, np.uint64)
    numbers, negations, names = (
        measures[kind].to_numpy().astype(np.uint64) if kind in protect else nothing
        for kind in PROTECTED
    )
    return Asks(numbers << np.uint64(32) | negations, names)
