"""Formats that hold bare lists of texts: UltraChat, LIMA, MT-bench, and pairs of turns."""

from __future__ import annotations

from itertools import cycle
from typing import Any

from curate.sources.convert import (
    Conversation,
    Message,
    Reject,
    Row,
    assistant,
    checked,
    described,
    labelled,
    system_of,
    text_of,
    user,
)


def is_ultrachat(row: Row) -> bool:
    """`{id, data: [user, assistant, user, ...]}`."""
    return _texts(row.get("data"))


def ultrachat(row: Row) -> list[Conversation]:
    """Texts alternate, the user first."""
    return [Conversation(alternating(row["data"]), ("data",))]


def is_lima(row: Row) -> bool:
    """`{conversations: [text, ...], source}`."""
    return _texts(row.get("conversations"))


def lima(row: Row) -> list[Conversation]:
    """Texts alternate, the user first; a lone text is a prompt without an answer."""
    messages = alternating(row["conversations"])
    return [labelled(row, messages, ("conversations",), (), ("source",))]


def is_mt_bench(row: Row) -> bool:
    """`{question_id, category, turns: [text, ...], reference?}`."""
    return "question_id" in row and _texts(row.get("turns"))


def mt_bench(row: Row) -> list[Conversation]:
    """All turns are the user's; reference answers, where they are given, are the assistant's."""
    references = row.get("reference") or []
    if not _texts(references) and references:
        raise Reject("wrong_type", f"reference is {described(references)}; expected texts")
    if len(references) < len(row["turns"]):
        raise Reject("no_answer", "the turns are questions, and there is no reference for each")
    messages: list[Message] = []
    for question, answer in zip(row["turns"], references, strict=False):
        messages += [user(question), assistant(answer)]
    return [labelled(row, messages, ("turns", "reference"), (), ("category",))]


def is_exchanges(row: Row) -> bool:
    """`{conversation: [{human, assistant}, ...]}` (ms-swift)."""
    turns = row.get("conversation")
    return isinstance(turns, list) and any(_is_exchange(turn) for turn in turns)


def exchanges(row: Row) -> list[Conversation]:
    """One object holds a question and its answer."""
    messages = system_of(row)
    for number, turn in enumerate(row["conversation"], 1):
        if not _is_exchange(turn):
            raise Reject("wrong_type", f"exchange {number} has no human and assistant")
        messages.append(user(text_of(turn["human"], "human")))
        messages.append(assistant(text_of(turn["assistant"], "assistant")))
    return [Conversation(checked(messages), ("conversation", "system"))]


def alternating(texts: list[str]) -> list[Message]:
    """Messages of user and assistant in turn."""
    roles = cycle(("user", "assistant"))
    messages = [{"role": role, "content": text} for role, text in zip(roles, texts, strict=False)]
    return checked(messages)


def _texts(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(text, str) for text in value)


def _is_exchange(turn: Any) -> bool:
    return isinstance(turn, dict) and "human" in turn and "assistant" in turn
