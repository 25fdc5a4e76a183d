"""Formats that hold a list of turns: OpenAI messages, ShareGPT, and any other pair of names."""

from __future__ import annotations

from typing import Any

from curate.sources.shared.convert import (
    ANSWERS,
    QUESTIONS,
    Conversation,
    Message,
    Reject,
    Row,
    assistant,
    checked,
    described,
    labelled,
    object_of,
    parsed,
    system_of,
    tool_schemas,
)
from curate.sources.shared.thoughts import REASONING, is_thought
from curate.sources.shared.turns import is_turn, turns_in

# The fields in which rows hold their turns.
LISTS = ("messages", "conversations", "conversation", "items")
MORE_LISTS = ("turns", "dialog", "dialogue", "dialogs", "chat", "utterances", "chat_history")
TURN_LISTS = (*LISTS, *MORE_LISTS)


def is_sharegpt(row: Row) -> bool:
    """`{conversations: [{from, value}], system?, tools?}`."""
    return _turns_of(row, LISTS[1:], "from") is not None


def sharegpt(row: Row) -> list[Conversation]:
    """Turns as `from` and `value`; `function_call` values become tool calls of the assistant."""
    name = _turns_of(row, LISTS[1:], "from") or LISTS[1]
    return [_conversation(row, system_of(row) + turns_in(row[name]), name)]


def is_messages(row: Row) -> bool:
    """`{messages: [{role, content, ...}], tools?}`; `conversations` with roles are the same."""
    return _turns_of(row, LISTS, "role") is not None


def messages(row: Row) -> list[Conversation]:
    """OpenAI chat messages: text or text parts, tool calls, names, reasoning, weights."""
    name = _turns_of(row, LISTS, "role") or LISTS[0]
    return [_conversation(row, system_of(row) + turns_in(row[name]), name)]


def is_turns(row: Row) -> bool:
    """`{turns | dialog | messages | ...: [{speaker | sender | ..., text | body | ...}]}`."""
    return _any_turns(row) is not None


def turns(row: Row) -> list[Conversation]:
    """Turns under any known pair of names for who speaks and what is said."""
    name = _any_turns(row) or LISTS[0]
    read = turns_in(row[name])
    # Sets of dialogues for tasks (MultiWOZ, SGD) call the one who answers the system.
    named = any("speaker" in turn for turn in row[name])
    answering = named and _answers_as_system([turn["role"] for turn in read])
    if answering:
        read = [{**turn, "role": _ANSWERING.get(turn["role"], turn["role"])} for turn in read]
    one = _conversation(row, system_of(row) + read, name)
    return [one._replace(notes=(*one.notes, SYSTEM_ANSWERS)) if answering else one]


_ANSWERING = {"system": "assistant"}
SYSTEM_ANSWERS = "`system` takes turns with the user: it is read as the assistant"


def _answers_as_system(roles: list[str]) -> bool:
    """Whether the system speaks in turn with the user, and no assistant does."""
    first = roles.index("user") if "user" in roles else len(roles)
    return "assistant" not in roles and "system" in roles[first:] and "system" not in roles[:first]


def _any_turns(row: Row) -> str | None:
    asks = any(key in row for key in ("instruction", *QUESTIONS))
    answers = any(key in row for key in ANSWERS)
    # Beside a question and its answer, turns under a rarer name are what came before, or an aside.
    for name in LISTS if asks and answers else TURN_LISTS:
        listed = row.get(name)
        if isinstance(listed, list) and listed and all(map(is_turn, listed)):
            return name
    return None


# The fields that a run writes of a record: lines of JSON, and columns of a table.
_WRITTEN = ("id", "row", "source", "line", "scores", "step", "reason", "duplicate_of", "evidence")
_TAKEN = ("messages", "tools", "rejected", "category", "score", "meta", "row")


def is_kept(row: Row) -> bool:
    """A row that `curate run` wrote: of `kept.parquet` or `dropped.parquet`, or an object of it."""
    if not {"messages", "source", "line"} <= set(row):
        return False
    meta = row.get("meta")
    return "scores" in row or ("id" in row and isinstance(meta, str) and meta[:1] == "{")


def kept(row: Row) -> list[Conversation]:
    """The record as it was before `curate run` wrote it, its other fields restored."""
    (read,) = messages(row)
    rejected = turns_in(row["rejected"]) if row.get("rejected") else None
    try:
        meta = object_of(parsed(row.get("meta"), "meta") or {}, "meta")
    except Reject as error:
        why = f"meta is {described(row['meta'])}; expected an object as JSON text"
        raise Reject("wrong_type", why) from error
    scores = scores_by_step(row.get("scores"))
    # Those of this run stand for those of an earlier one.
    meta = {**meta, "scores": scores} if scores else meta
    empty = tuple(name for name in _WRITTEN if row.get(name) is None)
    used = (*read.used, *_TAKEN, "scores", *empty)
    return [read._replace(used=used, rejected=rejected, meta=meta)]


def scores_by_step(scores: Any) -> Any:
    """Scores as `{step: score}`, which tables hold as a list of both."""
    if isinstance(scores, list) and all(isinstance(each, dict) for each in scores):
        return {each["step"]: each["score"] for each in scores if {"step", "score"} <= set(each)}
    return scores


def added(row: Row) -> Row:
    """The fields of a row that `curate run` wrote which are not its own: of other people."""
    return {name: row[name] for name in row if name not in (*_WRITTEN, *_TAKEN)}


def _turns_of(row: Row, names: tuple[str, ...], key: str) -> str | None:
    """The first named field that is a list whose first object has `key`; empty lists count."""
    for name in names:
        turns = row.get(name)
        if isinstance(turns, list):
            first = next((turn for turn in turns if isinstance(turn, dict)), None)
            if first is None and not any(isinstance(turn, str | list) for turn in turns):
                return name
            if first is not None and key in first:
                return name
    return None


def _conversation(row: Row, messages: list[Message], name: str) -> Conversation:
    tools = "functions" if row.get("functions") and not row.get("tools") else "tools"
    schemas = tool_schemas(row.get(tools))
    answer = _answer_beside(row, messages)
    if answer is None:
        return labelled(row, checked(messages), (name, "system", tools), tools=schemas)
    messages = [*messages, assistant(row[answer])]
    thought = next((each for each in REASONING if each in row and is_thought(row[each])), None)
    if thought:
        messages[-1]["reasoning"] = row[thought]
    used = (name, "system", tools, answer, *([thought] if thought else []))
    return labelled(row, messages, used, tools=schemas, notes=(BESIDE.format(answer, name),))


BESIDE = "`{}` is the answer to the last of the `{}`"


def _answer_beside(row: Row, messages: list[Message]) -> str | None:
    """The column that answers messages which end with the user's."""
    if not messages or messages[-1]["role"] != "user":
        return None
    answers = (each for each in ANSWERS if isinstance(row.get(each), str) and row[each].strip())
    return next(answers, None)
