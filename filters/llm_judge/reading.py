"""How an answer of a judge becomes a score: never by a guess, never by moving it into the range.

Each rule for written text takes the answer without the thoughts before it, and gives a number or
a problem. Every rule is linear in the length of the answer.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

# Why an answer has no score; these stand in ledgers, so they stay as they are.
PROBLEMS: dict[str, str] = {
    "unreadable": "the answer has no score in the form that was asked for, or several",
    "out_of_range": "the score lies outside of the rubric's range",
    "low_mass": "the labels are too unlikely, or too many of them unknown, to say a score",
    "empty_answer": "the judge answered nothing",
    "no_answer": "the judge could not be asked",
    "cannot_be_asked": "the rubric's template fails on the row, such as one of over 16 MB",
    "nothing_to_judge": "the row has no text of the kind that the rubric is about",
    "not_applicable": "the judge says that the question does not apply to the row",
}
MIN_MASS = 0.1  # share of all next tokens that the labels must have together
MAX_BOUND_ERROR = 0.05  # of the range: how far labels that a server does not list may move a score


@dataclass(frozen=True)
class Scale:
    """The range of scores, and what the rules need: see the front matter in `rubric`."""

    low: float
    high: float
    values: Mapping[str, float] = field(default_factory=dict)  # of labels
    phrase: str = ""  # what stands before the number
    may_not_apply: bool = False  # whether "N/A" is an answer


@dataclass(frozen=True)
class Reading:
    """What an answer says: a score, or why there is none.

    `mass` is the sum of the labels' probabilities (0 to 1), none for written text. `reason` is
    what the judge wrote beside the score.
    """

    score: float | None = None
    mass: float | None = None
    problem: str = ""  # of `PROBLEMS`
    reason: str = ""
    tags: tuple[str, ...] = ()


def read_text(rule: str, text: str, scale: Scale, *, cut: bool = False) -> Reading:
    """What a written answer says by one of `RULES`; `cut`: it was ended at its longest length."""
    answer = without_thoughts(text)
    if answer is None:
        return Reading(problem="unreadable", reason=text.strip())
    if not answer.strip():
        return Reading(problem="empty_answer")
    # One character for one: full-width forms as ASCII, the minus sign as a hyphen.
    found = RULES[rule](answer.translate(_ASCII), answer, scale)
    if found is None or (cut and found.end >= len(answer.rstrip())):  # "4" may have been "4.5"
        return Reading(problem="unreadable", reason=answer.strip())
    reason = "\n".join(filter(None, (answer[: found.start].strip(), answer[found.end :].strip())))
    return replace(_in_range(found.score, scale), reason=reason, tags=found.tags)


def read_probabilities(
    probabilities: Sequence[float],
    values: Sequence[float],
    scale: Scale,
    bound: float = 0.0,
    min_mass: float = MIN_MASS,
) -> Reading:
    """The expected value of the labels: sum(p v) / sum(p); `values` (n,) beside their p (n,).

    A p of 0 may be as large as `bound`. If that could move the score by more than 5 % of the
    range, or if sum(p) is below `min_mass`, the problem is `low_mass`.
    """
    usable = len(probabilities) == len(values) and all(0 <= p <= 1.001 for p in probabilities)
    if not usable:
        return Reading(problem="unreadable")
    mass = math.fsum(probabilities)
    if mass < min_mass or mass <= 0:
        return Reading(mass=mass, problem="low_mass")
    error = bound_error(probabilities, values, bound)
    if error > MAX_BOUND_ERROR * (scale.high - scale.low):
        why = f"labels that the server does not list could move the score by {error:.2g}"
        return Reading(mass=mass, problem="low_mass", reason=why)
    weighed = math.fsum(p * value for p, value in zip(probabilities, values, strict=True))
    score = min(max(weighed / mass, min(values)), max(values))  # it lies between, but for rounding
    return replace(_in_range(score, scale), mass=mass)


def bound_error(probabilities: Sequence[float], values: Sequence[float], bound: float) -> float:
    """How far the expected value can be off, if labels of probability 0 have up to `bound` each.

    >>> round(bound_error([0.5, 0.0], [1.0, 5.0], 0.1), 3)
    0.667
    """
    mass = math.fsum(probabilities)
    mean = math.fsum(p * v for p, v in zip(probabilities, values, strict=True)) / mass
    absent = [v for p, v in zip(probabilities, values, strict=True) if p == 0]
    room = max(0.0, 1.0 - mass)
    up = _moved(mean, mass, sorted(absent, reverse=True), bound, room)
    down = _moved(-mean, mass, sorted((-v for v in absent), reverse=True), bound, room)
    return max(up - mean, down + mean, 0.0)


def _moved(
    mean: float, mass: float, largest_first: list[float], bound: float, room: float
) -> float:
    """The largest mean that the absent values can make; they share `room`."""
    for value in largest_first:
        added = min(bound, room)
        if value <= mean or added <= 0:
            break
        mean = (mean * mass + value * added) / (mass + added)
        mass, room = mass + added, room - added
    return mean


def combined(readings: Sequence[Reading]) -> Reading:
    """Several aspects of one row as one: the mean of those that apply; a problem of any is its.

    The mass is the lowest; reasons are joined by a blank line, tags in order, each once.
    """
    if len(readings) == 1:
        return readings[0]
    reason = "\n\n".join(one.reason for one in readings if one.reason)
    tags = tuple(dict.fromkeys(tag for one in readings for tag in one.tags))
    masses = [one.mass for one in readings if one.mass is not None]
    mass = min(masses, default=None)
    failed = [one.problem for one in readings if one.problem not in ("", "not_applicable")]
    scores = [one.score for one in readings if one.score is not None]
    problem = failed[0] if failed else "" if scores else "not_applicable"
    score = None if problem else math.fsum(scores) / len(scores)
    return Reading(score, mass, problem, reason, tags)


def without_thoughts(text: str) -> str | None:
    """An answer without `<think>...</think>` before it; None if the block has no end.

    Some servers leave out the opening mark; then the closing one ends its line.
    """
    start = _past_space(text, 0)
    if not text.startswith("<think>", start):
        _, mark, after = text.partition("</think>")
        closes = bool(mark) and (not after.strip() or after.lstrip(" \t")[0] in "\r\n")
        return after if closes else text
    while text.startswith("<think>", start):
        end = text.find("</think>", start)
        if end < 0:
            return None
        start = _past_space(text, end + len("</think>"))
    return text[start:]


def _past_space(text: str, start: int) -> int:
    match = _SPACE.match(text, start)
    return match.end() if match else start


@dataclass(frozen=True)
class Found:
    """A score (none: it does not apply) and the characters of the answer that say it."""

    score: float | None
    start: int
    end: int
    tags: tuple[str, ...] = ()


_SPACE = re.compile(r"\s*")
_ASCII = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)} | {0x2212: "-", 0x3000: " "}
_NUMBER = r"[+-]?\d{1,200}(?:[.,]\d{1,50})?"
_OUT_OF = rf"(?:\s{{0,5}}(?:/|out\s{{1,5}}of|of)\s{{0,5}}(?P<most>{_NUMBER}))?"
_UNIT = r"(?:\s{0,5}(?:points?|stars?|分|点|점))?"
# Possessive, so that a run of marks is tried once.
_OPEN, _CLOSE = r"""[\s*_`"'“‘(\[<]{0,20}+""", r"""[\s*_`"'”’)\]>]{0,20}+"""
# Words before a score on the first line; others may count something else ("quality problems: 3").
_LABEL = (
    r"(?:(?:(?:my|the|a|your|final|overall|total|accuracy|helpfulness|quality|complexity|response"
    r"|answer|instruction|assistant)(?:'s)?\s{1,3}){0,4}"
    r"(?:score|rating|rate|grade|mark|accuracy|helpfulness|quality|complexity|punktzahl|bewertung"
    r"|note|nota|puntuación|puntaje|calificación|pontuação|punteggio|оценка|балл|评分|分数|得分|評分"
    r"|分數|評価|スコア|点数|점수|평점|تقييم|درجة)"
    r"(?:\s(?:for|of)\s[^\d:=\n]{1,30}|\s(?:final|total))?[\s*_]{0,5}+(?:[:=]|\bis\b|(?<=\s)))?"
)
_LINE = re.compile(
    rf"[#>\s]{{0,10}}+{_OPEN}(?P<label>{_LABEL}){_OPEN}(?P<number>{_NUMBER}){_CLOSE}{_OUT_OF}"
    rf"{_UNIT}{_CLOSE}[.。]?{_CLOSE}",
    re.IGNORECASE,
)
_LONGEST_LINE = 200  # characters of a line that is a score
_TAIL = re.compile(rf"{_CLOSE}{_OUT_OF}{_UNIT}{_CLOSE}[.。!]?{_CLOSE}(?:$|(?<=\n))", re.I | re.M)
_IN_BRACKETS = re.compile(rf"\[\[\s{{0,5}}(?P<number>{_NUMBER}){_OUT_OF}\s{{0,5}}\]\]")
_LETTER = re.compile(r"\[\[\s{0,5}([A-Z])\s{0,5}\]\]")
_YES_OR_NO = re.compile(r"[\W_]{0,20}(yes|no)\b", re.IGNORECASE)
_TAKEN_BACK = re.compile(r"[\W_]{0,10}(?:(?:and|or|but|wait)\b[\W_]{0,10})?(?:yes|no|\d)\b", re.I)


def first_line_number(text: str, _: str, scale: Scale) -> Found | None:
    """A number that is the whole first line: "4.5", "Score: 4", "4/5", "**4**", "4,5".

    A second score on the next line, or under the same label further down, takes it back.
    """
    start = len(text) - len(text.lstrip())
    line, _, rest = text[start:].partition("\n")
    match = _score_line(line)
    score = _value(match, scale)
    if match is None or score is None:
        return None
    label = match["label"].strip().casefold()
    for number, later in enumerate(filter(str.strip, rest.split("\n"))):
        if number and not (label and label in later.casefold()):
            continue
        again = _score_line(later)
        if again and again["label"].strip().casefold() == label and _value(again, scale) != score:
            return None
    return Found(score, start, start + len(line))


def bracketed_number(text: str, _: str, scale: Scale) -> Found | None:
    """`[[7]]`; several must be the same, and the last one is it."""
    matches = list(_IN_BRACKETS.finditer(text))
    values = {_value(match, scale) for match in matches}
    if len(values) != 1 or None in values:
        return None
    return Found(values.pop(), *matches[-1].span())


def number_after_phrase(text: str, _: str, scale: Scale) -> Found | None:
    """A number that ends its line, after the rubric's phrase: "Educational score: 3".

    Lines that begin with the phrase count, or if none does, the phrase anywhere; whatever number
    follows it there must be the same. "N/A" where the rubric has it.
    """
    words = r"\s{1,5}".join(map(re.escape, scale.phrase.split()))
    head = re.compile(
        rf"(?<!\w){words}{_CLOSE}[:=]?{_OPEN}(?:(?P<number>{_NUMBER})|(?P<none>N/?A)\b)", re.I
    )
    matches = list(head.finditer(text))
    matches = [match for match in matches if _begins_line(text, match.start())] or matches
    tails = [_TAIL.match(text, match.end()) for match in matches]
    values = {_after_phrase(match, tail, scale) for match, tail in zip(matches, tails, strict=True)}
    ends = [(match.start(), tail.end()) for match, tail in zip(matches, tails, strict=True) if tail]
    if len(values) != 1 or not ends:
        return None
    value = values.pop()
    if value == "N/A":
        return Found(None, *ends[-1]) if scale.may_not_apply else None
    return Found(value, *ends[-1]) if isinstance(value, float) else None


def _begins_line(text: str, start: int) -> bool:
    """Whether nothing but marks stands before a place in its line."""
    before = text[max(0, start - 20) : start].rpartition("\n")
    return (bool(before[1]) or start <= 20) and not before[2].strip("\r \t*_`#>-\"'“")


def yes_or_no(text: str, _: str, scale: Scale) -> Found | None:
    """The first word, "yes" or "no", unless the next one takes it back."""
    match = _YES_OR_NO.match(text)
    if match is None or _TAKEN_BACK.match(text, match.end()):
        return None
    return Found(scale.values[match[1].lower()], *match.span())


def bracketed_letter(text: str, _: str, scale: Scale) -> Found | None:
    """`[[A]]`, `[[B]]` or `[[C]]`: the value of that label; several must be the same."""
    matches = list(_LETTER.finditer(text))
    letters = {match[1] for match in matches}
    if len(letters) != 1 or not letters <= set(scale.values):
        return None
    return Found(scale.values[letters.pop()], *matches[-1].span())


def number_of_tags(_: str, text: str, scale: Scale) -> Found | None:
    """How many tags a JSON list has, of texts or of InsTag's `{"tag": ..., "explanation": ...}`.

    Tags that differ in case or white space alone are one.
    """
    start = text.find("[")
    if start < 0:
        return None
    try:
        items, end = json.JSONDecoder().raw_decode(text, start)
    except (ValueError, RecursionError):
        return None
    tags = [_tag(item) for item in items]
    if not all(tags) or "[" in text[end:]:  # a second list: which of them is the answer?
        return None
    distinct: dict[str, str] = {}
    for tag in tags:
        distinct.setdefault(" ".join(tag.split()).casefold(), " ".join(tag.split()))
    kept = tuple(distinct.values())
    return Found(float(len(kept)), start, start, kept)  # its explanations are the reason


def _tag(item: Any) -> str:
    """The tag of an item of the list; the empty string if it has none."""
    tag = item.get("tag") if isinstance(item, dict) else item
    return tag.strip() if isinstance(tag, str) else ""


# The rules for written answers, as the front matter of rubrics names them. Each is given the text
# in ASCII digits and marks, the text as it came, and the scale.
RULES: dict[str, Callable[[str, str, Scale], Found | None]] = {
    "first_line_number": first_line_number,
    "bracketed_number": bracketed_number,
    "number_after_phrase": number_after_phrase,
    "yes_or_no": yes_or_no,
    "bracketed_letter": bracketed_letter,
    "number_of_tags": number_of_tags,
}


def _in_range(score: float | None, scale: Scale) -> Reading:
    if score is None:
        return Reading(problem="not_applicable")
    if not scale.low <= score <= scale.high:
        return Reading(problem="out_of_range")
    return Reading(score)


def _score_line(line: str) -> re.Match[str] | None:
    return _LINE.fullmatch(line.strip()) if len(line) <= _LONGEST_LINE else None


def _value(match: re.Match[str] | None, scale: Scale) -> float | None:
    """The number of a match; None for another scale ("4/10") and for what may be thousands."""
    if match is None:
        return None
    score = _number(match["number"])
    most = match["most"]
    return score if most is None or _number(most) == scale.high else None


def _number(text: str) -> float | None:
    whole, comma, decimals = text.partition(",")
    if comma and len(decimals) == 3:  # 1,000: a thousand, or one?
        return None
    return float(f"{whole}.{decimals}" if comma else text)


def _after_phrase(
    match: re.Match[str], tail: re.Match[str] | None, scale: Scale
) -> float | str | None:
    if match["none"]:
        return "N/A"
    if tail and tail["most"] is not None and _number(tail["most"]) != scale.high:
        return None
    return _number(match["number"])
