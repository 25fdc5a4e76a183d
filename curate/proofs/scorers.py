"""Who says which of two answers is better: a reward model, or a language model as judge."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import polars as pl

from curate.base.errors import CurateError
from curate.base.folder import sha256
from curate.base.log import Log, no_log
from curate.base.schema import RECORDS, with_text
from curate.base.settings import checked_settings
from curate.base.spelling import option
from curate.pipeline.cache import default_folder
from curate.proofs.options import ProveOptions
from curate.proofs.training import one_thread
from filters.llm_judge.asking import ask_all
from filters.llm_judge.compare import Pair, PairwiseJudge
from filters.llm_judge.filter import LLMJudge
from filters.llm_judge.pairwise import Verdict, compare
from filters.llm_judge.question import Answer, Question
from filters.llm_judge.rubric import load_rubric
from filters.llm_judge.session import Session
from filters.reward.filter import Reward
from filters.reward.linear import WEIGHTS, is_linear, score_with_linear
from filters.reward.model import model_scores
from trainer.after.suite.identity import model_hash

PAIRS = "mt_bench_pair"  # the rubric where none is named
TOO_LONG = "longer than the reward model reads"
NO_ANSWER = "no_answer"  # of a judge that could not be asked: the next time it is asked again
_WINS = {"a": 1.0, "tie": 0.5, "b": 0.0}
_NO_RULES = ("given", "reference", "min_score", "keep_top", "top_k")  # settings of recipes' steps


class Given(NamedTuple):
    """An answer to the prompt of a row, and, for who compares, another one."""

    row: Mapping[str, Any]
    answer: str
    other: str = ""

    @property
    def prompt(self) -> dict[str, Any]:
        """The row up to its last answer."""
        messages = self.row["messages"]
        last = max(at for at, each in enumerate(messages) if each["role"] == "assistant")
        return {**self.row, "messages": messages[:last]}


class Outcome(NamedTuple):
    """A score, or of two answers 1 where the first wins, 0.5 for a tie; None has a `problem`.

    `is_flipped`: asked in the other order, the judge had another verdict.
    """

    value: float | None
    problem: str = ""
    is_flipped: bool = False


Asking = Callable[[Sequence[Given]], list[Outcome]]


def scorers_of(options: ProveOptions) -> tuple[Scorer, ...]:
    """Who is asked about answers. Raises `CurateError` for what is no scorer."""
    found: list[Scorer] = []
    if options.reward is not None:
        found.append(RewardScorer.of(options.reward))
    if options.judge:
        found.append(JudgeScorer.of(options.judge))
    return tuple(found)


class Scorer(Protocol):
    """Scores answers, or (`is_pairwise`) compares two. `plan` is all that its scores depend on."""

    @property
    def kind(self) -> str:
        """`reward` or `judge`."""
        ...

    @property
    def name(self) -> str:
        """What the user calls it."""
        ...

    @property
    def is_pairwise(self) -> bool: ...

    @property
    def plan(self) -> dict[str, Any]:
        """Plain values."""
        ...

    def asks(self, models: int, pairs: int) -> str:
        """What it is asked at most about so many models' answers, and so many pairs of them."""
        ...

    def check(self) -> None:
        """Raise `CurateError` where it cannot be asked at all."""
        ...

    def opened(self, log: Log) -> AbstractContextManager[Asking]:
        """Ready to be asked, until the block ends. Raises `CurateError`."""
        ...


@dataclasses.dataclass(frozen=True)
class RewardScorer:
    """A reward model as a step `reward` takes it: one number for an answer, whatever else is."""

    folder: str
    sha256: str

    kind = "reward"
    is_pairwise = False

    @classmethod
    def of(cls, folder: str) -> RewardScorer:
        """The model in a folder. Raises `CurateError` for what is none."""
        Reward(model=folder)  # which looks at it
        return cls(folder, reward_hash(folder))

    @property
    def name(self) -> str:
        """The folder."""
        return self.folder

    @property
    def plan(self) -> dict[str, Any]:
        """The hash of the model."""
        return {"name": self.folder, "sha256": self.sha256}

    def asks(self, models: int, pairs: int) -> str:
        """See `Scorer`."""
        return f"{models:,} answers are scored"

    def check(self) -> None:
        """It was looked at."""

    @contextmanager
    def opened(self, log: Log) -> Iterator[Asking]:
        """See `Scorer`."""
        score = (
            (lambda records: score_with_linear(records, self.folder, True))
            if is_linear(self.folder)
            else model_scores(self.folder)
        )

        def ask(given: Sequence[Given]) -> list[Outcome]:
            found = score(answered(given))
            why = (
                pl.when(pl.col("tokens").is_not_null()).then(pl.lit(TOO_LONG)).otherwise("problem")
            )
            rows = found.with_columns(pl.col("problem").cast(pl.String)).select("score", why)
            return [_outcome(value, problem or "") for value, problem in rows.iter_rows()]

        with one_thread():
            yield ask


def reward_hash(folder: str) -> str:
    """What decides a reward model's scores, as a hash."""
    return sha256(Path(folder) / WEIGHTS) if is_linear(folder) else model_hash(folder)


def _outcome(value: float | None, problem: str) -> Outcome:
    if value is None or not math.isfinite(value):
        return Outcome(None, problem or "no_score")
    return Outcome(value)


def answered(given: Sequence[Given]) -> pl.DataFrame:
    """Records of prompts with the answers (not `other`), with the columns that scorers read."""
    rows = [
        {**prompt, "messages": [*prompt["messages"], {"role": "assistant", "content": each.answer}]}
        for each in given
        for prompt in [each.prompt]
    ]
    return with_text(pl.DataFrame(rows, schema=RECORDS))


@dataclasses.dataclass(frozen=True)
class JudgeScorer:
    """A language model with the settings of a step `judge`.

    By a rubric for pairs it is asked in both orders, and a win is one in both; by another one it
    scores each answer alone.
    """

    judge: LLMJudge

    kind = "judge"

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> JudgeScorer:
        """The judge of these settings. Raises `CurateError` for others than it has."""
        rubric = load_rubric(str(given.get("rubric", PAIRS)))
        kind = PairwiseJudge if rubric.is_pairwise else LLMJudge
        if not rubric.reads & {"response", "messages", "answer_a"}:
            raise CurateError(
                f"judge: rubric {rubric.name} does not look at the answer, so it cannot say whose "
                f"is better; leave {option('rubric')} out, or take one that does"
            )
        for name in _NO_RULES:
            if given.get(name) is not None:
                raise CurateError(
                    f"judge: {name} is for a step of a recipe; a proof has no use of it"
                )
        return cls(kind(**checked_settings(kind, given, "judge")))

    @property
    def name(self) -> str:
        """The model."""
        assert self.judge.model is not None
        return self.judge.model

    @property
    def is_pairwise(self) -> bool:
        """Whether its rubric compares."""
        return isinstance(self.judge, PairwiseJudge)

    @property
    def plan(self) -> dict[str, Any]:
        """Model, address, rubric and how answers are read."""
        own, rubric = self.judge, self.judge.published
        state = {} if own.url is not None else {"sha256": model_hash(self.name)}
        names = ("read", "min_mass", "written_as", "max_tokens", "temperature")
        settings = {name: getattr(own, name) for name in names}
        who = {"name": self.name, "url": own.url, **state}
        return {**who, "rubric": rubric.name, "rubric_hash": rubric.fingerprint, **settings}

    def asks(self, models: int, pairs: int) -> str:
        """See `Scorer`."""
        if self.is_pairwise:
            return (
                f"at most {2 * pairs:,} questions about {pairs:,} pairs of answers, in both orders"
            )
        each = len(self.judge.published.aspects)
        return f"at most {each * models:,} questions about {models:,} answers"

    def check(self) -> None:
        """Ask a server a small question; a folder was looked at."""
        if self.judge.url is None:
            return
        with closing(self._session(no_log)) as session:
            for _, answer in session.judge.ask([(0, _SMALL)]):
                if answer.problem:
                    raise CurateError(f"judge {self.name}: cannot be asked ({answer.problem})")

    @contextmanager
    def opened(self, log: Log) -> Iterator[Asking]:
        """See `Scorer`; what is answered is kept at once, for later runs too."""
        with closing(self._session(log)) as session:
            yield lambda given: (_compared if self.is_pairwise else _scored)(session, given)

    def _session(self, log: Log) -> Session:
        return self.judge.session_in(default_folder(), log)


_SMALL = Question("Is two more than one? Answer with one word.", max_tokens=16)


def _scored(session: Session, given: Sequence[Given]) -> list[Outcome]:
    readings = [each.together for each in session.judged(answered(given))]
    return [_outcome(each.score, each.problem) for each in readings]


def _compared(session: Session, given: Sequence[Given]) -> list[Outcome]:
    pairs = [Pair(each.prompt, each.answer, each.other) for each in given]

    def ask(questions: Iterable[tuple[int, Question]]) -> Iterator[tuple[int, Answer]]:
        return ask_all(questions, session.judge, session.answers)

    found = dict(compare(session.rubric, pairs, ask, session.way, session.least_mass))
    return [_won(found[at]) for at in range(len(given))]


def _won(verdict: Verdict) -> Outcome:
    if verdict.winner is None:
        return Outcome(None, verdict.problem)
    return Outcome(_WINS[verdict.winner], "", verdict.is_flipped)
