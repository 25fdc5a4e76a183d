"""Which of two answers is better, asked in both orders: a win only if both orders agree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from curate.base.errors import CurateError
from filters.llm_judge import rows
from filters.llm_judge.question import Answer, Question, Way
from filters.llm_judge.reading import MIN_MASS, Reading
from filters.llm_judge.rows import Row
from filters.llm_judge.rubric import Rubric, RubricFailed

Winner = Literal["a", "b", "tie"]
# Asks questions, each with a number, and gives their answers in any order: `ask_all`, bound to a
# judge and a store.
Ask = Callable[[Iterable[tuple[int, Question]]], Iterator[tuple[int, Answer]]]


@dataclass(frozen=True)
class Pair:
    """Two answers to one prompt. `prompt` has the columns of a row, without the answer."""

    prompt: Row
    answer_a: str
    answer_b: str


@dataclass(frozen=True)
class Verdict:
    """What both orders say of a pair.

    `winner` is none where one of them could not be read; then `problem` says why. `margin` is the
    mean over both orders, from -1 (b is better) to 1 (a is better): of the verdicts, or of the
    probabilities' expected values. `is_flipped`: the orders have different verdicts.
    """

    winner: Winner | None = None
    margin: float | None = None
    is_flipped: bool = False
    problem: str = ""
    reasons: tuple[str, str] = ("", "")


def pair_questions(
    rubric: Rubric, row_prompt: Row, answer_a: str, answer_b: str, way: Way
) -> tuple[Question, Question]:
    """The question with a shown first (as A), and the one with b shown first.

    Raises `CurateError` for a rubric that does not compare two answers.
    """
    check_pairwise(rubric)
    texts = _texts(rubric, row_prompt, answer_a, answer_b)
    (first,) = rubric.asked({**texts, "answer_a": answer_a, "answer_b": answer_b}, way)
    (second,) = rubric.asked({**texts, "answer_a": answer_b, "answer_b": answer_a}, way)
    return first, second


def check_pairwise(rubric: Rubric) -> None:
    """Raise `CurateError` for a rubric that does not ask one question about two answers."""
    if not rubric.is_pairwise or len(rubric.aspects) != 1:
        raise CurateError(
            f"rubric {rubric.name}: it does not compare two answers in one question; "
            "take mt_bench_pair, or a file of your own that reads answer_a and answer_b"
        )
    if not rubric.low == -rubric.high:
        raise CurateError(f"rubric {rubric.name}: a pairwise rubric's range is like [-1, 1]")


def verdict(first: Reading, second: Reading) -> Verdict:
    """What the readings of both orders say together; in the second b was shown as A.

    >>> verdict(Reading(1.0), Reading(-1.0)).winner, verdict(Reading(1.0), Reading(1.0)).winner
    ('a', 'tie')
    """
    reasons = (first.reason, second.reason)
    if first.score is None or second.score is None:
        return Verdict(problem=first.problem or second.problem, reasons=reasons)
    one, other = first.score, -second.score
    winner: Winner = "a" if min(one, other) > 0 else "b" if max(one, other) < 0 else "tie"
    return Verdict(winner, (one + other) / 2, _sign(one) != _sign(other), "", reasons)


def compare(
    rubric: Rubric, pairs: Iterable[Pair], ask: Ask, way: Way, min_mass: float = MIN_MASS
) -> Iterator[tuple[int, Verdict]]:
    """The verdict on each pair, with its number from 0, as the answers come.

    Pairs are taken when `ask` takes its questions. A pair without words in the prompt or in one
    of the answers is not asked (`nothing_to_judge`), nor one on which the template fails
    (`cannot_be_asked`). Raises `CurateError` for a rubric that does
    not compare, and where `ask` leaves a question without an answer.
    """
    check_pairwise(rubric)
    waiting: dict[int, _Asked] = {}
    unasked: list[tuple[int, Verdict]] = []
    for number, answer in ask(_questions(rubric, pairs, way, waiting, unasked)):
        yield from _drained(unasked)
        pair, is_second = divmod(number, 2)
        asked = waiting[pair]
        asked.readings[is_second] = rubric.read(
            asked.questions[is_second], answer, way, rubric.aspects[0], min_mass
        )
        if len(asked.readings) == 2:
            yield pair, verdict(asked.readings[0], asked.readings[1])
            del waiting[pair]
    yield from _drained(unasked)
    if waiting:
        raise CurateError(f"pair {min(waiting)}: the judge gave no answer to it")


def counts(verdicts: Iterable[Verdict]) -> dict[str, int]:
    """How many pairs: `pairs`, `a`, `b`, `tie`, of which `flipped`; and of each problem.

    >>> counts([Verdict("a", 1.0), Verdict("tie", 0.0, True), Verdict(problem="unreadable")])
    {'pairs': 3, 'a': 1, 'b': 0, 'tie': 1, 'flipped': 1, 'unreadable': 1}
    """
    found: Counter[str] = Counter()
    for one in verdicts:
        found.update(["pairs", one.winner or one.problem, *(["flipped"] if one.is_flipped else [])])
    names = ("pairs", "a", "b", "tie", "flipped")
    problems = sorted(set(found) - set(names))
    return {name: found[name] for name in (*names, *problems)}


@dataclass(frozen=True)
class _Asked:
    """A pair's questions, and what was read so far, by which of the two."""

    questions: tuple[Question, Question]
    readings: dict[int, Reading]


def _questions(
    rubric: Rubric,
    pairs: Iterable[Pair],
    way: Way,
    waiting: dict[int, _Asked],
    unasked: list[tuple[int, Verdict]],
) -> Iterator[tuple[int, Question]]:
    """Both questions of each pair, numbered 2n and 2n + 1; notes what waits or is not asked."""
    for number, pair in enumerate(pairs):
        texts = _texts(rubric, pair.prompt, pair.answer_a, pair.answer_b)
        if not all(text.strip() for text in (texts["instruction"], pair.answer_a, pair.answer_b)):
            unasked.append((number, Verdict(problem="nothing_to_judge")))
            continue
        try:
            both = pair_questions(rubric, pair.prompt, pair.answer_a, pair.answer_b, way)
        except RubricFailed as error:
            failed = Verdict(problem="cannot_be_asked", reasons=(str(error), ""))
            unasked.append((number, failed))
            continue
        waiting[number] = _Asked(both, {})
        yield from ((2 * number + which, question) for which, question in enumerate(both))


def _texts(rubric: Rubric, prompt: Row, answer_a: str, answer_b: str) -> dict[str, Any]:
    """What the template sees; the boundary occurs in no answer, and is the same in both orders."""
    # An empty answer at the end: all messages of the prompt are what is answered.
    messages = [*(prompt.get("messages") or ()), {"role": "assistant", "content": ""}]
    texts = rows.variables({**prompt, "messages": messages}, rubric.reads)
    asked = (texts["boundary"], texts["instruction"], texts["system"], texts["reference"] or "")
    answers = sorted((answer_a, answer_b))
    return {
        **texts,
        "messages": texts["messages"][:-1],
        "boundary": rows.boundary([*asked, *answers]),
    }


def _drained(unasked: list[tuple[int, Verdict]]) -> Iterator[tuple[int, Verdict]]:
    while unasked:
        yield unasked.pop(0)


def _sign(number: float) -> int:
    return (number > 0) - (number < 0)
