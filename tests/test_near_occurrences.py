"""In how many rows shingles stand, and what two sets share, against counting one by one."""

from __future__ import annotations

from collections import defaultdict
from itertools import pairwise

import numpy as np
import polars as pl
import pytest

import filters.dedup.near.occurrences
import filters.dedup.near.similarity
from filters.common.shingles import Runs, Sets, as_lists, bounds_of, is_repeated, sets_between
from filters.dedup.near.occurrences import Common, occurrences
from filters.dedup.near.similarity import Comparison


def shingles(rows: int = 400, size: int = 30) -> tuple[np.ndarray, np.ndarray]:
    """Hashes of all ranges, many in several rows and some twice in one, and their rows."""
    chance = np.random.default_rng(0)
    known = chance.integers(0, 1 << 32, 3_000, dtype=np.uint32)
    hashes = known[(chance.random(rows * size) ** 2 * len(known)).astype(int)]
    return hashes, np.repeat(np.arange(rows, dtype=np.uint32), size)


@pytest.mark.parametrize("at_once", [1 << 21, 500])
@pytest.mark.parametrize("share", [1.0, 0.6])
def test_a_shingle_counts_once_in_each_row_that_counts(
    monkeypatch: pytest.MonkeyPatch, at_once: int, share: float
) -> None:
    monkeypatch.setattr(filters.dedup.near.occurrences, "_AT_ONCE", at_once)
    hashes, owner = shingles()
    counts = np.random.default_rng(1).random(400) < share
    rows_of = defaultdict(set)
    for value, row in zip(hashes.tolist(), owner.tolist(), strict=True):
        if counts[row]:
            rows_of[value].add(row)
    monkeypatch.setattr(filters.dedup.near.occurrences, "_BLOCK", at_once)
    ranks, every = occurrences(hashes, owner, counts, min_rows=5)
    bounds = np.arange(0, len(hashes) + 1, len(hashes) // 400)
    blocks = list(every.blocks(Runs(hashes, bounds, np.zeros(400, np.int64))))
    assert (len(blocks) > 1) == (at_once == 500)
    common = Common(*(np.concatenate(parts) for parts in zip(*blocks, strict=True)))
    common = common._replace(rows_of=every.rows_of)
    ours = counts[owner]
    times = np.array([len(rows_of[value]) for value in hashes.tolist()])
    bits = [int(time).bit_length() for time in times[ours]]
    assert ranks[ours].tolist() == bits
    assert common.at.tolist() == np.flatnonzero(ours & (times >= 5)).tolist()
    assert common.rows.tolist() == times[common.at].tolist()
    assert common.row.tolist() == owner[common.at].tolist()
    pairs = {*zip(common.number.tolist(), hashes[common.at].tolist(), strict=True)}
    assert len(pairs) == len({number for number, _ in pairs}) == len({one for _, one in pairs})


def test_without_shingles_none_is_common() -> None:
    none = np.zeros(0, np.uint32)
    ranks, common = occurrences(none, none, min_rows=2)
    assert len(ranks) == len(common.numbers) == len(common.rows_of) == 0


@pytest.mark.parametrize("few", [0, 1 << 22])
def test_few_pairs_and_many_are_compared_alike(monkeypatch: pytest.MonkeyPatch, few: int) -> None:
    monkeypatch.setattr(filters.dedup.near.similarity, "FEW", few)
    hashes, _ = shingles()
    bounds = np.arange(0, len(hashes) + 1, 30)
    sets = sets_between(hashes, bounds[:-1], bounds[1:])
    # As in the order of their ranks: not ascending.
    mixed = np.concatenate(
        [
            sets.hashes[low:high][::-1]
            for low, high in zip(sets.bounds, sets.bounds[1:], strict=False)
        ]
    )
    left, right = np.divmod(np.arange(400 * 400), 400)
    found = Comparison(Sets(mixed, sets.bounds)).common(left, right)
    every = [{*hashes[low : low + 30].tolist()} for low in bounds[:-1].tolist()]
    wanted = [len(every[a] & every[b]) for a, b in zip(left, right, strict=True)]
    assert found.tolist() == wanted


def test_values_that_are_there_again_are_found() -> None:
    values = np.array([7, 3, 7, 0, 5, 3, 7], np.uint64)
    assert is_repeated(values).tolist() == [True, True, True, False, False, True, True]
    assert is_repeated(values[:0]).tolist() == []


@pytest.mark.parametrize("sizes", [[2, 0, 1, 0], [0, 0], [1, 2], []])
def test_lists_are_made_of_values_end_to_end(sizes: list[int]) -> None:
    values = np.arange(sum(sizes))
    ends = bounds_of(np.array(sizes, np.int64))
    made = as_lists(pl.Series("it", values), np.array(sizes, np.int64))
    assert made.to_list() == [values[low:high].tolist() for low, high in pairwise(ends)]
