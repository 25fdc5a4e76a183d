"""Select a budget of rows: the best, the longest, a draw, or rows that differ from each other.

(The step is called `select`; a module of that name would hide the standard library's.)
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import polars as pl

from curate.base.contract import Filter, Findings, Judgement, verdicts
from curate.base.errors import CurateError
from curate.base.settings import setting
from filters.common.tasks import tasks
from filters.common.text import view
from filters.common.units import Unit, check_tokenizer, finished, lengths, tokenizer_state
from filters.common.vectors import (
    ENCODER_HELP,
    LEXICAL,
    check_encoder,
    embed,
    fingerprint,
    vector_column,
)
from filters.selection import methods
from filters.selection.findings import findings
from filters.selection.tags import built_in_tags, given_tags

RANKED = ("top", "random", "longest")
VECTORS = ("kcenter", "facility", "repr")
METHODS = (*RANKED, *VECTORS, "tags")
STRATA = ("none", "length", "log_length", "category")
UNITS = ("rows", "words", "chars", "tokens")
# Which settings only some methods read; one that is set for another is a mistake.
READS: Mapping[str, tuple[str, ...]] = {
    "by": ("top", "repr"),
    "threshold": ("repr",),
    "field": VECTORS,
    "encoder": VECTORS,
    "tags": ("tags",),
}


@dataclass(frozen=True)
class Select(Filter):
    """Keep as many rows as the budget allows; ties by id.

    `top` takes the highest scores (`by`; of several columns the product), `repr` too, but passes
    over a row whose cosine to one already taken is above `threshold` (DEITA, arXiv 2312.15685).
    `kcenter` starts at the row nearest to the mean and takes the one farthest from all taken;
    `facility` takes the one that best covers the rest (beyond 4,472 rows only the 20 million
    nearest pairs count); `tags` rows with many tags that bring a new one, round after round
    (InsTag, arXiv 2308.07074). `random` and `longest` are the baselines that a selection has
    to beat (arXiv 2410.09335, 2402.04833): every selection comes with them, matched by rows and
    by length, in SELECT.arms.parquet.

    Any choice inherits what it likes, length above all: `stratify: length` chooses within ten
    strata of length, in proportion to their rows, so that the selection keeps the pool's lengths;
    `stratify: log_length` takes as many short as middling and long ones, as far as there are any.
    """

    name: ClassVar[str] = "select"
    reasons: ClassVar[Mapping[str, str]] = {
        "not_selected": "the budget was spent on rows that rank higher",
        "over_quota": "its category has as many rows as a category may have",
        "too_similar": "a row that ranks higher and is selected says nearly the same",
        "no_score": "the row has no score to be ranked by",
        "no_vector": "the text is blank, so that it is like no other row",
        "no_tags": "the row has no tag, so that it cannot bring a new one",
    }
    per_row: ClassVar[bool] = False
    measured_by: ClassVar[tuple[str, ...]] = (
        "unit", "tokenizer", "vectors_of", "tags_of", "fingerprints"
    )  # fmt: skip
    version: ClassVar[int] = 2

    method: Literal["top", "random", "longest", "kcenter", "facility", "repr", "tags"] = setting(
        "top", "how rows are chosen", choices=METHODS
    )
    budget: int = setting(1000, "rows, or units of response length, to keep at most")
    budget_in: Literal["rows", "words", "chars", "tokens"] = setting(
        "rows", "what the budget counts: rows, or words, characters or tokens of response",
        choices=UNITS,
    )  # fmt: skip
    tokenizer: str | None = setting(
        None, "tokenizer.json, or its folder: response length is in tokens, not words", path=True
    )
    by: tuple[str, ...] = setting(
        (),
        "top, repr: column to rank by, or several whose product ranks; none: reward.verdict if "
        "there is one, else record.score",
    )
    threshold: float = setting(0.9, "repr: greatest cosine to a row that is already taken")
    field: Literal["prompt", "response", "both"] = setting(
        "both", "kcenter, facility, repr: the text that is compared",
        choices=("prompt", "response", "both"),
    )  # fmt: skip
    encoder: str = setting(LEXICAL, f"kcenter, facility, repr: {ENCODER_HELP}", path=True)
    tags: str | None = setting(
        None, "tags: field of the row that holds its tags; none: a built-in tagger"
    )
    per_category: int | None = setting(None, "rows that one category may have at most")
    stratify: Literal["none", "length", "log_length", "category"] = setting(
        "none",
        "share the budget out: by the rows of ten strata of length, or of each category, or evenly "
        "over ten bands of log length",
        choices=STRATA,
    )
    seed: int = setting(0, "random: seed of the draw; the baselines are drawn with it and the next")

    def __repr__(self) -> str:
        unread = {name for name, users in READS.items() if self.method not in users}
        shown = [
            f"{field.name}={value!r}"
            for field in dataclasses.fields(self)
            if field.name not in unread and (value := getattr(self, field.name)) not in (None, ())
        ]
        return f"Select({', '.join(shown)})"

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise CurateError(f"select: method is {self.method!r}; expected {', '.join(METHODS)}")
        if self.stratify not in STRATA:
            raise CurateError(
                f"select: stratify is {self.stratify!r}; expected {', '.join(STRATA)}"
            )
        if self.budget < 1:
            raise CurateError(
                f"select: budget is {self.budget}; expected 1 or more {self.budget_in}"
            )
        if self.per_category is not None and self.per_category < 1:
            raise CurateError(f"select: per_category is {self.per_category}; expected 1 or more")
        if not -1.0 <= self.threshold <= 1.0:
            raise CurateError(
                f"select: threshold is {self.threshold:g}; expected a cosine from -1 to 1"
            )
        if self.seed < 0:
            raise CurateError(f"select: seed is {self.seed}; expected 0 or more")
        self._check_read()
        self._check_unit()
        if self.method in VECTORS:
            check_encoder(self.name, self.encoder)

    def _check_read(self) -> None:
        for field in dataclasses.fields(self):
            users = READS.get(field.name, METHODS)
            if self.method not in users and getattr(self, field.name) != field.default:
                raise CurateError(
                    f"select: {field.name} is for method {' or '.join(users)}, and method is"
                    f" {self.method}; leave one out"
                )

    def _check_unit(self) -> None:
        if self.budget_in not in UNITS:
            raise CurateError(
                f"select: budget_in is {self.budget_in!r}; expected {', '.join(UNITS)}"
            )
        check_tokenizer(self.name, "budget_in", self.unit, self.tokenizer)

    @property
    def needs(self) -> tuple[str, ...]:
        """The measured columns that rank the rows, when they are named."""
        return self.by

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
        tokens = tokenizer_state(self.tokenizer)
        return (tokens, fingerprint(self.name, self.encoder) if self.vectors_of else None)

    def measure(self, records: pl.DataFrame) -> pl.DataFrame:
        """`length`, what `length` measures of a response, and `vector` or `tags` where needed."""
        found = tasks(records)
        found.insert_column(0, lengths(records, self.unit, "response", self.tokenizer))
        found = found.with_columns(finished(records))
        if self.method in VECTORS:
            vectors = embed(self.name, self.encoder, view(records, self.field))
            found = found.with_columns(vector_column(vectors))
        if self.method == "tags":
            tags = built_in_tags(records) if self.tags is None else given_tags(records, self.tags)
            found = found.with_columns(tags)
        return found

    def judge(self, measures: pl.DataFrame) -> Judgement:
        """See `Filter.judge`."""
        judged = self._verdicts(measures)
        return Judgement(judged, self._findings(measures, judged))

    def _verdicts(self, measures: pl.DataFrame) -> pl.DataFrame:
        """Chooses on the rows in order of id, so that the order of the input changes nothing."""
        if not measures.height:
            return verdicts([])
        order = methods.by_id(measures)
        rows = measures[order]
        wish = methods.Wish(
            self.budget, self.budget_in, self.unit, self.stratify, self.per_category
        )
        if self.method in RANKED:
            found = methods.ranked(rows, wish, self.method, self.by, self.seed)
        elif self.method == "tags":
            found = methods.tagged(rows, wish)
        elif self.method == "repr":
            found = methods.represented(rows, wish, self.by, self.threshold)
        else:
            found = methods.spread(rows, wish, self.method, self.seed)
        return found[methods.places(order)]

    def _findings(self, measures: pl.DataFrame, judged: pl.DataFrame) -> Findings:
        """The baselines beside the selection: rows, lengths and, with vectors, coverage."""
        found = findings(measures, judged["keep"], self.unit, self.seed)
        kept = int(judged["keep"].sum())
        if self.budget_in != "rows" or kept >= min(self.budget, measures.height):
            return found
        why = judged.filter(~pl.col("keep"))["reason"].value_counts().sort("reason").rows()
        said = ", ".join(f"{count:,} {reason}" for reason, count in why)
        short = f"only {kept:,} rows for a budget of {self.budget:,}: {said}"
        return dataclasses.replace(found, sentences=(*found.sentences, short))
