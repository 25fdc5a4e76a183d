"""What `semantic` never takes for the same, and from which cosine on it does by encoder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from curate.base.errors import CurateError
from curate.pipeline.judging import judge
from filters.dedup.semantic.filter import Semantic

ANSWER = "It depends on the season, the harvest and the price that was paid the year before."
ASKED = "How many of the 12 villages in the valley of Lohn sold their grain to Varna that year?"


def kept(step: Semantic, records: Any) -> list[bool]:
    return judge(step, records).verdicts["keep"].to_list()


@pytest.mark.parametrize(
    "other",
    [
        ASKED.replace("12", "14"),
        ASKED.replace("sold", "never sold"),
        ASKED.replace("sold", "didn't sell"),
        ASKED.replace("Varna", "Eske"),
        ASKED.replace("Lohn", "Skerrow Bay"),
        ASKED.replace("12 villages", "12 villages and three towns"),
    ],
)
def test_another_number_name_or_a_negation_is_another_question(
    other: str, conversation: Any
) -> None:
    rows = conversation((ASKED, ANSWER), (other, ANSWER))
    assert kept(Semantic(threshold=0.5), rows) == [True, True]
    assert kept(Semantic(threshold=0.5, protect=()), rows) == [True, False]


@pytest.mark.parametrize(
    "same",
    [
        ASKED.lower(),
        ASKED.upper(),
        ASKED.title(),
        ASKED.rstrip("?") + "! Thanks!",
        "Please tell me. " + ASKED,
        ASKED.replace("that year", "in that year"),
        ASKED.replace("grain to Varna", "grain &quot;to Varna&quot;"),
        ASKED.replace("grain", "grian"),
    ],
)
def test_another_way_of_writing_is_no_other_question(same: str, conversation: Any) -> None:
    assert kept(Semantic(), conversation((ASKED, ANSWER), (same, ANSWER))) == [True, False]


def test_a_negation_may_be_spelt_in_several_ways(conversation: Any) -> None:
    asked = "Why {} the seven old ferries of the northern coast run any more in the winter months?"
    rows = [(asked.format(word), ANSWER) for word in ("don't", "do not", "don’t", "dont", "do")]
    assert kept(Semantic(threshold=0.8), conversation(*rows)) == [True, False, False, False, True]


def test_each_kind_is_protected_by_itself(conversation: Any) -> None:
    rows = conversation(
        (ASKED, ANSWER),
        (ASKED.replace("12", "14"), ANSWER),
        (ASKED.replace("Lohn", "Eske"), ANSWER),
    )
    assert kept(Semantic(threshold=0.5, protect=("numbers",)), rows) == [True, True, False]
    assert kept(Semantic(threshold=0.5, protect=("names",)), rows) == [True, False, True]
    assert kept(Semantic(threshold=0.5, protect=("negations",)), rows) == [True, False, False]


def test_equal_vectors_that_ask_for_something_else_are_kept(
    conversation: Any, tmp_path: Path
) -> None:
    (tmp_path / "mine.py").write_text("def one(texts): return [[1.0, 0.0] for _ in texts]\n")
    rows = conversation(("Add 2 to it", "x"), ("Add 3 to it", "x"), ("Add 2 to it now", "x"))
    step = Semantic(encoder=f"{tmp_path / 'mine.py'}:one")
    found = judge(step, rows).verdicts
    assert found["keep"].to_list() == [True, True, False]
    assert found["duplicate_of"].to_list() == [None, None, 0]


def test_numbers_of_answers_count_where_only_answers_are_compared(conversation: Any) -> None:
    rows = conversation(("Say", f"{ANSWER} In 1811."), ("Say", f"{ANSWER} In 1874."))
    assert kept(Semantic(field="response", threshold=0.5), rows) == [True, True]
    assert kept(Semantic(field="both", threshold=0.5), rows) == [True, False]


def test_the_threshold_goes_by_the_encoder_unless_it_is_given(
    conversation: Any, tmp_path: Path
) -> None:
    (tmp_path / "mine.py").write_text("def one(texts): return [[1.0, 0.0] for _ in texts]\n")
    own = f"{tmp_path / 'mine.py'}:one"
    steps = {
        0.92: Semantic(),
        0.95: Semantic(encoder=own),
        0.8: Semantic(encoder=own, threshold=0.8),
    }
    for cosine, step in steps.items():
        assert step.cosine == cosine
        sentences = judge(step, conversation((ASKED, ANSWER), ("Hi", "Hi"))).findings.sentences
        assert f"cosine from {cosine:g}" in sentences[0]


def test_a_kind_that_is_not_known_is_an_error() -> None:
    with pytest.raises(CurateError, match="colours"):
        Semantic(protect=("colours",))  # type: ignore[arg-type]
