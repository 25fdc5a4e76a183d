"""Records that nearly repeat another one: Jaccard similarity of shingle sets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from curate.schema import CurateError, setting
from filters.exact import FIELDS
from filters.minhash import signatures
from filters.near_keep import (
    RECORD_SCORE,
    check_choice,
    check_keep,
    duplicate_verdicts,
    keep_order,
    lengths,
)
from filters.near_search import Sketch, Twins, find_twins
from filters.shingles import Rule, joined, set_keys, sets_of_column, shingle_sets
from filters.text import bare, in_blocks, in_threads, keys, view

# Below eight words a change of any one word puts two sets of word 3-grams under 0.7, so comparing
# such texts exactly loses nothing, and keeps "5 + 3" apart from "5 - 3".
ADAPTIVE_FLOOR = 8
WORDS, CHARACTERS = 3, 5


@dataclass(frozen=True)
class Near:
    """Drops records that are truly similar to one that stays, and names it.

    The default looks at whole conversations by runs of three words. Word 5-grams, usual for web
    pages, are blind to instructions of a line; characters find "Austria" and "Australia" alike.
    """

    name: ClassVar[str] = "near"
    reasons: ClassVar[Mapping[str, str]] = {
        "near_duplicate": "Its text is nearly that of a record that stays.",
    }
    version: ClassVar[int] = 1
    cached: ClassVar[bool] = True
    measured_by: ClassVar[tuple[str, ...]] = ("field", "shingle", "size")

    threshold: float = setting(
        0.8,
        "Jaccard similarity (above 0 to 1) from which a record goes; at 0.8, 2 words of 60 may be "
        "others",
    )
    field: Literal["prompt", "response", "both"] = setting(
        "both",
        "what is compared: the prompt, the response (under 40 characters only together with its "
        "prompt), or both; never the system prompt",
        choices=FIELDS,
    )
    shingle: Literal["adaptive", "word", "char"] = setting(
        "adaptive",
        "runs of words, of characters, or adaptive: of words, but text under 8 words exactly",
        choices=("adaptive", "word", "char"),
    )
    size: int | None = setting(None, "words (else 3) or characters (else 5) in a shingle")
    keep: Literal["first", "longest", "best"] = setting(
        "first",
        "which row stays: the first of the input, the longest, or the best by a score",
        choices=("first", "longest", "best"),
    )
    by: str = setting(RECORD_SCORE, "for keep: best, the measure that is best when highest")
    clusters: Literal["greedy", "connected"] = setting(
        "greedy",
        "what counts as one cluster: rows that go for the same row, or all that a chain of "
        "similar rows links; which rows stay is the same",
        choices=("greedy", "connected"),
    )
    num_perm: int = setting(128, "permutations in a MinHash signature")
    bands: int | None = setting(
        None,
        "for sets too large to compare all pairs: bands of the signature, of which a pair must "
        "share one; else as many as find 99.5 % of the pairs at the threshold, 32 or more",
    )
    seed: int = setting(0, "of the permutations, as in datasketch")

    def __post_init__(self) -> None:
        check_choice(self.name, "field", self.field, FIELDS)
        check_choice(self.name, "shingle", self.shingle, ("adaptive", "word", "char"))
        check_choice(self.name, "clusters", self.clusters, ("greedy", "connected"))
        check_keep(self.name, self.keep, self.by)
        self._check("threshold", 0 < self.threshold <= 1, "a number above 0 and at most 1")
        self._check("size", self.size is None or self.size >= 1, "1 or more")
        self._check("num_perm", self.num_perm >= 1, "1 or more")
        fits = self.bands is None or 1 <= self.bands <= self.num_perm
        self._check("bands", fits, f"1 to num_perm ({self.num_perm})")
        self._check("seed", 0 <= self.seed < 1 << 32, "0 to 4294967295")

    def _check(self, field: str, holds: bool, expected: str) -> None:
        if not holds:
            raise CurateError(f"near: {field} is {getattr(self, field)}; expected {expected}")

    @property
    def needs(self) -> tuple[str, ...]:
        """Measures of other steps that `judge` reads."""
        return (self.by,) if self.keep == "best" else ()

    @property
    def rule(self) -> Rule:
        """How text is cut into shingles."""
        if self.shingle == "char":
            return Rule("char", self.size or CHARACTERS, floor=0)
        return Rule("word", self.size or WORDS, ADAPTIVE_FLOOR if self.shingle == "adaptive" else 0)

    def measure(self, records: pl.DataFrame) -> pl.DataFrame:
        """`shingles` (ascending 32-bit hashes), `key` (64 bits, equal for equal sets), `length`.

        Text too short for shingles has an empty set, and the `key` of its normal form; where
        there is no text at all the key is null. Signatures follow from the shingles, faster than
        they could be stored and read again: see `signature_column`.
        """
        texts = view(records, self.field)
        parts = in_blocks(texts, lambda part: shingle_sets(part, self.rule))
        sets = joined(parts)
        key = np.concatenate([np.zeros(0, np.uint64), *in_threads(parts, set_keys)])
        keys = _with_short(pl.Series("key", key), texts, sets.sizes == 0)
        return pl.DataFrame([sets.column("shingles"), keys, lengths(records)])

    def judge(self, measures: pl.DataFrame) -> pl.DataFrame:
        """A row goes only if its true similarity to a row that stays reaches the threshold.

        Its twin is the first such row in order of keeping.
        """
        found = self._find(measures)
        return duplicate_verdicts(measures, "near_duplicate", found.twin, found.score, found.root)

    def _find(self, measures: pl.DataFrame) -> Twins:
        order = keep_order(measures, self.keep, self.by, self.name)
        return find_twins(
            measures,
            order,
            self.threshold,
            Sketch(self.num_perm, self.seed, self.bands),
            chains=self.clusters == "connected",
        )


def assign_clusters(step: Near, measures: pl.DataFrame) -> pl.Series:
    """For each row the `row` that its cluster is named after: the first of it in order of keeping.

    A row alone is a cluster of its own. `measures` are those that `judge` takes.
    """
    return measures["row"].gather(step._find(measures).root).alias("cluster")


def signature_column(step: Near, measures: pl.DataFrame) -> pl.Series:
    """The MinHash signature of each row, an array of `num_perm` 32-bit numbers.

    Equal to `datasketch.MinHash(num_perm, seed, hashfunc=shingle_hash).hashvalues` for the row's
    shingles; that of an empty set for text too short for them.
    """
    found = signatures(sets_of_column(measures["shingles"]), step.num_perm, step.seed)
    return pl.Series("signature", found, pl.Array(pl.UInt32, step.num_perm))


def _with_short(key: pl.Series, texts: pl.Series, is_short: npt.NDArray[np.bool_]) -> pl.Series:
    short = pl.Series(np.flatnonzero(is_short), dtype=pl.UInt32)
    words = texts.gather(short)
    found = pl.Series(keys(bare(words), normalise=True), dtype=pl.UInt64)
    is_blank = words.str.strip_chars() == ""
    return key.scatter(short, found.zip_with(~is_blank, pl.Series([None], dtype=pl.UInt64)))
