"""The quality rule for a text that was to be changed, and comes back as it was.

A text may stand as it is where the order leaves that open: "correct the errors", "if it is fine,
repeat it", "proofread". One that is to be politer, shorter or in French may not.
"""

from __future__ import annotations

import re

import polars as pl

from filters.quality.turns import Hits, Turns, faults

_VERBS = (
    r"(?:re-?write|rephrase|paraphrase|edit|revise|reword|reorgani[sz]e|rearrange|transform|convert"
    r"|change|replace|modify|simplify|shorten|translate|summari[sz]e|restructure|reorder|unscramble"
    r"|condense|expand|elaborate|add|insert|remove|delete|improve|polish|rework|redo|enhance|refine"
    r"|reformulate|restate|turn|make)"
)
_ASKS = (
    r"(?:(?:please|kindly|now|then|and|also|just|ok(?:ay)?|hi|hello|hey|so)[, ]+)*"
    r"(?:(?:can|could|would|will) you (?:please |kindly )?(?:help me (?:to )?)?"
    r"|help me (?:to )?|I(?:['’]d like| would like| want| need) you to |your task is to "
    r"|you (?:will|have to|must|should|need to) )?(?:please )?"
)
_ORDERS = rf"(?:\A|[\n.!?:]\s*)\W*{_ASKS}{_VERBS}\b"
_ORDER = re.compile(_ORDERS, re.IGNORECASE)
_MAY_STAND = re.compile(
    r"(?i)\b(?:if|where|when|whether|necessary|needed|any|correct\w*|errors?|mistakes?|grammar\w*"
    r"|grammatical\w*|punctuat\w*|spell\w*|proof-?read\w*|duplicates?|fix|repeat|same|keep|verbatim"
    r"|(?:upper|lower|title)[- ]?case|capital\w*|sort\w*|alphabet\w*|unless|otherwise|already"
    r"|quot\w*|copy|code block|markdown|json|csv|make sure|make sense)\b"
)
_LABEL = r"(?:[A-Z][\w ]{1,20}:[ \t]+)?"
_LABELS_ONE = re.compile(r"\s*(?:[\w ]{1,30}:)?\s*")
_QUOTES = "\"'“”‘’«»`"
_MARKS = tuple(_QUOTES)
_FEWEST_WORDS, _ORDER_WORDS = 3, 60


def unchanged_input(turns: Turns) -> Hits:
    """Records that are told to change a text and give it back letter for letter."""
    given = pl.col("text").str.strip_chars(f" \n\t{_QUOTES}")
    # Only texts that stand in the question are looked at, which are few.
    same = turns.pairs.filter(
        pl.col("text").str.len_bytes() < pl.col("asked").str.len_bytes(),
        pl.col("asked").str.contains(given.str.head(20), literal=True),
    ).filter(pl.col("asked").str.contains(given, literal=True))
    return faults(same, _same_again, "asked", "text")


def _same_again(asked: str, answer: str) -> str | None:
    text = answer.strip().strip(_QUOTES).strip()
    if len(text.split()) < _FEWEST_WORDS:
        return None
    before, _, after = asked.strip().rpartition(text)
    quoted = before[-1:] in _MARKS and after[:1] in _MARKS and "\n" not in after
    # The whole text: it begins after the order or a label, and no more of it follows.
    before, after = before.rstrip(_QUOTES), after.strip().strip(_QUOTES).strip()
    whole = re.search(rf"(?:\A|[:\n]\s*|\n\s*{_LABEL}|[:\n]\s*[{_QUOTES}])\s*\Z", before)
    if not quoted and after and not _ORDER.match(after):
        return None
    # Of two texts one may be what the other is to become.
    others = [part for part in re.split(r"\n\s*\n", before) if not _LABELS_ONE.fullmatch(part)]
    if not (whole or quoted) or len(others) > 1:
        return None
    order = f"{before.strip()}\n{after}".strip()
    if len(order.split()) > _ORDER_WORDS or not _ORDER.search(order):
        return None
    return None if _MAY_STAND.search(order) else text
