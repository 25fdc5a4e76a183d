"""Rules that count words and characters decide as Data-Juicer does, off unless named."""

from __future__ import annotations

import math
from collections import Counter

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.base.errors import CurateError
from curate.base.schema import RECORDS, with_text
from curate.pipeline.judging import judge
from filters.quality.counts import counts
from filters.quality.filter import Quality
from filters.quality.rules import REASONS, RULES

# What Data-Juicer 1.6.1 computed: words, ratio of repeated runs, ratio of special characters.
THEIRS = [
    ("The cat sat on 3 mats, (all 12) red.", (7, 0.0, 15 / 36)),
    ("ab" * 10, (1, 6 / 11, 0.0)),
    ("😀 5 ok", (1, 0.0, 4 / 6)),
    ("short", (1, 0.0, 0.0)),
    ("", (0, 0.0, 0.0)),
    ("one\u00a0two three", (2, 0.0, 1 / 13)),
    ("** bold **\tand\nmore --", (3, 0.0, 0.5)),
]


def records(*answers: str) -> pl.DataFrame:
    rows = [
        [{"role": "user", "content": "Say it."}, {"role": "assistant", "content": answer}]
        for answer in answers
    ]
    blank = {"reasoning": None, "name": None, "tool_calls": None, "tool_call_id": None}
    messages = [[{**blank, "weight": None, **one} for one in row] for row in rows]
    frame = {name: [None] * len(rows) for name in RECORDS} | {"messages": messages}
    frame |= {"row": range(len(rows)), "id": [f"{at:016x}" for at in range(len(rows))]}
    return with_text(pl.DataFrame(frame, schema=RECORDS))


@pytest.mark.parametrize(("text", "theirs"), THEIRS)
def test_the_numbers_are_those_of_data_juicer(text: str, theirs: tuple[int, float, float]) -> None:
    assert counts(pl.Series([text])).row(0) == pytest.approx(theirs, abs=1e-15)


def by_definition(text: str) -> float:
    grams = Counter(text[at : at + 10] for at in range(len(text) - 9))
    if not grams:
        return 0.0
    times = sorted(grams.values(), reverse=True)
    recurring = sum(count > 1 for count in times)
    return sum(times[: min(int(math.sqrt(len(times))), recurring)]) / sum(times)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(alphabet="ab ", max_size=120), min_size=1, max_size=8))
def test_repetition_is_counted_in_each_text_by_itself(texts: list[str]) -> None:
    found = counts(pl.Series(texts, dtype=pl.String))["repetition_ratio"].to_list()
    assert found == [by_definition(text) for text in texts]


PLAIN = "Nobody complained afterwards, because understandable circumstances prevailed throughout"
FIRES = {
    "word_count": ["Only nine words stand here, 1 2 3 and more."],
    "character_repetition": ["ha" * 40],
    "special_characters": ["one: 1, 2, 3; two: 4, 5, 6; three: 7, 8, 9 and so on it goes to ten"],
}
SPARED = {
    "word_count": ["Here, however, there are ten words and not one less."],
    "character_repetition": [f"{PLAIN}. {PLAIN}! And so on."],
    "special_characters": [f"{PLAIN}: 1, 2, 3."],
}


@pytest.mark.parametrize("slug", FIRES)
def test_the_rule_fires_and_leaves_the_near_miss_alone(slug: str) -> None:
    step = Quality(rules=("data_juicer",), off=tuple(other for other in REASONS if other != slug))
    judged = step.judge(step.measure(records(*FIRES[slug], *SPARED[slug]))).verdicts
    assert judged["reason"].to_list() == [slug, None]


def test_every_counted_reason_has_rows_here() -> None:
    assert (
        set(FIRES)
        == set(SPARED)
        == {slug for slug, rule in RULES.items() if rule.rule_set == "data_juicer"}
    )


def test_nothing_is_counted_unless_named() -> None:
    measures = Quality().measure(records("Paris."))
    assert not {"answer_words", "repetition_ratio", "special_ratio"}.intersection(measures.columns)
    assert Quality().judge(measures).verdicts["keep"].item()
    assert not Quality(rules=("data_juicer",)).per_row


def test_limits_move_without_measuring_again() -> None:
    rows = records("Paris is large and old.")
    judged = judge(Quality(rules=("data_juicer",)), rows)
    assert judged.verdicts.select("reason", "evidence").row(0) == ("word_count", "5 words")
    measures = judged.measures
    assert Quality(rules=("data_juicer",), min_words=5).judge(measures).verdicts["keep"].item()
    few = Quality(rules=("data_juicer",), min_words=1, max_words=4)
    assert not few.judge(measures).verdicts["keep"].item()


def test_limits_outside_their_range_are_errors() -> None:
    with pytest.raises(CurateError, match=r"max_words is 4; expected no less than min_words \(5\)"):
        Quality(min_words=5, max_words=4)
    with pytest.raises(CurateError, match=r"max_special_characters is 1\.5"):
        Quality(max_special_characters=1.5)
