"""What a filter and a fix are: the methods the runner calls, and what they give back.

A filter of one's own is a frozen dataclass that extends `Filter`:

>>> from dataclasses import dataclass
>>> from curate.base.settings import setting
>>> @dataclass(frozen=True)
... class NoShouting(Filter):
...     name = "no_shouting"
...     reasons = {"shouting": "Most letters of the answer are capitals."}
...     max_share: float = setting(0.5, "largest share of capitals")
...     def measure(self, records):
...         capitals = pl.col("response").str.count_matches("[A-Z]")
...         return records.select(share=capitals / pl.col("response").str.len_chars())
...     def judge(self, measures):
...         keep = measures["share"].fill_nan(0) <= self.max_share
...         return Judgement.of(keep, reason="shouting", score=measures["share"])
>>> rows = pl.DataFrame({"response": ["Yes.", "NO SHOUTING"]})
>>> NoShouting().judge(NoShouting().measure(rows)).verdicts["keep"].to_list()
[True, False]
"""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, ClassVar, Protocol, Self

import polars as pl

from curate.base.errors import CurateError
from curate.base.log import Log
from curate.base.settings import check_settings

VERDICTS = pl.Schema(
    {
        "keep": pl.Boolean,
        "reason": pl.String,
        "score": pl.Float64,
        "duplicate_of": pl.UInt32,
        "evidence": pl.String,
    }
)


class Read(Protocol):
    """Reads evaluation files, folders or globs: benchmarks as published, and training formats.

    Gives Records with `prompt` and `response`, and three more columns: `context`, the passage that
    a question is about (or ""), `other_prompts`, the same question in other words, and `choices`,
    what there is to choose from. A record has a message of the assistant for each answer that
    counts as right; it may have none. `columns` names the fields that hold the `prompt` and the
    `answer` where no shape is known. Raises `CurateError`.
    """

    def __call__(
        self, paths: Sequence[str], columns: Mapping[str, str] | None = None
    ) -> pl.DataFrame: ...


@dataclasses.dataclass(frozen=True)
class Estimate:
    """What it would take to ask about some rows.

    Of `rows` rows `questions` questions would be asked; `known` more were answered before.
    `tokens_in` are about what they hold, `tokens_out` the most that the answers may have, `cost` in
    dollars (None: no prices were given). `nobody` rows have no score and nobody is named to ask.
    """

    rows: int = 0
    known: int = 0
    questions: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    cost: float | None = None
    nobody: int = 0

    def __add__(self, other: Estimate) -> Estimate:
        """The estimate for the rows of both."""
        costs = [cost for cost in (self.cost, other.cost) if cost is not None]
        return Estimate(
            self.rows + other.rows,
            self.known + other.known,
            self.questions + other.questions,
            self.tokens_in + other.tokens_in,
            self.tokens_out + other.tokens_out,
            sum(costs) if costs else None,
            self.nobody + other.nobody,
        )


@dataclasses.dataclass(frozen=True)
class Findings:
    """What a step says about the set as a whole, beside its verdicts.

    `sentences` are for people (terminal and report), `numbers` (what JSON holds) for machines;
    both stand with the step in the manifest. Each table becomes `STEP.NAME.parquet` in the run.
    """

    sentences: tuple[str, ...] = ()
    numbers: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    tables: Mapping[str, pl.DataFrame] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Judgement:
    """What `judge` gives back: `VERDICTS`, one line a row, and findings about the whole set.

    In `verdicts`, `keep` is never null; a row that is dropped has a `reason` (a slug of `reasons`),
    a kept one none. `score` is what was compared with a threshold, `duplicate_of` the `row` of the
    kept row that this one repeats, `evidence` what a person needs to see why. `from_text` (Boolean,
    a line a row; none: no row) marks the rows whose evidence `Filter.evidence` makes of their text,
    `quoted` (likewise) the few rows with whose text `Filter.quote` completes the findings.
    """

    verdicts: pl.DataFrame
    findings: Findings = Findings()
    from_text: pl.Series | None = None
    quoted: pl.Series | None = None
    raw: pl.Series | None = None

    @classmethod
    def of(
        cls,
        keep: Any,
        reason: Any = None,
        score: Any = None,
        duplicate_of: Any = None,
        evidence: Any = None,
        findings: Findings | None = None,
        from_text: Any = None,
        quoted: Any = None,
        raw: Any = None,
    ) -> Self:
        """A judgement from columns (arrays, lists or Series); None means all null.

        A `reason` that is one text is the reason of every drop.

        >>> Judgement.of([True, False], reason="empty").verdicts["reason"].to_list()
        [None, 'empty']
        """
        columns = verdicts(keep, reason, score, duplicate_of, evidence)
        more = (
            None if given is None else pl.Series(name, given, kind)
            for name, given, kind in (
                ("from_text", from_text, pl.Boolean),
                ("quoted", quoted, pl.Boolean),
                ("raw", raw, pl.Float64),
            )
        )
        return cls(columns, findings or Findings(), *more)


class BrokenContract(CurateError, AssertionError):
    """A filter or fix gave back what it must not: a wrong number of rows, a drop without reason."""


def hold(condition: bool, name: str, what: str) -> None:
    """Raise `BrokenContract`, which names the step, unless the condition holds."""
    if not condition:
        raise BrokenContract(f"step {name!r} breaks the contract of a filter: {what}")


class _Configured(ABC):
    """What filters and fixes have in common: a name, reasons, and settings that are checked."""

    name: ClassVar[str]
    # Every reason slug that a verdict (of a fix: `edited`) can give, with one sentence for the
    # docs and the report.
    reasons: ClassVar[Mapping[str, str]]
    # Former names of settings and their present ones, for the error that a former one is.
    renamed: ClassVar[Mapping[str, str]] = {}

    def __post_init__(self) -> None:
        check_settings(self, self.name)


class Filter(_Configured):
    """Judges records; never edits them, reads files or prints.

    An implementation is a frozen dataclass; its fields are its parameters, declared with
    `setting` and checked before any data is read. All that stands here with a value is optional.
    A step is used again and again, also in other processes: `measure` and `judge` change nothing.
    """

    # Counts up when `measure` changes: measures of an older version are not taken from the cache.
    version: ClassVar[int] = 1
    # The settings that change what `measure` gives; with them measures are kept between runs.
    measured_by: ClassVar[Sequence[str]] = ()

    @property
    def reads(self) -> Sequence[str] | None:
        """Columns of a record that `measure` and `evidence` look at; None: all.

        The others are not sent to workers, and `prompt` and `response` are only made where a
        step reads them."""
        return None

    @property
    def per_row(self) -> bool:
        """Whether `measure` loops over rows, so that processes are worth their start."""
        return False

    @property
    def cached(self) -> bool:
        """Whether measures are worth keeping between runs: they cost more than reading them."""
        return False

    @property
    def asks(self) -> bool:
        """Whether `measure` asks a model and keeps the answers itself (see `asking`).

        Nobody else keeps what it measures then: what failed is asked again in the next run.
        """
        return False

    @property
    def rows_at_once(self) -> int | None:
        """How many rows `measure` gets at a time; None: as many as the runner likes.

        For a step that takes seconds for a row: so often it is said how far it is."""
        return None

    @property
    def needs(self) -> Sequence[str]:
        """Columns that `judge` reads of earlier steps (`reward.score`) or the record."""
        return ()

    @property
    def may_need(self) -> Sequence[str]:
        """Columns of earlier steps that `judge` reads where they were measured, and does without
        where not."""
        return ()

    @property
    def remembers_in(self) -> str | None:
        """The folder in which `remember` keeps something; two steps may not share one."""
        return None

    @abstractmethod
    def measure(self, records: pl.DataFrame) -> pl.DataFrame:
        """Numbers about each record: same height and order, narrow columns, no view of other rows.

        `records` has the columns of `RECORDS` plus `prompt` and `response` (see `with_text`), or
        those of them that `reads` names: all rows that earlier steps kept, or any part of them.
        Texts are never null. Names are the filter's own; later steps see `STEP.NAME` of all that
        is no list. Equal records must give equal numbers, whatever stands beside them.

        The measures of all rows are in memory at once, so they are codes: numbers, Booleans, sets
        of bits (u64), `pl.Enum` for names that are known beforehand, `pl.Categorical` for a few
        names that are not. Text is none: a null of `pl.String` takes 16 bytes. What a person needs
        to see of a text is made again by `evidence`, of the few rows that `judge` marks. Lists and
        arrays (shingles, vectors) are given to the filter's own `judge` alone.
        """

    @abstractmethod
    def judge(self, measures: pl.DataFrame) -> Judgement:
        """A verdict for every row, in the same order, and what there is to say about all of them.

        `measures` has all rows that earlier steps kept, by `row`, in these columns: `row` (u32,
        ascending), `id` (text), what `measure` returned, `record.source` (text), `record.score`
        (f64 or null), `record.category` (text or null), and of every earlier step what it
        measured as `STEP.COLUMN` and the score of its verdicts as `STEP.verdict`, if `needs` names
        it.
        """

    def evidence(
        self, records: pl.DataFrame, measures: pl.DataFrame, verdicts: pl.DataFrame
    ) -> pl.Series:
        """What a person needs to see of the rows that `judge` marked in `from_text`, as text.

        Called after `judge`, with these rows of one part: `records` as `measure` gets them,
        `measures` as `judge` does, and their `verdicts`, in the same order.
        """
        raise BrokenContract(f"step {self.name!r} marks rows in from_text, and has no `evidence`")

    def quote(self, findings: Findings, records: pl.DataFrame, measures: pl.DataFrame) -> Findings:
        """The findings of `judge`, completed with texts of the rows that it marked in `quoted`.

        Called once after `judge`, with these rows of all parts, in order: `records` as `measure`
        gets them, `measures` as `judge` does. For what a whole set has in common, such as its
        commonest words: they are measured as codes, and one row that has a code says what it means.
        """
        raise BrokenContract(f"step {self.name!r} marks rows in quoted, and has no `quote`")

    def bind(self, read: Read) -> Filter:
        """The filter to run instead, which knows the records of other files, such as evaluation
        sets. Called before the dump is measured, and once more for what it returned. Raises
        `CurateError`."""
        return self

    def asking(self, folder: Path | None, say: Log) -> AbstractContextManager[Filter]:
        """The filter to run instead for one run, which keeps its answers in `folder`.

        For a filter that `asks`. None: answers go with the run. `say` gets a line on what is no
        part of the result, such as a server that makes us wait. Raises `CurateError`.
        """
        return nullcontext(self)

    def estimate(self, records: pl.DataFrame) -> Estimate:
        """What it would take to measure these records, for a filter that `asks`; asks nothing.

        Called on what `asking` gave, with records as `measure` gets them.
        """
        raise BrokenContract(f"step {self.name!r} asks, and has no `estimate`")

    def remember(self, records: pl.DataFrame) -> None:
        """Keep something beyond the run. Called once the run is written, with the records (and
        texts) that all steps kept. Raises `CurateError`."""
        return


class Fix(_Configured):
    """Rewrites text; never drops. The runner records which rows changed."""

    # Whether `fix` looks at `prompt` and `response`; if not, they are not made.
    reads_texts: ClassVar[bool] = True

    @abstractmethod
    def fix(self, records: pl.DataFrame) -> pl.DataFrame:
        """The records, same height and order, with a column `edited`: reason slug or null.

        `records` has the columns of `RECORDS` plus `prompt` and `response` (see `reads_texts`);
        those two and the ids of edited rows are made anew afterwards. They are the rows of one part
        that earlier steps kept, at least one: what becomes of a row must not depend on those beside
        it.
        """


def verdicts(
    keep: Any,
    reason: Any = None,
    score: Any = None,
    duplicate_of: Any = None,
    evidence: Any = None,
) -> pl.DataFrame:
    """Build a `VERDICTS` frame from columns (arrays, lists or Series); None means all null.

    A `reason` that is one text is the reason of every drop.

    >>> verdicts([True, False], reason=[None, "empty"])["keep"].to_list()
    [True, False]
    """
    kept = pl.Series("keep", keep, dtype=pl.Boolean)
    if isinstance(reason, str):
        reason = kept.to_frame().select(pl.when(~pl.col("keep")).then(pl.lit(reason))).to_series()
    columns = []
    given = (kept, reason, score, duplicate_of, evidence)
    for (name, dtype), values in zip(VERDICTS.items(), given, strict=True):
        filled = [None] * len(kept) if values is None else values
        columns.append(pl.Series(name, filled).cast(dtype))
    return pl.DataFrame(columns)
