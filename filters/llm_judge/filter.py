"""Judge rows by what a language model says of them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import polars as pl

from curate.base.contract import Estimate, Filter, Judgement
from curate.base.errors import CurateError
from curate.base.log import Log, no_log
from curate.base.settings import setting, values_of
from filters.common.arrays import Floats
from filters.common.calibrate import Method, calibrate_scores, spread_ties
from filters.common.codes import text_codes
from filters.common.given_scores import LARGEST, scores_of_column, text_of_field
from filters.common.models import check_folder
from filters.common.ranking import best_first, check_top, places, score_column, top_rows
from filters.common.tasks import tasks
from filters.common.units import lengths
from filters.llm_judge.evidence import evidence_of
from filters.llm_judge.findings import judge_findings
from filters.llm_judge.measures import measured
from filters.llm_judge.question import Judge, Way
from filters.llm_judge.reading import MIN_MASS, PROBLEMS
from filters.llm_judge.rubric import RUBRICS, Rubric, load_rubric
from filters.llm_judge.session import Session
from filters.llm_judge.store import Answers

ANSWERS = "answers"  # the folder in that of the cache


@dataclass(frozen=True)
class LLMJudge(Filter):
    """Score rows by asking a language model, and keep those that it scores best.

    `model` is the name of a model on a server that speaks the OpenAI protocol, at `url` (vLLM,
    llama.cpp, Ollama, hosted ones), or, without `url`, the folder of a causal language model that
    is run in this process. `rubric` says what is asked and how a score is read: as written text,
    or as the expected value over the probabilities of the labels (`read`). Rows whose answer gives
    no score are dropped as `no_score`, with the answer as evidence: no score is ever guessed.

    Each answer is kept when it comes, by question, model and settings of the model: a run that is
    cut off goes on where it was, and a threshold moves for nothing. What failed is asked again in
    the next run. Rows are sent to `url` and nowhere else. The key is `OPENAI_API_KEY` of the
    environment, and goes only to the server that `OPENAI_BASE_URL` names.

    Without a rule (`min_score`, `keep_top`, `top_k`) all rows with a score are kept. Later steps
    see the score as `judge.score`, and that of each aspect as `judge.ASPECT`.
    """

    name: ClassVar[str] = "judge"
    reasons: ClassVar[Mapping[str, str]] = {
        "no_score": "the judge gave no score that can be read",
        "low_mass": PROBLEMS["low_mass"],
        "nothing_to_judge": PROBLEMS["nothing_to_judge"],
        "below_min_score": "the score is below the least one",
        "not_in_top": "the judge scores other rows better",
    }
    asks: ClassVar[bool] = True

    rubric: str = setting(
        "careful", "name of a rubric (curate judge rubrics), or a file", path=True
    )
    model: str | None = setting(
        None, "name of the model at url; without url a causal language model's folder", path=True
    )
    url: str | None = setting(None, "address of a server, such as http://127.0.0.1:8000/v1")
    given: str | None = setting(
        None, "field with scores that rows came with: score, or a field; such rows are not asked"
    )
    reference: str | None = setting(None, "field with a right answer, for rubrics that show one")
    min_score: float | None = setting(None, "least score, on the scale of the rubric")
    keep_top: float | None = setting(
        None, "share of the rows within min_score to keep, 0 to 1", above=0, high=1
    )
    top_k: int | None = setting(None, "number of rows to keep", low=1)
    calibrate: Method = setting("none", "how length is taken out before the top is chosen")
    read: Literal["auto", "text", "probabilities"] = setting(
        "auto", "how answers are read; auto: as the rubric likes best and the server can"
    )
    min_mass: float = setting(
        MIN_MASS, "probabilities: what the labels must have of all probability", low=0, high=1
    )
    written_as: Literal["chat", "plain"] | None = setting(
        None, "model's folder: prompts in its chat template or plain; none = chat if it has one"
    )
    max_tokens: int | None = setting(
        None, "tokens of a written answer; none = as rubric says", low=1
    )
    temperature: float | None = setting(0.0, "of the server; none = its own", low=0)
    concurrency: int = setting(8, "questions under way at once", low=1, high=512)
    timeout: float = setting(120.0, "seconds that one answer may take", above=0)
    prices: tuple[float, float] | None = setting(
        None, "dollars for a million tokens in and out, for --dry-run and max_cost"
    )
    max_cost: float | None = setting(None, "dollars after which the run stops", above=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_top(self.name, self.keep_top, self.top_k)
        self._check_model()
        self._check_rubric(load_rubric(self.rubric))

    def _check_rubric(self, rubric: Rubric) -> None:
        if rubric.is_pairwise:
            raise CurateError(
                f"judge: rubric {rubric.name} compares two answers; it is for curate pairs --from"
                " judge"
            )
        if self.min_score is not None and not rubric.low <= self.min_score <= rubric.high:
            raise CurateError(
                f"judge: min_score is {self.min_score:g}; rubric {rubric.name} gives"
                f" {rubric.low:g} to {rubric.high:g}"
            )

        if self.reference is not None and "reference" not in rubric.reads:
            able = [name for name in RUBRICS if "reference" in load_rubric(name).reads]
            able = [name for name in able if not load_rubric(name).is_pairwise]
            raise CurateError(
                f"judge: rubric {rubric.name} shows no reference; leave reference out, or take"
                f" one that does: {', '.join(able)}"
            )

    def _check_model(self) -> None:
        if self.url is not None:
            if self.model is None:
                raise CurateError("judge: url needs model, the name of a model there")
            if self.written_as is not None:
                raise CurateError("judge: written_as is for a model's folder; a server decides")
            self._server()  # which looks at its settings before any data is read
            return
        given = [name for name in ("prices", "max_cost") if getattr(self, name) is not None]
        if given:
            raise CurateError(f"judge: {given[0]} is for a server; name it in url, or leave it out")
        if self.model is not None:
            check_folder(self.name, self.model, instead="name a server in url")
        elif self.given is None:
            raise CurateError(
                "judge: nobody is named to ask; set model and url (a server), model (a folder), or"
                " given (a field with scores)"
            )

    @property
    def reads(self) -> tuple[str, ...]:
        """Columns that rubrics show or scores come from."""
        return ("id", "messages", "tools", "category", "score", "meta", "prompt", "response")

    @property
    def rows_at_once(self) -> int:
        """Rows for which all places are busy for long, and whose end comes soon enough."""
        return max(64 * self.concurrency, 256)

    @property
    def published(self) -> Rubric:
        """The rubric."""
        return load_rubric(self.rubric)

    def asking(self, folder: Path | None, say: Log) -> AbstractContextManager[Filter]:
        """The filter that asks, with answers kept below `folder`."""
        return self._asking(folder, say)

    @contextmanager
    def _asking(self, folder: Path | None, say: Log) -> Iterator[Filter]:
        values = values_of(self, LLMJudge)
        if self.model is None:  # all scores are given
            yield AskingJudge(**values, session=None)
            return
        with closing(self.session_in(folder, say)) as session:
            yield AskingJudge(**values, session=session)

    def session_in(self, folder: Path | None, say: Log) -> Session:
        """The judge at work, with answers kept below `folder`. Raises `CurateError`."""
        answers = Answers(None if folder is None else folder / ANSWERS)
        wanted = None if self.read == "auto" else self.read
        judge, rubric = self._judge(answers, say), self.published
        return Session(judge, rubric, answers, say, self.min_mass, wanted, self.max_tokens)

    def measure(self, records: pl.DataFrame) -> pl.DataFrame:
        """`score`, `mass`, `problem`, an f64 for each aspect, `length` in words and `task`."""
        with self.asking(None, no_log) as bound:
            return bound.measure(records)

    @property
    def way(self) -> Way | None:
        """How answers are read; None before any is."""
        return None

    @property
    def answered(self) -> Mapping[str, Any]:
        """Of the answers, for the manifest: what depends on them alone."""
        return {}

    @property
    def examples(self) -> Mapping[str, str]:
        """By problem what the first answer was that had it; empty before any is read."""
        return {}

    def judge(self, measures: pl.DataFrame) -> Judgement:
        """The rows that the judge scores best; how scores are spread, and depend on length."""
        raw = score_column(measures, "score")
        if len(raw) and np.isnan(raw).all():
            raise self._nothing_scored(measures)
        score = self._calibrated(measures, raw)
        enough = ~np.isnan(raw) & (raw >= (-math.inf if self.min_score is None else self.min_score))
        place = places(best_first(measures, np.where(enough, score, np.nan)))
        keep = enough & (place < top_rows(int(enough.sum()), self.keep_top, self.top_k))
        problem = pl.col("problem").cast(pl.String)
        frame = measures.with_columns(keep=pl.Series(keep), enough=pl.Series(enough))
        shown = frame.select(
            reason=pl.when("keep").then(None)
            .when(problem.is_in(["low_mass", "nothing_to_judge"])).then(problem)
            .when(pl.col("score").is_null()).then(pl.lit("no_score"))
            .when(~pl.col("enough")).then(pl.lit("below_min_score"))
            .otherwise(pl.lit("not_in_top")),
            # What the judge said of a row that was asked is looked up, see `evidence`.
            evidence=pl.when(~pl.col("asked") & pl.col("score").is_null())
            .then(pl.lit(f"{self.given} holds no number, and no model is named to ask")),
        )  # fmt: skip
        return Judgement.of(
            keep,
            shown["reason"],
            pl.Series(score).fill_nan(None),
            evidence=shown["evidence"],
            findings=judge_findings(self, measures, pl.Series(keep), raw, score),
            from_text=measures["asked"],
            raw=None if self.calibrate == "none" else pl.Series(raw).fill_nan(None),
        )

    def _calibrated(self, measures: pl.DataFrame, raw: Floats) -> Floats:
        if self.calibrate == "none":
            return raw
        first = places(best_first(measures, np.zeros(len(raw))))
        groups = measures["task"].rank("dense").to_numpy()
        return calibrate_scores(
            spread_ties(raw, -first), measures["length"], groups, self.calibrate
        )

    def _nothing_scored(self, measures: pl.DataFrame) -> CurateError:
        if self.model is None:
            return CurateError(
                f"judge: none of {measures.height:,} rows has a score in {self.given}; name a model"
                " to ask: --set judge.model=NAME --set judge.url=URL, or a model's folder"
            )
        problems = measures["problem"].cast(pl.String).drop_nulls().value_counts()
        kind = problems.sort("count", "problem", descending=[True, False])["problem"][0]
        example = self.examples.get(kind)
        shown = f"; the first: {example}" if example else ""
        return CurateError(
            f"judge: none of {measures.height:,} rows got a score from {self.model} by rubric"
            f" {self.published.name} ({kind}: {PROBLEMS[kind]}{shown}); {self._remedy(kind)}"
        )

    def _remedy(self, kind: str) -> str:
        rubric = self.published
        if kind == "low_mass":
            labels = ", ".join(rubric.matter.labels)
            text = ", set read: text" if "text" in rubric.ways else ""
            return f"each label must be one token of the model ({labels}){text}, or try another"
        if kind in ("no_answer", "cannot_be_asked"):
            return "mend that and run again"
        if kind == "nothing_to_judge":
            return "take a rubric about what the rows have"
        return "try another rubric or model"

    def _judge(self, answers: Answers, say: Log) -> Judge:
        assert self.model is not None
        if self.url is not None:
            return self._server(answers, say)
        from filters.llm_judge.local import LocalModel

        return LocalModel(self.model, self.written_as)

    def _server(self, answers: Answers | None = None, say: Log = no_log) -> Judge:
        from filters.llm_judge.server import Server

        assert self.url is not None
        assert self.model is not None
        try:
            return Server(
                self.url,
                self.model,
                concurrency=self.concurrency,
                timeout=self.timeout,
                temperature=self.temperature,
                prices=self.prices,
                max_cost=self.max_cost,
                store=answers,
                log=say,
            )
        except CurateError as error:
            raise CurateError(f"judge: {error}") from None


@dataclass(frozen=True, repr=False)
class AskingJudge(LLMJudge):
    """The judge in one run; `session` is None where all scores are given."""

    session: Session | None = field(default=None, repr=False, compare=False)

    def __repr__(self) -> str:
        """As the filter whose settings it has: reports and `curate explain` show it."""
        shown = (f"{name}={value!r}" for name, value in values_of(self, LLMJudge).items())
        return f"{LLMJudge.__name__}({', '.join(shown)})"

    @cached_property
    def published(self) -> Rubric:
        """The rubric as it was when the run began: read once, whatever becomes of its file."""
        return load_rubric(self.rubric) if self.session is None else self.session.rubric

    def asking(self, folder: Path | None, say: Log) -> AbstractContextManager[Filter]:
        """The same: it asks already."""
        return nullcontext(self)

    def measure(self, records: pl.DataFrame) -> pl.DataFrame:
        """See `LLMJudge.measure`."""
        given = self._given(records)
        missing = given.is_null()
        aspects = self.published.aspects
        if self.session is None or not missing.any():
            nobody = pl.Series("asked", [False]).new_from_index(0, records.height)
            found = measured([], given, nobody, aspects)
        else:
            asked = self._shown(records.filter(missing))
            if self.reference is not None:
                self.session.references += asked["reference"].count()
            found = measured(self.session.judged(asked), given, missing, aspects)
        length = lengths(records, "words", "response", None)
        return found.with_columns(length, text_codes(tasks(records)["task"]))

    def evidence(
        self, records: pl.DataFrame, measures: pl.DataFrame, verdicts: pl.DataFrame
    ) -> pl.Series:
        """The score as the judge gave it, and its reason; of rows without one the raw answer."""
        assert self.session is not None
        return evidence_of(self.session.recalled(self._shown(records)), measures, verdicts, self)

    def estimate(self, records: pl.DataFrame) -> Estimate:
        """What it would take to ask about the records without a given score."""
        missing = records.filter(self._given(records).is_null())
        if self.session is None:
            return Estimate(rows=records.height, nobody=missing.height)
        # A model in this process costs no dollars.
        prices = (0.0, 0.0) if self.url is None else self.prices
        found = self.session.estimate(self._shown(missing), prices)
        return found + Estimate(rows=records.height - missing.height)

    @property
    def way(self) -> Way | None:
        """See `LLMJudge.way`."""
        return None if self.session is None else self.session.way

    @property
    def answered(self) -> Mapping[str, Any]:
        """See `LLMJudge.answered`."""
        if self.session is None:
            return {}
        seen = {} if self.reference is None else {"with_reference": self.session.references}
        return {**self.session.totals.numbers(), **seen}

    @property
    def examples(self) -> Mapping[str, str]:
        """See `LLMJudge.examples`."""
        return {} if self.session is None else self.session.examples

    def _given(self, records: pl.DataFrame) -> pl.Series:
        if self.given is None:
            return pl.Series("score", [None], dtype=pl.Float64).new_from_index(0, records.height)
        score = pl.col("score")
        found = scores_of_column(records, self.given).to_frame()
        fine = score.is_finite() & (score.abs() < LARGEST)
        return found.select(pl.when(fine).then(score)).to_series()

    def _shown(self, records: pl.DataFrame) -> pl.DataFrame:
        """The records, with the right answer beside them where one is to be shown."""
        if self.reference is None:
            return records
        return records.with_columns(text_of_field(records, self.reference).alias("reference"))
