"""What a filter and a fix are: the methods the runner calls, and what they give back.

A filter of one's own is a frozen dataclass that extends `Filter`:

>>> from dataclasses import dataclass
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
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Self

import polars as pl

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

# `read(paths)` gives the records (with `prompt` and `response`) of files, folders or globs in any
# format that `curate run` reads.
Read = Callable[[Sequence[str]], pl.DataFrame]


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
    """What `judge` gives back: `VERDICTS`, one line a row, and findings about the whole set."""

    verdicts: pl.DataFrame
    findings: Findings = Findings()

    @classmethod
    def of(
        cls,
        keep: Any,
        reason: Any = None,
        score: Any = None,
        duplicate_of: Any = None,
        evidence: Any = None,
        findings: Findings | None = None,
    ) -> Self:
        """A judgement from columns (arrays, lists or Series); None means all null.

        A `reason` that is one text is the reason of every drop.

        >>> Judgement.of([True, False], reason="empty").verdicts["reason"].to_list()
        [None, 'empty']
        """
        found = verdicts(keep, reason, score, duplicate_of, evidence)
        return cls(found, findings or Findings())


class Filter(ABC):
    """Judges records; never edits them, reads files or prints.

    An implementation is a frozen dataclass; its fields are its parameters, declared with
    `setting` and checked before any data is read. All that stands here with a value is optional.
    """

    name: ClassVar[str]
    # Every reason slug this filter can give, with one sentence for the docs and the report.
    reasons: ClassVar[Mapping[str, str]]
    # Columns of a record that `measure` looks at: the others are not sent to workers. None: all.
    reads: ClassVar[Sequence[str] | None] = None
    # Counts up when `measure` changes: measures of an older version are not taken from the cache.
    version: ClassVar[int] = 1
    # The settings that change what `measure` gives; with them measures are kept between runs.
    measured_by: ClassVar[Sequence[str]] = ()
    # Former names of settings and their present ones, for the error that a former one is.
    renamed: ClassVar[Mapping[str, str]] = {}

    def __post_init__(self) -> None:
        check_settings(self, self.name)

    @property
    def per_row(self) -> bool:
        """Whether `measure` loops over rows, so that processes are worth their start."""
        return False

    @property
    def cached(self) -> bool:
        """Whether measures are worth keeping between runs: they cost more than reading them."""
        return False

    @property
    def needs(self) -> Sequence[str]:
        """Columns that `judge` reads of earlier steps (`reward.score`) or the record."""
        return ()

    @property
    def remembers_in(self) -> str | None:
        """The place in which `remember` keeps something; two steps may not share one."""
        return None

    @abstractmethod
    def measure(self, records: pl.DataFrame) -> pl.DataFrame:
        """Numbers about each record: same height and order, narrow columns, no view of other rows.

        `records` has the columns of `RECORDS` plus `prompt` and `response` (see `with_text`), or
        those of them that `reads` names.
        """

    @abstractmethod
    def judge(self, measures: pl.DataFrame) -> Judgement:
        """A verdict for every row, in the same order, and what there is to say about all of them.

        `measures` has `row`, `id`, what `measure` returned, `record.source`, `record.score`,
        `record.category`, and `STEP.COLUMN` for everything earlier steps measured.
        """

    def bind(self, read: Read) -> Filter:
        """The filter to run instead, which knows the records of other files, such as evaluation
        sets. Called once, before the dump is measured."""
        return self

    def remember(self, records: pl.DataFrame) -> None:
        """Keep something beyond the run. Called once the run is written, with the records (and
        texts) that all steps kept."""
        return


class Fix(ABC):
    """Rewrites text; never drops. The runner records which rows changed."""

    name: ClassVar[str]
    # Every slug that `edited` can hold, with one sentence for the docs and the report.
    reasons: ClassVar[Mapping[str, str]]
    renamed: ClassVar[Mapping[str, str]] = {}

    def __post_init__(self) -> None:
        check_settings(self, self.name)

    @abstractmethod
    def fix(self, records: pl.DataFrame) -> pl.DataFrame:
        """The records, same height and order, with a column `edited`: reason slug or null."""


def verdicts(
    keep: Any,
    reason: Any = None,
    score: Any = None,
    duplicate_of: Any = None,
    evidence: Any = None,
) -> pl.DataFrame:
    """Build a `VERDICTS` frame from columns (arrays, lists or Series); None means all null.

    >>> verdicts([True, False], reason=[None, "empty"])["keep"].to_list()
    [True, False]
    """
    columns = {
        "reason": reason,
        "score": score,
        "duplicate_of": duplicate_of,
        "evidence": evidence,
    }
    kept = pl.Series("keep", keep, dtype=pl.Boolean)
    if isinstance(reason, str):
        columns["reason"] = [None if one else reason for one in kept]
    series = [kept]
    for name, values in columns.items():
        filled = [None] * len(kept) if values is None else values
        series.append(pl.Series(name, filled).cast(VERDICTS[name]))
    return pl.DataFrame(series, schema=VERDICTS)
