"""Scripts that stray into an answer: words of two alphabets, runs of a script nobody asked for."""

from __future__ import annotations

import polars as pl

from filters.language.text import LETTERS_READ, NOT_LATIN, prose_of

# Scripts that answer for themselves; the three of Japanese and Chinese count as one. A single
# letter is a symbol (as in "the angle α") or an initial, so runs of two are looked for.
_ALONE = "Hangul Cyrillic Greek Arabic Hebrew Thai Devanagari Bengali Tamil Georgian Armenian"
_GROUPS = {
    "Chinese or Japanese": r"\p{Han}\p{Hiragana}\p{Katakana}",
    **{name: rf"\p{{{name}}}" for name in _ALONE.split()},
}
# Cyrillic letters that look like Latin ones hide in Latin words, and the other way round.
_TWO_ALPHABETS = r"\p{L}*(?:\p{Latin}\p{Cyrillic}|\p{Cyrillic}\p{Latin})\p{L}*"
MAIN = 0.5  # share of the letters from which a script is the answer's own


def strays(records: pl.DataFrame, asked: pl.Expr) -> pl.Series:
    """What strays into each answer, such as `Cyrillic in the answer: Это`; null where nothing does.

    `asked` is the text of the user's messages: what stands there is no stray. The first
    `LETTERS_READ` characters of an answer are read, without code, links and formulas.
    """
    # Nearly all answers are Latin throughout, so only the others are looked at closely.
    frame = records.select(
        answer=pl.col("response").str.head(LETTERS_READ), asked=asked
    ).with_row_index("place")
    other = frame.filter(pl.col("answer").str.contains(NOT_LATIN)).with_columns(
        prose_of(pl.col("answer"))
    )
    letters = pl.col("answer").str.count_matches(r"\p{L}")
    hybrid = pl.col("answer").str.extract(f"({_TWO_ALPHABETS})")
    known = pl.col("asked").str.contains(_TWO_ALPHABETS)
    found = other.select(
        "place",
        stray=pl.coalesce(
            pl.when(~known).then(pl.format("one word of two alphabets: {}", hybrid.str.head(40))),
            *[_stray(name, script, letters) for name, script in _GROUPS.items()],
        ),
    )
    joined = frame.join(found, on="place", how="left", maintain_order="left")
    return joined["stray"].cast(pl.String)


def _stray(name: str, script: str, letters: pl.Expr) -> pl.Expr:
    answer = pl.col("answer")
    run = answer.str.extract(f"([{script}]{{2,}})")
    minor = answer.str.count_matches(f"[{script}]") < MAIN * letters
    unasked = ~pl.col("asked").str.contains(f"[{script}]")
    return pl.when(minor & unasked).then(pl.format(f"{name} in the answer: {{}}", run.str.head(40)))
