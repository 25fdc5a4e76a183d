"""Pairs that are pairs already: rows with a chosen and a rejected answer."""

from __future__ import annotations

import orjson
import polars as pl

from curate.base.schema import text_of
from curate.pairs.shape import PAIRS, PairResult, is_empty, prompt_key, with_plain


def of_rejected(records: pl.DataFrame, *, empty_rejected: bool = False) -> PairResult:
    """A pair per row that has a rejected answer, which may be empty only if asked for.

    Where annotators voted, the winner needs more than half of all votes, ties among them.
    """
    role = pl.element().struct.field("role")
    messages, rejected = pl.col("messages"), pl.col("rejected")
    # Readers keep of the rejected side what differs; as a rule the chosen one differs as long.
    same_length = messages.list.len().cast(pl.Int64) - rejected.list.len().cast(pl.Int64)
    roles = messages.list.eval(role)
    frame = records.with_columns(
        same_length=same_length,
        fits=roles.list.get(same_length, null_on_oob=True) == rejected.list.eval(role).list.first(),
        after_user=messages.list.eval((role == "user").arg_true().last()).list.first() + 1,
    )
    frame = frame.with_columns(
        cut=pl.when(pl.col("fits") & (pl.col("same_length") > 0))
        .then("same_length")
        .otherwise(pl.col("after_user").cast(pl.Int64))
    )
    frame = frame.with_columns(
        prompt=messages.list.head("cut"),
        chosen=messages.list.slice("cut"),
        won=pl.Series(
            [_has_majority(meta) for meta in records["meta"].to_list()], dtype=pl.Boolean
        ),
    )
    for name in ("chosen", "rejected"):
        frame = frame.with_columns(text_of(pl.col(name), assistant=True).alias(f"{name}_text"))
        frame = with_plain(frame, f"{name}_text", f"{name}_plain")
    frame = frame.with_columns(reason=_reason(empty_rejected))
    usable = frame.filter(pl.col("reason").is_null()).with_columns(
        parent=pl.col("row").min().over(prompt_key())
    )
    pairs = usable.select(
        "prompt", "chosen", "rejected", "tools",
        "parent", "source", "line",
        pl.col("score").alias("score_chosen"),
        pl.lit(None, dtype=pl.Float64).alias("score_rejected"),
    ).cast(PAIRS)  # fmt: skip
    rows = frame.select("row", pl.col("reason").is_null().cast(pl.UInt32).alias("pairs"), "reason")
    return PairResult(pairs, rows)


def _reason(empty_rejected: bool) -> pl.Expr:
    empty = [is_empty(pl.col(name), pl.col(f"{name}_text")) for name in ("chosen", "rejected")]
    asks = pl.col("prompt").list.eval(pl.element().struct.field("role") == "user").list.any()
    # Calls of tools are no text; answers that call differ as a rule.
    called = pl.any_horizontal(
        pl.col(name).list.eval(pl.element().struct.field("tool_calls").is_not_null()).list.any()
        for name in ("chosen", "rejected")
    )
    return (
        pl.when(~pl.col("won"))
        .then(pl.lit("no_majority"))
        .when(pl.col("rejected").is_null() | (pl.col("rejected").list.len() == 0))
        .then(pl.lit("no_rejected"))
        .when(~asks.fill_null(False) | (pl.col("chosen").list.len() == 0))
        .then(pl.lit("no_prompt"))
        .when(empty[0] | (empty[1] & ~pl.lit(empty_rejected)))
        .then(pl.lit("empty_answer"))
        .when((pl.col("chosen_plain") == pl.col("rejected_plain")) & ~called.fill_null(False))
        .then(pl.lit("same_answer"))
    )


def _has_majority(meta: str) -> bool:
    """False where annotators voted (fields annotator1, annotator2, ...) and no answer won."""
    if '"annotator' not in meta:
        return True
    fields = orjson.loads(meta)
    votes = [
        fields[name] for name in fields if name.startswith("annotator") and name != "annotator"
    ]
    return not votes or 2 * max(votes.count(1), votes.count(2)) > len(votes)
