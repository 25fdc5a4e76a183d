"""Text that stands in many rows and says nothing about one of them: definitions, wrappers.

Found by the rows themselves. A shingle that `min_rows` rows have is common. Where rows that have it
go on in many ways, and no way is that of most of them, text that they share may end (or begin).
What stands before that place and is about as common, or commoner, is boilerplate if it is of
`MIN_WORDS` words or more and most of the rows have words, too, that are far rarer. So a task
definition before 171 reviews is found, and a row that was copied 171 times with a change here and
there is not: at each place most copies go on alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import polars as pl

from filters.common.arrays import U64, Bools, Ints, ascending
from filters.common.shingles import Rule, Runs, ranges
from filters.dedup.near.occurrences import AllCommon, Common

MIN_WORDS = 8
MIN_CHARACTERS = 40
# Of text that stands in so many rows shorter pieces count, too, of so many words, if there are
# `MIN_WORDS` of them in a row that has hardly any other words: "a story about a ... who can fly".
MANY_ROWS = 100
PIECE = 4
# What at least this share of the rows do is what most of them do.
MOSTLY = 0.5
# Neighbours that are counted at once, about; 8 bytes each.
_PAIRS = 1 << 24
# Ranges of places that are made at once.
_RANGES = 1 << 14
_HALF = np.uint64(32)
# The table `Boilerplate.texts`, without a line.
NO_TEXTS = pl.DataFrame(
    schema={"row": pl.Int64, "first": pl.Int64, "words": pl.Int64, "rows": pl.Int64}
)


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


def find_boilerplate(
    runs: Runs, common: AllCommon, rule: Rule, min_rows: int
) -> Boilerplate | None:
    """The boilerplate of rows, or None if there is none; `common` is what so many of them have."""
    if not len(common.rows_of):
        return None
    looks = [_Look.of(runs, common, _least(rule) - rule.size + 1)]
    if rule.unit == "word":
        is_many = common.rows_of >= MANY_ROWS
        looks.append(_Look.of(runs, common, max(1, PIECE - rule.size + 1), is_many))
    # Block by block: all that is common, where it stands and in which row, takes 20 bytes each.
    found = [_chains_beside_rarer(runs, block, looks, rule) for block in common.blocks(runs)]
    chains = pl.concat(found)
    if chains.height:
        chains = chains.filter(_mostly_beside_rarer(chains))
    if not chains.height:
        return None
    chosen = _merged(chains)
    return Boilerplate(*_outside(runs, chosen, rule), _texts(runs, chosen, rule, min_rows))


def _mostly_beside_rarer(chains: pl.DataFrame) -> pl.Series:
    """Whether most of the chains with the same ends stand beside rarer words."""
    head, tail = (chains[name].to_numpy().astype(np.uint64) for name in ("head", "tail"))
    # By numpy: a window over groups takes ten times the memory of the chains.
    group = np.unique(head << _HALF | tail, return_inverse=True)[1]
    share = np.bincount(group, chains["rarer"].to_numpy()) / np.bincount(group)
    return pl.Series(share[group] >= MOSTLY)


class _Look(NamedTuple):
    """How chains are looked for: of at least `least` shingles, of those `chosen` (by number).

    `ends` and `begins` say, by number, where rows go on in many ways, behind and before.
    """

    least: int
    chosen: Bools | None
    ends: Bools
    begins: Bools

    @classmethod
    def of(cls, runs: Runs, common: AllCommon, least: int, chosen: Bools | None = None) -> _Look:
        """With what all rows say."""
        ways = (_in_many_ways(runs, common, least, chosen, step) for step in (1, -1))
        return cls(least, chosen, *ways)

    def of_block(self, common: Common) -> Common:
        """What of a block is looked at: long runs of what is chosen."""
        return _in_long_runs(common, self.least, self.chosen)


def _beside(common: Common) -> Bools:
    """Whether the next one stands right behind each, in the same row."""
    found = np.zeros(len(common.at), bool)
    found[:-1] = (common.at[1:] == common.at[:-1] + 1) & (common.row[1:] == common.row[:-1])
    return found


def _in_long_runs(common: Common, least: int, chosen: Bools | None) -> Common:
    """Of those chosen (by number) those of at least so many side by side."""
    if chosen is not None:
        common = common.only(chosen[common.number])
    ends = np.flatnonzero(~_beside(common)) + 1
    sizes = np.diff(ends, prepend=0)
    return common.only(np.repeat(sizes >= least, sizes))


def _with_neighbour(runs: Runs, common: Common, step: int) -> Ints:
    """The places in `common` behind (or before) which a shingle of the same row stands."""
    at, row = common.at, common.row
    if step > 0:
        return np.flatnonzero(at + 1 < runs.bounds[row + 1])
    return np.flatnonzero(at > runs.bounds[row])


def _in_many_ways(
    runs: Runs, common: AllCommon, least: int, chosen: Bools | None, step: int
) -> Bools:
    """For each number whether its shingle has no neighbour mostly, on one side, in long runs."""
    in_many = np.zeros(len(common.rows_of), bool)
    # Some numbers at a time; a shingle that many rows have comes with all of its neighbours.
    upto = np.cumsum(common.rows_of)
    cuts = np.searchsorted(upto, np.arange(_PAIRS, upto[-1], _PAIRS)).tolist()
    for low, high in pairwise(dict.fromkeys([0, *cuts, len(in_many)])):
        pairs = [np.zeros(0, np.uint64)]
        for block in common.blocks(runs):
            ours = _in_long_runs(block, least, chosen)
            places = _with_neighbour(runs, ours, step)
            number = ours.number[places]
            if high - low < len(in_many):
                is_own = (number >= low) & (number < high)
                places, number = places[is_own], number[is_own]
            pairs.append(number.view(np.uint64) << _HALF | runs.hashes[ours.at[places] + step])
        _mark_many(in_many, np.concatenate(pairs))
    return in_many


def _mark_many(in_many: Bools, pairs: U64) -> None:
    """Mark the numbers (above) none of whose neighbours (below) is that of most."""
    if not len(pairs):
        return
    pairs = ascending(pairs)
    ends = np.flatnonzero(np.append(pairs[1:] != pairs[:-1], True))
    often, own = np.diff(ends, prepend=-1), (pairs[ends] >> _HALF).view(np.int64)
    starts = np.flatnonzero(np.diff(own, prepend=-1))
    times, most = np.add.reduceat(often, starts), np.maximum.reduceat(often, starts)
    in_many[own[starts]] = most < MOSTLY * times


def _chains_beside_rarer(
    runs: Runs, common: Common, looks: Sequence[_Look], rule: Rule
) -> pl.DataFrame:
    """The chains in a block of rows, see `_chains`; and `head`, `tail` and `rarer`.

    Those are the shingles at its ends, and whether the row has words far rarer than the chain.
    """
    chains = _chains(runs, common, looks[0])
    if len(looks) > 1:
        chains = pl.concat([chains, _pieces(runs, common, looks[1], rule)])
    rarest = _rarest(runs, chains, common, rule.size)
    return chains.select(
        "row",
        "start",
        "end",
        head=pl.Series(runs.hashes[chains["start"].to_numpy()]),
        tail=pl.Series(runs.hashes[chains["end"].to_numpy() - 1]),
        rarer=pl.Series(rarest) <= MOSTLY * pl.col("often"),
    )


def _chains(runs: Runs, common: Common, look: _Look) -> pl.DataFrame:
    """Text that ends (or begins) where rows go on in many ways, and is about as common throughout.

    It has at least so many shingles. A line for each in each row: `row`, its shingles as `start`,
    `end` in `hashes`, and how `often` the shingle at that end stands anywhere. They may overlap.
    """
    common = look.of_block(common)
    at, row, often, beside = common.at, common.row, common.rows, _beside(common)
    ends, begins = (_with_neighbour(runs, common, step) for step in (1, -1))
    ends, begins = ends[look.ends[common.number[ends]]], begins[look.begins[common.number[begins]]]
    first, last = _reach(often, beside, ends, -1), _reach(often, beside, begins, 1)
    found = {
        "row": np.concatenate([row[ends], row[begins]]).astype(np.int64),
        "start": np.concatenate([at[first], at[begins]]),
        "end": np.concatenate([at[ends], at[last]]) + 1,
        "often": np.concatenate([often[ends], often[begins]]),
    }
    return pl.DataFrame(found).filter(pl.col("end") - pl.col("start") >= look.least)


def _pieces(runs: Runs, common: Common, look: _Look, rule: Rule) -> pl.DataFrame:
    """Chains of fewer words, in rows that consist of what stands in many rows but for a few words.

    Without them all rows of a template with a short slot would be compared with each other.
    """
    chains = _chains(runs, common, look)
    if not chains.height:
        return chains
    seam = rule.size - 1
    taken = _merged(chains).group_by("row").agg((pl.col("end") - pl.col("start") + seam).sum())
    sizes = pl.Series(runs.sizes[taken["row"].to_numpy()] + seam)
    covered = (pl.col("end") >= MIN_WORDS) & (sizes - pl.col("end") < MIN_WORDS)
    return chains.join(taken.filter(covered), on="row", how="semi", maintain_order="left")


def _reach(often: Ints, beside: Bools, places: Ints, step: int) -> Ints:
    """How far from each place, one way, what stands side by side is about as common or commoner."""
    reached, which = places.copy(), np.arange(len(places))
    least = MOSTLY * often[places]
    # One shingle at a time, all places together: as many rounds as the longest has to go.
    while len(which):
        here = reached[which]
        goes_on = beside[here] if step > 0 else (here > 0) & beside[here - 1]
        which, here = which[goes_on], here[goes_on] + step
        enough = often[here] >= least[which]
        which = which[enough]
        reached[which] = here[enough]
    return reached


def _merged(chains: pl.DataFrame) -> pl.DataFrame:
    """Those that overlap as one: `row`, `start`, `end`."""
    row, start, end = (chains[name].to_numpy() for name in ("row", "start", "end"))
    order = np.lexsort((end, start))
    row, start, end = row[order], start[order], end[order]
    upto = np.maximum.accumulate(end)
    is_new = np.ones(len(row), bool)
    is_new[1:] = (start[1:] > upto[:-1]) | (row[1:] != row[:-1])
    first = np.flatnonzero(is_new)
    last = np.append(first[1:], len(row)) - 1
    return pl.DataFrame({"row": row[first], "start": start[first], "end": upto[last]})


def _rarest(runs: Runs, chains: pl.DataFrame, common: Common, size: int) -> Ints:
    """How common the rarest word is of the row that each chain of a block is in.

    An example that is there in ten wordings, each with two hundred examples, has no word that is
    far rarer: what stands beside it is boilerplate, and it is what the row is about.
    """
    owner = chains["row"].to_numpy()
    rows, number = np.unique(owner, return_inverse=True)
    if not len(rows):
        return np.zeros(0, np.int32)
    # The last words of a row begin no shingle.
    sizes = runs.sizes[rows] + size - 1
    first = np.cumsum(sizes) - sizes
    # How often each shingle of these rows stands anywhere; what is not common, about once.
    times = np.ones(int(sizes.sum()), np.int32)
    place = np.searchsorted(rows, common.row)
    ours = np.flatnonzero(rows[np.minimum(place, len(rows) - 1)] == common.row)
    place = place[ours]
    times[first[place] - runs.bounds[rows[place]] + common.at[ours]] = common.rows[ours]
    # A word is as common as the commonest shingle that it is in, which none is of two rows.
    words = times.copy()
    for back in range(1, size):
        np.maximum(words[back:], times[:-back], out=words[back:])
    rarest: Ints = np.minimum.reduceat(words, first)[number]
    return rarest


def _least(rule: Rule) -> int:
    return MIN_CHARACTERS if rule.unit == "char" else MIN_WORDS


def _outside(runs: Runs, chosen: pl.DataFrame, rule: Rule) -> tuple[Bools, Bools, Ints]:
    """Shingles without a word of boilerplate, those that begin outside, own words of each row."""
    starts, ends = chosen["start"].to_numpy(), chosen["end"].to_numpy()
    owner = chosen["row"].to_numpy()
    seam = rule.size - 1
    compared, own = np.ones(len(runs.hashes), bool), np.ones(len(runs.hashes), bool)
    high = np.minimum(ends + seam, runs.bounds[owner + 1])
    _clear(compared, np.maximum(starts - seam, runs.bounds[owner]), high)
    _clear(own, starts, high)
    words = np.where(runs.sizes > 0, runs.sizes + seam, 0)
    taken = np.bincount(owner, weights=ends - starts + seam, minlength=len(words))
    return compared, own, np.maximum(words - taken.astype(np.int64), 0)


def _clear(flags: Bools, low: Ints, high: Ints) -> None:
    """Clear the flags from each `low` up to its `high`; some at a time, for places take 8 bytes."""
    for first in range(0, len(low), _RANGES):
        some = slice(first, first + _RANGES)
        flags[ranges(low[some], high[some])] = False


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
