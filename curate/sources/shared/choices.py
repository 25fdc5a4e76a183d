"""The choices of a question, however they are listed, and the right one by its letter."""

from __future__ import annotations

import re
from functools import lru_cache
from string import ascii_uppercase
from typing import Any

from curate.sources.shared.convert import Reject, Row, parsed, written
from curate.sources.shared.literals import python_value

CHOICES = ("choices", "options")
_LETTERS = ("A", "B", "C")


def choices(row: Row) -> tuple[dict[str, str], tuple[str, ...]]:
    """The choices of a question by their letters, and the fields they are from; none if none."""
    name = next((name for name in CHOICES if row.get(name)), None)
    if name is None:
        if columns := choice_columns(tuple(row)):
            texts = {label: row[column] for column, label in columns if row[column] is not None}
            said = all(isinstance(text, str | int | float) for text in texts.values())
            given = {label: worded(text) for label, text in texts.items()} if said else {}
            return given, tuple(column for column, _ in columns) if said else ()
        lettered = all(isinstance(row.get(letter), str) for letter in _LETTERS)
        names = tuple(key for key in row if key in set(ascii_uppercase))
        return ({key: str(row[key]) for key in names}, names) if lettered else ({}, ())
    given = opened(row[name], name) if is_json(row[name]) else row[name]
    return _choices_of(given), (name,)


_CHOICE = re.compile(r"(option|choice|opt|op)[ _-]?([a-j]|[0-9])", re.IGNORECASE)


@lru_cache(maxsize=1_000)
def choice_columns(names: tuple[Any, ...]) -> tuple[tuple[str, str], ...]:
    """Columns with a choice each, and their letters or numbers; none unless they count from one.

    >>> choice_columns(("question", "option_a", "option_b", "answer"))
    (('option_a', 'A'), ('option_b', 'B'))
    """
    found = [(name, _CHOICE.fullmatch(name)) for name in names if isinstance(name, str)]
    columns = sorted((match[2].upper(), name) for name, match in found if match)
    # `op1` and `opt_2` may be anything: these are choices where there are more of them.
    least = 2 if any(match and len(match[1]) > 3 for _, match in found) else 3
    labels = "".join(label for label, _ in columns)
    counts = any(labels == row[: len(labels)] for row in ("ABCDEFGHIJ", "0123456789", "123456789"))
    return (
        tuple((name, label) for label, name in columns) if len(columns) >= least and counts else ()
    )


def opened(text: str, name: str, least: int = 2) -> Any:
    """Choices or a history given as JSON text, or as Python prints them."""
    try:
        return parsed(text, name)
    except Reject:
        value = python_value(text) if len(text) < _LITERAL_SIZE else None
        # numpy leaves out the commas, and Python glues such texts to one.
        if isinstance(value, dict) or (isinstance(value, list) and len(value) >= least):
            return value
        raise


_LITERAL_SIZE = 100_000


def is_json(value: Any) -> bool:
    """Whether a value is a text that begins as JSON of a list or an object does."""
    return isinstance(value, str) and value.lstrip()[:1] in ("[", "{")


def _choices_of(given: Any) -> dict[str, str]:
    if isinstance(given, dict):
        texts, labels = given.get("text"), given.get("label")
        if isinstance(texts, list) and isinstance(labels, list) and len(texts) == len(labels):
            pairs = list(zip(labels, texts, strict=True))
        else:
            pairs = list(given.items())
    elif isinstance(given, list) and all(isinstance(one, dict) for one in given):
        pairs = [(_first(one, _CHOICE_LABELS), _first(one, _CHOICE_TEXTS)) for one in given]
    elif isinstance(given, list) and len(given) <= len(ascii_uppercase):
        pairs = list(zip(ascii_uppercase, given, strict=False))
    else:
        return {}
    pairs = [(label, text) for label, text in pairs if text is not None]  # tables fill up
    if not all(isinstance(text, str | int | float) and label for label, text in pairs):
        return {}
    return {str(label): worded(text) for label, text in pairs}


_CHOICE_LABELS, _CHOICE_TEXTS = ("label", "key", "id"), ("text", "value", "content")


def _first(one: Row, names: tuple[str, ...]) -> Any:
    return next((one[name] for name in names if name in one), None)


def are_in(given: dict[str, str], question: str) -> bool:
    """Whether a question lists its choices already, each with its letter before it."""
    return bool(given) and all(
        any(f"{label}{mark}{text}" in question for mark in (". ", ") ", ": ", ".", ")"))
        for label, text in given.items()
    )


def listed(given: dict[str, str]) -> str:
    """Choices as they stand in a prompt: `A. a stone`, one a line."""
    return "\n".join(
        text
        if text.lstrip().startswith((f"{label}.", f"{label})", f"({label})"))
        else f"{label}. {text}"
        for label, text in given.items()
    )


COUNTED = "answers that are numbers count the choices from 0; the answer is the letter"


def letter_of(value: Any, given: dict[str, str]) -> str | None:
    """The letter of a choice given as its number from 0; None for anything else."""
    labels = list(given)
    text = str(value).strip() if isinstance(value, str) else value
    number = int(text) if isinstance(text, str) and text.isdecimal() else text
    if isinstance(number, bool) or not isinstance(number, int) or str(value) in given.values():
        return None
    if str(value) in labels:
        return str(value)
    return labels[number] if 0 <= number < len(labels) else None


def worded(value: Any) -> str:
    """A text, a number or a boolean as the text of it."""
    return value if isinstance(value, str) else written(value, "a choice or an answer")
