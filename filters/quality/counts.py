"""Rules that count words and characters of an answer, with the decisions of Data-Juicer.

Its `words_num_filter`, `character_repetition_filter` and `special_characters_filter` (1.6), on
whole columns. What they drop is often good: digits are special and no words, so a table or a sum
has few words and many special characters.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from filters.common.arrays import U64, Floats, Ints, ascending

COUNTS = pl.Schema(
    {"answer_words": pl.UInt32, "repetition_ratio": pl.Float64, "special_ratio": pl.Float64}
)
GRAM = 10  # characters of a run; Data-Juicer's `rep_len`

# Code points that Data-Juicer calls special: ASCII marks, digits and white space, marks of web
# pages, and emoji of one code point (as the emoji package 2.2 lists them).
_SPECIAL = """
9-d 20-40 5b-60 7b-7e 81-85 91-93 95-99 9c-9d a1-ab ad-b4 b7-bf d7 f7-f8 131 26a 2ba-2bc 2c8 2cc
2d0 2d8 2da 2dc 3c0 413 60c 647 66a 66c 6e9 93e 940 947 94d 97d 9be e51 2002-2003 2005 2008-200b
2010-2011 2013-2016 2018-201a 201c-2020 2022 2024 2026 202f-2030 2032-2033 2039-203a 203c 203f
2043-2044 2049 20a8 20aa 20ac 2103 2122 2139 2190-2199 21a9-21aa 21d3 2206 2208 2212 221a 221e-221f
223c 2248 2256 2264-2265 2295 22c5 231a-231b 2328 23cf 23e9-23f3 23f8-23fa 24c2 2550 25a0 25aa-25ac
25b2 25b4 25b6-25b7 25ba-25bc 25c0 25c6 25cf 25e6 25fb-25fe 2600-2606 260e 2611 2614-2615 2618 261b
261d 2620 2622-2623 2626 262a 262e-262f 2638-263b 2640 2642 2648-2653 265f-2661 2663 2665-2666 2668
266b 267b 267e-267f 2692-2697 2699 269b-269c 26a0-26a1 26a7 26aa-26ab 26b0-26b1 26bd-26be 26c4-26c5
26c8 26ce-26cf 26d1 26d3-26d4 26e9-26ea 26f0-26f5 26f7-26fa 26fd 2702 2705 2708-270d 270f 2712-2714
2716 271d 2721 2726 2728 2731 2733-2734 2744 2747 274c 274e 2753-2757 2763-2764 2795-2797 27a1 27a4
27a9 27b0 27bf 2800 2934-2935 2b05-2b07 2b1b-2b1c 2b50 2b55 3000-3002 300a-300d 3010-3011 3030 303d
309c 30b7 30c3-30c4 30f3 30fb-30fc 3297 3299 4e00 4e0a 58eb fd3e-fd3f feff ff01 ff08-ff09 ff0c ff0e
ff11 ff1a-ff1b ff1f ff3e ff5e fffc-fffd 1f004 1f0cf 1f170-1f171 1f17e-1f17f 1f18e 1f191-1f19a
1f201-1f202 1f21a 1f22f 1f232-1f23a 1f250-1f251 1f300-1f321 1f324-1f393 1f396-1f397 1f399-1f39b
1f39e-1f3f0 1f3f3-1f3f5 1f3f7-1f4fd 1f4ff-1f53d 1f549-1f54e 1f550-1f567 1f56f-1f570 1f573-1f57a
1f587 1f58a-1f58d 1f590 1f595-1f596 1f5a4-1f5a5 1f5a8 1f5b1-1f5b2 1f5bc 1f5c2-1f5c4 1f5d1-1f5d3
1f5dc-1f5de 1f5e1 1f5e3 1f5e8 1f5ef 1f5f3 1f5fa-1f64f 1f680-1f6c5 1f6cb-1f6d2 1f6d5-1f6d7
1f6dc-1f6e5 1f6e9 1f6eb-1f6ec 1f6f0 1f6f3-1f6fc 1f7e0-1f7eb 1f7f0 1f90c-1f93a 1f93c-1f945
1f947-1f9ff 1fa70-1fa7c 1fa80-1fa88 1fa90-1fabd 1fabf-1fac5 1face-1fadb 1fae0-1fae8 1faf0-1faf8
"""
_CLASS = "".join(
    "-".join(f"\\x{{{code}}}" for code in span.split("-")) for span in _SPECIAL.split()
)
# Words end at spaces, tabs and line feeds; what is special throughout is none. A match begins at
# the first other character of a word and takes the rest of it along.
_WORD = rf"[^{_CLASS}][^ \n\t]*"

# Texts and characters looked at together: the texts' numbers and hashes share 64 bits.
_TEXTS, _HASH_BITS = 1 << 12, np.uint64(52)
_CHARACTERS = 1 << 17
# One factor for each length: with the same for two of them, parts could change places unseen.
_ODD = np.array(
    [
        0x9E3779B97F4A7C15,
        0xC2B2AE3D27D4EB4F,
        0x165667B19E3779F9,
        0xD6E8FEB86659FD93,
        0xA0761D6478BD642F,
    ],
    np.uint64,
)


def counts(texts: pl.Series) -> pl.DataFrame:
    """`COUNTS` of each text.

    `answer_words`: words with a character that is not special; `repetition_ratio`: of its runs of
    ten characters, the share that its commonest runs make up (those that recur, at most the
    square root of the number of different ones); `special_ratio`: share of special characters.
    """
    text = texts.fill_null("").alias("text").to_frame()
    size = pl.col("text").str.len_chars()
    special = pl.col("text").str.count_matches(f"[{_CLASS}]") / size
    return text.select(
        answer_words=pl.col("text").str.count_matches(_WORD),
        repetition_ratio=pl.Series(_repetition(text["text"]), dtype=pl.Float64),
        special_ratio=pl.when(size > 0).then(special).otherwise(0.0),
    ).cast(dict(COUNTS.items()))


def fired(
    min_words: int, max_words: int | None, max_repetition: float, max_special: float
) -> dict[str, pl.Expr]:
    """For each reason whether it fires, as an expression over `COUNTS`."""
    words, again, special = (pl.col(name) for name in COUNTS)
    many = words > max_words if max_words is not None else pl.lit(False)
    return {
        "word_count": (words < min_words) | many,
        "character_repetition": again > max_repetition,
        "special_characters": special > max_special,
    }


def shown() -> dict[str, pl.Expr]:
    """For each reason what was counted, as text over `COUNTS`."""
    words, again, special = (pl.col(name) for name in COUNTS)
    return {
        "word_count": pl.format("{} words", words),
        "character_repetition": pl.format("{} of the runs of ten characters recur", again.round(2)),
        "special_characters": pl.format("{} of the characters are special", special.round(2)),
    }


def _repetition(texts: pl.Series) -> Floats:
    """Per text: of its runs of ten characters, the share of the commonest that recur."""
    sizes = texts.str.len_chars().to_numpy().astype(np.int64)
    found = np.zeros(len(texts))
    ends = np.cumsum(sizes)
    start = 0
    while start < len(texts):
        # As many texts as fit; one at least, however long.
        upto = np.searchsorted(ends, ends[start] - sizes[start] + _CHARACTERS, side="right")
        stop = min(max(int(upto), start + 1), start + _TEXTS, len(texts))
        found[start:stop] = _of_part(texts[start:stop], sizes[start:stop])
        start = stop
    return found


def _of_part(texts: pl.Series, sizes: Ints) -> Floats:
    joined = "".join(texts.to_list()).encode("utf-32-le", "surrogatepass")
    letters = np.frombuffer(joined, np.uint32).astype(np.uint64)
    totals = np.maximum(sizes - GRAM + 1, 0)
    found = np.zeros(len(texts))
    if not totals.any():
        return found
    grams = _hashes(letters)
    of_text = np.repeat(np.arange(len(texts), dtype=np.uint64), sizes)[: len(grams)]
    inside = of_text == np.repeat(np.arange(len(texts), dtype=np.uint64), sizes)[GRAM - 1 :]
    keys = ascending(of_text[inside] << _HASH_BITS | grams[inside] >> (np.uint64(64) - _HASH_BITS))
    # Where a value stands more than once, how often, and in which text.
    first = np.flatnonzero(np.r_[True, keys[1:] != keys[:-1]])
    times = np.diff(np.r_[first, len(keys)])
    owner = (keys[first] >> _HASH_BITS).astype(np.int64)
    different = np.bincount(owner, minlength=len(texts))
    owner, times = owner[times > 1], times[times > 1]
    order = np.lexsort((-times, owner))
    owner, times = owner[order], times[order]
    begins = np.searchsorted(owner, np.arange(len(texts)))
    rank = np.arange(len(owner)) - begins[owner]
    counted = rank < np.sqrt(different).astype(np.int64)[owner]
    commonest = np.bincount(owner[counted], times[counted], minlength=len(texts))
    np.divide(commonest, totals, out=found, where=totals > 0)
    return found


def _hashes(letters: U64) -> U64:
    """A hash of every run of ten code points, built from runs of one, two, four and eight."""
    one = (letters + np.uint64(1)) * _ODD[0]
    two = one[:-1] * _ODD[1] + one[1:]
    four = two[:-2] * _ODD[2] + two[2:]
    eight = four[:-4] * _ODD[3] + four[4:]
    ten = eight[:-2] * _ODD[4] + two[8:]
    ten ^= ten >> np.uint64(29)
    mixed: U64 = ten * _ODD[0]
    return mixed
