"""The labelled sets that duplicate filters are measured by: each row is what its label says."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import polars as pl
import pytest

from tests.test_figures import loaded

PROMPT = "Describe three ways in which a small company can begin to reduce its waste. Don't repeat."
ANSWER = (
    'A company can\'t reduce waste at once. It should begin with "easy" steps - for example less '
    "paper in the office. It could buy 3 large bins to gather glass, paper and food. It's also "
    "important to talk to all people who work there about R&D."
)


@pytest.fixture(scope="module")
def planted() -> Iterator[ModuleType]:
    yield from loaded("planted")


@pytest.fixture(scope="module")
def kinds() -> Iterator[ModuleType]:
    yield from loaded("planted_kinds")


@pytest.fixture(scope="module")
def differences() -> Iterator[ModuleType]:
    yield from loaded("differences")


def changed(kinds: ModuleType, kind: str, prompt: str, answer: str = "Yes.") -> tuple[str, str]:
    """The row that a kind of change makes; a failure if it does not apply."""
    words = kinds.tables("dev")._replace(sentences=["The sun was warm."], known=frozenset(["form"]))
    new = (kinds.DUPLICATES | kinds.DIFFERENT)[kind](random.Random(0), (prompt, answer), words)
    assert new is not None
    return new[0], new[1]


# What is changed.


def test_every_duplicate_differs_in_its_raw_text(kinds: ModuleType) -> None:
    for kind in kinds.DUPLICATES:
        assert changed(kinds, kind, PROMPT, ANSWER) != (PROMPT, ANSWER), kind


def test_politeness_and_a_sentence_are_added_and_nothing_else_is(kinds: ModuleType) -> None:
    assert changed(kinds, "Please before", "Name a city.") == ("Please name a city.", "Yes.")
    question = "Which city is the largest one in Peru?"
    assert changed(kinds, "Thanks! after", question) == (f"{question} Thanks!", "Yes.")
    prompt, answer = changed(kinds, "a sentence added", PROMPT, ANSWER)
    assert (prompt, answer) == (PROMPT, f"{ANSWER} The sun was warm.")


def test_contractions_are_spelt_out_where_the_sentence_stays_one(kinds: ModuleType) -> None:
    prompt, answer = changed(
        kinds, "contractions spelt out", "Why don't you? I don't know.", "It's late. It's been so."
    )
    assert prompt == "Why don't you? I do not know."
    assert answer == "It is late. It's been so."


def test_swapped_sentences_are_the_same_sentences(kinds: ModuleType) -> None:
    prompt, answer = changed(kinds, "two sentences swapped", PROMPT, ANSWER)
    assert prompt == PROMPT
    assert Counter(answer.split()) == Counter(ANSWER.split())


def test_one_typo_is_made_for_fifteen_words(kinds: ModuleType) -> None:
    prompt, answer = changed(kinds, "one typo in fifteen words", PROMPT, ANSWER)
    others = [
        sum(one != other for one, other in zip(old.split(), new.split(), strict=True))
        for old, new in ((PROMPT, prompt), (ANSWER, answer))
    ]
    assert others == [1, 3]


def test_a_changed_number_is_another_in_prompt_and_answer(kinds: ModuleType) -> None:
    prompt, answer = changed(kinds, "a number changed", "List 5 fruits.", "5 fruits:\n5. Apple")
    assert "5" not in prompt
    new = prompt.split()[1]
    assert answer == f"{new} fruits:\n5. Apple"


def test_a_not_comes_or_goes_so_that_a_sentence_is_left(kinds: ModuleType) -> None:
    cases = {
        "Name foods that are safe.": "Name foods that are not safe.",
        "List tools which can fly.": "List tools which cannot fly.",
        "Do not use lists here.": "Use lists here.",
        "These findings are not accurate.": "These findings are accurate.",
        "The sentence isn't right.": "The sentence is right.",
    }
    for old, new in cases.items():
        assert changed(kinds, "a not more or less", old)[0] == new


def test_a_question_that_is_turned_around_gets_no_not(kinds: ModuleType) -> None:
    words = kinds.tables("dev")
    for prompt in ("What is the capital of Peru?", "Are these things good?", "Write a poem."):
        assert kinds.negation(random.Random(0), (prompt, "Yes."), words) is None


def test_another_name_is_of_the_same_kind_in_prompt_and_answer(kinds: ModuleType) -> None:
    prompt, answer = changed(kinds, "another name", "Describe life in Peru.", "Peru is large.")
    name = prompt.removeprefix("Describe life in ").removesuffix(".")
    assert name in kinds.tables("dev").inserted["country"]
    assert name != "Peru"
    assert answer == f"{name} is large."


def test_code_is_left_alone_where_its_marks_mean_something(kinds: ModuleType) -> None:
    row = ("Write it in Python.", "def f(x):\n    return x  # the value of f at this very point")
    for kind in ("casing", "white space", "punctuation", "one typo in fifteen words"):
        words = kinds.tables("dev")
        assert kinds.DUPLICATES[kind](random.Random(0), row, words) is None, kind


def test_dev_and_test_have_no_synonym_and_no_inserted_name_in_common(kinds: ModuleType) -> None:
    dev, test = kinds.tables("dev"), kinds.tables("test")
    words = [{*part.synonyms, *part.synonyms.values()} for part in (dev, test)]
    assert words[0].isdisjoint(words[1])
    assert min(len(part.synonyms) for part in (dev, test)) >= 80
    for kind, names in dev.inserted.items():
        assert set(names).isdisjoint(test.inserted[kind])


# How it is counted.


def test_a_duplicate_is_found_if_one_of_the_two_goes_for_the_other(planted: ModuleType) -> None:
    labels = [planted.Label(None, 0), planted.Label("casing", 0), planted.Label(None, 2)]
    for dropped in ({1: 0}, {0: 1}, {1: None}, {0: 2, 1: 2}):
        counts = planted.score(labels, dropped)
        assert (counts.found, counts.wrong, counts.others) == (1, 0, 0), dropped


def test_a_duplicate_that_goes_for_a_third_row_is_another_drop(planted: ModuleType) -> None:
    labels = [planted.Label(None, 0), planted.Label("casing", 0), planted.Label(None, 2)]
    counts = planted.score(labels, {1: 2})
    assert (counts.found, counts.others) == (0, 1)


def test_what_only_looks_alike_is_wrong_and_a_row_of_the_base_another_drop(
    planted: ModuleType,
) -> None:
    labels = [planted.Label(None, 0), planted.Label("another name", 0), planted.Label(None, 2)]
    counts = planted.score(labels, {1: 0, 2: 0})
    assert (counts.found, counts.wrong, counts.others) == (0, 1, 1)


def test_templated_rows_are_counted_by_themselves(planted: ModuleType) -> None:
    labels = [planted.Label(planted.TEMPLATED, 0), planted.Label(planted.TEMPLATED, 1)]
    counts = planted.score(labels, {1: 0})
    assert (counts.kinds[planted.TEMPLATED], counts.wrong, counts.others) == (1, 0, 0)


# The whole set.


@pytest.fixture(scope="module")
def parts(planted: ModuleType, test_data: Path) -> list[Any]:
    return [planted.planted(part, data=test_data) for part in ("dev", "test")]


def test_the_set_has_thirty_of_each_kind_among_two_thousand_rows(
    planted: ModuleType, kinds: ModuleType, parts: list[Any]
) -> None:
    for _, labels in parts:
        sizes = Counter(label.kind for label in labels)
        assert sizes.pop(None) == 2_000
        assert sizes.pop(planted.TEMPLATED) == 200
        assert sizes == dict.fromkeys([*kinds.DUPLICATES, *kinds.DIFFERENT], 30)


def test_each_planted_row_differs_from_an_original_of_its_own(
    planted: ModuleType, parts: list[Any]
) -> None:
    for rows, labels in parts:
        made = [at for at, label in enumerate(labels) if label.kind not in (None, "templated")]
        originals = [labels[at].original for at in made]
        assert len(set(originals)) == len(originals)
        assert all(rows[at] != rows[labels[at].original] for at in made)
        assert all(labels[at].kind is None for at in originals)


def test_no_two_rows_of_the_base_are_alike_and_the_parts_share_none(
    planted: ModuleType, parts: list[Any]
) -> None:
    base = []
    for rows, labels in parts:
        own = [row for row, label in zip(rows, labels, strict=True) if label.kind is None]
        for texts in ([prompt for prompt, _ in own], ["\n".join(row) for row in own]):
            sets = planted.incidence(pl.Series(texts))
            assert not any(len(low) for low, *_ in planted.similar_pairs(sets, 0.4))
        base.append({prompt for prompt, _ in own})
    assert base[0].isdisjoint(base[1])


# Written pairs.


def test_the_written_pairs_differ_in_the_prompt_and_come_in_two_halves(
    differences: ModuleType,
) -> None:
    prompts = []
    for part in ("dev", "test"):
        rows, labels = differences.pairs(part)
        sizes = Counter(label.kind for label in labels if label.kind)
        assert sizes == dict.fromkeys([k for group in differences.PAIRS.values() for k in group], 8)
        assert all(rows[at][0] != rows[at + 1][0] for at in range(0, len(rows), 2))
        assert not any(mark in text for row in rows for text in row for mark in "⟪¦⟫")
        prompts.append({prompt for prompt, _ in rows})
    assert prompts[0].isdisjoint(prompts[1])
