"""From -ln p of every label to one class a row: by the sum, by the mean, or down a trie."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np

from trainer.data.labelled import Ids
from trainer.data.rows import Ints
from trainer.evaluation.label_nats import LabelNats, Nats

Scoring = Literal["sum", "mean", "trie", "generate"]
Prior = Literal["model", "even"]
SCORINGS: Mapping[Scoring, str] = {
    "sum": "the likeliest label as a whole, its stop included, as training saw it",
    "mean": "the likeliest label a token; favours long labels",
    "trie": "the likeliest next token that goes on to a label, again and again; greedy",
    "generate": "a free greedy answer, which is a class or invalid",
}


def choose(found: LabelNats, labels: Sequence[Sequence[Ids]], scoring: Scoring) -> Ints:
    """The class of each row by a scoring other than `generate`; of equals the first."""
    if scoring == "trie":
        # A loop over rows: each goes down the trie of its labels.
        down = [_greedy(*each) for each in zip(found.tokens, labels, strict=True)]
        return np.array(down, dtype=np.int64)
    return likeliest(found.sums() if scoring == "sum" else found.means())


def likeliest(nats: Nats) -> Ints:
    """The class of each row with the smallest -ln p; of equals the first.

    >>> likeliest(np.array([[3.0, 1.0], [2.0, 2.0]])).tolist()
    [1, 0]
    """
    found: Ints = nats.argmin(axis=1).astype(np.int64)
    return found


def _greedy(nats: Sequence[Nats], labels: Sequence[Ids]) -> int:
    """The label at which the likeliest token each time ends, among those that go on to one."""
    left, depth = list(range(len(labels))), 0
    while len(left) > 1:
        best = min(left, key=lambda number: float(nats[number][depth]))
        taken = labels[best][depth]
        left = [number for number in left if labels[number][depth] == taken]
        depth += 1
    return left[0]


def shares(nats: Nats) -> Nats:
    """What each class has of the probability of all [rows, classes].

    >>> shares(np.log([[2.0, 6.0]])).round(2).tolist()
    [[0.75, 0.25]]
    """
    weights = np.exp(nats.min(axis=1, keepdims=True) - nats)
    found: Nats = weights / weights.sum(axis=1, keepdims=True)
    return found


def mass(nats: Nats) -> Nats:
    """The probability that an answer is a label at all, stop included [rows]."""
    least = nats.min(axis=1)
    found: Nats = np.exp(-least) * np.exp(least[:, None] - nats).sum(axis=1)
    return found


def evened(nats: Nats) -> Nats:
    """The scores as they were if the model gave all classes alike over these rows.

    From -ln p of a class its mean share over the rows is taken away (batch calibration, Zhou et
    al. 2023): what a model says whatever it is asked is then no reason. No truth is looked at.
    """
    found: Nats = nats + np.log(shares(nats).mean(axis=0))
    return found
