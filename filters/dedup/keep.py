"""Which of several alike rows stays, and how the verdict on the others names it."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from curate.base.contract import verdicts
from curate.base.errors import CurateError, nearest
from filters.common.text import content, keys

I64 = npt.NDArray[np.int64]
F64 = npt.NDArray[np.float64]
Keep = Literal["first", "longest", "best"]

RECORD_SCORE = "record.score"
FIELDS = ("prompt", "response", "both")
SPARE = ("none", "same_prompt")
VIEWS = {
    "prompt": "prompts (field: prompt)",
    "response": "responses (field: response)",
    "both": "prompts with their responses (field: both)",
}
SPARED = "rows of the very same prompt are not duplicates of each other (spare: same_prompt)"


def check_choice(step: str, field: str, value: str, known: tuple[str, ...]) -> None:
    """Refuse a value that is not among the known ones."""
    if value not in known:
        expected = ", ".join(known[:-1]) + f" or {known[-1]}"
        raise CurateError(
            f"{step}: {field} is {value!r}; expected {expected}{nearest(str(value), known)}"
        )


def check_keep(step: str, keep: str, by: str) -> None:
    """Refuse an unknown `keep`, and a `by` that nothing would read."""
    check_choice(step, "keep", keep, ("first", "longest", "best"))
    if keep != "best" and by != RECORD_SCORE:
        raise CurateError(
            f"{step}: by is {by!r} but keep is {keep!r}, which does not read it; set keep: best"
        )


def lengths(records: pl.DataFrame) -> pl.Series:
    """Characters of prompt and response, named `length`."""
    characters = pl.col("prompt").str.len_chars() + pl.col("response").str.len_chars()
    return records.select(characters.cast(pl.UInt32).alias("length")).to_series()


def prompt_groups(records: pl.DataFrame) -> pl.Series:
    """64 bits, equal for rows of the very same prompt, named `group`; null where it is blank.

    Best-of-n answers share one. A system prompt and tools are part of it.
    """
    prompts = content(records, "prompt", normalise=False)
    found = pl.Series("group", keys(prompts, normalise=False), dtype=pl.UInt64)
    is_blank = records["prompt"].str.strip_chars() == ""
    return found.zip_with(~is_blank, pl.Series("group", [None], dtype=pl.UInt64))


def keep_order(measures: pl.DataFrame, keep: Keep, by: str, step: str) -> I64:
    """Positions of the rows, the one to keep first.

    `first` goes by `row`, so it depends on the order of the input. The others do not: ties go by
    content id, and rows without a score come last.
    """
    if keep == "first":
        return measures["row"].arg_sort().to_numpy().astype(np.int64)
    column = "length" if keep == "longest" else by
    if column not in measures.columns:
        known = [name for name in measures.columns if "." in name]
        raise CurateError(
            f"{step}: keep: best reads {by!r}, which no earlier step measures; "
            f"known are {', '.join(known) or 'none'}{nearest(by, known)}"
        )
    if not measures[column].dtype.is_numeric():
        raise CurateError(
            f"{step}: keep: best reads {by!r}, which is {measures[column].dtype}; expected numbers"
        )
    ranked = measures.select(
        pl.arg_sort_by(
            pl.col(column).cast(pl.Float64).fill_nan(None),
            "id",
            "row",
            descending=[True, False, False],
            nulls_last=True,
        )
    )
    return ranked.to_series().to_numpy().astype(np.int64)


def first_of_equal(keys: npt.NDArray[Any], order: I64) -> I64:
    """For each row in `order` the position of the first with its key; else its own."""
    _, first, group = np.unique(keys[order], return_index=True, return_inverse=True)
    found = np.arange(len(keys))
    found[order] = order[first[group]]
    return found


def duplicate_verdicts(
    measures: pl.DataFrame, reason: str, twin: I64, score: F64, root: I64
) -> pl.DataFrame:
    """Verdicts of a duplicate filter.

    `twin` is the position of the row that stays instead or -1; `root` that of the row that the
    cluster is named after. The evidence says which cluster a row is in, if it is not alone.
    """
    row = measures["row"]
    goes = pl.Series(twin >= 0)
    evidence = pl.when(pl.col("rows") > 1).then(
        pl.format("cluster of row {}: {} rows", pl.col("root"), pl.col("rows"))
    )
    said = pl.DataFrame(
        {
            "goes": goes,
            "score": score,
            "twin": row.gather(np.maximum(twin, 0)),
            "root": row.gather(root),
            "rows": np.bincount(root, minlength=len(root))[root],
        }
    ).select(
        reason=pl.when("goes").then(pl.lit(reason)),
        score=pl.when("goes").then("score"),
        duplicate_of=pl.when("goes").then("twin"),
        evidence=evidence,
    )
    return verdicts(~goes, said["reason"], said["score"], said["duplicate_of"], said["evidence"])
