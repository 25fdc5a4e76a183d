"""The search for near-duplicates: the textbook's verdicts, in far less than all pairs."""

from __future__ import annotations

import re
import time
from itertools import pairwise, product

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import filters.dedup.near.groups
import filters.dedup.near.search
from curate.pipeline.judging import judge
from filters.common.shingles import Sets
from filters.dedup.near.filter import Near, decide
from filters.dedup.near.similarity import (
    Comparison,
    likely_pairs,
    pair_count,
    pairs_across,
    pairs_between,
    pairs_within,
    rare_entries,
    shared_entries,
    split,
)
from tests.near_rows import dropped, records

# Similarity alone decides, as in the textbook.
ALONE = {"protect": (), "common_rows": 0}
TEXTS = st.lists(st.lists(st.sampled_from("abcd"), max_size=9).map(" ".join), max_size=14)


def jaccard(one: set[str], other: set[str]) -> float:
    return len(one & other) / len(one | other) if one and other else 0.0


def textbook(texts: list[str], size: int, threshold: float) -> dict[int, tuple[int, float]]:
    """Every pair in turn: `duplicate_of` and similarity of each drop."""
    sets, kept, gone = [], [], {}
    for text in texts:
        words = re.findall(r"\w+", text)
        sets.append({" ".join(words[i : i + size]) for i in range(len(words) - size + 1)})
    for number, shingles in enumerate(sets):
        for other in kept:
            similarity = jaccard(shingles, sets[other])
            if not shingles and not sets[other]:
                similarity = float(texts[number] == texts[other] != "")
            if similarity >= threshold:
                gone[number] = (other, similarity)
                break
        else:
            kept.append(number)
    return gone


def verdicts_of(texts: list[str], **wanted) -> dict[int, tuple[int, float]]:
    found = judge(
        Near(shingle="word", **ALONE, **wanted), records([("", text) for text in texts])
    ).verdicts
    return {
        row: (other, score)
        for row, (other, score) in enumerate(found.select("duplicate_of", "score").rows())
        if other is not None
    }


@settings(max_examples=50, deadline=None)
@given(TEXTS, st.integers(1, 3), st.sampled_from([0.25, 1 / 3, 0.5, 0.6, 0.7, 0.8, 1.0]))
def test_verdicts_are_those_of_comparing_every_pair(texts, size, threshold):
    expected = textbook(texts, size, threshold)
    assert verdicts_of(texts, size=size, threshold=threshold) == expected


@settings(max_examples=25, deadline=None)
@given(TEXTS, st.sampled_from([0.25, 0.5, 0.7]))
def test_halving_the_work_does_not_change_the_verdicts(texts, threshold):
    expected = textbook(texts, 1, threshold)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(filters.dedup.near.groups, "BUDGET", 2)
        assert verdicts_of(texts, size=1, threshold=threshold) == expected


@settings(max_examples=25, deadline=None)
@given(TEXTS, st.sampled_from([0.5, 0.7, 0.9]))
def test_signatures_find_only_true_pairs_and_with_one_row_a_band_nearly_all(texts, threshold):
    expected = textbook(texts, 1, threshold)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(filters.dedup.near.search, "EXACT_SHINGLES", -1)
        assert verdicts_of(texts, size=1, threshold=threshold, bands=128) == expected


@settings(max_examples=25, deadline=None)
@given(TEXTS, st.sampled_from([0.25, 0.5, 0.7]))
def test_connected_clusters_are_the_components_of_all_similar_pairs(texts, threshold):
    step = Near(shingle="word", size=1, threshold=threshold, clusters="connected", **ALONE)
    frame = judge(step, records([("", text) for text in texts])).measures
    label = list(range(len(texts)))
    sets = [set(text.split()) for text in texts]
    for number in range(len(texts)):
        for other in range(number):
            if jaccard(sets[number], sets[other]) >= threshold:
                high, low = max(label[number], label[other]), min(label[number], label[other])
                label = [low if one == high else one for one in label]
    assert decide(step, frame).root.tolist() == label


GROUPED = st.lists(
    st.tuples(
        st.sampled_from(["", "one", "two", "three"]),  # a blank prompt is of no group
        st.lists(st.sampled_from("abc"), min_size=1, max_size=4).map(" ".join),
    ),
    max_size=10,
)


@settings(max_examples=150, deadline=None)
@given(GROUPED, st.integers(1, 2), st.sampled_from([0.3, 0.5, 0.7, 1.0]))
def test_connected_clusters_are_components_of_pairs_of_different_prompts(rows, size, threshold):
    sets = []
    for _, text in rows:
        words = text.split()
        sets.append({" ".join(words[at : at + size]) for at in range(len(words) - size + 1)})
    root = list(range(len(rows)))
    for _ in rows:  # as often as a chain can be long
        for one, (prompt, text) in enumerate(rows):
            for other in range(one):
                same = rows[other][1] == text and not sets[one]
                close = jaccard(sets[one], sets[other]) >= threshold or same
                if close and (rows[other][0] != prompt or prompt == ""):
                    root[one] = root[other] = min(root[one], root[other])
    assert roots_of(rows, size=size, threshold=threshold) == root


def roots_of(rows: list[tuple[str, str]], **wanted) -> list[int]:
    """The first row of the cluster of each, where rows of one prompt are no duplicates."""
    view = {"field": "response", "shingle": "word", "exempt": "same_prompt", **ALONE}
    # Words are long, since short responses are compared together with their prompts.
    long = [(prompt, " ".join(50 * word for word in text.split())) for prompt, text in rows]
    step, about = Near(**view, clusters="connected", **wanted), records(long)
    measures = pl.concat([about.select("row", "id"), step.measure(about)], how="horizontal")
    return decide(step, measures).root.tolist()


@pytest.mark.parametrize(
    ("rows", "root"),
    [
        # The very same row twice, and a third of another prompt that is like both.
        ([("p", "a b c d"), ("p", "a b c d"), ("q", "a b c d")], [0, 0, 0]),
        ([("p", "a b c d"), ("p", "a b c d"), ("q", "a b c e")], [0, 0, 0]),
        ([("q", "a b c e"), ("p", "a b c d"), ("p", "a b c d")], [0, 0, 0]),
        ([("p", "a"), ("p", "a"), ("q", "a"), ("q", "a")], [0, 0, 0, 0]),
        # Nothing of another prompt is like them: rows of one prompt are no duplicates.
        ([("p", "a b c d"), ("p", "a b c d"), ("q", "x y z")], [0, 1, 2]),
        ([("p", "a b c d"), ("p", "a b c e"), ("p", "a b c d")], [0, 1, 2]),
        # Of the same prompt as a row in a cluster, but like none of another prompt.
        ([("p", "a b c d"), ("q", "a b c d"), ("p", "a x y z")], [0, 0, 2]),
    ],
)
def test_a_row_of_the_same_prompt_is_in_the_cluster_of_its_equal(rows, root):
    assert roots_of(rows, size=1, threshold=0.6) == root


def test_too_much_work_is_left_to_the_signatures(monkeypatch):
    texts = [f"these are the same ten words here for all rows {n} {n + 1}" for n in range(60)]
    expected = verdicts_of(texts, threshold=0.6)
    assert expected
    seen = []
    spy = filters.dedup.near.search.band_entries
    monkeypatch.setattr(
        filters.dedup.near.search, "band_entries", lambda *given: seen.append(1) or spy(*given)
    )
    monkeypatch.setattr(filters.dedup.near.search, "EXACT_WORK", 100)
    monkeypatch.setattr(filters.dedup.near.search, "WORK_A_SHINGLE", 0)
    assert verdicts_of(texts, threshold=0.6) == expected
    assert seen


def random_sets(count: int, seed: int) -> Sets:
    draw = np.random.default_rng(seed)
    sets = [np.unique(draw.integers(0, 40, draw.integers(0, 20))) for _ in range(count)]
    bounds = np.cumsum([0, *map(len, sets)])
    return Sets(np.concatenate(sets).astype(np.uint32), bounds)


@pytest.mark.parametrize("threshold", [0.2, 0.4, 0.6, 0.9, 1.0])
def test_no_pair_at_the_threshold_escapes_the_rare_prefixes(threshold):
    sets = random_sets(120, seed=2)
    numbers = np.arange(120)
    left, right = (side.ravel() for side in np.meshgrid(numbers, numbers))
    left, right = left[left < right], right[left < right]
    near = Comparison(sets).similarity(left, right) >= threshold
    wanted = set(zip(left[near].tolist(), right[near].tolist(), strict=True))
    pairs = np.concatenate(list(pairs_within(rare_entries(sets, threshold))))
    found = set(zip(*(side.tolist() for side in split(pairs)), strict=True))
    assert wanted <= found
    if threshold > 0.5:
        assert len(found) < 120 * 119 / 4  # and they do rule pairs out


@pytest.mark.parametrize("threshold", [0.5, 0.8])
def test_how_many_pairs_there_will_be_is_known_before(threshold):
    draw = np.random.default_rng(3)
    tokens = draw.integers(0, 2**32, 20_000, dtype=np.uint32)
    squared = (draw.random((3_000, 60)) ** 2 * len(tokens)).astype(int)
    sets = [np.unique(tokens[row]) for row in squared]
    sets = Sets(np.concatenate(sets), np.cumsum([0, *map(len, sets)]))
    likely, found = likely_pairs(sets, threshold), pair_count(rare_entries(sets, threshold))
    assert found > 1_000
    assert found / 3 < likely < found * 3


def test_jaccard_is_that_of_python_sets():
    sets = random_sets(50, seed=4)
    whole = [set(sets.hashes[low:high].tolist()) for low, high in pairwise(sets.bounds)]
    left, right = np.divmod(np.arange(2500), 50)
    expected = [
        jaccard(whole[one], whole[other])
        for one, other in zip(left.tolist(), right.tolist(), strict=True)
    ]
    assert Comparison(sets).similarity(left, right).tolist() == expected


def test_buckets_give_each_pair_within_across_and_between(monkeypatch):
    monkeypatch.setattr("filters.dedup.near.similarity.SLICE", 3)
    entries = shared_entries(
        np.array([(7 << 32) | n for n in (4, 1, 3, 2)] + [(9 << 32) | 5], np.uint64)
    )
    assert pair_count(entries) == 6
    assert set(codes(pairs_within(entries))) == {(1, 2), (1, 3), (1, 4), (2, 3), (2, 4), (3, 4)}
    assert set(codes(pairs_across(entries[:2], entries[2:]))) == {(1, 3), (1, 4), (2, 3), (2, 4)}
    label = np.array([0, 1, 2, 1, 1])
    assert set(codes(pairs_between(entries, label))) == {(1, 2), (2, 3), (2, 4)}


def codes(slices) -> list[tuple[int, int]]:
    found = np.concatenate([np.zeros(0, np.uint64), *slices])
    return list(zip(*(side.tolist() for side in split(found)), strict=True))


LONG = " ".join(f"word{n % 97} and{n % 89}" for n in range(60))


def seconds_of(step: Near, frame: pl.DataFrame) -> tuple[float, pl.DataFrame]:
    started = time.process_time()
    found = judge(step, frame).verdicts
    return time.process_time() - started, found


def test_twenty_thousand_identical_rows_take_no_more_time_than_others():
    copies = records([(LONG, "")])[[0] * 20_000].with_columns(
        row=pl.arange(20_000, dtype=pl.UInt32, eager=True)
    )
    seconds, found = seconds_of(Near(), copies)
    assert found["keep"].sum() == 1
    assert found["duplicate_of"].drop_nulls().unique().to_list() == [0]
    assert seconds < 20


@pytest.mark.parametrize("exact_shingles", [1 << 24, -1])
def test_thousands_of_near_copies_are_not_compared_with_each_other(exact_shingles, monkeypatch):
    monkeypatch.setattr(filters.dedup.near.search, "EXACT_SHINGLES", exact_shingles)
    compared = 0
    original = Comparison.similarity

    def counted(self, left, right, floor):
        nonlocal compared
        compared += len(left)
        return original(self, left, right, floor)

    monkeypatch.setattr(Comparison, "similarity", counted)
    words = ["".join(letters) for letters in product("abcdefghijklm", repeat=3)][:2_000]
    rows = [(f"{LONG} called {word} by many", "") for word in words]
    assert judge(Near(**ALONE), records(rows)).verdicts["keep"].sum() == 1
    assert compared < 100 * 2_000  # of 2 million pairs


def test_hostile_rows_are_measured_and_kept():
    rows = [
        ("x" * 5_000_000, ""),
        ("word " * 100_000, ""),
        ("🎉" * 50_000, ""),
        ("", "\n" * 10_000),
        ("北" * 20_000, ""),
        ("\x00\x1f\x7f", "\u202e\ufeff"),
        (" ".join(map(str, range(700_000))), ""),  # 4.8 MB, 700,000 different words
    ]
    for step in (Near(), Near(shingle="char")):
        seconds, found = seconds_of(step, records(rows))
        assert found["keep"].all()
        assert seconds < 30


def test_rows_of_one_repeated_word_are_one_shingle_and_equal():
    assert dropped(Near(**ALONE), [("ha " * 20, ""), ("ha " * 30, ""), ("ho " * 20, "")]) == {1: 0}
