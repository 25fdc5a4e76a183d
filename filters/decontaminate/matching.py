"""Which items each record matches: by shared runs, as a copy with changes, by what is beside."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import polars as pl

from filters.common.arrays import Ints
from filters.common.text import Field, plain, view
from filters.common.vectors import position_of
from filters.decontaminate.align import item_of, place
from filters.decontaminate.grams import ranges
from filters.decontaminate.index import Copies, Overlaps
from filters.decontaminate.probes import found_beside, question_place
from filters.decontaminate.sets import EDITED, OVERLAP, QUESTION, Evaluations, normal
from filters.decontaminate.tokens import Tokens, tokens

_FIELDS = OVERLAP.to_schema()
_PAIR = {"row": pl.UInt32, "item": pl.UInt32}
_ROWS = {"row": pl.UInt32, **_FIELDS}


def match(evaluations: Evaluations, records: pl.DataFrame, field: Field) -> pl.Series:
    """For each record its overlaps with items, named `overlaps`, lists of `OVERLAP`."""
    texts = plain(records["response"] if field == "response" else view(records, field))
    different = texts.unique(maintain_order=True)
    overlaps, copies, asked = evaluations.index.find(different)
    position = position_of(texts, different)
    by_text = [_by_rule(evaluations, different, overlaps)]
    by_text.append(_edited(evaluations, different, overlaps, copies))
    frames = [_for_rows(pl.concat(by_text).sort("row", "item"), position)]
    if field != "response" and evaluations.short.height:
        frames.append(_equal(evaluations.short, records))
    frames.append(_questions(evaluations, records, texts, asked, position))
    grouped = (
        pl.concat(frames, how="diagonal")
        .fill_null(0)
        .sort("row", "item", "kind")
        .group_by("row", maintain_order=True)
        .agg(overlaps=pl.struct(*_FIELDS))
    )
    rows = pl.int_range(records.height, dtype=pl.UInt32, eager=True).alias("row").to_frame()
    joined = rows.join(grouped, on="row", how="left", maintain_order="left")["overlaps"]
    return joined.cast(pl.List(OVERLAP)).fill_null([])


def _for_rows(by_text: pl.DataFrame, position: Ints) -> pl.DataFrame:
    """What was found in texts, for each record that has the text at its `position`."""
    text = by_text["row"].to_numpy()
    low = np.searchsorted(text, position, "left")
    row, at = ranges(low, np.searchsorted(text, position, "right"))
    return by_text[at].with_columns(row=pl.Series(row, dtype=pl.UInt32))


def _by_rule(evaluations: Evaluations, texts: pl.Series, overlaps: Overlaps) -> pl.DataFrame:
    """Overlaps by shared runs; of a question behind its passage only where the question is."""
    columns = dict(zip(("row", "item", "share", "first", "run"), overlaps, strict=True))
    frame = pl.DataFrame(columns, schema_overrides=_FIELDS | {"row": pl.UInt32})
    frame = frame.with_columns(
        kind=pl.lit(0, pl.UInt8), changes=pl.lit(0, pl.UInt32), beside=pl.lit(0, pl.UInt8)
    ).select(*_ROWS)
    if not evaluations.behind:
        return frame
    behind = pl.Series(list(evaluations.behind), dtype=pl.UInt32)
    doubtful = frame["item"].is_in(behind.implode())
    asked = pl.Series(
        [
            question_place(item_of(evaluations.behind[item]), text, evaluations.known) is not None
            for text, item in _with_tokens(texts, frame.filter(doubtful).select("row", "item"))
        ],
        dtype=pl.Boolean,
    )
    return pl.concat([frame.filter(~doubtful), frame.filter(doubtful).filter(asked)])


def _with_tokens(texts: pl.Series, pairs: pl.DataFrame) -> Iterator[tuple[Tokens, int]]:
    """The words of a text, and the item, for each pair; a text that comes again is cut once."""
    # A loop over the few pairs that may be copies.
    last, words = -1, tokens("")
    for text, item in pairs.iter_rows():
        if text != last:
            last, words = text, tokens(texts[text])
        yield words, item


def _edited(
    evaluations: Evaluations, texts: pl.Series, overlaps: Overlaps, copies: Copies
) -> pl.DataFrame:
    """Copies with changes of items that no shared runs have found."""
    pairs = pl.DataFrame({"row": copies.text, "item": copies.item}, schema_overrides=_PAIR)
    by_rule = pl.DataFrame({"row": overlaps.text, "item": overlaps.item}, schema_overrides=_PAIR)
    pairs = pairs.join(by_rule, on=["row", "item"], how="anti", maintain_order="left")
    found = []
    for (text, item), pair in zip(_with_tokens(texts, pairs), pairs.iter_rows(), strict=True):
        wanted = item_of(evaluations.index.items[item])
        at = place(wanted, text, evaluations.known)
        if at is not None:
            share = 1 - at.changes / len(wanted.words.words)
            found.append((*pair, EDITED, share, 0, 0, at.changes, 0))
    return pl.DataFrame(found, schema=_ROWS, orient="row")


def _questions(
    evaluations: Evaluations,
    records: pl.DataFrame,
    texts: pl.Series,
    asked: Copies,
    position: Ints,
) -> pl.DataFrame:
    """Records that hold a short question with its answer, its choices or its passage."""
    pairs = pl.DataFrame({"row": asked.text, "item": asked.item}, schema_overrides=_PAIR)
    if not pairs.height:
        return pl.DataFrame(schema=_ROWS)
    first = len(evaluations.index.items)
    pairs = _for_rows(pairs, position)
    spoken = plain(view(records, "both"))
    known: dict[tuple[str, str, int], tuple[int, int] | None] = {}
    found = []
    last, prompt = -1, tokens("")
    for row, item in pairs.iter_rows():
        key = texts[row], spoken[row], item
        if key not in known:
            if row != last:
                last, prompt = row, tokens(key[0])
            probe = evaluations.probes[item]
            asked_at = place(item_of(probe.question), prompt, evaluations.known)
            # What is said beside the prompt is cut into words only where the question is there.
            known[key] = asked_at and found_beside(probe, tokens(key[1]), evaluations.known)
        beside = known[key]
        if beside is not None:
            found.append((row, first + item, QUESTION, 1.0, 0, 0, beside[1], beside[0]))
    return pl.DataFrame(found, schema=_ROWS, orient="row")


def _equal(short: pl.DataFrame, records: pl.DataFrame) -> pl.DataFrame:
    """Records whose prompt, or one of whose user messages, is a short item."""
    longest = 4 * int(short["text"].str.len_chars().max() or 0) + 64  # type: ignore[arg-type]
    messages = records.select(
        row=pl.int_range(pl.len(), dtype=pl.UInt32),
        text=pl.col("messages").list.eval(
            pl.element().filter(pl.element().struct.field("role") == "user").struct.field("content")
        ),
    ).explode("text")
    prompts = pl.DataFrame(
        # Not the rows of messages: a record without any of a user's has none there.
        {
            "row": pl.int_range(records.height, dtype=pl.UInt32, eager=True),
            "text": view(records, "prompt"),
        }
    )
    near = (
        pl.concat([messages, prompts]).drop_nulls().with_columns(pl.col("text").str.strip_chars())
    )
    near = near.filter(pl.col("text").str.len_chars().is_between(1, longest))
    near = near.with_columns(text=normal(near["text"])).unique(maintain_order=True)
    return near.join(short, on="text").select("row", "item", kind=pl.lit(1, pl.UInt8), share=1.0)
