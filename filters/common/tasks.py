"""Task groups: rows whose requests are alike in first word, input or none, and asked length.

An answer is only too short or too long beside other answers to requests of its kind.
"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

REST = "(rest)"
# How long an answer the request asks for.
ASKS = pl.Enum(["", "brief", "count", "long"])
# Characters of a first word that count. A run of letters can be a whole sentence of Thai or a line
# of base64, another one in each row; the names of all rows are in memory once, so they have an end.
# The longest word of 36,543 rows of twenty dumps has 19 characters.
LONGEST_WORD = 40

# Prompts of older dumps carry a wrapper inside the human turn; the instruction starts after it.
_WRAPPER = r"(?is)^.*?###\s*instruction\s*:\s*"
_AFTER = r"(?is)\s*###\s*response\s*:.*$"
_INPUT = r"(?is)###\s*input\s*:\s*\S|\S\s*\n\s*\S"
_OPENERS = (
    r"(?i)^[\W_]*(?:(?:please|kindly|hi|hello|hey|(?:can|could|would|will) you"
    r"|i want you to|i(?: would|'d|’d) like you to|help me(?: to)?)\b[\s,.!]*)+"
)
# Scripts without spaces between words: the first two characters stand for the word.
_FIRST_WORD = (
    r"^[\W_]*([\p{Han}\p{Hiragana}\p{Katakana}]{1,2}"
    r"|[\p{L}\p{N}]+(?:['’-][\p{L}\p{N}]+)*)"
)

_NUMBER = (
    r"(?:\d[\d,]*|one|two|three|four|five|six|seven|eight|nine|ten|twelve|fifteen|twenty"
    r"|fifty|(?:a|one|two|five) hundred|a few|a single|a couple of|a)"
)
_UNIT = r"(?:words?|sentences?|paragraphs?|lines?|characters?|letters?|syllables?|tokens?|pages?)"
_BOUND = (
    r"(?:in|with|within|under|using|into|at most|at least|no more than|not more than|more than"
    r"|less than|fewer than|up to|max(?:imum)?(?: of)?|min(?:imum)?(?: of)?|exactly|about"
    r"|around|approximately|roughly|only)"
)
_COUNTED = (
    rf"(?i)\b{_BOUND}\s+(?:exactly |only |about |just )?{_NUMBER}"
    rf"(?:\s*(?:-|–|to|or|and)\s*{_NUMBER})?[\s-]+(?:\w+\s+)?{_UNIT}\b"
    rf"|\b(?:\d+|one|two|three|four|five|six|ten)-{_UNIT}\b"
    rf"|\b{_NUMBER}\s+{_UNIT}\s+(?:or (?:less|fewer|more)|long|max|maximum|in length|at most)\b"
)
_BRIEF = (
    r"(?i)\b(?:brief|briefly|concise|concisely|succinct|succinctly|tl;?dr|in short|keep it short"
    r"|yes or no|true or false|(?:one|single)[ -]word"
    r"|short (?:answer|response|summary|description|paragraph|explanation|essay|poem|story))\b"
)
_LONG = (
    r"(?i)\b(?:in (?:great |more )?detail|detailed|at length|comprehensive|in[ -]depth"
    r"|thorough|thoroughly|elaborate|long (?:answer|response|essay|story|explanation))\b"
)


def tasks(records: pl.DataFrame) -> pl.DataFrame:
    """Three columns per record: `task` (first word), `has_input` and `asks`.

    `asks` is "count" (a number of words, sentences, ...), "brief", "long" or "". Reads the first
    user message, without a known prompt wrapper and without polite openers. All are codes:
    `task` a `pl.Categorical` (of two words whose first `LONGEST_WORD` characters are equal it has
    one), `asks` of the type `ASKS`. Of `records` the column `messages` is read.
    """
    text = pl.col("text")
    # Column by column, each computed once: in one expression Polars repeats the shared parts.
    frame = records.select(text=_instruction())
    whole = text.str.len_chars() <= 700
    ends = text.str.head(400) + "\n" + text.str.tail(300)
    frame = frame.with_columns(ends=pl.when(whole).then(text).otherwise(ends))
    return frame.select(
        task=text.str.head(200)
        .str.replace(_OPENERS, "")
        .str.extract(_FIRST_WORD)
        .str.to_lowercase()
        .str.head(LONGEST_WORD)
        .fill_null("")
        .cast(pl.Categorical),
        has_input=text.str.contains(_INPUT),
        asks=pl.when(pl.col("ends").str.contains(_COUNTED))
        .then(pl.lit("count"))
        .when(pl.col("ends").str.contains(_BRIEF))
        .then(pl.lit("brief"))
        .when(pl.col("ends").str.contains(_LONG))
        .then(pl.lit("long"))
        .otherwise(pl.lit(""))
        .cast(ASKS),
    )


def user_texts() -> pl.Expr:
    """The contents of the user's messages of each record (list of str)."""
    is_user = pl.element().struct.field("role") == "user"
    return pl.col("messages").list.eval(pl.element().filter(is_user).struct.field("content"))


def _instruction() -> pl.Expr:
    first = user_texts().list.first().fill_null("")
    return first.str.replace(_WRAPPER, "").str.replace(_AFTER, "").str.strip_chars()


def task_groups(measures: pl.DataFrame, min_rows: int) -> pl.Series:
    """A group name per row, coarser where rows are few, so that no task is judged on a handful.

    From fine to coarse: `write+input:brief` (word, input, request), `write*:brief` (any input),
    `write*:*` (any request), `(other):brief`. Only `(rest)` can have fewer than `min_rows` rows.
    The names are a `pl.Categorical` named `group`.
    """
    kinds = ["task", "has_input", "asks"]
    # Names are made and counted of each kind of request, not of each row.
    found = measures.group_by(kinds, maintain_order=True).agg(rows=pl.len())
    task, asks = pl.col("task").cast(pl.String), pl.col("asks").cast(pl.String)
    request = pl.when(asks != "").then(":" + asks).otherwise(pl.lit(""))
    material = pl.when("has_input").then(pl.lit("+input")).otherwise(pl.lit(""))
    levels = found.select(
        a=task + material + request, b=task + "*" + request, c=task + "*:*", d="(other)" + request
    )
    group = pool(levels.get_columns(), min_rows, found["rows"]).cast(pl.Categorical)
    named = found.select(kinds).with_columns(group=group)
    rows = measures.select(kinds).join(
        named, on=kinds, how="left", maintain_order="left", nulls_equal=True
    )
    return rows["group"]


def pool(levels: Sequence[pl.Series], min_rows: int, rows: pl.Series | None = None) -> pl.Series:
    """The first level at which a line has at least `min_rows` companions; else the rest.

    A line counts as many times as `rows` says, or once. Companions are counted among those that
    no finer level has placed, so dropping rows from a group moves no row to another one as long
    as the group keeps `min_rows` of them. The names have the type that the levels have.

    >>> pool([pl.Series(["a", "a", "b"])], 2).to_list()
    ['a', 'a', '(rest)']
    """
    frame = pl.DataFrame({str(depth): level for depth, level in enumerate(levels)})
    names, count = frame.columns, pl.lit(1, dtype=pl.UInt32) if rows is None else pl.lit(rows)
    frame = frame.with_columns(count=count, group=pl.lit(None, dtype=levels[0].dtype))
    for name in names:
        homeless = pl.col("group").is_null()
        placed = homeless & (pl.col("count").filter(homeless).sum().over(name) >= min_rows)
        frame = frame.with_columns(group=pl.when(placed).then(name).otherwise("group"))
    return frame["group"].fill_null(REST)
