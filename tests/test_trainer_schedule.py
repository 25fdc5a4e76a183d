from __future__ import annotations

from typing import Any

import pytest

from trainer.config.config import TrainConfig
from trainer.evaluation.choosing import choose
from trainer.evaluation.table import table_lines
from trainer.plan import learning_rate, warmup_steps
from trainer.result import Epoch, Evaluation

BY_LOSS = TrainConfig(tokens="t", model="m", out="o", choose="loss")


def rates(steps: int, **fields: Any) -> list[float]:
    given = {
        "tokens": "t",
        "model": "m",
        "out": "o",
        "learning_rate": 1.0,
        "warmup_ratio": 0.0,
        "min_lr_ratio": 0.0,
    }
    config = TrainConfig(**{**given, **fields})
    return [learning_rate(config, step, steps) for step in range(steps)]


def test_a_linear_rate_falls_in_equal_parts_and_is_never_zero():
    assert rates(4, lr_scheduler_type="linear") == pytest.approx([1.0, 0.75, 0.5, 0.25])


def test_a_cosine_rate_is_half_way_in_the_middle():
    assert rates(4, lr_scheduler_type="cosine") == pytest.approx(
        [1.0, 0.853553, 0.5, 0.146447], abs=1e-6
    )


def test_a_constant_rate_stays():
    assert rates(3, lr_scheduler_type="constant") == [1.0, 1.0, 1.0]


def test_warmup_rises_to_the_peak_without_a_wasted_step():
    expected = [0.25, 0.5, 0.75, 1.0, 0.8, 0.6, 0.4, 0.2]
    assert rates(8, lr_scheduler_type="linear", warmup_ratio=0.375) == pytest.approx(expected)


def test_a_floor_is_a_share_of_the_peak():
    assert rates(4, lr_scheduler_type="linear", min_lr_ratio=0.2) == pytest.approx(
        [1.0, 0.8, 0.6, 0.4]
    )
    assert min(rates(50, lr_scheduler_type="cosine", min_lr_ratio=0.1)) >= 0.1


def test_three_percent_of_24_steps_are_one_warmup_step():
    config = TrainConfig(tokens="t", model="m", out="o", preset="alpaca")
    assert warmup_steps(config, 24) == 1


def table(*losses: float) -> list[Epoch]:
    return [
        Epoch(epoch, 10 * epoch, loss + 0.1, Evaluation(loss, loss + 1.0, 4, 12))
        for epoch, loss in enumerate(losses)
    ]


def test_the_lowest_held_out_loss_is_chosen_and_the_reason_says_so():
    chosen, why = choose(table(3.0, 2.0, 1.5, 1.7), BY_LOSS)
    assert chosen.epoch == 2
    assert why == (
        "lowest held-out loss per token: 1.5000 at epoch 2 of 3 (before training 3.0000)"
    )


def test_of_equal_losses_the_earlier_epoch_is_chosen():
    assert choose(table(3.0, 1.5, 1.5), BY_LOSS)[0].epoch == 1


def test_the_model_before_training_is_never_chosen_but_said_to_be_better():
    chosen, why = choose(table(1.0, 2.0, 1.5), BY_LOSS)
    assert chosen.epoch == 2
    assert "(before training 1.0000, which is better)" in why


def test_the_table_marks_the_chosen_epoch():
    lines = table_lines(table(3.0, 2.0), 1)
    assert lines[0].split() == ["epoch", "step", "training", "held", "out", "example_loss"]
    assert lines[2].split() == ["1", "10", "2.1000", "2.0000", "3.0000", "chosen"]
    assert "chosen" not in lines[1]
