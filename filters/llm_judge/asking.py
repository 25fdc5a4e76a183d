"""Asking a judge many questions: what is known is looked up, the rest is asked once and kept."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from curate.base.errors import CurateError
from filters.llm_judge.question import Answer, Judge, Question
from filters.llm_judge.store import Answers

_LOOKED_UP = 500  # questions looked up together
MOST_NAMED = 20  # names by which a server calls its model
_WAITING = 4_096  # known answers that may wait while others are asked


def ask_all(
    questions: Iterable[tuple[int, Question]],
    judge: Judge,
    store: Answers,
    failed: dict[bytes, Answer] | None = None,
) -> Iterator[tuple[int, Answer]]:
    """An answer for every question, each with the number that its question came with, as they come.

    Equal questions are asked once, also while the first is under way. An answer is kept before it
    is given. A question that fails has a `problem` in its answer; a later run asks it again.
    Questions are taken as there is room for them. `failed` holds, by key, what failed before in
    this run and is not asked again; it is added to. Raises `CurateError` for what stops them all.
    """
    asking = _Asking(iter(questions), judge, store, {} if failed is None else failed)
    try:
        yield from asking.answers()
    except CurateError as error:
        if not asking.kept:
            raise
        kept = "1 answer is" if asking.kept == 1 else f"{asking.kept:,} answers are"
        raise CurateError(
            f"{error}; {kept} kept, and the same command goes on from there"
        ) from None


class _Asking:
    """Questions on their way: known ones are given at once, the others wait for the judge."""

    def __init__(
        self,
        questions: Iterator[tuple[int, Question]],
        judge: Judge,
        store: Answers,
        failed: dict[bytes, Answer],
    ) -> None:
        self.questions, self.judge, self.store = questions, judge, store
        self.kept = 0
        self.known: deque[tuple[int, Answer]] = deque()
        self.unknown: deque[tuple[bytes, Question]] = deque()
        self.asked: dict[int, bytes] = {}  # serial numbers of what the judge has
        self.numbers: dict[bytes, list[int]] = {}  # all that wait for the answer to a question
        self.failed = failed
        self.problems: dict[str, Answer] = {}  # they repeat, and there may be many
        self.serial = 0

    def answers(self) -> Iterator[tuple[int, Answer]]:
        while True:
            # A judge gets questions until too many known answers wait; then it is emptied.
            first = next(rest := self._unknown(), None)
            if first is not None:
                asked = self.judge.ask(_chain(first, rest))
                try:
                    for serial, answer in asked:
                        yield from self._come(serial, answer)
                        yield from self._flush()
                finally:  # whoever wants no more answers wants no more questions asked
                    if isinstance(asked, Generator):
                        asked.close()
            elif not self.known:
                return
            yield from self._flush()

    def _flush(self) -> Iterator[tuple[int, Answer]]:
        while self.known:
            yield self.known.popleft()

    def _unknown(self) -> Iterator[tuple[int, Question]]:
        """Questions to ask, under serial numbers of their own."""
        while len(self.known) < _WAITING:
            while self.unknown:
                key, question = self.unknown.popleft()
                self.serial += 1
                self.asked[self.serial] = key
                yield self.serial, question
            if not self._look_up():
                return

    def _look_up(self) -> bool:
        """Take some more questions; False where there are none."""
        some = list(islice(self.questions, _LOOKED_UP))
        keys = [question.key(self.judge.identity) for _, question in some]
        known = self.store.get(list(dict.fromkeys(keys)))
        for key, (number, question) in zip(keys, some, strict=True):
            if key in known:
                self.known.append((number, known[key]))
            elif key in self.failed:
                self.known.append((number, self.failed[key]))
            elif key in self.numbers:
                self.numbers[key].append(number)
            else:
                self.numbers[key] = [number]
                self.unknown.append((key, question))
        return bool(some)

    def _come(self, serial: int, answer: Answer) -> Iterator[tuple[int, Answer]]:
        key = self.asked.pop(serial)
        if answer.problem:
            problem = Answer(problem=answer.problem)
            answer = self.problems.setdefault(answer.problem, problem)
            self.failed[key] = answer
        else:
            if self.judge.kept_in is not self.store:
                answer = self.store.put(key, answer)
            self.kept += 1
        for number in self.numbers.pop(key):
            yield number, answer


def _chain(
    first: tuple[int, Question], rest: Iterator[tuple[int, Question]]
) -> Iterator[tuple[int, Question]]:
    yield first
    yield from rest


def commonest(counts: Mapping[str, int], most: int = MOST_NAMED) -> dict[str, int]:
    """The names in order, and of more than `most` the commonest; the others are counted as one.

    A server may call itself by another name in each answer.
    """
    first = sorted(counts, key=lambda name: (-counts[name], name))
    found = {name: counts[name] for name in sorted(first[:most])}
    if others := first[most:]:
        found[f"{len(others):,} other names"] = sum(counts[name] for name in others)
    return found


@dataclass
class Totals:
    """What answers add up to, in whatever order they come: the same for new and for kept ones."""

    models: Counter[str] = field(default_factory=Counter)
    answers: int = 0
    failed: int = 0
    cut: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    problems: Counter[str] = field(default_factory=Counter)

    def add(self, answer: Answer) -> None:
        """Count an answer."""
        if answer.problem:
            self.failed += 1
            self.problems[answer.problem] += 1
            return
        self.answers += 1
        self.models[answer.model] += 1
        self.cut += answer.finish == "length" and not answer.probabilities
        self.tokens_in += answer.tokens_in
        self.tokens_out += answer.tokens_out

    def numbers(self) -> dict[str, Any]:
        """For the manifest."""
        return {
            "answers": self.answers,
            "failed": self.failed,
            "cut": self.cut,
            "models": commonest(self.models),
            "tokens_in": self.tokens_in,
            "tokens_out": self.tokens_out,
        }
