"""Instruction-following difficulty: how little a question helps a language model to its answer."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import polars as pl

from curate.base.contract import Filter, Findings, Judgement, verdicts
from curate.base.errors import CurateError
from curate.base.settings import setting
from filters.common.calibrate import METHODS, calibrate_scores, fitted_together
from filters.common.ranking import best_first, places, score_column
from filters.common.stats import Bools, Floats
from filters.common.tasks import tasks
from filters.common.units import lengths, model_state
from filters.difficulty.losses import check_causal, measure_difficulty
from filters.difficulty.texts import Template
from filters.reward.findings import by_length, with_length

VARIANTS = ("loss", "perplexity")
LOOPING = 0.5  # of the tokens were certain beforehand


@dataclass(frozen=True)
class Difficulty(Filter):
    """Keep the rows whose question helps a small language model least, but helps it.

    IFD compares the mean loss of the answer's tokens after the question with that of the same
    tokens alone. Two published variants rank differently:

    - `loss`: their ratio, both after `### Response:`; rows above 1 go (Cherry_LLM, Li et al.
      2023, arXiv 2308.12032).
    - `perplexity`: exp of their difference, bare texts; rows from 1 on go (Superfiltering, Li et
      al. 2024, arXiv 2402.00530, with GPT-2).

    Both sides count the same tokens, found by character offsets, whether or not the tokenizer
    begins with a start token. A conversation of several turns is written once, and its answers'
    tokens count together: each after all that went before, and alone. Rows that the model cannot
    read whole are dropped, never cut. Like every score IFD likes some lengths; `calibrate` takes
    them out (the published variants do not).

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
    per_row: ClassVar[bool] = False
    measured_by: ClassVar[tuple[str, ...]] = ("model", "fingerprint", "written_as")
    version: ClassVar[int] = 1
    cached: ClassVar[bool] = True

    model: str | None = setting(None, "folder of a causal language model", path=True)
    variant: Literal["loss", "perplexity"] = setting(
        "loss", "ratio of losses (Cherry_LLM) or of perplexities (Superfiltering)", choices=VARIANTS
    )
    template: Literal["wiz", "alpaca", "bare"] | None = setting(
        None,
        "how rows are written; none = as published: wiz for loss, bare for perplexity",
        choices=("wiz", "alpaca", "bare"),
    )
    max_ifd: float | None = setting(1.0, "highest IFD to keep (perplexity: below it)")
    keep_top: float | None = setting(None, "share of the rows within max_ifd to keep, 0 to 1")
    top_k: int | None = setting(None, "number of rows to keep")
    calibrate: Literal["none", "lwr", "bin", "rank"] = setting(
        "none", "how length is taken out of IFD before the top is chosen", choices=METHODS
    )

    def __post_init__(self) -> None:
        for name, known in (
            ("variant", VARIANTS), ("template", (None, "wiz", "alpaca", "bare")),
            ("calibrate", METHODS),
        ):  # fmt: skip
            if getattr(self, name) not in known:
                expected = ", ".join(str(value) for value in known if value)
                raise CurateError(
                    f"difficulty: {name} is {getattr(self, name)!r}; expected {expected}"
                )
        if self.keep_top is not None and self.top_k is not None:
            raise CurateError("difficulty: keep_top and top_k both say how many to keep; give one")
        if self.keep_top is not None and not 0.0 < self.keep_top <= 1.0:
            raise CurateError(
                f"difficulty: keep_top is {self.keep_top:g}; expected a share above 0, at most 1"
            )
        if self.top_k is not None and self.top_k < 1:
            raise CurateError(f"difficulty: top_k is {self.top_k}; expected 1 or more")
        if self.max_ifd is not None and not 0.0 < self.max_ifd < math.inf:
            raise CurateError(f"difficulty: max_ifd is {self.max_ifd}; expected a number above 0")
        if self.model is None:
            raise CurateError("difficulty: name a causal language model's folder in model")
        check_causal(self.model)

    @property
    def written_as(self) -> Template:
        """The template in use."""
        return self.template or ("wiz" if self.variant == "loss" else "bare")

    @property
    def fingerprint(self) -> tuple[tuple[str, int, int], ...]:
        """Of the model's files."""
        return model_state(self.model)

    def measure(self, records: pl.DataFrame) -> pl.DataFrame:
        """`given`, `alone`, `tokens`, `easy`, `late`, `problem`; `length` in words and `task`."""
        found = measure_difficulty(records, str(self.model), self.written_as)
        length = lengths(records, "words", "response", None)
        return found.with_columns(length, tasks(records)["task"])

    def judge(self, measures: pl.DataFrame) -> Judgement:
        """See `Filter.judge`."""
        judged = self._verdicts(measures)
        return Judgement(judged, self._findings(measures, judged))

    def _verdicts(self, measures: pl.DataFrame) -> pl.DataFrame:
        ifd = self._ifd(measures)
        known = ~np.isnan(ifd)
        if len(ifd) and not known.any():
            first = measures["problem"].drop_nulls()[0]
            raise CurateError(
                f"difficulty: none of {len(ifd):,} rows can be measured with {self.model} (the"
                f" first: {first}); name another model"
            )
        score = self._calibrated(measures, ifd)
        helped = known & self._within(ifd)
        place = places(best_first(measures, np.where(helped, score, np.nan)))
        kept = helped & (place < self._wanted(int(helped.sum())))
        frame = measures.select("problem", "given", "alone").with_columns(
            ifd=pl.Series(ifd).fill_nan(None),
            score=pl.Series(score).fill_nan(None),
            kept=pl.Series(kept),
            helped=pl.Series(helped),
            rank=pl.Series(place + 1),
        )
        frame = frame.with_columns(reason=_reason()).with_columns(told=self._told(int(kept.sum())))
        return verdicts(kept, frame["reason"], frame["score"], evidence=frame["told"])

    def _findings(self, measures: pl.DataFrame, judged: pl.DataFrame) -> Findings:
        """IFD against length, and the rows that a model finds easy because they loop."""
        ifd, score = self._ifd(measures), score_column(judged, "score")
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
            "measured": int(known.size),
            "median": round(median, 4),
            "looping": looping,
            "spearman": {
                "as_it_came": with_length(ifd, length, parts),
                "calibrated": with_length(score, length, parts),
            },
        }
        sentences = [f"median IFD {median:.3f} ({self.variant}, written as {self.written_as})"]
        problems = measures["problem"].drop_nulls().str.replace_all(r"\d[\d,]*", "N")
        if len(problems):
            worst = problems.value_counts().sort("count", "problem", descending=[True, False])
            kind, rows = worst["problem"][0], worst["count"][0]
            example = measures["problem"].drop_nulls().filter(problems == kind)[0]
            sentences.append(
                f"{len(problems):,} rows cannot be measured; {rows:,} of them: {example}"
            )
        if looping:
            sentences.append(
                f"{looping:,} rows are certain for more than half of their tokens: loops, or"
                " learnt by heart"
            )
        table = by_length(judged["keep"], length, ifd, score, known)
        return Findings(tuple(sentences), numbers, {"length": table})

    def _ifd(self, measures: pl.DataFrame) -> Floats:
        given, alone = score_column(measures, "given"), score_column(measures, "alone")
        return given / alone if self.variant == "loss" else np.exp(given - alone)

    def _within(self, ifd: Floats) -> Bools:
        most = math.inf if self.max_ifd is None else self.max_ifd
        within: Bools = ifd <= most if self.variant == "loss" else ifd < most
        return within

    def _calibrated(self, measures: pl.DataFrame, ifd: Floats) -> Floats:
        task = measures["task"].rank("dense").to_numpy()
        return calibrate_scores(ifd, measures["length"], task, self.calibrate)

    def _wanted(self, rows: int) -> int:
        if self.keep_top is not None:
            # A hair less before rounding up: 0.07 * 100 is 7.000000000000001 in floating point.
            return math.ceil(self.keep_top * rows - 1e-9)
        return rows if self.top_k is None else self.top_k

    def _told(self, kept: int) -> pl.Expr:
        ifd = pl.col("ifd").round(4)
        losses = pl.format(
            "{} after the question, {} alone", pl.col("given").round(4), pl.col("alone").round(4)
        )
        return (
            pl.when(pl.col("reason") == "not_measurable")
            .then("problem")
            .when(pl.col("reason") == "not_helped")
            .then(pl.format(f"IFD {{}}, most is {self.max_ifd}; {{}}", ifd, losses))
            .when(pl.col("reason") == "not_in_top")
            .then(pl.format(f"rank {{}}, {kept} kept; IFD {{}}; {{}}", "rank", ifd, losses))
        )


def _reason() -> pl.Expr:
    return (
        pl.when("kept")
        .then(pl.lit(None, dtype=pl.String))
        .when(pl.col("ifd").is_null())
        .then(pl.lit("not_measurable"))
        .when(~pl.col("helped"))
        .then(pl.lit("not_helped"))
        .otherwise(pl.lit("not_in_top"))
    )
