"""What a judge's answer says: read in the form that was asked for, or not at all."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filters.llm_judge.reading import (
    PROBLEMS,
    RULES,
    Reading,
    Scale,
    bound_error,
    combined,
    read_probabilities,
    read_text,
)

FIVE = Scale(0, 5)
TEN = Scale(1, 10)
POINTS = Scale(0, 5, phrase="Educational score")
RATING = Scale(1, 5, phrase="Rating", may_not_apply=True)
YES = Scale(0, 1, {"yes": 1, "no": 0})
LETTERS = Scale(-1, 1, {"A": 1, "B": -1, "C": 0})
TAGS = Scale(0, float("inf"))


def score(rule: str, text: str, scale: Scale) -> float | str:
    """The score, or the problem."""
    reading = read_text(rule, text, scale)
    assert (reading.score is None) == bool(reading.problem)
    assert reading.problem in ("", *PROBLEMS)
    return reading.problem or (0.0 if reading.score is None else reading.score)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("4.5", 4.5),
        ("4.5\n\nThe response is accurate.", 4.5),
        ("\n\n  3\nGood.", 3),
        ("Score: 4", 4),
        ("score = 4", 4),
        ("Score 4", 4),
        ("The score is 4.", 4),
        ("Accuracy: 3.5", 3.5),
        ("Overall accuracy score: 3.5", 3.5),
        ("Score for accuracy: 3.5", 3.5),
        ("Puntuación final: 4", 4),
        ("My rating: 4 / 5 stars", 4),
        ("4/5", 4),
        ("4.0/5.0", 4),
        ("4 out of 5", 4),
        ("5 out of 5.", 5),
        ("4 points", 4),
        ("**4**", 4),
        ("### 4", 4),
        ("> 4", 4),
        ("`4`", 4),
        ("(4)", 4),
        ('"4"', 4),
        ("**Score:** 4", 4),
        ("4,5", 4.5),
        ("0", 0),
        ("+4", 4),
        ("004", 4),
        ("４", 4),  # full-width
        ("４．５", 4.5),
        ("评分：4", 4),
        ("評価：４点", 4),
        ("점수: 4점", 4),
        ("Puntuación: 4", 4),
        ("Оценка: 4", 4),
        ("Note : 4/5", 4),
        ("٤", 4),  # Arabic four
        ("4\nIt has 3 errors, on a scale of 0 to 5.", 4),
        ("4\nThe program prints:\n\n2", 4),
        ("Score: 4\nScore: 4", 4),
        ("4\r\nGood.", 4),
        ("4\n" + "x" * 100_000, 4),
        ("5.5", "out_of_range"),
        ("6", "out_of_range"),
        ("-1", "out_of_range"),
        ("−1", "out_of_range"),
        ("1000", "out_of_range"),
        ("9" * 150, "out_of_range"),
        ("", "empty_answer"),
        (" \n\t ", "empty_answer"),
        ("4 5", "unreadable"),
        ("4\n5", "unreadable"),
        ("4 or 5", "unreadable"),
        ("4-5", "unreadable"),
        ("4–5", "unreadable"),
        ("4, 5", "unreadable"),
        ("4/10", "unreadable"),
        ("8 out of 10", "unreadable"),
        ("80%", "unreadable"),
        ("1e3", "unreadable"),
        ("0x4", "unreadable"),
        ("1,000", "unreadable"),
        ("1.2.3", "unreadable"),
        ("9" * 1000, "unreadable"),
        ("IV", "unreadable"),
        ("four", "unreadable"),
        ("½", "unreadable"),
        ("4½", "unreadable"),
        ("4²", "unreadable"),
        ("④", "unreadable"),
        ("nan", "unreadable"),
        ("inf", "unreadable"),
        ("N/A", "unreadable"),
        ("★★★★", "unreadable"),
        ("- 4", "unreadable"),
        ("1. The response is accurate.", "unreadable"),
        ("2 of the 3 facts are wrong", "unreadable"),
        ("4 - good", "unreadable"),
        ("4.5 The response is accurate.", "unreadable"),
        ("I'd give it a 4... no, 3", "unreadable"),
        ("On a scale of 0 to 5, this is a 4.", "unreadable"),
        ("Number of errors: 3", "unreadable"),
        ("Quality problems: 3", "unreadable"),
        ("Points lost on accuracy: 2", "unreadable"),
        ("Please note: 4", "unreadable"),
        ("Here is my rating:\n4", "unreadable"),
        ("Score: 4\nWait.\nScore: 2", "unreadable"),
        ("Score: four", "unreadable"),
        ("The answer is helpful.", "unreadable"),
        ('{"score": 4}', "unreadable"),
        ("```\n4\n```", "unreadable"),
        ("4" + " " * 300 + ".", "unreadable"),
    ],
)
def test_a_number_alone_on_the_first_line(text: str, expected: float | str) -> None:
    assert score("first_line_number", text, FIVE) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It is fine.\nRating: [[7]]", 7),
        ("Rating: [[7]], because ...", 7),
        ("[[7.5]]", 7.5),
        ("[[7,5]]", 7.5),
        ("[[ 7 ]]", 7),
        ("[[7/10]]", 7),
        ("［［７］］", 7),
        ('The form is "[[rating]]". Rating: [[5]]', 5),
        ("[[7]] ... so [[7]]", 7),
        ("[[11]]", "out_of_range"),
        ("[[0]]", "out_of_range"),
        ("[[-3]]", "out_of_range"),
        ("[[7]] or [[8]]", "unreadable"),
        ('such as "Rating: [[5]]". Rating: [[7]]', "unreadable"),
        ("[7]", "unreadable"),
        ("[[7", "unreadable"),
        ("[[seven]]", "unreadable"),
        ("[[7/5]]", "unreadable"),
        ("Rating: 7", "unreadable"),
        ("[[]]", "unreadable"),
    ],
)
def test_a_number_in_double_brackets(text: str, expected: float | str) -> None:
    assert score("bracketed_number", text, TEN) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Good.\nEducational score: 3", 3),
        ("**Educational score: 3**", 3),
        ("Educational score: **3**.", 3),
        ("educational  SCORE:\n3", 3),
        ("Educational score: 3/5", 3),
        ("Educational score: 3 out of 5 points.", 3),
        ("Educational score：３", 3),
        ("Educational score: 2,5", 2.5),
        ("Educational score: 3\n\nI hope that this helps.", 3),
        ('The form is "Educational score: <total points>".\nEducational score: 2', 2),
        ("Educational score: 3\n...\nEducational score: 3", 3),
        ("A first score: 1.\nEducational score: 4", 4),
        ("The first educational score: 1.\nEducational score: 4", 4),
        ("So my Educational score: 4", 4),
        ("Its educational score: 1, its educational score: 2", "unreadable"),
        ("Educational score: 1 for the topic\nEducational score: 4", "unreadable"),
        ("Educational score: 7", "out_of_range"),
        ("Educational score: -1", "out_of_range"),
        ("Educational score: 3-4", "unreadable"),
        ("Educational score: 3 or 4", "unreadable"),
        ("Educational score: 3 (good)", "unreadable"),
        ("Educational score: 4... no, 3", "unreadable"),
        ("Educational score: 3/10", "unreadable"),
        ("Educational score: 3\nEducational score: 4", "unreadable"),
        ("Educational score: N/A", "unreadable"),
        ("Educational score: III", "unreadable"),
        ("Miseducational score: 3", "unreadable"),
        ("Score: 3", "unreadable"),
        ("3", "unreadable"),
    ],
)
def test_a_number_after_a_phrase(text: str, expected: float | str) -> None:
    assert score("number_after_phrase", text, POINTS) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Rating: 4\nRationale: Good.", 4),
        ("Rating: [4]\nRationale: Good.", 4),
        ("Type: 1\nRationale: A wrong year.\nRating: 3\nRationale: One error.", 3),
        ("Rating: N/A\nRationale: A poem.", "not_applicable"),
        ("Rating: NA", "not_applicable"),
        ("Rating: N/A\nRating: 4", "unreadable"),
        ("Rating: 4\nThe text says 'Rating: 5'", 4),
        ("Rating: 4\nThe text says:\n> Rating: 5", "unreadable"),
    ],
)
def test_a_rating_that_may_not_apply(text: str, expected: float | str) -> None:
    assert score("number_after_phrase", text, RATING) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("yes", 1),
        ("Yes.", 1),
        ("**No**", 0),
        ("- no", 0),
        ("ｙｅｓ", 1),
        ("Yes, it is well formatted.", 1),
        ("no\nyes", "unreadable"),
        ("Yes and no", "unreadable"),
        ("yes/no", "unreadable"),
        ("No, wait: yes", "unreadable"),
        ("No. 1 in its class", "unreadable"),
        ("Yesterday", "unreadable"),
        ("Nothing", "unreadable"),
        ("Oui", "unreadable"),
        ("The answer is yes", "unreadable"),
        ("是", "unreadable"),
    ],
)
def test_yes_or_no_is_the_first_word(text: str, expected: float | str) -> None:
    assert score("yes_or_no", text, YES) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A is better. [[A]]", 1),
        ("[[B]]", -1),
        ("[[ C ]]", 0),
        ("[[A]] ... [[A]]", 1),
        ("[[A]] if A, [[B]] if B", "unreadable"),
        ("[[D]]", "unreadable"),
        ("[[a]]", "unreadable"),
        ("[A]", "unreadable"),
        ("A", "unreadable"),
        ("[[tie]]", "unreadable"),
    ],
)
def test_a_letter_in_double_brackets(text: str, expected: float | str) -> None:
    assert score("bracketed_letter", text, LETTERS) == expected


@pytest.mark.parametrize(
    ("text", "tags"),
    [
        ('[{"tag": "Poetry", "explanation": "a poem"}]', ("Poetry",)),
        ('Here:\n```json\n[{"tag": "A"}, {"tag": "B"}]\n```', ("A", "B")),
        ('["A", "b", "a ", "A"]', ("A", "b")),
        ('["Write  code", "write code"]', ("Write code",)),
        ("[]", ()),
        ('["数学"]', ("数学",)),
    ],
)
def test_tags_are_counted_once_each(text: str, tags: tuple[str, ...]) -> None:
    reading = read_text("number_of_tags", text, TAGS)
    assert (reading.tags, reading.score) == (tags, len(tags))


@pytest.mark.parametrize(
    "text",
    [
        "Poetry, code",
        '[{"tag": "A"}',
        '[{"tag": 1}]',
        '[{"name": "A"}]',
        "[1, 2]",
        '[""]',
        '["A"] or ["B"]',
        "[begin] A [end]",
        "[" * 100_000,
    ],
)
def test_what_is_no_list_of_tags_is_unreadable(text: str) -> None:
    assert score("number_of_tags", text, TAGS) == "unreadable"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<think>It may be 2.</think>\n4\nGood.", 4),
        ("<think>a</think> <think>b</think>4", 4),
        ("Hm, a 2?\n</think>\n\n4", 4),  # the opening mark was in the prompt
        ("4\nThe answer leaks its </think> mark.", 4),
        ("<think>Is it 4", "unreadable"),
        ("<think>4</think>", "empty_answer"),
        ("4\n</think>", "empty_answer"),
    ],
)
def test_thoughts_before_the_answer_are_passed_over(text: str, expected: float | str) -> None:
    assert score("first_line_number", text, FIVE) == expected


def test_the_reason_is_all_that_stands_beside_the_score() -> None:
    assert (
        read_text("first_line_number", "4.5\n\nGood.\n\nBrief.", FIVE).reason == "Good.\n\nBrief."
    )
    assert read_text("bracketed_number", "Fine. [[7]] Thanks.", TEN).reason == "Fine.\nThanks."
    assert read_text("number_after_phrase", "Why.\nEducational score: 3", POINTS).reason == "Why."
    text = '[{"tag": "A", "explanation": "why"}]'
    assert read_text("number_of_tags", text, TAGS).reason == text
    assert read_text("first_line_number", "Great!", FIVE).reason == "Great!"


def test_a_number_at_the_end_of_an_answer_that_was_cut_may_be_another_one() -> None:
    assert read_text("first_line_number", "4", FIVE, cut=True).problem == "unreadable"
    assert read_text("first_line_number", "4.5\nThe resp", FIVE, cut=True).score == 4.5
    assert read_text("number_after_phrase", "Educational score: 1", POINTS, cut=True).score is None


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(
    "text",
    [
        "*" * 1_000_000,
        " " * 1_000_000 + "4",
        "9" * 1_000_000,
        "[" * 1_000_000,
        "[[" + " " * 1_000_000,
        "[[9" * 300_000,
        "Educational score " * 60_000,
        ("Educational score" + "*" * 19) * 27_000,
        "Score: 4\n" * 100_000,
        "Score: 4\n" + ("a " * 60 + " score 1x Score\n") * 7_000,
        "<think></think>" * 66_000,
        '[{"tag": "a"},' * 70_000,
    ],
    ids=range(12),
)
def test_a_megabyte_is_read_in_linear_time(rule: str, text: str) -> None:
    scale = Scale(0, 5, {"yes": 1, "no": 0, "A": 1}, phrase="Educational score")
    before = time.process_time()
    read_text(rule, text, scale)
    assert time.process_time() - before < 5


@given(st.text(max_size=200), st.sampled_from(list(RULES)), st.booleans())
def test_any_text_gives_a_score_in_the_range_or_a_known_problem(
    text: str, rule: str, cut: bool
) -> None:
    scale = Scale(0, 5, {"yes": 1, "no": 0, "A": 1}, phrase="Score", may_not_apply=True)
    reading = read_text(rule, text, scale, cut=cut)
    if reading.score is None:
        assert reading.problem in PROBLEMS
    else:
        assert 0 <= reading.score <= 5 and not reading.problem


# Probabilities.


def test_the_score_is_the_expected_value_and_its_mass_is_kept() -> None:
    reading = read_probabilities([0.1, 0.3], [1, 5], Scale(1, 5))
    assert reading.score == pytest.approx(4.0)
    assert reading.mass == pytest.approx(0.4)


def test_labels_that_are_hardly_said_give_no_score() -> None:
    reading = read_probabilities([0.01, 0.05], [1, 5], Scale(1, 5))
    assert (reading.score, reading.problem) == (None, "low_mass")
    assert reading.mass == pytest.approx(0.06)
    assert read_probabilities([0.01, 0.05], [1, 5], Scale(1, 5), min_mass=0.05).score is not None
    assert read_probabilities([0, 0], [1, 5], Scale(1, 5), min_mass=0).problem == "low_mass"


def test_absent_labels_that_could_move_the_score_give_none() -> None:
    five = Scale(1, 5)
    probabilities, values = [0.0, 0.0, 0.0, 0.3, 0.4], [1, 2, 3, 4, 5]
    assert read_probabilities(probabilities, values, five, bound=0.001).score is not None
    assert read_probabilities(probabilities, values, five, bound=0.1).problem == "low_mass"


def test_the_error_of_absent_labels_is_the_largest_that_they_can_make() -> None:
    # The absent 1 takes all the room that the mass leaves: (5 * 0.9 + 1 * 0.1) / 1.
    assert bound_error([0.0, 0.9], [1, 5], 0.5) == pytest.approx(0.4)
    # Of a mean of 2, the 9 leads farther away than the 1.
    assert bound_error([0.0, 0.5, 0.0], [1, 2, 9], 0.1) == pytest.approx((1 + 0.9) / 0.6 - 2)
    assert bound_error([0.5, 0.5], [1, 5], 0.5) == 0


@given(
    st.lists(st.floats(0, 0.2), min_size=5, max_size=5),
    st.floats(0, 0.2),
    st.lists(st.floats(0, 1), min_size=5, max_size=5),
)
def test_no_choice_of_absent_labels_errs_by_more(
    probabilities: list[float], bound: float, shares: list[float]
) -> None:
    values = [1.0, 2.0, 3.0, 4.0, 5.0]
    mass = sum(probabilities)
    if mass < 0.05:
        return
    chosen = [p or share * bound for p, share in zip(probabilities, shares, strict=True)]
    if sum(chosen) > 1:
        return
    mean = sum(p * v for p, v in zip(probabilities, values, strict=True)) / mass
    other = sum(p * v for p, v in zip(chosen, values, strict=True)) / sum(chosen)
    assert abs(other - mean) <= bound_error(probabilities, values, bound) + 1e-9


@pytest.mark.parametrize("probabilities", [[], [0.5], [-0.1, 0.5], [1.5, 0.1], [float("nan"), 1]])
def test_what_is_no_list_of_probabilities_is_unreadable(probabilities: list[float]) -> None:
    assert read_probabilities(probabilities, [1, 5], Scale(1, 5)).problem == "unreadable"


# Several aspects.


def test_aspects_are_averaged_over_those_that_apply() -> None:
    four, none = Reading(4.0, reason="a"), Reading(problem="not_applicable", reason="b")
    together = combined([four, none, Reading(2.0, reason="c")])
    assert (together.score, together.problem, together.reason) == (3.0, "", "a\n\nb\n\nc")
    assert combined([none, none]).problem == "not_applicable"
    assert combined([four]) == four


def test_an_aspect_that_cannot_be_read_leaves_the_row_without_a_score() -> None:
    together = combined([Reading(4.0), Reading(problem="unreadable")])
    assert (together.score, together.problem) == (None, "unreadable")
