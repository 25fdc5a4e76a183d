"""What formats of preferences share: what both answers answer, and which of two is the better."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from curate.sources.formats.pairs import asked
from curate.sources.shared.convert import (
    Conversation,
    Message,
    Reject,
    Row,
    assistant,
    checked,
    described,
    labelled,
    list_of,
    parse_json,
    system_of,
    text_of,
    user,
)
from curate.sources.shared.tasks import material_text
from curate.sources.shared.transcripts import answered, opened, written_turns
from curate.sources.shared.turns import content_of, is_turn, message_of, turns_in

TIE = "a tie: the first answer is taken, and none is rejected"

# Where a row holds what its answers answer; the first that is there counts.
PROMPTS = (
    *("conversations", "prompt", "question", "instruction", "query", "context", "input"),
    *("conversation", "messages", "trajectory", "turns", "dialogue", "dialog", "chat_history"),
)


class Before(NamedTuple):
    """The turns that all answers of a row answer, the fields they came from, what was assumed.

    `written` is the text that held them, where it was a transcript or a rendering.
    """

    messages: list[Message]
    used: tuple[str, ...]
    notes: tuple[str, ...] = ()
    written: str = ""


def before_answers(row: Row) -> Before:
    """What the answers of a row answer: messages, a transcript, or a question in columns."""
    messages, used = system_of(row), [name for name in ("system", "tools") if name in row]
    history = list_of(row.get("history") or [], "history")
    for number, turn in enumerate(history, 1):
        if not isinstance(turn, list) or len(turn) != 2:
            raise Reject("wrong_type", f"history entry {number} is not a [question, answer] pair")
        messages += [user(text_of(turn[0], "history")), assistant(text_of(turn[1], "history"))]
    used += ["history"] if history else []
    name = next((name for name in PROMPTS if row.get(name)), None)
    if name is None:
        return Before(messages, (*used, *(each for each in PROMPTS if each in row)))
    given = _given(row[name])
    if not isinstance(given, str):
        turns = turns_in(given if isinstance(given, list) else [given])
        if turns and turns[-1]["role"] == "assistant" and name in ("conversation", "messages"):
            return Before(messages, tuple(used))  # not what is answered, but a copy with an answer
        first = turns[:1]
        # A system prompt that stands in the messages already is the same one.
        own = [] if first and first[0]["role"] == "system" else messages
        return Before(own + turns, (*used, name))
    found = opened(given)
    if found is not None:
        own = [] if found.messages[0]["role"] == "system" else messages
        return Before(own + found.messages, (*used, name), found.notes, given)
    more = next((each for each in ("input", "context") if each != name and each in row), None)
    beside = row.get(more) if more else None
    if more == "context" and isinstance(beside, list) and any(map(is_turn, beside)):
        return Before([*messages, *turns_in(beside), user(given)], (*used, name, more))
    as_text = material_text if more == "context" else text_of
    text = as_text(beside, more or "input")
    question = asked(given, text)
    return Before([*messages, question], (*used, name, *([more] if more else [])))


def _given(value: Any) -> Any:
    """A prompt: WebGPT's are objects with a text, and tables hold messages as JSON text."""
    if isinstance(value, dict) and not {"role", "from"} & set(value):
        return text_of(value.get("full_text", value.get("text")), "the prompt's text")
    return messages_in_text(value)


def messages_in_text(value: Any) -> Any:
    """The messages that a text holds as JSON; any other value as it is."""
    if isinstance(value, str) and _JSON_MESSAGES.match(value):
        found = parse_json(value, "a list of messages")
        if isinstance(found, list) and all(isinstance(turn, dict) for turn in found):
            return found
    return value


_JSON_MESSAGES = re.compile(r'\s*\[\s*\{\s*"(?:role|content|from|value)"\s*:')


def side_turns(value: Any, name: str, before: Before) -> list[Message]:
    """The whole conversation that one answer makes: what is before it, and the answer.

    The answer is a text, a message, messages, or the whole conversation again.
    """
    value = messages_in_text(value)
    if isinstance(value, str):
        return _with_text(value, before)
    given = [value] if isinstance(value, dict) else list_of(value, name)
    if len(given) == 1 and isinstance(given[0], str):
        return _with_text(given[0], before)
    if not given:
        raise Reject("no_answer", f"{name} is empty")
    turns = [message_of(turn, position) for position, turn in enumerate(given, 1)]
    # UltraFeedback repeats the prompt inside each side.
    repeats = len(turns) > 1 and turns[0]["role"] in ("user", "system")
    if repeats and turns[0]["role"] == "user":
        system = [turn for turn in before.messages[:1] if turn["role"] == "system"]
        return system + turns
    return turns if repeats else before.messages + turns


def _with_text(text: str, before: Before) -> list[Message]:
    whole = written_turns(text)
    if whole is not None and _begins_with(whole.messages, before.messages):
        return whole.messages
    found = answered(before.written, text) if before.written else None
    if found is None:
        return [*before.messages, assistant(text)]
    system = before.messages[:1] if found.messages[0]["role"] != "system" else []
    return [turn for turn in system if turn["role"] == "system"] + found.messages


def _begins_with(turns: list[Message], before: list[Message]) -> bool:
    """Whether the turns are a conversation that goes on from `before`."""
    said = [(turn["role"], turn["content"].strip()) for turn in before]
    start = [(turn["role"], turn["content"]) for turn in turns[: len(before)]]
    return start == said and any(turn["role"] == "assistant" for turn in turns[len(before) :])


def shared(left: list[Message], right: list[Message]) -> int:
    """How many turns both sides begin with."""
    pairs = enumerate(zip(left, right, strict=False))
    return next((at for at, (one, other) in pairs if one != other), min(len(left), len(right)))


# The fields in which pairs hold a label.
OF_PAIRS = ("category", "domain", "dataset")


def compared(
    row: Row,
    sides: tuple[list[Message], list[Message]],
    names: tuple[str, str],
    better: int,
    used: tuple[str, ...],
    scores: tuple[tuple[str, ...], tuple[str, ...]] = ((), ()),
    notes: tuple[str, ...] = (),
    **more: Any,
) -> Conversation:
    """The better of two conversations, with the other's turns as rejected ones.

    `better` is 1 or 2, or 0 for a tie: then the first one is taken and nothing is rejected. The
    score is the first number among the winner's `scores`.
    """
    chosen = 1 if better == 2 else 0
    messages, other = checked(sides[chosen]), sides[1 - chosen]
    rejected = other[shared(messages, other) :] if better else None
    used = (*used, names[chosen], *((names[1 - chosen],) if better else ()))
    notes = notes if better else (*notes, TIE)
    return labelled(
        row, messages, used, scores[chosen], OF_PAIRS, rejected=rejected, notes=notes, **more
    )


# Fields that name the better of two answers.
VERDICTS = (
    *("winner", "better_response_id", "better_response", "better", "preferred", "preference"),
    *("choice", "chosen", "verdict", "label"),
)
_TIES = ("tie", "same", "both", "equal", "draw", "tied", "equally good", "both good", "both_good")
_BOTH_BAD = ("tie (bothbad)", "bothbad", "both_bad", "both bad", "tie_both_bad", "neither")
_SIDE = re.compile(
    r"(?:model|response|answer|assistant|output|completion|option|conversation)?[ _]?([ab0-2])",
    re.IGNORECASE,
)


def side_of(value: Any, field: str, names: tuple[str, str]) -> int:
    """Which side a verdict names: 1 or 2, 0 for a tie. Raises `Reject` for anything else.

    Numbers count as the names do: `response_0` and `response_1` from 0, `response_1` and
    `response_2` from 1. For `response_a` a number says nothing.
    """
    ends = tuple(name[-1].lower() for name in names)
    word = str(value).strip().lower() if isinstance(value, str | int) else ""
    if isinstance(value, float) and value.is_integer():
        word = str(int(value))
    if isinstance(value, str) and word in (*_TIES, *_BOTH_BAD):
        return 0
    named = _SIDE.fullmatch(word)
    mark = names[names.index(value)][-1].lower() if value in names else named[1] if named else None
    if mark in ends and not isinstance(value, bool):
        return ends.index(mark) + 1
    raise Reject(
        "no_preference", f"{field} is {described(value)}; expected {names[0]}, {names[1]} or a tie"
    )


def number_in(value: Any) -> float | None:
    """A finite number, or its text (all that a CSV file holds is text); else None."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if abs(number) < 1e300 else None


def plain_answer(value: Any, name: str) -> Message:
    """An answer that is a text, or text parts, as the assistant's message."""
    return assistant(content_of(value, name) if isinstance(value, list) else text_of(value, name))
