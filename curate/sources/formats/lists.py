"""Formats that hold bare lists of texts: UltraChat, LIMA, MT-bench, and pairs of turns."""

from __future__ import annotations

from itertools import cycle
from typing import Any

from curate.sources.shared.controls import weight_of
from curate.sources.shared.convert import (
    ROLE_NAMES,
    SYSTEMS,
    Conversation,
    Message,
    Reject,
    Row,
    assistant,
    checked,
    described,
    labelled,
    role_of,
    system_of,
    text_of,
    user,
)
from curate.sources.shared.tasks import exchange_names, material


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
    return _exchange_list(row) is not None


def _exchange_list(row: Row) -> str | None:
    """The field that lists exchanges: a question and its answer each, or `{speaker: words}`."""
    for name in _EXCHANGE_LISTS:
        turns = row.get(name)
        if isinstance(turns, list) and turns:
            if any(exchange_names(turn) for turn in turns) or all(map(_is_pair, turns)):
                return name
            if all(_speaker(turn) for turn in turns):
                return name
    return None


_EXCHANGE_LISTS = ("conversation", "conversations", "messages", "turns", "dialog", "dialogue")


def _is_pair(turn: Any) -> bool:
    return _texts(turn) and len(turn) == 2


def _speaker(turn: Any) -> str | None:
    """Who speaks in `{"human": "Hi"}`: the only key that names a role."""
    if not isinstance(turn, dict):
        return None
    names = [key for key in turn if str(key).strip().lower() in ROLE_NAMES]
    if sum(isinstance(value, str) for value in turn.values()) > 1:
        return None  # `{"user": "ann", "text": "Hi"}` names somebody
    return names[0] if len(names) == 1 and isinstance(turn[names[0]], str | None) else None


def exchanges(row: Row) -> list[Conversation]:
    """One object holds a question and its answer, and perhaps the system's words."""
    name = _exchange_list(row) or "conversation"
    messages = system_of(row)
    in_turn = not any(map(exchange_names, row[name]))
    for number, turn in enumerate(row[name], 1):
        if in_turn and _is_pair(turn):
            messages += [user(turn[0]), assistant(turn[1])]
        elif in_turn and (speaker := _speaker(turn)):
            said = {"role": role_of(speaker, number), "content": text_of(turn[speaker], speaker)}
            messages.append(said | weight_of(turn, number))
        else:
            messages += _exchanged(turn, number, is_first=not messages)
    return [labelled(row, checked(messages), (name, "system"))]


def _exchanged(turn: Any, number: int, *, is_first: bool) -> list[Message]:
    names = exchange_names(turn)
    if names is None:
        raise Reject("wrong_type", f"exchange {number} has no human and assistant")
    question, answer = (text_of(turn[name], name) for name in names)
    before = system_of(turn) if is_first else []
    return [*before, user(question), assistant(answer) | weight_of(turn, number)]


_ASKED, _ANSWERED = ("questions", "user", "prompts"), ("answers", "assistant", "responses")


def is_parallel(row: Row) -> bool:
    """`{story | context, questions: [text, ...], answers: [text, ...]}`, a list each (CoQA)."""
    return _parallel(row) is not None


def _parallel(row: Row) -> tuple[list[str], list[str], tuple[str, str]] | None:
    """The questions, their answers and both fields, where there are as many of both."""
    for one, other in zip(_ASKED, _ANSWERED, strict=True):
        given = row.get(other)
        if isinstance(given, dict):  # CoQA's answers have their places in the story beside them
            given = given.get("input_text", given.get("text"))
        asked = row.get(one)
        if _texts(asked) and _texts(given) and len(list(asked or ())) == len(list(given or ())):
            return list(asked or ()), list(given or ()), (one, other)
    return None


def parallel(row: Row) -> list[Conversation]:
    """Each question and its answer in turn; what all of them are about before the first one."""
    found = _parallel(row)
    if found is None:
        raise Reject("wrong_type", "there are not as many answers as questions")
    questions, answers, used = found
    texts, names, notes = material(row)
    messages = system_of(row)
    for question, answer in zip(questions, answers, strict=True):
        messages += [user(question), assistant(answer)]
    first = next(turn for turn in messages if turn["role"] == "user")
    first["content"] = "\n\n".join((*texts, first["content"]))
    return [labelled(row, messages, (*used, *names, *SYSTEMS), notes=tuple(notes))]


def alternating(texts: list[str]) -> list[Message]:
    """Messages of user and assistant in turn."""
    roles = cycle(("user", "assistant"))
    messages = [{"role": role, "content": text} for role, text in zip(roles, texts, strict=False)]
    return checked(messages)


def _texts(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(text, str) for text in value)
