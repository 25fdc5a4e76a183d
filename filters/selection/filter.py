"""Select a budget of rows: the best, the longest, a draw, or rows that differ from each other.

(The step is called `select`; a module of that name would hide the standard library's.)
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import polars as pl

from curate.base.contract import Judgement
from curate.base.settings import setting
from filters.common.conditional import check_read, shown
from filters.common.ranking import places
from filters.common.tasks import tasks
from filters.common.text import view
from filters.common.units import CountsTokens, Unit, finished, lengths
from filters.common.vectors import (
    ENCODER_HELP,
    LEXICAL,
    check_encoder,
    embed,
    fingerprint,
    vector_column,
)
from filters.selection import methods
from filters.selection.baselines import findings
from filters.selection.tags import built_in_tags, given_tags

RANKED = ("top", "random", "longest")
VECTORS = ("kcenter", "facility", "repr")


@dataclass(frozen=True)
class Select(CountsTokens):
    """Keep as many rows as the budget allows; ties by id.

    `top` takes the highest scores (`by`; of several columns the product), `repr` too, but passes
    over a row whose cosine to one already taken is above `threshold` (DEITA, arXiv 2312.15685).
    `kcenter` starts at the row nearest to the mean and takes the one farthest from all taken;
    `facility` takes the one that best covers the rest (beyond 4,472 rows only the 20 million
    nearest pairs count); `tags` rows with many tags that bring a new one, round after round
    (InsTag, arXiv 2308.07074). `random` and `longest` are the baselines that a selection has
    to beat (arXiv 2410.09335, 2402.04833): every selection comes with them, matched by rows and
    by length, in SELECT.baselines.parquet.

    Every method prefers some lengths. `stratify: length` chooses within ten strata of length, in
    proportion to their rows, so that the selection keeps the pool's lengths; `stratify:
    log_length` takes as many short as middling and long rows, as far as there are any.
    """

    name: ClassVar[str] = "select"
    reasons: ClassVar[Mapping[str, str]] = {
        "not_selected": "the rows that were chosen before it leave no room for it in the budget",
        "over_quota": "its category has as many rows as a category may have",
        "too_similar": "a row that was selected before it says nearly the same",
        "no_score": "the row has no score to be ranked by",
        "no_vector": "the text is blank, so that it is similar to no other row",
        "no_tags": "the row has no tag, so that it cannot bring a new one",
    }
    measured_by: ClassVar[tuple[str, ...]] = (
        "unit", "tokenizer", "vectors_of", "tags_of", "fingerprints"
    )  # fmt: skip
    version: ClassVar[int] = 3
    unit_setting: ClassVar[str] = "budget_in"

    method: Literal["top", "random", "longest", "kcenter", "facility", "repr", "tags"] = setting(
        "top", "how rows are chosen"
    )
    budget: int = setting(1000, "rows, or units of response length, to keep at most", low=1)
    budget_in: Literal["rows", "words", "chars", "tokens"] = setting(
        "rows",
        "what the budget counts: rows, or words, characters or tokens of response (with the end"
        " token of each assistant turn)",
    )
    tokenizer: str | None = setting(
        None,
        "tokenizer.json, or its folder: response length is in tokens (with the end token), not in"
        " words",
        path=True,
    )
    by: tuple[str, ...] = setting(
        (),
        "top, repr: column to rank by, or several whose product ranks; none: reward.verdict if "
        "there is one, else record.score",
        only=("top", "repr"),
    )
    threshold: float = setting(
        0.9, "repr: greatest cosine to a row that is already taken", low=-1, high=1, only=("repr",)
    )
    field: Literal["prompt", "response", "both"] = setting(
        "both", "kcenter, facility, repr: the text that is compared", only=VECTORS
    )
    encoder: str = setting(
        LEXICAL, f"kcenter, facility, repr: {ENCODER_HELP}", path=True, only=VECTORS
    )
    tags: str | None = setting(
        None, "tags: field of the row that holds its tags; none: a built-in tagger", only=("tags",)
    )
    per_category: int | None = setting(None, "rows that one category may have at most", low=1)
    stratify: Literal["none", "length", "log_length", "category"] = setting(
        "none",
        "share the budget out: by the rows of ten strata of length, or of each category, or evenly "
        "over ten bands of log length",
    )
    seed: int = setting(
        0, "random: seed of the draw; the baselines are drawn with it and the next", low=0
    )

    def __repr__(self) -> str:
        return shown(self, "method")

    def __post_init__(self) -> None:
        super().__post_init__()
        check_read(self, self.name, "method")
        if self.method in VECTORS:
            check_encoder(self.name, self.encoder)

    @property
    def reads(self) -> tuple[str, ...]:
        """The messages and the text whose length is measured, and what has the tags."""
        if self.method != "tags":
            return ("messages", "response")
        return ("messages", "response", "tools" if self.tags is None else "meta")

    @property
    def needs(self) -> tuple[str, ...]:
        """The measured columns that rank the rows, when they are named."""
        return self.by

    @property
    def may_need(self) -> tuple[str, ...]:
        """The score that ranks the rows when no column is named."""
        return () if self.by or self.method not in ("top", "repr") else (methods.BEST[0],)

    @property
    def unit(self) -> Unit:
        """In what response length is measured."""
        if self.budget_in == "rows":
            return "words" if self.tokenizer is None else "tokens"
        return self.budget_in

    @property
    def vectors_of(self) -> tuple[str, str] | None:
        """The text that has vectors and what makes them, where the method compares rows."""
        return (self.field, self.encoder) if self.method in VECTORS else None

    @property
    def tags_of(self) -> tuple[str | None] | None:
        """The field that holds tags, where the method reads any."""
        return (self.tags,) if self.method == "tags" else None

    @property
    def cached(self) -> bool:
        """Words and the built-in vectors cost no more than looking them up; models do.

        Tags are not of the content alone.
        """
        costly = self.unit == "tokens" or (self.method in VECTORS and self.encoder != LEXICAL)
        return costly and self.method != "tags"

    @property
    def fingerprints(self) -> tuple[object, ...]:
        """What the measures depend on beside names: the state of tokenizer and encoder."""
        return (self.fingerprint, fingerprint(self.name, self.encoder) if self.vectors_of else None)

    def measure(self, records: pl.DataFrame) -> pl.DataFrame:
        """`length`, what `length` measures of a response, and `vector` or `tags` where needed."""
        length = lengths(records, self.unit, "response", self.tokenizer)
        found = tasks(records).insert_column(0, length).with_columns(finished(records))
        if self.method in VECTORS:
            vectors = embed(self.name, self.encoder, view(records, self.field))
            found = found.with_columns(vector_column(vectors))
        if self.method == "tags":
            tags = built_in_tags(records) if self.tags is None else given_tags(records, self.tags)
            found = found.with_columns(tags)
        return found

    def judge(self, measures: pl.DataFrame) -> Judgement:
        """The selection, and the baselines beside it: rows, lengths and, with vectors, coverage.

        It is made on the rows in order of id, so that the order of the input changes nothing.
        """
        if not measures.height:
            return Judgement.of([])
        order = methods.by_id(measures)
        verdicts = self._selected(measures[order])[places(order)]
        found = findings(measures, verdicts["keep"], self.unit, self.seed)
        sentences = (*found.sentences, *self._short(verdicts), *self.counted)
        return Judgement(verdicts, dataclasses.replace(found, sentences=sentences))

    def _selected(self, rows: pl.DataFrame) -> pl.DataFrame:
        plan = methods.Plan(
            self.budget, self.budget_in, self.unit, self.stratify, self.per_category
        )
        if self.method in RANKED:
            return methods.ranked(rows, plan, self.method, self.by, self.seed)
        if self.method == "tags":
            return methods.tagged(rows, plan)
        if self.method == "repr":
            return methods.represented(rows, plan, self.by, self.threshold)
        return methods.diverse(rows, plan, self.method, self.seed)

    def _short(self, verdicts: pl.DataFrame) -> list[str]:
        """A sentence where fewer rows are selected than the budget and the rows allow."""
        kept = int(verdicts["keep"].sum())
        if self.budget_in != "rows" or kept >= min(self.budget, verdicts.height):
            return []
        dropped = verdicts.filter(~pl.col("keep"))["reason"].value_counts().sort("reason").rows()
        counts = ", ".join(f"{count:,} {reason}" for reason, count in dropped)
        return [f"only {kept:,} rows are selected for a budget of {self.budget:,}: {counts}"]
