"""Text that stands in many rows and says nothing about one of them: definitions, wrappers.

Found by the rows themselves. A shingle that `min_rows` rows have is common. A run of common
shingles of `MIN_WORDS` words or more is boilerplate if, at one of its ends, most of the rows that
have that end go on with something of their own. So a task definition before 171 reviews is found,
and a row that was copied 171 times with a change here and there is not: its copies differ in
different places, and most of them go on alike at each.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import polars as pl

from filters.common.arrays import U32, Bools, Ints
from filters.common.shingles import Rule, Runs, ranges

MIN_WORDS = 8
MIN_CHARACTERS = 40
# At an end of boilerplate at least this share of the rows go on in their own way.
OWN_WAY = 0.5
# The table `Boilerplate.texts`, without a line.
NO_TEXTS = pl.DataFrame(
    schema={"row": pl.Int64, "first": pl.Int64, "words": pl.Int64, "rows": pl.Int64}
)
_AT_ONCE = 1 << 22  # shingles worked on at once
_NONE = np.zeros(0, np.uint32)


class Boilerplate(NamedTuple):
    """What is not compared: `compared` for each shingle, and how much of each row is its own.

    `own` says for each shingle whether the word (or character) that it begins with is outside of
    boilerplate; `words` counts those of each row. `texts` has a line for each text that is
    boilerplate: `row` (position of one that has it), `first` (its first word there), `words`,
    `rows`.
    """

    compared: Bools
    own: Bools
    words: Ints
    texts: pl.DataFrame


def find_boilerplate(runs: Runs, rows: Ints, rule: Rule, min_rows: int) -> Boilerplate | None:
    """The boilerplate of these rows (positions, ascending), or None if there is none."""
    at = _common(runs, rows, min_rows)
    stretches = _stretches(runs, at, rule)
    chosen = stretches.filter(_has_border(runs, stretches, at)) if stretches.height else stretches
    if not chosen.height:
        return None
    return Boilerplate(*_outside(runs, chosen, rule), _texts(runs, chosen, rule, min_rows))


def _common(runs: Runs, rows: Ints, min_rows: int) -> Ints:
    """Where the shingles of these rows stand that are there at least so often."""
    is_ours = np.zeros(len(runs.sizes), bool)
    is_ours[rows] = True
    parts = [
        part[np.repeat(is_ours[low:high], runs.sizes[low:high])]
        for low, high, part in _row_slices(runs)
    ]
    # Most shingles stand once; a count by their upper bits leaves few to be sorted.
    bits = min(24, max(10, len(runs.hashes).bit_length()))
    lower = np.uint32(32 - bits)
    bucket = np.zeros(1 << bits, np.int64)
    for part in parts:
        bucket += np.bincount(part >> lower, minlength=1 << bits)
    often = [part[(bucket >= min_rows)[part >> lower]] for part in parts]
    values, counts = np.unique(np.concatenate([_NONE, *often]), return_counts=True)
    values = values[counts >= min_rows]
    if not len(values):
        return np.zeros(0, np.int64)
    known = np.zeros(1 << bits, bool)
    known[values >> lower] = True
    found = [np.zeros(0, np.int64)]
    for low, high, part in _row_slices(runs):
        here = known[part >> lower] & np.repeat(is_ours[low:high], runs.sizes[low:high])
        at = np.flatnonzero(here)
        place = np.minimum(np.searchsorted(values, part[at]), len(values) - 1)
        found.append(at[values[place] == part[at]] + runs.bounds[low])
    return np.concatenate(found)


def _row_slices(runs: Runs) -> Iterator[tuple[int, int, U32]]:
    """Rows from, to, and their shingles, some millions at a time."""
    count = len(runs.sizes)
    step = max(1, count * _AT_ONCE // max(1, len(runs.hashes)))
    for low in range(0, count, step):
        high = min(low + step, count)
        yield low, high, runs.hashes[runs.bounds[low] : runs.bounds[high]]


def _stretches(runs: Runs, at: Ints, rule: Rule) -> pl.DataFrame:
    """Common shingles side by side in one row, if they are long enough: `row`, `start`, `end`.

    `left` and `right` say whether the row goes on there with something of its own: not at its own
    end, and not where more that is common follows with no shingle of its own between.
    """
    row = np.searchsorted(runs.bounds, at, "right") - 1
    new = np.ones(len(at), bool)
    new[1:] = (at[1:] != at[:-1] + 1) | (row[1:] != row[:-1])
    first = np.flatnonzero(new)
    last = np.append(first[1:], len(at))[: len(first)] - 1
    owner, start, end = row[first], at[first], at[last] + 1
    # Shingles that reach over an end have words of both sides: fewer than `rule.size` are a seam.
    row_end = runs.bounds[owner + 1]
    is_next = np.append(owner[1:] == owner[:-1], False)[: len(owner)]
    gap = np.where(is_next, np.append(start[1:], 0)[: len(start)] - end, row_end - end)
    right = np.where(is_next, gap >= rule.size, gap > 0)
    is_first = np.insert(~is_next[:-1], 0, True)[: len(owner)]
    before = start - runs.bounds[owner]
    left = np.where(is_first, before > 0, np.insert(gap[:-1], 0, 0)[: len(gap)] >= rule.size)
    found = {"row": owner, "start": start, "end": end, "left": left, "right": right}
    enough = end - start + rule.size - 1 >= _least(rule)
    return pl.DataFrame(found).filter(pl.Series(enough))


def _least(rule: Rule) -> int:
    return MIN_CHARACTERS if rule.unit == "char" else MIN_WORDS


def _has_border(runs: Runs, stretches: pl.DataFrame, at: Ints) -> pl.Series:
    """Whether most rows go on in their own way at one end of each stretch."""
    every = np.sort(runs.hashes[at])
    border = np.zeros(stretches.height, bool)
    for side, place in (("right", pl.col("end") - 1), ("left", pl.col("start"))):
        edge = runs.hashes[stretches.select(place).to_series().to_numpy()]
        goes_on = stretches[side].to_numpy()
        values, number = np.unique(edge, return_inverse=True)
        own = np.bincount(number, weights=goes_on, minlength=len(values))
        times = np.searchsorted(every, values, "right") - np.searchsorted(every, values)
        border |= goes_on & (own >= OWN_WAY * times)[number]
    return pl.Series(border)


def _outside(runs: Runs, chosen: pl.DataFrame, rule: Rule) -> tuple[Bools, Bools, Ints]:
    """Shingles without a word of boilerplate, those that begin outside, own words of each row."""
    starts, ends = chosen["start"].to_numpy(), chosen["end"].to_numpy()
    owner = chosen["row"].to_numpy()
    seam = rule.size - 1
    compared, own = np.ones(len(runs.hashes), bool), np.ones(len(runs.hashes), bool)
    high = np.minimum(ends + seam, runs.bounds[owner + 1])
    compared[ranges(np.maximum(starts - seam, runs.bounds[owner]), high)] = False
    own[ranges(starts, high)] = False
    units = np.where(runs.sizes > 0, runs.sizes + seam, 0)
    taken = np.bincount(owner, weights=ends - starts + seam, minlength=len(units))
    return compared, own, np.maximum(units - taken.astype(np.int64), 0)


def _texts(runs: Runs, chosen: pl.DataFrame, rule: Rule, min_rows: int) -> pl.DataFrame:
    """The texts, the one that takes most words of all rows first."""
    edges = chosen.select(
        "row",
        first=pl.col("start") - pl.Series(runs.bounds[chosen["row"].to_numpy()]),
        words=pl.col("end") - pl.col("start") + rule.size - 1,
        head=pl.Series(runs.hashes[chosen["start"].to_numpy()]),
        tail=pl.Series(runs.hashes[chosen["end"].to_numpy() - 1]),
    )
    found = edges.group_by("head", "tail", "words", maintain_order=True).agg(
        pl.col("row", "first").first(), rows=pl.col("row").n_unique()
    )
    weight = pl.col("rows") * pl.col("words")
    return (
        found.filter(pl.col("rows") >= min_rows)
        .sort(weight, "head", descending=[True, False])
        .select("row", "first", "words", "rows")
        .cast(pl.Int64)
    )
