"""Formats with one question and one answer in named columns: Alpaca, Dolly, prompt/completion."""

from __future__ import annotations

import re

from curate.sources.shared import choices, tasks
from curate.sources.shared.convert import (
    ANSWERS,
    QUESTIONS,
    SYSTEMS,
    Conversation,
    Message,
    Row,
    assistant,
    labelled,
    system_of,
    text_of,
    user,
)
from curate.sources.shared.thoughts import REASONING, is_thought

# A question and an answer under the names of those who speak, or as a function's two sides.
SIDES = (
    *(("user", "assistant"), ("human", "gpt"), ("human", "assistant"), ("user", "bot")),
    ("input", "output"),
)

# Alpaca's ways of saying "no input"; the whole field must be one of them.
NO_INPUT = re.compile(r"[\[(<]?no ?input[\])>.]?", re.IGNORECASE)
# What tables write into a field that has no value. "None" and "N/A" are what a person or a model
# wrote; what to do with such a row is for the filters to say.
_NO_VALUES = frozenset(("nan", "<na>"))
NO_VALUE = "an `input` of `nan` is no input"


def is_no_input(text: str) -> bool:
    """Whether all that an `input` says is that there is none.

    >>> is_no_input("<noinput>"), is_no_input("NaN"), is_no_input("none of them")
    (True, True, False)
    """
    bare = text.strip()
    return bare.lower() in _NO_VALUES or NO_INPUT.fullmatch(bare) is not None


def is_alpaca(row: Row) -> bool:
    """`{instruction, input?, output | response, system?, history?}`."""
    return "instruction" in row and "context" not in row and "instances" not in row


def alpaca(row: Row) -> list[Conversation]:
    """Instruction and input are joined by a blank line; `<noinput>` and its kin are no input."""
    return _instructed(row, ("output", "response", "completion", "answer"))


def is_dolly(row: Row) -> bool:
    """`{instruction, context, response, category}`."""
    return "instruction" in row and "context" in row


def dolly(row: Row) -> list[Conversation]:
    """Context follows the instruction after a blank line."""
    return _instructed(row, ("response", "output"))


def _instructed(row: Row, answers: tuple[str, ...]) -> list[Conversation]:
    """An instruction, then all that it is about."""
    instruction = text_of(row["instruction"], "instruction")
    given = row.get("input")
    absent = isinstance(given, str) and is_no_input(given)
    row = {**row, "input": ""} if absent else row
    texts, names, notes = tasks.material(row, (), instruction)
    if absent and not NO_INPUT.fullmatch(str(given).strip()):
        notes.append(NO_VALUE)
    used = ("instruction", "input", "context", *names)
    return [_conversation(row, [instruction, *texts], used, answers, notes)]


def is_pair(row: Row) -> bool:
    """`{prompt | query | question | problem, completion | response | answer | ...}`."""
    question = _question(row)
    return question is not None and not isinstance(row[question], list)


def pair(row: Row) -> list[Conversation]:
    """A question column and an answer column under any of their usual names.

    What the question is about (`context`, `passage`, ...) stands before it, choices behind it.
    """
    name = _question(row) or QUESTIONS[0]
    question = text_of(row[name], name)
    texts, names, notes = tasks.material(row, (name,), question)
    parts = [*texts, question]
    side = next((answer for question, answer in SIDES if question == name and answer in row), None)
    answers = ANSWERS if name in QUESTIONS or side is None else (side,)
    return [_conversation(row, parts, (name, *names), answers, notes)]


def _question(row: Row) -> str | None:
    name = next((name for name in QUESTIONS if name in row), None)
    return name or next((one for one, other in SIDES if one in row and other in row), None)


def _conversation(
    row: Row, parts: list[str], used: tuple[str, ...], answers: tuple[str, ...], notes: list[str]
) -> Conversation:
    given, choice_names = choices.choices(row)
    messages = system_of(row) + tasks.history(row)
    if given and not choices.are_in(given, "\n\n".join(parts)):
        parts = [*parts, choices.listed(given)]
    messages.append(asked(*parts))
    answer, names, assumed = tasks.answer_of(row, answers, given)
    messages.append(assistant(answer))
    thought = next((name for name in REASONING if name in row and is_thought(row[name])), None)
    if thought:
        messages[-1]["reasoning"] = row[thought]
    if isinstance(row.get("context"), list):
        used = (*used, "context")  # turns before the question
    used = (*used, *SYSTEMS, *tasks.HISTORIES, thought or "", *choice_names, *names)
    return labelled(row, messages, used, notes=(*notes, *assumed))


def asked(*parts: str) -> Message:
    """The user's message: instruction, input and what else there is, joined by a blank line."""
    return user("\n\n".join(part for part in parts if part.strip()))
