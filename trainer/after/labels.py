"""A model as a classifier: every row's class, by the labels that it was trained to write."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from curate.base.errors import CurateError
from trainer.after import chat
from trainer.after.chat import Sampling, Talker
from trainer.data.labelled import LabelledRows
from trainer.data.rows import Ints
from trainer.evaluation import label_choice
from trainer.evaluation.classes import INVALID
from trainer.evaluation.label_choice import Prior, Scoring
from trainer.evaluation.label_nats import POSITIONS, Nats, label_nats
from trainer.result import Answer

# A free answer may have so many tokens more than the longest label, so that it can be shown.
_MORE = 16


@dataclasses.dataclass(frozen=True)
class PositionsRead:
    """Positions that went through the model, padding too, and two numbers that bound them.

    `once` is each prompt once and each label's tokens, `apart` each label behind a prompt of its
    own; `shares_prompts` says which way was taken.
    """

    positions: int
    once: int
    apart: int
    shares_prompts: bool


@dataclasses.dataclass(frozen=True)
class Classified:
    """What a model makes of rows: `predicted` [rows] classes, `INVALID` for an answer that is none.

    `nats` [rows, classes] is -ln p of each label with its stop, `mass` [rows] the probability that
    an answer is a label at all; both None where answers were generated, whose texts are `answers`.
    """

    predicted: Ints
    nats: Nats | None = None
    mass: Nats | None = None
    answers: tuple[str, ...] | None = None
    reading: PositionsRead | None = None


def classify(
    talker: Talker,
    rows: LabelledRows,
    scoring: Scoring = "sum",
    prior: Prior = "model",
    *,
    positions: int = POSITIONS,
    log: Callable[[str], None] | None = None,
) -> Classified:
    """The class of every row, all of which fit the model (see `fitting`).

    With the prior `even` a class that the model gives to all rows has no lead. Raises `CurateError`
    where the model's numbers are none (NaN).
    """
    if scoring == "generate":
        return _generated(talker, rows, log)
    found = label_nats(talker.net, rows.prompts, rows.labels, positions=positions, log=log)
    nats = found.sums()
    if np.isnan(nats).any():
        raise chat.no_numbers(talker)
    if prior == "even":
        compared = found.means() if scoring == "mean" else nats
        predicted = label_choice.likeliest(label_choice.evened(compared))
    else:
        predicted = label_choice.choose(found, rows.labels, scoring)
    reading = PositionsRead(found.read, found.once, found.apart, found.shares_prompts)
    return Classified(predicted, nats, label_choice.mass(nats), None, reading)


def _generated(talker: Talker, rows: LabelledRows, log: Callable[[str], None] | None) -> Classified:
    longest = max(len(label) for labels in rows.labels for label in labels)
    given = chat.answers(talker, rows.prompts, Sampling(max_tokens=longest + _MORE), log or _silent)
    predicted = [parsed(answer, rows.classes) for answer in given]
    texts = tuple(answer.text or "" for answer in given)
    return Classified(np.array(predicted, dtype=np.int64), answers=texts)


def _silent(line: str) -> None:
    """A log that nobody reads."""


def parsed(answer: Answer, classes: Sequence[str]) -> int:
    """The class that an answer is, spaces around it aside; `INVALID` for all else.

    An answer that did not stop by itself is none: nobody knows how it goes on.
    """
    text = (answer.text or "").strip()
    names = [name.strip() for name in classes]
    return names.index(text) if answer.stopped and text in names else INVALID


def fitting(talker: Talker, rows: LabelledRows) -> LabelledRows:
    """The rows that the model has positions for; the others are left out, and say so.

    Raises `CurateError` for ids that are no tokens of the model.
    """
    size = int(talker.net.get_input_embeddings().weight.shape[0])
    labels = {label for each in rows.labels for label in each}
    largest = max((max(ids) for ids in (*rows.prompts, *labels)), default=0)
    if largest >= size:
        raise CurateError(
            f"the rows have token {largest}, and the model {size:,} tokens; is it the model these "
            "rows were rendered for?"
        )
    return rows.fitting(talker.positions)
