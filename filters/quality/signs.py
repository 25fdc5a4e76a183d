"""The quality rules about small signs of damage in an answer: brackets, sums, ends, links."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from fractions import Fraction
from typing import TypeVar

import polars as pl

from filters.quality.answers import long_ends
from filters.quality.turns import EVIDENCE_CHARACTERS, Hits, Turns, faults

_PAIRS = (("(", ")"), ("[", "]"), ("{", "}"))
# What holds one bracket by right: smileys, "1)" and "a)", intervals such as [0, 1), arrows.
_SINGLE = (
    r"[:;=8xX][-'o^]?[()\[\]{}DPp]+|[()\[\]]+[-'o^]?[:;=]|(?m:^|[\s,(*_])"
    r"\(?(?:\d{1,3}|[A-Za-z]|[ivx]{1,4})[)\]]"
    r"|[\[(]\s*[^()\[\]\s,]+\s*,\s*[^()\[\]\s,]+\s*[\])]|->|=>|<\(|\)>"
)
_MARKUP = r"(?i)[\\{};]|==|\bdef\b|\bfunction\b|</|\|\||&&|\bSELECT\b|\bimport\b"
_ASKS_FOR_LINK = (
    r"(?i)https?://|www\.|\b(?:urls?|links?|web ?(?:sites?|pages?)|sources?|references?"
    r"|cit(?:e|ation)s?|html|css|code|script|function|program|resources?|articles?|api|python|javascript)\b"
)
_LINK = r"https?://[^\s)\]>\"']+"

_NUMBER = r"\d+(?:,\d{3})*(?:\.\d+)?"
_TERM = rf"\$?{_NUMBER}"
_LIKELY_SUM = rf"\d\s*[-+*×÷/xX]\s*\$?{_NUMBER}\s*=\s*-?\$?\d"
# A part of a longer calculation, of a formula, a date or a spaced number (650 000) is none.
_SUM = re.compile(
    rf"(?<![\w.,%)\]^*/+=−–×÷√°$-])(?<![-+*/^=–−×÷xX()\d] )(?<!\d, )(?<!and )"
    rf"(?!\$?0\d)({_TERM}(?:[ \t]*[-+*×÷/xX][ \t]*{_TERM})+)"
    rf"\s*=\s*(-?\$?{_NUMBER})"
    r"(?!\s*[-+*×÷/^%(]|[\w:]|[.,]\d| \d| ?(?:mod|[xXRr]\b|remainder|±|cents?\b))"
)
# "The average of 4, 7 and 12 is 8.67"
_OF_SEVERAL = re.compile(
    rf"(?i)\b(average|mean|sum|product) (?:value )?of ((?:{_NUMBER}(?:,? and |, ))+{_NUMBER})"
    rf" (?:is|equals|=) (-?{_NUMBER})(?![\d%/]|\.\d| ?[-+*/^])"
)
_LIKELY_SEVERAL = r"(?i)\b(?:average|mean|sum|product) (?:value )?of \d"
_LOST = Fraction(1, 10**6)
_SMALLER = (Fraction(1, 100), Fraction(1, 1000))
_BY_FRACTION = re.compile(r"[/÷][^-+*×xX]*[/÷]")
_COMMAND = re.compile(r"\\[a-z]+\s*\Z")
_TOKEN = re.compile(rf"{_NUMBER}|[-+*×÷/xX]")
_END_MARK = r"[.!?…:;\"'”’»)\]}>`*_。！？；：」』）】|~]\s*\z|\p{So}\s*\z"


_Number = TypeVar("_Number", float, Fraction)


def unbalanced_brackets(turns: Turns) -> Hits:
    """Records whose answer has more of one bracket than of its partner, outside code."""
    plain = pl.col("plain")
    counts = [[plain.str.count_matches(mark, literal=True) for mark in pair] for pair in _PAIRS]
    differs = pl.any_horizontal(left != right for left, right in counts)
    # A lone word may be a password or a smiley.
    few = turns.responses.filter(differs).filter(
        ~plain.str.contains(_MARKUP), plain.str.contains(r"\S\s+\S")
    )
    cleaned = few.with_columns(plain=plain.str.replace_all(_SINGLE, " ")).filter(differs)
    counted = [
        pl.when(left != right).then(pl.concat_str(left, pl.lit(f" {a}, "), right, pl.lit(f" {b}")))
        for (left, right), (a, b) in zip(counts, _PAIRS, strict=True)
    ]
    return Hits(cleaned, pl.coalesce(counted))


def no_end_mark(turns: Turns) -> Hits:
    """Records whose last answer, of 20 words or more, ends in a letter, digit or comma."""
    return long_ends(turns, ~pl.col("text").str.contains(_END_MARK))


def one_word(turns: Turns) -> Hits:
    """Records with an answer of one word."""
    single = turns.responses.filter(
        ~pl.col("called"), pl.col("text").str.contains(r"\A\s*\S{1,60}\s*\z")
    )
    return Hits(single, pl.col("text").str.strip_chars())


def outer_whitespace(turns: Turns) -> Hits:
    """Records with an answer that begins or ends with white space."""
    padded = turns.responses.filter(
        pl.col("text").str.contains(r"\A\s|\s\z"), pl.col("text").str.contains(r"\S")
    )
    where = pl.when(pl.col("text").str.contains(r"\A\s")).then(pl.lit("at the start"))
    return Hits(padded, where.otherwise(pl.lit("at the end")))


def link_in_response(turns: Turns) -> Hits:
    """Records with a link in the answer that no message asked for."""
    linked = turns.responses.filter(pl.col("plain").str.contains(r"https?://"))
    asked = turns.prompts.filter(pl.col("index").is_in(linked["index"].unique().implode()))
    asked = asked.filter(pl.col("text").str.contains(_ASKS_FOR_LINK))
    unasked = linked.filter(~pl.col("index").is_in(asked["index"].unique().implode()))
    return Hits(unasked, pl.col("plain").str.extract(f"({_LINK})", 1))


def wrong_arithmetic(turns: Turns) -> Hits:
    """Records whose answer states a calculation on plain numbers that is not true.

    Results may be rounded to the digits that are shown. A loop, because each sum is worked out;
    a pattern leaves only texts that hold one.
    """
    likely = turns.responses.filter(
        pl.col("plain").str.contains(_LIKELY_SUM) | pl.col("plain").str.contains(_LIKELY_SEVERAL)
    )
    asked = turns.before(likely)
    return faults(likely.with_columns(asked=asked), _false_statement, "plain", "asked")


def _false_statement(text: str, asked: str) -> str | None:
    """The first untrue statement, unless the question makes it: "Explain 1 + 1 = 5"."""
    fault = _false_sum(text) or _false_of_several(text)
    return None if fault and "".join(fault.split()) in "".join(asked.split()) else fault


def _false_sum(text: str) -> str | None:
    for match in _SUM.finditer(text):
        left, right = match.groups()
        if _COMMAND.search(text, 0, match.start()):
            continue  # "2 \\times 3 + 1 = 7" begins before
        if _BY_FRACTION.search(left):
            continue  # "3 / 1/4" divides by a quarter, which the order of operations does not
        result = right.replace(",", "").replace("$", "")
        try:
            # Most sums are true and small; fractions are slow.
            if abs(float(result)) < 1e5 and abs(worked_out(left, float) - float(result)) < 1e-9:
                continue
            exact = worked_out(left, Fraction)
        except ZeroDivisionError:
            return match.group()[:EVIDENCE_CHARACTERS]
        digits = len(result.partition(".")[2])
        # One unit in the last place: rounded, cut off, or rounded on the way.
        slack = Fraction(1, 10**digits) if "/" in left or "÷" in left or "." in left else 0
        # "5 (thousand) * 3 = $15,000", "50% * 4 = 2": a change of unit, not a mistake.
        if any(exact == Fraction(result) * unit for unit in (100, 1000, *_SMALLER)):
            continue
        # Of many digits the last are lost in the making.
        if abs(exact - Fraction(result)) > max(slack, abs(exact) * _LOST):
            return match.group()[:EVIDENCE_CHARACTERS]
    return None


def _false_of_several(text: str) -> str | None:
    for match in _OF_SEVERAL.finditer(text):
        kind, listed, stated = match.groups()
        numbers = [float(number) for number in re.findall(r"\d+(?:\.\d+)?", listed)]
        result = math.prod(numbers) if kind.lower() == "product" else sum(numbers)
        if kind.lower() in ("average", "mean"):
            result /= len(numbers)
        stated = stated.replace(",", "")
        # One unit in the last place: rounded, or cut off.
        if abs(result - float(stated)) > 10 ** -len(stated.partition(".")[2]):
            return match.group()[:EVIDENCE_CHARACTERS]
    return None


def worked_out(sum_: str, kind: Callable[[str], _Number]) -> _Number:
    """The value of numbers joined by + - * /, products first, from left to right."""
    total, term, sign, operator = kind("0"), kind("1"), 1, "*"
    for token in _TOKEN.findall(sum_.replace("$", "")):
        if token in "+-":
            total += sign * term
            term, sign, operator = kind("1"), (1 if token == "+" else -1), "*"
        elif token in "*×xX/÷":
            operator = token
        else:
            number = kind(token.replace(",", ""))
            term = term * number if operator in "*×xX" else term / number
    return total + sign * term
