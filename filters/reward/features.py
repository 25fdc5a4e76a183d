"""What the linear reward model sees of a prompt and its response: length, style, word runs.

All of it comes from whole columns: bytes through a table, words as hashes of a block.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import polars as pl

from filters.common.arrays import U64, Bools, Bytes, Floats, Ints, ascending
from filters.common.lexical import COMMON
from filters.common.shingles import Rule, hash_spans, mix64, shingle_hash, spans
from filters.common.text import block, in_threads

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

VERSION = 1  # a model fitted on other features cannot read these
BUCKETS = 1 << 13  # of word runs
RUN_BYTES = 1 << 20  # of prompts and responses looked at together

LENGTH = ("words", "words_squared")  # log(1 + words) and its square
# Of words: how many are distinct, new, common, the prompt's own.
_OF_WORDS = (
    "distinct", "distinct_pairs", "distinct_triples", "content", "new", "common", "covered",
    "from_prompt", "copied_pairs", "copied_triples", "joining", "first_person", "second_person",
    "word_length",
)  # fmt: skip
# Shares of bytes.
_OF_BYTES = {
    "digits": b"0123456789",
    "capitals": b"ABCDEFGHIJKLMNOPQRSTUVWXYZ",
    "punctuation": b"!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~",
    "commas": b",",
    "line_breaks": b"\n",
    "question_marks": b"?",
    "exclamation_marks": b"!",
    "not_ascii": bytes(range(128, 256)),
}
_YES_OR_NO = {
    "ends_sentence": r"[.!?。！？\"”’)\]}`|]\s*$",
    "ends_open": r"[,:;\-]\s*$",
    "ends_asking": r"[?？]\s*$",
    "starts_capital": r"^\W*\p{Lu}",
    "starts_small": r"^\W*\p{Ll}",
    "starts_quote": r"^\s*[\"“'‘]",
    "numbered": r"(?m)^\s*\d+[.)]\s",
    "code": r"```|</\w|\bdef |\breturn\b.*;|#include",
    "link": r"https?://|www\.",
    "refuses": r"(?i)\b(?:i'?m sorry|i am sorry|i can ?not|i can'?t|unable to|as an ai"
    r"|i don'?t know|language model)\b",
    "labels": r"(?im)^\s*(?:question|answer|input|output|instruction|response|q|a|user|human"
    r"|assistant)\s*\d*\s*:",
    "placeholder": r"(?i)<\s*no ?(?:in|out)put|\bn/a\b|\[(?:your |insert |name)",
    "hash": r"#",
}
_OTHER = (
    "one_word", "sentence_length", "lines", "items", "repeated_parts", "in_prompt",
)  # fmt: skip
DENSE = (*_OF_WORDS, *_OF_BYTES, *_YES_OR_NO, *_OTHER)

_JOINING = (
    "because however therefore for example such including additionally finally while although "
    "also thus since furthermore moreover instead"
)
_FIRST, _SECOND = "i my me mine we our us", "you your yours"
_ITEM = r"(?m)^\s*(?:\d+[.)]|[-*•])\s"


class Features(NamedTuple):
    """Rows [n, ...]: `length` [n, 2], `dense` [n, 41], `grams` [n, 8192], sparse, of norm 1.

    Nothing in `dense` or `grams` is a count: rates, shares and logarithms of ratios.
    """

    length: Floats
    dense: Floats
    grams: Any  # csr_matrix or None


def features(prompts: pl.Series, responses: pl.Series, *, grams: bool = True) -> Features:
    """The features of each response (text, no nulls) to its prompt; `grams` None if not wanted."""
    from scipy.sparse import csr_matrix, vstack

    def of_run(run: slice) -> Features:
        return _of_run(prompts[run], responses[run], grams=grams)

    sizes = prompts.str.len_bytes().to_numpy() + responses.str.len_bytes().to_numpy().astype(int)
    number = (np.cumsum(sizes) - sizes) // RUN_BYTES
    starts = np.flatnonzero(np.diff(number, prepend=-1)).tolist()
    found = in_threads([slice(*ends) for ends in pairwise([*starts, len(sizes)])], of_run)
    none = np.zeros((0, len(LENGTH))), np.zeros((0, len(DENSE)))
    parts = [Features(*none, csr_matrix((0, BUCKETS))), *found]
    return Features(
        np.concatenate([part.length for part in parts]),
        np.concatenate([part.dense for part in parts]),
        csr_matrix(vstack([part.grams for part in parts])) if grams else None,
    )


def _of_run(prompts: pl.Series, responses: pl.Series, *, grams: bool) -> Features:
    words = _Words.of(prompts, responses)
    count = words.counts[0]
    log_words = np.log1p(count)
    columns = _of_words(words) | _of_bytes(responses, count) | _of_text(prompts, responses, count)
    return Features(
        np.stack([log_words, log_words**2], axis=1),
        np.stack([columns[name] for name in DENSE], axis=1),
        _grams(words) if grams else None,
    )


class _Words(NamedTuple):
    """Hashes of the runs of one, two and three words of each response, and of its prompt.

    `runs[k]` holds row << 32 | hash for each run of k + 1 words of the responses, ascending, and
    `counts[k]` how many each row has; `asked[k]` the same of prompts, without repeats.
    """

    runs: tuple[U64, U64, U64]
    counts: tuple[Ints, Ints, Ints]
    asked: tuple[U64, U64, U64]
    letters: Ints

    @classmethod
    def of(cls, prompts: pl.Series, responses: pl.Series) -> _Words:
        data, bounds = block(responses, words_only=True)
        runs, count = zip(*(_runs(data, bounds, size) for size in (1, 2, 3)), strict=True)
        data, ends = block(prompts, words_only=True)
        asked = tuple(_distinct(_runs(data, ends, size)[0]) for size in (1, 2, 3))
        return cls(runs, count, asked, np.diff(bounds) - count[0])  # type: ignore[arg-type]


def _runs(data: Bytes, bounds: Ints, size: int) -> tuple[U64, Ints]:
    starts, ends, count = spans(data, bounds, Rule("word", size, 0))
    row = np.repeat(np.arange(len(count), dtype=np.uint64), count)
    keys = row << np.uint64(32) | hash_spans(data, starts, ends)
    return ascending(keys), count


def _distinct(keys: U64) -> U64:
    """Ascending keys without repeats: `np.unique` would hash them, at many times the cost."""
    first: U64 = keys[np.diff(keys, prepend=keys[:1] + np.uint64(1)) != 0]
    return first


def _among(keys: U64, known: U64) -> Bools:
    """Which keys are among the known ones, both ascending."""
    if not len(known):
        return np.zeros(len(keys), np.bool_)
    place = np.minimum(np.searchsorted(known, keys), len(known) - 1)
    among: Bools = known[place] == keys
    return among


def _of_words(words: _Words) -> dict[str, Floats]:
    n, rows = words.counts[0], len(words.counts[0])
    every = words.runs[0]
    known = {name: _is_any_of(every, name) for name in (COMMON, _JOINING, _FIRST, _SECOND)}
    content = every[~known[COMMON]]
    asked = words.asked[0][~_is_any_of(words.asked[0], COMMON)]
    repeated = _among(content, asked)
    distinct = _distinct(content)
    found = {
        "content": _log_ratio(_per_row(distinct, rows), n),
        "new": _log_ratio(_per_row(_distinct(content[~repeated]), rows), n),
        "common": _per_row(every[known[COMMON]], rows) / np.maximum(n, 1),
        "covered": _per_row(asked[_among(asked, distinct)], rows)
        / np.maximum(_per_row(asked, rows), 1),
        "from_prompt": _per_row(content[repeated], rows) / np.maximum(_per_row(content, rows), 1),
        "joining": _per_row(every[known[_JOINING]], rows) / np.maximum(n, 1),
        "first_person": _per_row(every[known[_FIRST]], rows) / np.maximum(n, 1),
        "second_person": _per_row(every[known[_SECOND]], rows) / np.maximum(n, 1),
        "word_length": np.log1p(words.letters / np.maximum(n, 1)),
    }
    names = ("distinct", "distinct_pairs", "distinct_triples")
    for name, runs, count in zip(names, words.runs, words.counts, strict=True):
        found[name] = _log_ratio(_per_row(_distinct(runs), rows), count)
    for place, name in ((1, "copied_pairs"), (2, "copied_triples")):
        copied = words.runs[place][_among(words.runs[place], words.asked[place])]
        found[name] = _per_row(copied, rows) / np.maximum(words.counts[place], 1)
    return found


def _is_any_of(keys: U64, text: str) -> Bools:
    listed = sorted(shingle_hash(word.encode()) for word in text.split())
    return _among(keys & np.uint64(0xFFFFFFFF), np.array(listed, dtype=np.uint64))


def _per_row(keys: U64, rows: int) -> Ints:
    return np.bincount((keys >> np.uint64(32)).astype(np.int64), minlength=rows)


def _log_ratio(part: Ints, whole: Ints) -> Floats:
    return np.log((part + 1) / (whole + 1))


def _of_bytes(responses: pl.Series, words: Ints) -> dict[str, Floats]:
    data = np.frombuffer((responses.str.join("\0")[0] + "\0").encode(), np.uint8)
    sizes = responses.str.len_bytes().to_numpy().astype(np.int64)
    starts = np.cumsum(sizes + 1) - sizes - 1
    found: dict[str, Floats] = {}
    for name, members in _OF_BYTES.items():
        is_member = np.zeros(256, np.uint8)
        is_member[list(members)] = 1
        count = np.add.reduceat(is_member[data], starts, dtype=np.int64)
        # A rate per word is nearer to what one sees than one per byte where marks are rare.
        per = words if name in ("commas", "line_breaks") else sizes
        found[name] = np.sqrt(count / np.maximum(per, 1))
    return found


def _of_text(prompts: pl.Series, responses: pl.Series, words: Ints) -> dict[str, Floats]:
    text, asked = pl.col("text"), pl.col("asked")
    bare = text.str.strip_chars()
    parts = text.str.replace_all(r"[.!?。！？]\s+", "\n").str.split("\n")
    filled = parts.list.eval(pl.element().str.strip_chars()).list.eval(
        pl.element().filter(pl.element() != "")
    )
    frame = pl.DataFrame({"text": responses, "asked": prompts}).with_columns(parts=filled)
    counts = frame.select(
        *[text.str.contains(pattern).cast(pl.Float64).alias(name)
          for name, pattern in _YES_OR_NO.items()],
        parts=pl.col("parts").list.len(),
        unlike=pl.col("parts").list.n_unique(),
        lines=text.str.count_matches(r"\n\s*\S"),
        items=text.str.count_matches(_ITEM),
        in_prompt=((bare != "") & asked.str.contains(bare, literal=True)).cast(pl.Float64),
    )  # fmt: skip
    found = {name: counts[name].cast(pl.Float64).to_numpy() for name in counts.columns}
    sentences = np.maximum(found["parts"], 1)
    own = {name: found[name] for name in (*_YES_OR_NO, "in_prompt")}
    return own | {
        "one_word": (words <= 1).astype(np.float64),
        "sentence_length": np.log1p(words / sentences),
        "lines": np.log1p(found["lines"]) / np.log1p(words + 1),
        "items": np.log1p(found["items"]) / np.log1p(words + 1),
        "repeated_parts": 1.0 - found["unlike"] / sentences * (found["parts"] > 0),
    }


def _grams(words: _Words) -> csr_matrix:
    """Distinct words and pairs of words of each response, hashed with signs, of norm 1."""
    from scipy.sparse import csr_matrix

    rows = len(words.counts[0])
    keys = [_distinct(runs) for runs in words.runs[:2]]
    hashes = [
        mix64((found & np.uint64(0xFFFFFFFF)) + np.uint64(1 + place << 32))
        for place, found in enumerate(keys)
    ]
    mixed = np.concatenate(hashes)
    row = np.concatenate([(found >> np.uint64(32)).astype(np.int64) for found in keys])
    signs = np.where(mixed >> np.uint64(63), 1.0, -1.0)
    signs /= np.sqrt(np.maximum(np.bincount(row, minlength=rows), 1))[row]
    at = (mixed % np.uint64(BUCKETS)).astype(np.int64)
    return csr_matrix((signs, (row, at)), shape=(rows, BUCKETS))
