"""The length that a run matched its answers to, in tokens of the rows' tokenizer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from templates.encoding.encode import IGNORED


@dataclass(frozen=True)
class Matched:
    """What a `length` step matched the answers of a run to.

    `target` is the median of that distribution in `unit` (words, chars, tokens), `of` says whose
    length it is ("response", "turn"). `lengths` has columns `row` and `length`: of each record,
    in that unit; null where it is not known.
    """

    step: str
    unit: str
    of: str
    target: int
    lengths: pl.DataFrame


def in_tokens(
    matched: Matched, examples: pl.DataFrame, stop_ids: Sequence[int]
) -> dict[str, Any] | None:
    """The target in tokens, by the rate of these rows; None if no length of them is known.

    A token counts as the trainer counts answers: of the first trained turn, without its stop. So
    the rate, their tokens over their lengths in the run's unit, takes in whatever the two count
    differently: words of all answers of a record here, tokens of the first one there.
    """
    tokens = pl.Series("tokens", first_answers(examples["labels"], stop_ids), dtype=pl.Int64)
    known = (
        examples.select("row")
        .with_columns(tokens)
        .join(matched.lengths.select(pl.col("row").cast(pl.UInt32), "length"), on="row", how="left")
        .drop_nulls()
    )
    if not known.height or not known["length"].sum():
        return None
    rate = float(known["tokens"].sum()) / float(known["length"].sum())
    return {
        **{name: getattr(matched, name) for name in ("step", "unit", "of", "target")},
        "rows": known.height,
        "median": known["length"].median(),
        "tokens_per_unit": rate,
        "target_tokens": matched.target * rate,
    }


def first_answers(labels: pl.Series, stop_ids: Sequence[int]) -> NDArray[np.int64]:
    """Tokens of the first trained turn of each row, without its stop.

    >>> first_answers(pl.Series([[-100, 5, 6, 2, -100, 7, 2], [-100, 8]]), [2]).tolist()
    [2, 1]
    """
    lengths = labels.list.len().to_numpy().astype(np.int64)
    ends = np.cumsum(lengths)
    flat = labels.explode(empty_as_null=False).to_numpy()
    row = np.repeat(np.arange(len(lengths)), lengths)
    trained = flat != IGNORED
    begins = trained.copy()
    begins[1:] &= ~trained[:-1] | (row[1:] != row[:-1])
    before = np.concatenate([[0], np.cumsum(begins)])[ends - lengths]  # turns of earlier rows
    first = trained & (np.cumsum(begins) - before[row] == 1)
    counts = np.bincount(row[first], minlength=len(lengths))
    last = np.flatnonzero(first)[np.maximum(np.cumsum(counts) - 1, 0)] if first.any() else ends[:0]
    stops = np.isin(flat[last], stop_ids) if len(last) else np.zeros(len(lengths), np.bool_)
    found: NDArray[np.int64] = counts - (stops & (counts > 0))
    return found
