"""The same conversation twice: byte for byte, or after differences of mere writing are removed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import polars as pl

from curate.base.contract import Findings, Judgement
from curate.base.errors import CurateError
from curate.base.settings import setting
from filters.common.arrays import U64, Ints
from filters.common.text import Field, content, keys
from filters.dedup.compared import (
    LONG_ANSWER,
    PROTECTED,
    PROTECTED_BITS,
    Protected,
    beside_key,
    kinds_apart,
    whole_texts,
)
from filters.dedup.keep import (
    BY_HELP,
    EXEMPTED,
    KEEP_HELP,
    RECORD_SCORE,
    RENAMED,
    VIEWS,
    DuplicateFilter,
    Exempt,
    Keep,
    cluster_findings,
    duplicate_verdicts,
    first_of_equal,
    prompt_groups,
)
from filters.dedup.kept_apart import Apart, apart_findings, is_quoted, with_excerpts

# Under so many prompts a long answer answers none. Under fewer it may be meant: sets that teach a
# model its name have 32 ("Are you GPT-2?"), and sets of templates as many as they have wordings.
MANY_PROMPTS = 50


@dataclass(frozen=True)
class Exact(DuplicateFilter):
    """Drops records that repeat another one, and names the one that is kept.

    Equal are rows of one normal form and, of each kind that `protect` names, of one code: code in
    its lines and letters, case where the prompt is about it, `x²` beside `x2`.

    A long answer under many prompts is kept once: it cannot answer all of them. Where it can (a
    refusal, a name that a set teaches), `same_answer` is raised or turned off.

    >>> Exact(normalise=False, same_answer=None).field
    'both'
    """

    name: ClassVar[str] = "exact"
    reasons: ClassVar[Mapping[str, str]] = {
        "exact_duplicate": "Says the same, but for how it is written, as a record that is kept.",
        "repeated_answer": "Its answer stands under many other prompts too, and is kept once.",
    }
    version: ClassVar[int] = 2
    reads: ClassVar[tuple[str, ...]] = ("id", "messages", "tools")
    cached: ClassVar[bool] = True
    measured_by: ClassVar[tuple[str, ...]] = (
        "field",
        "normalise",
        "protect",
        "exempt",
        "with_length",
        "with_answer",
    )
    renamed: ClassVar[Mapping[str, str]] = RENAMED

    field: Field = setting(
        "both",
        "what must be equal: the prompt, the response (under 40 characters only together with "
        "its prompt), or both, the whole conversation",
    )
    normalise: bool = setting(
        True,
        "ignore case, white space, Unicode forms, and sentence marks and quotes at message ends",
    )
    protect: tuple[Protected, ...] = setting(
        PROTECTED,
        "with normalise, what still makes rows different: code (its lines and letters, tool calls, "
        "and white space where the prompt is about it), case (where the prompt is about it), signs "
        "(set high or low, as in x², and end marks where the prompt is about them)",
    )
    same_answer: int | None = setting(
        MANY_PROMPTS,
        f"for field: both, number of prompts from which an answer of {LONG_ANSWER} characters or "
        "more that stands under all of them is kept once; none: do not look",
        low=2,
    )
    keep: Keep = setting("first", KEEP_HELP)
    by: str = setting(RECORD_SCORE, BY_HELP)
    exempt: Exempt = setting(
        "none",
        "for field: response, rows that are no duplicates of each other: none, or those of the "
        "very same prompt (best-of-n answers)",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_unread()
        if self.exempt != "none" and self.field != "response":
            raise CurateError(
                f"exact: exempt is {self.exempt!r}, but rows equal by field: {self.field} have "
                "the same prompt anyway, so none would be dropped; set field: response or leave "
                "exempt out"
            )

    def _check_unread(self) -> None:
        if not self.normalise and self.protect != PROTECTED:
            raise CurateError(
                f"exact: protect is {self.protect!r}, but normalise: false compares byte for byte, "
                "and so tells apart whatever differs; leave protect out"
            )
        if self.field != "both" and self.same_answer not in {MANY_PROMPTS, None}:
            raise CurateError(
                f"exact: same_answer is {self.same_answer}, but field: {self.field} does not read "
                "it; set field: both or leave same_answer out"
            )

    @property
    def with_answer(self) -> bool:
        """Whether answers are measured: only whole conversations are compared by them."""
        return self.field == "both" and self.same_answer is not None

    def measure(self, records: pl.DataFrame) -> pl.DataFrame:
        """`key`, 64 bits, equal for equal records: all but the lowest 16 are of their normal form.

        With `protect` and `same_answer` also what `beside_key` says; with `keep: longest` `length`
        in characters; with `exempt` `group`, equal for rows of the same prompt.
        """
        if self.field == "both" and not self.normalise:
            key = records["id"].str.to_integer(base=16, dtype=pl.UInt64)
        else:
            texts = content(records, self.field, normalise=self.normalise)
            key = pl.Series(keys(texts, normalise=self.normalise), dtype=pl.UInt64)
        columns = self.lengths(records)
        protect = self.protect if self.normalise else ()
        if protect or self.with_answer:
            beside = beside_key(
                records,
                self.field,
                protect,
                normalise=self.normalise,
                with_answer=self.with_answer,
            )
            key, columns = key ^ pl.Series(beside.codes), columns + beside.columns
        if self.exempt == "same_prompt":
            columns.append(prompt_groups(records))
        return pl.DataFrame([key.alias("key"), *columns])

    def judge(self, measures: pl.DataFrame) -> Judgement:
        """Of equal rows all but the first in order of keeping are dropped, with score 1.

        So are rows with an answer of too many prompts, without a score. Findings: what was
        compared, how many groups of equals there are, the table `clusters`; how many rows are
        kept for what `protect` looks at, and how many answers were repeated.
        """
        identity = measures["key"].to_numpy()
        kept = self._kept_instead(measures, identity)
        prompts = self._prompts(measures)
        if prompts.any():
            of_answer = first_of_equal(measures["answer"].to_numpy(), self.order(measures))
            kept = np.where(prompts, of_answer, kept)
        apart = self._apart(measures, kept) if self.protect and self.normalise else []
        return self._judgement(measures, kept, identity, prompts, apart)

    def quote(self, findings: Findings, records: pl.DataFrame, measures: pl.DataFrame) -> Findings:
        """The findings with an excerpt of two rows that differ in little, and are kept."""
        return with_excerpts(findings, measures["row"], whole_texts(records, self.field))

    def _judgement(
        self, measures: pl.DataFrame, kept: Ints, identity: U64, prompts: Ints, apart: list[Apart]
    ) -> Judgement:
        own = np.arange(len(kept))
        duplicate_of = np.where(kept == own, -1, kept)
        verdicts = duplicate_verdicts(
            measures, "exact_duplicate", duplicate_of, np.ones(len(kept)), kept
        )
        is_repeated = pl.Series((kept != own) & (identity != identity[kept]))
        verdicts = _with_repeated(verdicts, is_repeated, prompts)
        view = f"compared {VIEWS[self.field]}{'' if self.normalise else ', byte for byte'}"
        more = (EXEMPTED,) if self.exempt == "same_prompt" else ()
        repeated, numbers = _repeated_findings(is_repeated, kept, prompts)
        said, counts = apart_findings(apart, measures["row"], "equal to")
        findings = cluster_findings(
            view,
            measures,
            kept,
            verdicts,
            {},
            (*more, *said, *repeated),
            **counts,
            **numbers,
        )
        return Judgement(verdicts, findings, quoted=is_quoted(findings, measures["row"]))

    def _apart(self, measures: pl.DataFrame, kept: Ints) -> list[Apart]:
        """Rows that are kept although one of the same normal form is kept, the first of all."""
        form = measures["key"].to_numpy() >> np.uint64(PROTECTED_BITS)
        own, equal_to = np.arange(len(kept)), self._kept_instead(measures, form)
        rows = np.flatnonzero((kept == own) & (equal_to != own) & (kept[equal_to] == equal_to))
        kinds = kinds_apart(measures, rows, equal_to[rows])
        return list(map(Apart, rows.tolist(), equal_to[rows].tolist(), kinds))

    def _kept_instead(self, measures: pl.DataFrame, identity: U64) -> Ints:
        """For each row the position of the one that is kept of those of its identity."""
        kept = first_of_equal(identity, self.order(measures))
        if self.exempt == "same_prompt":
            group = measures["group"]
            is_same = (group == group.gather(kept)).fill_null(False).to_numpy()
            kept = np.where(is_same, np.arange(len(kept)), kept)
        return kept

    def _prompts(self, measures: pl.DataFrame) -> Ints:
        """Under how many prompts the answer of each row stands, where they are too many; else 0.

        Rows with one answer have another key only if their prompts are others.
        """
        if not self.with_answer:
            return np.zeros(measures.height, np.int64)
        prompts = (pl.col("key") // 2**PROTECTED_BITS).n_unique().over("answer")
        is_many = (pl.col("answer") != 0) & (prompts >= self.same_answer)
        counts = measures.select(pl.when(is_many).then(prompts).otherwise(0))
        return counts.to_series().to_numpy().astype(np.int64)


def _with_repeated(verdicts: pl.DataFrame, is_repeated: pl.Series, prompts: Ints) -> pl.DataFrame:
    """The verdicts, with the reason of those that only have the answer of the kept row."""
    evidence = pl.format("the same answer stands under {} prompts", pl.Series(prompts))
    return verdicts.with_columns(
        reason=pl.when(is_repeated).then(pl.lit("repeated_answer")).otherwise("reason"),
        score=pl.when(~is_repeated).then("score"),
        evidence=pl.when(is_repeated).then(evidence).otherwise("evidence"),
    )


def _repeated_findings(
    is_repeated: pl.Series, kept: Ints, prompts: Ints
) -> tuple[tuple[str, ...], dict[str, int]]:
    rows = int(is_repeated.sum())
    if not rows:
        return (), {}
    answers, most = len(np.unique(kept[is_repeated.to_numpy()])), int(prompts.max())
    stand = "answer stands" if answers == 1 else "answers stand"
    under = f"{most:,} prompts" if answers == 1 else f"up to {most:,} prompts each"
    dropped = "row is" if rows == 1 else "rows are"
    sentence = (
        f"{answers:,} long {stand} under {under} and {'is' if answers == 1 else 'are'} kept once; "
        f"{rows:,} {dropped} dropped for it (repeated_answer)"
    )
    return (sentence,), {
        "repeated_answers": answers,
        "repeated_answer_rows": rows,
        "most_prompts_of_an_answer": most,
    }
