"""The same conversation twice: byte for byte, or after differences of mere writing are removed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import polars as pl

from curate.schema import setting
from filters.near_keep import (
    RECORD_SCORE,
    check_choice,
    check_keep,
    duplicate_verdicts,
    first_of_equal,
    keep_order,
    lengths,
)
from filters.text import content, keys

FIELDS = ("prompt", "response", "both")


@dataclass(frozen=True)
class Exact:
    """Drops records that repeat another one, and names the one that stays.

    >>> Exact(normalise=False)
    Exact(field='both', normalise=False, keep='first', by='record.score')
    """

    name: ClassVar[str] = "exact"
    reasons: ClassVar[Mapping[str, str]] = {
        "exact_duplicate": "Says the same, to the letter, as a record that stays.",
    }
    version: ClassVar[int] = 1
    cached: ClassVar[bool] = True
    measured_by: ClassVar[tuple[str, ...]] = ("field", "normalise")

    field: Literal["prompt", "response", "both"] = setting(
        "both",
        "what must be equal: the prompt, the response (under 40 characters only together with "
        "its prompt), or both, the whole conversation",
        choices=FIELDS,
    )
    normalise: bool = setting(
        True,
        "ignore case, white space, Unicode forms, and sentence marks and quotes at message ends",
    )
    keep: Literal["first", "longest", "best"] = setting(
        "first",
        "which row stays: the first of the input, the longest, or the best by a score",
        choices=("first", "longest", "best"),
    )
    by: str = setting(RECORD_SCORE, "for keep: best, the measure that is best when highest")

    def __post_init__(self) -> None:
        check_choice(self.name, "field", self.field, FIELDS)
        check_keep(self.name, self.keep, self.by)

    @property
    def needs(self) -> tuple[str, ...]:
        """Measures of other steps that `judge` reads."""
        return (self.by,) if self.keep == "best" else ()

    def measure(self, records: pl.DataFrame) -> pl.DataFrame:
        """`key`, 64 bits, equal for equal records, and `length` in characters."""
        if self.field == "both" and not self.normalise:
            key = records["id"].str.to_integer(base=16, dtype=pl.UInt64)
        else:
            texts = content(records, self.field, normalise=self.normalise)
            key = pl.Series(keys(texts, normalise=self.normalise), dtype=pl.UInt64)
        return pl.DataFrame([key.alias("key"), lengths(records)])

    def judge(self, measures: pl.DataFrame) -> pl.DataFrame:
        """Of the rows with one key all but the first in order of keeping go, with score 1."""
        order = keep_order(measures, self.keep, self.by, self.name)
        stays = first_of_equal(measures["key"].to_numpy(), order)
        twin = np.where(stays == np.arange(len(stays)), -1, stays)
        return duplicate_verdicts(measures, "exact_duplicate", twin, np.ones(len(twin)), stays)
