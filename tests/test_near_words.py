"""The words of a text as codes: what is one word in two ways of writing, and what is not."""

from __future__ import annotations

import random

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from filters.common.text import plain
from filters.dedup.differences.words import CAPITAL, NUMBER, SIGN, START, WORD, codes_of, word_lists


def words(text: str) -> list[int]:
    return (codes_of(pl.Series([text]))[0] & WORD).tolist()


def flags(text: str, flag) -> list[bool]:
    return (codes_of(pl.Series([text]))[0] & flag != 0).tolist()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("don't go", "do not go"),
        ("it won’t", "it will not"),
        ("I can't see", "I can not see"),
        ("three apples", "3 apples"),
        ("the second row", "the 2nd row"),
        ("1,000,000 stars", "1000000 stars"),
        ("x² = 4", "x^2 = 4"),
        ("a ≤ 3", "a <= 3"),
        ("“Quoted”", '"quoted"'),
        ("the year 1990–1995", "the year 1990-1995"),
        ("ÜBER Straße", "über straße"),
        ("Привет МИР", "привет мир"),
        ("ΑΘΗΝΑ", "αθηνα"),
        ("ﬁne", "fine"),
        ("zero\u200bwidth", "zerowidth"),
        ("３ cats", "3 cats"),
    ],
)
def test_what_is_written_in_two_ways_has_one_code(one, other):
    assert words(one) == words(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("3.5 apples", "35 apples"),
        ("1,00 apples", "100 apples"),
        ("x^2", "x2"),
        ("a < 3", "a > 3"),
        ("3 + 5", "3 - 5"),
        ("C", "C#"),
        ("C++ now", "C now"),
        ("北京", "南京"),
        ("antidisestablish", "antidisestablished"),
        ("$5", "€5"),
        ("5%", "5"),
        ("🎉", "🔥"),
    ],
)
def test_what_says_something_else_has_other_codes(one, other):
    assert words(one) != words(other)


def test_flags_tell_numbers_signs_capitals_and_starts():
    assert flags("In 1990 two men", NUMBER) == [False, True, True, False]
    assert flags("3 + x", SIGN) == [False, True, False]
    assert flags("well-known, if-then", SIGN) == [False] * 4
    assert flags("We saw Paris. It rained", CAPITAL) == [True, False, True, True, False]
    assert flags("We saw Paris. It rained", START) == [True, False, False, True, False]


def test_entities_are_read_as_what_they_mean():
    assert plain(pl.Series(["a &lt; b &amp; c &#39;d&#39;", "R&D; AT&T"])).to_list() == [
        "a < b & c 'd'",
        "R&D; AT&T",
    ]


TEXTS = st.lists(
    st.text("abN'tZ ., 0123\n-+<=^%$é²北🎉’\u200b\ud7ff\u202e", max_size=25)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
    max_size=6,
)


@settings(max_examples=200, deadline=None)
@given(TEXTS)
def test_a_row_has_the_same_codes_among_others_as_alone(texts):
    alone = [codes_of(pl.Series([text]))[0].tolist() for text in texts]
    assert word_lists(pl.Series(texts, dtype=pl.String), "words").to_list() == alone


@settings(max_examples=100, deadline=None)
@given(st.lists(st.text("abcdefghij", min_size=1, max_size=14), max_size=8))
def test_plain_words_have_equal_codes_where_they_are_equal(given_words):
    codes = words(" ".join(given_words))
    assert len(codes) == len(given_words)
    assert len(set(codes)) == len(set(given_words))


def test_long_and_odd_texts_have_codes():
    draw = random.Random(1)
    long = " ".join(str(draw.randrange(10**6)) for _ in range(100_000))
    texts = ["", "!!!", "---", "\n" * 9, long, "ha " * 10_000, "\u202eabc\u202c", "'t", "n't", "t"]
    sizes = codes_of(pl.Series(texts))[1].tolist()
    assert sizes[4:6] == [100_000, 10_000]
    assert sizes[:1] == [0]
