"""Text that stands in many rows and says nothing about one of them: definitions, wrappers.

Found by the rows themselves. A shingle that `min_rows` rows have is common. Where rows that have it
go on in many ways, and no way is that of most of them, text that they share may end (or begin).
What stands before that place and is about as common, or commoner, is boilerplate if it is of
`MIN_WORDS` words or more and most of the rows have words, too, that are far rarer. So a task
definition before 171 reviews is found, and a row that was copied 171 times with a change here and
there is not: at each place most copies go on alike.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import polars as pl

from filters.common.arrays import U32, U64, Bools, Ints
from filters.common.shingles import Rule, Runs, distinct, ranges

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
    common = _Common.of(runs, *_common(runs, rows, min_rows), min_rows)
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


def _common(runs: Runs, rows: Ints, min_rows: int) -> tuple[Ints, Ints]:
    """Where the shingles of these rows stand that are there at least so often, and their numbers.

    They may all be of one row; which of them so many rows have is found out of these few.
    """
    is_ours = np.zeros(len(runs.sizes), bool)
    is_ours[rows] = True

    def ours() -> Iterator[U32]:
        for low, high, part in _row_slices(runs):
            yield part[np.repeat(is_ours[low:high], runs.sizes[low:high])]

    # Most shingles stand once; a count by their upper bits leaves few to be sorted.
    bits = min(24, max(10, len(runs.hashes).bit_length()))
    lower = np.uint32(32 - bits)
    bucket = np.zeros(1 << bits, np.int64)
    for part in ours():
        bucket += np.bincount(part >> lower, minlength=1 << bits)
    often = [part[(bucket >= min_rows)[part >> lower]] for part in ours()]
    values, counts = np.unique(np.concatenate([_NONE, *often]), return_counts=True)
    values = values[counts >= min_rows]
    if not len(values):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    known = np.zeros(1 << bits, bool)
    known[values >> lower] = True
    found, numbers = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for low, high, part in _row_slices(runs):
        here = known[part >> lower] & np.repeat(is_ours[low:high], runs.sizes[low:high])
        at = np.flatnonzero(here)
        place = np.minimum(np.searchsorted(values, part[at]), len(values) - 1)
        is_common = values[place] == part[at]
        found.append(at[is_common] + runs.bounds[low])
        numbers.append(place[is_common])
    return np.concatenate(found), np.concatenate(numbers)


def _row_slices(runs: Runs) -> Iterator[tuple[int, int, U32]]:
    """Rows from, to, and their shingles, some millions at a time."""
    count = len(runs.sizes)
    step = max(1, count * _AT_ONCE // max(1, len(runs.hashes)))
    for low in range(0, count, step):
        high = min(low + step, count)
        yield low, high, runs.hashes[runs.bounds[low] : runs.bounds[high]]


class _Common(NamedTuple):
    """Where common shingles stand in `hashes`, in which row, and in how many rows in all."""

    at: Ints
    row: Ints
    times: Ints

    @classmethod
    def of(cls, runs: Runs, at: Ints, number: Ints, min_rows: int) -> _Common:
        """Those of these places whose shingles stand in so many rows, however often in each."""
        row = np.searchsorted(runs.bounds, at, "right") - 1
        pairs = distinct(number.astype(np.uint64) << _HALF | row.astype(np.uint64))
        times = np.bincount((pairs >> _HALF).astype(np.int64), minlength=1)[number]
        chosen = times >= min_rows
        return cls(at[chosen], row[chosen], times[chosen])

    @property
    def beside(self) -> Bools:
        """Whether the next one stands right behind each, in the same row."""
        found = np.zeros(len(self.at), bool)
        found[:-1] = (self.at[1:] == self.at[:-1] + 1) & (self.row[1:] == self.row[:-1])
        return found

    def in_long_runs(self, least: int) -> _Common:
        """Those of at least so many side by side."""
        run = np.cumsum(np.concatenate([[True], ~self.beside])[:-1]) - 1
        chosen = np.bincount(run)[run] >= least
        return _Common(self.at[chosen], self.row[chosen], self.times[chosen])


def _chains(runs: Runs, common: _Common, least: int) -> pl.DataFrame:
    """Text that ends (or begins) where rows go on in many ways, and is about as common throughout.

    It has at least so many shingles. A line for each in each row: `row`, its shingles as `start`,
    `end` in `hashes`, and how `often` the shingle at that end stands anywhere. They may overlap.
    """
    common = common.in_long_runs(least)
    hashes, at, row = runs.hashes, common.at, common.row
    following, preceding = at + 1 < runs.bounds[row + 1], at > runs.bounds[row]
    after = _Neighbours.of(hashes[at[following]], hashes[at[following] + 1])
    before = _Neighbours.of(hashes[at[preceding]], hashes[at[preceding] - 1])
    ends = np.flatnonzero(following & after.in_many_ways(hashes[at]))
    begins = np.flatnonzero(preceding & before.in_many_ways(hashes[at]))
    first, last = _reach(common, ends, -1), _reach(common, begins, 1)
    found = {
        "row": np.concatenate([row[ends], row[begins]]),
        "start": np.concatenate([at[first], at[begins]]),
        "end": np.concatenate([at[ends], at[last]]) + 1,
        "often": np.concatenate([common.times[ends], common.times[begins]]),
    }
    return pl.DataFrame(found).filter(pl.col("end") - pl.col("start") >= least)


def _pieces(runs: Runs, common: _Common, rule: Rule) -> pl.DataFrame:
    """Chains of fewer words, in rows that consist of what stands in many rows but for a few words.

    Without them all rows of a template with a short slot would be compared with each other.
    """
    chosen = common.times >= MANY_ROWS
    many = _Common(common.at[chosen], common.row[chosen], common.times[chosen])
    chains = _chains(runs, many, max(1, PIECE - rule.size + 1))
    if not chains.height:
        return chains
    seam = rule.size - 1
    taken = _merged(chains).group_by("row").agg((pl.col("end") - pl.col("start") + seam).sum())
    sizes = pl.Series(runs.sizes[taken["row"].to_numpy()] + seam)
    covered = (pl.col("end") >= MIN_WORDS) & (sizes - pl.col("end") < MIN_WORDS)
    return chains.join(taken.filter(covered), on="row", how="semi", maintain_order="left")


def _reach(common: _Common, places: Ints, step: int) -> Ints:
    """How far from each place, one way, what stands side by side is about as common or commoner."""
    reached, which = places.copy(), np.arange(len(places))
    least, beside = MOSTLY * common.times[places], common.beside
    # One shingle at a time, all places together: as many rounds as the longest has to go.
    while len(which):
        here = reached[which]
        goes_on = beside[here] if step > 0 else (here > 0) & beside[here - 1]
        which, here = which[goes_on], here[goes_on] + step
        enough = common.times[here] >= least[which]
        which = which[enough]
        reached[which] = here[enough]
    return reached


def _merged(chains: pl.DataFrame) -> pl.DataFrame:
    """Those that overlap as one: `row`, `start`, `end`."""
    upto = pl.col("end").cum_max().over("row").shift(1).over("row")
    return (
        chains.sort("start", "end")
        .with_columns(group=(pl.col("start") > upto).fill_null(True).cum_sum())
        .group_by("row", "group", maintain_order=True)
        .agg(pl.col("start").min(), pl.col("end").max())
        .drop("group")
    )


def _beside_rarer(runs: Runs, chains: pl.DataFrame, common: _Common, size: int) -> pl.Series:
    """Whether most rows that have a chain have words, too, that are far rarer than it.

    An example that is there in ten wordings, each with two hundred examples, has none: what stands
    beside it is boilerplate, and it is what the row is about.
    """
    rows = np.unique(chains["row"].to_numpy())
    # The last words of a row begin no shingle.
    sizes = runs.sizes[rows] + size - 1
    first = np.cumsum(sizes) - sizes
    # How often each shingle of these rows stands anywhere; what is not common, about once.
    times = np.ones(int(sizes.sum()), np.int64)
    number = np.minimum(np.searchsorted(rows, common.row), len(rows) - 1)
    ours = rows[number] == common.row
    number = number[ours]
    times[first[number] + common.at[ours] - runs.bounds[rows[number]]] = common.times[ours]
    # A word is as common as the commonest shingle that it is in.
    words, owner = times.copy(), np.repeat(np.arange(len(rows)), sizes)
    for back in range(1, size):
        same = owner[back:] == owner[:-back]
        words[back:][same] = np.maximum(words[back:][same], times[:-back][same])
    rarest = np.minimum.reduceat(words, first)[np.searchsorted(rows, chains["row"].to_numpy())]
    edges = chains.select(
        "often",
        head=pl.Series(runs.hashes[chains["start"].to_numpy()]),
        tail=pl.Series(runs.hashes[chains["end"].to_numpy() - 1]),
        rarer=pl.Series(rarest) <= MOSTLY * pl.col("often"),
    )
    return edges.select(pl.col("rarer").mean().over("head", "tail") >= MOSTLY).to_series()


class _Neighbours(NamedTuple):
    """How often shingles stand beside others, on one side.

    `pairs` are `shingle << 32 | neighbour`, ascending, each so `often`; `shingles` have a neighbour
    `times` times, and the commonest `most` times.
    """

    pairs: U64
    often: Ints
    shingles: U32
    times: Ints
    most: Ints

    @classmethod
    def of(cls, shingles: U32, neighbours: U32) -> _Neighbours:
        """From all places where one stands beside another."""
        pairs, often = np.unique(
            shingles.astype(np.uint64) << _HALF | neighbours, return_counts=True
        )
        own, first = np.unique((pairs >> _HALF).astype(np.uint32), return_index=True)
        if not len(own):
            return cls(pairs, often, own, often, often)
        times, most = np.add.reduceat(often, first), np.maximum.reduceat(often, first)
        return cls(pairs, often, own, times, most)

    def in_many_ways(self, shingles: U32) -> Bools:
        """Whether each has no neighbour mostly."""
        place = np.minimum(np.searchsorted(self.shingles, shingles), max(len(self.shingles) - 1, 0))
        if not len(self.shingles):
            return np.zeros(len(shingles), bool)
        known = self.shingles[place] == shingles
        many: Bools = known & (self.most[place] < MOSTLY * self.times[place])
        return many


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
