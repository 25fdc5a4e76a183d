"""Views of a record's text and its normal form, as whole columns and as blocks of bytes.

A regular expression that matches at every word, or NFKC, costs 30 ns a byte and more; a byte
table costs 2. So text is normalised as one block of UTF-8 through a table, and only rows that
hold more than ASCII take the slow road first.
"""

from __future__ import annotations

import hashlib
import html
import os
import unicodedata
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Literal, NamedTuple, TypeVar

import numpy as np
import polars as pl

from filters.common.arrays import U64, Bytes, Ints

Field = Literal["prompt", "response", "both"]
In = TypeVar("In")
Out = TypeVar("Out")

# "Yes." and "Paris." answer many prompts rightly. A response of fewer characters than this (about
# eight words) is never compared alone, only together with its prompt.
SHORT_RESPONSE = 40

# Bytes of text worked on at once: the arrays over one block (8 bytes a character) stay near the
# processor's cache, and the fixed cost of some hundred array calls a block stays small.
BLOCK = 1 << 19

# Stripped from the ends before exact comparison. Only marks that close or quote a sentence:
# "-5", ".5", "50%", "f()" and "x'" would mean something else without theirs.
_OPENING = ' \t\r\n"“”«»¿¡'
_CLOSING = ' \t\r\n"“”«».,;:!?…。．，！？；：、'

# Scripts written without spaces, where each character counts as a word; symbols (emoji, currency,
# mathematics) too, or a row of emoji would have no words at all.
_OWN_WORD = (
    r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
    r"\p{So}\p{Sm}\p{Sc}--\x00-\x7f]"
)
_PUNCTUATION = r"[\p{P}\p{Z}\p{C}\p{Sk}--\x00-\x7f]"
_ENTITY = r"&(?:#[0-9]+|#[xX][0-9a-fA-F]+|[a-zA-Z]+[0-9]*);"
_INVISIBLE = "[\u00ad\u200b\u2060\ufe0e\ufe0f\ufeff]"
_SPACE = 32


def view(records: pl.DataFrame, field: Field) -> pl.Series:
    """The text that two records are compared by, one string a row, in the order spoken.

    System prompts are left out: one that is shared makes all rows look alike. A tool call counts
    as its JSON. A short response is given together with its prompt.
    """
    role = pl.element().struct.field("role")
    if field == "prompt":
        return _joined(records, _spoken(~role.is_in(["assistant", "system"])), "\n\n")
    spoken = _joined(records, _spoken(role != "system"), "\n\n")
    return spoken if field == "both" else _long_answers(records, spoken)


def answers(records: pl.DataFrame) -> pl.Series:
    """All that the assistant says, tool calls included, one string a row."""
    role = pl.element().struct.field("role")
    return _joined(records, _spoken(role == "assistant"), "\n\n")


def is_short(texts: pl.Series) -> pl.Series:
    """Which answers are too short to be compared alone (see `SHORT_RESPONSE`)."""
    return texts.str.len_chars() < SHORT_RESPONSE


def content(records: pl.DataFrame, field: Field, *, normalise: bool) -> pl.Series:
    """What must be equal for two records to be the same, one string a row.

    Role, text, reasoning, name and tool calls of each message, system prompts included, and the
    tool schemas; of a response its words and calls, or all that if it is short. `normalise`
    strips sentence marks and quotes from the ends of each message; case, white space and Unicode
    forms are `block`'s work.
    """
    part = pl.element().struct.field
    text = part("content").fill_null("")
    others = [part(name).fill_null("") for name in ("reasoning", "name", "tool_calls")]
    message = pl.concat_str(
        [part("role"), _bare(text) if normalise else text, *others], separator="\x1f"
    )
    if field == "prompt":
        message = message.filter(part("role") != "assistant")
    texts = _joined(records, message, "\x1e") + "\x1d" + records["tools"].fill_null("")
    if field != "response":
        return texts
    long = _long_answers(records, texts)
    return bare(long) if normalise else long


def _long_answers(records: pl.DataFrame, otherwise: pl.Series) -> pl.Series:
    """What the assistant says, or the other text where that is short."""
    said = answers(records)
    return said.zip_with(~is_short(said), otherwise)


def _joined(records: pl.DataFrame, message: pl.Expr, separator: str) -> pl.Series:
    texts = pl.col("messages").list.eval(message).list.join(separator, ignore_nulls=True)
    return records.select(texts.fill_null("").alias("text")).to_series()


def _spoken(which: pl.Expr) -> pl.Expr:
    """Content and tool calls of the messages that `which` picks."""
    message = pl.element().filter(which).struct
    parts = [message.field("content"), message.field("tool_calls")]
    return pl.concat_str(parts, separator="\n", ignore_nulls=True)


def plain(texts: pl.Series) -> pl.Series:
    """Without HTML entities: `&quot;` is a quote, `&#39;` an apostrophe. Texts may be null.

    >>> plain(pl.Series(["R&amp;D", None])).to_list()
    ['R&D', None]
    """
    at = texts.str.contains(_ENTITY).fill_null(False).arg_true()
    if at.is_empty():
        return texts
    # A loop over the few rows that have one.
    read = [html.unescape(text) for text in texts.gather(at).to_list()]
    return texts.clone().scatter(at, pl.Series(read, dtype=pl.String))


def bare(texts: pl.Series) -> pl.Series:
    """Without sentence marks and quotes at the ends, unless nothing else is there."""
    return texts.to_frame("text").select(_bare(pl.col("text"))).to_series()


def _bare(text: pl.Expr) -> pl.Expr:
    bare = text.str.strip_chars_start(_OPENING).str.strip_chars_end(_CLOSING)
    return pl.when(bare == "").then(text).otherwise(bare)


class Block(NamedTuple):
    """Normalised UTF-8 of some rows, laid end to end.

    Row i is `data[bounds[i]:bounds[i + 1]]`: empty, or words one space apart with one space
    after the last.
    """

    data: Bytes
    bounds: Ints

    def rows(self) -> list[bytes]:
        """The bytes of each row."""
        raw = self.data.tobytes()
        return [raw[low:high] for low, high in pairwise(self.bounds.tolist())]


def block(texts: pl.Series, *, words_only: bool) -> Block:
    """Lay texts (no nulls) end to end in normal form: NFKC, small letters, single spaces.

    With `words_only` punctuation becomes space too (what is left are Python's `\\w+` for ASCII),
    and each character of a script without spaces, and each symbol, is a word of its own.
    """
    if texts.is_empty():
        return Block(np.zeros(0, np.uint8), np.zeros(1, np.int64))
    texts = _folded(texts, words_only)
    table = _table(words_only)
    raw = (texts.str.join("\n")[0] + "\n").encode().translate(table)
    data = np.frombuffer(raw, np.uint8)
    is_space = data == _SPACE
    keep = ~is_space
    keep[1:] |= keep[:-1]  # the first space after a word stays
    lengths = texts.str.len_bytes().to_numpy().astype(np.int64) + 1
    starts = np.cumsum(lengths) - lengths
    kept = np.add.reduceat(keep.view(np.uint8), starts, dtype=np.int64)
    return Block(data[keep], np.concatenate([[0], np.cumsum(kept)]))


def _folded(texts: pl.Series, words_only: bool) -> pl.Series:
    """Bring the rows that are not plain ASCII to NFKC, small letters and ASCII white space."""
    foreign = (texts.str.len_bytes() != texts.str.len_chars()).arg_true()
    if foreign.is_empty():
        return texts
    # A loop over rows, because CPython's NFKC passes over text that is normal already (nearly all
    # is) at 5 ns a character, where the column's takes 45.
    normal = [unicodedata.normalize("NFKC", text) for text in texts.gather(foreign).to_list()]
    folded = pl.Series(normal, dtype=pl.String).str.to_lowercase().str.replace_all(_INVISIBLE, "")
    if words_only:
        folded = folded.str.replace_all(_PUNCTUATION, " ").str.replace_all(_OWN_WORD, " $0 ")
    else:
        folded = folded.str.replace_all(r"[\p{Z}\x{85}--\x20]", " ")
    return texts.clone().scatter(foreign, folded)


def _table(words_only: bool) -> bytes:
    """256 bytes: capitals become small letters; white space (and punctuation) the space."""
    table = bytearray(range(256))
    for byte in range(128):
        letter = chr(byte)
        is_word = letter.isalnum() or letter == "_"
        if letter in "\t\n\v\f\r" or (words_only and not is_word):
            table[byte] = _SPACE
        else:
            table[byte] = ord(letter.lower())
    return bytes(table)


def keys(texts: pl.Series, *, normalise: bool) -> U64:
    """64-bit BLAKE2b of each text, of its normal form if asked: the same in every release.

    At a million rows the chance that any two different texts share a key is 3e-8.
    """

    def of_block(part: pl.Series) -> list[int]:
        if not normalise:
            return [digest(text.encode()) for text in part.to_list()]
        return [digest(row) for row in block(part, words_only=False).rows()]

    # hashlib takes one text at a time, so this is a loop over rows (1 microsecond each).
    parts = in_blocks(texts, of_block)
    return np.array([key for part in parts for key in part], dtype=np.uint64)


def digest(data: bytes) -> int:
    """64-bit BLAKE2b."""
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little")


def in_blocks(texts: pl.Series, work: Callable[[pl.Series], Out]) -> list[Out]:
    """`work` on runs of rows of about `BLOCK` bytes; memory is that of a few, or the longest row.

    The parts come back in order, whatever the number of threads.
    """
    parts = [texts[low:high] for low, high in block_ranges(texts.str.len_bytes())]
    return in_threads(parts, work)


def block_ranges(sizes: pl.Series) -> list[tuple[int, int]]:
    """Runs of rows of about `BLOCK` bytes; `sizes` (bytes a row) need not be of one text."""
    upto = sizes.to_numpy().astype(np.int64) + 1
    block_of = (np.cumsum(upto) - upto) // BLOCK
    starts = np.flatnonzero(np.diff(block_of, prepend=-1)).tolist()
    return list(pairwise([*starts, len(sizes)]))


def in_threads(parts: Sequence[In], work: Callable[[In], Out]) -> list[Out]:
    """`work` on each part, in order, on as many threads as the machine has cores.

    Worth it for work in NumPy, SciPy and Polars, which let go of the interpreter lock.
    """
    if len(parts) < 2:
        return [work(part) for part in parts]
    with ThreadPoolExecutor(min(len(parts), os.cpu_count() or 1)) as pool:
        return list(pool.map(work, parts))
