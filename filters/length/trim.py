"""Trim answers that are far too short or too long for their task group."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from filters.common.stats import Bools, Floats, Ints, log_length

# A fence is never closer than this many doublings: where three of four answers are one word,
# an answer of three words is no outlier.
NARROWEST = float(np.log(2.0))


class Trim(NamedTuple):
    """What was kept; `least` and `greatest` (n,) are the lengths allowed in each row's group."""

    keep: Bools
    least: Ints
    greatest: Ints


def trim(
    lengths: Ints, rank: Ints, groups: Ints, exempt: Bools, iqr_factor: float, min_rows: int
) -> Trim:
    """Drop rows beyond `iqr_factor` interquartile ranges from the quartiles of their group.

    Ranges are of log(1 + l). Fences are drawn again without the dropped rows until no row is
    outside, so that trimming what was trimmed changes nothing. `exempt` rows (n,) asked for a
    length and are kept. No group (`groups` (n,) are group numbers) falls below `min_rows` rows or
    its own size: the farthest rows are dropped first, among equals the lowest of `rank` (n,).
    Quartiles are lengths that occur.
    """
    keep = np.ones(len(lengths), dtype=np.bool_)
    least, greatest = np.zeros(len(lengths), dtype=np.int64), lengths.copy()
    order = np.lexsort((rank, groups))
    ends = np.flatnonzero(np.diff(groups[order])) + 1
    # One turn per group; the work inside is over columns.
    for rows in np.split(order, ends) if len(order) else []:
        kept, allowed = _trim_group(lengths[rows], exempt[rows], iqr_factor, min_rows)
        keep[rows] = kept
        least[rows], greatest[rows] = allowed
    return Trim(keep, least, greatest)


def _trim_group(
    lengths: Ints, exempt: Bools, iqr_factor: float, min_rows: int
) -> tuple[Bools, tuple[int, int]]:
    log = log_length(lengths)
    keep = np.ones(len(log), dtype=np.bool_)
    while True:  # ends: every turn but the last drops a row
        low, high = _fences(log[keep], iqr_factor)
        least, greatest = _whole(low, high)
        outside = keep & ~exempt & ((lengths < least) | (lengths > greatest))
        surplus = int(keep.sum()) - min_rows
        if not outside.any() or surplus <= 0:
            return keep, (least, greatest)
        far = np.maximum(low - log, log - high)
        candidates = np.flatnonzero(outside)
        farthest = candidates[np.argsort(-far[candidates], kind="stable")]
        keep[farthest[:surplus]] = False


def _fences(log: Floats, iqr_factor: float) -> tuple[float, float]:
    first, third = np.quantile(log, (0.25, 0.75), method="inverted_cdf")
    width = iqr_factor * max(float(third - first), NARROWEST)
    return float(first) - width, float(third) + width


def _whole(low: float, high: float) -> tuple[int, int]:
    """The lengths inside the fences: whole numbers, so that no rounding decides."""
    least = np.ceil(np.expm1(low) - 1e-9)
    greatest = min(np.floor(np.expm1(min(high, 60.0)) + 1e-9), 2.0**53)
    return max(0, int(least)), int(greatest)
