"""Keep the rows that a reward model, a judge or votes score best, whatever their length."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import polars as pl

from curate.schema import CurateError, setting, verdicts
from filters.calibrate import METHODS, calibrate_scores, spread_ties
from filters.length_stats import Bools, Floats, Ints
from filters.length_tasks import tasks
from filters.length_units import file_state, lengths
from filters.reward_model import check_model, score_with_model
from filters.reward_scores import scores_of_column, scores_of_file
from filters.select_order import best_first, places, score_column


@dataclass(frozen=True)
class Reward:
    """Judge records by a score from a column, a side file, or a local reward model.

    Scores that grow with length choose long answers, not good ones; so `keep_top` and `top_k`
    compare scores with the part that length explains removed (`calibrate`), within the kinds of
    request that have 100 rows or more. Equal scores are spread by id up to the next ones before
    that, or the shortest of all best answers would come first; for votes and grades with few
    values, `calibrate: rank` evens lengths out best. `min_score` compares the score as it is.
    Rows without a finite score are dropped with a reason of their own. Without a rule, all
    scored rows stay.

    The measured `reward.score` is the score as it came; `reward.verdict` the calibrated one.
    """

    name: ClassVar[str] = "reward"
    reasons: ClassVar[Mapping[str, str]] = {
        "no_score": "the row has no score, or one that is not a finite number",
        "not_scorable": "the reward model could not read the row",
        "below_min_score": "the score is below the least one",
        "not_in_top": "other rows score better, length taken into account",
    }
    per_row: ClassVar[bool] = False
    measured_by: ClassVar[tuple[str, ...]] = ("column", "scores", "model", "fingerprint")
    version: ClassVar[int] = 1

    column: str = setting(
        "score", "where the score is: score, or a field of the row (judge.help for a nested one)"
    )
    scores: str | None = setting(
        None, "JSON Lines file with id and the field named by column, for each row", path=True
    )
    model: str | None = setting(
        None, "folder of a sequence-classification model with one output", path=True
    )
    keep_top: float | None = setting(None, "share of the scored rows to keep, 0 to 1")
    top_k: int | None = setting(None, "number of rows to keep")
    min_score: float | None = setting(None, "least score, on the scale it came with")
    calibrate: Literal["none", "lwr", "bin", "rank"] = setting(
        "lwr", "how length is taken out of the score before the top is chosen", choices=METHODS
    )

    def __post_init__(self) -> None:
        self._check_source()
        if self.calibrate not in METHODS:
            raise CurateError(
                f"reward: calibrate is {self.calibrate!r}; expected {', '.join(METHODS)}"
            )
        if self.keep_top is not None and self.top_k is not None:
            raise CurateError("reward: keep_top and top_k both say how many to keep; give one")
        if self.keep_top is not None and not 0.0 < self.keep_top <= 1.0:
            raise CurateError(
                f"reward: keep_top is {self.keep_top:g}; expected a share above 0, at most 1"
            )
        if self.top_k is not None and self.top_k < 1:
            raise CurateError(f"reward: top_k is {self.top_k}; expected 1 or more")
        if self.min_score is not None and not math.isfinite(self.min_score):
            raise CurateError(f"reward: min_score is {self.min_score}; expected a finite number")

    @property
    def cached(self) -> bool:
        """Only a model's scores depend on the text alone and are worth keeping."""
        return self.model is not None

    @property
    def fingerprint(self) -> tuple[tuple[str, int, int], ...]:
        """Name, size and time of the model's files: another model, other scores."""
        if self.model is None:
            return ()
        files = sorted(path for path in Path(self.model).iterdir() if path.is_file())
        return tuple((file.name, *file_state(file)) for file in files)

    def measure(self, records: pl.DataFrame) -> pl.DataFrame:
        """`score` (f64), `problem` (str), `length` (words, u32) and `task` (first word)."""
        if self.model is not None:
            found = score_with_model(records, self.model)
        else:
            found = self._given(records)
        length = lengths(records, "words", "response", None)
        return found.with_columns(length, tasks(records)["task"])

    def judge(self, measures: pl.DataFrame) -> pl.DataFrame:
        raw = score_column(measures, "score")
        known = ~np.isnan(raw)
        if len(raw) and not known.any():
            raise self._nothing_scored(measures)
        score = self._calibrated(measures, raw)
        enough = known & (raw >= (-math.inf if self.min_score is None else self.min_score))
        place = places(best_first(measures, np.where(enough, score, np.nan)))
        kept = enough & (place < self._wanted(int(enough.sum())))
        return self._verdicts(measures, raw, score, kept, place)

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
        finite = pl.when(pl.col("score").is_finite()).then("score")
        return found.to_frame().select(score=finite, problem=pl.lit(None, dtype=pl.String))

    def _wanted(self, rows: int) -> int:
        if self.keep_top is not None:
            # A hair less before rounding up: 0.07 * 100 is 7.000000000000001 in floating point.
            return math.ceil(self.keep_top * rows - 1e-9)
        return rows if self.top_k is None else self.top_k

    def _verdicts(
        self,
        measures: pl.DataFrame,
        raw: Floats,
        score: Floats,
        kept: Bools,
        place: Ints,
    ) -> pl.DataFrame:
        frame = measures.select("problem", "length").with_columns(
            raw=pl.Series(raw).fill_nan(None),
            score=pl.Series(score).fill_nan(None),
            kept=pl.Series(kept),
            place=pl.Series(place + 1),
        )
        frame = frame.with_columns(reason=self._reason()).with_columns(told=self._told(kept))
        return verdicts(kept, frame["reason"], frame["score"], evidence=frame["told"])

    def _reason(self) -> pl.Expr:
        least = -math.inf if self.min_score is None else self.min_score
        return (
            pl.when("kept")
            .then(pl.lit(None, dtype=pl.String))
            .when(pl.col("problem").is_not_null())
            .then(pl.lit("not_scorable"))
            .when(pl.col("raw").is_null())
            .then(pl.lit("no_score"))
            .when(pl.col("raw") < least)
            .then(pl.lit("below_min_score"))
            .otherwise(pl.lit("not_in_top"))
        )

    def _told(self, kept: Bools) -> pl.Expr:
        raw, score = pl.col("raw").round(4), pl.col("score").round(4)
        known = raw.drop_nulls()
        ids = pl.when(known.min() == known.max()).then(
            pl.lit("all scores are equal, so ids decided; ")
        )
        ranked = pl.format(
            f"{{}}rank {{}}, {int(kept.sum())} kept; score {{}} ({self.calibrate}),"
            " as it came {}, {} words",
            ids.otherwise(pl.lit("")),
            "place",
            score,
            raw,
            "length",
        )
        return (
            pl.when(pl.col("reason") == "not_scorable")
            .then("problem")
            .when(pl.col("reason") == "no_score")
            .then(pl.lit(f"no finite number in {self._source()}"))
            .when(pl.col("reason") == "below_min_score")
            .then(pl.format(f"{{}}, least is {self.min_score}", raw))
            .when(pl.col("reason") == "not_in_top")
            .then(ranked)
        )

    def _source(self) -> str:
        if self.model is not None:
            return self.model
        return self.column if self.scores is None else f"{self.scores} ({self.column})"

    def _nothing_scored(self, measures: pl.DataFrame) -> CurateError:
        problem = measures["problem"].drop_nulls()
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
            check_model(self.model)
        if self.scores is not None and not Path(self.scores).is_file():
            raise CurateError(f"reward: no file {self.scores}; expected JSON Lines with ids")
        if not self.column or "" in self.column.split("."):
            raise CurateError(f"reward: column is {self.column!r}; expected a field's name")
