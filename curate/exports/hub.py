"""A folder for the hub: Parquet, and a dataset card that says where the rows come from."""

from __future__ import annotations

import polars as pl

from curate.exports import conversations as talk
from curate.exports.card_of_rows import card_of_rows
from curate.exports.card_of_tokens import card_of_tokens
from curate.exports.fields import meta_fields
from curate.exports.names import file_names, without_folders
from curate.exports.parquet import shard_names
from curate.exports.target import Export, RunRows, TokenRows
from curate.exports.tokens import with_mask

CARD = "README.md"


def of_rows(rows: RunRows, model: str | None) -> Export:
    """All kept rows: messages as OpenAI's objects, tools as JSON text, short names of files.

    `meta` holds other people's fields, so it is not published; the card counts them.
    """
    fine, left_out = talk.split(talk.prepared(rows.kept), (talk.BAD_JSON,))
    sources = fine["source"].to_list()
    names = file_names([file["source"] for file in rows.run.manifest["sources"]])
    names |= file_names(list(set(sources) - set(names)))
    short = [names[source] for source in sources]
    data = fine.select("id", talk.message_structs(fine).alias("messages"))
    optional = {
        "tools": fine["tools"],
        "rejected": talk.message_structs(fine, "rejected"),
        "category": fine["category"],
        "score": fine["score"],
    }
    filled = [column.alias(name) for name, column in optional.items() if _is_filled(column)]
    data = data.with_columns(*filled, pl.Series("source", short, dtype=pl.String), fine["line"])
    if fine["scores"].list.len().sum():
        data = data.with_columns(fine["scores"])
    fields = meta_fields(fine["meta"])
    notes = ["the card holds the recipe and the names of files: read it before you publish"]
    recipe = str(rows.run.manifest["recipe"]["text"])
    if without_folders(recipe) != recipe:
        notes.append("the recipe in the card names folders of this machine")
    return Export(
        data=data,
        texts={CARD: card_of_rows(rows, fine, data, fields, left_out, shard_names(data))},
        left_out=left_out,
        notes=tuple(notes),
    )


def _is_filled(column: pl.Series) -> bool:
    return column.null_count() < len(column)


def of_tokens(tokens: TokenRows, model: str | None) -> Export:
    """Token ids, labels and mask; of pairs those of the rejected answer too."""
    pairs = [name for name in tokens.examples.columns if name.startswith("rejected_")]
    data = with_mask(tokens.examples.select("input_ids", "labels", *pairs))
    return Export(data=data, texts={CARD: card_of_tokens(tokens, data, shard_names(data))})
