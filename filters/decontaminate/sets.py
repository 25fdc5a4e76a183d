"""Evaluation files as items to look for, and which records match them."""

from __future__ import annotations

import hashlib
import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import polars as pl

from curate.base.errors import CurateError
from filters.common.arrays import F32
from filters.common.text import Field, bare, block, plain, view
from filters.common.vectors import position_of
from filters.decontaminate.align import LONG
from filters.decontaminate.grams import word_counts
from filters.decontaminate.index import Index
from filters.decontaminate.probes import Probe, is_generic

# Characters of a text that evidence shows.
QUOTED = 160

OVERLAP = pl.Struct(
    {
        "item": pl.UInt32,
        "kind": pl.UInt8,
        "share": pl.Float64,
        "first": pl.UInt32,
        "run": pl.UInt32,
        "changes": pl.UInt32,
        "beside": pl.UInt8,
    }
)
# Reasons by the code that is measured; nearest first, and vectors last.
KINDS = (
    "evaluation_overlap",
    "evaluation_prompt",
    "evaluation_edited",
    "evaluation_question",
    "evaluation_rephrased",
)
EDITED, QUESTION, REPHRASED = 2, 3, 4


@dataclass(frozen=True, repr=False)
class Evaluations:
    """Rows of evaluation files, and the different texts (items) that are looked for.

    `rows` has `name` of its file, `source`, `line`, `text` (its start) for each evaluation row;
    `asked` pairs each `row` with an `item`. `short` items have too few words for the index and
    must be equal. Those `behind` a passage count only with the question that is given here.
    `probes` are short questions with what may stand beside them; their numbers as items follow
    those of the texts. `texts` is what an encoder compares, one for each row.
    """

    rows: pl.DataFrame
    asked: pl.DataFrame
    index: Index
    short: pl.DataFrame
    behind: Mapping[int, str]
    probes: tuple[Probe, ...]
    texts: pl.Series

    @cached_property
    def known(self) -> frozenset[str]:
        """Words of the evaluation files, which are no misspelling of another."""
        pieces = [text for probe in self.probes for text in probe.pieces]
        texts = pl.concat([self.index.items, pl.Series(pieces, dtype=pl.String)])
        return frozenset(block(texts, words_only=True).data.tobytes().decode().split())

    def __repr__(self) -> str:
        """A digest of all that a measure depends on."""
        digest = hashlib.blake2b(digest_size=8)
        for text in self.index.items.to_list():
            digest.update(text.encode() + b"\x00")
        digest.update(repr(self.short["item"].to_list()).encode())
        digest.update(repr((sorted(self.behind.items()), self.probes)).encode())
        return f"Evaluations({digest.hexdigest()})"

    def matches(
        self, measures: pl.DataFrame, theirs: F32 | None = None, cosine: float = 1.0
    ) -> pl.DataFrame:
        """Every match: `at` (position of the record), `evaluation` (row), `kind`, `score`,
        `item`, `first`, `run`, `changes`, `beside`, how it was found (`how`), and all that `rows`
        says of the evaluation row; sorted by record, best first."""
        matches = (
            measures.select(at=pl.int_range(pl.len(), dtype=pl.Int64), overlap="overlaps")
            .explode("overlap", empty_as_null=False)
            .unnest("overlap")
            .join(self.asked, on="item")
            .select(
                "at",
                pl.col("row").alias("evaluation"),
                pl.col("kind").cast(pl.Int8),
                pl.col("share").alias("score"),
                *("item", "first", "run", "changes", "beside"),
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
    return pl.concat(parts).with_columns(kind=pl.lit(REPHRASED, pl.Int8))


def load(
    files: Sequence[tuple[str, pl.DataFrame]],
    field: Field,
    size: int,
    floor: float,
    *,
    skip_common: bool,
    edited: bool,
) -> Evaluations:
    """Items of evaluation files. Raises `CurateError` for one in which nothing can be found.

    With `edited` copies with changes are looked for too, and short questions with what stands
    beside them.
    """
    names = _names([path for path, _ in files])
    rows, asked, probes = [], [], []
    count = 0
    for (path, given), name in zip(files, names, strict=True):
        records = given.with_columns(
            prompt=plain(given["prompt"]), response=plain(given["response"])
        )
        texts = _texts(records, field, size)
        _check_texts(path, texts, field, size, records.height)
        shown = view(records, "prompt")
        shown = shown.zip_with(shown != "", records["response"]).str.slice(0, QUOTED)
        rows.append(records.select("source", "line", name=pl.lit(name), text=shown))
        asked.append(texts.with_columns(pl.col("row") + count))
        if edited and field != "response":
            probes += [(row + count, probe) for row, probe in _probes(records)]
        count += records.height
    wanted = pl.concat(asked).with_columns(text=plain(pl.concat(asked)["text"]))
    items = wanted["text"].unique(maintain_order=True)
    wanted = wanted.with_columns(item=pl.Series(position_of(wanted["text"], items)).cast(pl.UInt32))
    numbered = pl.DataFrame(
        {"row": [row for row, _ in probes], "item": range(len(items), len(items) + len(probes))},
        schema={"row": pl.UInt32, "item": pl.UInt32},
    )
    short_of = tuple(probe for _, probe in probes)
    questions = pl.Series([probe.question for probe in short_of], dtype=pl.String)
    index = Index(items, size, floor, skip_common, edited, questions)
    generic = [row for row, probe in probes if probe.choices and is_generic(probe.question)]
    prompts = wanted.filter(pl.col("is_prompt") & ~pl.col("row").is_in(generic))
    return Evaluations(
        pl.concat(rows),
        pl.concat([wanted.select("row", "item").unique(maintain_order=True), numbered]),
        index,
        _short_items(index, prompts["item"].unique()),
        _behind(wanted),
        short_of,
        pl.concat([view(records, field) for _, records in files]),
    )


def _behind(wanted: pl.DataFrame) -> dict[int, str]:
    """The question of each item that is one behind its passage."""
    asked = wanted.filter(pl.col("question").is_not_null())
    alone = wanted.filter(pl.col("question").is_null())["item"].unique()
    asked = asked.filter(~pl.col("item").is_in(alone.implode()))
    return dict(asked.select("item", "question").unique("item", maintain_order=True).iter_rows())


def _probes(records: pl.DataFrame) -> list[tuple[int, Probe]]:
    """Questions of few words with the number of their row, and what may stand beside them."""
    lists = pl.List(pl.String)
    extra = {"context": pl.lit(""), "choices": pl.lit([], lists)}
    columns = [
        pl.col(name) if name in records.columns else empty.alias(name)
        for name, empty in extra.items()
    ]
    numbered = records.with_columns(row=pl.int_range(pl.len(), dtype=pl.UInt32))
    answers = _answers(numbered, 0).group_by("row", maintain_order=True).agg(answers="text")
    asked = (
        records.select(
            *columns,
            row=pl.int_range(pl.len(), dtype=pl.UInt32),
            text=plain(view(records, "prompt")),
        )
        .filter(pl.Series(word_counts(view(records, "prompt"))).is_between(1, LONG - 1))
        .join(answers, on="row", how="left", maintain_order="left")
    )
    # A loop over the questions of few words: each has answers and choices of its own.
    rows = asked.select("row", "text", "answers", "choices", "context").iter_rows()
    return [
        (row, Probe(text, _plain(answers), _plain(choices), html.unescape(context)))
        for row, text, answers, choices, context in rows
        if answers or choices or context.strip()
    ]


def _plain(texts: Sequence[str] | None) -> tuple[str, ...]:
    return tuple(html.unescape(text) for text in texts or ())


def _texts(records: pl.DataFrame, field: Field, size: int) -> pl.DataFrame:
    """What is looked for of each `row`: `text`, and whether it `is_prompt` or an answer."""
    sides = {"prompt": [_prompts], "response": [_answers], "both": [_prompts, _answers]}[field]
    numbered = records.with_columns(row=pl.int_range(pl.len(), dtype=pl.UInt32))
    parts = [pl.DataFrame(schema={"question": pl.String})] + [
        side(numbered, size).with_columns(is_prompt=pl.lit(side is _prompts)) for side in sides
    ]
    return pl.concat(parts, how="diagonal").filter(pl.col("text").str.strip_chars() != "")


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
    behind its passage, and a short one in both ways. Then `question` is what must be there beside
    the passage.
    """
    nothing = pl.lit(None, pl.String)
    prompts = records.select("row", text=view(records, "prompt"), question=nothing)
    parts = [prompts, _first_turns(records, size)]
    if "other_prompts" in records.columns:
        others = records.select("row", text="other_prompts").explode("text").drop_nulls()
        parts = [*parts, others]
    if "context" in records.columns:
        parts[0] = _with_passages(prompts.with_columns(records["context"]), size)
    return pl.concat(parts, how="diagonal")


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
    behind = behind.with_columns(
        text=pl.concat_str("context", "text", separator="\n\n"), question="text"
    )
    return pl.concat([alone, behind]).select("row", "text", "question")


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
    return pl.DataFrame({"text": normal(index.items.gather(short)), "item": short})


def _names(paths: Sequence[str]) -> list[str]:
    """File names, or paths where two files have the same name."""
    names = [Path(path).name or path for path in paths]
    return [
        name if names.count(name) == 1 else path for name, path in zip(names, paths, strict=True)
    ]


def normal(texts: pl.Series) -> pl.Series:
    """The text itself in normal form: case, white space, Unicode forms, marks at the ends."""
    # Only short texts come here: a loop over them.
    normal = [row.decode() for row in block(bare(texts), words_only=False).rows()]
    return bare(pl.Series(normal, dtype=pl.String).str.strip_chars())
