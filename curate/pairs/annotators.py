"""Pairs across annotators: one annotator's answer is chosen, those of others are rejected.

Cross-Annotator Preference Optimization (arXiv 2605.28802). Rejected means less like the target
annotator, not wrong.
"""

from __future__ import annotations

import polars as pl

from curate.base.errors import CurateError, nearest
from curate.pairs.grouped import matched
from curate.pairs.shape import PairResult, answers, field, first_reason

_VALID = {"true": True, "1": True, "1.0": True, "false": False, "0": False, "0.0": False}


def of_annotators(
    records: pl.DataFrame,
    annotator: str,
    target: str,
    valid: str | None = None,
    per_parent: int | None = None,
) -> PairResult:
    """Each answer of `target` against each differing, valid answer of others to its prompt.

    `annotator` is the field that names who answered, `valid` a field with true or false (or 1 or
    0). Raises `CurateError` where no row is the target's, or `valid` holds something else.
    """
    who = field(records, annotator)
    if target not in who:
        known = who.drop_nulls().unique().sort().to_list()
        shown = ", ".join(map(str, known[:8])) or "nobody"
        raise CurateError(
            f"pairs: no row has {target!r} in {annotator!r}; there is {shown}"
            f"{nearest(target, list(map(str, known)))}"
        )
    frame = answers(records).with_columns(
        who=who,
        number=pl.lit(None, dtype=pl.Float64),
        group=pl.col("row").min().over("asked"),
        valid=pl.lit(True) if valid is None else _valid(records, valid),
    )
    unusable = {"no_annotator": pl.col("who").is_null(), "not_valid": ~pl.col("valid")}
    frame = frame.with_columns(problem=first_reason(unusable, "problem"))
    usable = frame.filter(pl.col("problem").is_null()).select("row", "id", "group", "plain", "who")
    targets = usable.filter(pl.col("who") == target)
    others = usable.filter(pl.col("who") != target)
    compared = targets.join(others, on="group", suffix="_other").with_columns(
        lead=pl.lit(0.0),
        stage=pl.when(pl.col("plain") == pl.col("plain_other")).then(0).otherwise(3),
    )
    missed = ~pl.col("group").is_in(targets["group"].implode())
    frame = frame.with_columns(problem=first_reason({"no_target": missed}, "problem"))
    return matched(frame, compared, per_parent)


def _valid(records: pl.DataFrame, name: str) -> pl.Series:
    text = field(records, name).str.to_lowercase()
    odd = text.filter(text.is_not_null() & ~text.is_in(list(_VALID)))
    if len(odd):
        raise CurateError(f"pairs: {name} is {odd[0]!r} in a row; expected true or false")
    return text.replace_strict(_VALID, default=False, return_dtype=pl.Boolean).fill_null(False)
