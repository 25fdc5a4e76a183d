"""Orders that do not depend on the order of the input."""

from __future__ import annotations

import hashlib
import math

import numpy as np
import polars as pl

from curate.base.errors import CurateError
from filters.common.stats import Floats, Ints


def best_first(measures: pl.DataFrame, scores: Floats, noise: Floats | None = None) -> Ints:
    """Positions from the highest score (n,) to the lowest, NaN last.

    Ties go by `noise` (n,) if given, then by id, then by row.
    """
    ids = measures["id"].rank("dense").to_numpy()
    by_noise = np.zeros(len(ids)) if noise is None else noise
    return np.lexsort((measures["row"].to_numpy(), ids, by_noise, -scores))


def places(order: Ints) -> Ints:
    """The place of each position in `order`: 0 for the first."""
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order))
    return place


def noise_of(ids: pl.Series, seed: int, purpose: str = "") -> Floats:
    """A number in (0, 1) per id that depends on the id, the seed and the purpose alone.

    A record keeps its number when others come and go, so a selection changes as little as the
    input does. Steps that draw one after the other give a `purpose` each: with equal numbers the
    second would draw from what the first one left at one end.
    """
    key = f"{purpose}{seed}".encode()
    # A cryptographic hash per id, 1 us each: Polars' own hash may change between versions.
    drawn = b"".join(
        hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8, key=key).digest()
        for text in ids
    )
    whole = np.frombuffer(drawn, dtype="<u8") >> np.uint64(11)
    return (whole.astype(np.float64) + 0.5) / 2.0**53


def score_column(measures: pl.DataFrame, by: str) -> Floats:
    """A measured column as float64, NaN where there is no finite number."""
    column = measures[by].cast(pl.Float64).fill_null(float("nan")).to_numpy().copy()
    column[~np.isfinite(column)] = np.nan
    return column


def check_top(step: str, keep_top: float | None, top_k: int | None) -> None:
    """`CurateError` where both say how many of the best rows to keep."""
    if keep_top is not None and top_k is not None:
        raise CurateError(f"{step}: keep_top and top_k both say how many to keep; give one")


def top_rows(rows: int, keep_top: float | None, top_k: int | None) -> int:
    """How many of `rows` rows a share `keep_top` or a number `top_k` keeps; all without either.

    >>> top_rows(100, 0.07, None)
    7
    """
    if keep_top is not None:
        # A hair less before rounding up: 0.07 * 100 is 7.000000000000001 in floating point.
        return math.ceil(keep_top * rows - 1e-9)
    return rows if top_k is None else top_k
