"""Reference answers of evaluation rows: texts under usual names, and the right one of choices."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any

import orjson

# A row by names in normal form, see `normal`.
Row = Mapping[str, Any]
Answers = Callable[[Row], list[str]]

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
# Fields that list the choices, and fields that say which of them is right.
CHOICES = "choices|options|endings"
RIGHT = "answer|answerkey|answer_index|answer_idx|label|gold|correct|correct_option|target"

# Names under which an object holds what it answers.
_INSIDE = ("value", "text", "aliases", "spans", "number", "answer", "content", "ground_truth")
_DEEPEST = 4  # lists and objects inside each other that are looked into
_LONGEST = 1 << 16  # characters of a list in Python's spelling


def normal(row: Mapping[Any, Any]) -> dict[str, Any]:
    """The row by names in small letters with underscores; what is null is not there.

    >>> normal({"Correct Answer": "x", "ID": None})
    {'correct_answer': 'x'}
    """
    named: dict[str, Any] = {}
    for name, value in row.items():
        if value is not None:
            named.setdefault(normal_name(name), value)
    return named


@lru_cache(4096)
def normal_name(name: Any) -> str:
    """A field's name in small letters with underscores."""
    return re.sub(r"[\s\-]+", "_", str(name).strip().lower())


def first_of(row: Row, names: str) -> str | None:
    """The first of the names (`a|b`) that is a field of the row."""
    return next((name for name in names.split("|") if name and name in row), None)


def text_in(row: Row, names: str) -> str:
    """The text of the first of the named fields, or none; a list of sentences is one text."""
    name = first_of(row, names)
    value = row[name] if name else ""
    if isinstance(value, list):
        return " ".join(part for part in value if isinstance(part, str))
    return value if isinstance(value, str) else ""


def texts_of(value: Any, depth: int = 0) -> Iterator[str]:
    """The answers in a value: itself, those in a list, those of an object under usual names.

    >>> list(texts_of({"value": "Seine", "aliases": ["La Seine"], "type": "river"}))
    ['Seine', 'La Seine']
    """
    if isinstance(value, bool):
        yield "yes" if value else "no"
    elif isinstance(value, str | int | float):
        yield str(value)
    elif isinstance(value, list) and depth < _DEEPEST:
        for item in value:
            yield from texts_of(item, depth + 1)
    elif isinstance(value, dict) and depth < _DEEPEST:
        named = normal(value)
        for name in _INSIDE:
            yield from texts_of(named.get(name), depth + 1)


def answers_in(*names: str) -> Answers:
    """All texts of the named fields; a list of texts may be written as one text."""
    return lambda row: [text for name in names for text in texts_of(_if_texts(row.get(name)))]


def _if_texts(value: Any) -> Any:
    """The list of texts that a text holds; an answer that is JSON itself stays as it is."""
    inside = _listed(value)
    are_texts = isinstance(inside, list) and all(isinstance(item, str) for item in inside)
    return inside if are_texts else value


def split_answers_in(*names: str) -> Answers:
    """All texts of the named fields, in which a semicolon stands between two answers."""
    whole = answers_in(*names)
    return lambda row: [part.strip() for text in whole(row) for part in text.split(";")]


def both(*parts: Answers) -> Answers:
    """The answers of several."""
    return lambda row: [text for part in parts for text in part(row)]


def chosen(right: str = RIGHT, columns: str = "", first: int = 0) -> Answers:
    """The text of the right choice, of a list or of these `columns`.

    `right` are the fields that may say which one it is: by its letter, its number (that of the
    first is `first`), or its text. Where that is not written, as in test sets without labels, there
    is no answer.
    """

    def answers(row: Row) -> list[str]:
        given = _in_columns(row, columns) if columns else _in_list(row)
        texts = (_right(row.get(name), given, first) for name in right.split("|"))
        return [text for text in texts if text][:1]

    return answers


def offered(columns: str = "") -> Answers:
    """All choices, of a list or of these `columns`, the right one among them."""
    return lambda row: list((_in_columns(row, columns) if columns else _in_list(row)).values())


def _listed(value: Any) -> Any:
    """A list or an object that a table holds as text: as JSON, or as Python writes it."""
    if not isinstance(value, str) or not value.strip().startswith(("[", "{")):
        return value
    try:
        return orjson.loads(value)
    except orjson.JSONDecodeError:
        pass
    # NumPy puts no comma between texts, which Python would join.
    if len(value) > _LONGEST or re.search(r"""['"]\s+['"]""", value):
        return value
    try:
        return ast.literal_eval(value.strip())
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return value


def _in_columns(row: Row, columns: str) -> dict[str, str]:
    """The choices of a table by letters."""
    pairs = zip(LETTERS, columns.split("|"), strict=False)
    return {letter: str(row[name]) for letter, name in pairs if name in row}


def _in_list(row: Row) -> dict[str, str]:
    """The choices of a list by their labels, or by letters."""
    choices = _listed(row.get(first_of(row, CHOICES) or ""))
    if isinstance(choices, list):
        return _of_list(choices)
    return _of_object(choices) if isinstance(choices, dict) else {}


def _of_list(choices: list[Any]) -> dict[str, str]:
    """Choices as texts, or as `{text, label}`."""
    pairs = [normal(choice) if isinstance(choice, dict) else {"text": choice} for choice in choices]
    return {
        _label(pair.get("label", pair.get("key", letter))): str(pair.get("text", pair.get("value")))
        for letter, pair in zip(LETTERS, pairs, strict=False)
    }


def _of_object(choices: dict[Any, Any]) -> dict[str, str]:
    """Choices as `{text: [...], label: [...]}`, or as letters and texts."""
    named = normal(choices)
    texts, labels = named.get("text"), named.get("label")
    if isinstance(texts, list) and isinstance(labels, list):
        pairs = zip(labels, texts, strict=False)
        return {_label(label): str(text) for label, text in pairs}
    return {_label(label): text for label, text in choices.items() if isinstance(text, str)}


def _label(value: Any) -> str:
    """A letter or number as choices are labelled with: `(b)` is B."""
    return str(value).strip(" ().").upper()


def _right(right: Any, given: dict[str, str], first: int) -> str | None:
    if isinstance(right, list) and len(right) == 1:
        right = right[0]
    if isinstance(right, bool) or not isinstance(right, str | int | float):
        return None
    written = f"{right:g}" if isinstance(right, float) else str(right)
    label = _label(written)
    if label in given:
        return given[label]
    if re.fullmatch(r"-?\d{1,3}", label):
        at = int(label) - first
        return given.get(LETTERS[at]) if 0 <= at < len(LETTERS) else None
    # An answer in words: one of the choices, or all there is.
    return written if len(label) > 1 else None
