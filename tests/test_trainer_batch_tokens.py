"""Steps of nearly equal trained tokens: how an epoch is cut, resumed, announced and refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import trainer
from curate.base.errors import CurateError
from tests.resume_toys import outcome, train_until
from tests.trainer_toys import Row, silent, write_model, write_tokens
from trainer import TrainConfig
from trainer.data.batches import token_steps
from trainer.data.mixing import Mixture, Source, step_count, tokens_taken
from trainer.data.rows import Rows, make_rows

pytest.importorskip("torch")
START, STOP, ASK = 1, 2, 3
# Answers of 2 to 8 tokens with their stop: 40 rows, 200 trained tokens.
SIZES = [2, 3, 8, 4, 5, 6, 7, 5, 6, 4] * 4
FIELDS: dict[str, Any] = {
    "preset": "alpaca",
    "batch_tokens": 45,
    "learning_rate": 3e-3,
    "held_out": 0.0,
    "choose": "last",
    "prompts": 0,
}


def rows_of(sizes: list[int]) -> list[Row]:
    rows: list[Row] = []
    for number, size in enumerate(sizes):
        prompt = [START, 4 + number % 28, 4 + number // 28, ASK]
        answer = [*(4 + (number + at) % 28 for at in range(size - 1)), STOP]
        rows.append((f"{number:016x}", prompt + answer, [-100] * 4 + answer))
    return rows


def arrays(sizes: list[int]) -> Rows:
    rows = rows_of(sizes)
    return make_rows([row[0] for row in rows], [row[1] for row in rows], [row[2] for row in rows])


def mixture(sizes: list[int], tokens: float, limit: int = 0, weight: float = 1.0) -> Mixture:
    rows = arrays(sizes)
    source = (Source("rows", np.arange(len(rows)), weight),)
    return Mixture(rows, source, len(rows), 32, 0, 0.0, limit, rows.target_counts, tokens)


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    home = tmp_path_factory.mktemp("sources")
    return {
        "tokens": write_tokens(home / "tokens", rows_of(SIZES)),
        "model": write_model(home / "model"),
    }


def steps_of(out: Path) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return [line for line in lines if not line.get("eval")]


def test_each_row_is_in_one_step_and_steps_differ_by_no_more_than_a_row() -> None:
    mixed = mixture(SIZES, 45)
    steps = mixed.epoch(1)
    assert mixed.steps_per_epoch == len(steps) == 4
    assert sorted(np.concatenate(steps).tolist()) == list(range(40))
    sums = [int(mixed.rows.target_counts[step].sum()) for step in steps]
    assert sum(sums) == 200 and all(abs(each - 50) <= 8 for each in sums)


def test_sets_of_the_same_tokens_have_the_same_steps_whatever_their_rows() -> None:
    short, long = mixture([2] * 400, 80), mixture([8] * 100, 80)
    assert short.steps_per_epoch == long.steps_per_epoch == 10
    for mixed in (short, long):
        sums = [int(mixed.rows.target_counts[step].sum()) for step in mixed.epoch(1)]
        assert sums == [80] * 10


def test_no_step_is_empty_where_rows_are_longer_than_a_step() -> None:
    assert token_steps(np.array([1, 1, 100, 1]), 4) == [
        slice(0, 1),
        slice(1, 2),
        slice(2, 3),
        slice(3, 4),
    ]
    assert token_steps(np.array([100, 1, 1, 1]), 2) == [slice(0, 1), slice(1, 4)]
    assert step_count(103, 10, 4) == 4
    assert mixture([8, 2, 2], 1).steps_per_epoch == 3


def test_epochs_have_other_orders_and_as_many_steps() -> None:
    mixed = mixture(SIZES, 45)
    first, second = mixed.epoch(1), mixed.epoch(2)
    assert len(first) == len(second) == 4
    assert any(one.tolist() != other.tolist() for one, other in zip(first, second, strict=True))


def test_rows_that_take_turns_leave_the_number_of_steps_as_it_is() -> None:
    mixed = mixture(SIZES, 20, weight=0.35)
    assert mixed.steps_per_epoch == round(200 * 14 / 40 / 20) == 4
    assert [len(mixed.epoch(epoch)) for epoch in range(1, 6)] == [4] * 5


def test_a_run_takes_these_steps_and_says_so(sources: dict[str, str], tmp_path: Path) -> None:
    lines: list[str] = []
    config = TrainConfig(**{**sources, **FIELDS}, out=str(tmp_path / "out"), max_steps=6)
    done = trainer.train(config, lines.append)
    steps = steps_of(done.out)
    assert [line["step"] for line in steps] == list(range(1, 7))
    assert sum(line["trained_tokens"] for line in steps[:4]) == 200
    assert all(abs(line["trained_tokens"] - 50) <= 8 for line in steps)
    trained = np.array(SIZES)
    assert tokens_taken(trained, 45, 6, 0) == sum(line["trained_tokens"] for line in steps)
    assert any("about 45 trained tokens (10.0 examples) a step" in line for line in lines)
    assert any("batch_tokens 45 (not batch_size)" in line for line in lines)


@pytest.mark.parametrize("call", [2, 5])
def test_it_resumes_to_the_same_bits(sources: dict[str, str], tmp_path: Path, call: int) -> None:
    fields = {**sources, **FIELDS, "max_steps": 7, "save_steps": 2}
    trainer.train(TrainConfig(**fields, out=str(tmp_path / "whole")), silent)
    fields["out"] = str(tmp_path / "out")
    train_until("trainer.loop.learning_rate", call, fields)
    with pytest.raises(CurateError, match=r"batch_tokens was 45\.0, now 44\.0"):
        trainer.train(TrainConfig(**{**fields, "batch_tokens": 44}, resume=True), silent)
    trainer.train(TrainConfig(**fields, resume=True), silent)
    assert outcome(tmp_path / "out") == outcome(tmp_path / "whole")


def test_a_dry_run_counts_these_steps(sources: dict[str, str], tmp_path: Path) -> None:
    lines: list[str] = []
    fields = {**sources, **FIELDS, "out": str(tmp_path / "out"), "num_train_epochs": 2}
    trainer.dry_run(TrainConfig(**fields), lines.append)
    assert any("720 tokens in 8 steps" in line for line in lines)


def test_what_it_does_not_go_with_is_refused() -> None:
    given = {"tokens": "t", "model": "m", "out": "o", "batch_tokens": 4096}
    with pytest.raises(CurateError, match="batch_tokens and batch_size both say how much a step"):
        TrainConfig.from_mapping({**given, "batch_size": 8})
    with pytest.raises(CurateError, match=r"batch_tokens is 4096\.0, which has no meaning"):
        TrainConfig.from_mapping({**given, "objective": "reward"})
    with pytest.raises(CurateError, match="batch_tokens"):
        TrainConfig.from_mapping({**given, "batch_tokens": 0})
    assert TrainConfig.from_mapping({**given, "preset": "lora"}).batch_tokens == 4096
