"""TOKENS as trainers read them: ids, labels and a mask of ones."""

from __future__ import annotations

import polars as pl

from curate.base.errors import CurateError
from curate.exports.target import TokenRows, counted

TEMPLATE = "chat_template.jinja"
_IDS = ("input_ids", "labels")


def columns(tokens: TokenRows) -> pl.DataFrame:
    """`input_ids`, `labels` and `attention_mask`, and nothing else: trainers take every column.

    Raises `CurateError` for pairs, which are not for this kind of training.
    """
    if "rejected_input_ids" in tokens.examples.columns:
        raise CurateError(
            f"{tokens.name}: holds pairs of answers, and this target trains on one; render without "
            "pairs, or export them to hub"
        )
    return with_mask(tokens.examples.select(_IDS))


def with_mask(examples: pl.DataFrame) -> pl.DataFrame:
    """The columns, and `attention_mask`: a 1 for each token."""
    ones = pl.lit(1, dtype=pl.Int8).repeat_by(pl.col("input_ids").list.len())
    return examples.with_columns(attention_mask=ones)


def longest_example(tokens: TokenRows) -> int:
    """Tokens of the longest example."""
    return max(tokens.examples["input_ids"].list.len().to_list(), default=0)


def described(tokens: TokenRows) -> tuple[str, ...]:
    """What the user must know of the model that these tokens are for."""
    about, added = tokens.manifest["tokenizer"], tokens.manifest["tokenizer"].get("added") or {}
    notes = [
        f"the template of these tokens is in {TEMPLATE}: what runs the trained model must use it",
        f"these ids are of the tokenizer {about['name']}; no other model can be trained on them",
    ]
    if refused := tokens.manifest["counts"]["refused"]:
        notes.append(f"{counted(refused)} could not be rendered exactly: not in these tokens")
    if added:
        names = ", ".join(f"{name} = {number}" for name, number in list(added.items())[:5])
        notes.append(f"the model needs the tokens that were added when rendering: {names}")
    return tuple(notes)
