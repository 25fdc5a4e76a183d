"""The words and signs of a text in order, as codes that still tell letters, numbers and capitals.

A code is 64 bits: four flags above, sixty bits of the word below. A word of at most eleven letters
is spelt out (five bits a letter), so that a typo can be told from another word; any other has its
first six letters and 25 bits of a hash. What is written in two ways has one code: "don't" and "do
not", "3" and "three", "x²" and "x^2", "1,000" and "1000".
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import polars as pl

from filters.common.arrays import U64, Bools, Bytes, Ints
from filters.common.shingles import as_lists, hash_spans
from filters.common.text import digest, in_blocks
from filters.dedup.code_lines import code_in, may_hold_code

NUMBER = np.uint64(1 << 63)  # has a digit, or is the word for a number
SIGN = np.uint64(1 << 62)  # an operator, comparison, currency or percent sign
START = np.uint64(1 << 61)  # begins a sentence, so a capital says nothing
CAPITAL = np.uint64(1 << 60)
# What makes two codes the same word.
WORD = ~(START | CAPITAL)

LETTERS = 11  # of a word that is spelt out
KNOWN = 6  # letters that are known of any other
BITS = np.uint64(5)
HASHED = np.uint64(31 << 55)  # in the place of a twelfth letter
_NAME = re.compile(r"[^\W\d]\w*")
_INSIDE, _WORDS = re.compile(r"(?<!^\d) +", re.MULTILINE), re.compile("w+")

# "one" is a pronoun more often.
_NUMBERS = {"zero": 0, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7}
_NUMBERS |= {"eight": 8, "nine": 9, "ten": 10, "eleven": 11, "twelve": 12, "thirteen": 13}
_NUMBERS |= {"fourteen": 14, "fifteen": 15, "sixteen": 16, "seventeen": 17, "eighteen": 18}
_NUMBERS |= {"nineteen": 19, "twenty": 20, "thirty": 30, "forty": 40, "fifty": 50, "sixty": 60}
_NUMBERS |= {"seventy": 70, "eighty": 80, "ninety": 90, "hundred": 100, "thousand": 1000}
_ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth")
_PLACES = ("1st", "2nd", "3rd", "4th", "5th", "6th", "7th", "8th", "9th")
# Before "n't" the n is no part of the word; these are other words.
_SHORTENED = {"wo": "will", "sha": "shall", "ca": "can", "ai": "is"}

_SUPERSCRIPT = r"[⁰¹²³⁴⁵⁶⁷⁸⁹]+"
_SAME = {
    "[’‘ʼ′＇]": "'",
    "[‐‑‒–—―−]": "-",
    "≤": "<=",
    "≥": ">=",
    "≠": "!=",
    "×": " * ",
    "÷": " / ",
    "±": " +- ",
    "€": " EUR ",
    "£": " GBP ",
    "¥": " JPY ",
    "[\u00ad\u200b\u2060\ufe0e\ufe0f\ufeff]": "",
}
_MARKS = r"[\p{P}\p{Z}\p{C}\p{Sk}--\x00-\x7f]"
_OWN_WORD = (
    r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
    r"\p{So}\p{Sm}\p{Sc}--\x00-\x7f]"
)

# Between texts, and around them: farther than a sign looks for what it stands between.
_APART = "\n" * 4

_SPACE, _NEWLINE, _DOT, _COMMA, _QUOTE = 32, 10, 46, 44, 39


def word_lists(texts: pl.Series, name: str) -> pl.Series:
    """The codes of each text (no nulls), in order, as lists of u64."""

    found = in_blocks(texts, codes_of)
    codes = np.concatenate([np.zeros(0, np.uint64), *(own for own, _ in found)])
    sizes = np.concatenate([np.zeros(0, np.int64), *(own for _, own in found)])
    return as_lists(pl.Series(name, codes), sizes)


def codes_of(texts: pl.Series) -> tuple[U64, Ints]:
    """The codes of all texts, end to end, and how many each has.

    >>> [int(size) for size in codes_of(pl.Series(["Don't go", "do not go"]))[1]]
    [3, 3]
    """
    if texts.is_empty():
        return np.zeros(0, np.uint64), np.zeros(0, np.int64)
    texts = _folded(texts)
    data = np.frombuffer((_APART + texts.str.join(_APART)[0] + _APART).encode(), np.uint8)
    lengths = texts.str.len_bytes().to_numpy().astype(np.int64) + len(_APART)
    row_ends = np.cumsum(lengths) + len(_APART)
    data, dropped = _without_thousands(data)
    row_ends = row_ends - np.searchsorted(dropped, row_ends)
    found = _found(data)
    at = np.concatenate([found.starts, found.signs])
    codes = np.concatenate([found.codes, found.sign_codes])
    order = np.argsort(at, kind="stable")
    upto = np.searchsorted(at[order], row_ends)
    return codes[order], np.diff(upto, prepend=0)


def code_shapes(texts: pl.Series) -> pl.Series:
    """Codes of the code in each text without its words (u64), null where it has none.

    Lines, indentation, punctuation and numbers: what a copy with another word or a typo in a
    comment has too.
    """
    places = may_hold_code(texts).arg_true()
    # A loop over rows: code is read line by line. About one row in ten of ordinary sets has any.
    shapes = [_shape(code_in(text)) for text in texts.gather(places).to_list()]
    codes = [digest(shape.encode()) if shape else None for shape in shapes]
    empty = pl.Series(texts.name, [None], dtype=pl.UInt64).new_from_index(0, len(texts))
    return empty.scatter(places, pl.Series(codes, dtype=pl.UInt64))


def _shape(code: str) -> str:
    """Without words and the spaces of a line; the rank of its indentation is its first number."""
    return _WORDS.sub("w", _INSIDE.sub("", _NAME.sub("w", code)))


@lru_cache(maxsize=1 << 16)
def letters_of(code: int) -> tuple[int, ...]:
    """The letters of a word (a is 1), or the first six; 31 for what is none.

    >>> letters_of(code_of("abba"))
    (1, 2, 2, 1)
    """
    count = KNOWN if code & int(HASHED) == int(HASHED) else LETTERS
    letters = (code >> int(BITS) * place & 31 for place in range(count))
    return tuple(letter for letter in letters if letter)


def code_of(word: str) -> int:
    """The code of one word in small letters, without flags that depend on where it stands."""
    (code,) = codes_of_words([word])
    return code


def codes_of_words(words: Sequence[str]) -> list[int]:
    """`code_of` each of these words; all at once, for one takes nearly as long."""
    codes, sizes = codes_of(pl.Series(words, dtype=pl.String))
    assert (sizes == 1).all(), words
    found: list[int] = (codes & WORD).tolist()
    return found


def _folded(texts: pl.Series) -> pl.Series:
    """Rows with more than ASCII: NFKC, one form of each mark, scripts without spaces spaced."""
    foreign = (texts.str.len_bytes() != texts.str.len_chars()).arg_true()
    if foreign.is_empty():
        return texts
    raised = texts.gather(foreign).str.replace_all(_SUPERSCRIPT, "^$0")
    for pattern, same in _SAME.items():
        raised = raised.str.replace_all(pattern, same)
    normal = [unicodedata.normalize("NFKC", text) for text in raised.to_list()]
    folded = pl.Series(normal, dtype=pl.String)
    folded = folded.str.replace_all(_MARKS, " ").str.replace_all(_OWN_WORD, " $0 ")
    return texts.clone().scatter(foreign, folded)


def _without_thousands(data: Bytes) -> tuple[Bytes, Ints]:
    """Without the commas of "1,000,000", and where they stood."""
    at = np.flatnonzero(data == _COMMA)
    at = at[(at > 0) & (at + 4 < len(data))]
    digit = (data >= 48) & (data <= 57)
    inside = digit[at - 1] & digit[at + 1] & digit[at + 2] & digit[at + 3] & ~digit[at + 4]
    # "1,000,000": before a group that is followed by another comma.
    chosen = at[inside]
    if not len(chosen):
        return data, chosen
    keep = np.ones(len(data), bool)
    keep[chosen] = False
    return data[keep], chosen


class _Found(NamedTuple):
    starts: Ints
    codes: U64
    signs: Ints
    sign_codes: U64


def _found(data: Bytes) -> _Found:
    low = _lowered(data)
    in_word = _table(_IN_WORD)[low]
    dots = np.flatnonzero(low == _DOT)
    dots = dots[(dots > 0) & (dots + 1 < len(low))]
    in_word[dots[_table(_DIGITS)[low[dots - 1]] & _table(_DIGITS)[low[dots + 1]]]] = True
    edges = np.flatnonzero(np.diff(in_word, prepend=False, append=False))
    starts, ends, is_not = _negated(low, edges[::2], edges[1::2])
    counted = _counted(low)
    inside = counted[ends] - counted[starts]
    codes = _bodies(low, inside & _COUNTED, starts, ends)
    codes[inside >> _PLACE & _COUNTED > 0] |= NUMBER
    codes = _same_word(codes)
    codes[is_not] = code_of_not()
    begins = np.ones(len(starts), bool)
    begins[1:] = counted[starts[1:]] - counted[ends[:-1]] >> 2 * _PLACE > 0
    capital = low[starts] != data[starts]
    capital |= (
        low[np.minimum(starts + 1, len(low) - 1)] != data[np.minimum(starts + 1, len(low) - 1)]
    )
    capital &= (low[starts] != data[starts]) | (data[starts] >= 0x80)
    flags = np.where(begins, START, np.uint64(0)) | np.where(capital, CAPITAL, np.uint64(0))
    signs = _signs(low, starts, ends, codes)
    return _Found(starts, codes | flags, signs, low[signs].astype(np.uint64) | SIGN)


_LETTERS, _DIGITS = b"abcdefghijklmnopqrstuvwxyz", b"0123456789"
_IN_WORD = _LETTERS + _DIGITS + b"_" + bytes(range(0x80, 0x100))
_ENDS = b'.!?:;\n"()[]{}>*#-'
# Letters, digits and ends of sentences are counted together, in so many bits each.
_PLACE = 21
_COUNTED = (1 << _PLACE) - 1


def _counted(low: Bytes) -> Ints:
    """How many letters, digits and ends of sentences stand before each place, and before the end.

    In one number each; the difference of two that are less than 2 million bytes apart is right
    for each kind.
    """
    counted = np.zeros(len(low) + 1, np.int64)
    np.cumsum(_weights()[low], out=counted[1:])
    return counted


@lru_cache(maxsize=1)
def _weights() -> Ints:
    weights = np.zeros(256, np.int64)
    for place, members in enumerate((_LETTERS, _DIGITS, _ENDS)):
        weights[list(members)] += 1 << _PLACE * place
    return weights


@lru_cache(maxsize=8)
def _table(members: bytes) -> Bools:
    table = np.zeros(256, bool)
    table[list(members)] = True
    return table


@lru_cache(maxsize=1)
def _letters() -> Bytes:
    """Five bits for each byte: a letter's number, and 31 for what is none."""
    letters = np.full(256, 31, np.uint8)
    letters[list(_LETTERS)] = np.arange(1, 27)
    return letters


def _lowered(data: Bytes) -> Bytes:
    """Small letters: ASCII, Latin-1, Greek and Cyrillic, whose bytes stay as many."""
    low = data.copy()
    low[(data >= 65) & (data <= 90)] += 32
    lead = np.flatnonzero((data == 0xC3) | (data == 0xCE) | (data == 0xD0))
    lead = lead[lead + 1 < len(data)]
    first, second = data[lead], data[lead + 1]
    for byte, lowest, highest, step, other in _CAPITALS:
        chosen = lead[(first == byte) & (second >= lowest) & (second <= highest)]
        low[chosen] = other
        low[chosen + 1] = (data[chosen + 1].astype(np.int16) + step).astype(np.uint8)
    return low


# First byte, range of the second, what to add to it, and the first byte of the small letter.
_CAPITALS = (
    (0xC3, 0x80, 0x9E, 0x20, 0xC3),  # À to Þ
    (0xCE, 0x91, 0x9F, 0x20, 0xCE),  # Α to Ο
    (0xCE, 0xA0, 0xA9, -0x20, 0xCF),  # Π to Ω
    (0xD0, 0x90, 0x9F, 0x20, 0xD0),  # А to П
    (0xD0, 0xA0, 0xAF, -0x20, 0xD1),  # Р to Я
    (0xD0, 0x80, 0x8F, 0x10, 0xD1),  # Ѐ to Џ
)


def _negated(low: Bytes, starts: Ints, ends: Ints) -> tuple[Ints, Ints, Bools]:
    """Words with "n't" cut in two, and which of them are its "not"."""
    is_t = (ends - starts == 1) & (low[starts] == ord("t")) & (starts >= 2)
    is_t[0:1] = False
    at = np.flatnonzero(is_t)
    touching = (low[starts[at] - 1] == _QUOTE) & (ends[at - 1] == starts[at] - 1)
    at = at[touching & (low[ends[at - 1] - 1] == ord("n")) & (ends[at - 1] - starts[at - 1] > 1)]
    ends = ends.copy()
    ends[at - 1] -= 1
    is_not = np.zeros(len(starts), bool)
    is_not[at] = True
    return starts, ends, is_not


def _bodies(low: Bytes, letters: Ints, starts: Ints, ends: Ints) -> U64:
    """Sixty bits of each word: its letters (so many), or the first six and a hash."""
    sizes = ends - starts
    spelt = (letters == sizes) & (sizes <= LETTERS)
    codes = np.zeros(len(starts), np.uint64)
    # The words that have a letter at this place, where they start, and what is known of them.
    has, start, size, own = np.arange(len(starts)), starts, sizes, codes
    for place in range(LETTERS):
        chosen = np.flatnonzero((size > place) & (spelt[has] if place == KNOWN else True))
        has, start, size, own = has[chosen], start[chosen], size[chosen], own[chosen]
        own |= _letters()[low[start + place]].astype(np.uint64) << (BITS * np.uint64(place))
        codes[has] = own
    other = np.flatnonzero(~spelt)
    if len(other):
        hashed = hash_spans(low, starts[other], ends[other]) >> np.uint64(7)
        codes[other] |= hashed << (BITS * np.uint64(KNOWN)) | HASHED
    return codes


def _same_word(codes: U64) -> U64:
    known, same = _one_code()
    at = np.minimum(np.searchsorted(known, codes), len(known) - 1)
    found: U64 = np.where(known[at] == codes, same[at], codes)
    return found


@lru_cache(maxsize=1)
def _one_code() -> tuple[U64, U64]:
    """Codes of words, ascending, and those of what they stand for."""
    pairs = {word: str(value) for word, value in _NUMBERS.items()}
    pairs |= dict(zip(_ORDINALS, _PLACES, strict=True))
    pairs |= _SHORTENED | {"cannot": "not"}
    ones, others = (_raw(list(words)) for words in (pairs.keys(), pairs.values()))
    order = np.argsort(ones)
    return ones[order], others[order]


def _raw(words: list[str]) -> U64:
    """Codes as `_bodies` and digits alone give them."""
    data = np.frombuffer((" ".join(words) + " ").encode(), np.uint8)
    ends = np.flatnonzero(data == _SPACE)
    starts = np.concatenate([[0], ends[:-1] + 1])
    counted = _counted(data)
    codes = _bodies(data, (counted[ends] - counted[starts]) & _COUNTED, starts, ends)
    codes[_table(_DIGITS)[data[starts]]] |= NUMBER
    return codes


@lru_cache(maxsize=1)
def code_of_not() -> np.uint64:
    """The code of "not"."""
    code: np.uint64 = _raw(["not"])[0]
    return code


def _signs(low: Bytes, starts: Ints, ends: Ints, codes: U64) -> Ints:
    """Where signs stand that say something: between numbers and variables, not in prose."""
    at = np.flatnonzero(_table(b"+-*/^=<>%#$!")[low])
    at = at[(at > 0) & (at + 1 < len(low))]
    if not len(at):
        return at
    if not len(starts):  # a word of no letters before them all says nothing
        starts, ends, codes = np.zeros(1, np.int64), np.zeros(1, np.int64), np.zeros(1, np.uint64)
    sign, before, after = low[at], low[at - 1], low[at + 1]
    left = np.searchsorted(ends, at, "right") - 1
    right = np.minimum(left + 1, len(starts) - 1)
    # A number or a variable of one letter, at most a bracket and a space away.
    is_term = (codes & NUMBER != 0) | (ends - starts == 1)
    left_term = (left >= 0) & is_term[left] & (at - ends[left] <= 2)
    right_term = (left + 1 < len(starts)) & is_term[right] & (starts[right] - at <= 3)
    joined = (left >= 0) & (at == ends[left])
    digit_after, digit_before = (after >= 48) & (after <= 57), (before >= 48) & (before <= 57)
    spaced = (before == _SPACE) & (after == _SPACE)
    twice = (before == sign) | (after == sign)
    # A row of three or more is decoration.
    drawn = _runs_of(low, at) > 2
    says = np.select(
        [sign == ord(one) for one in "+*/-^=<>%#$!"],
        [
            (left_term & right_term) | (joined & left_term) | (twice & left_term),
            left_term & right_term,
            left_term & right_term,
            (left_term & right_term) | (digit_after & _table(b" \n\t(=+*/<>[")[before]),
            np.ones(len(at), bool),
            np.ones(len(at), bool),
            left_term | right_term | spaced | (after == ord("=")),
            left_term | right_term | spaced | (after == ord("=")),
            digit_before | (left_term & (before == _SPACE)),
            joined & (ends[left] - starts[left] == 1),
            digit_after,
            after == ord("="),
        ],
        default=False,
    )
    chosen: Ints = at[says & ~drawn]
    return chosen


def _runs_of(low: Bytes, at: Ints) -> Ints:
    """How many of the very same byte stand side by side at each place."""
    new = np.ones(len(at), bool)
    new[1:] = (at[1:] != at[:-1] + 1) | (low[at[1:]] != low[at[:-1]])
    group = np.cumsum(new) - 1
    counts: Ints = np.bincount(group)[group]
    return counts
