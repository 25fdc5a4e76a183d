"""Why a model has no number for a row: a few sentences, with the row's own numbers beside them."""

from __future__ import annotations

import polars as pl

# Stands in a `problem` for the number of tokens, which is measured as `tokens`.
TOKENS = "{tokens}"


def problem_texts(measures: pl.DataFrame, *numbers: str) -> pl.Series:
    """The measured `problem` of each row as text, null without one.

    `numbers` are the columns whose value belongs where the problem names them.

    >>> frame = pl.DataFrame({"problem": [None, "{tokens} tokens"], "tokens": [None, 4096]})
    >>> problem_texts(frame, "tokens").to_list()
    [None, '4,096 tokens']
    """
    at = measures["problem"].is_not_null().arg_true()
    texts = []
    # A loop over the rows that no model reads: each has numbers of its own.
    for problem, *values in measures[at].select("problem", *numbers).iter_rows():
        text = str(problem)
        for name, value in zip(numbers, values, strict=True):
            shown = f"{value:,}" if isinstance(value, int) else str(value)
            text = text.replace("{" + name + "}", shown)
        texts.append(text)
    empty = pl.Series("problem", [None], dtype=pl.String).new_from_index(0, measures.height)
    return empty.scatter(at, pl.Series(texts, dtype=pl.String))
