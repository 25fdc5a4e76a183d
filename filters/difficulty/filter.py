"""Instruction-following difficulty: how little a question helps a language model to its answer."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import polars as pl

from curate.base.contract import Filter, Findings, Judgement
from curate.base.errors import CurateError
from curate.base.settings import setting
from filters.common.arrays import Floats
from filters.common.calibrate import Method, calibrate_scores, fitted_together
from filters.common.cases import Case, first_case
from filters.common.codes import text_codes
from filters.common.models import check_folder, model_state
from filters.common.problems import problem_texts
from filters.common.ranking import best_first, check_top, places, score_column, top_rows
from filters.common.score_length import by_length, with_length
from filters.common.tasks import tasks
from filters.common.units import lengths
from filters.difficulty.losses import measure_difficulty
from filters.difficulty.texts import Template

LOOPING = 0.5  # of the tokens were certain beforehand


@dataclass(frozen=True)
class Difficulty(Filter):
    """Keep the rows whose question helps a small language model least, but helps it.

    IFD compares the mean loss of the answer's tokens after the question with that of the same
    tokens alone. Two published variants rank differently:

    - `loss`: their ratio, both after `### Response:`; rows above 1 are dropped (Cherry_LLM, Li et
      al. 2023, arXiv 2308.12032).
    - `perplexity`: exp of their difference, bare texts; rows from 1 on are dropped
      (Superfiltering, Li et al. 2024, arXiv 2402.00530, with GPT-2).

    Both sides count the same tokens, found by character offsets, whether or not the tokenizer
    begins with a start token. A conversation of several turns is written once, and its answers'
    tokens count together: each after all that went before, and alone. Rows that the model cannot
    read whole are dropped, never cut. Like every score IFD depends on length; `calibrate` takes
    length out (the published variants do not).

    Measured are `given` and `alone` (nats per token), `tokens`, `easy` (share of tokens below
    0.1 nats: loops) and `late` (loss of the last quarter less the first).
    """

    name: ClassVar[str] = "difficulty"
    reasons: ClassVar[Mapping[str, str]] = {
        "not_measurable": "the model cannot read the row, or its losses have no ratio",
        "not_helped": "the question does not help the model to the answer: they may not belong"
        " together",
        "not_in_top": "other rows are more difficult",
    }
    reads: ClassVar[tuple[str, ...]] = ("messages", "response")
    version: ClassVar[int] = 2
    measured_by: ClassVar[tuple[str, ...]] = ("model", "fingerprint", "written_as")
    cached: ClassVar[bool] = True

    model: str | None = setting(None, "folder of a causal language model", path=True)
    variant: Literal["loss", "perplexity"] = setting(
        "loss", "ratio of losses (Cherry_LLM) or of perplexities (Superfiltering)"
    )
    template: Template | None = setting(
        None, "how rows are written; none = as published: wiz for loss, bare for perplexity"
    )
    max_ifd: float | None = setting(1.0, "highest IFD to keep (perplexity: below it)", above=0)
    keep_top: float | None = setting(
        None, "share of the rows within max_ifd to keep, 0 to 1", above=0, high=1
    )
    top_k: int | None = setting(None, "number of rows to keep", low=1)
    calibrate: Method = setting("none", "how length is taken out of IFD before the top is chosen")

    def __post_init__(self) -> None:
        super().__post_init__()
        check_top(self.name, self.keep_top, self.top_k)
        if self.model is None:
            raise CurateError("difficulty: name a causal language model's folder in model")
        check_folder(self.name, self.model)

    @property
    def written_as(self) -> Template:
        """The template in use."""
        return self.template or ("wiz" if self.variant == "loss" else "bare")

    @property
    def fingerprint(self) -> tuple[tuple[str, int, int], ...]:
        """Of the model's files."""
        return model_state(self.model)

    def measure(self, records: pl.DataFrame) -> pl.DataFrame:
        """`given`, `alone`, `tokens`, `easy`, `late`, `problem`; `length` in words and `task`.

        `task` (u64) is the same for rows whose requests have the same first word.
        """
        found = measure_difficulty(records, str(self.model), self.written_as)
        length = lengths(records, "words", "response", None)
        return found.with_columns(length, text_codes(tasks(records)["task"]))

    def judge(self, measures: pl.DataFrame) -> Judgement:
        """The hardest rows within `max_ifd`; IFD against length, and rows that are loops."""
        ifd = self._ifd(measures)
        problems = problem_texts(measures, "given", "alone", "tokens")
        known = ~np.isnan(ifd)
        if len(ifd) and not known.any():
            first = problems.drop_nulls()[0]
            raise CurateError(
                f"difficulty: none of {len(ifd):,} rows can be measured with {self.model} (the"
                f" first: {first}); name another model"
            )
        task = measures["task"].rank("dense").to_numpy()
        score = calibrate_scores(ifd, measures["length"], task, self.calibrate)
        most = math.inf if self.max_ifd is None else self.max_ifd
        helped = known & (ifd <= most if self.variant == "loss" else ifd < most)
        place = places(best_first(measures, np.where(helped, score, np.nan)))
        kept = helped & (place < top_rows(int(helped.sum()), self.keep_top, self.top_k))
        frame = measures.select("given", "alone").with_columns(
            problems,
            ifd=pl.Series(ifd).fill_nan(None),
            score=pl.Series(score).fill_nan(None),
            kept=pl.Series(kept),
            helped=pl.Series(helped),
            rank=pl.Series(place + 1),
        )
        reason, evidence = first_case(frame, self._cases(int(kept.sum())))
        return Judgement.of(
            kept,
            reason,
            frame["score"],
            evidence=evidence,
            findings=self._findings(measures, frame, ifd, score),
            raw=None if self.calibrate == "none" else frame["ifd"],
        )

    def _findings(
        self, measures: pl.DataFrame, frame: pl.DataFrame, ifd: Floats, score: Floats
    ) -> Findings:
        known = np.flatnonzero(~np.isnan(ifd))
        if not known.size:
            return Findings(("no row could be measured",))
        length = measures["length"].to_numpy().astype(np.int64)
        parts = fitted_together(ifd, length, measures["task"].rank("dense").to_numpy())
        median = float(np.median(ifd[known]))
        looping = int((measures["easy"].to_numpy()[known] > LOOPING).sum())
        numbers = {
            "variant": self.variant,
            "template": self.written_as,
            "method": self.calibrate,
            "measured": int(known.size),
            "median": round(median, 4),
            "looping": looping,
            "spearman": {
                "as_it_came": with_length(ifd, length, parts),
                "calibrated": with_length(score, length, parts),
            },
        }
        sentences = [
            f"median IFD {median:.3f} ({self.variant}, written as {self.written_as})",
            *_problem_sentences(frame["problem"].drop_nulls()),
        ]
        if looping:
            sentences.append(
                f"rows with more than half of the tokens certain beforehand: {looping:,}; these are"
                " loops, or texts that the model knows by heart"
            )
        table = by_length(frame["kept"], length, ifd, score, known)
        return Findings(tuple(sentences), numbers, {"length": table})

    def _ifd(self, measures: pl.DataFrame) -> Floats:
        measured = measures.with_columns(
            pl.when(pl.col("problem").is_null()).then(pl.col("given", "alone"))
        )
        given, alone = score_column(measured, "given"), score_column(measured, "alone")
        return given / alone if self.variant == "loss" else np.exp(given - alone)

    def _cases(self, kept: int) -> list[Case]:
        ifd = pl.col("ifd").round(4)
        losses = pl.format(
            "{} after the question, {} alone", pl.col("given").round(4), pl.col("alone").round(4)
        )
        not_helped = pl.format(f"IFD {{}}, max_ifd is {self.max_ifd}; {{}}", ifd, losses)
        not_in_top = pl.format(f"rank {{}}, {kept} kept; IFD {{}}; {{}}", "rank", ifd, losses)
        return [
            ("not_measurable", ifd.is_null(), pl.col("problem")),
            ("not_helped", ~pl.col("helped"), not_helped),
            ("not_in_top", ~pl.col("kept"), not_in_top),
        ]


def _problem_sentences(problems: pl.Series) -> list[str]:
    if problems.is_empty():
        return []
    kinds = problems.str.replace_all(r"\d[\d,]*", "N")
    worst = kinds.value_counts().sort("count", "problem", descending=[True, False])
    kind, rows = worst["problem"][0], worst["count"][0]
    example = problems.filter(kinds == kind)[0]
    return [f"{len(problems):,} rows cannot be measured; {rows:,} of them: {example}"]
