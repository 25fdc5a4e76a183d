"""A raw row as formats expect it: columns renamed, names in lower case, JSON texts taken apart."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from curate.base.json_text import dumps, loads_exact
from curate.sources.formats.chats import LISTS, TURN_LISTS
from curate.sources.shared.choices import CHOICES, is_json
from curate.sources.shared.convert import ANSWERS, QUESTIONS, SYSTEMS, Reject, Row
from curate.sources.shared.literals import python_objects
from curate.sources.shared.tasks import HISTORIES, KEYS, MATERIAL, SOLUTIONS
from curate.sources.shared.thoughts import REASONING
from curate.sources.shared.turns import SPEAKERS, TEXTS, is_turn

# Fields whose value may be a list of turns, or the JSON text of one.
MAY_HOLD_TURNS = (
    *(*TURN_LISTS, *HISTORIES),
    *("chosen", "rejected", "prompt", "completion", "context"),
)
# Fields whose value may be another list, or the JSON text of one.
LISTED = (
    *("contents", "conversation_a", "conversation_b"),
    *("completions", "generations", "ratings"),
)
_TEXTS = (*QUESTIONS, *ANSWERS, *SYSTEMS, *MATERIAL, *SOLUTIONS, "instruction", "text")
# Every field that a column may be mapped to.
MAPPABLE = tuple(
    dict.fromkeys(
        (
            *("prompt", "response", "instruction", "input", "output", "context", "system"),
            *("history", "messages", "conversations"),
            *(*_TEXTS, *SYSTEMS, *MAY_HOLD_TURNS, *CHOICES, *KEYS),
            *("chosen", "rejected", "tools", "functions", "score", "category", "weight", "label"),
            *REASONING,
            *("kto_tag", "data", "transcript", "completions", "answers"),
            *("preferred_output", "non_preferred_output", "instances", "preference", "labels"),
            *("response1", "response2", "output_1", "output_2", "response_j", "response_k"),
            *("human_ref_A", "human_ref_B", "score_A", "score_B", "question_id", "reference"),
            *("rating", "reward", "votes", "quality_score", "task", "dataset", "id", "doc"),
            *("topic", "message_id", "parent_id", "message_tree_id", "role", "rank", "Id"),
            *("ParentId", "PostTypeId", "Body", "qid", "metadata", "meta", "replies"),
        )
    )
)
# Names that stand in any case, and with spaces or hyphens, for the field.
_KNOWN = frozenset(name for name in MAPPABLE if name.islower()) - {"id", "role", "meta", "data"}
# Without these a row has nothing to train on; other mapped fields may be absent.
_NEEDED = frozenset((*QUESTIONS, *ANSWERS, "instruction", "text", *LISTS, "chosen", "rejected"))

# What a field is called that another column was mapped over.
ASIDE = " (not mapped)"
PARSED = "`{}` holds the turns as JSON text"
LITERAL = "`{}` holds the turns as text of Python, not of JSON"
OPENED = "`{}` holds a list as text, which is read as the list"
COLUMNS = "`{}` holds a list of speakers and one of texts: they are read turn by turn"
NAMES = "the turns of `{}` have names in capitals, which are read as those that formats know"


# Inside `systemPrompt`.
_HUMP = re.compile(r"(?<=[a-z])(?=[A-Z])")


@lru_cache(maxsize=1_000)
def canonical(names: tuple[Any, ...]) -> dict[Any, str] | None:
    """Fields that are known ones but for case, spaces and hyphens, by name; None if there is none.

    >>> canonical(("Question", "Answer"))
    {'Question': 'question', 'Answer': 'answer'}
    """
    if "PostTypeId" in names or "message_id" in names:
        return None  # formats of their own, with names of their own
    changed: dict[Any, str] = {}
    for name in names:
        bare = str(name).strip().replace(" ", "_").replace("-", "_")
        known = bare.lower() if bare.lower() in _KNOWN else _HUMP.sub("_", bare).lower()
        if name in MAPPABLE or known not in _KNOWN:
            continue
        if known not in (*names, *changed.values()):
            changed[name] = known
    return changed or None


def renamed(row: Row, names: Mapping[Any, str]) -> dict[Any, Any]:
    """The row with other names for some of its fields."""
    return {names.get(key, key): value for key, value in row.items()}


def mapped(row: Row, columns: Mapping[str, str]) -> tuple[Row, list[str]]:
    """The row with columns under the names that they are mapped to, and what was set aside.

    What is mapped wins over a field that is called so. Numbers and booleans that are mapped to a
    text become text. A row with none of the columns stays as it is. Raises `Reject` for a row
    that lacks a column it cannot do without.
    """
    if not any(column in row for column in columns.values()):
        return row, []
    for known, column in columns.items():
        if column not in row and known in _NEEDED:
            raise Reject("unknown_shape", f"no field {column!r}, which is mapped to {known}")
    theirs = {column: known for known, column in columns.items()}
    hidden = [name for name in row if name in _competitors(columns) and name not in theirs]
    names = {**theirs, **{name: f"{name}{ASIDE}" for name in hidden}}
    shaped = {
        names.get(key, key): _as_text(value) if theirs.get(key) in _TEXTS else value
        for key, value in row.items()
    }
    return shaped, [
        f"the field `{name}` is set aside for a mapped one"
        for name in hidden
        if row[name] not in (None, "")
    ]


def _competitors(columns: Mapping[str, str]) -> set[str]:
    """Fields that would be taken instead of the mapped ones."""
    competitors = set(columns)
    for group in (ANSWERS, (*QUESTIONS, "instruction")):
        if competitors.intersection(group):
            competitors |= set(group)
    return competitors


def _as_text(value: Any) -> Any:
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    return dumps(value) if isinstance(value, bool | int | float) else value


def unpacked(row: Row) -> tuple[Row, list[str]]:
    """The row with lists of turns instead of their JSON text, and what was taken apart.

    A NaN, which Python's `json` writes for an empty cell of pandas, counts as null.
    """
    nans = [name for name, value in row.items() if type(value) is float and value != value]
    row = {**row, **dict.fromkeys(nans)} if nans else row
    opened, notes = {}, []
    for name in _that_may_hold_turns(tuple(row)):
        value = row[name]
        if is_json(value):
            turns, note = (_list_in(value), OPENED) if name in LISTED else _turns_of(name, value)
        elif name in LISTED:
            continue
        elif isinstance(value, dict):
            turns, note = _of_columns(value), COLUMNS
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            turns, note = _with_small_names(value), NAMES
        elif isinstance(value, list) and value and all(isinstance(each, str) for each in value):
            turns, note = _each_of(value), PARSED
        else:
            continue
        if turns is not None:
            opened[name] = turns
            notes.append(note.format(name))
    return ({**row, **opened} if opened else row), notes


@lru_cache(maxsize=1_000)
def _that_may_hold_turns(names: tuple[Any, ...]) -> list[str]:
    return [name for name in dict.fromkeys((*MAY_HOLD_TURNS, *LISTED)) if name in names]


def _list_in(text: str) -> list[Any] | None:
    try:
        value = loads_exact(text)
    except ValueError:
        value = python_objects(text)
    return value if isinstance(value, list) and value else None


# How lists of turns begin that Python or numpy printed, or that were cut.
_BEGINS = re.compile(r"""\s*\[\s*\{\s*['"](role|from|content|value)['"]\s*:""")


def _turns_of(name: str, text: str) -> tuple[list[Any] | None, str]:
    """The turns that a text lists, if all of them say who speaks.

    Raises `Reject` for what begins so and cannot be read: it is no text that anybody wrote.
    """
    try:
        value, note = loads_exact(text), PARSED
    except ValueError:
        value, note = python_objects(text), LITERAL
        if value is None and _BEGINS.match(text) and text.rstrip()[-1:] == "]":
            wrong = (
                f"{name} begins like a list of turns, but is neither JSON nor a list of Python's"
            )
            raise Reject("wrong_type", f"{wrong}; write it as JSON") from None
    if isinstance(value, list) and value and all(isinstance(each, str) for each in value):
        value = _each_of(value)
    return (value if isinstance(value, list) and value and all(map(is_turn, value)) else None), note


def _of_columns(value: dict[Any, Any]) -> list[Any] | None:
    """The turns of `{"role": [...], "content": [...]}`, lists of one length."""
    lists = {name: each for name, each in value.items() if isinstance(each, list)}
    lengths = set(map(len, lists.values()))
    speaks = any(name in lists for name in SPEAKERS) and any(name in lists for name in TEXTS)
    if len(lists) < len(value) or len(lengths) != 1 or not speaks:
        return None
    return [dict(zip(lists, turn, strict=True)) for turn in zip(*lists.values(), strict=True)]


def _with_small_names(turns: list[Any]) -> list[Any] | None:
    """Turns under `Role` and `Content`, with the names that formats know; None for others."""
    if any(not isinstance(turn, dict) or is_turn(turn) for turn in turns):
        return None
    small = [{str(name).lower(): item for name, item in turn.items()} for turn in turns]
    fits = all(len(one) == len(turn) for one, turn in zip(small, turns, strict=True))
    return small if fits and all(map(is_turn, small)) else None


def _each_of(texts: list[str]) -> list[Any] | None:
    """Turns that are JSON texts one by one."""
    if not all(text.lstrip()[:1] == "{" for text in texts):
        return None
    try:
        turns = [loads_exact(text) for text in texts]
    except ValueError:
        return None
    return turns if all(map(is_turn, turns)) else None
