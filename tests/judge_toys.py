"""A judge that answers from a function, for tests of what is made of answers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from curate.base.log import Log, no_log
from filters.llm_judge.filter import AskingJudge
from filters.llm_judge.question import Answer, Question
from filters.llm_judge.rubric import load_rubric
from filters.llm_judge.session import Session
from filters.llm_judge.store import Answers

# Something is named so that settings are right; nobody is asked there.
NOBODY = {"model": "toy", "url": "http://127.0.0.1:9/v1"}


class ScriptedJudge:
    """Answers with what `answer` gives; counts what it was asked. Answers come in reverse order."""

    identity = "scripted"
    kept_in = None

    def __init__(
        self,
        answer: Callable[[Question], Answer],
        probabilities: bool = False,
        backwards: bool = True,
    ) -> None:
        self.answer, self.probabilities, self.backwards = answer, probabilities, backwards
        self.asked: list[Question] = []
        self.why_no_probabilities = "this toy gives no logprobs"

    def gives_probabilities(self) -> bool:
        return self.probabilities

    def ask(self, questions: Iterable[tuple[int, Question]]) -> Iterator[tuple[int, Answer]]:
        every = list(questions)
        self.asked += [question for _, question in every]
        answers = [(number, self.answer(question)) for number, question in every]
        yield from reversed(answers) if self.backwards else answers

    def notices(self) -> list[str]:
        return []

    def spent(self) -> Mapping[str, Any]:
        return {}

    def close(self) -> None:
        pass


def asking(
    judge: ScriptedJudge,
    rubric: str = "alpagasus",
    answers: Answers | None = None,
    say: Log = no_log,
    **settings: Any,
) -> AskingJudge:
    """The filter with this judge behind it."""
    wanted = settings.get("read", "auto")
    session = Session(
        judge,
        load_rubric(rubric),
        answers or Answers(None),
        say,
        wanted=None if wanted == "auto" else wanted,
    )
    return AskingJudge(rubric=rubric, **NOBODY, **settings, session=session)
