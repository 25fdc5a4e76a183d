"""Preference data: for SFT the chosen side is the answer, the other side is kept as `rejected`."""

from __future__ import annotations

from typing import Any

from curate.sources.formats.comparisons import (
    TIE,
    VERDICTS,
    Before,
    before_answers,
    compared,
    shared,
    side_of,
    side_turns,
)
from curate.sources.formats.pairs import asked
from curate.sources.shared.convert import (
    ANSWERS,
    Conversation,
    Reject,
    Row,
    assistant,
    checked,
    described,
    labelled,
    system_of,
    text_of,
    tool_schemas,
)
from curate.sources.shared.turns import turns_in

_SIDES = (
    *(("chosen", "rejected"), ("chosen_response", "rejected_response")),
    *(("response_chosen", "response_rejected"), ("chosen_answer", "rejected_answer")),
    *(("answer_chosen", "answer_rejected"), ("accepted", "rejected")),
    *(("preferred", "dispreferred"), ("preferred_response", "dispreferred_response")),
    *(("better_response", "worse_response"), ("chosen_messages", "rejected_messages")),
)
_CHOSEN_SCORES = (
    *("score_chosen", "chosen_score", "chosen-rating", "chosen_rating", "rating_chosen"),
    *("chosen_reward", "reward_chosen", "score"),
)


def is_chosen_rejected(row: Row) -> bool:
    """`{chosen, rejected}` with or without a prompt, as texts, transcripts or messages."""
    return _sides(row) is not None


def _sides(row: Row) -> tuple[str, str] | None:
    return next((pair for pair in _SIDES if pair[0] in row and pair[1] in row), None)


def chosen_rejected(row: Row) -> list[Conversation]:
    """HH-RLHF transcripts, DPO triples, ShareGPT pairs and UltraFeedback binarised alike."""
    names = _sides(row) or _SIDES[0]
    if row[names[0]] is None:
        slug = "no_preference" if row[names[1]] is None else "no_answer"
        raise Reject(slug, f"{names[0]} is null; expected the better answer")
    before = before_answers(row)
    chosen = side_turns(row[names[0]], names[0], before)
    used, notes = (*before.used, names[0]), before.notes
    rejected = None
    if row[names[1]] is None:
        notes = (*notes, f"{names[1]} is null: the answer is read without a rejected one")
    elif row.get("status") == "tie":  # distilabel's pairs of equal ratings
        notes = (*notes, TIE)
    else:
        other, more = _rejected(row[names[1]], names[1], before)
        rejected = other[shared(checked(chosen), other) :]
        used, notes = (*used, names[1]), (*notes, *more)
    tools = tool_schemas(row.get("tools"))
    read = labelled(row, checked(chosen), used, _CHOSEN_SCORES, (), tools=tools, notes=notes)
    return [read._replace(rejected=rejected)]


def _rejected(value: Any, name: str, before: Before) -> tuple[Any, tuple[str, ...]]:
    """The rejected side's turns; of several answers the first one, and a note that says so."""
    several = isinstance(value, list) and len(value) > 1
    if several and all(isinstance(text, str) for text in value):
        return side_turns(value[0], name, before), (f"of several {name} answers the first is kept",)
    return side_turns(value, name, before), ()


REJECTED_BESIDE = ("rejected_response", "rejected_messages")


def is_rejected_beside(row: Row) -> bool:
    """ms-swift `{messages | query, response, rejected_response | rejected_messages}`."""
    if "chosen" in row or all(row.get(name) is None for name in REJECTED_BESIDE):
        return False
    return isinstance(row.get("messages"), list) or _question_and_answer(row) is not None


def _question_and_answer(row: Row) -> str | None:
    questions = ("query", "prompt", "instruction", "question")
    answer = next((name for name in ANSWERS if name in row), None)
    return answer if any(name in row for name in questions) else None


def rejected_beside(row: Row) -> list[Conversation]:
    """A conversation, and beside it what the assistant should not have said at its end."""
    name = next(name for name in REJECTED_BESIDE if row.get(name) is not None)
    if isinstance(row.get("messages"), list):
        turns = system_of(row) + turns_in(row["messages"])
        at = max((at for at, turn in enumerate(turns) if turn["role"] != "assistant"), default=-1)
        chosen, before = checked(turns), Before(turns[: at + 1], ("messages", "system", "tools"))
    else:
        before = before_answers(row)
        answer = _question_and_answer(row) or "response"
        chosen = checked(side_turns(row[answer], answer, before))
        before = before._replace(used=(*before.used, answer))
    other, more = _rejected(row[name], name, before)
    tools = tool_schemas(row.get("tools"))
    notes = (*before.notes, *more)
    read = labelled(row, chosen, (*before.used, name), tools=tools, notes=notes)
    return [read._replace(rejected=other[shared(chosen, other) :])]


def is_openai_preference(row: Row) -> bool:
    """`{input: {messages, tools?}, preferred_output, non_preferred_output}`."""
    return "preferred_output" in row and isinstance(row.get("input"), dict)


def openai_preference(row: Row) -> list[Conversation]:
    """OpenAI's form of a preference pair."""
    before = turns_in(row["input"].get("messages"))
    rejected = turns_in(row.get("non_preferred_output") or [])
    messages = checked(before + turns_in(row["preferred_output"]))
    used = ("input", "preferred_output", "non_preferred_output")
    return [Conversation(messages, used, tool_schemas(row["input"].get("tools")), rejected or None)]


def is_judged_pair(row: Row) -> bool:
    """PandaLM `{instruction, response1, response2, annotator1..}`, AlpacaEval `output_1`, `_2`."""
    if not {"response1", "response2"} <= set(row) and not {"output_1", "output_2"} <= set(row):
        return False
    voted = "preference" in row or any(str(name).startswith("annotator") for name in row)
    return voted or not any(name in row for name in VERDICTS)


def judged_pair(row: Row) -> list[Conversation]:
    """The preferred answer; without a majority the first one, and nothing is rejected."""
    both = {"response1", "response2"} <= set(row)
    names = ("response1", "response2") if both else ("output_1", "output_2")
    for name in names:
        if not isinstance(row[name], str):
            raise Reject("wrong_type", f"{name} is {described(row[name])}; expected text")
    before = before_answers(row)
    better = better_side(row, names)
    first, second = ([*before.messages, assistant(row[name])] for name in names)
    return [compared(row, (first, second), names, better, before.used, notes=before.notes)]


def better_side(row: Row, names: tuple[str, str]) -> int:
    """1 or 2, or 0 for a tie: the majority of annotators, or AlpacaEval's preference."""
    names_of_votes = (name for name in row if str(name).startswith("annotator"))
    votes = [row[name] for name in names_of_votes if name != "annotator"]
    if votes:
        return next((side for side in (1, 2) if 2 * votes.count(side) > len(votes)), 0)
    preference = row.get("preference")
    if isinstance(preference, str):
        return side_of(preference, "preference", names)
    if (
        isinstance(preference, bool)
        or not isinstance(preference, int | float)
        or not 0 <= preference <= 2
    ):
        raise Reject("no_preference", f"preference is {described(preference)}; expected 0 to 2")
    return 0 if preference in (0, 1.5) else round(preference)


def is_voted_pair(row: Row) -> bool:
    """SHP `{history, human_ref_A, human_ref_B, labels: 1 for A or 0 for B, score_A, score_B}`."""
    return "human_ref_A" in row and "human_ref_B" in row and "history" in row


def voted_pair(row: Row) -> list[Conversation]:
    """The comment that the label prefers, with its votes as the score; the other is rejected."""
    label = row.get("labels")
    if isinstance(label, bool) or label not in (0, 1):
        raise Reject("no_preference", f"labels is {described(label)}; expected 1 for A or 0 for B")
    better, other = ("A", "B") if label == 1 else ("B", "A")
    sides = (f"human_ref_{better}", f"human_ref_{other}")
    chosen, rejected = (assistant(text_of(row[side], side)) for side in sides)
    messages = [asked(text_of(row["history"], "history"), ""), chosen]
    scores, categories = (f"score_{better}",), ("domain", "category")
    used = ("history", *sides)
    return [labelled(row, messages, used, scores, categories, rejected=[rejected])]
