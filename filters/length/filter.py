"""Response length: limits, and calibration of how lengths are distributed.

A model trained on answers of one length answers at that length, whatever is asked. `cap` takes
the edge off such a set, `match` gives it the lengths of another, `trim` drops what is out of
proportion for its kind of request. What the lengths say is in `filters.length.report`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, Literal

import polars as pl

from curate.base.contract import Filter, Findings, Judgement
from curate.base.errors import CurateError
from curate.base.settings import setting
from filters.common.tasks import tasks
from filters.common.units import check_tokenizer, finished, lengths, tokenizer_state
from filters.length import actions
from filters.length.findings import findings
from filters.length.reference import read_reference, reference_file

# Which settings each action reads; one that is set for another action is a mistake.
READS: Mapping[str, tuple[str, ...]] = {
    "limit": ("min", "max"),
    "trim": ("fence",),
    "cap": ("tau", "by", "keep_each"),
    "match": ("min", "max", "quantiles", "reference", "tolerance", "by", "keep_each"),
    "report": (),
}
_ALWAYS = ("action", "unit", "of", "tokenizer", "seed")


@dataclass(frozen=True)
class Length(Filter):
    """Judge records by the length of their answers.

    `limit` drops answers under `min` or over `max`. `trim` drops outliers of each kind of
    request (first word, with or without input, asked length); answers to prompts that ask for a
    length are exempt. `cap` drops the lowest-scored rows of the densest +-10 % window until no
    more than `tau` of the rows lie in one; a `tau` that these lengths do not allow is an error
    that says so, and without `tau` such a set, or one under 20 rows, is left as it is. `match`
    keeps as many rows as possible within `tolerance` of a target: a `reference` file,
    `quantiles`, or uniform in log length from `min` to `max`; a target out of reach is an error.
    `report` only measures. All leave a set alone that needs nothing, and what they kept a second
    time; the order of the rows changes nothing.

    >>> Length(max=500)
    Length(action='limit', unit='words', of='response', min=1, max=500)
    """

    name: ClassVar[str] = "length"
    reasons: ClassVar[Mapping[str, str]] = {
        "too_short": "the answer is shorter than the least length",
        "too_long": "the answer is longer than the greatest length",
        "short_for_task": "the answer is far shorter than others to this kind of request",
        "long_for_task": "the answer is far longer than others to this kind of request",
        "crowded_length": "too many answers have about this length, and this one scored lowest",
        "over_represented": "answers of this length are more common here than in the target",
    }
    per_row: ClassVar[bool] = False
    measured_by: ClassVar[tuple[str, ...]] = ("unit", "of", "tokenizer", "fingerprint")
    version: ClassVar[int] = 1

    action: Literal["limit", "trim", "cap", "match", "report"] = setting(
        "limit", "what to do with lengths", choices=tuple(READS)
    )
    unit: Literal["words", "chars", "tokens"] = setting(
        "words",
        "words (a Chinese character or kana is one), characters, or tokens with the end token",
        choices=("words", "chars", "tokens"),
    )
    of: Literal["response", "turn", "prompt"] = setting(
        "response",
        "whose length: all answers of a record, the average assistant turn, or the prompt",
        choices=("response", "turn", "prompt"),
    )
    tokenizer: str | None = setting(
        None, "tokenizer.json, or its folder, for unit tokens", path=True
    )
    min: int = setting(1, "limit: least length; match: where a uniform target begins")
    max: int | None = setting(None, "limit: greatest length; match: where a uniform target ends")
    fence: float = setting(3.0, "trim: interquartile ranges of log length beyond the quartiles")
    tau: float | None = setting(
        None, "cap: greatest share of rows within 10 % of one length; none: 0.2 where possible"
    )
    by: str | None = setting(
        None,
        "cap, match: column whose highest stay, such as reward.verdict; none: record.score for cap,"
        " a draw for match",
    )
    quantiles: tuple[int, ...] = setting(
        (), "match: lengths at equally spaced probabilities from 0 to 1, such as [5, 60, 800]"
    )
    reference: str | None = setting(
        None, "match: file of lengths, or kept.jsonl of another run, or that run", path=True
    )
    tolerance: float = setting(0.05, "match: greatest distance (KS) to the target, 0 to 1")
    keep_each: int = setting(5, "cap, match: rows that each kind of request keeps at least")
    seed: int = setting(0, "match: seed of the draw")

    def __repr__(self) -> str:
        read = ("action", "unit", "of", *READS[self.action])
        read += ("tokenizer",) * (self.tokenizer is not None)
        read += ("seed",) * (self.action == "match")
        shown = [(name, getattr(self, name)) for name in read]
        told = [f"{name}={value!r}" for name, value in shown if value is not None and value != ()]
        return f"Length({', '.join(told)})"

    def __post_init__(self) -> None:
        if self.action not in READS:
            raise CurateError(f"length: action is {self.action!r}; expected {', '.join(READS)}")
        self._check_read()
        check_tokenizer(self.name, "unit", self.unit, self.tokenizer)
        self._check_ranges()
        if self.action == "match":
            self._check_target()

    @property
    def needs(self) -> tuple[str, ...]:
        """The measured column that decides which rows `cap` drops first."""
        return (self.by,) if self.by else ()

    @property
    def cached(self) -> bool:
        """Counting words costs no more than looking them up; tokens do."""
        return self.unit == "tokens"

    @property
    def fingerprint(self) -> tuple[int, int] | None:
        """Of the tokenizer's file."""
        return tokenizer_state(self.tokenizer)

    def measure(self, records: pl.DataFrame) -> pl.DataFrame:
        """`length` (u32), `task`, `has_input`, `asks` (see `length_tasks`) and `finished`."""
        length = lengths(records, self.unit, self.of, self.tokenizer)
        return tasks(records).insert_column(0, length).with_columns(finished(records))

    def judge(self, measures: pl.DataFrame) -> Judgement:
        """See `Filter.judge`."""
        judged = self._verdicts(measures)
        return Judgement(judged, self._findings(measures, judged))

    def _verdicts(self, measures: pl.DataFrame) -> pl.DataFrame:
        if not measures.height or self.action == "report":
            return actions.keep_all(measures)
        if self.action == "limit":
            return actions.keep_between(measures, self.unit, self.min, self.max)
        if self.action == "trim":
            return actions.keep_inside_fences(measures, self.unit, self.fence)
        if self.action == "cap":
            by = self.by or "record.score"
            return actions.keep_under_cap(measures, self.unit, self.tau, by, self.keep_each)
        return actions.keep_matching(measures, self.unit, self._matching(measures), self.tolerance)

    def _findings(self, measures: pl.DataFrame, judged: pl.DataFrame) -> Findings:
        """The diagnosis before and after in sentences and numbers (see `length_findings`)."""
        target = self._matching(measures) if self.action == "match" and measures.height else None
        found = findings(measures, judged, self.unit, self.seed, target)
        limits = {"min": self.min, "max": self.max} if self.action == "limit" else {}
        thresholds = {name: limit for name, limit in limits.items() if limit is not None}
        more = {"of": self.of, "thresholds": thresholds}
        return dataclasses.replace(found, numbers={**found.numbers, **more})

    def _matching(self, measures: pl.DataFrame) -> actions.Matching:
        return actions.matching(
            measures, self._target(), self.tolerance, self.by, self.keep_each, self.seed
        )

    def _target(self) -> pl.DataFrame | tuple[int, ...]:
        if self.reference is not None:
            return read_reference(self.reference, self.measure)
        return self.quantiles or (self.min, self.max or self.min)

    def _check_read(self) -> None:
        for field in dataclasses.fields(self):
            unread = field.name not in (*READS[self.action], *_ALWAYS)
            if unread and getattr(self, field.name) != field.default:
                users = [action for action, read in READS.items() if field.name in read]
                raise CurateError(
                    f"length: {field.name} is for action {' or '.join(users)}, and this step's"
                    f" action is {self.action}; set action, or leave {field.name} out"
                )

    def _check_ranges(self) -> None:
        if self.min < 0 or (self.max is not None and self.max < self.min):
            raise CurateError(
                f"length: min is {self.min} and max is {self.max}; expected 0 <= min <= max"
            )
        if self.tau is not None and not 0.0 < self.tau <= 1.0:
            raise CurateError(f"length: tau is {self.tau:g}; expected a share above 0, at most 1")
        if not 0.0 < self.tolerance <= 1.0:
            raise CurateError(
                f"length: tolerance is {self.tolerance:g}; expected above 0, at most 1"
            )
        if not self.fence > 0.0:
            raise CurateError(f"length: fence is {self.fence:g}; expected a number above 0")
        if self.keep_each < 0:
            raise CurateError(f"length: keep_each is {self.keep_each}; expected 0 or more")

    def _check_target(self) -> None:
        given = (self.reference is not None, bool(self.quantiles), self.max is not None)
        if sum(given) != 1:
            raise CurateError(
                "length: match needs one target: reference (a file), quantiles, or max (uniform"
                f" in log length from min); got {sum(given)} of them"
            )
        if self.max is None and self.min != 1:
            raise CurateError("length: for match, min goes with max (a uniform target)")
        points = self.quantiles
        rising = all(low < high for low, high in pairwise(points))
        if points and (len(points) < 2 or points[0] < 0 or not rising):
            raise CurateError(
                f"length: quantiles are {list(points)}; expected two or more lengths that rise"
            )
        if self.reference is not None:
            reference_file(self.reference)
