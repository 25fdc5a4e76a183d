"""Signatures equal datasketch's, and bands find pairs as often as theory says."""

from __future__ import annotations

import re

import datasketch
import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from filters.common.shingles import (
    Rule,
    Sets,
    joined,
    run_keys,
    runs_of_column,
    sets_of_column,
    shingle_hash,
    shingle_runs,
)
from filters.dedup.near.filter import Near, signature_column
from filters.dedup.near.minhash import EMPTY, band_entries, enough_bands, hit_rate, signatures
from filters.dedup.near.similarity import pairs_within
from tests.near_rows import records, shingle_sets

WORDS = Rule("word", 3, 8)
TEXTS = [
    "The quick brown fox jumps over the lazy dog, and then over two more dogs.",
    "for (int i = 0; i < 10; i++) { total += values[i] * i; } // a loop over ten values",
    "Ünïcödé “quotes” — and dashes… in a sentence that is long enough to be cut.",
    "a b a b a b a b a b a b",
]


def word_shingles(text: str, size: int) -> set[bytes]:
    words = re.findall(r"\w+", text.lower())
    return {" ".join(words[i : i + size]).encode() for i in range(len(words) - size + 1)}


def character_shingles(text: str, size: int) -> set[bytes]:
    text = " ".join(text.lower().split())
    return {text[i : i + size].encode() for i in range(len(text) - size + 1)}


def sketch(shingles: set[bytes], num_perm: int, seed: int) -> list[int]:
    found = datasketch.MinHash(num_perm, seed, hashfunc=shingle_hash)
    found.update_batch(sorted(shingles))
    return found.hashvalues.tolist()


@pytest.mark.parametrize(("num_perm", "seed"), [(128, 0), (128, 1), (64, 12345), (7, 2**32 - 1)])
def test_signatures_equal_those_of_datasketch_for_the_same_seed_and_shingles(num_perm, seed):
    sets = shingle_sets(pl.Series(TEXTS), WORDS)
    found = signatures(sets, num_perm, seed).tolist()
    assert found == [sketch(word_shingles(text, 3), num_perm, seed) for text in TEXTS]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.text("abc XYZ,.-\nß", max_size=40), max_size=5))
def test_signatures_of_character_shingles_equal_those_of_datasketch(texts):
    sets = shingle_sets(pl.Series(texts, dtype=pl.String), Rule("char", 4, 0))
    expected = [sketch(character_shingles(text, 4), 32, 3) for text in texts]
    assert signatures(sets, 32, 3).tolist() == expected


def test_the_signature_of_an_empty_set_is_datasketchs():
    sets = shingle_sets(pl.Series(["short text", "", TEXTS[0]]), WORDS)
    found = signatures(sets, 16, 0)
    assert (found[:2] == EMPTY).all()
    assert datasketch.MinHash(16, hashvalues=found[0], scheme="affine32").is_empty()
    assert not (found[2] == EMPTY).any()


def test_the_signatures_of_measured_rows_are_a_column():
    step = Near(num_perm=16, seed=9)
    frame = step.measure(records([(text, "") for text in TEXTS] + [("Hi", "")]))
    column = signature_column(step, frame)
    assert column.dtype == pl.Array(pl.UInt32, 16)
    assert column.to_list()[:4] == [sketch(word_shingles(text, 3), 16, 9) for text in TEXTS]
    assert column.to_list()[4] == [EMPTY] * 16


def test_a_datasketch_index_built_from_the_signatures_answers():
    index = datasketch.MinHashLSH(num_perm=128, params=(32, 4))
    texts = [TEXTS[0], TEXTS[1], TEXTS[0].replace("lazy", "tired")]
    found = signatures(shingle_sets(pl.Series(texts), WORDS), 128, 1)
    sketches = [
        datasketch.MinHash(seed=1, hashvalues=row, scheme="affine32", hashfunc=shingle_hash)
        for row in found
    ]
    for name, one in zip("ab", sketches, strict=False):
        index.insert(name, one)
    assert index.query(sketches[2]) == ["a"]
    fresh = datasketch.MinHash(seed=1, hashfunc=shingle_hash)
    fresh.update_batch(word_shingles(texts[1], 3))
    assert index.query(fresh) == ["b"]


def test_the_hash_of_a_shingle_never_changes():
    # Stored signatures and indexes live on it.
    assert shingle_hash(b"the quick brown") == 4200883840
    assert shingle_hash("größe".encode()) == 364378219
    assert shingle_hash(b"") == 0


def test_hashes_of_different_shingles_are_spread_like_random_numbers():
    hashes = np.array(
        [shingle_hash(f"word {n} of {m}".encode()) for n in range(200) for m in range(200)]
    )
    assert len(np.unique(hashes)) > 40_000 - 5  # 0.19 collisions expected
    buckets = np.bincount(hashes % 64, minlength=64)
    assert ((buckets - 625) ** 2 / 625).sum() < 110  # chi-squared with 63 degrees: p = 0.0002


def test_bands_find_pairs_as_often_as_theory_says():
    # Sets of 300 and 300 with c in common, 2,000 pairs for each similarity.
    draw = np.random.default_rng(11)
    bands, rows, pairs = 16, 8, 2_000
    for common in (150, 200, 225, 250, 275):
        hashes = draw.choice(2**32, (pairs, 600 - common), replace=True).astype(np.uint32)
        left, right = hashes[:, :300], hashes[:, 300 - common :]
        stacked = np.sort(np.stack([left, right], axis=1).reshape(2 * pairs, -1)[:, :300], axis=1)
        sets = Sets(stacked.ravel(), np.arange(2 * pairs + 1) * 300)
        entries = band_entries(signatures(sets, bands * rows, 5), bands)
        codes = np.unique(np.concatenate([np.zeros(0, np.uint64), *pairs_within(entries)]))
        lower, higher = codes >> np.uint64(32), codes & np.uint64(0xFFFFFFFF)
        hits = int(((higher == lower + np.uint64(1)) & (lower % np.uint64(2) == 0)).sum())
        expected = hit_rate(common / (600 - common), bands, rows)
        error = (expected * (1 - expected) / pairs) ** 0.5
        assert abs(hits / pairs - expected) < 4 * error + 1 / pairs


def test_more_and_shorter_bands_are_taken_where_the_threshold_is_low():
    assert [enough_bands(t, 128) for t in (0.9, 0.8, 0.65, 0.6, 0.5, 0.3)] == [
        32,
        32,
        32,
        42,
        42,
        64,
    ]
    assert enough_bands(0.05, 128) == 128
    assert enough_bands(0.8, 1) == 1
    for threshold in (0.3, 0.5, 0.6, 0.8):
        bands = enough_bands(threshold, 128)
        assert hit_rate(threshold, bands, 128 // bands) >= 0.995


def test_equal_sets_have_equal_keys_and_others_do_not():
    runs = shingle_runs([pl.Series([TEXTS[0], TEXTS[1], TEXTS[0].upper() + "!", ""])], WORDS)
    first, second, third, empty = run_keys(runs).tolist()
    assert first == third
    assert len({first, second, empty}) == 3
    assert empty == 0


def test_sets_survive_being_a_column_and_being_taken_in_another_order():
    sets = shingle_sets(pl.Series(["", TEXTS[0], "too short", TEXTS[1]]), WORDS)
    column = sets.column("shingles")
    assert column.list.len().to_list() == sets.sizes.tolist()
    again = sets_of_column(column)
    assert again.hashes.tolist() == sets.hashes.tolist()
    assert again.bounds.tolist() == sets.bounds.tolist()
    turned = sets.take(np.array([3, 0, 1]))
    assert turned.column("shingles").to_list() == [column[3].to_list(), [], column[1].to_list()]
    assert joined([]).bounds.tolist() == [0]


def test_shingles_of_two_texts_are_those_of_both_together_in_order_and_say_where_one_ends():
    one, other = (
        pl.Series(["the quick brown fox", "a b c d e", ""]),
        pl.Series(["jumps over the lazy dog", "", "one two three four five six seven eight nine"]),
    )
    runs = shingle_runs([one, other], WORDS)
    together = shingle_runs([one + " " + other], WORDS)
    assert runs.hashes.tolist() == together.hashes.tolist()
    assert runs.sizes.tolist() == [7, 0, 7]
    assert runs.cuts.tolist() == [4, 0, 0]
    again = runs_of_column(runs.column("shingles"), runs.cuts)
    assert again.hashes.tolist() == runs.hashes.tolist()
    assert again.cuts.tolist() == runs.cuts.tolist()
