"""Response length: limits, and calibration of how lengths are distributed.

A model trained on answers of one length answers at that length, whatever is asked. `cap` takes
the edge off such a set, `match` gives it the lengths of another, `trim` drops answers that are out
of proportion for their task group. `filters.length.report` measures the lengths of a set.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, Literal

import polars as pl

from curate.base.contract import Judgement
from curate.base.errors import CurateError
from curate.base.settings import setting
from filters.common.conditional import check_read, shown
from filters.common.tasks import tasks
from filters.common.units import CountsTokens, finished, lengths
from filters.length import actions
from filters.length.findings import findings
from filters.length.reference import read_reference, reference_file


@dataclass(frozen=True)
class Length(CountsTokens):
    """Judge records by the length of their answers.

    `limit` drops answers under `min` or over `max`. `trim` drops outliers of each task group
    (first word, with or without input, asked length); answers to prompts that ask for a length
    are exempt. `cap` drops the lowest-scored rows of the densest +-10 % window until no window
    holds more than `max_share` of the rows; under nine units, where 10 % is nothing, it drops none
    and says so. A `max_share` that these lengths do not allow is an
    error that says so; without `max_share` such a set, or one under 20 rows, is left as it is.
    `match` keeps as many rows as possible within `tolerance` of a target: a `reference` file,
    `quantiles`, or uniform in log length from `min` to `max`; a target out of reach is an error.
    `report` only measures. Each leaves a set alone that needs nothing, and so drops nothing when
    it is applied again to what it kept; the order of the rows changes nothing.

    >>> Length(max=500)
    Length(action='limit', unit='words', of='response', min=1, max=500)
    """

    name: ClassVar[str] = "length"
    reasons: ClassVar[Mapping[str, str]] = {
        "too_short": "the answer is shorter than the least length",
        "too_long": "the answer is longer than the greatest length",
        "short_for_task": "the answer is far shorter than others of its task group",
        "long_for_task": "the answer is far longer than others of its task group",
        "crowded_length": "too many answers have about this length, and this one scored lowest",
        "over_represented": "answers of this length are more common here than in the target",
    }
    measured_by: ClassVar[tuple[str, ...]] = ("unit", "of", "tokenizer", "fingerprint")
    version: ClassVar[int] = 2
    renamed: ClassVar[Mapping[str, str]] = {
        "fence": "iqr_factor",
        "tau": "max_share",
        "keep_each": "min_per_group",
    }

    action: Literal["limit", "trim", "cap", "match", "report"] = setting(
        "limit", "what to do with lengths"
    )
    unit: Literal["words", "chars", "tokens"] = setting(
        "words",
        "words (a Chinese character or kana is one), characters, or tokens with the end token",
    )
    of: Literal["response", "turn", "prompt"] = setting(
        "response",
        "whose length: all answers of a record, the average assistant turn, or the prompt",
    )
    tokenizer: str | None = setting(
        None, "tokenizer.json, or its folder, for unit tokens", path=True
    )
    min: int = setting(
        1,
        "limit: least length; match: where a uniform target begins",
        low=0,
        only=("limit", "match"),
    )
    max: int | None = setting(
        None,
        "limit: greatest length; match: where a uniform target ends",
        low=0,
        only=("limit", "match"),
    )
    iqr_factor: float = setting(
        3.0,
        "trim: interquartile ranges of log length, beyond the quartiles, that are allowed",
        above=0,
        only=("trim",),
    )
    max_share: float | None = setting(
        None,
        "cap: greatest share of rows within 10 % of one length; none: 0.2 where possible",
        above=0,
        high=1,
        only=("cap",),
    )
    by: str | None = setting(
        None,
        "cap, match: column whose highest rows are kept, such as reward.verdict; none: record.score"
        " for cap, a draw for match",
        only=("cap", "match"),
    )
    quantiles: tuple[int, ...] = setting(
        (),
        "match: lengths at equally spaced probabilities from 0 to 1, such as [5, 60, 800]",
        only=("match",),
    )
    reference: str | None = setting(
        None,
        "match: file of lengths, or another run, or its kept.jsonl",
        path=True,
        only=("match",),
    )
    tolerance: float = setting(
        0.05,
        "match: greatest distance (KS) to the target, 0 to 1",
        above=0,
        high=1,
        only=("match",),
    )
    min_per_group: int = setting(
        5,
        "cap, match: rows of each task group that are kept in any case",
        low=0,
        only=("cap", "match"),
    )
    seed: int = setting(0, "match: seed of the draw", low=0, only=("match",))

    def __repr__(self) -> str:
        return shown(self, "action")

    def __post_init__(self) -> None:
        super().__post_init__()
        check_read(self, self.name, "action")
        if self.max is not None and self.max < self.min:
            raise CurateError(f"length: max is {self.max}; expected no less than min ({self.min})")
        if self.action == "match":
            self._check_target()

    @property
    def reads(self) -> tuple[str, ...]:
        """The messages, and the text whose length is measured."""
        return ("messages", "prompt" if self.of == "prompt" else "response")

    @property
    def needs(self) -> tuple[str, ...]:
        """The measured column that decides which rows `cap` drops first."""
        return (self.by,) if self.by else ()

    def measure(self, records: pl.DataFrame) -> pl.DataFrame:
        """`length` (u32), `task`, `has_input`, `asks` (see `filters.common.tasks`), `finished`."""
        length = lengths(records, self.unit, self.of, self.tokenizer)
        return tasks(records).insert_column(0, length).with_columns(finished(records))

    def judge(self, measures: pl.DataFrame) -> Judgement:
        """The verdicts, and the diagnosis before and after (see `filters.length.findings`)."""
        target = self._matching(measures) if self.action == "match" and measures.height else None
        verdicts = self._verdicts(measures, target)
        most = self.max_share or actions.USUAL_MAX_SHARE
        cap = most if self.action == "cap" else None
        found = findings(measures, verdicts, self.unit, self.seed, target, cap, self.of)
        limits = {"min": self.min, "max": self.max} if self.action == "limit" else {}
        thresholds = {name: limit for name, limit in limits.items() if limit is not None}
        numbers = {**found.numbers, "of": self.of, "thresholds": thresholds}
        sentences = (*found.sentences, *(self.counted if self.of != "prompt" else ()))
        return Judgement(verdicts, dataclasses.replace(found, sentences=sentences, numbers=numbers))

    def _verdicts(self, measures: pl.DataFrame, target: actions.Matching | None) -> pl.DataFrame:
        if target is not None:
            return actions.keep_matching(measures, self.unit, target, self.tolerance)
        if not measures.height or self.action == "report":
            return actions.keep_all(measures)
        if self.action == "limit":
            return actions.keep_between(measures, self.unit, self.min, self.max)
        if self.action == "trim":
            return actions.keep_inside_fences(measures, self.unit, self.iqr_factor)
        by = self.by or "record.score"
        return actions.keep_under_cap(measures, self.unit, self.max_share, by, self.min_per_group)

    def _matching(self, measures: pl.DataFrame) -> actions.Matching:
        return actions.matching(
            measures, self._target(), self.tolerance, self.by, self.min_per_group, self.seed
        )

    def _target(self) -> pl.DataFrame | tuple[int, ...]:
        if self.reference is not None:
            return read_reference(self.reference, self.measure)
        return self.quantiles or (self.min, self.max or self.min)

    def _check_target(self) -> None:
        given = (self.reference is not None, bool(self.quantiles), self.max is not None)
        if sum(given) != 1:
            raise CurateError(
                "length: match needs one target: reference (a file), quantiles, or max (uniform"
                f" in log length from min); got {sum(given)} of them"
            )
        if self.max is None and self.min != 1:
            raise CurateError(
                "length: min is read only with max (a uniform target), and max is not given"
            )
        points = self.quantiles
        rising = all(low < high for low, high in pairwise(points))
        if points and (len(points) < 2 or points[0] < 0 or not rising):
            raise CurateError(
                f"length: quantiles are {list(points)}; expected two or more lengths that rise"
            )
        if self.reference is not None:
            reference_file(self.reference)
