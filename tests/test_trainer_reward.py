from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import trainer
from curate.base.errors import CurateError
from tests.resume_toys import StoppedError, stop_at
from tests.trainer_toys import (
    START,
    STOP,
    silent,
    toy_model,
    with_masks,
    write_columns,
    write_model,
    write_tokens,
)
from trainer import PRESETS, TrainConfig
from trainer.checks.planning import make_plan
from trainer.data.rows import make_rows
from trainer.loss import LossMode
from trainer.objectives import reward

GOOD, BAD = 7, 9


def pairs(count: int, bad: int = BAD) -> list[dict[str, Any]]:
    """The chosen answer is one word, the rejected one another, twice as long."""
    found = []
    for number in range(count):
        prompt = [START, 10 + number % 20, 10 + (3 * number) % 20, 3]
        sides = [[*prompt, GOOD, STOP], [*prompt, bad, bad, STOP]]
        labels = [[-100] * 4 + ids[4:] for ids in sides]
        found.append({"id": f"{number:016x}", "ids": sides, "labels": labels})
    return found


def write_pairs(folder: Path, count: int, bad: int = BAD) -> str:
    made = pairs(count, bad)
    columns = {
        "input_ids": [one["ids"][0] for one in made],
        "labels": [one["labels"][0] for one in made],
        "rejected_input_ids": [one["ids"][1] for one in made],
        "rejected_labels": [one["labels"][1] for one in made],
    }
    return write_columns(folder, [one["id"] for one in made], with_masks(columns))


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("reward")
    return {"tokens": write_pairs(folder / "tokens", 40), "model": write_model(folder / "base")}


def train(sources: dict[str, str], out: Path, log: Any = silent, **fields: Any) -> Any:
    settings = {
        "objective": "reward",
        "num_train_epochs": 3,
        "batch_size": 8,
        "learning_rate": 0.01,
        "held_out": 0.2,
    }
    return trainer.train(TrainConfig(**{**sources, **settings, "out": str(out), **fields}), log)


@pytest.mark.parametrize("method", ["full", "lora"])
def test_a_reward_model_learns_to_prefer_and_is_loaded_and_scored_by_transformers(
    method: str, sources: dict[str, str], tmp_path: Path
):
    import torch
    from transformers import AutoModelForSequenceClassification

    said: list[str] = []
    done = train(sources, tmp_path / "rm", said.append, method=method, preset="reward")
    assert done.before is not None and done.after is not None
    assert done.after.accuracy == 1.0
    assert done.after.loss < done.before.loss
    noted = [json.loads(line) for line in (done.out / "metrics.jsonl").read_text().splitlines()]
    assert [line["accuracy"] for line in noted if line.get("eval")][-1] == 1.0
    assert any("longer answer is the better one" in line and "0.0 %" in line for line in said)
    saved = AutoModelForSequenceClassification.from_pretrained(done.out).eval()
    padding = saved.config.pad_token_id
    assert padding not in (None, STOP)

    # A user's own batch, padded as the saved model says, and one row alone: the same scores.
    good, bad = pairs(3)[2]["ids"]
    both = torch.tensor([[*good, padding], bad])
    with torch.no_grad():
        scores = saved(input_ids=both).logits[:, 0]
        alone = saved(input_ids=torch.tensor([good])).logits[0, 0]
    assert scores[0] > scores[1]
    assert float(alone) == pytest.approx(float(scores[0]), abs=1e-5)
    rows, other = (make_rows(["a"], [ids], [ids]) for ids in (good, bad))
    held = reward.evaluate(saved, rows, np.array([0]), 64, LossMode(True, False, rejected=other))
    assert held is not None
    expected = math.log1p(math.exp(float(scores[1] - scores[0])))
    assert held.loss == pytest.approx(expected, abs=1e-5)


def test_a_stopped_run_is_not_resumed_with_other_rejected_answers(
    sources: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    with monkeypatch.context() as patch:
        stop_at(patch, "trainer.loop.learning_rate", 5)
        with pytest.raises(StoppedError):
            train(sources, tmp_path / "rm")
    other = write_pairs(tmp_path / "other", 40, bad=8)
    with pytest.raises(CurateError, match=r"cannot resume.*the rejected answers are others"):
        train({**sources, "tokens": other}, tmp_path / "rm", resume=True)
    said: list[str] = []
    train(sources, tmp_path / "rm", said.append, resume=True)
    assert "resumed after step 4 of 12" in said


def test_equal_scores_cost_ln_2():
    import torch

    class Flat(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(1))
            self.config = toy_model().config
            self.config.pad_token_id = 0

        def forward(self, input_ids: Any, use_cache: bool) -> Any:
            return type("O", (), {"logits": self.weight.expand(len(input_ids), 1)})

    rows, other = (make_rows(["a", "b"], [ids, ids], [ids, ids]) for ids in ([5, 2], [6, 7, 2]))
    held = reward.evaluate(
        Flat(), rows, np.array([0, 1]), 64, LossMode(True, False, rejected=other)
    )
    assert held is not None and held.loss == pytest.approx(0.693147, abs=1e-6)


def test_padding_is_an_id_that_no_row_ends_with():
    one, other = (make_rows(["a"], [ids], [ids]) for ids in ([5, 2], [6, 0]))
    assert reward.padding_id(one, other, [2, 0, None, 9], 32) == 9
    assert reward.padding_id(one, other, [], 32) == 1


def test_rows_that_are_no_pairs_are_refused(sources: dict[str, str], tmp_path: Path):
    from tests.trainer_toys import reversed_pairs

    tokens = write_tokens(tmp_path / "tokens", reversed_pairs(4))
    with pytest.raises(CurateError, match="has no column rejected_input_ids"):
        train({**sources, "tokens": tokens}, tmp_path / "rm")


def test_a_pair_is_trained_only_if_both_sides_pass_the_gate(
    sources: dict[str, str], tmp_path: Path
):
    with pytest.raises(CurateError, match="too-long"):
        short = write_model(tmp_path / "short", max_position_embeddings=6)
        train({**sources, "model": short}, tmp_path / "rm")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"prompts": 3}, "prompts is 3, which has no meaning for a reward model"),
        ({"method": "prefix"}, "expected one of full, lora, rslora, dora for a reward model"),
        ({"choose": "score", "prompts": 0}, "choose is 'score'"),
        ({"packing": "on"}, "packing is 'on', and objective is 'reward'"),
    ],
)
def test_what_has_no_meaning_for_a_reward_model_is_refused(fields: dict[str, Any], message: str):
    with pytest.raises(CurateError, match=message):
        TrainConfig(tokens="t", model="m", out="o", objective="reward", **fields)


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_can_train_a_reward_model_and_what_it_says_of_answers_gives_way(preset: str):
    settings = TrainConfig(tokens="t", model="m", out="o", preset=preset, objective="reward")
    assert (settings.prompts, settings.length_target) == (0, 0)
    assert settings.choose in ("loss", "last")
    assert settings.num_train_epochs == PRESETS[preset].values["num_train_epochs"]


def test_the_preset_for_reward_models_says_nothing_of_answers():
    settings = TrainConfig(tokens="t", model="m", out="o", preset="reward", objective="sft")
    assert settings.prompts > 0


def test_pairs_can_be_trained_on_as_answers_too(sources: dict[str, str], tmp_path: Path):
    """Then the chosen side alone is read, and the log says so."""
    said: list[str] = []
    plan = make_plan(TrainConfig(**sources, out=str(tmp_path / "sft")), said.append)
    assert "rows are pairs: the chosen answers are trained, the rejected ones not read" in said
    assert plan.rejected is None
