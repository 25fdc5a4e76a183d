"""Text that stands in many rows and says nothing about one of them: definitions, wrappers.

Found by the rows themselves. A shingle that `min_rows` rows have is common. Where rows that have it
go on in many ways, and no way is that of most of them, text that they share may end (or begin).
What stands before that place and is about as common, or commoner, is boilerplate if it is of
`MIN_WORDS` words or more and most of the rows have words, too, that are far rarer. So a task
definition before 171 reviews is found, and a row that was copied 171 times with a change here and
there is not: at each place most copies go on alike.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import polars as pl

from filters.common.arrays import Bools, Ints, ascending
from filters.common.shingles import Rule, Runs, ranges
from filters.dedup.near.occurrences import Common

MIN_WORDS = 8
MIN_CHARACTERS = 40
# Of text that stands in so many rows shorter pieces count, too, of so many words, if there are
# `MIN_WORDS` of them in a row that has hardly any other words: "a story about a ... who can fly".
MANY_ROWS = 100
PIECE = 4
# What at least this share of the rows do is what most of them do.
MOSTLY = 0.5
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


def find_boilerplate(runs: Runs, common: Common, rule: Rule, min_rows: int) -> Boilerplate | None:
    """The boilerplate of rows, or None if there is none; `common` is what so many of them have."""
    if not len(common.at):
        return None
    chains = _chains(runs, common, _least(rule) - rule.size + 1)
    if rule.unit == "word":
        chains = pl.concat([chains, _pieces(runs, common, rule)])
    if chains.height:
        chains = chains.filter(_beside_rarer(runs, chains, common, rule.size))
    if not chains.height:
        return None
    chosen = _merged(chains)
    return Boilerplate(*_outside(runs, chosen, rule), _texts(runs, chosen, rule, min_rows))


def _beside(common: Common) -> Bools:
    """Whether the next one stands right behind each, in the same row."""
    found = np.zeros(len(common.at), bool)
    found[:-1] = (common.at[1:] == common.at[:-1] + 1) & (common.row[1:] == common.row[:-1])
    return found


def _in_long_runs(common: Common, least: int) -> Common:
    """Those of at least so many side by side."""
    ends = np.flatnonzero(~_beside(common)) + 1
    sizes = np.diff(ends, prepend=0)
    return common.only(np.repeat(sizes >= least, sizes))


def _chains(runs: Runs, common: Common, least: int) -> pl.DataFrame:
    """Text that ends (or begins) where rows go on in many ways, and is about as common throughout.

    It has at least so many shingles. A line for each in each row: `row`, its shingles as `start`,
    `end` in `hashes`, and how `often` the shingle at that end stands anywhere. They may overlap.
    """
    common = _in_long_runs(common, least)
    at, row, often, beside = common.at, common.row, common.rows, _beside(common)
    ends = _in_many_ways(runs, common, np.flatnonzero(at + 1 < runs.bounds[row + 1]), 1)
    begins = _in_many_ways(runs, common, np.flatnonzero(at > runs.bounds[row]), -1)
    first, last = _reach(often, beside, ends, -1), _reach(often, beside, begins, 1)
    found = {
        "row": np.concatenate([row[ends], row[begins]]).astype(np.int64),
        "start": np.concatenate([at[first], at[begins]]),
        "end": np.concatenate([at[ends], at[last]]) + 1,
        "often": np.concatenate([often[ends], often[begins]]),
    }
    return pl.DataFrame(found).filter(pl.col("end") - pl.col("start") >= least)


def _in_many_ways(runs: Runs, common: Common, places: Ints, step: int) -> Ints:
    """Those of the places in `common` whose shingle has no neighbour mostly, on one side.

    All of the places have a neighbour there.
    """
    if not len(places):
        return places
    number = common.number[places]
    pairs = number.view(np.uint64) << _HALF | runs.hashes[common.at[places] + step]
    pairs = ascending(pairs)
    ends = np.flatnonzero(np.append(pairs[1:] != pairs[:-1], True))
    often, own = np.diff(ends, prepend=-1), (pairs[ends] >> _HALF).view(np.int64)
    starts = np.flatnonzero(np.diff(own, prepend=-1))
    times, most = np.add.reduceat(often, starts), np.maximum.reduceat(often, starts)
    in_many = np.zeros(len(common.rows_of), bool)
    in_many[own[starts]] = most < MOSTLY * times
    return places[in_many[number]]


def _pieces(runs: Runs, common: Common, rule: Rule) -> pl.DataFrame:
    """Chains of fewer words, in rows that consist of what stands in many rows but for a few words.

    Without them all rows of a template with a short slot would be compared with each other.
    """
    many = common.only((common.rows_of >= MANY_ROWS)[common.number])
    chains = _chains(runs, many, max(1, PIECE - rule.size + 1))
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


def _beside_rarer(runs: Runs, chains: pl.DataFrame, common: Common, size: int) -> pl.Series:
    """Whether most rows that have a chain have words, too, that are far rarer than it.

    An example that is there in ten wordings, each with two hundred examples, has none: what stands
    beside it is boilerplate, and it is what the row is about.
    """
    has_chain = np.zeros(len(runs.sizes), bool)
    has_chain[chains["row"].to_numpy()] = True
    rows = np.flatnonzero(has_chain)
    # The last words of a row begin no shingle.
    sizes = runs.sizes[rows] + size - 1
    first = np.cumsum(sizes) - sizes
    # How often each shingle of these rows stands anywhere; what is not common, about once.
    times = np.ones(int(sizes.sum()), np.int32)
    number = np.cumsum(has_chain) - 1
    ours = common.only(has_chain[common.row])
    times[(first - runs.bounds[rows])[number[ours.row]] + ours.at] = ours.rows
    # A word is as common as the commonest shingle that it is in, which none is of two rows.
    words = times.copy()
    for back in range(1, size):
        np.maximum(words[back:], times[:-back], out=words[back:])
    rarest = np.minimum.reduceat(words, first)[number[chains["row"].to_numpy()]]
    edges = chains.select(
        "often",
        head=pl.Series(runs.hashes[chains["start"].to_numpy()]),
        tail=pl.Series(runs.hashes[chains["end"].to_numpy() - 1]),
        rarer=pl.Series(rarest) <= MOSTLY * pl.col("often"),
    )
    return edges.select(pl.col("rarer").mean().over("head", "tail") >= MOSTLY).to_series()


def _least(rule: Rule) -> int:
    return MIN_CHARACTERS if rule.unit == "char" else MIN_WORDS


def _outside(runs: Runs, chosen: pl.DataFrame, rule: Rule) -> tuple[Bools, Bools, Ints]:
    """Shingles without a word of boilerplate, those that begin outside, own words of each row."""
    starts, ends = chosen["start"].to_numpy(), chosen["end"].to_numpy()
    owner = chosen["row"].to_numpy()
    seam = rule.size - 1
    compared, own = np.ones(len(runs.hashes), bool), np.ones(len(runs.hashes), bool)
    high = np.minimum(ends + seam, runs.bounds[owner + 1])
    compared[ranges(np.maximum(starts - seam, runs.bounds[owner]), high)] = False
    own[ranges(starts, high)] = False
    words = np.where(runs.sizes > 0, runs.sizes + seam, 0)
    taken = np.bincount(owner, weights=ends - starts + seam, minlength=len(words))
    return compared, own, np.maximum(words - taken.astype(np.int64), 0)


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
