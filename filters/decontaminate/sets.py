"""Evaluation files as items to look for, and which records match them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from curate.base.errors import CurateError
from filters.common.arrays import F32
from filters.common.text import Field, bare, block, view
from filters.common.vectors import position_of
from filters.decontaminate.grams import ranges, word_counts
from filters.decontaminate.index import Index

# Characters of a text that evidence shows.
QUOTED = 160

OVERLAP = pl.Struct({"item": pl.UInt32, "share": pl.Float64, "first": pl.UInt32, "run": pl.UInt32})
KINDS = ("evaluation_overlap", "evaluation_prompt", "evaluation_rephrased")


@dataclass(frozen=True, repr=False)
class Evaluations:
    """Rows of evaluation files, and the different texts (items) that are looked for.

    `rows` has `name` of its file, `source`, `line`, `text` (its start) for each evaluation row;
    `asked` pairs each `row` with an `item`. `short` items have too few words for the index and
    must be equal. `texts` is what an encoder compares, one for each row.
    """

    rows: pl.DataFrame
    asked: pl.DataFrame
    index: Index
    short: pl.DataFrame
    texts: pl.Series

    def __repr__(self) -> str:
        """A digest of all that a measure depends on."""
        digest = hashlib.blake2b(digest_size=8)
        for text in self.index.items.to_list():
            digest.update(text.encode() + b"\x00")
        digest.update(repr(self.short["item"].to_list()).encode())
        return f"Evaluations({digest.hexdigest()})"

    def matches(
        self, measures: pl.DataFrame, theirs: F32 | None = None, cosine: float = 1.0
    ) -> pl.DataFrame:
        """Every match: `at` (position of the record), `evaluation` (row), `kind`, `score`,
        `item`, `first`, `run`, how it was found (`how`), and all that `rows` says of the
        evaluation row; sorted by record, best first."""
        matches = (
            measures.select(at=pl.int_range(pl.len(), dtype=pl.Int64), overlap="overlaps")
            .explode("overlap", empty_as_null=False)
            .unnest("overlap")
            .join(self.asked, on="item")
            .select(
                "at",
                pl.col("row").alias("evaluation"),
                (pl.col("run") == 0).cast(pl.Int8).alias("kind"),
                pl.col("share").alias("score"),
                "item",
                "first",
                "run",
            )
        )
        if theirs is not None:
            matches = pl.concat([matches, _close(measures, theirs, cosine)], how="diagonal")
        how = pl.col("kind").replace_strict(dict(enumerate(KINDS)), return_dtype=pl.String)
        return (
            matches.sort("at", "kind", pl.col("score") * -1, "evaluation", "item")
            .join(self.rows.with_row_index("evaluation"), on="evaluation", maintain_order="left")
            .with_columns(how=how)
        )


def _close(measures: pl.DataFrame, theirs: F32, cosine: float) -> pl.DataFrame:
    """Records and evaluation rows whose vectors are this close."""
    ours = measures["vector"].to_numpy()
    empty = {"at": pl.Int64, "evaluation": pl.UInt32, "score": pl.Float64}
    parts = [pl.DataFrame(schema=empty)]
    for start in range(0, len(ours), 2048):
        alike = ours[start : start + 2048] @ theirs.T
        at, row = np.nonzero(alike >= cosine)
        columns = {"at": at + start, "evaluation": row, "score": alike[at, row]}
        parts.append(pl.DataFrame(columns, schema_overrides=empty))
    return pl.concat(parts).with_columns(kind=pl.lit(2, pl.Int8))


def load(
    files: Sequence[tuple[str, pl.DataFrame]],
    field: Field,
    size: int,
    floor: float,
    *,
    skip_common: bool,
) -> Evaluations:
    """Items of evaluation files. Raises `CurateError` for one in which nothing can be found."""
    names = _names([path for path, _ in files])
    rows, asked = [], []
    count = 0
    for (path, records), name in zip(files, names, strict=True):
        texts = _texts(records, field, size)
        _check_texts(path, texts, field, size, records.height)
        shown = view(records, "prompt")
        shown = shown.zip_with(shown != "", records["response"]).str.slice(0, QUOTED)
        rows.append(records.select("source", "line", name=pl.lit(name), text=shown))
        asked.append(texts.with_columns(pl.col("row") + count))
        count += records.height
    wanted = pl.concat(asked)
    items = wanted["text"].unique(maintain_order=True)
    wanted = wanted.with_columns(item=pl.Series(position_of(wanted["text"], items)).cast(pl.UInt32))
    index = Index(items, size, floor, skip_common)
    return Evaluations(
        pl.concat(rows),
        wanted.select("row", "item").unique(maintain_order=True),
        index,
        _short_items(index, wanted.filter("is_prompt")["item"].unique()),
        pl.concat([view(records, field) for _, records in files]),
    )


def _texts(records: pl.DataFrame, field: Field, size: int) -> pl.DataFrame:
    """What is looked for of each `row`: `text`, and whether it `is_prompt` or an answer."""
    sides = {"prompt": [_prompts], "response": [_answers], "both": [_prompts, _answers]}[field]
    numbered = records.with_columns(row=pl.int_range(pl.len(), dtype=pl.UInt32))
    parts = [
        side(numbered, size).with_columns(is_prompt=pl.lit(side is _prompts)) for side in sides
    ]
    return pl.concat(parts).filter(pl.col("text").str.strip_chars() != "")


def _check_texts(path: str, texts: pl.DataFrame, field: Field, size: int, height: int) -> None:
    if texts.is_empty():
        raise CurateError(
            f"decontaminate: {path} has no {field} text in its {height:,} rows, so nothing could "
            "be found; set field to the side that has text"
        )
    if field == "response" and not (word_counts(texts["text"]) >= size).any():
        raise CurateError(
            f"decontaminate: every answer of {path} has under {size} words, which proves nothing, "
            "so nothing could be found; set field to prompt"
        )


def _prompts(records: pl.DataFrame, size: int) -> pl.DataFrame:
    """The prompts of each `row` as `text`: all turns of the user, and what says the same.

    Of several turns the first is looked for by itself too, for a set of single turns may hold
    only that; the others mean little without it. `other_prompts` are looked for as well. A
    question about a passage is looked for alone; one that is asked of several passages only
    behind its passage, and a short one in both ways.
    """
    prompts = records.select("row", text=view(records, "prompt"))
    parts = [prompts, _first_turns(records, size)]
    if "other_prompts" in records.columns:
        others = records.select("row", text="other_prompts").explode("text").drop_nulls()
        parts = [*parts, others]
    if "context" in records.columns:
        parts[0] = _with_passages(prompts.with_columns(records["context"]), size)
    return pl.concat(parts)


def _first_turns(records: pl.DataFrame, size: int) -> pl.DataFrame:
    """What the user says first where more follows, if it has words enough to be looked for."""
    part = pl.element().struct
    turns = pl.element().filter(part.field("role") == "user").struct.field("content")
    first = (
        records.select("row", turns=pl.col("messages").list.eval(turns))
        .filter(pl.col("turns").list.len() > 1)
        .select("row", text=pl.col("turns").list.first().fill_null(""))
    )
    return first.filter(word_counts(first["text"]) >= size)


def _with_passages(prompts: pl.DataFrame, size: int) -> pl.DataFrame:
    """Questions (`row`, `text`, `context`), alone or behind their passage."""
    is_common = pl.col("context").n_unique().over("text") > 1
    is_short = pl.Series(word_counts(prompts["text"]) < size)
    has_passage = pl.col("context").str.strip_chars() != ""
    alone = prompts.filter(~(has_passage & is_common))
    behind = prompts.filter(has_passage & (is_common | is_short))
    behind = behind.with_columns(text=pl.concat_str("context", "text", separator="\n\n"))
    return pl.concat([alone, behind]).select("row", "text")


def _answers(records: pl.DataFrame, size: int) -> pl.DataFrame:
    """Each answer of each `row` as `text`, for any of them may have been learnt."""
    part = pl.element().struct
    answers = pl.element().filter(part.field("role") == "assistant").struct.field("content")
    return (
        records.select("row", text=pl.col("messages").list.eval(answers))
        .explode("text")
        .drop_nulls()
    )


def _short_items(index: Index, prompts: pl.Series) -> pl.DataFrame:
    """The prompts among the items that have fewer words than a run: `text` in normal form."""
    number = pl.int_range(len(index.items), dtype=pl.UInt32, eager=True)
    short = number.filter(pl.Series(index.words < index.size) & number.is_in(prompts.implode()))
    return pl.DataFrame({"text": _normal(index.items.gather(short)), "item": short})


def _names(paths: Sequence[str]) -> list[str]:
    """File names, or paths where two files have the same name."""
    names = [Path(path).name or path for path in paths]
    return [
        name if names.count(name) == 1 else path for name, path in zip(names, paths, strict=True)
    ]


def _normal(texts: pl.Series) -> pl.Series:
    """The text itself in normal form: case, white space, Unicode forms, marks at the ends."""
    # Only short texts come here: a loop over them.
    normal = [row.decode() for row in block(bare(texts), words_only=False).rows()]
    return bare(pl.Series(normal, dtype=pl.String).str.strip_chars())


def match(evaluations: Evaluations, records: pl.DataFrame, field: Field) -> pl.Series:
    """For each record its overlaps with items, named `overlaps`, lists of `OVERLAP`."""
    texts = records["response"] if field == "response" else view(records, field)
    different = texts.unique(maintain_order=True)
    overlaps = evaluations.index.find(different)
    position = position_of(texts, different)
    low = np.searchsorted(overlaps.text, position, "left")
    row, at = ranges(low, np.searchsorted(overlaps.text, position, "right"))
    fields = OVERLAP.to_schema()
    columns = {"row": row} | {name: getattr(overlaps, name)[at] for name in fields}
    frame = pl.DataFrame(columns, schema={"row": pl.UInt32, **fields})
    if field != "response" and evaluations.short.height:
        frame = pl.concat([frame, _equal(evaluations.short, records)])
    grouped = (
        frame.sort("row", "item")
        .group_by("row", maintain_order=True)
        .agg(overlaps=pl.struct(*fields))
    )
    rows = pl.int_range(records.height, dtype=pl.UInt32, eager=True).alias("row").to_frame()
    joined = rows.join(grouped, on="row", how="left", maintain_order="left")["overlaps"]
    return joined.cast(pl.List(OVERLAP)).fill_null([])


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
        {"row": messages["row"].unique(maintain_order=True), "text": view(records, "prompt")}
    )
    near = (
        pl.concat([messages, prompts]).drop_nulls().with_columns(pl.col("text").str.strip_chars())
    )
    near = near.filter(pl.col("text").str.len_chars().is_between(1, longest))
    near = near.with_columns(text=_normal(near["text"])).unique(maintain_order=True)
    zero = pl.lit(0, pl.UInt32)
    return near.join(short, on="text").select("row", "item", share=1.0, first=zero, run=zero)
