"""How the words of two texts are compared: typos, moved sentences, names, and rows in any order."""

from __future__ import annotations

import random

import numpy as np
import polars as pl
import pytest

from curate.pipeline.judging import judge
from filters.dedup.differences.pairs import Words, is_typo, left_over, other_case
from filters.dedup.differences.words import code_of, codes_of
from filters.dedup.near.filter import Near
from tests.near_rows import dropped, records


def codes(text: str) -> list[int]:
    found: list[int] = codes_of(pl.Series([text]))[0].tolist()
    return found


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("light", "lihgt", True),
        ("light", "lights", True),
        ("colour", "color", True),
        ("recieve", "receive", True),
        ("encyclopaedia", "encyclopedia", True),
        ("iran", "iraq", False),
        ("austria", "australia", False),
        ("light", "night", True),
        ("lamp", "lump", False),
        ("green", "brown", False),
    ],
)
def test_words_of_five_letters_or_more_with_one_letter_changed_are_typos(one, other, expected):
    assert is_typo(code_of(one), code_of(other)) is expected
    assert is_typo(code_of(other), code_of(one)) is expected


def test_what_is_left_over_stands_place_by_place():
    one, other = codes("the red house by the sea"), codes("the blue house by the wide sea")
    assert left_over(one, other) == [([one[1]], [other[1]]), ([], [other[5]])]


def test_three_words_that_moved_are_not_left_over():
    one = codes("alpha beta gamma then delta epsilon zeta eta")
    other = codes("delta epsilon zeta eta then alpha beta gamma")
    assert sum(len(a) + len(b) for a, b in left_over(one, other)) <= 2


def test_one_or_two_capitals_inside_a_sentence_are_a_difference_and_all_are_none():
    assert other_case(codes("We polish shoes here"), codes("We Polish shoes here"))
    assert not other_case(codes("We Saw The Old Town"), codes("we saw the old town"))
    assert not other_case(codes("We saw it"), codes("We saw it"))


def test_sums_tell_order_only_where_asked():
    words = Words.of(pl.Series([[1, 2, 3], [3, 2, 1], [], [1, 2, 3]], dtype=pl.List(pl.UInt64)))
    any_order, in_order = words.sums().tolist(), words.sums(in_order=True).tolist()
    assert any_order[0] == any_order[1] == any_order[3]
    assert in_order[0] == in_order[3] != in_order[1]
    assert any_order[2] == in_order[2] == 0


LONG = (
    "Please describe for a visitor from abroad what the old harbour looked like before the storm "
    "and which of its buildings are still standing along the quay today"
)


@pytest.mark.parametrize(
    ("one", "other", "kept"),
    [
        ("in Lisbon", "in Porto", True),
        ("in Lisbon", "in Lisbom", False),
        ("in lisbon", "in Lisbon", True),  # a capital in the middle may be a name
        ("for US readers", "for us readers", True),
        ("for your readers", "for our readers", False),
    ],
)
def test_names_inside_a_sentence(one, other, kept):
    rows = [(f"{LONG} {one} and why", ""), (f"{LONG} {other} and why", "")]
    assert dropped(Near(), rows) == ({} if kept else {1: 0})


def test_a_name_at_the_start_of_a_sentence_is_known_from_other_rows():
    rows = [(f"{LONG}. Lisbon is old.", ""), (f"{LONG}. Porto is old.", "")]
    others = [
        (f"We went to {name} by train and it rained all day.", "") for name in ("Lisbon", "Porto")
    ]
    assert 1 not in dropped(Near(), [*rows, *others])


ROWS = [
    (f"{LONG} {what} number {number % 7}", f"It was {what} and then {number % 3} more of them.")
    for number, what in enumerate(
        ["in Rome", "в Риме", "在罗马", "x² + 3", "not now", "", "5 to 3", "!!!", "a <= b", "🎉"]
        * 6
    )
] + [("3", ""), ("- 5", "+"), ("^", "3"), ("", ""), ("'t", "n't")]


def test_measures_of_a_row_are_the_same_alone_and_in_any_order(monkeypatch):
    whole = Near().measure(records(ROWS))
    order = random.Random(3).sample(range(len(ROWS)), len(ROWS))
    monkeypatch.setattr("filters.common.text.BLOCK", 300)
    moved = Near().measure(records([ROWS[at] for at in order]))
    assert moved.equals(whole[order])
    alone = pl.concat([Near().measure(records([row])) for row in ROWS])
    assert alone.equals(whole)


def test_pairs_do_not_depend_on_how_many_are_compared_at_once(monkeypatch):
    frame = records(ROWS)
    expected = judge(Near(), frame)
    assert not expected.verdicts["keep"].all()
    monkeypatch.setattr("filters.dedup.near.groups.BUDGET", 3)
    monkeypatch.setattr("filters.dedup.near.similarity.SLICE", 5)
    found = judge(Near(), frame)
    assert found.verdicts.equals(expected.verdicts)
    assert np.array_equal(found.findings.sentences, expected.findings.sentences)
