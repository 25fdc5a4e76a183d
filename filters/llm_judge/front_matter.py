"""The front matter of a rubric: YAML between two lines of `---`, each entry checked.

---
about: how right the answer is          # one line
source: who published it, and where
wording: whether the words are as published
data: where the row's texts stand, and how they are set apart
ways: {text: first_line_number, probabilities: expected_value}   # the first is preferred
range: [0, 5]                           # lowest and highest score
labels: [1, 2, 3, 4, 5]                 # single tokens; or {label: value}
lead: "Score: "                         # what an answer in this process begins with
phrase: "Total score"                   # before the number, for number_after_phrase
min_score: 4.5                          # the threshold that was published
max_tokens: 512                         # of a written answer
aspects: [honesty, helpfulness]         # a question for each
not_applicable: [honesty]               # aspects that may be answered with "N/A"
---
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, cast, get_args

import yaml

from curate.base import values
from curate.base.errors import CurateError, nearest
from filters.llm_judge.question import Way
from filters.llm_judge.reading import RULES

EXPECTED_VALUE = "expected_value"  # the rule for probabilities
MOST_TOKENS = 32_768
MOST_LABELS = 20  # the most that servers list
WAYS: tuple[Way, ...] = get_args(Way)


@dataclass(frozen=True)
class FrontMatter:
    """What a rubric says of itself; see the module."""

    ways: dict[Way, str]
    range: tuple[float, float]
    about: str = ""
    source: str = ""
    wording: str = ""
    data: str = ""
    labels: dict[str, float] = field(default_factory=dict)
    lead: str = ""
    phrase: str = ""
    min_score: float | None = None
    max_tokens: int = 512
    aspects: tuple[str, ...] = ()
    not_applicable: tuple[str, ...] = ()


def read_front_matter(text: str, name: str) -> tuple[FrontMatter, str]:
    """The front matter of a file, and its template, whose lines keep their numbers.

    Raises `CurateError` with file and line.
    """
    lines = text.split("\n")
    last = next((at for at, line in enumerate(lines) if at and line.rstrip() == "---"), None)
    if lines[0].rstrip() != "---" or last is None:
        raise CurateError(
            f"{name}:1: a rubric begins with a line of ---, entries such as 'ways' and 'range', "
            "and another line of ---; see docs/judge.md"
        )
    entries, places = _entries("\n".join(lines[1:last]), name)
    try:
        checked = {key: _checked(key, value) for key, value in entries.items()}
        for key in ("ways", "range"):
            if key not in checked:
                raise _Wrong("ways", f"{key!r} is missing")
        matter = FrontMatter(**checked)
        _check_together(matter)
    except _Wrong as error:
        raise CurateError(f"{name}:{places.get(error.key, 1)}: {error}") from error
    return matter, "\n" * (last + 1) + "\n".join(lines[last + 1 :])


class _Wrong(Exception):
    """An entry that cannot be used, by its key."""

    def __init__(self, key: str, message: str) -> None:
        self.key = key
        super().__init__(message)


def _entries(text: str, name: str) -> tuple[dict[str, Any], dict[str, int]]:
    """The entries, and the line of the file that each stands in."""
    try:
        entries = values.load(text)
    except values.NotYaml as error:
        line = max(1, error.line) + 1
        raise CurateError(
            f"{name}:{line}: the front matter is not valid YAML: {error.reason}"
        ) from error
    if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text)):
        raise CurateError(f"{name}:2: the front matter refers to itself with '*'")
    node = yaml.compose(text)
    if not isinstance(entries, dict) or not isinstance(node, yaml.MappingNode):
        raise CurateError(f"{name}:2: the front matter has no entries such as 'range: [0, 5]'")
    places = {key.value: key.start_mark.line + 2 for key, _ in node.value}
    for key in entries:
        if key not in _CHECKS:
            hint = nearest(str(key), list(_CHECKS)) or f"; known are {', '.join(_CHECKS)}"
            raise CurateError(f"{name}:{places.get(str(key), 2)}: unknown entry {key!r}{hint}")
    return entries, places


def _checked(key: str, value: Any) -> Any:
    try:
        return _CHECKS[key](value)
    except ValueError as error:
        raise _Wrong(key, f"{key} is {value!r}; expected {error}") from error


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("text, in quotes if it looks like a number")
    return value


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or math.isnan(value):
        raise ValueError("a number")
    return float(value)


def _max_tokens(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MOST_TOKENS:
        raise ValueError(f"a whole number from 1 to {MOST_TOKENS:,}")
    return value


def _ways(value: Any) -> dict[Way, str]:
    if not isinstance(value, dict) or not value:
        raise ValueError("a rule for one or both of text and probabilities")
    for way, rule in value.items():
        if way not in WAYS:
            raise ValueError(f"text or probabilities, not {way!r}{nearest(str(way), WAYS)}")
        known = list(RULES) if way == "text" else [EXPECTED_VALUE]
        if rule not in known:
            hint = nearest(str(rule), known)
            raise ValueError(f"for {way} one of {', '.join(known)}, not {rule!r}{hint}")
    return cast("dict[Way, str]", value)


def _range(value: Any) -> tuple[float, float]:
    if not isinstance(value, list) or len(value) != 2:
        raise ValueError("the lowest and the highest score, such as [0, 5]")
    low, high = map(_number, value)
    if not low < high or math.isinf(low):
        raise ValueError("a lowest score below the highest")
    return low, high


def _labels(value: Any) -> dict[str, float]:
    if isinstance(value, list):
        if len({str(label) for label in value}) != len(value):
            raise ValueError("different labels, each once")
        value = {str(label): label for label in value}
    if not isinstance(value, dict) or not 2 <= len(value) <= MOST_LABELS:
        raise ValueError(
            f"2 to {MOST_LABELS} different labels, such as [1, 2, 3] or {{yes: 1, no: 0}}"
        )
    labels = {str(label): _number(number) for label, number in value.items()}
    if len(labels) != len(value) or any(label != label.strip() or not label for label in labels):
        raise ValueError("different labels without space around them")
    return labels


def _names(value: Any) -> tuple[str, ...]:
    names = tuple(value) if isinstance(value, list) else ()
    usable = all(isinstance(name, str) and name.isidentifier() for name in names)
    if not names or not usable or len(set(names)) != len(names):
        raise ValueError("different names of letters, digits and _, such as [honesty, tone]")
    return names


_CHECKS: Mapping[str, Callable[[Any], Any]] = {
    "about": _text,
    "source": _text,
    "wording": _text,
    "data": _text,
    "ways": _ways,
    "range": _range,
    "labels": _labels,
    "lead": _text,
    "phrase": _text,
    "min_score": _number,
    "max_tokens": _max_tokens,
    "aspects": _names,
    "not_applicable": _names,
}


def _check_together(matter: FrontMatter) -> None:
    """Raise `_Wrong` for an entry that nothing reads, or that another one needs."""
    for key, message in _contradictions(matter):
        raise _Wrong(key, message)


def _contradictions(matter: FrontMatter) -> Iterator[tuple[str, str]]:
    rule = matter.ways.get("text", "")
    by_label = "probabilities" in matter.ways or rule in ("yes_or_no", "bracketed_letter")
    low, high = matter.range
    if by_label and not matter.labels:
        yield "ways", "'labels' is missing: the answers whose probabilities are read"
    if matter.labels and not by_label:
        yield "labels", "labels is given, and no way reads it"
    if rule == "yes_or_no" and not {"yes", "no"} <= set(matter.labels):
        yield "labels", "labels has no value for 'yes' and for 'no'"
    if rule == "number_after_phrase" and not matter.phrase.strip():
        yield "ways", "'phrase' is missing: what stands before the number"
    if matter.phrase and rule != "number_after_phrase":
        yield "phrase", "phrase is given, and only number_after_phrase reads it"
    if matter.lead and "probabilities" not in matter.ways:
        yield "lead", "lead is given, and only the way probabilities reads it"
    if any(not low <= value <= high for value in matter.labels.values()):
        yield "labels", f"a label's value lies outside of the range {low:g} to {high:g}"
    if matter.min_score is not None and not low <= matter.min_score <= high:
        yield "min_score", f"min_score lies outside of the range {low:g} to {high:g}"
    for name in matter.not_applicable:
        if name not in matter.aspects:
            yield "not_applicable", f"{name!r} is no aspect{nearest(name, matter.aspects)}"
        if rule != "number_after_phrase":
            yield "not_applicable", "only number_after_phrase reads an answer of N/A"
