"""Pairs that are pairs already: rows with a chosen and a rejected answer."""

from __future__ import annotations

import polars as pl

from curate.base.json_text import loads_exact
from curate.base.schema import text_of
from curate.pairs.shape import (
    PAIRS,
    PairResult,
    after_last_user,
    calls_tools,
    first_reason,
    is_empty,
    plain,
    prompt_key,
)


def of_rejected(records: pl.DataFrame, *, empty_rejected: bool = False) -> PairResult:
    """A pair per row that has a rejected answer, which may be empty only if asked for.

    Where annotators voted, the winner needs more than half of all votes, ties among them.
    """
    role = pl.element().struct.field("role")
    messages, rejected = pl.col("messages"), pl.col("rejected")
    # Readers keep of the rejected side what differs; as a rule the chosen one differs as long.
    same_length = messages.list.len().cast(pl.Int64) - rejected.list.len().cast(pl.Int64)
    roles = messages.list.eval(role)
    fits = roles.list.get(same_length, null_on_oob=True) == rejected.list.eval(role).list.first()
    cut = pl.when(fits & (same_length > 0)).then(same_length)
    frame = records.with_columns(cut=cut.otherwise(after_last_user().cast(pl.Int64)))
    frame = frame.with_columns(
        prompt=messages.list.head("cut"),
        chosen=messages.list.slice("cut"),
        won=pl.Series(map(_has_majority, records["meta"]), dtype=pl.Boolean),
    )
    frame = frame.with_columns(
        chosen_text=text_of(pl.col("chosen"), assistant=True),
        rejected_text=text_of(pl.col("rejected"), assistant=True),
    ).with_columns(reason=_reason(empty_rejected))
    usable = frame.filter(pl.col("reason").is_null()).with_columns(
        parent=pl.col("row").min().over(prompt_key())
    )
    pairs = usable.select(
        *("prompt", "chosen", "rejected", "tools", "parent", "source", "line"),
        score_chosen="score",
        score_rejected=pl.lit(None, dtype=pl.Float64),
    ).cast(PAIRS)
    rows = frame.select("row", pl.col("reason").is_null().cast(pl.UInt32).alias("pairs"), "reason")
    return PairResult(pairs, rows)


def _reason(empty_rejected: bool) -> pl.Expr:
    no_rejected = pl.col("rejected").is_null() | (pl.col("rejected").list.len() == 0)
    asks = pl.col("prompt").list.eval(pl.element().struct.field("role") == "user").list.any()
    # Calls of tools are no text; answers that call differ as a rule.
    called = calls_tools("chosen") | calls_tools("rejected")
    empty = is_empty("chosen", "chosen_text")
    if not empty_rejected:
        empty |= is_empty("rejected", "rejected_text")
    return first_reason(
        {
            "no_majority": ~pl.col("won"),
            "no_rejected": no_rejected,
            "no_prompt": ~asks.fill_null(False) | (pl.col("chosen").list.len() == 0),
            "empty_answer": empty,
            "same_answer": (plain("chosen_text") == plain("rejected_text")) & ~called,
        }
    )


def _has_majority(meta: str) -> bool:
    """False where annotators voted (fields annotator1, annotator2, ...) and no answer won."""
    if '"annotator' not in meta:
        return True
    fields = loads_exact(meta)
    votes = [
        fields[name] for name in fields if name.startswith("annotator") and name != "annotator"
    ]
    return not votes or 2 * max(votes.count(1), votes.count(2)) > len(votes)
