"""Two answers compared in both orders: a win only if both agree."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator

import pytest

from curate.base.errors import CurateError
from filters.llm_judge.pairwise import Ask, Pair, Verdict, compare, counts, pair_questions, verdict
from filters.llm_judge.question import Answer, Question
from filters.llm_judge.reading import Reading
from filters.llm_judge.rubric import load_rubric, parse_rubric

PROMPT = {"messages": [{"role": "user", "content": "Name a fruit."}]}
GOOD, BAD = "An apple.", "A brick."


def shown(question: Question) -> tuple[str, str]:
    """The answers that a question shows as A and as B."""
    _, a, b = question.user.split("[The Start of Assistant ")
    return a.splitlines()[1], b.splitlines()[1]


def prefers_good(question: Question) -> Answer:
    a, b = shown(question)
    return Answer(f"Why. [[{'C' if a == b else 'A' if a == GOOD else 'B'}]]")


def prefers_first(_: Question) -> Answer:
    return Answer("[[A]]")


def asks(judge: Callable[[Question], Answer], order: int = 0) -> Ask:
    """A judge that is a function; with `order` its answers come shuffled."""

    def ask(questions: Iterable[tuple[int, Question]]) -> Iterator[tuple[int, Answer]]:
        if order:
            questions = random.Random(order).sample(pending := list(questions), len(pending))
        for number, question in questions:
            yield number, judge(question)

    return ask


def verdicts(
    judge: Callable[[Question], Answer], *pairs: Pair, order: int = 0
) -> dict[int, Verdict]:
    found = list(compare(load_rubric("mt_bench_pair"), pairs, asks(judge, order), "text"))
    assert len(dict(found)) == len(found)
    return dict(found)


def test_each_order_shows_another_answer_first() -> None:
    first, second = pair_questions(load_rubric("mt_bench_pair"), PROMPT, GOOD, BAD, "text")
    assert (shown(first), shown(second)) == ((GOOD, BAD), (BAD, GOOD))
    assert "Name a fruit." in first.user and first.system == second.system


def test_the_better_answer_wins_wherever_it_stands() -> None:
    found = verdicts(prefers_good, Pair(PROMPT, GOOD, BAD), Pair(PROMPT, BAD, GOOD))
    assert [found[number].winner for number in (0, 1)] == ["a", "b"]
    assert [found[number].margin for number in (0, 1)] == [1, -1]
    assert found[0].reasons == ("Why.", "Why.") and not found[0].is_flipped


def test_a_judge_that_likes_the_first_answer_gives_ties_that_are_flipped() -> None:
    found = verdicts(prefers_first, Pair(PROMPT, GOOD, BAD))
    assert (found[0].winner, found[0].margin, found[0].is_flipped) == ("tie", 0, True)


def test_a_tie_in_one_order_alone_is_no_win() -> None:
    assert verdict(Reading(1.0), Reading(0.0)) == Verdict("tie", 0.5, True)
    assert verdict(Reading(0.0), Reading(0.0)) == Verdict("tie", 0.0, False)


def test_an_order_that_cannot_be_read_leaves_the_pair_without_a_verdict() -> None:
    found = verdict(Reading(1.0), Reading(problem="unreadable", reason="Hm."))
    assert (found.winner, found.margin, found.problem) == (None, None, "unreadable")
    assert found.reasons == ("", "Hm.")


def test_answers_may_come_in_any_order() -> None:
    pairs = [Pair(PROMPT, GOOD, BAD), Pair(PROMPT, BAD, GOOD), Pair(PROMPT, BAD, BAD)] * 5
    expected = verdicts(prefers_good, *pairs)
    assert len(expected) == 15
    for order in range(1, 6):
        assert verdicts(prefers_good, *pairs, order=order) == expected


@pytest.mark.parametrize(
    "pair", [Pair(PROMPT, GOOD, " "), Pair(PROMPT, "", BAD), Pair({}, "a", "b")]
)
def test_a_pair_without_words_is_not_asked(pair: Pair) -> None:
    def refuses(_: Question) -> Answer:
        raise AssertionError("it was asked")

    assert verdicts(refuses, pair)[0].problem == "nothing_to_judge"
    found = verdicts(prefers_good, pair, Pair(PROMPT, GOOD, BAD), pair)
    assert [found[number].winner for number in range(3)] == [None, "a", None]


def test_a_pair_beyond_the_limits_of_the_sandbox_is_not_asked_and_the_others_are() -> None:
    found = verdicts(prefers_good, Pair(PROMPT, "x" * 17_000_000, BAD), Pair(PROMPT, GOOD, BAD))
    assert (found[0].problem, found[1].winner) == ("cannot_be_asked", "a")
    assert "LimitExceeded" in found[0].reasons[0]


def test_a_question_that_failed_is_a_problem_of_its_pair_alone() -> None:
    def fails_once(question: Question) -> Answer:
        return Answer(problem="timed out") if shown(question)[0] == "x" else Answer("[[C]]")

    found = verdicts(fails_once, Pair(PROMPT, "x", "y"), Pair(PROMPT, "y", "z"))
    assert (found[0].problem, found[1].winner) == ("no_answer", "tie")


def test_a_judge_that_leaves_out_an_answer_is_an_error() -> None:
    def silent(questions: Iterable[tuple[int, Question]]) -> Iterator[tuple[int, Answer]]:
        for number, question in questions:
            if number != 1:
                yield number, prefers_good(question)

    pairs = [Pair(PROMPT, GOOD, BAD)]
    with pytest.raises(CurateError, match="pair 0: the judge gave no answer"):
        list(compare(load_rubric("mt_bench_pair"), pairs, silent, "text"))


def test_with_probabilities_the_margin_is_the_mean_of_both_orders() -> None:
    rubric = load_rubric("mt_bench_pair")

    def ask(questions: Iterable[tuple[int, Question]]) -> Iterator[tuple[int, Answer]]:
        for number, question in questions:
            assert question.labels == ("A", "B", "C")
            first = shown(question)[0] == GOOD
            yield number, Answer(probabilities=(0.6, 0.1, 0.1) if first else (0.2, 0.4, 0.2))

    ((_, found),) = compare(rubric, [Pair(PROMPT, GOOD, BAD)], ask, "probabilities")
    assert found.winner == "a"
    assert found.margin == pytest.approx((0.5 / 0.8 + 0.2 / 0.8) / 2)


def test_the_counts_have_every_pair() -> None:
    found = counts([Verdict("a", 1.0), Verdict("tie", 0.0, True), Verdict(problem="low_mass")])
    assert found == {"pairs": 3, "a": 1, "b": 0, "tie": 1, "flipped": 1, "low_mass": 1}
    assert counts([]) == {"pairs": 0, "a": 0, "b": 0, "tie": 0, "flipped": 0}


def test_earlier_turns_and_a_reference_are_shown() -> None:
    turns = [("system", "Be brief."), ("user", "Hi."), ("assistant", "Hello."), ("user", "Why?")]
    messages = [{"role": role, "content": text} for role, text in turns]
    rubric = load_rubric("mt_bench_pair")
    row = {"messages": messages, "reference": "Because."}
    first, second = pair_questions(rubric, row, GOOD, BAD, "text")
    transcript = "System: Be brief.\n\nUser: Hi.\n\nAssistant: Hello.\n\nUser: Why?"
    for question in (first, second):
        assert transcript in question.user and "Because." in question.user


def test_a_rubric_for_single_answers_cannot_compare() -> None:
    with pytest.raises(CurateError, match="does not compare two answers"):
        pair_questions(load_rubric("alpagasus"), PROMPT, GOOD, BAD, "text")


def test_a_pairwise_rubric_of_ones_own_frames_its_answers() -> None:
    head = "---\nways: {text: bracketed_letter}\nrange: [-1, 1]\nlabels: {A: 1, B: -1, C: 0}\n---\n"
    text = "{{ boundary }}|{{ instruction }}|{{ answer_a }}|{{ answer_b }}"
    rubric = parse_rubric(head + text, "mine", "mine.jinja")
    first, second = pair_questions(rubric, PROMPT, GOOD, BAD, "text")
    mark = first.user.split("|")[0]
    assert second.user.split("|") == [mark, "Name a fruit.", BAD, GOOD]
    attack, _ = pair_questions(rubric, PROMPT, mark, BAD, "text")
    assert attack.user.split("|")[0] != mark


def test_the_range_of_a_pairwise_rubric_has_zero_in_its_middle() -> None:
    head = "---\nways: {text: bracketed_letter}\nrange: [0, 1]\nlabels: {A: 1, B: 0, C: 0.5}\n---\n"
    rubric = parse_rubric(head + "{{ answer_a }}{{ answer_b }}", "mine", "mine.jinja")
    with pytest.raises(CurateError, match=r"range is like \[-1, 1\]"):
        pair_questions(rubric, PROMPT, GOOD, BAD, "text")
