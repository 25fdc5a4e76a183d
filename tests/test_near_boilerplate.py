"""Text that many rows share is not what makes two of them alike."""

from __future__ import annotations

import random

import pytest

from curate.pipeline.judging import judge
from filters.dedup.near.filter import Near
from tests.near_rows import dropped, records

_DRAW = random.Random(0)
WORDS = ["".join(_DRAW.choices("abdefgiklmnoprstuvz", k=6)) for _ in range(400)]
DEFINITION = " ".join(f"the{word}" for word in WORDS[:114])
TEMPLATE = "Write a short story about a"
ENDING = "who learns how to fly one day"


def names(count: int) -> list[str]:
    draw = random.Random(9)
    return ["".join(draw.choices("bdfgklmnprstvz", k=7)) for _ in range(count)]


def review(number: int, words: int = 12) -> str:
    return " ".join(random.Random(number).sample(WORDS, words))


def found_of(rows, step=None):
    found = judge(step or Near(), records(rows))
    return found.verdicts["keep"].sum(), found.findings


def test_different_reviews_under_one_definition_are_kept_and_the_finding_says_so():
    rows = [(f"{DEFINITION} {review(number)}", "negative") for number in range(171)]
    kept, findings = found_of(rows)
    assert kept == 171
    assert any(
        sentence.startswith("a text of 114 words stands in 171 rows; it is not compared")
        for sentence in findings.sentences
    )
    assert any(
        sentence.startswith(f'not compared: "the{WORDS[0]}') and sentence.endswith("in 171 rows")
        for sentence in findings.sentences
    )


def test_with_common_rows_0_all_text_is_compared():
    rows = [(f"{DEFINITION} {review(number)}", "negative") for number in range(40)]
    assert len(dropped(Near(common_rows=0, protect=()), rows)) == 39


def test_text_in_fewer_rows_than_asked_is_compared():
    rows = [(f"{DEFINITION} {review(number)}", "") for number in range(6)]
    assert dropped(Near(protect=()), rows) == {}
    assert len(dropped(Near(protect=(), common_rows=7), rows)) == 5


@pytest.mark.parametrize(
    "wrapped", ["{own} " + DEFINITION, DEFINITION + " {own} " + DEFINITION[::-1]]
)
def test_a_wrapper_behind_or_around_is_not_compared(wrapped):
    rows = [(wrapped.format(own=review(number)), "") for number in range(30)]
    assert dropped(Near(), rows) == {}


def test_copies_under_a_shared_definition_still_go():
    rows = [(f"{DEFINITION} {review(number, 36)}", "negative") for number in range(20)]
    again = (rows[3][0] + " please", "negative")
    assert dropped(Near(), [*rows, again, rows[5]]) == {20: 3, 21: 5}


def test_copies_of_one_row_with_a_word_changed_here_and_there_are_cut_to_one():
    draw, rows = random.Random(4), []
    for number in range(200):
        words = DEFINITION.split()[:60]
        words[draw.randrange(60)] = names(200)[number]
        rows.append((" ".join(words), "The same answer for all of them is given here once more."))
    assert found_of(rows)[0] == 1


@pytest.mark.parametrize("wordings", [7, 9, 11])
def test_examples_in_several_wordings_are_not_boilerplate(wordings):
    rows = [
        (f"{review(900 + ask, 4)} {review(text, 60)}", "negative")
        for text in range(9)
        for ask in range(wordings)
    ]
    assert found_of(rows)[0] <= 18


@pytest.mark.parametrize("rows", [6, 60, 600])
def test_one_word_of_its_own_at_the_end_makes_a_row_another(rows):
    asked = "please tell me all that you know of the old town named"
    kept, findings = found_of([(f"{asked} {name}", "") for name in names(rows)])
    assert kept == rows
    expected = f"a text of 12 words stands in {rows} rows; it is not compared"
    assert expected in findings.sentences


def test_one_word_of_its_own_between_short_pieces_makes_a_row_another_if_there_are_many():
    # Neither piece has eight words; together they are all that the rows have but for one.
    rows = [(f"{TEMPLATE} {name} {ENDING}", "") for name in names(400)]
    kept, findings = found_of(rows)
    assert kept == 400
    said = "a text of 7 words stands in 400 rows; it is not compared, nor is 1 more text"
    assert any(sentence.startswith(said) for sentence in findings.sentences)
    # Exact copies still go.
    assert dropped(Near(), [*rows, rows[7]]) == {400: 7}


def test_short_pieces_beside_many_words_of_their_own_are_compared():
    rows = [(f"{TEMPLATE} {review(n)} {ENDING}", review(n + 500)) for n in range(300)]
    again = (rows[8][0].replace(TEMPLATE, "Write a story about a"), rows[8][1])
    assert dropped(Near(), [*rows, again]) == {300: 8}


def test_a_passage_with_different_questions_and_answers_keeps_each():
    questions = [(review(number + 200), review(number + 300)) for number in range(12)]
    assert dropped(Near(), [(f"{DEFINITION} {ask}", said) for ask, said in questions]) == {}


def test_one_answer_under_many_different_prompts_is_not_compared():
    rows = [(review(number), DEFINITION) for number in range(60)]
    assert dropped(Near(), rows) == {}


def test_all_equal_rows_are_cut_to_one():
    assert len(dropped(Near(), [(DEFINITION, "Yes.")] * 50)) == 49


def test_characters_leave_boilerplate_out_too():
    rows = [(f"{DEFINITION} {review(number)}", "") for number in range(30)]
    assert dropped(Near(shingle="char"), rows) == {}
    assert dropped(Near(shingle="char", common_rows=0, protect=()), rows) != {}


def test_rows_in_any_order_have_the_same_boilerplate():
    rows = [(f"{DEFINITION} {review(number)}", "negative") for number in range(40)]
    rows += [(f"{TEMPLATE} {name} {ENDING}", "") for name in names(150)]
    moved = random.Random(2).sample(rows, len(rows))
    assert found_of(rows)[0] == found_of(moved)[0] == 190
    one, other = (found_of(given)[1].sentences[3] for given in (rows, moved))
    assert one == other
