"""The same conversation twice: byte for byte, or after differences of mere writing are removed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import polars as pl

from curate.base.contract import Judgement
from curate.base.errors import CurateError
from curate.base.settings import setting
from filters.common.arrays import Ints
from filters.common.text import Field, content, keys
from filters.dedup.keep import (
    BY_HELP,
    EXEMPTED,
    KEEP_HELP,
    RECORD_SCORE,
    RENAMED,
    VIEWS,
    DuplicateFilter,
    Exempt,
    Keep,
    cluster_findings,
    duplicate_verdicts,
    first_of_equal,
    prompt_groups,
)


@dataclass(frozen=True)
class Exact(DuplicateFilter):
    """Drops records that repeat another one, and names the one that is kept.

    >>> Exact(normalise=False)
    Exact(field='both', normalise=False, keep='first', by='record.score', exempt='none')
    """

    name: ClassVar[str] = "exact"
    reasons: ClassVar[Mapping[str, str]] = {
        "exact_duplicate": "Says the same, to the letter, as a record that is kept.",
    }
    reads: ClassVar[tuple[str, ...]] = ("id", "messages", "tools")
    cached: ClassVar[bool] = True
    measured_by: ClassVar[tuple[str, ...]] = ("field", "normalise", "exempt", "with_length")
    renamed: ClassVar[Mapping[str, str]] = RENAMED

    field: Field = setting(
        "both",
        "what must be equal: the prompt, the response (under 40 characters only together with "
        "its prompt), or both, the whole conversation",
    )
    normalise: bool = setting(
        True,
        "ignore case, white space, Unicode forms, and sentence marks and quotes at message ends",
    )
    keep: Keep = setting("first", KEEP_HELP)
    by: str = setting(RECORD_SCORE, BY_HELP)
    exempt: Exempt = setting(
        "none",
        "for field: response, rows that are no duplicates of each other: none, or those of the "
        "very same prompt (best-of-n answers)",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.exempt != "none" and self.field != "response":
            raise CurateError(
                f"exact: exempt is {self.exempt!r}, but rows equal by field: {self.field} have "
                "the same prompt anyway, so none would be dropped; set field: response or leave "
                "exempt out"
            )

    def measure(self, records: pl.DataFrame) -> pl.DataFrame:
        """`key`, 64 bits, equal for equal records.

        With `keep: longest` also `length` in characters; with `exempt` also `group`, equal for
        rows of the same prompt.
        """
        if self.field == "both" and not self.normalise:
            key = records["id"].str.to_integer(base=16, dtype=pl.UInt64)
        else:
            texts = content(records, self.field, normalise=self.normalise)
            key = pl.Series(keys(texts, normalise=self.normalise), dtype=pl.UInt64)
        columns = [key.alias("key"), *self.lengths(records)]
        if self.exempt == "same_prompt":
            columns.append(prompt_groups(records))
        return pl.DataFrame(columns)

    def judge(self, measures: pl.DataFrame) -> Judgement:
        """Of the rows with one key all but the first in order of keeping are dropped, with score 1.

        Findings: what was compared, how many groups of equals there are, the table `clusters`.
        """
        kept = self._kept_instead(measures)
        duplicate_of = np.where(kept == np.arange(len(kept)), -1, kept)
        verdicts = duplicate_verdicts(
            measures, "exact_duplicate", duplicate_of, np.ones(len(kept)), kept
        )
        how = "" if self.normalise else ", byte for byte"
        more = (EXEMPTED,) if self.exempt == "same_prompt" else ()
        view = f"compared {VIEWS[self.field]}{how}"
        return Judgement(verdicts, cluster_findings(view, measures, kept, verdicts, {}, more))

    def _kept_instead(self, measures: pl.DataFrame) -> Ints:
        """For each row the position of the one that is kept instead, or its own."""
        kept = first_of_equal(measures["key"].to_numpy(), self.order(measures))
        if self.exempt == "same_prompt":
            group = measures["group"]
            is_same = (group == group.gather(kept)).fill_null(False).to_numpy()
            kept = np.where(is_same, np.arange(len(kept)), kept)
        return kept
