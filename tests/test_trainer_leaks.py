"""Held-out rows that trained rows give away."""

from __future__ import annotations

import random

import numpy as np
import pytest

from trainer.data.leaks import leaks
from trainer.data.rows import Rows, make_rows
from trainer.data.split import HOT, HOT_ROUNDS, split


def rows_of(*rows: tuple[list[int], list[int]], ids: list[str] | None = None) -> Rows:
    """Rows of (prompt, answer), of which the answer is trained."""
    return make_rows(
        ids or [f"id-{number}" for number in range(len(rows))],
        [[1, *prompt, 2, *answer, 3] for prompt, answer in rows],
        [[-100] * (len(prompt) + 2) + [*answer, 3] for prompt, answer in rows],
    )


def found(rows: Rows, *held_out: int) -> list[int]:
    train = np.setdiff1d(np.arange(len(rows)), held_out)
    return leaks(rows, train, np.array(held_out, dtype=np.int64)).tolist()


TEXT = list(range(10, 70))
OTHER = list(range(100, 160))
FAR = list(range(200, 260))


def test_a_near_copy_of_a_trained_row_leaks():
    nearly = [*TEXT[:30], 99, *TEXT[31:]]
    rows = rows_of(([5], TEXT), ([6], OTHER), ([7], nearly), ([8], FAR))
    assert found(rows, 2) == [2]
    assert found(rows, 0) == [0]
    assert found(rows, 0, 2) == []  # of each other, but not of a trained row
    assert found(rows, 1, 3) == []


def test_the_same_prompt_or_id_leaks_whatever_was_answered():
    rows = rows_of((TEXT, [5]), (OTHER, [6]), (TEXT, FAR), (FAR, [7]))
    assert found(rows, 2) == [2]
    same_id = rows_of(([5], TEXT), ([6], OTHER), ([7], FAR), ids=["a", "b", "a"])
    assert found(same_id, 2) == [2]


def test_nothing_held_out_or_nothing_trained_is_no_leak():
    rows = rows_of(([5], TEXT), ([6], TEXT))
    assert found(rows) == []
    assert found(rows, 0, 1) == []


def alike(count: int, seed: int) -> Rows:
    """Texts, and copies of them in which one token is another, in random order."""
    draw = random.Random(seed)
    texts = [[draw.randrange(10, 400) for _ in range(40)] for _ in range(count)]
    for _ in range(2 * count):
        copy = list(draw.choice(texts))
        copy[draw.randrange(len(copy))] = draw.randrange(400, 500)
        texts.append(copy)
    draw.shuffle(texts)
    return rows_of(*[([5_000 + number], text) for number, text in enumerate(texts)])


@pytest.mark.parametrize("seed", range(3))
def test_the_split_leaves_none_and_a_random_one_would(seed: int):
    rows = alike(60, seed)
    train, held_out = split(rows, np.arange(len(rows)), 0.2, seed)
    assert len(held_out) > 20
    assert leaks(rows, train, held_out).tolist() == []
    careless = np.arange(len(rows)) % 5 == seed
    assert len(leaks(rows, np.flatnonzero(~careless), np.flatnonzero(careless))) > 5


def test_every_pair_is_compared_however_many_share_a_run():
    # One run stands in more rows than the split compares all with all.
    draw = random.Random(0)
    count = HOT + HOT_ROUNDS + 40
    own = [[draw.randrange(10, 10_000) for _ in range(40)] for _ in range(count)]
    texts = [[7, 8, 9, *tokens] for tokens in own]
    texts.append([*texts[-1][:20], 6, *texts[-1][21:]])
    rows = rows_of(*[([5], text) for text in texts])
    assert found(rows, count) == [count]
    assert found(rows, 3) == []
