"""Formats with one question and one answer in named columns: Alpaca, Dolly, prompt/completion."""

from __future__ import annotations

import re
from typing import Any

from curate.sources.convert import (
    Conversation,
    Message,
    Reject,
    Row,
    assistant,
    first_name,
    labelled,
    list_of,
    system_of,
    text_of,
    user,
)

ANSWERS = ("output", "response", "completion", "answer", "target", "solution")
QUESTIONS = ("prompt", "query", "question", "problem")

# Alpaca's ways of saying "no input"; the whole field must be one of them.
_NO_INPUT = re.compile(r"[\[(<]?no ?input[\])>.]?", re.IGNORECASE)


def is_alpaca(row: Row) -> bool:
    """`{instruction, input?, output | response, system?, history?}`."""
    return "instruction" in row and "context" not in row and "instances" not in row


def alpaca(row: Row) -> list[Conversation]:
    """Instruction and input are joined by a blank line; `<noinput>` and its kin are no input."""
    instruction = text_of(row["instruction"], "instruction")
    given = text_of(row.get("input"), "input")
    if _NO_INPUT.fullmatch(given.strip()):
        given = ""
    messages = _opening(row)
    messages.append(asked(instruction, given))
    messages.append(_assistant(row, ("output", "response", "completion", "answer")))
    return [_scored(row, messages, ("instruction", "input", "system", "history"))]


def is_dolly(row: Row) -> bool:
    """`{instruction, context, response, category}`."""
    return "instruction" in row and "context" in row


def dolly(row: Row) -> list[Conversation]:
    """Context follows the instruction after a blank line."""
    instruction = text_of(row["instruction"], "instruction")
    context = text_of(row.get("context"), "context")
    messages = [asked(instruction, context), _assistant(row, ("response", "output"))]
    return [_scored(row, messages, ("instruction", "context"))]


def is_pair(row: Row) -> bool:
    """`{prompt | query | question | problem, completion | response | answer | ...}`."""
    return any(name in row for name in QUESTIONS) and not isinstance(_question(row)[1], list)


def pair(row: Row) -> list[Conversation]:
    """A question column and an answer column under any of their usual names."""
    name, question = _question(row)
    messages = system_of(row)
    messages.append(user(text_of(question, name)))
    messages.append(_assistant(row, ANSWERS))
    return [_scored(row, messages, (name, "system"))]


def _question(row: Row) -> tuple[str, Any]:
    return next((name, row[name]) for name in QUESTIONS if name in row)


def _opening(row: Row) -> list[Message]:
    messages = system_of(row)
    history = list_of(row.get("history") or [], "history")
    for number, turn in enumerate(history, 1):
        if not isinstance(turn, list) or len(turn) != 2:
            raise Reject("wrong_type", f"history entry {number} is not a [question, answer] pair")
        messages.append(user(text_of(turn[0], "history question")))
        messages.append(assistant(text_of(turn[1], "history answer")))
    return messages


def asked(instruction: str, given: str) -> Message:
    """The user's message: instruction and input, joined by a blank line."""
    parts = [part for part in (instruction, given) if part.strip()]
    return user("\n\n".join(parts))


def _assistant(row: Row, names: tuple[str, ...]) -> Message:
    name = first_name(row, names)
    if name is None:
        raise Reject("no_answer", f"none of the fields {', '.join(names)} is there")
    return assistant(text_of(row[name], name))


def _scored(row: Row, messages: list[Message], used: tuple[str, ...]) -> Conversation:
    return labelled(row, messages, (*used, first_name(row, ANSWERS) or ""))
