"""A judge at work in one run: what its rows are asked, what it answered, and how that reads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import polars as pl

from curate.base.contract import Estimate
from curate.base.errors import CurateError
from curate.base.log import Log
from filters.llm_judge.asking import Totals, ask_all
from filters.llm_judge.question import Answer, Judge, Question, Way
from filters.llm_judge.reading import MIN_MASS, Reading
from filters.llm_judge.rubric import Rubric, RubricFailed
from filters.llm_judge.store import Answers

# Bytes of text that a token stands for: near enough for English, and for a forecast.
BYTES_PER_TOKEN = 4.0
# What a chat template adds to a message.
TOKENS_PER_MESSAGE = 8
EXAMPLE = 160  # characters of an answer that an error shows


class Asked(NamedTuple):
    """The questions about one row; `instead` is what counts where there are none."""

    questions: Sequence[Question]
    instead: Reading | None = None


class Judged(NamedTuple):
    """What came of one row: a reading for each aspect, all as one, and the answers themselves."""

    readings: Sequence[Reading]
    together: Reading
    answers: Sequence[Answer]


@dataclass
class Session:
    """Asks `judge` by `rubric` about rows; answers are looked up and kept in `answers`.

    `least_mass` is what labels must have of the probability, `wanted` how answers are to be read
    (None: as the rubric likes best).
    """

    judge: Judge
    rubric: Rubric
    answers: Answers
    say: Log
    least_mass: float = MIN_MASS
    wanted: Way | None = None
    max_tokens: int | None = None
    totals: Totals = field(default_factory=Totals, init=False)
    examples: dict[str, str] = field(default_factory=dict, init=False)  # by problem, of the first
    references: int = field(default=0, init=False)  # rows that came with a right answer
    _way: Way | None = field(default=None, init=False)
    # What failed in this run, so that all rows that ask the same are dropped alike.
    _failed: dict[bytes, Answer] = field(default_factory=dict, init=False)

    @property
    def way(self) -> Way:
        """How answers are read. Asks the judge once what it can. Raises `CurateError`."""
        if self._way is None:
            self._way = self._chosen()
        return self._way

    def _chosen(self) -> Way:
        ways = self.rubric.ways if self.wanted is None else (self.wanted,)
        if self.wanted is not None and self.wanted not in self.rubric.ways:
            raise CurateError(
                f"judge: rubric {self.rubric.name} has no rule for read: {self.wanted}; it has"
                f" {' and '.join(self.rubric.ways)}"
            )
        if ways[0] == "text" or self.judge.gives_probabilities():
            return ways[0]
        why = self.judge.why_no_probabilities
        if self.wanted is not None and "text" in self.rubric.ways:
            raise CurateError(
                f"judge: {why}, and read: probabilities needs them; set read: text or auto, or name"
                " another server or a model's folder"
            )
        if "text" in ways:
            self.say(f"{why}; rubric {self.rubric.name} is read as text instead")
            return "text"
        raise CurateError(
            f"judge: {why}, and rubric {self.rubric.name} is read from them alone; name another"
            " server, a rubric that is read as text, or a model's folder"
        )

    def asked(self, row: Mapping[str, Any]) -> Asked:
        """What is asked about a row: a question for each aspect, or why nothing is."""
        texts = self.rubric.texts(row)
        problem = self.rubric.problem_of(texts)
        if problem:
            return Asked([], Reading(problem=problem))
        try:
            questions = self.rubric.asked(texts, self.way)
        except RubricFailed as error:
            return Asked([], Reading(problem="cannot_be_asked", reason=str(error)))
        if self.max_tokens is not None and self.way == "text":
            questions = [replace(each, max_tokens=self.max_tokens) for each in questions]
        return Asked(questions)

    def judged(self, records: pl.DataFrame) -> list[Judged]:
        """What the judge says of each record; what is not known is asked. Raises `CurateError`."""
        rows = [self.asked(row) for row in records.iter_rows(named=True)]
        found: dict[int, Answer] = {}
        width = len(self.rubric.aspects)
        asked = ask_all(_numbered(rows, width), self.judge, self.answers, self._failed)
        for number, answer in asked:
            found[number] = answer
            self.totals.add(answer)
        every = [
            self._read(row, [found[at * width + each] for each in range(len(row.questions))])
            for at, row in enumerate(rows)
        ]
        for one in every:
            self._note(one)
        return every

    def recalled(self, records: pl.DataFrame) -> list[Judged]:
        """What the judge said of each record in this run; of what failed, why. Asks nothing."""
        rows = [self.asked(row) for row in records.iter_rows(named=True)]
        keys = [[each.key(self.judge.identity) for each in row.questions] for row in rows]
        wanted = [key for row in keys for key in row]
        known = self.answers.get(wanted)
        # Another run may have the answer by now, which is not what this one decided by.
        known |= {key: self._failed[key] for key in wanted if key in self._failed}
        gone = Answer(problem="the answer is no longer there")
        return [
            self._read(row, [known.get(key, gone) for key in own])
            for row, own in zip(rows, keys, strict=True)
        ]

    def estimate(self, records: pl.DataFrame, prices: tuple[float, float] | None) -> Estimate:
        """What it would take to ask about these records; equal questions are asked once."""
        asked: dict[bytes, Question] = {}
        for row in records.iter_rows(named=True):
            for question in self.asked(row).questions:
                asked[question.key(self.judge.identity)] = question
        known = self.answers.get(list(asked))
        missing = [question for key, question in asked.items() if key not in known]
        tokens_in, tokens_out = sum(map(_tokens, missing)), sum(map(_most_tokens, missing))
        cost = None
        if prices is not None:
            cost = (tokens_in * prices[0] + tokens_out * prices[1]) / 1e6
        return Estimate(records.height, len(known), len(missing), tokens_in, tokens_out, cost)

    def close(self) -> None:
        """End what runs beside, close what answers are kept in, and say what it took."""
        self.judge.close()
        notices = (*self.judge.notices(), *self.answers.notices)
        for line in (*notices, *_spent_lines(self.judge.spent())):
            self.say(line)
        self.answers.close()

    def _note(self, judged: Judged) -> None:
        """Remember the first answer with each problem, to show what went wrong."""
        for reading, answer in zip(judged.readings, judged.answers, strict=False):
            if reading.problem:
                shown = answer.problem or f"{answer.text[:EXAMPLE]!r}"
                self.examples.setdefault(reading.problem, shown)

    def _read(self, row: Asked, answers: Sequence[Answer]) -> Judged:
        if row.instead is not None:
            return Judged([row.instead], row.instead, [])
        readings = [
            self.rubric.read(question, answer, self.way, aspect, self.least_mass)
            for question, answer, aspect in zip(
                row.questions, answers, self.rubric.aspects, strict=True
            )
        ]
        return Judged(readings, self.rubric.combined(readings), answers)


def _spent_lines(spent: Mapping[str, Any]) -> Iterator[str]:
    """What this run took; none of it is in the result, which is the same when all is known."""
    if not spent.get("requests"):
        return
    requests = spent["requests"]
    line = "1 request was sent" if requests == 1 else f"{requests:,} requests were sent"
    if spent["tried_again"]:
        line += f", {spent['tried_again']:,} of them again"
    if spent["pauses"]:
        line += f"; the server made us wait {spent['seconds_paused']:,.0f} s"
    line += f"; {spent['tokens_in']:,} tokens in, {spent['tokens_out']:,} out"
    yield line if spent["cost"] is None else f"{line}, ${spent['cost']:,.4f}"


def _numbered(rows: Sequence[Asked], width: int) -> Iterator[tuple[int, Question]]:
    for at, row in enumerate(rows):
        for each, question in enumerate(row.questions):
            yield at * width + each, question


def _tokens(question: Question) -> int:
    texts = [text for text in (question.system, question.user) if text]
    size = sum(len(text.encode("utf-8", "surrogatepass")) for text in texts)
    return round(size / BYTES_PER_TOKEN) + TOKENS_PER_MESSAGE * len(texts)


def _most_tokens(question: Question) -> int:
    return 1 if question.labels else question.max_tokens
