"""Plain rows of the commonest formats, many at a time: comprehensions instead of calls.

Each function gives exactly what the format's own `convert` gives row by row, or None when any
row is not plain; then the caller goes row by row. Three quarters of all dumps are plain.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import accumulate, chain
from operator import itemgetter
from types import MappingProxyType
from typing import Any, NamedTuple

from curate.sources.formats.comparisons import OF_PAIRS, PROMPTS, TIE
from curate.sources.formats.logs import LOG_FIELDS
from curate.sources.formats.pairs import NO_INPUT, is_no_input
from curate.sources.formats.preferences import REJECTED_BESIDE, better_side
from curate.sources.shape import LISTED, MAY_HOLD_TURNS
from curate.sources.shared.choices import CHOICES, choice_columns
from curate.sources.shared.controls import CONTROLS, MOST_WEIGHT, WEIGHTS
from curate.sources.shared.convert import (
    ANSWERS,
    CALLING,
    CATEGORIES,
    IMAGES,
    QUESTIONS,
    ROLE_NAMES,
    SCORES,
    SYSTEMS,
    Reject,
    Row,
    first_name,
)
from curate.sources.shared.tasks import HISTORIES, MATERIAL, SOLUTIONS, SOURCE_FROM
from curate.sources.shared.thoughts import REASONING, opens_thought
from curate.sources.shared.transcripts import may_hold_turns, written_turns
from curate.sources.shared.undesirable import JUDGEMENTS


class FlatMessages(NamedTuple):
    """Messages of many conversations in one list each; `lengths` says how many each has.

    `used` are the fields that every conversation took, `taken` what single ones took besides;
    `rejected` is for each what the assistant should not have said, `notes` counts what was assumed.
    """

    lengths: list[int]
    roles: list[str]
    contents: list[str]
    used: tuple[str, ...]
    weights: list[float] | None = None
    rejected: list[str | None] | None = None
    taken: list[tuple[str, ...]] | None = None
    notes: Mapping[str, int] = MappingProxyType({})
    scores: tuple[str, ...] = SCORES
    categories: tuple[str, ...] = CATEGORIES


Bulk = Callable[[Sequence[Row]], FlatMessages | None]


def chat(rows: Sequence[Row], name: str, speaker: str, text: str) -> FlatMessages | None:
    """Lists of `{speaker, text}` objects with nothing else but a weight, in the field `name`."""
    if name not in rows[0] or not (_TELLING - {name}).isdisjoint(rows[0]):
        return None
    lists = [row[name] for row in rows]
    if set(map(type, lists)) != {list} or not all(lists):
        return None
    try:
        turns = list(chain.from_iterable(lists))
        speakers = list(map(itemgetter(speaker), turns))
        given = list(map(itemgetter(text), turns))
    except (KeyError, TypeError):
        return None
    sizes = set(map(len, turns))
    weights = _weights(turns, speaker, text) if sizes == {3} else None
    contents = given if _all_text(given) else _single_parts(given)
    if (sizes != {2} and weights is None) or contents is None or any(map(opens_thought, contents)):
        return None
    if not _all_text(speakers):
        return None
    known = {one: ROLE_NAMES.get(one.lower(), "") for one in set(speakers)}
    if "" in known.values() or any(one.lower() in CALLING for one in known):
        return None
    roles = list(map(known.__getitem__, speakers))
    lengths = list(map(len, lists))
    if not _each_answers(roles, lengths, rows[0]) or any(
        "<tools>" in each[0][text] for each in lists
    ):
        return None
    if contents is not given and "tool" in roles:
        return None  # what a tool gave back may be any list
    return FlatMessages(lengths, roles, contents, (name, "system", "tools"), weights)


def _weights(turns: list[Row], speaker: str, text: str) -> list[float] | None:
    """The weights of turns with one number more than words, under one name that says so."""
    names = set(chain.from_iterable(turns)) - {speaker, text}
    if len(names) != 1 or not names < set(WEIGHTS):
        return None
    values = list(map(itemgetter(*names), turns))
    if not set(map(type, values)) <= {int, float}:
        return None
    return list(map(float, values)) if all(0 <= one <= MOST_WEIGHT for one in set(values)) else None


def _single_parts(contents: list[Any]) -> list[str] | None:
    """The texts of contents that are lists of one `{type: text, text}`; `value` may hold it."""
    if set(map(type, contents)) != {list} or set(map(len, contents)) != {1}:
        return None
    parts = list(chain.from_iterable(contents))
    if set(map(type, parts)) != {dict} or set(map(len, parts)) != {2}:
        return None
    name = "text" if "text" in parts[0] else "value"
    try:
        are_texts = {part["type"] for part in parts} <= {"text"}
        texts = list(map(itemgetter(name), parts))
    except (KeyError, TypeError):
        return None
    return texts if are_texts and _all_text(texts) and all(texts) else None


def _each_answers(roles: list[str], lengths: list[int], row: Row) -> bool:
    """Whether the assistant speaks in every conversation, last where a column may answer."""
    ends = list(accumulate(lengths))
    if all([roles[end - 1] == "assistant" for end in ends]):  # noqa: C419 (twice as fast)
        return True
    return first_name(row, ANSWERS) is None and all(
        "assistant" in roles[end - length : end] for length, end in zip(lengths, ends, strict=True)
    )


# Fields by whose values, not only whose names, some format recognises a row, or which say more
# than a question and an answer: where one of them stands beside the fields that a function here
# reads, rows are looked at one by one.
_TELLING = frozenset(
    (
        *("data", "instances", "answers", "label", "kto_tag", "doc", "preferred_output"),
        *("tools", "functions", *HISTORIES, *REASONING, "A", *IMAGES),
        # Turns as JSON text, logs of an API, and what should not have been said.
        *(*MAY_HOLD_TURNS, *LISTED, *LOG_FIELDS, *REJECTED_BESIDE),
        *JUDGEMENTS,
        *(*SYSTEMS, *CONTROLS, *(set(MATERIAL) - {"source"}), *CHOICES, *SOLUTIONS),
    )
)


# The beginning of `<noinput>` and its kin in any spelling.
_NO_INPUT = re.compile(r"\s*(?:[\[(<]?no ?input|nan|<na>)", re.IGNORECASE)


def alpaca(rows: Sequence[Row]) -> FlatMessages | None:
    """Plain `instruction`, `input` and an answer."""
    keys = set(rows[0])
    answer = _only(keys, ANSWERS)
    odd = _TELLING - {"input", answer}
    if choice_columns(tuple(rows[0])):
        return None
    if answer in (None, "target", "solution") or odd & keys or not _are_labels(rows):
        return None
    asked = [row["instruction"] for row in rows]
    given = [row["input"] for row in rows] if "input" in keys else [""] * len(rows)
    answers = [row[answer] for row in rows]
    if not (_all_text(asked) and _all_text(given) and _all_text(answers)):
        return None
    if any("[|Human|]" in text for text in given) or any(map(_holds_turns, asked)):
        return None
    if any(map(_NO_INPUT.match, given)):
        if any(is_no_input(text) and not NO_INPUT.fullmatch(text.strip()) for text in given):
            return None  # what is assumed of these has to be said
        given = ["" if NO_INPUT.fullmatch(text.strip()) else text for text in given]
    prompts = [
        f"{first}\n\n{second}"
        if second.strip() and first.strip()
        else first
        if first.strip()
        else second
        for first, second in zip(asked, given, strict=True)
    ]
    if not all(prompt.strip() for prompt in prompts):
        return None
    return _pairs(prompts, answers, ("instruction", "input", "system", "history", answer))


def pair(rows: Sequence[Row]) -> FlatMessages | None:
    """Plain question and answer columns."""
    keys = set(rows[0])
    question, answer = first_name(rows[0], QUESTIONS), _only(keys, ANSWERS)
    if question is None or answer is None or choice_columns(tuple(rows[0])):
        return None
    if (_TELLING - {"prompt", answer}) & keys or not _are_labels(rows):
        return None
    prompts, answers = [row[question] for row in rows], [row[answer] for row in rows]
    if not (_all_text(prompts) and _all_text(answers)):
        return None
    if any(map(_holds_turns, prompts)) or not all(map(str.strip, prompts)):
        return None
    return _pairs(prompts, answers, (question, "system", answer))


def judged_pair(rows: Sequence[Row]) -> FlatMessages | None:
    """An instruction, two answers in texts, and which of them is the better; ties too."""
    keys = set(rows[0])
    both = {"response1", "response2"} <= keys
    names = ("response1", "response2") if both else ("output_1", "output_2")
    if (_TELLING - {"input"}) & keys or set(PROMPTS) & keys - {"instruction", "input"}:
        return None
    used = tuple(name for name in ("instruction", "input") if name in keys)
    columns = [[row[name] for row in rows] for name in (*used, *names)]
    if used[:1] != ("instruction",) or not all(map(_all_text, columns)):
        return None
    prompts = [instruction for instruction in columns[0] if instruction.strip()]
    if len(prompts) < len(rows) or any(map(_holds_turns, prompts)):
        return None
    try:
        sides = [better_side(row, names) for row in rows]
    except Reject:
        return None
    if "input" in keys:
        given = zip(prompts, columns[1], strict=True)
        prompts = [f"{one}\n\n{other}" if other.strip() else one for one, other in given]
    return _compared(prompts, columns[-2:], sides, names, used)


def _compared(
    prompts: list[str],
    answers: list[list[str]],
    sides: list[int],
    names: tuple[str, str],
    used: tuple[str, ...],
) -> FlatMessages | None:
    """Conversations of the better answers; of a tie the first is taken and none is rejected."""
    each = list(zip(*answers, sides, strict=True))
    chosen = [second if side == 2 else first for first, second, side in each]
    if any(map(opens_thought, chosen)):
        return None
    other = [
        None if side == 0 or first == second else first if side == 2 else second
        for first, second, side in each
    ]
    contents = list(chain.from_iterable(zip(prompts, chosen, strict=True)))
    return FlatMessages(
        [2] * len(prompts),
        ["user", "assistant"] * len(prompts),
        contents,
        used,
        rejected=other,
        taken=[names if side else names[:1] for side in sides],
        notes={TIE: sides.count(0)} if 0 in sides else {},
        scores=(),
        categories=OF_PAIRS,
    )


def _only(keys: set[Any], names: tuple[str, ...]) -> str | None:
    """The one of the names that is a field; None for none and for several."""
    there = [name for name in names if name in keys]
    return there[0] if len(there) == 1 else None


def _are_labels(rows: Sequence[Row]) -> bool:
    """Whether `source` says where each row is from, and is not what its question is about."""
    return "source" not in rows[0] or all(
        isinstance(value, str) and len(value.split()) < SOURCE_FROM
        for value in {row["source"] if isinstance(row["source"], str) else None for row in rows}
    )


def _pairs(prompts: list[str], answers: list[str], used: tuple[str, ...]) -> FlatMessages | None:
    if any(map(_holds_turns, answers)):
        return None
    contents = [text for both in zip(prompts, answers, strict=True) for text in both]
    roles = ["user", "assistant"] * len(prompts)
    return FlatMessages([2] * len(prompts), roles, contents, used)


def _holds_turns(text: str) -> bool:
    """Whether a text is a conversation in itself, written out or as JSON."""
    return may_hold_turns(text) and (
        opens_thought(text)
        or (text.lstrip()[:1] == "[" and "{" in text[:20])
        or written_turns(text) is not None
    )


def _all_text(values: list[Any]) -> bool:
    return set(map(type, values)) == {str}


BULK: dict[str, Bulk] = {
    "messages": partial(chat, name="messages", speaker="role", text="content"),
    "sharegpt": partial(chat, name="conversations", speaker="from", text="value"),
    "alpaca": alpaca,
    "prompt-completion": pair,
    "judged-pair": judged_pair,
}
