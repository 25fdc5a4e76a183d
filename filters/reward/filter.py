"""Keep the rows that a reward model, a judge or votes score best, whatever their length."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import polars as pl

from curate.base.contract import Filter, Judgement, verdicts
from curate.base.errors import CurateError
from curate.base.settings import setting
from filters.common.arrays import Floats
from filters.common.calibrate import Method, calibrate_scores, spread_ties
from filters.common.codes import text_codes
from filters.common.given_scores import LARGEST, scores_of_column, scores_of_file
from filters.common.models import model_state
from filters.common.problems import problem_texts
from filters.common.ranking import best_first, check_top, places, score_column, top_rows
from filters.common.tasks import tasks
from filters.common.text import keys
from filters.common.units import lengths
from filters.reward.evidence import evidence_of, reason_of
from filters.reward.findings import reward_findings, with_grades
from filters.reward.linear import is_linear, load, score_with_linear
from filters.reward.model import check_model, score_with_model
from filters.reward.rules import best_graded, rank_in_prompts


@dataclass(frozen=True)
class Reward(Filter):
    """Judge records by a score from a column, a side file, or a local reward model.

    A model is a folder of a sequence classifier with one output, or one that `curate reward fit`
    wrote. Scores that grow with length choose long answers, not good ones; so every rule but
    `min_score` compares scores with the part that length explains removed (`calibrate`), within
    first words of a request that have 100 rows or more. Equal scores are spread by id up to the
    next ones before that, or the shortest of all best answers would come first; for votes and
    grades with few values, `calibrate: rank` evens lengths out best. Without a rule, all scored
    rows are kept. A row without a finite score passes no rule on scores: it is dropped with a
    reason of its own, unless a judge's best grade alone is enough (`judge_by`, `combine: or`).

    Rules apply in this order: `min_score` (on the score as it came), `per_prompt` (best of n; a
    prompt's only answer is kept) with `margin`, then `keep_top` or `top_k` of what is left.
    `judge_by: judge.score` with `keep_top: 0.25` is the rule of Llama 3 (arXiv 2407.21783, 4.2.3):
    the top quarter of the reward, or the best grade of the judge.

    Later steps see the score as it came as `reward.score` and the calibrated one as
    `reward.verdict`. In the `scores` of rows that are written they are `reward` and
    `reward.calibrated`.
    """

    name: ClassVar[str] = "reward"
    reasons: ClassVar[Mapping[str, str]] = {
        "no_score": "the row has no score, or one that is no number under 1e300",
        "not_scorable": "the reward model could not read the row",
        "below_min_score": "the score is below the least one",
        "not_best_of_prompt": "other answers to the same prompt score better",
        "no_clear_winner": "the best answer to its prompt leads the next one by too little",
        "not_in_top": "other rows score better, length taken into account",
        "not_best_graded": "the judge has not given it the best grade",
    }
    measured_by: ClassVar[tuple[str, ...]] = (
        "column", "scores", "model", "fingerprint", "length_term",
    )  # fmt: skip
    # What some source of scores looks at: a column, a file by id, a model of either kind.
    reads: ClassVar[tuple[str, ...]] = (
        "id", "messages", "tools", "score", "meta", "prompt", "response",
    )  # fmt: skip
    version: ClassVar[int] = 3

    column: str = setting(
        "score", "where the score is: score, or a field of the row (judge.help for a nested one)"
    )
    scores: str | None = setting(
        None, "JSON Lines file with id and the field named by column, for each row", path=True
    )
    model: str | None = setting(
        None, "folder of a sequence classifier with one output, or of a linear model", path=True
    )
    length_term: bool = setting(True, "linear model: count its length term in the score")
    keep_top: float | None = setting(
        None, "share of the scored rows to keep, 0 to 1", above=0, high=1
    )
    top_k: int | None = setting(None, "number of rows to keep", low=1)
    min_score: float | None = setting(None, "least score, on the scale it came with")
    per_prompt: int | None = setting(
        None, "answers of one prompt to keep at most: 1 = best of n", low=1
    )
    margin: float | None = setting(
        None,
        "per_prompt 1: least lead of the best answer; else all rows of the prompt are dropped",
        above=0,
    )
    judge_by: str | None = setting(
        None, "column of a judge's grade: record.score, or STEP.score of an earlier step"
    )
    combine: Literal["or", "and"] = setting(
        "or", "keep what the score's rules or the judge's best grade keep, or what both do"
    )
    calibrate: Method = setting(
        "lwr", "how length is taken out of the score before scores are compared"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_source()
        self._check_rules()

    def _check_rules(self) -> None:
        check_top(self.name, self.keep_top, self.top_k)
        if self.margin is not None and self.per_prompt != 1:
            raise CurateError("reward: margin compares the two best of a prompt; set per_prompt: 1")
        if self.combine != "or" and self.judge_by is None:
            raise CurateError("reward: combine is read only with judge_by; name the judge's column")
        ruled = (self.keep_top, self.top_k, self.min_score, self.per_prompt)
        if self.judge_by is not None and self.combine == "or" and ruled == (None,) * 4:
            raise CurateError(
                "reward: without a rule every scored row is kept, whatever the grade in judge_by;"
                " set keep_top, top_k, min_score or per_prompt, or combine: and"
            )

    @property
    def needs(self) -> tuple[str, ...]:
        """The judge's column, when one is named."""
        return (self.judge_by,) if self.judge_by else ()

    @property
    def cached(self) -> bool:
        """Only a model's scores depend on the text alone and are worth keeping."""
        return self.model is not None

    @property
    def fingerprint(self) -> tuple[tuple[str, int, int], ...]:
        """Of the model's files."""
        return model_state(self.model)

    def measure(self, records: pl.DataFrame) -> pl.DataFrame:
        """`score` (f64), `problem` (why there is none), `tokens` that are too many, and groups.

        `length` is in words. `asked` (u64) is the same for rows whose prompt, system message and
        all, is the same, and `task` (u64) for rows whose requests have the same first word.
        """
        found = self._scored(records)
        length = lengths(records, "words", "response", None)
        asked = pl.Series("asked", keys(records["prompt"], normalise=False))
        return found.with_columns(length, text_codes(tasks(records)["task"]), asked)

    def judge(self, measures: pl.DataFrame) -> Judgement:
        """The rows that all rules keep; score against length, before and after calibration."""
        raw = score_column(measures, "score")
        grades = self._grades(measures)
        if len(raw) and np.isnan(raw).all():
            raise self._nothing_scored(measures)
        score = self._calibrated(measures, raw)
        applied = self._applied(measures, raw, score)
        top = applied["top"].to_numpy()
        best = top if grades is None else best_graded(grades)
        kept = top | best if self.combine == "or" else top & best
        judged = self._verdicts(applied.with_columns(kept=pl.Series(kept)), grades)
        found = reward_findings(self, measures, judged["keep"], raw, score)
        if grades is not None:
            found = with_grades(found, self, raw, top, grades)
        original = None if self.calibrate == "none" else applied["raw"]
        return Judgement(judged, found, raw=original)

    def _applied(self, measures: pl.DataFrame, raw: Floats, score: Floats) -> pl.DataFrame:
        """What the score's rules say of each row: which rows are left after each, and ranks.

        `first` are left after `min_score` and `per_prompt`, `clear` after `margin`, `top` after
        all; the other columns are those of `Ranked` and what evidence names.
        """
        enough = ~np.isnan(raw) & (raw >= (-math.inf if self.min_score is None else self.min_score))
        ranked = rank_in_prompts(measures, np.where(enough, score, np.nan))
        first = enough & (ranked.place < (self.per_prompt or len(raw)))
        clear = first & (ranked.lead >= (self.margin or -math.inf))
        place = places(best_first(measures, np.where(clear, score, np.nan)))
        top = clear & (place < top_rows(int(clear.sum()), self.keep_top, self.top_k))
        told = {"first": first, "clear": clear, "top": top, "rank": place + 1, **ranked._asdict()}
        return measures.select("length").with_columns(
            problem_texts(measures, "tokens"),
            *(pl.Series(name, values) for name, values in told.items()),
            raw=pl.Series(raw).fill_nan(None),
            score=pl.Series(score).fill_nan(None),
        )

    def _verdicts(self, applied: pl.DataFrame, grades: Floats | None) -> pl.DataFrame:
        graded = pl.Series("grade", np.full(applied.height, np.nan) if grades is None else grades)
        frame = applied.with_columns(
            graded.fill_nan(None), reason=reason_of(self.min_score)
        ).with_columns(evidence=evidence_of(self, self._source(), int(applied["top"].sum())))
        return verdicts(frame["kept"], frame["reason"], frame["score"], evidence=frame["evidence"])

    def _scored(self, records: pl.DataFrame) -> pl.DataFrame:
        if self.model is None:
            return self._given(records)
        if is_linear(self.model):
            return score_with_linear(records, self.model, self.length_term)
        return score_with_model(records, self.model)

    def _grades(self, measures: pl.DataFrame) -> Floats | None:
        if self.judge_by is None:
            return None
        grades = score_column(measures, self.judge_by)
        if len(grades) and np.isnan(grades).all():
            raise CurateError(
                f"reward: none of {len(grades):,} rows has a grade in {self.judge_by}; name"
                " another column in judge_by, or leave it out"
            )
        return grades

    def _calibrated(self, measures: pl.DataFrame, raw: Floats) -> Floats:
        if self.calibrate == "none":
            return raw
        first = places(best_first(measures, np.zeros(len(raw))))
        tasks_of = measures["task"].rank("dense").to_numpy()
        spread = spread_ties(raw, -first)
        return calibrate_scores(spread, measures["length"], tasks_of, self.calibrate)

    def _given(self, records: pl.DataFrame) -> pl.DataFrame:
        if self.scores is not None:
            found = scores_of_file(records, self.scores, self.column)
        else:
            found = scores_of_column(records, self.column)
        # As in what a record came with: larger numbers are faults, and their sums overflow.
        score = pl.col("score")
        finite = pl.when(score.is_finite() & (score.abs() < LARGEST)).then(score)
        return found.to_frame().select(
            score=finite, problem=pl.lit(None, pl.Categorical), tokens=pl.lit(None, pl.UInt32)
        )

    def _source(self) -> str:
        if self.model is not None:
            return self.model
        return self.column if self.scores is None else f"{self.scores} ({self.column})"

    def _nothing_scored(self, measures: pl.DataFrame) -> CurateError:
        problem = problem_texts(measures, "tokens").drop_nulls()
        why = f" (the first: {problem[0]})" if len(problem) else ""
        return CurateError(
            f"reward: none of {measures.height:,} rows has a score in {self._source()}{why};"
            " name a column that the rows have, a file with their ids, or a model"
        )

    def _check_source(self) -> None:
        if self.model is not None and self.scores is not None:
            raise CurateError("reward: scores and model both give the score; give one")
        if self.model is not None:
            if self.column != "score":
                raise CurateError("reward: column is not read when a model gives the score")
            if is_linear(self.model):
                load(self.model)
            else:
                check_model(self.model)
        if not self.length_term and (self.model is None or not is_linear(self.model)):
            raise CurateError(
                "reward: length_term is of a linear model; name one in model, or leave it out"
            )
        if self.scores is not None and not Path(self.scores).is_file():
            raise CurateError(f"reward: no file {self.scores}; expected JSON Lines with ids")
        if not self.column or "" in self.column.split("."):
            raise CurateError(f"reward: column is {self.column!r}; expected a field's name")
