"""Words as copies are compared by: signs of mathematics count, contractions are spelt one way."""

from __future__ import annotations

import re
import unicodedata
from typing import NamedTuple

# Scripts without spaces, in which each character is a word (see `filters.common.text`).
_OWN = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
# A sign counts where it is no dash or mark of prose: not beside a word of two letters or more.
_TOKEN = re.compile(
    rf"[{_OWN}]|(?:(?![{_OWN}])\w)+|(?<![^\W\d_]{{2}})(?<![^\W\d_]{{2}}\s)"
    r"[-+*/^=<>≤≥≠×÷]+(?!\s?[^\W\d_]{2})"
)
_STRAIGHT = str.maketrans(dict.fromkeys("‘’ʼ´`", "'") | dict.fromkeys("‐‑‒–—―−", "-"))

_NOT = re.compile(
    r"\b(do|does|did|is|are|was|were|has|have|had|would|could|should|must|need)n'?t\b", re.I
)
_CAN = re.compile(r"\bcan(?:no|')?t\b", re.I)
_WILL = re.compile(r"\bwon'?t\b", re.I)
_IS = re.compile(r"\b(what|that|it|there|here|who|how|where|let)'?s\b", re.I)
_SHORT = re.compile(r"\b(\w+)'(re|ll|ve|d|m)\b", re.I)
_OWNER = re.compile(r"(?<=\w)'s\b", re.I)
_FULL, _CUT = "is has us are will have would had am", "s s s re ll ve d d m"
_LONG = dict(zip(_FULL.split(), _CUT.split(), strict=True))


class Tokens(NamedTuple):
    """The words of a text, and for each whether it has a capital, opens or closes a sentence.

    `spelt` are the words as they are written, in small letters.
    """

    words: list[str]
    spelt: list[str]
    capital: list[bool]
    opens: list[bool]
    closes: list[bool]


def tokens(text: str) -> Tokens:
    """Words in small letters and signs of mathematics.

    >>> tokens("What's 5 − 3, don’t you know?").words
    ['what', 's', '5', '-', '3', 'do', 'not', 'you', 'know']
    """
    text = _one_spelling(unicodedata.normalize("NFKC", text).translate(_STRAIGHT))
    found = list(_TOKEN.finditer(text))
    words = [match.group().lower() for match in found]
    starts, ends = [match.start() for match in found], [match.end() for match in found]
    gaps = [text[low:high] for low, high in zip([0, *ends], [*starts, len(text)], strict=True)]
    breaks = [not gap or not gap.isspace() or "\n" in gap for gap in gaps]
    breaks = [True, *breaks[1:-1], True] if words else []
    return Tokens(
        [_LONG.get(word, word) for word in words],
        words,
        [match.group()[0].isupper() for match in found],
        breaks[:-1],
        breaks[1:],
    )


def _one_spelling(text: str) -> str:
    """The contractions of a text in one spelling, with or without their apostrophe."""
    text = _CAN.sub("can not", _WILL.sub("will not", _NOT.sub(r"\1 not", text)))
    return _OWNER.sub("s", _SHORT.sub(r"\1 \2", _IS.sub(r"\1 s", text)))
