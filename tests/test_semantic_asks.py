"""What `semantic` never takes for the same, and from which cosine on it does by encoder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from curate.base.errors import CurateError
from curate.pipeline.judging import judge
from filters.dedup.protect import KINDS
from filters.dedup.semantic.filter import Semantic

ANSWER = "It depends on the season, the harvest and the price that was paid the year before."
ASKED = "How many of the 12 villages in the valley of Lohn sold their grain to Varna that year?"


def encoder_of_one_vector(folder: Path) -> Semantic:
    """A step to which all texts are alike."""
    (folder / "mine.py").write_text("def one(texts): return [[1.0, 0.0] for _ in texts]\n")
    return Semantic(encoder=f"{folder / 'mine.py'}:one")


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


@pytest.mark.parametrize(
    ("kind", "one", "other"),
    [
        ("numbers", "Grow by 30 percent", "Grow by 30 dollars"),
        ("numbers", "Take 3 from 5 there", "Take 5 from 3 there"),
        ("numbers", "Name the first town", "Name the second town"),
        ("negations", "Sort them in ascending order", "Sort them in descending order"),
        ("negations", "Give one advantage of it", "Give one disadvantage of it"),
        ("negations", "Eggs with any salt", "Eggs without any salt"),
        ("signs", "Solve x^2 + 3x - 5", "Solve x^2 - 3x + 5"),
        ("signs", "Is a >= b", "Is a <= b"),
        ("code", "Run `a.b(c)` twice", "Run `a[b](c)` twice"),
        ("case", "In capital letters: yes", "In capital letters: YES"),
        ("names", "A day in Bergen at last", "A day in Lisbon at last"),
    ],
)
def test_every_kind_that_near_protects_is_protected(
    kind: Any, one: str, other: str, conversation: Any, tmp_path: Path
) -> None:
    step = encoder_of_one_vector(tmp_path)
    rows = conversation((f"Please: {one}", ANSWER), (f"Please: {other}", ANSWER))
    found = judge(replace(step, protect=(kind,)), rows)
    assert found.verdicts["keep"].to_list() == [True, True]
    assert found.findings.numbers["kept_apart"] == {kind: 1}
    others = tuple(one for one in KINDS if one != kind)
    assert kept(replace(step, protect=others), rows) == [True, False]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Name 1,000 towns of the north", "Of the north name 1000 towns"),
        ("Name three good towns", "Which three towns are good?"),
        ("Why isn't it so &amp; how", "Why is it not so & how"),
        ("Is it high in the north of Norway", "In the north of Norway, is it high?"),
        ("is it in norway or in Spain", "Is it in Norway or in Spain"),
        ("Name 3 towns - or 5", "Name 3 towns or 5"),
        ("Work with it in the open", "Work on it at the open"),
        ("Say yes to it", "Say YES to it"),
    ],
)
def test_the_same_in_other_words_or_another_order_is_no_other_question(
    one: str, other: str, conversation: Any, tmp_path: Path
) -> None:
    rows = conversation((one, ANSWER), (other, ANSWER))
    assert kept(encoder_of_one_vector(tmp_path), rows) == [True, False]


def test_findings_say_how_many_rows_were_kept_apart_and_in_what(
    conversation: Any, tmp_path: Path
) -> None:
    rows = conversation(
        ("Add 2 to it", "x"),
        ("Add 3 to it", "x"),
        ("Add 2 to it now", "x"),
        ("Add 4 to it", "x"),
        ("Never add 2 to it", "x"),
    )
    found = judge(encoder_of_one_vector(tmp_path), rows).findings
    assert found.sentences[3:] == (
        "3 rows are like a kept one and kept, for what differs: numbers 2, negations 1",
        'kept apart by numbers: row 1 ("Add 3 to it"), row 0 ("Add 2 to it")',
        'kept apart by negations: row 4 ("Never add 2 to it"), row 0 ("Add 2 to it")',
    )
    assert found.numbers["kept_apart"] == {"numbers": 2, "negations": 1}
    assert found.numbers["kept_apart_examples"] == [
        {"row": 1, "like": 0, "differs_in": "numbers"},
        {"row": 4, "like": 0, "differs_in": "negations"},
    ]


def test_the_rows_kept_apart_are_those_that_a_search_in_blocks_finds(
    conversation: Any, tmp_path: Path
) -> None:
    rows = conversation(*((f"Add {n % 1_500} to it", "x") for n in range(3_000)))
    found = judge(encoder_of_one_vector(tmp_path), rows)
    assert found.verdicts["keep"].to_list() == [True] * 1_500 + [False] * 1_500
    assert found.findings.numbers["kept_apart"] == {"numbers": 1_499}


def test_what_is_asked_does_not_depend_on_the_rows_beside_it(conversation: Any) -> None:
    rows = conversation(
        (ASKED, ANSWER), ("", ""), ("5", "In `a(b)`"), ("km of it", ""), ("In caps: 5 km?", "YES")
    )
    whole = Semantic().measure(rows)
    assert whole.equals(pl.concat(Semantic().measure(rows[n : n + 1]) for n in range(5)))


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
    rows = conversation(("Add 2 to it", "x"), ("Add 3 to it", "x"), ("Add 2 to it now", "x"))
    found = judge(encoder_of_one_vector(tmp_path), rows).verdicts
    assert found["keep"].to_list() == [True, True, False]
    assert found["duplicate_of"].to_list() == [None, None, 0]


def test_numbers_of_answers_count_where_only_answers_are_compared(conversation: Any) -> None:
    rows = conversation(("Say", f"{ANSWER} In 1811."), ("Say", f"{ANSWER} In 1874."))
    assert kept(Semantic(field="response", threshold=0.5), rows) == [True, True]
    assert kept(Semantic(field="both", threshold=0.5), rows) == [True, False]


def test_the_threshold_goes_by_the_encoder_unless_it_is_given(
    conversation: Any, tmp_path: Path
) -> None:
    own = encoder_of_one_vector(tmp_path).encoder
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
