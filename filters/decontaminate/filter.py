"""Records that repeat a test set: what a model has been trained on, it cannot be tested with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import ClassVar, Literal

import polars as pl

from curate.base.contract import Filter, Judgement, Read
from curate.base.errors import CurateError, nearest
from curate.base.settings import setting, values_of
from filters.common.text import Field, view
from filters.common.vectors import ENCODER_HELP, check_encoder, embed, fingerprint, vector_column
from filters.decontaminate.matching import match
from filters.decontaminate.report import judge_rows, report
from filters.decontaminate.sets import Evaluations, load

# Words in a run, and the share of a row's words in shared runs that must be exceeded.
RULES = {"tulu3": (8, 0.5), "ngram13": (13, 0.0)}


@dataclass(frozen=True)
class Decontaminate(Filter):
    """Drops records that overlap a row of an evaluation file, and quotes what they share.

    `tulu3` (Lambert et al. 2024, arXiv 2411.15124): a word of the evaluation row counts if it lies
    in a run of 8 words that one and the same record has too; more than half must. `ngram13`
    (Brown et al. 2020, arXiv 2005.14165): one shared run of 13 words is enough, unless more than
    20 evaluation rows have it, which makes it the set's own wording. Case, punctuation and
    Unicode forms and HTML entities do not count. A prompt with fewer words than a run must equal a
    whole prompt or a whole user message; so short an answer proves nothing and is passed over. A
    set of which more than 2 % is found is called contaminated.

    Beyond the rule (`edited`): a text of 8 words or more is found too where all of its words stand
    in order, with a typo or a word put in for every fifteen; and a shorter question where its
    answer, its choices or its passage stand beside it.
    """

    name: ClassVar[str] = "decontaminate"
    reasons: ClassVar[Mapping[str, str]] = {
        "evaluation_overlap": "It shares runs of words with a row of an evaluation file.",
        "evaluation_prompt": "Its prompt is a short one of an evaluation file, to the letter.",
        "evaluation_edited": "It has a row of an evaluation file with typos or words put in.",
        "evaluation_question": "It has a short question of an evaluation file, with its answer, "
        "its choices or its passage.",
        "evaluation_rephrased": "Its vector is close to that of a row of an evaluation file.",
    }
    reads: ClassVar[tuple[str, ...]] = ("messages", "response")
    cached: ClassVar[bool] = True
    version: ClassVar[int] = 2
    measured_by: ClassVar[tuple[str, ...]] = (
        "field", "rule", "size", "threshold", "edited", "encoder", "encoder_print", "evaluations",
    )  # fmt: skip

    against: tuple[str, ...] = setting(
        (), "evaluation files: benchmarks as published, or any format that is read", path=True
    )
    columns: Mapping[str, str] | None = setting(
        None,
        "fields that hold the prompt and the answer in files of no known shape, such as "
        "{prompt: q, answer: a}",
    )
    rule: Literal["tulu3", "ngram13"] = setting(
        "tulu3", "tulu3: over half of the words in shared runs of 8; ngram13: one shared run of 13"
    )
    field: Field = setting(
        "prompt",
        "what is looked for: the evaluation's prompt in the prompt, its answer in the response, "
        "or both of them anywhere in the conversation; never in the system prompt",
    )
    size: int | None = setting(None, "words in a run, if not the rule's own", low=2)
    threshold: float | None = setting(
        None,
        "share of the evaluation row's words that must be exceeded, if not the rule's own",
        low=0,
        below=1,
    )
    edited: bool = setting(
        True,
        "beyond the rule: copies with typos or words put in, short questions with their answers",
    )
    encoder: str | None = setting(
        None, f"to find rephrased rows too: {ENCODER_HELP}; none: do not look", path=True
    )
    cosine: float = setting(
        0.8, "with an encoder: cosine from which a record is dropped", above=0, high=1
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.against:
            raise CurateError("decontaminate: against is empty; name one evaluation file or more")
        _check_columns(self.columns)
        if self.encoder is not None:
            check_encoder(self.name, self.encoder)

    @property
    def encoder_print(self) -> str:
        """What the cached vectors depend on beside the name of the encoder."""
        return fingerprint(self.name, self.encoder) if self.encoder else ""

    def bind(self, read: Read) -> Filter:
        """The same step with its evaluation files read; each file is a set of its own."""
        size, share = RULES[self.rule]
        if self.columns is not None:
            read = partial(read, columns=self.columns)
        evaluations = load(
            [(path, read([path])) for path in dict.fromkeys(self.against)],
            self.field,
            self.size or size,
            share if self.threshold is None else self.threshold,
            skip_common=self.rule == "ngram13",
            edited=self.edited,
        )
        return BoundDecontaminate(**values_of(self, Decontaminate), evaluations=evaluations)

    def measure(self, records: pl.DataFrame) -> pl.DataFrame:
        """Not before `bind`: there is nothing to compare with."""
        raise CurateError("decontaminate: no evaluation file has been read; call bind(read) first")

    def judge(self, measures: pl.DataFrame) -> Judgement:
        """Not before `bind` either."""
        raise CurateError("decontaminate: no evaluation file has been read; call bind(read) first")


def _check_columns(columns: Mapping[str, str] | None) -> None:
    if columns is None:
        return
    for part in columns:
        if part not in ("prompt", "answer"):
            raise CurateError(
                f"decontaminate: columns: {part!r} is no part of a question; expected prompt and "
                f"answer, such as {{prompt: q, answer: a}}{nearest(part, ('prompt', 'answer'))}"
            )
    if "prompt" not in columns:
        raise CurateError("decontaminate: columns: it lacks the prompt, such as {prompt: q}")


@dataclass(frozen=True, repr=False)
class BoundDecontaminate(Decontaminate):
    """The step once its evaluation files are read."""

    evaluations: Evaluations = field(kw_only=True)

    def __repr__(self) -> str:
        return repr(Decontaminate(**values_of(self, Decontaminate)))

    def bind(self, read: Read) -> Filter:
        """The same: it is bound already."""
        return self

    def measure(self, records: pl.DataFrame) -> pl.DataFrame:
        """`overlaps`: evaluation items and what is shared with them; `vector` with an encoder.

        Each overlap has `item`, `kind` (a position of `KINDS`), `share` of its words, `first` word
        and `run` of the longest stretch, `changes` in words and what is `beside` it.
        """
        overlaps = match(self.evaluations, records, self.field)
        if self.encoder is None:
            return overlaps.to_frame()
        vectors = embed(self.name, self.encoder, view(records, self.field))
        return pl.DataFrame([overlaps, vector_column(vectors)])

    def judge(self, measures: pl.DataFrame) -> Judgement:
        """A record is dropped for the evaluation row that it has most of; its score is that share.

        Findings: how much of each evaluation file is in the set, and every match.
        """
        theirs = None
        if self.encoder is not None:
            theirs = embed(self.name, self.encoder, self.evaluations.texts)
        matches = self.evaluations.matches(measures, theirs, self.cosine)
        return Judgement(
            judge_rows(self.evaluations, matches, measures.height),
            report(self.evaluations, matches, measures, self.field),
        )
