"""Which of several alike rows is kept, how verdicts on the others name it, and the clusters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from curate.base.contract import Filter, Findings, verdicts
from curate.base.errors import CurateError, nearest
from filters.common.arrays import Floats, Ints
from filters.common.text import content, keys

Keep = Literal["first", "longest", "best"]
Exempt = Literal["none", "same_prompt"]

RECORD_SCORE = "record.score"
RENAMED = {"spare": "exempt"}
VIEWS = {
    "prompt": "prompts (field: prompt)",
    "response": "responses (field: response)",
    "both": "prompts with their responses (field: both)",
}
KEEP_HELP = "which row is kept: the first of the input, the longest, or the best by a score"
BY_HELP = "for keep: best, the measure that is best when highest"
# How far from the threshold the report says what another would do.
STEP = 0.05
EXEMPTED = "rows of the very same prompt are not duplicates of each other (exempt: same_prompt)"


class DuplicateFilter(Filter):
    """What filters of duplicates share: they keep one row of several alike."""

    keep: Keep
    by: str

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.keep != "best" and self.by != RECORD_SCORE:
            raise CurateError(
                f"{self.name}: by is {self.by!r} but keep is {self.keep!r}, which does not read "
                "it; set keep: best"
            )

    @property
    def needs(self) -> tuple[str, ...]:
        """The column that says which row is best, if that is asked."""
        return (self.by,) if self.keep == "best" else ()

    @property
    def with_length(self) -> bool:
        """Whether lengths are measured: nothing but `keep: longest` reads them."""
        return self.keep == "longest"

    def lengths(self, records: pl.DataFrame) -> list[pl.Series]:
        """The column `length` of the records, where it is read."""
        return [lengths(records)] if self.with_length else []

    def order(self, measures: pl.DataFrame) -> Ints:
        """Positions of the rows, the one to keep first.

        `first` goes by `row`, so it depends on the order of the input. The others do not: ties go
        by content id, and rows without a score come last. Raises `CurateError` where `by` is no
        column of numbers.
        """
        if self.keep == "first":
            return measures["row"].arg_sort().to_numpy().astype(np.int64)
        column = "length" if self.keep == "longest" else self.by
        self._check_numbers(measures, column)
        score = pl.col(column).cast(pl.Float64).fill_nan(None)
        by = pl.arg_sort_by(score, "id", "row", descending=[True, False, False], nulls_last=True)
        return measures.select(by).to_series().to_numpy().astype(np.int64)

    def _check_numbers(self, measures: pl.DataFrame, column: str) -> None:
        if column not in measures.columns:
            known = [name for name in measures.columns if "." in name]
            raise CurateError(
                f"{self.name}: keep: best reads {column!r}, which no earlier step measures; "
                f"known are {', '.join(known) or 'none'}{nearest(column, known)}"
            )
        if not measures[column].dtype.is_numeric():
            raise CurateError(
                f"{self.name}: keep: best reads {column!r}, which is {measures[column].dtype}; "
                "expected numbers"
            )


def lengths(records: pl.DataFrame) -> pl.Series:
    """Characters of prompt and response, named `length`, counted without making the texts."""
    field = pl.element().struct.field
    has_text, is_assistant = field("content").is_not_null(), field("role") == "assistant"
    counts = records.select(
        length=pl.col("messages").list.eval(field("content").str.len_chars()).list.sum(),
        answers=pl.col("messages").list.eval(has_text & is_assistant).list.sum(),
        others=pl.col("messages").list.eval(has_text & ~is_assistant).list.sum(),
    ).cast(pl.Int64)
    # Two line breaks stand between the messages of a text.
    breaks = [2 * (pl.col(side) - 1).clip(lower_bound=0) for side in ("answers", "others")]
    characters = pl.sum_horizontal("length", *breaks).cast(pl.UInt32)
    return counts.select(characters.alias("length")).to_series()


def prompt_groups(records: pl.DataFrame) -> pl.Series:
    """64 bits, equal for rows of the very same prompt, named `group`; null where it is blank.

    Best-of-n answers share one. A system prompt and tools are part of it.
    """
    prompts = content(records, "prompt", normalise=False)
    groups = pl.Series("group", keys(prompts, normalise=False), dtype=pl.UInt64)
    field = pl.element().struct.field
    says = (field("role") != "assistant") & (field("content").str.strip_chars() != "")
    is_blank = ~records.select(pl.col("messages").list.eval(says).list.any()).to_series()
    return groups.zip_with(~is_blank, pl.Series("group", [None], dtype=pl.UInt64))


def first_of_equal(keys: npt.NDArray[Any], order: Ints) -> Ints:
    """For each row in `order` the position of the first with its key; else its own."""
    _, first, group = np.unique(keys[order], return_index=True, return_inverse=True)
    positions = np.arange(len(keys))
    positions[order] = order[first[group]]
    return positions


def duplicate_verdicts(
    measures: pl.DataFrame, reason: str, duplicate_of: Ints, score: Floats, root: Ints
) -> pl.DataFrame:
    """Verdicts of a duplicate filter.

    `duplicate_of` is the position of the row that is kept instead or -1; `root` that of the row
    that the cluster is named after. The evidence says which cluster a row is in, if it is not
    alone.
    """
    row = measures["row"]
    keep = pl.Series(duplicate_of < 0)
    columns = pl.DataFrame(
        {
            "score": score,
            "duplicate_of": row.gather(np.maximum(duplicate_of, 0)),
            "root": row.gather(root),
            "rows": np.bincount(root, minlength=len(root))[root],
        }
    ).select(
        pl.when(~keep).then(pl.col("score", "duplicate_of")),
        evidence=pl.when(pl.col("rows") > 1).then(
            pl.format("cluster of row {}: {} rows", pl.col("root"), pl.col("rows"))
        ),
    )
    return verdicts(keep, reason, *columns)


def other_thresholds(threshold: float, *, strict: bool = False) -> list[float]:
    """One step lower and one higher, where something could be similar enough.

    >>> other_thresholds(0.8), other_thresholds(1.0)
    ([0.75, 0.85], [0.95])
    """
    # Rounded, because 0.8 + 0.05 is above 0.85, and pairs at 17/20 are common.
    near = [round(threshold - STEP, 12), round(threshold + STEP, 12)]
    return [one for one in near if 0 < one < 1 or (one == 1 and not strict)]


def _cluster_table(measures: pl.DataFrame, root: Ints, verdicts: pl.DataFrame) -> pl.DataFrame:
    """A line for each row in a cluster of two or more, by cluster, its head first.

    `cluster` is the row of the head; `similarity` that of a dropped row to the one that is kept.
    """
    size = np.bincount(root, minlength=len(root))[root]
    lines = measures.select("row", "id").with_columns(
        cluster=measures["row"].gather(root),
        kept=verdicts["keep"],
        similarity=verdicts["score"],
        is_head=pl.Series(root == np.arange(len(root))),
    )
    lines = lines.filter(pl.Series(size > 1))
    return lines.sort("cluster", pl.col("is_head").not_(), "row").drop("is_head")


def cluster_findings(
    view: str,
    measures: pl.DataFrame,
    root: Ints,
    verdicts: pl.DataFrame,
    others: Mapping[float, int],
    more: tuple[str, ...] = (),
    **numbers: Any,
) -> Findings:
    """Sentences, numbers and the table `clusters`; `others` is dropped rows by other threshold."""
    clusters = _cluster_table(measures, root, verdicts)
    sizes = clusters["cluster"].value_counts()["count"]
    largest = int(sizes.max()) if len(sizes) else 0  # type: ignore[arg-type]
    dropped = int((~verdicts["keep"]).sum())
    sentences = [view, _cluster_sentence(len(sizes), largest)]
    counts = {"clusters": len(sizes), "largest_cluster": largest, "dropped": dropped}
    if others:
        there = " and ".join(f"{count:,} at {value:g}" for value, count in others.items())
        rows = "row is" if dropped == 1 else "rows are"
        sentences.append(f"{dropped:,} {rows} dropped; it would be {there}")
        numbers = {"dropped_at": {f"{value:g}": n for value, n in others.items()}, **numbers}
    return Findings((*sentences, *more), {**counts, **numbers}, {"clusters": clusters})


def _cluster_sentence(count: int, largest: int) -> str:
    if not count:
        return "no two rows are in one cluster"
    many = "cluster" if count == 1 else "clusters"
    return f"{count:,} {many} of two or more rows, the largest of {largest:,}"
