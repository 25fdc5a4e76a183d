"""The same conversation twice: byte for byte, or after differences of mere writing are removed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import polars as pl

from curate.base.contract import Filter, Findings, Judgement
from curate.base.errors import CurateError
from curate.base.settings import setting
from filters.common.text import content, keys
from filters.dedup.clusters import cluster_findings, cluster_table
from filters.dedup.keep import (
    FIELDS,
    I64,
    RECORD_SCORE,
    SPARE,
    SPARED,
    VIEWS,
    check_choice,
    check_keep,
    duplicate_verdicts,
    first_of_equal,
    keep_order,
    lengths,
    prompt_groups,
)

__all__ = ("FIELDS", "Exact")


@dataclass(frozen=True)
class Exact(Filter):
    """Drops records that repeat another one, and names the one that stays.

    >>> Exact(normalise=False)
    Exact(field='both', normalise=False, keep='first', by='record.score', spare='none')
    """

    name: ClassVar[str] = "exact"
    reasons: ClassVar[Mapping[str, str]] = {
        "exact_duplicate": "Says the same, to the letter, as a record that stays.",
    }
    version: ClassVar[int] = 1
    cached: ClassVar[bool] = True
    measured_by: ClassVar[tuple[str, ...]] = ("field", "normalise", "spare")

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

    spare: Literal["none", "same_prompt"] = setting(
        "none",
        "for field: response, rows that are no duplicates of each other: none, or those of the "
        "very same prompt (best-of-n answers)",
        choices=SPARE,
    )

    def __post_init__(self) -> None:
        check_choice(self.name, "field", self.field, FIELDS)
        check_keep(self.name, self.keep, self.by)
        check_choice(self.name, "spare", self.spare, SPARE)
        if self.spare != "none" and self.field != "response":
            raise CurateError(
                f"exact: spare is {self.spare!r}, but rows equal by field: {self.field} have the "
                "same prompt anyway, so none would go; set field: response or leave spare out"
            )

    @property
    def needs(self) -> tuple[str, ...]:
        """Measures of other steps that `judge` reads."""
        return (self.by,) if self.keep == "best" else ()

    def measure(self, records: pl.DataFrame) -> pl.DataFrame:
        """`key`, 64 bits, equal for equal records, and `length` in characters.

        With `spare` also `group`, equal for rows of the same prompt.
        """
        if self.field == "both" and not self.normalise:
            key = records["id"].str.to_integer(base=16, dtype=pl.UInt64)
        else:
            texts = content(records, self.field, normalise=self.normalise)
            key = pl.Series(keys(texts, normalise=self.normalise), dtype=pl.UInt64)
        columns = [key.alias("key"), lengths(records)]
        if self.spare == "same_prompt":
            columns.append(prompt_groups(records))
        return pl.DataFrame(columns)

    def judge(self, measures: pl.DataFrame) -> Judgement:
        """See `Filter.judge`."""
        judged = self._verdicts(measures)
        return Judgement(judged, self._findings(measures, judged))

    def _verdicts(self, measures: pl.DataFrame) -> pl.DataFrame:
        """Of the rows with one key all but the first in order of keeping go, with score 1."""
        stays = self._stays(measures)
        twin = np.where(stays == np.arange(len(stays)), -1, stays)
        return duplicate_verdicts(measures, "exact_duplicate", twin, np.ones(len(twin)), stays)

    def _findings(self, measures: pl.DataFrame, judged: pl.DataFrame) -> Findings:
        """Table `clusters`, what was compared, and how many groups of equals there are."""
        how = "" if self.normalise else ", byte for byte"
        more = (SPARED,) if self.spare == "same_prompt" else ()
        clusters = cluster_table(measures, self._stays(measures), judged)
        dropped = int((~judged["keep"]).sum())
        return cluster_findings(f"compared {VIEWS[self.field]}{how}", clusters, dropped, {}, more)

    def _stays(self, measures: pl.DataFrame) -> I64:
        """For each row the position of the one that stays instead, or its own."""
        order = keep_order(measures, self.keep, self.by, self.name)
        stays = first_of_equal(measures["key"].to_numpy(), order)
        if self.spare == "same_prompt":
            group = measures["group"]
            is_same = (group == group.gather(stays)).fill_null(False).to_numpy()
            stays = np.where(is_same, np.arange(len(stays)), stays)
        return stays
