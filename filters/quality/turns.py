"""Conversations as two long frames, one line per message: what is asked and what is answered."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import polars as pl

# Code is neither prose nor leaked markup: fenced blocks (also ones left open) and inline spans.
CODE = r"(?s)```.*?(?:```|\z)|~~~.*?(?:~~~|\z)|`[^`\n]+`"

# What a reader would call empty: spaces, zero-width characters, a lone byte order mark.
BLANK = r"^[\s\x{200B}-\x{200D}\x{2060}\x{FEFF}]*$"

# Evidence is a span to look at, not a copy of the row.
EVIDENCE_CHARACTERS = 80

EVIDENCE = pl.Schema({"index": pl.UInt32, "evidence": pl.String})

T = TypeVar("T")


@dataclass(frozen=True)
class Turns:
    """All messages of some records by side; `index` is the position of the record in the frame.

    Both frames have the columns `index`, `text` (the content) and `plain` (without code).
    """

    height: int
    prompts: pl.DataFrame  # system and user messages
    responses: pl.DataFrame  # assistant messages that will be trained on
    messages: pl.DataFrame  # every message: index, place, role, text, called, last, previous

    @cached_property
    def asked(self) -> pl.DataFrame:
        """The user messages among the prompts."""
        return self.prompts.filter(pl.col("role") == "user")

    @cached_property
    def first_asked(self) -> pl.DataFrame:
        """The first user message of each record that has one."""
        return self.asked.unique("index", keep="first", maintain_order=True)

    @cached_property
    def pairs(self) -> pl.DataFrame:
        """`index`, `asked`, `text`: user messages and the answers to them that are prose.

        Without conversations that have tools, and without answers with fenced code.
        """
        return (
            self.messages.lazy()
            .with_columns(asked=pl.col("text").shift(1))
            .filter(
                pl.col("role") == "assistant",
                pl.col("previous") == "user",
                ~pl.col("called"),
                ~pl.col("declared"),
                pl.col("weight") != 0,
                ~pl.col("text").str.contains("```", literal=True),
            )
            .select("index", "asked", "text")
            .collect()
        )

    def once(self, work: Callable[[Turns], T]) -> T:
        """What `work` makes of these messages, worked out once for all rules that share it."""
        if work not in self._shared:
            self._shared[work] = work(self)
        result: T = self._shared[work]
        return result

    @cached_property
    def _shared(self) -> dict[Callable[[Turns], Any], Any]:
        return {}

    def side(self, name: str) -> pl.DataFrame:
        """`prompts` or `responses` by name, or both in the order of the conversation."""
        if name == "prompt":
            return self.prompts
        if name == "response":
            return self.responses
        return pl.concat([self.prompts, self.responses]).sort("index", maintain_order=True)

    def of_records(self, indices: pl.Series) -> Turns:
        """The messages of these records alone; `index` and `height` stay."""
        these = pl.col("index").is_in(indices.implode())
        frames = (self.prompts, self.responses, self.messages)
        return Turns(self.height, *(frame.filter(these) for frame in frames))

    def prompts_of(self, indices: pl.Series) -> pl.DataFrame:
        """The prompts of these records: what is costly to look for is then looked for in few."""
        return self.prompts.filter(pl.col("index").is_in(indices.unique().implode()))

    def before(self, these: pl.DataFrame) -> pl.Series:
        """What the user says right before each of these messages; "" where somebody else does."""
        asked = pl.when(pl.col("previous") == "user").then(pl.col("text").shift(1)).fill_null("")
        messages = self.messages.select("place", asked=asked)
        places = these.select("place")
        joined = places.join(messages, on="place", how="left", maintain_order="left")
        return joined.get_column("asked")

    def column(self, found: pl.DataFrame, value: str) -> pl.Series:
        """Values of some records, one line each in `found`, as a column; null for the others."""
        empty = pl.Series(value, dtype=found.schema[value]).clear(self.height)
        return empty.scatter(found["index"], found[value])


def turns_of(records: pl.DataFrame) -> Turns:
    """Take the messages of `records` apart.

    Assistant messages of weight 0 are context, not targets, so they count for neither side.
    """
    field = pl.col("messages").struct.field
    messages = (
        records.select(
            pl.int_range(pl.len(), dtype=pl.UInt32).alias("index"),
            pl.col("messages"),
            declared=pl.col("tools").is_not_null(),
        )
        .explode("messages", empty_as_null=True)
        .select(
            "index",
            "declared",
            role=field("role"),
            text=field("content").fill_null(""),
            called=field("tool_calls").fill_null("[]") != "[]",
            weight=field("weight").fill_null(1.0),
        )
        .with_columns(
            place=pl.int_range(pl.len(), dtype=pl.UInt32),
            last=pl.col("index").shift(-1).ne_missing(pl.col("index")),
            previous=pl.when(pl.col("index").shift(1) == pl.col("index")).then(
                pl.col("role").shift(1)
            ),
        )
    )
    spoken = messages.filter(pl.col("role").is_in(["system", "user"]))
    answered = messages.filter((pl.col("role") == "assistant") & (pl.col("weight") != 0))
    return Turns(records.height, _plain(spoken), _plain(answered), messages)


def _plain(messages: pl.DataFrame) -> pl.DataFrame:
    # Few texts hold code; the others are not copied.
    text = pl.col("text")
    coded = pl.when(text.str.contains("[`~]")).then(text).str.replace_all(CODE, " ")
    return messages.with_columns(plain=pl.coalesce(coded, text))


@dataclass(frozen=True)
class Hits:
    """What a rule fires on: a line for each message (or record), by its `index`.

    `span` is what to show of a line, as an expression over `lines`: it is not made where only
    the rows are asked for.
    """

    lines: pl.DataFrame
    span: pl.Expr

    def evidence(self) -> pl.DataFrame:
        """One line per record: its `index` and the span of its first line, as `evidence`."""
        span = self.span.cast(pl.String).fill_null("").str.head(EVIDENCE_CHARACTERS)
        first = self.lines.unique("index", keep="first", maintain_order=True)
        return first.select("index", evidence=span)


# A rule on messages.
Finder = Callable[[Turns], Hits]


def faults(frame: pl.DataFrame, fault: Callable[..., str | None], *columns: str) -> Hits:
    """What `fault` says of the texts in these columns of each line, if anything.

    A loop over rows: call it for the few that patterns leave.
    """
    spans = [fault(*texts) for texts in frame.select(columns).iter_rows()]
    found = frame.with_columns(fault=pl.Series(spans, dtype=pl.String)).drop_nulls("fault")
    return Hits(found, pl.col("fault"))
