"""What `near` can be asked: its settings, the checks between them, and what follows from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from curate.base.errors import CurateError
from curate.base.extras import require
from curate.base.settings import setting
from filters.common.shingles import Rule
from filters.common.text import Field
from filters.dedup.keep import (
    BY_HELP,
    KEEP_HELP,
    RECORD_SCORE,
    RENAMED,
    DuplicateFilter,
    Exempt,
    Keep,
)
from filters.dedup.near.rouge import Tokenizer
from filters.dedup.protect import KINDS, Kind

# Below eight words a change of any one word puts two sets of word 3-grams under 0.7, so comparing
# such texts exactly loses nothing, and keeps "5 + 3" apart from "5 - 3".
ADAPTIVE_FLOOR = 8
WORDS, CHARACTERS = 3, 5
DEFAULTS = {"jaccard": 0.6, "rouge_l": 0.7}
# Text that stands in so many rows is boilerplate: more than people have wordings of one example.
COMMON_ROWS = 5
# At 4,096 permutations a signature is 16 KB, more than most records; 128 to 256 is usual.
MOST_PERMUTATIONS = 4096

# What only one similarity reads, and the value that is not a wish.
_ONLY: Mapping[str, Mapping[str, Any]] = {
    "jaccard": {"shingle": "adaptive", "size": None},
    "rouge_l": {"tokenizer": "ascii", "stem": False, "strict": False},
}
# And that only one field reads.
_ONLY_RESPONSE = {"short": "both"}


@dataclass(frozen=True)
class NearSettings(DuplicateFilter):
    """The settings of `near`, checked before any data is read."""

    name: ClassVar[str] = "near"
    renamed: ClassVar[Mapping[str, str]] = RENAMED

    threshold: float | None = setting(
        None,
        "similarity (above 0 to 1) from which a record is dropped; none: 0.6 for jaccard (one word "
        "in twelve may be another), 0.7 for rouge_l",
        above=0,
        high=1,
    )
    similarity: Literal["jaccard", "rouge_l"] = setting(
        "jaccard",
        "of sets of shingles, or of token sequences (the rule of Self-Instruct and Alpaca)",
    )
    field: Field = setting(
        "both",
        "what is compared: the prompt, the response (see `short`), or both, which must both be "
        "alike; never the system prompt",
    )
    short: Literal["both", "alone"] = setting(
        "both",
        "field: response, for answers under 40 characters: the lesser of the answers' similarity "
        "and that of the whole rows counts, or the answers are compared alone",
    )
    protect: tuple[Kind, ...] | None = setting(
        None,
        "rows that differ in one of these are different, however similar: numbers, negations (and "
        "opposites), signs, code, case (where it is asked for), names, or in the whole prompt or "
        "answer (with any of these); none given: all for jaccard, none for rouge_l; []: "
        "similarity alone decides",
    )
    common_rows: int | None = setting(
        None,
        "text of 8 words or more that stands in at least so many rows, before or after words of "
        "their own, is not compared (a task definition, a wrapper); 0: all is; none: 5 for "
        "jaccard, 0 for rouge_l",
        low=0,
    )
    shingle: Literal["adaptive", "word", "char"] = setting(
        "adaptive",
        "jaccard: runs of words, of characters, or adaptive: of words, but text under 8 words "
        "exactly",
    )
    size: int | None = setting(
        None, "jaccard: words (else 3) or characters (else 5) in a shingle", low=1
    )
    tokenizer: Tokenizer = setting(
        "ascii",
        "rouge_l: tokens are runs of a-z and 0-9, as in rouge-score (other scripts have none, and "
        "are kept), or words of any script",
    )
    stem: bool = setting(False, "rouge_l: tokens over 3 characters by their Porter stem (nltk)")
    strict: bool = setting(False, "rouge_l: only similarity above the threshold, not at it")
    keep: Keep = setting("first", KEEP_HELP)
    by: str = setting(RECORD_SCORE, BY_HELP)
    exempt: Exempt = setting(
        "none",
        "rows that are no duplicates of each other: none, or those of the very same prompt "
        "(best-of-n answers)",
    )
    index: str | None = setting(
        None,
        "folder of what earlier runs curated: compared with, and added to; new if absent",
        path=True,
    )
    clusters: Literal["greedy", "connected"] = setting(
        "greedy",
        "what counts as one cluster: rows dropped for the same row, or all that a chain of "
        "similar rows links; which rows are kept is the same",
    )
    num_perm: int = setting(
        128, "permutations in a MinHash signature, at most 4096", low=1, high=MOST_PERMUTATIONS
    )
    bands: int | None = setting(
        None,
        "for sets too large to compare all pairs: bands of the signature, of which a pair must "
        "share one; else as many as find 99.5 % of the pairs at the threshold, 32 or more",
        low=1,
    )
    seed: int = setting(0, "of the permutations, as in datasketch", low=0, high=(1 << 32) - 1)

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_unread()
        if self.bands is not None and self.bands > self.num_perm:
            raise CurateError(
                f"near: bands is {self.bands}; expected at most num_perm ({self.num_perm})"
            )
        if self.strict and self.level >= 1:
            raise CurateError("near: threshold is 1.0 with strict: true, which no row is above")
        if self.index is not None and not self.index.strip():
            raise CurateError("near: index is an empty path; expected a folder")
        if self.stem:
            require("near: stem: true", "stem", "nltk")

    def _check_unread(self) -> None:
        for similarity, settings in _ONLY.items():
            for name, unset in settings.items():
                value = getattr(self, name)
                if self.similarity != similarity and value != unset:
                    raise CurateError(
                        f"near: {name} is {value!r}, which similarity: {self.similarity} does not "
                        f"read; leave it out or set similarity: {similarity}"
                    )

        for name, unset in _ONLY_RESPONSE.items():
            value = getattr(self, name)
            if self.field != "response" and value != unset:
                raise CurateError(
                    f"near: {name} is {value!r}, which field: {self.field} does not read; leave it "
                    "out or set field: response"
                )
        if self.similarity == "rouge_l" and self.common_rows:
            raise CurateError(
                f"near: common_rows is {self.common_rows}, which similarity: rouge_l does not "
                "read; leave it out or set similarity: jaccard"
            )

    @property
    def protected(self) -> tuple[Kind, ...]:
        """What no two duplicates differ in, given or usual for the similarity."""
        usual = KINDS if self.similarity == "jaccard" else ()
        return usual if self.protect is None else tuple(k for k in KINDS if k in self.protect)

    @property
    def boilerplate_rows(self) -> int:
        """Rows in which text is boilerplate, given or usual for the similarity; 0: none is."""
        usual = COMMON_ROWS if self.similarity == "jaccard" else 0
        return usual if self.common_rows is None else self.common_rows

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
