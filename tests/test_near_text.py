"""The text that is compared: views of a record and the normal form."""

from __future__ import annotations

import hashlib
import re
from itertools import chain, pairwise

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from filters.common.shingles import Rule, shingle_hash
from filters.common.text import block, in_blocks, keys, view
from tests.near_rows import records, shingle_sets


def normal(texts: list[str], *, words_only: bool) -> list[str]:
    data, bounds = block(pl.Series(texts, dtype=pl.String), words_only=words_only)
    ends = bounds.tolist()
    return [data[low:high].tobytes().decode() for low, high in pairwise(ends)]


@pytest.mark.parametrize(
    ("text", "words", "prose"),
    [
        ("Hello,  World!\n", "hello world ", "hello, world! "),
        ("", "", ""),
        (" \t\n", "", ""),
        ("!!!", "", "!!! "),
        ("snake_case x=1", "snake_case x 1 ", "snake_case x=1 "),
        ("ÜBER die Straße", "über die straße ", "über die straße "),
        ("“Quoted”—dash… ½", "quoted dash 1 ⁄ 2 ", "“quoted”—dash... 1⁄2 "),
        ("北京 是。", "北 京 是 ", "北京 是。 "),
        ("🎉🔥 ❤️", "🎉 🔥 ❤ ", "🎉🔥 ❤ "),
        ("a\u00a0b\u3000c", "a b c ", "a b c "),
        ("zero\u200bwidth", "zerowidth ", "zerowidth "),
        ("한국어 문장", "한국어 문장 ", "한국어 문장 "),
    ],
)
def test_the_normal_form(text, words, prose):
    assert normal([text], words_only=True) == [words]
    assert normal([text], words_only=False) == [prose]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.text(st.characters(max_codepoint=127)), max_size=6))
def test_the_words_of_ascii_are_those_of_python(texts):
    expected = ["".join(f"{w} " for w in re.findall(r"\w+", text.lower())) for text in texts]
    assert normal(texts, words_only=True) == expected


@settings(max_examples=40, deadline=None)
@given(st.lists(st.text(max_size=30), max_size=6), st.booleans())
def test_a_row_has_the_same_normal_form_among_others_as_alone(texts, words_only):
    alone = [normal([text], words_only=words_only)[0] for text in texts]
    assert normal(texts, words_only=words_only) == alone


@settings(max_examples=40, deadline=None)
@given(st.text("aé北🎉 x", max_size=20), st.integers(1, 4))
def test_character_shingles_are_characters_not_bytes(text, size):
    plain = " ".join(text.lower().split())
    expected = {plain[i : i + size] for i in range(len(plain) - size + 1)}
    found = shingle_sets(pl.Series([text]), Rule("char", size, 0))
    assert found.hashes.tolist() == sorted({shingle_hash(part.encode()) for part in expected})


def test_a_view_leaves_system_prompts_out_and_counts_tool_calls():
    conversation = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Weather in Rome?"},
        {"role": "assistant", "content": None, "tool_calls": '[{"name": "weather"}]'},
        {"role": "tool", "content": "Sunny."},
        {"role": "assistant", "content": "It is sunny in Rome, and will be for all of the week."},
    ]
    frame = records([conversation])
    answer = '[{"name": "weather"}]\n\nIt is sunny in Rome, and will be for all of the week.'
    assert view(frame, "prompt").to_list() == ["Weather in Rome?\n\nSunny."]
    assert view(frame, "response").to_list() == [answer]
    assert view(frame, "both").to_list() == [
        "Weather in Rome?\n\n" + answer.replace("\n\n", "\n\nSunny.\n\n")
    ]


def test_a_short_response_is_seen_with_its_prompt():
    frame = records([("Is water wet?", "Yes."), ("Why?", "x" * 40), ("Why?", "x" * 39)])
    assert view(frame, "response").to_list() == [
        "Is water wet?\n\nYes.",
        "x" * 40,
        "Why?\n\n" + "x" * 39,
    ]


def test_keys_are_the_same_in_every_release():
    # Kept measures live on them.
    texts = pl.Series(["Paris", " PARIS", "Berlin", ""])
    assert keys(texts, normalise=False).tolist() == [blake(text) for text in texts]
    assert keys(texts, normalise=True).tolist() == [
        blake("paris "),
        blake("paris "),
        blake("berlin "),
        blake(""),
    ]


def blake(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def test_blocks_come_back_in_order_and_no_text_gives_none(monkeypatch):
    monkeypatch.setattr("filters.common.text.BLOCK", 10)
    texts = pl.Series([str(n) * (n % 7) for n in range(200)])
    parts = in_blocks(texts, lambda part: part.to_list())
    assert len(parts) > 20
    assert list(chain(*parts)) == texts.to_list()
    assert in_blocks(texts[:0], len) == []
