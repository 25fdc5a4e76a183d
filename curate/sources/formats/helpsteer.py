"""HelpSteer 1 to 3: rated answers, judged pairs of answers, and answers that were edited."""

from __future__ import annotations

from curate.sources.formats.comparisons import before_answers, compared, number_in, plain_answer
from curate.sources.shared.convert import (
    Conversation,
    Reject,
    Row,
    checked,
    described,
    labelled,
    text_of,
)
from curate.sources.shared.renderings import after_first

_STRENGTHS = ("overall_preference", "preference_strength")
_EDITS = (
    ("edited_response", "original_response"),
    ("good_edited_response", "bad_edited_response"),
)


def is_helpsteer(row: Row) -> bool:
    """HelpSteer `{prompt, response, helpfulness}`, or `{context: [turns], response, feedback}`."""
    if "response" not in row:
        return False
    context = row.get("context")
    turns = isinstance(context, list) and bool(context) and isinstance(context[0], dict)
    return turns or ("prompt" in row and "helpfulness" in row)


def helpsteer(row: Row) -> list[Conversation]:
    """The answer with its helpfulness, 0 to 4, as the score; other ratings stay in meta."""
    answer = plain_answer(row["response"], "response")
    categories = ("category", "domain")
    if not isinstance(row.get("prompt"), str):
        before = before_answers(row)
        messages, used, notes = before.messages, before.used, before.notes
    else:
        asked = after_first(text_of(row["prompt"], "prompt"))
        messages, used, notes = asked.messages, ("prompt",), asked.notes
    used = (*used, "response")
    messages = checked([*messages, answer])
    return [labelled(row, messages, used, ("helpfulness",), categories, notes=notes)]


def is_helpsteer_pair(row: Row) -> bool:
    """HelpSteer 2 and 3 `{context | prompt, response1, response2, overall_preference: -3 to 3}`."""
    return _pair(row) is not None and any(name in row for name in _STRENGTHS)


def _pair(row: Row) -> tuple[str, str] | None:
    pairs = (("response1", "response2"), ("response_1", "response_2"))
    return next((names for names in pairs if names[0] in row and names[1] in row), None)


def helpsteer_pair(row: Row) -> list[Conversation]:
    """The preferred answer: below 0 the first is better, above 0 the second, 0 is a tie."""
    names = _pair(row) or ("response1", "response2")
    field = next((name for name in _STRENGTHS if name in row), _STRENGTHS[0])
    strength = number_in(row.get(field))
    if strength is None or abs(strength) > 3:
        expected = "expected -3 (the first is much better) to 3 (the second)"
        raise Reject("no_preference", f"{field} is {described(row.get(field))}; {expected}")
    before = before_answers(row)
    first, second = ([*before.messages, plain_answer(row.get(name), name)] for name in names)
    better = 0 if strength == 0 else 1 if strength < 0 else 2
    return [compared(row, (first, second), names, better, before.used, notes=before.notes)]


def is_helpsteer_edit(row: Row) -> bool:
    """HelpSteer 3 `{context, original_response, edited_response}`, or a good and a bad edit."""
    return any(edited in row and before in row for edited, before in _EDITS)


def helpsteer_edit(row: Row) -> list[Conversation]:
    """The edited answer; the one before the edit, or the bad edit, is rejected."""
    names = next((pair for pair in _EDITS if pair[0] in row and pair[1] in row), _EDITS[0])
    before = before_answers(row)
    better, worse = ([*before.messages, plain_answer(row.get(name), name)] for name in names)
    return [compared(row, (better, worse), names, 1, before.used, notes=before.notes)]
