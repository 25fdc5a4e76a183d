"""Losses of preferences by their formulas: literal numbers, gradients by hand, limits."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from curate.base.errors import CurateError
from trainer import TrainConfig
from trainer.data.pairs import Pairs, longer_wins
from trainer.data.rows import make_rows
from trainer.objectives import cpo, dpo, hinge, ipo, orpo, simpo
from trainer.objectives.registry import OBJECTIVES
from trainer.objectives.sides import Sides

LN_2 = math.log(2)
LOSSES = {"dpo": dpo, "hinge": hinge, "ipo": ipo, "simpo": simpo, "cpo": cpo, "orpo": orpo}


def config(objective: str, **fields: Any) -> TrainConfig:
    return TrainConfig(tokens="t", model="m", out="o", objective=objective, **fields)


def sides(
    ratios: tuple[float, float] = (0.0, 0.0),
    lengths: tuple[int, int] = (10, 10),
    means: tuple[float, float] = (-1.0, -1.0),
) -> Sides:
    """One pair: means of ln p a token by the reference, and how far the model is from it."""
    import torch

    def number(value: float) -> Any:
        return torch.tensor([value], dtype=torch.float64)

    reference = [mean * length for mean, length in zip(means, lengths, strict=True)]
    found = [number(known + ratio) for known, ratio in zip(reference, ratios, strict=True)]
    for each in found:
        each.requires_grad_()
    return Sides(*found, *map(number, reference), *map(number, lengths))


def loss(objective: str, pair: Sides, **fields: Any) -> float:
    return LOSSES[objective].losses(pair, config(objective, **fields)).item()


def test_a_margin_of_a_half_costs_and_pulls_what_the_formula_says():
    pair = sides((3.0, -2.0))
    found = dpo.losses(pair, config("dpo", beta=0.1))
    found.sum().backward()
    assert found.item() == pytest.approx(0.474077, abs=1e-6)
    assert float(pair.chosen.grad) == pytest.approx(-0.037754, abs=1e-6)
    assert float(pair.rejected.grad) == pytest.approx(0.037754, abs=1e-6)


@pytest.mark.parametrize(
    ("objective", "fields", "expected"),
    [
        ("dpo", {"beta": 0.1}, LN_2),
        ("dpo", {"beta": 5.0, "length_normalised": True}, LN_2),
        ("dpo", {"label_smoothing": 0.1}, LN_2),
        ("dpo", {"label_smoothing": 0.1, "robust": True}, LN_2),
        ("hinge", {}, 1.0),
        ("ipo", {"beta": 0.1}, 25.0),
        ("cpo", {}, LN_2),
        ("orpo", {"beta": 0.1}, 1 + 0.1 * LN_2),
        ("simpo", {"simpo_gamma": 0.0}, LN_2),
    ],
    ids=str,
)
def test_where_nothing_was_learnt_yet_a_pair_costs_a_constant(
    objective: str, fields: dict[str, Any], expected: float
):
    """Of losses without a reference the two answers are equally likely here."""
    assert loss(objective, sides(), **fields) == pytest.approx(expected, abs=1e-12)


def test_smoothed_labels_cost_more_and_corrected_ones_less():
    pair = sides((2.5, -2.5))
    assert loss("dpo", pair, label_smoothing=0.1, beta=0.1) == pytest.approx(0.524077, abs=1e-6)
    robust = {"label_smoothing": 0.1, "robust": True, "beta": 0.1}
    assert loss("dpo", pair, **robust) == pytest.approx(0.411577, abs=1e-6)


def test_smoothed_labels_have_their_lowest_loss_at_the_log_odds_of_the_share():
    at = math.log(0.9 / 0.1)
    lowest = loss("dpo", sides((at, 0.0)), label_smoothing=0.1, beta=1.0)
    assert lowest == pytest.approx(0.3251, abs=1e-4)
    for away in (-0.5, 0.5):
        assert loss("dpo", sides((at + away, 0.0)), label_smoothing=0.1, beta=1.0) > lowest
    # The corrected loss has none.
    far = loss("dpo", sides((100.0, 0.0)), label_smoothing=0.1, robust=True, beta=1.0)
    assert far == pytest.approx(-12.5, abs=1e-6)


def test_simpo_compares_means_with_a_margin():
    pair = sides(means=(-1.0, -1.5), lengths=(10, 3))
    assert loss("simpo", pair, beta=2.0, simpo_gamma=1.0) == pytest.approx(LN_2, abs=1e-12)


def test_orpo_is_sft_and_an_odds_ratio_and_finite_where_an_answer_is_certain():
    assert loss("orpo", sides(means=(-1.0, -1.5))) == pytest.approx(1.040114, abs=1e-6)
    certain = sides(means=(0.0, -1.5))
    found = orpo.losses(certain, config("orpo"))
    found.sum().backward()
    assert math.isfinite(found.item()) and math.isfinite(float(certain.chosen.grad))


def test_a_longer_winner_pulls_less_and_a_longer_loser_more():
    for lengths, expected in (((110, 60), 0.313262), ((60, 110), 0.693147)):
        pair = sides((2.5, -2.5), lengths)
        assert loss("dpo", pair, beta=0.1, length_regularised=0.01) == pytest.approx(
            expected, abs=1e-6
        )
    pulls = []
    for lengths in ((200, 100), (100, 200)):
        pair = sides(lengths=lengths)
        dpo.losses(pair, config("dpo", beta=0.1, length_regularised=0.01)).sum().backward()
        pulls.append(-float(pair.chosen.grad))
    assert pulls == pytest.approx([0.027, 0.073], abs=5e-4)


def test_means_pull_a_token_of_a_long_answer_as_much_as_one_of_a_short_one():
    pair = sides(lengths=(50, 5))
    dpo.losses(pair, config("dpo", beta=5.0, length_normalised=True)).sum().backward()
    assert float(pair.chosen.grad) == pytest.approx(-5 / (2 * 50))
    assert float(pair.rejected.grad) == pytest.approx(5 / (2 * 5))
    pair = sides(lengths=(50, 5))
    ipo.losses(pair, config("ipo", beta=0.1)).sum().backward()
    assert float(pair.chosen.grad) == pytest.approx(-1 / (0.1 * 50))


@pytest.mark.parametrize("objective", ["dpo", "hinge", "ipo"])
def test_swapped_sides_turn_the_first_gradient_round(objective: str):
    lengths = (7, 12)
    pair, swapped = sides(lengths=lengths), sides(lengths=lengths[::-1])
    for each in (pair, swapped):
        LOSSES[objective].losses(each, config(objective)).sum().backward()
    assert float(pair.chosen.grad) == pytest.approx(-float(swapped.rejected.grad))
    assert float(pair.rejected.grad) == pytest.approx(-float(swapped.chosen.grad))


# Each setting of a loss, and a value of it that has to change what a pair costs.
OPTIONS = [
    *((objective, "beta", 0.7) for objective in LOSSES),
    ("dpo", "length_normalised", True),
    ("hinge", "length_normalised", True),
    ("dpo", "label_smoothing", 0.2),
    ("dpo", "length_regularised", 0.02),
    ("simpo", "simpo_gamma", 0.3),
]


@pytest.mark.parametrize(("objective", "name", "value"), OPTIONS)
def test_every_setting_of_a_loss_changes_it(objective: str, name: str, value: Any):
    pair = sides((3.0, -2.0), (12, 7), (-1.0, -1.5))
    assert loss(objective, pair, **{name: value}) != pytest.approx(loss(objective, pair), abs=1e-4)


def test_large_margins_are_neither_infinite_nor_nothing():
    for ratio in (1e4, -1e4):
        found = loss("dpo", sides((ratio, 0.0)), beta=1.0)
        assert found == pytest.approx(max(0.0, -ratio))


def test_tails_beyond_the_shorter_answer_count_less_on_both_sides():
    chosen = make_rows(["a"], [[5, 6, 7, 8, 9]], [[-100, 6, 7, 8, 9]])
    rejected = make_rows(["a"], [[5, 6, 2]], [[-100, 6, 2]])
    both = Pairs(chosen, rejected, 0.5).both
    assert both.weights is not None
    assert both.weights[both.targets != -100].tolist() == [1.0, 1.0, 0.5, 0.5, 1.0, 1.0]
    assert Pairs(chosen, rejected).both.weights is None


def test_the_longer_wins_counts_answers_of_one_length_as_half():
    long, short = ([5, 6, 2], [-100, 6, 2]), ([5, 2], [-100, 2])
    chosen, rejected = (
        make_rows(["a", "b", "c"], [side[0] for side in sides], [side[1] for side in sides])
        for sides in ((long, short, short), (short, short, long))
    )
    assert longer_wins(chosen, rejected, np.arange(3)) == 0.5
    assert longer_wins(chosen, rejected, np.array([0, 1])) == 0.75


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"objective": "sft", "beta": 0.1}, "beta is read only with objective dpo, ipo, hinge"),
        ({"objective": "ipo", "length_normalised": True}, "is read only with objective dpo, hinge"),
        ({"objective": "orpo", "sft_weight": 1.0}, "sft_weight is read only with objective dpo"),
        ({"objective": "dpo", "robust": True}, "set the share in label_smoothing"),
        ({"objective": "dpo", "label_smoothing": 0.5}, "label_smoothing is 0.5; expected"),
        ({"objective": "dpo", "beta": 0.0}, "beta is 0.0; expected"),
        (
            {"objective": "dpo", "length_desensitised": 0.5, "length_normalised": True},
            "means have no tails",
        ),
        ({"objective": "dpo", "prompt_weight": 0.1}, "has no meaning for preferences"),
        ({"objective": "dpo", "batch_tokens": 100}, r"batch_tokens is 100.*has no meaning"),
        ({"objective": "dpo", "long_rows": "split"}, "both answers are read whole"),
        ({"objective": "dpo", "method": "prompt"}, "a learnt prompt changes the model before"),
        ({"objective": "dpo", "router_aux_coef": 0.1}, "the loss of routers is for answers"),
        ({"objective": "dpo", "teacher": "m"}, "leave objective out, or set it to distil"),
    ],
    ids=str,
)
def test_settings_that_nothing_reads_are_refused(fields: dict[str, Any], message: str):
    with pytest.raises(CurateError, match=message):
        TrainConfig(**{"tokens": "t", "model": "m", "out": "o", **fields})


def test_each_objective_has_a_beta_of_its_own_and_a_preset():
    found = {name: config(name) for name in LOSSES}
    assert {name: each.beta for name, each in found.items()} == {
        "dpo": 0.01,
        "hinge": 0.05,
        "ipo": 0.1,
        "simpo": 2.0,
        "cpo": 0.1,
        "orpo": 0.1,
    }
    assert {each.preset for each in found.values()} == {"zephyr", "simpo", "orpo"}
    assert (found["cpo"].sft_weight, found["dpo"].sft_weight) == (1.0, 0.0)
    adapters = config("ipo", method="lora")
    assert (adapters.preset, adapters.beta, adapters.lora_r) == ("zephyr-lora", 0.1, 16)
    assert config("dpo", method="oft").learning_rate == 5e-6
    tulu = TrainConfig(tokens="t", model="m", out="o", preset="tulu3-dpo")
    assert (tulu.objective, tulu.length_normalised, tulu.beta) == ("dpo", True, 5.0)
    assert set(LOSSES) <= set(OBJECTIVES)
