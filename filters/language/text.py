"""What of a text is language, without code, links and formulas; and scripts that settle it."""

from __future__ import annotations

import polars as pl

# Long texts repeat their language; the first part of each side is enough to tell it.
LETTERS_READ = 1000  # characters read of a text
KEPT = {"prompt": 80, "response": 120}  # characters of its words that are judged
GLANCES = {"prompt": 40, "response": 60}  # characters of its words that settle most texts
ENOUGH_READ = 300  # characters that hold that many of words, where there is no code

_FENCED = r"(?s)```.*?(?:```|\z)|~~~.*?(?:~~~|\z)|`[^`\n]+`"
_KEYWORD = (
    r"(?:def|class|import|from|return|print|public|private|static|var|let|const|function|int|void"
    r"|double|float|SELECT|INSERT|UPDATE|FROM|WHERE|CREATE|end|echo|console)"
)
# Lines that only code has: ASCII up to a final ; { or } (a question in Greek ends in ; too), or
# they start with a keyword, assign or call.
_CODE_LINE = (
    r"(?m)^(?:[ -~\t]*[;{}][ \t]*"
    rf"|[ \t]*(?:{_KEYWORD}[ .(][^\n]*[=(){{}}\[\];:*,][^\n]*"
    r"|(?:for|if|while|else|elif|try|except)[ :][^\n]*:[ \t]*"
    r"|#include[^\n]*|</?[A-Za-z][^\n]*|//[^\n]*"
    r"|[A-Za-z0-9_.\[\]]+ ?[-+*/]?= ?[^\n]*|[A-Za-z0-9_.]+\([^\n]*\)[ \t]*))$"
)
_LINK_OR_FORMULA = (
    r"https?://\S+|www\.\S+|\S+@\S+\.\S+|\$\$?[^$\n]{1,200}\$\$?|\\[A-Za-z]+|<[^<>\n]{1,200}>"
)
# Letters and the marks on them; the apostrophe belongs to words (l'eau, don't).
_NO_LETTERS = r"[^\p{L}\p{M}'’]+"
# What is left of "3x + 4xy = b"; the vowels are words in several languages. Between spaces, not
# at word borders: those of ASCII would cut the d off "día", those of Unicode are slow.
_CONSONANT = "[b-df-hj-np-tv-zB-DF-HJ-NP-TV-Z]"
_VARIABLES = rf"(?:^| ){_CONSONANT}(?: {_CONSONANT})*(?: |$)"

NOT_LATIN = r"[^\p{Latin}\p{Common}\p{Inherited}]"
# Scripts that one language uses, or nearly so. Han is Chinese unless kana stands beside it.
SCRIPTS = {
    "zh": r"\p{Han}",
    "ja": r"[\p{Hiragana}\p{Katakana}]",
    "ko": r"\p{Hangul}",
    "el": r"\p{Greek}",
    "he": r"\p{Hebrew}",
    "th": r"\p{Thai}",
    "lo": r"\p{Lao}",
    "my": r"\p{Myanmar}",
    "km": r"\p{Khmer}",
    "ka": r"\p{Georgian}",
    "hy": r"\p{Armenian}",
    "ta": r"\p{Tamil}",
    "te": r"\p{Telugu}",
    "kn": r"\p{Kannada}",
    "ml": r"\p{Malayalam}",
    "gu": r"\p{Gujarati}",
    "pa": r"\p{Gurmukhi}",
    "si": r"\p{Sinhala}",
}
_DENSE = ("zh", "ja", "ko")
DENSITY = 3  # a character of these says about as much as three letters
CLEAR = 0.7  # share of a script from which it settles the language


def words_of(texts: pl.Series, kept: int) -> pl.Series:
    """The words of texts, without what is no language: at most `kept` characters of each."""
    frame = texts.alias("text").to_frame()
    start = texts.str.head(ENOUGH_READ)
    words = frame.select(_words(pl.col("text").str.head(ENOUGH_READ), kept)).to_series()
    # Code, links and formulas are known by their ends, which may be further on.
    short = (words.str.len_chars() < kept) | start.str.contains(r"[{};`~<$=]")
    short &= texts.str.len_bytes() > ENOUGH_READ
    longer = frame.filter(short).select(_words(pl.col("text").str.head(LETTERS_READ), kept))
    return words.scatter(short.arg_true(), longer.to_series())


def _words(text: pl.Expr, kept: int) -> pl.Expr:
    words = prose_of(text).str.replace_all(_NO_LETTERS, " ")
    return words.str.replace_all(_VARIABLES, " ").str.strip_chars(" '’").str.head(kept)


def prose_of(text: pl.Expr) -> pl.Expr:
    """A text without code, links and formulas."""
    text = text.str.replace_all(_FENCED, " ").str.replace_all(_CODE_LINE, " ")
    return text.str.replace_all(_LINK_OR_FORMULA, " ")


def by_script(words: pl.Series) -> pl.DataFrame:
    """`letters` of each text, and `language` with `confidence` where the script settles it.

    A letter of a dense script (Chinese, Japanese, Korean) counts as three. The confidence is the
    share of the script.
    """
    letters = words.str.len_chars() - words.str.count_matches(" ", literal=True)
    frame = pl.DataFrame({"words": words, "letters": letters.cast(pl.Float64)}).with_row_index(
        "place"
    )
    foreign = frame.filter(pl.col("words").str.contains(NOT_LATIN))
    foreign = (
        foreign.with_columns(
            pl.col("words").str.count_matches(pattern).cast(pl.Float64).alias(language)
            for language, pattern in SCRIPTS.items()
        )
        .with_columns(
            letters=pl.col("letters") + (DENSITY - 1) * pl.sum_horizontal(_DENSE),
            # Japanese mixes both; a Chinese text quotes little kana.
            ja=pl.when(pl.col("ja") * 8 >= pl.col("zh"))
            .then(pl.col("ja") + pl.col("zh"))
            .otherwise(0),
        )
        .with_columns(zh=pl.when(pl.col("ja") > 0).then(0).otherwise(pl.col("zh")))
    )
    weighted = [pl.col(language) * (DENSITY if language in _DENSE else 1) for language in SCRIPTS]
    share = pl.max_horizontal(weighted) / pl.col("letters")
    names = dict(enumerate(SCRIPTS))
    most = pl.concat_list(weighted).list.arg_max()
    best = most.replace_strict(names, return_dtype=pl.String)
    settled = foreign.select(
        "place",
        letters="letters",
        language=pl.when(share >= CLEAR).then(best),
        confidence=pl.when(share >= CLEAR).then(share),
    )
    return frame.join(
        settled, on="place", how="left", maintain_order="left", suffix="_settled"
    ).select(
        # At most three for each of the characters that are kept of both sides.
        letters=pl.coalesce("letters_settled", "letters").cast(pl.UInt16),
        language="language",
        confidence="confidence",
    )
