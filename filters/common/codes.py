"""Texts as codes: what is only compared needs 8 bytes a row, however long the texts are."""

from __future__ import annotations

import polars as pl

from filters.common.text import keys


def text_codes(texts: pl.Series) -> pl.Series:
    """64-bit BLAKE2b of each text (u64; see `keys`), null where it is null.

    Any row that has a code says which text it stands for.

    >>> text_codes(pl.Series(["yes", None, "yes"])).n_unique()
    2
    """
    known = texts.drop_nulls().cast(pl.String)
    different = known.unique()
    # Each text is hashed once, where that is less work than to find the hash of each again.
    if 2 * len(different) > len(known):
        empty = pl.Series(texts.name, [None], dtype=pl.UInt64).new_from_index(0, len(texts))
        return empty.scatter(texts.is_not_null().arg_true(), _hashed(known))
    codes = pl.DataFrame({"text": different, "code": _hashed(different)})
    frame = pl.DataFrame({"text": texts.cast(pl.String)})
    coded = frame.join(codes, on="text", how="left", maintain_order="left")["code"]
    return coded.alias(texts.name)


def word_codes(words: pl.Series) -> pl.Series:
    """The codes of each row's words: lists of text become lists of u64."""
    different = words.explode(empty_as_null=True).drop_nulls().unique()
    code = pl.element().replace_strict(different, _hashed(different), return_dtype=pl.UInt64)
    coded = words.to_frame("words").select(pl.col("words").list.eval(code)).to_series()
    return coded.cast(pl.List(pl.UInt64)).alias(words.name)


def _hashed(texts: pl.Series) -> pl.Series:
    return pl.Series(keys(texts, normalise=False), dtype=pl.UInt64)
