"""Formats that hold bare lists of texts: UltraChat, LIMA, MT-bench, and pairs of turns."""

from __future__ import annotations

from itertools import cycle
from typing import Any

from curate.sources.shared.convert import (
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
    """`{conversation: [{human, assistant}, ...]}` (ms-swift), `{input, output}` (Capybara)."""
    turns = row.get("conversation")
    return isinstance(turns, list) and any(map(_exchange, turns))


def exchanges(row: Row) -> list[Conversation]:
    """One object holds a question and its answer, and perhaps the system's words."""
    messages = system_of(row)
    for number, turn in enumerate(row["conversation"], 1):
        names = _exchange(turn)
        if names is None:
            raise Reject("wrong_type", f"exchange {number} has no human and assistant")
        if turn.get("system") and not messages:
            messages += system_of(turn)
        question, answer = names
        messages.append(user(text_of(turn[question], question)))
        messages.append(assistant(text_of(turn[answer], answer)))
    return [labelled(row, checked(messages), ("conversation", "system"))]


def alternating(texts: list[str]) -> list[Message]:
    """Messages of user and assistant in turn."""
    roles = cycle(("user", "assistant"))
    messages = [{"role": role, "content": text} for role, text in zip(roles, texts, strict=False)]
    return checked(messages)


def _texts(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(text, str) for text in value)


def _exchange(turn: Any) -> tuple[str, str] | None:
    """The names of a question and its answer in one object, or None where they are not there."""
    fields = turn if isinstance(turn, dict) else {}
    return next((pair for pair in _EXCHANGES if pair[0] in fields and pair[1] in fields), None)


_EXCHANGES = (
    *(("human", "assistant"), ("input", "output"), ("user", "assistant"), ("user", "bot")),
    *(("question", "answer"), ("prompt", "response"), ("instruction", "output")),
    *(("instruction", "response"), ("query", "response")),
)
