"""What stands around a question in columns of its own: material, history, solutions."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from curate.sources.shared.choices import COUNTED, is_json, letter_of, opened, worded
from curate.sources.shared.convert import (
    ANSWERS,
    CATEGORIES,
    QUESTIONS,
    SYSTEMS,
    Message,
    Reject,
    Row,
    assistant,
    described,
    first_name,
    list_of,
    text_of,
    user,
    written,
)
from curate.sources.shared.transcripts import is_transcript, turns_of
from curate.sources.shared.turns import is_turn, turns_in

# Fields that hold what a question is about.
MATERIAL = (
    *("context", "passage", "table", "schema", "source", "document", "input", "article", "story"),
    *("paragraph", "contexts", "ctx", "sql_context"),
)
# Where the right choice is named when no answer is.
KEYS = (
    *("answer_idx", "answer_index", "answerKey", "answer_key", "correct_answer", "label"),
    "correct",
)
# Worked solutions, which a bare answer may stand beside.
SOLUTIONS = ("solution", "explanation", "rationale", "worked_solution", "exp")
# The pairs of names under which one object holds a question and its answer.
EXCHANGES = (
    *(("human", "assistant"), ("user", "assistant"), ("input", "output"), ("question", "answer")),
    *(("prompt", "response"), ("query", "response"), ("instruction", "output")),
    *(("human", "gpt"), ("user", "bot"), ("instruction", "response")),
)
# An answer of more words is not bare.
BARE = 12
# A shorter text may stand in a question by chance.
_REPEATED = 24
# A `source` of this many words is a text; shorter ones say where a row is from.
SOURCE_FROM = 8


def material(
    row: Row, taken: Iterable[str] = (), question: str = ""
) -> tuple[list[str], list[str], list[str]]:
    """The texts that the question is about, the fields they are from, and what was assumed.

    A text that stands in the question already is not said again.
    """
    texts, names, notes = [], [], []
    for name in row:
        if name not in MATERIAL or name in taken or (name == "source" and _is_label(row[name])):
            continue
        if name == "context" and _are_turns(row[name]):
            continue  # they are the history
        text = material_text(row[name], name)
        if not text.strip():
            continue
        # Alpaca's `input` is said again wherever it stands: so its sets are always read.
        if name != "input" and len(text) >= _REPEATED and text.strip() in question:
            names.append(name)
            notes.append(f"`{name}` stands in the question already, and is not said twice")
            continue
        texts.append(text)
        names.append(name)
        if not isinstance(row[name], str):
            notes.append(f"`{name}` is not text; the prompt has it as JSON or as paragraphs")
    return texts, names, notes


def _are_turns(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(map(is_turn, value))


def _is_label(value: Any) -> bool:
    return isinstance(value, str) and len(value.split()) < SOURCE_FROM


def material_text(value: Any, name: str) -> str:
    """A text, a list of texts as paragraphs, or anything else as JSON."""
    if value is None or isinstance(value, str):
        return value or ""
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return "\n\n".join(value)
    return written(value, name) if value not in ([], {}) else ""


# Fields that hold the turns before a question.
HISTORIES = ("history", "chat_history", "conversation_history")


def history(row: Row) -> list[Message]:
    """The turns before the question: pairs, turns, objects of two texts, or their JSON text.

    Raises `Reject` for a history that is none of these.
    """
    given = next((row[name] for name in HISTORIES if row.get(name)), None)
    if given is None and _are_turns(row.get("context")):
        given = row["context"]
    if given is None:
        return []
    if isinstance(given, str) and is_json(given):
        given = opened(given, "history", least=1)
    if isinstance(given, str):
        return _written_history(given)
    entries = list_of(given or [], "history")
    if entries and all(map(is_turn, entries)):
        return turns_in(entries)
    if entries and all(isinstance(entry, str) for entry in entries) and len(entries) % 2 == 0:
        entries = [entries[at : at + 2] for at in range(0, len(entries), 2)]
    messages: list[Message] = []
    for number, entry in enumerate(entries, 1):
        question, answer = _exchange(entry, number)
        messages += [user(question)] if question or answer else []
        messages += [assistant(answer)] if answer else []
    return messages


def _written_history(text: str) -> list[Message]:
    if not text.strip():
        return []
    if is_transcript(text):
        return turns_of(text)
    raise Reject("wrong_type", "history is a text that names no speakers; expected pairs of texts")


def _exchange(entry: Any, number: int) -> tuple[str, str]:
    if isinstance(entry, list) and len(entry) == 2:
        return text_of(entry[0], "history question"), text_of(entry[1], "history answer")
    names = exchange_names(entry)
    if names is None:
        raise Reject("wrong_type", f"history entry {number} is not a [question, answer] pair")
    question, answer = (text_of(entry[name], f"history {name}") for name in names)
    return question, answer


def exchange_names(entry: Any) -> tuple[str, str] | None:
    """The names under which an object holds a question and its answer; None if it does not."""
    if not isinstance(entry, dict):
        return None
    return next((names for names in EXCHANGES if names[0] in entry and names[1] in entry), None)


def answer_of(
    row: Row, names: tuple[str, ...], given: dict[str, str]
) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
    """The answer to train on, the fields it is from, and what was assumed.

    It is the first of the named fields that says something; beside a bare answer the worked
    solution; of a choice its letter. Raises `Reject` when no field is there, or it is no text.
    """
    names = (*names, "answers") if isinstance(row.get("answers"), list | dict) else names
    row = _with_only(row, names)
    there = [name for name in names if name in row]
    keys = [name for name in KEYS if given and row.get(name) not in (None, "")]
    name = next((name for name in there if _says(row[name])), None) or first_name(row, keys)
    name = name or (there[0] if there else None)
    if name is None:
        raise Reject("no_answer", _none_of(names, row))
    if name == "answers" and not isinstance(row[name], str):
        wrong = "answers holds no text, or several, or a blank one; expected one answer to train on"
        raise Reject("no_answer", wrong)
    letter = letter_of(row[name], given) if given else None
    solution = _solution(row, name, worded(row[name]))
    if not isinstance(row[name], str | None) and letter is None and solution is None:
        hint = f"; to read it as text, map it (response={name})" if _is_plain(row[name]) else ""
        raise Reject("wrong_type", f"{name} is {described(row[name])}; expected text{hint}")
    notes = [COUNTED] if letter is not None and letter != row[name] else []
    answer = letter if letter is not None else worded(row[name] or "")
    if solution is None:
        return answer, (name, *keys), tuple(notes)
    notes.append(f"`{solution}` is the answer to train on; the bare `{name}` is in it, or follows")
    worked = str(row[solution])
    whole = worked if _contains(worked, answer) else f"{worked.rstrip()}\n\n{answer}"
    return whole, (name, solution, *keys), tuple(notes)


def _none_of(names: tuple[str, ...], row: Row) -> str:
    """Which fields were looked for, and which texts are there instead."""
    others = [
        str(name)
        for name, value in row.items()
        if isinstance(value, str) and _may_answer(value) and not _is_asked(str(name))
    ]
    listed = " or ".join(others[:8])
    hint = f"; if {listed} is the answer, map it (response={others[0]})" if others else ""
    return f"none of the fields {', '.join(names)} is there{hint}"


def _may_answer(text: str) -> bool:
    """Whether a text says something, and is no list of objects."""
    return bool(text.strip()) and not re.match(r"\s*\[\s*\{", text)


# Words in the names of columns that hold what a question is about, never its answer.
_MATERIAL_WORDS = """
    context ctx passage document doc table schema story background knowledge evidence article
    paragraph input html hint ranges offsets kontext contexto contexte contesto контекст
    上下文 背景 文脈 문맥"""
_MATERIAL = frozenset(_MATERIAL_WORDS.split())
_ANSWER_WORDS = frozenset((*ANSWERS, *SOLUTIONS, "summary"))
_NAME_WORDS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+|[^\W\d_a-zA-Z]+")


def is_material_name(name: str) -> bool:
    """Whether a column's name says that it holds what the question is about.

    >>> is_material_name("source_documents"), is_material_name("document_summary")
    (True, False)
    """
    words = [word.lower() for word in _NAME_WORDS.findall(name)]
    known = [not _MATERIAL.isdisjoint((word, word.removesuffix("s"))) for word in words]
    return any(known[-1:]) or (any(known) and _ANSWER_WORDS.isdisjoint(words))


def _is_asked(name: str) -> bool:
    asked = (*QUESTIONS, "instruction", "id", *MATERIAL, *SYSTEMS, *CATEGORIES, *HISTORIES)
    if not name.strip() or is_material_name(name):
        return True
    return name in asked or name.endswith(("_id", "_type", "url", "_source"))


def _with_only(row: Row, names: tuple[str, ...]) -> Row:
    """The row with the text of an answer that is listed alone, as SQuAD does, as its answer."""
    if _LISTED.isdisjoint(map(type, row.values())):
        return row
    found = {}
    for name in names:
        value = row.get(name)
        if isinstance(value, list | dict) and len(set(texts := _texts_in(value))) == 1:
            found[name] = texts[0]
    return {**row, **found} if found else row


_LISTED = frozenset((list, dict))


def _texts_in(value: Any) -> list[str]:
    """The texts of a list of answers, or of SQuAD's `{text: [...]}` and TriviaQA's `{value}`."""
    if isinstance(value, dict):
        value = value.get("text", value.get("value"))
        value = [value] if isinstance(value, str) else value
    texts = value if isinstance(value, list) else []
    return texts if all(isinstance(text, str) and text.strip() for text in texts) else []


def _says(value: Any) -> bool:
    return bool(value.strip()) if isinstance(value, str) else value is not None


def _is_plain(value: Any) -> bool:
    return isinstance(value, str | int | float)


def _solution(row: Row, name: str, answer: str) -> str | None:
    """The worked solution beside an answer, if that is bare."""
    words = len(answer.split())
    if not answer.strip() or words > BARE or name in SOLUTIONS[1:]:
        return None
    return next(
        (
            other
            for other in SOLUTIONS
            if other != name and isinstance(row.get(other), str) and len(row[other].split()) > words
        ),
        None,
    )


def _contains(text: str, part: str) -> bool:
    """Whether a text has a part as words of their own."""
    at = text.find(part)
    while at >= 0:
        before, after = text[at - 1 : at], text[at + len(part) : at + len(part) + 1]
        if not (before.isalnum() or after.isalnum()):
            return True
        at = text.find(part, at + 1)
    return False
