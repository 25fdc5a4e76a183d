"""Which rules fire on a row, as sets of bits: a column of u64 for each 64 of `RULES`, in order.

A column without a rule that was looked for is not measured: none of its rules fires.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import reduce
from operator import or_

import numpy as np
import polars as pl

from filters.quality.rules import RULES

_WIDTH = 64
COLUMNS = tuple(f"fired_{at}" for at in range(-(-len(RULES) // _WIDTH)))
_PLACES = {slug: divmod(at, _WIDTH) for at, slug in enumerate(RULES)}


def packed(found: Mapping[str, pl.Series], height: int) -> list[pl.Series]:
    """Those of `COLUMNS` that have a named rule, from the rows that each of these fires on."""
    sets = {at: np.zeros(height, np.uint64) for at in sorted({_PLACES[slug][0] for slug in found})}
    for slug, rows in found.items():
        at, bit = _PLACES[slug]
        sets[at][rows.to_numpy()] |= np.uint64(1 << bit)
    return [pl.Series(COLUMNS[at], column) for at, column in sets.items()]


def fires(slug: str) -> pl.Expr:
    """Whether the rule fires."""
    return any_fires([slug])


def any_fires(slugs: Iterable[str]) -> pl.Expr:
    """Whether one of these rules fires."""
    return pl.any_horizontal(column != 0 for column in _among(slugs))


def first_that_fires(slugs: Iterable[str]) -> pl.Expr:
    """The first of these rules that fires, in the order of `RULES`, as text; null if none does."""
    # Counting the zeros of an empty set gives its width.
    place = pl.coalesce(
        pl.when(column != 0).then(column.bitwise_trailing_zeros() + at * _WIDTH)
        for at, column in enumerate(_among(slugs))
    )
    return pl.lit(pl.Series(list(RULES), dtype=pl.String)).gather(place)


def with_limits(fired: pl.DataFrame, limits: Mapping[str, pl.Expr]) -> pl.DataFrame:
    """All `COLUMNS`, with the bits of the rules whose condition on the other columns holds."""
    none = pl.lit(0, pl.UInt64)
    columns = [pl.col(name) if name in fired.columns else none.alias(name) for name in COLUMNS]
    for slug, exceeded in limits.items():
        at, bit = _PLACES[slug]
        columns[at] |= pl.when(exceeded).then(pl.lit(1 << bit, pl.UInt64)).otherwise(none)
    return fired.select(columns)


def _among(slugs: Iterable[str]) -> list[pl.Expr]:
    """Of each of `COLUMNS` the bits of these rules."""
    places = [_PLACES[slug] for slug in slugs]
    masks = [
        reduce(or_, (1 << bit for of, bit in places if of == at), 0) for at in range(len(COLUMNS))
    ]
    return [
        pl.col(name) & pl.lit(mask, pl.UInt64) for name, mask in zip(COLUMNS, masks, strict=True)
    ]
