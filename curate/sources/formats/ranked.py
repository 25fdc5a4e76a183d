"""Rows with a list of answers to one prompt, each with a score or a rank."""

from __future__ import annotations

from typing import Any

from curate.sources.formats.comparisons import (
    TIE,
    before_answers,
    number_in,
    plain_answer,
    side_turns,
)
from curate.sources.shared.convert import (
    ANSWERS,
    Conversation,
    Reject,
    Row,
    assistant,
    first_name,
    text_of,
)

_LISTS = ("generations", "responses", "candidates", "outputs", "completions", "answers")
_RATINGS = ("ratings", "rating", "scores", "rewards", "overall_scores")
_OVERALL = ("overall_score", "fine-grained_score", "score", "rating")


def is_completions(row: Row) -> bool:
    """UltraFeedback raw: `{instruction, completions: [{model, response, overall_score}]}`."""
    completions = row.get("completions")
    return (
        ("instruction" in row or "prompt" in row)
        and isinstance(completions, list)
        and all(isinstance(each, dict) for each in completions)
    )


def completions(row: Row) -> list[Conversation]:
    """The best-scored completion; the worst-scored one is kept as rejected."""
    given = row["completions"]
    scores = [_overall(each) for each in given]
    # `completions` stays in meta: `curate pairs` makes pairs of all of them.
    return [_best(row, [each.get("response") for each in given], scores, "completions", ())]


def _overall(completion: Row) -> float | None:
    numbers = (number_in(completion.get(name)) for name in _OVERALL)
    return next((number for number in numbers if number is not None), None)


def is_generations(row: Row) -> bool:
    """distilabel `{instruction | prompt | input, generations: [text, ...], ratings: [number]}`."""
    name = first_name(row, _LISTS)
    answers = row.get(name) if name else None
    if not isinstance(answers, list) or not all(isinstance(text, str) for text in answers):
        return False
    rated = first_name(row, _RATINGS)
    lists = name == "generations" or (rated is not None and isinstance(row[rated], list))
    return lists and first_name(row, ANSWERS) is None


def generations(row: Row) -> list[Conversation]:
    """The best-rated answer with its rating; the worst-rated one is kept as rejected."""
    name, rated = first_name(row, _LISTS) or _LISTS[0], first_name(row, _RATINGS)
    texts = row[name]
    ratings = row[rated] if rated and isinstance(row[rated], list) else []
    if rated and len(ratings) != len(texts):
        raise Reject("no_preference", f"{name} has {len(texts)} answers, {rated} {len(ratings)}")
    scores = [number_in(one) for one in ratings]
    used = (name, rated) if rated and len(texts) < 3 else ()
    return [_best(row, texts, scores or [None] * len(texts), name, used)]


def is_answer_ranks(row: Row) -> bool:
    """Nectar `{prompt, answers: [{answer, model, rank}]}`: the first rank is the best."""
    answers = row.get("answers")
    return (
        "prompt" in row
        and isinstance(answers, list)
        and all(isinstance(each, dict) and "rank" in each for each in answers)
    )


def answer_ranks(row: Row) -> list[Conversation]:
    """The answer of the first rank; the one of the last rank is rejected."""
    given = row["answers"]
    ranks = [number_in(each["rank"]) for each in given]
    worths = [None if rank is None else -rank for rank in ranks]
    texts = [each.get("answer", each.get("text")) for each in given]
    found = _best(row, texts, worths, "answers", ())
    note = "of ranked answers the first is taken, the last is rejected"
    return [found._replace(score=None, notes=(*found.notes, note))]


def _best(
    row: Row, answers: list[Any], scores: list[float | None], name: str, used: tuple[str, ...]
) -> Conversation:
    """The conversation with the best answer; of equal ones the first is taken."""
    if not answers:
        raise Reject("no_answer", f"{name} is empty")
    rated = [(score, at) for at, score in enumerate(scores) if score is not None]
    if not rated and len(answers) > 1:
        wrong = f"none of the {len(answers)} answers in {name} has a number that rates it"
        raise Reject("no_preference", wrong)
    best = max(rated, key=lambda pair: (pair[0], -pair[1]), default=(None, 0))
    worst = min(rated, key=lambda pair: (pair[0], -pair[1]), default=best)
    before = before_answers(row)
    chosen = plain_answer(answers[best[1]], f"answer {best[1] + 1} of {name}")
    messages = side_turns(chosen["content"], name, before)
    is_tie = len(answers) > 1 and best[0] == worst[0]
    rejected = None
    if not is_tie and len(answers) > 1:
        rejected = [assistant(text_of(answers[worst[1]], f"answer {worst[1] + 1} of {name}"))]
    notes = (*before.notes, *((TIE,) if is_tie else ()))
    tie_used = () if is_tie else used
    return Conversation(messages, (*before.used, *tie_used), None, rejected, best[0], notes=notes)
