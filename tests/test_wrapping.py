from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from curate.base.wrapping import wrapped

TEXTS = st.text(st.sampled_from("ab漢字é\u0301🙂  \n"), max_size=200)


@given(TEXTS, st.integers(20, 60))
def test_wrapping_loses_no_character_but_spaces(text: str, width: int) -> None:
    assert "".join(wrapped(text, width).split()) == "".join(text.split())


@given(TEXTS, st.integers(20, 60))
def test_no_line_is_wider_than_the_terminal(text: str, width: int) -> None:
    assert max(map(cell_len, wrapped(text, width).split("\n"))) <= width


@given(st.lists(st.sampled_from(["a", "bc", "def", "ghijkl", "漢字"]), max_size=60))
def test_words_that_fit_a_line_are_never_cut(words: list[str]) -> None:
    assert wrapped(" ".join(words), 24).split() == words


def test_further_pieces_hang_below_their_line_and_lines_keep_their_own_indentation() -> None:
    code = "    if ready:\n        start(first, second, third)\n    stop()"
    assert wrapped(code, 28).split("\n") == [
        "    if ready:",
        "        start(first, second,",
        "            third)",
        "    stop()",
    ]


def test_words_longer_than_a_line_and_text_without_spaces_are_cut_at_the_edge() -> None:
    assert wrapped("see " + "x" * 40, 24).split("\n") == [
        "see " + "x" * 20,
        "    " + "x" * 20,
    ]
    assert wrapped("漢" * 24, 24).split("\n") == ["漢" * 12, "    " + "漢" * 10, "    " + "漢" * 2]


@pytest.mark.parametrize("text", ["", "\n\n", "short", "  two\n\n  three"])
def test_text_that_fits_stays_as_it_is(text: str) -> None:
    assert wrapped(text, 40) == text


def test_without_a_width_every_line_stays_as_long_as_it_is() -> None:
    assert wrapped("a\t" + "word " * 100, None) == "a\t" + "word " * 100
