"""How the last answer ends, as a code, and which stop where nearly all others end in a mark.

Half of all lists, poems and lines of code end without a mark by right, and some sets end nothing
in one. So only prose counts, and only beside answers of about the same length of the same set.
"""

from __future__ import annotations

import polars as pl

from filters.quality.turns import Hits, Turns

COLUMN = "ending"
# 0 where it is not looked at; else twice the class of length, and one more if it stops.
_CLASSES = (100, 200, 400, 800, 1600)  # bytes, from this on; 100 hold some 20 words
_ENOUGH = 50  # answers of a class, of which the share of those that end in a mark is known
MOST_END = 0.97  # of them end in a mark, where one that does not has stopped

# Letters of an alphabet with spaces and a full stop of this kind; others have marks of their own.
_ENDS_OPEN = r"(?:\A|[^\p{L}\d.'’_/-])\p{Ll}{2,}[ \t]*\z"
_MARK = r"[.!?…:\"'”’»)\]}>*_`~|。！？；：」』）】]|\p{So}"
_TAIL = 40  # characters, the white space at the end included
# The last line is a sentence of a paragraph, not an item, a heading, a row or a line of code.
_LAST_LINE = r"([^\n]*)\s*\z"
_CLAUSE = r"([^.!?:;\n]*)\z"
_IN_SENTENCES = (
    r"(?i)(?-u:\b)(?:the|an?|of|to|and|in|is|are|for|with|that|it|de|la|le|les|et|en|el|los|que|der"
    r"|die|das|und|ist)(?-u:\b)"
)
_MOST_COMMAS, _CLAUSE_WORDS = 3, 5
_A_SENTENCE = r"\A[^\s#*•|>+–-](?:\S* +){6,}\S+\z"
_NOT_PROSE = (
    r"\A(?:\d{1,3}[.)]|[A-Za-z][.)]|[\w ]{1,30}:\s)|https?://|[{}<>\\=|@#\t]|\w\(|\s{3}|\d\s*\z"
    r"|(?:\s[A-Z][a-z]+){2}\z"
)


def endings(turns: Turns) -> Hits:
    """The records whose last answer is prose of 100 bytes or more: `index` and `ending` (u8).

    Which of them stop short is for `stopped` to say, from the codes of all; the span is the end.
    """
    last = turns.responses.filter(
        pl.col("last"), ~pl.col("called"), pl.col("text").str.len_bytes() >= _CLASSES[0]
    )
    # To look at the end only is many times faster.
    end = pl.col("text").str.tail(_TAIL).str.strip_chars_end().str.tail(1)
    found = last.with_columns(marked=end.str.contains(_MARK))
    stops = found.filter(~pl.col("marked")).filter(pl.col("text").str.contains(_ENDS_OPEN))
    kept = stops.filter(_stops(stops))["index"]
    found = found.filter(pl.col("marked") | pl.col("index").is_in(kept.implode()))
    of_length = pl.sum_horizontal(
        (pl.col("text").str.len_bytes() >= least).cast(pl.UInt8) for least in _CLASSES
    ).cast(pl.UInt8)
    code = 2 * of_length + (~pl.col("marked")).cast(pl.UInt8)
    lines = found.select("index", "text", code.cast(pl.UInt8).alias(COLUMN))
    return Hits(lines, pl.col("text").str.strip_chars_end().str.tail(60))


def _stops(found: pl.DataFrame) -> pl.Series:
    """Which of these texts, which end in a word, are prose that stops."""
    line = pl.col("plain").str.strip_chars_end().str.extract(_LAST_LINE, 1).str.strip_chars()
    clause = line.str.extract(_CLAUSE, 1)
    lines = pl.col("plain").str.strip_chars().str.count_matches(r"\n+") + 1
    ended = pl.col("plain").str.count_matches(r"(?m)[.!?:;\"”)]\s*$")
    return found.select(
        line.str.contains(_A_SENTENCE)
        & ~line.str.contains(_NOT_PROSE)
        & clause.str.contains(_IN_SENTENCES)
        & (clause.str.count_matches(r"\S+") >= _CLAUSE_WORDS)
        & (clause.str.count_matches(",", literal=True) <= _MOST_COMMAS)
        # Other lines of the answer end in a mark, or there are none.
        & (2 * ended >= lines - 1)
        & ~pl.col("text").str.contains("```", literal=True)
    ).to_series()


def stopped() -> pl.Expr:
    """Whether an answer stops where nearly all of its length in the set end in a mark."""
    code = pl.col(COLUMN)
    return (code % 2 == 1) & (code > 0) & (share_ended() >= MOST_END)


def share_ended() -> pl.Expr:
    """The share of the answers of about the same length that end in a mark; null for too few."""
    of_length = pl.col(COLUMN) // 2
    ended = (pl.col(COLUMN) % 2 == 0).mean().over(of_length)
    return pl.when(pl.len().over(of_length) >= _ENOUGH).then(ended)
