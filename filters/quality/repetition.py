"""Responses that a model got stuck on: a unit looping at the end, or the same words over and over.

The page rules of Gopher (2112.11446, table A1) judge web pages. On instruction data nearly all of
what they drop is legitimate: blank lines count as repeated lines, and songs, worked arithmetic and
lists share phrases. Of the same measurements, the share of words inside repeated 10-grams
separates degenerate text from songs, at a higher threshold.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from filters.common.arrays import U32, U64, Bools, ascending
from filters.quality.turns import EVIDENCE_CHARACTERS, Hits, Turns

LONGEST_UNIT = 20  # characters
REPEATS = 6
SHORTEST_LOOP = 30  # characters: "hahahahaha", "1000000000" and "********" are not loops
MIN_WORDS = 50  # as in the page rules: shorter text repeats itself by right
N_GRAM = 10

_TABLE = r"(?m)^[ \t]*\|?[ \t]*:?-{2,}:?[ \t]*\|"
_GRID = r"(?m)^(?:\d{1,3}[ ,]+){4,}\d{1,3}[ \t]*\n(?:\d{1,3}[ ,]+){4,}\d"
_RULES = r"[|]|:?-{2,}:?"
_TAIL = LONGEST_UNIT * REPEATS
# "Write 'I will behave' ten times" is answered by a loop.
_ASKED_TO_REPEAT = r"(?i)\brepeat|\btimes\b|\bcopies\b|\bloop"
# A label for each word, a refrain that was ordered. To speak of labels or songs is no order.
_EACH = r"(?:each|every) (?:word|token|line|letter|character|sentence|item|row)"
_LABEL = r"(?:labels?|labell?ing|tags?|tagging)"
_MAY_REPEAT = (
    rf"(?i)\b{_LABEL}\b[^.\n]{{0,80}}\b{_EACH}|\b{_EACH}s?\b[^.\n]{{0,80}}\b{_LABEL}\b"
    r"|\bpart[- ]of[- ]speech\b|\b(?:tag|label|mark) (?:the |all )?(?:named )?entities\b"
    r"|\bsing\b|\b(?:write|compose|create|generate|give|continue)\b[^.\n]{0,40}"
    r"\b(?:chants?|chorus|refrain|lyrics|mantra|dna|rna|base64)\b"
)


def loops(turns: Turns) -> Hits:
    """Responses whose end is a unit of 1 to 20 characters, a letter among them, over and over."""
    responses = turns.responses.with_columns(
        tail=pl.col("plain").str.strip_chars_end().str.tail(_TAIL)
    )
    unit = _looping_unit(responses["tail"])
    found = (
        responses.with_columns(unit=pl.Series(unit, dtype=pl.UInt32))
        .filter(pl.col("unit") > 0)
        .with_columns(span=pl.col("tail").str.tail(pl.col("unit").cast(pl.Int64) * REPEATS))
        .filter(pl.col("span").str.contains(r"\p{L}"))
    )
    unasked = _unasked(turns, found, rf"{_ASKED_TO_REPEAT}|{_MAY_REPEAT}")
    return Hits(unasked, pl.col("span").str.tail(EVIDENCE_CHARACTERS))


def _unasked(turns: Turns, found: pl.DataFrame, asks: str) -> pl.DataFrame:
    """Those of the lines without a prompt that matches `asks`."""
    asked = turns.prompts_of(found["index"]).filter(pl.col("text").str.contains(asks))
    return found.filter(~pl.col("index").is_in(asked["index"].implode()))


def _looping_unit(tails: pl.Series) -> U32:
    """The length of the shortest unit that each text ends in often enough; 0 where none does."""
    unit = np.zeros(len(tails), np.uint32)
    if not len(tails):
        return unit
    # One row per text, one column per character, right-aligned.
    padded = "".join(tails.str.pad_start(_TAIL, "\0").to_list()).encode("utf-32-le")
    letters = np.frombuffer(padded, np.uint32).reshape(len(tails), _TAIL)
    for length in range(LONGEST_UNIT, 0, -1):
        span = max(length * REPEATS, SHORTEST_LOOP)
        # One character rules most texts out, so the whole span is compared for few.
        likely = np.flatnonzero(letters[:, -1] == letters[:, -1 - length])
        end = letters[likely, -span:]
        periodic = (end[:, length:] == end[:, :-length]).all(axis=1) & (end[:, 0] != 0)
        unit[likely[periodic]] = length
    return unit


def repeated_share(turns: Turns) -> Hits:
    """Records with a response of 50 words or more that repeats a 10-gram; most repetitive first.

    `share` is that of words inside a run of ten words that occurred before in the response; the
    span is the first such run.
    """
    # 50 words and the spaces between them; most responses are shorter, so most are not split.
    long = turns.responses.filter(pl.col("plain").str.len_bytes() >= 2 * MIN_WORDS - 1)
    # Rules and empty cells of a table are no words.
    ruled = pl.when(pl.col("plain").str.contains("--", literal=True)).then(pl.col("plain"))
    table = pl.when(ruled.str.contains(_TABLE)).then(ruled).str.replace_all(_RULES, " ")
    words = (
        long.select(
            "index",
            text=pl.int_range(pl.len(), dtype=pl.UInt32),
            word=pl.coalesce(table, "plain").str.replace_all(r"[\n\t\r]", " ").str.split(" "),
        )
        .explode("word", empty_as_null=True)
        .filter(pl.col("word") != "")
    )
    words = words.filter(pl.len().over("text") >= MIN_WORDS)
    again = _repeats(words["word"].hash().to_numpy(), words["text"].to_numpy())
    found = (
        words.with_columns(again=pl.Series(again, dtype=pl.Boolean))
        # Inside a 10-gram that starts there or at one of the nine words before.
        .with_columns(covered=pl.col("again").cast(pl.UInt8).rolling_max(N_GRAM, min_samples=1) > 0)
        .filter(pl.col("covered").any().over("text"))
        .group_by("index", "text", maintain_order=True)
        .agg(
            share=pl.col("covered").mean(),
            run=pl.col("word").slice(pl.col("again").arg_max(), N_GRAM),
        )
        .sort("share", descending=True, maintain_order=True)
        .unique("index", keep="first", maintain_order=True)
    )
    # A grid of numbers is answered by another.
    found = _unasked(turns, found, rf"{_GRID}|{_ASKED_TO_REPEAT}|{_MAY_REPEAT}")
    return Hits(found, pl.col("run").list.join(" "))


def _repeats(words: U64, text: U32) -> Bools:
    """Where a 10-gram starts that started earlier in the same text."""
    again = np.zeros(len(words), bool)
    count = len(words) - N_GRAM + 1
    if count <= 0:
        return again
    grams = text[:count].astype(np.uint64)
    for offset in range(N_GRAM):  # a polynomial hash: order matters, texts do not mix
        grams = grams * np.uint64(0x9E3779B97F4A7C15) + words[offset : offset + count]
    places = np.flatnonzero(text[:count] == text[N_GRAM - 1 :])
    grams = grams[places]
    ranked = ascending(grams)
    twice = ranked[1:][ranked[1:] == ranked[:-1]]
    # Sorting values is many times faster than sorting places, so only likely places are sorted.
    bucket = np.zeros(1 << 20, bool)
    mask = np.uint64(len(bucket) - 1)
    bucket[twice & mask] = True
    places, grams = (values[bucket[grams & mask]] for values in (places, grams))
    order = np.argsort(grams, kind="stable")
    ranked = grams[order]
    again[places[order[1:]]] = ranked[1:] == ranked[:-1]
    return again
