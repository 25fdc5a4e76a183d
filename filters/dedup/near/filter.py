"""Records that nearly repeat another one: Jaccard similarity of shingle sets, or ROUGE-L."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from curate.base.contract import Filter, Findings, Judgement, Read
from curate.base.errors import CurateError
from curate.base.settings import setting
from filters.common.shingles import Rule, joined, set_keys, sets_of_column, shingle_sets
from filters.common.text import bare, in_blocks, in_threads, keys, view
from filters.dedup.keep import (
    FIELDS,
    RECORD_SCORE,
    SPARE,
    duplicate_verdicts,
    lengths,
    prompt_groups,
)
from filters.dedup.near.decide import find, findings_of
from filters.dedup.near.indexed import REASONS, Indexed
from filters.dedup.near.minhash import signatures
from filters.dedup.near.rouge import TOKENIZERS, token_keys, token_lists
from filters.dedup.near.settings import SIMILARITIES, check

# Below eight words a change of any one word puts two sets of word 3-grams under 0.7, so comparing
# such texts exactly loses nothing, and keeps "5 + 3" apart from "5 - 3".
ADAPTIVE_FLOOR = 8
WORDS, CHARACTERS = 3, 5
DEFAULTS = {"jaccard": 0.8, "rouge_l": 0.7}

_U64 = pl.Series([None], dtype=pl.UInt64)


@dataclass(frozen=True)
class Near(Filter):
    """Drops records that are truly similar to one that stays, and names it.

    The default looks at whole conversations by runs of three words. Word 5-grams, usual for web
    pages, are blind to instructions of a line; characters find "Austria" and "Australia" alike.
    With `similarity: rouge_l` it is the rule of Self-Instruct and Alpaca: F1 of the longest common
    subsequence of tokens, as the package rouge-score computes it.

    With an `index`, records that are similar to one that an earlier run curated go too, and those
    that the whole run keeps are added to it. A run over the very same records finds the index as
    it was before they were added, so it can be repeated.
    """

    name: ClassVar[str] = "near"
    reasons: ClassVar[Mapping[str, str]] = REASONS
    version: ClassVar[int] = 2
    cached: ClassVar[bool] = True
    measured_by: ClassVar[tuple[str, ...]] = (
        *("similarity", "field", "shingle", "size", "tokenizer", "stem", "spare"),
    )

    threshold: float | None = setting(
        None,
        "similarity (above 0 to 1) from which a record goes; none: 0.8 for jaccard (2 words of 60 "
        "may be others), 0.7 for rouge_l",
    )
    similarity: Literal["jaccard", "rouge_l"] = setting(
        "jaccard",
        "of sets of shingles, or of token sequences (the rule of Self-Instruct and Alpaca)",
        choices=SIMILARITIES,
    )
    field: Literal["prompt", "response", "both"] = setting(
        "both",
        "what is compared: the prompt, the response (under 40 characters only together with its "
        "prompt), or both; never the system prompt",
        choices=FIELDS,
    )
    shingle: Literal["adaptive", "word", "char"] = setting(
        "adaptive",
        "jaccard: runs of words, of characters, or adaptive: of words, but text under 8 words "
        "exactly",
        choices=("adaptive", "word", "char"),
    )
    size: int | None = setting(None, "jaccard: words (else 3) or characters (else 5) in a shingle")
    tokenizer: Literal["ascii", "unicode"] = setting(
        "ascii",
        "rouge_l: tokens are runs of a-z and 0-9, as in rouge-score (other scripts have none, and "
        "stay), or words of any script",
        choices=TOKENIZERS,
    )
    stem: bool = setting(False, "rouge_l: tokens over 3 characters by their Porter stem (nltk)")
    strict: bool = setting(False, "rouge_l: only similarity above the threshold, not at it")
    keep: Literal["first", "longest", "best"] = setting(
        "first",
        "which row stays: the first of the input, the longest, or the best by a score",
        choices=("first", "longest", "best"),
    )
    by: str = setting(RECORD_SCORE, "for keep: best, the measure that is best when highest")
    spare: Literal["none", "same_prompt"] = setting(
        "none",
        "rows that are no duplicates of each other: none, or those of the very same prompt "
        "(best-of-n answers)",
        choices=SPARE,
    )
    index: str | None = setting(
        None,
        "folder of what earlier runs curated: compared with, and added to; new if absent",
        path=True,
    )
    clusters: Literal["greedy", "connected"] = setting(
        "greedy",
        "what counts as one cluster: rows that go for the same row, or all that a chain of "
        "similar rows links; which rows stay is the same",
        choices=("greedy", "connected"),
    )
    num_perm: int = setting(128, "permutations in a MinHash signature, at most 4096")
    bands: int | None = setting(
        None,
        "for sets too large to compare all pairs: bands of the signature, of which a pair must "
        "share one; else as many as find 99.5 % of the pairs at the threshold, 32 or more",
    )
    seed: int = setting(0, "of the permutations, as in datasketch")

    def __post_init__(self) -> None:
        check(self)

    @property
    def needs(self) -> tuple[str, ...]:
        """Measures of other steps that `judge` reads."""
        return (self.by,) if self.keep == "best" else ()

    @property
    def level(self) -> float:
        """The threshold, given or usual for the similarity."""
        return DEFAULTS[self.similarity] if self.threshold is None else self.threshold

    @property
    def rule(self) -> Rule:
        """How text is cut into shingles."""
        if self.shingle == "char":
            return Rule("char", self.size or CHARACTERS, floor=0)
        return Rule("word", self.size or WORDS, ADAPTIVE_FLOOR if self.shingle == "adaptive" else 0)

    def bind(self, read: Read) -> Filter:
        """With an index, the filter that knows it; raises `CurateError` if it does not fit."""
        return self if self.index is None else Indexed(self)

    def measure(self, records: pl.DataFrame) -> pl.DataFrame:
        """`shingles` (ascending 32-bit hashes), `key` (64 bits, equal for equal sets), `length`.

        Text too short for shingles has an empty set, and the `key` of its normal form; where
        there is no text at all the key is null. For ROUGE-L `tokens` (64-bit hashes in the order
        of the text) take the place of shingles, and the key is null without tokens. With `spare`
        there is a `group` too.

        Signatures follow from the shingles, faster than they could be stored and read again (128
        of 4 bytes are more than most shingle sets): see `signature_column`.
        """
        texts = view(records, self.field)
        columns = [*self._content(texts), lengths(records)]
        if self.spare == "same_prompt":
            columns.append(prompt_groups(records))
        return pl.DataFrame(columns)

    def _content(self, texts: pl.Series) -> tuple[pl.Series, pl.Series]:
        if self.similarity == "rouge_l":
            tokens = token_lists(texts, self.tokenizer, stem=self.stem)
            key = pl.Series("key", token_keys(tokens), dtype=pl.UInt64)
            return tokens, key.zip_with(tokens.list.len() > 0, _U64)
        parts = in_blocks(texts, lambda part: shingle_sets(part, self.rule))
        sets = joined(parts)
        key_of = np.concatenate([np.zeros(0, np.uint64), *in_threads(parts, set_keys)])
        return sets.column("shingles"), _with_short(
            pl.Series("key", key_of), texts, sets.sizes == 0
        )

    def judge(self, measures: pl.DataFrame) -> Judgement:
        """See `Filter.judge`."""
        judged = self._verdicts(measures)
        return Judgement(judged, self._findings(measures, judged))

    def _verdicts(self, measures: pl.DataFrame) -> pl.DataFrame:
        """A row goes only if its true similarity to a row that stays reaches the threshold.

        Its twin is the first such row in order of keeping. Of a row that goes for one of the
        index the twin is null; the evidence names that record's id and where it came from.
        """
        if self.index is not None:
            return Indexed(self).judge(measures).verdicts
        found = find(self, measures)
        return duplicate_verdicts(
            measures, "near_duplicate", found.twin[0], found.score[0], found.root
        )

    def _findings(self, measures: pl.DataFrame, judged: pl.DataFrame) -> Findings:
        """Table `clusters`; how many there are; how many rows would go at thresholds 0.05 away.

        The rows at other thresholds are decided, not estimated, in the same search.
        """
        if self.index is not None:
            return Indexed(self)._findings(measures, judged)
        return findings_of(self, measures, judged, find(self, measures))


def signature_column(step: Near, measures: pl.DataFrame) -> pl.Series:
    """The MinHash signature of each row, an array of `num_perm` 32-bit numbers.

    Equal to `datasketch.MinHash(num_perm, seed, hashfunc=shingle_hash).hashvalues` for the row's
    shingles; that of an empty set for text too short for them. `measures` may be a batch of an
    index. Raises `CurateError` for ROUGE-L, which has no shingles.
    """
    if "shingles" not in measures.columns:
        raise CurateError(f"near: similarity: {step.similarity} has no shingles, so no signatures")
    found = signatures(sets_of_column(measures["shingles"]), step.num_perm, step.seed)
    return pl.Series("signature", found, pl.Array(pl.UInt32, step.num_perm))


def _with_short(key: pl.Series, texts: pl.Series, is_short: npt.NDArray[np.bool_]) -> pl.Series:
    short = pl.Series(np.flatnonzero(is_short), dtype=pl.UInt32)
    words = texts.gather(short)
    found = pl.Series(keys(bare(words), normalise=True), dtype=pl.UInt64)
    is_blank = words.str.strip_chars() == ""
    return key.scatter(short, found.zip_with(~is_blank, _U64))
