"""What a small difference in writing can mean, as codes: rows whose codes differ are not the same.

`exact` folds case, white space and Unicode forms, and `near` overlooks a word in sixty. In code,
in answers to "write it in capitals" and in `x²` that is what a row is about. A code has 64 bits; it
is null where there is nothing to look at, and null is unlike any code.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from typing import Literal, NamedTuple, get_args

import polars as pl

from filters.common.text import digest
from filters.dedup.code_lines import code_in, may_hold_code

# numbers: 3 and 4; negations: "not"; signs: +, <= and x²; code: its lines and punctuation; case:
# upper case that was asked for; names: of persons, places and things.
Kind = Literal["numbers", "negations", "signs", "code", "case", "names"]
KINDS: tuple[Kind, ...] = get_args(Kind)

# The end of a word. Not Unicode's, which takes a slower engine wherever a text is not plain ASCII.
_B = r"(?-u:\b)"


class _Topic(NamedTuple):
    """What prompts are looked at for: `hint`, which all have and is looked for first, because it
    takes a tenth of the time; the words of the topic; and like words of another."""

    hint: str
    words: str
    not_these: str = ""

    def places(self, prompts: pl.Series) -> pl.Series:
        """Where the prompts are about it."""
        places = prompts.str.contains(self.hint).fill_null(False).arg_true()
        about = prompts.gather(places)
        if self.not_these:
            about = about.str.replace_all(self.not_these, "")
        return places.filter(about.str.contains(self.words))


# Upper and lower case, in the languages that have it or speak of it. "Capitalize on a trend" and
# the capitalisation of a market are about money.
_CASE = _Topic(
    r"(?i)case|casing|capital|caps|letters|gro(?:ß|ss)|klein|ajuscul|inuscul|ay[úu]scul|in[úu]scul"
    r"|ai[úu]scol|заглавн|прописн|строчн|регистр|大写|小写|大寫|小寫|大文字|小文字|대문자|소문자",
    rf"(?i){_B}(?:upper|lower|title|camel|pascal|proper|sentence|mixed|swap|toggle|letter|start"
    rf"|small|correct|change) ?-?(?:case[ds]?|casing){_B}|capitali[sz]"
    rf"|{_B}capitals?[ -]letters?{_B}"
    rf"|{_B}(?:all|in|small)[ -]?(?:block )?caps{_B}"
    rf"|{_B}(?:in (?:all |block )?|with a? ?)capitals?{_B}"
    rf"|{_B}(?:block|small|big|large) (?:letters|capitals){_B}|{_B}capital (?-i:[A-Z]){_B}"
    rf"|{_B}case[ -]?(?:in)?(?:-?sensitiv|-?match)|{_B}change (?:the )?case{_B}"
    rf"|{_B}case of (?:the |each |every )?(?:letter|word|char|text|string)"
    r"|gro(?:ß|ss)buchstabe|gro(?:ß|ss)schreib|kleinbuchstabe|kleinschreib|majuscule|en minuscule"
    r"|may[úu]scul|min[úu]scul[ao]s|mai[úu]scol|min[úu]scol|заглавн|прописн|строчн"
    r"|(?:верхн|нижн)(?:ем|ий) регистр|大写|小写|大寫|小寫|大文字|小文字|대문자|소문자",
    rf"(?i)capitali[sz](?:e[sd]?|ing) (?:up)?on{_B}"
    r"|(?:market|total|stock|large|small|mid|micro|company) ?-?capitali[sz][a-z]*"
    r"|capitali[sz](?:ation|ed) (?:rate|cost|interest|asset|expen|lease|value)[a-z]*",
)
_LAYOUT = _Topic(
    "(?i)indent|space|spacing|break|newline|ascii art|空格|换行|缩进",
    rf"(?i)indent(?:at|ed|s?{_B})|white ?-?space|{_B}(?:extra|double|trailing|leading|multiple"
    rf"|unnecessary|redundant|consecutive|superfluous) spaces?{_B}|{_B}line ?-?breaks?{_B}"
    rf"|{_B}newlines?{_B}|{_B}spacing{_B}|{_B}ascii art{_B}|空格|换行|缩进",
)
_MARKS = _Topic(
    "(?i)punctuat|mark|exclamation|full stop|comma|apostrophe|colon|标点|号",
    rf"(?i)punctuat|{_B}question marks?{_B}|{_B}exclamation|{_B}full stops?{_B}|{_B}commas?{_B}"
    rf"|{_B}apostrophe|{_B}(?:quotation|quote|speech) marks?{_B}|{_B}semi-?colon"
    r"|标点|问号|感叹号|逗号|句号",
)

# What Unicode's compatibility form (NFKC) makes a plain digit or letter: 2³ is not 23, log₂8 not
# log28. H₂O is H2O, and yet a copy that is kept costs less than a formula that is lost. Not ª, º
# and ™, which are only set high, nor ligatures, full width, circles, styled letters and units (①,
# ﬁ, Ａ, 𝐱, µ, Ω, ㎡): their plain form says the same. ½ is 1⁄2, but 2½ would be 21⁄2.
_RAISED = "²³¹\u02b0-\u02b8\u02e0-\u02e4\u1d2c-\u1d6a\u1d78\u1d9b-\u1dbf\u2070-\u209c"
_FRACTION = "¼-¾\u2150-\u215e\u2189"
_FORM = rf"[{_RAISED}]|[0-9][{_FRACTION}]"
_FORMED = re.compile(rf"[\w)\]]?[\d{_RAISED}{_FRACTION}]+")


def code_codes(texts: pl.Series) -> pl.Series:
    """Codes of the code in each text (u64), null where it has none.

    Equal where the code is the same in its characters and in its line structure: line breaks, and
    which lines are indented more than others. Blank lines, white space at line ends, an indentation
    that all lines share, tabs for spaces and the language named at a fence make no difference.
    Texts may be null. See `code_lines` for what counts as code.

    >>> code_codes(pl.Series(["if a:\\n    b()\\nc()", "if a:\\n\\tb()\\nc()\\n"])).n_unique()
    1
    >>> code_codes(pl.Series(["a list:\\n  - one\\n  - two"])).to_list()
    [None]
    """
    # A loop over rows: fences and indentation are read line by line. About one row in ten of
    # ordinary sets gets here, for some 30 microseconds.
    return _coded(texts, may_hold_code(texts).arg_true(), code_in)


def case_codes(prompts: pl.Series, texts: pl.Series) -> pl.Series:
    """Codes of the letters of `texts` in their very case (u64), null where case does not matter.

    It matters where the prompt is about upper and lower case ("in capital letters", "title case",
    "case-sensitive"). White space, punctuation and Unicode forms make no difference.

    >>> ask = pl.Series(["Write it in capitals.", "Name the capital of France."])
    >>> case_codes(ask, pl.Series(["PARIS", "Paris"])).is_null().to_list()
    [False, True]
    """
    return _coded(texts, _CASE.places(prompts), _letters)


def layout_codes(prompts: pl.Series, texts: pl.Series) -> pl.Series:
    """Codes of `texts` with all their white space (u64), null where it does not matter.

    It matters where the prompt is about it ("fix the indentation", "remove extra spaces").

    >>> ask = pl.Series(["Remove the extra spaces.", "Remove the spam."])
    >>> layout_codes(ask, pl.Series(["a  b", "a  b"])).is_null().to_list()
    [False, True]
    """
    return _coded(texts, _LAYOUT.places(prompts), str.strip)


def mark_codes(prompts: pl.Series, texts: pl.Series) -> pl.Series:
    """Codes of the punctuation of `texts` (u64), null where it does not matter.

    It matters where the prompt is about it ("add the punctuation", "is it a question mark?").

    >>> ask = pl.Series(["Punctuate: who is it", "Who is it?"])
    >>> mark_codes(ask, pl.Series(["Who is it?", "It's me."])).is_null().to_list()
    [False, True]
    """
    return _coded(texts, _MARKS.places(prompts), _marks)


def form_codes(texts: pl.Series) -> pl.Series:
    """Codes of what stands high or low in each text, and of mixed fractions (u64); else null.

    It is what the normal form of Unicode (NFKC) makes a plain digit or letter, with another
    meaning: `x²`, `log₂8`, `2½`. Each is compared with the letter before it.

    >>> form_codes(pl.Series(["2³ = 8", "23 = 8", "½ ﬁne Ａ"])).is_null().to_list()
    [False, True, True]
    """
    places = (texts.str.len_bytes() != texts.str.len_chars()).fill_null(False).arg_true()
    places = places.filter(texts.gather(places).str.contains(_FORM))
    return _coded(texts, places, _high_and_low)


def _high_and_low(text: str) -> str:
    return " ".join(_FORMED.findall(text.lower()))


def _letters(text: str) -> str:
    return "".join(filter(str.isalnum, unicodedata.normalize("NFKC", text)))


def _marks(text: str) -> str:
    plain = unicodedata.normalize("NFKC", text)
    return "".join(letter for letter in plain if not letter.isalnum() and not letter.isspace())


def _coded(texts: pl.Series, places: pl.Series, form: Callable[[str], str]) -> pl.Series:
    """Hashes of the forms of the texts at these places, null elsewhere and where one is empty."""
    forms = map(form, texts.gather(places).to_list())
    codes = [digest(form.encode()) if form else None for form in forms]
    empty = pl.Series(texts.name, [None], dtype=pl.UInt64).new_from_index(0, len(texts))
    return empty.scatter(places, pl.Series(codes, dtype=pl.UInt64))
