"""What a judge is asked and what it answers: all that passes between rubrics and models."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import orjson

# How an answer is read: as written text, or as the probabilities of the tokens that may come next.
Way = Literal["text", "probabilities"]


@dataclass(frozen=True)
class Question:
    """One question to a judge, as plain text.

    `labels` are the answers whose probabilities are the score, each a single token; none: the
    answer is written text. `lead` is what the answer begins with, before the label, where the
    judge is in this process.
    """

    user: str
    system: str = ""
    labels: tuple[str, ...] = ()
    lead: str = ""
    max_tokens: int = 512

    def key(self, judge: str) -> bytes:
        """16 bytes that are the same for equal questions to an equal judge."""
        asked = [judge, self.user, self.system, self.labels, self.lead, self.max_tokens]
        return hashlib.blake2b(orjson.dumps(asked), digest_size=16).digest()


@dataclass(frozen=True)
class Answer:
    """What came of a question.

    `probabilities` has one number for each label of the question: what the model gives that token,
    not normalised; their sum is the mass of the labels. A label that a server does not list has
    0.0, and `bound` is the most that it can have. `problem` says why there is no answer, in
    words; then nothing else counts, and the answer is never kept.
    """

    text: str = ""
    probabilities: tuple[float, ...] = ()
    bound: float = 0.0
    model: str = ""  # as the one who answered calls itself
    finish: str = ""  # "stop"; "length" where the answer was cut
    tokens_in: int = 0
    tokens_out: int = 0
    problem: str = ""


class Judge(Protocol):
    """A model that answers questions: on a server, or in this process.

    `identity` is all that can change an answer beside the question: model, address, settings; the
    state of a folder's files. It holds no secret.
    """

    identity: str

    @property
    def kept_in(self) -> object | None:
        """Where it keeps answers itself, as soon as it has them; None: nowhere."""
        ...

    @property
    def why_no_probabilities(self) -> str:
        """Why it cannot say probabilities, in words; "" where it can, or nobody knows yet."""
        ...

    def gives_probabilities(self) -> bool:
        """Whether it can say the probabilities of labels. May ask it a known question once.

        Raises `CurateError` where it cannot be asked at all.
        """
        ...

    def ask(self, questions: Iterable[tuple[int, Question]]) -> Iterator[tuple[int, Answer]]:
        """The answers, each with the number that its question came with, as they come.

        Questions are taken when there is room for them. What fails for one question is its
        `problem`; raises `CurateError` for what would fail for all (no key, no such model, a server
        that is gone), with how to mend it.
        """
        ...

    def notices(self) -> list[str]:
        """What a user should know of how the answers came about, in sentences."""
        ...

    def spent(self) -> Mapping[str, Any]:
        """What this process took to get them, which differs from run to run; see `Server.spent`."""
        ...

    def close(self) -> None:
        """End what runs beside this thread."""
        ...
