"""Excerpts of strangers' text: short, cut visibly, with what differs marked."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from curate.report.excerpts import Piece, excerpt, side_by_side


def test_an_excerpt_says_how_much_it_leaves_out() -> None:
    assert excerpt("short") == [Piece("short")]
    assert excerpt("a" * 405, limit=400)[-1] == Piece("… 5 more characters", "cut")
    assert excerpt("a" * 401, limit=400)[-1] == Piece("… 1 more character", "cut")
    around = excerpt("x" * 1000 + "HERE" + "y" * 1000, "HERE", limit=100)
    assert [piece.kind for piece in around] == ["cut", "text", "mark", "text", "cut"]
    assert sum(len(piece.text) for piece in around if piece.kind != "cut") == 100


def test_long_duplicates_are_shown_from_shortly_before_their_first_difference() -> None:
    same = "the very same words " * 100
    one, other = side_by_side(f"{same}red end", f"{same}blue end")
    assert one[0] == Piece("1,864 characters before …", "cut")
    assert [piece.text for piece in one if piece.kind == "mark"] == ["red"]
    assert [piece.text for piece in other if piece.kind == "mark"] == ["blue"]


def test_text_without_spaces_between_words_is_compared_by_character() -> None:
    one, other = side_by_side("今天天气很好", "今天天气不好")
    assert [piece.text for piece in one if piece.kind == "mark"] == ["很"]
    assert [piece.text for piece in other if piece.kind == "mark"] == ["不"]


@settings(max_examples=40, deadline=None)
@given(st.text(max_size=300), st.text(max_size=300))
def test_two_texts_side_by_side_lose_nothing_but_what_is_counted(one: str, other: str) -> None:
    for original, pieces in zip((one, other), side_by_side(one, other, limit=1000), strict=True):
        shown = "".join(piece.text for piece in pieces if piece.kind != "cut")
        same = [piece.kind for piece in pieces] == ["cut"] and one == other
        assert same or len(shown) >= len(original)
