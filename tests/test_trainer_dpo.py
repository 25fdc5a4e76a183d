"""Runs of preferences: the reference, the same step however it is cut, what is refused."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import trainer
from curate.base.errors import CurateError
from tests.preference_toys import made, mode_of, pairs_of, settings, step, write_made, write_pairs
from tests.resume_toys import StoppedError, outcome, stop_at
from tests.trainer_toys import ASK, START, STOP, silent, toy_model, write_model
from trainer import TrainConfig
from trainer.data.pairs import Pairs
from trainer.objectives.preferences import references
from trainer.objectives.registry import OBJECTIVES

LN_2 = math.log(2)
FREE = ("simpo", "cpo", "orpo")
COMPARED = ("dpo", "hinge", "ipo")
CONSTANTS = {"dpo": LN_2, "hinge": 1.0, "ipo": 25.0}


def moved(seed: int = 1) -> Any:
    """A model that is not the one of seed 0."""
    return toy_model(seed)


def mode_after(config: TrainConfig, pairs: Pairs, packed: bool = False) -> Any:
    """By a reference of seed 0; the model of another seed is then one that has learnt."""
    return mode_of(toy_model(), pairs, config, packed)


WAYS = {
    "padded": {"micro_tokens": 4096},
    "accumulated": {"micro_tokens": 1},
    "in part": {"micro_tokens": 40},
    "packed": {"micro_tokens": 4096, "packed": True},
    "packed in part": {"micro_tokens": 40, "packed": True},
}


def cut(objective: str, way: str, **fields: Any) -> tuple[TrainConfig, bool]:
    how = dict(WAYS[way])
    packed = bool(how.pop("packed", False))
    return settings(objective, **how, **fields), packed


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("objective", COMPARED)
def test_the_model_before_training_costs_the_constant_however_a_step_is_cut(
    objective: str, way: str
):
    config, packed = cut(objective, way, beta=0.1)
    net, pairs = toy_model(), pairs_of(made(12))
    mode = mode_of(net, pairs, config, packed)
    assert OBJECTIVES[objective].at_start(net, np.arange(12), config, mode) == pytest.approx(
        (CONSTANTS[objective],) * 2, abs=1e-5
    )
    loss, _, others = step(net, config, mode)
    assert loss == pytest.approx(CONSTANTS[objective], abs=1e-5)
    assert (others["ties"], others["accuracy"]) == (1.0, 0.0)


@pytest.mark.parametrize("objective", [*COMPARED, *FREE])
def test_a_step_is_the_same_however_it_is_cut_into_passes(objective: str):
    """Also a long pair and a short one in passes of their own."""
    found = []
    for way in WAYS:
        config, packed = cut(objective, way)
        pairs = pairs_of(made(12), tail_weight=0.5 if objective == "dpo" else 1.0)
        found.append(step(moved(), config, mode_after(config, pairs, packed)))
    loss, gradients, others = found[0]
    assert np.abs(gradients).max() > 1e-4
    for other_loss, other_gradients, noted in found[1:]:
        assert other_loss == pytest.approx(loss, rel=1e-6, abs=1e-6)
        assert other_gradients == pytest.approx(gradients, rel=1e-5, abs=1e-5)
        assert noted == pytest.approx(others, rel=1e-5, abs=1e-5)


def test_a_step_is_the_mean_of_its_pairs_by_the_formula():
    import torch

    config, pairs = settings("dpo", beta=0.1), pairs_of(made(5))
    net, base = moved(), toy_model()

    def log_prob(model: Any, rows: Any, row: int) -> float:
        place = rows.row(row)
        ids = torch.tensor(rows.input_ids[place])
        logits = model(input_ids=ids[None]).logits[0, :-1].double().log_softmax(-1)
        own = logits.gather(1, ids[1:, None])[:, 0]
        return own[torch.tensor(rows.labels[place][1:] != -100)].sum().item()

    margins = [
        0.1
        * (
            (log_prob(net, pairs.chosen, row) - log_prob(base, pairs.chosen, row))
            - (log_prob(net, pairs.rejected, row) - log_prob(base, pairs.rejected, row))
        )
        for row in range(5)
    ]
    loss, _, others = step(net, config, mode_after(config, pairs))
    assert loss == pytest.approx(
        np.mean([math.log1p(math.exp(-each)) for each in margins]), abs=1e-6
    )
    assert others["margin"] == pytest.approx(np.mean(margins), abs=1e-6)
    assert others["accuracy"] == np.mean([each > 0 for each in margins])


def test_swapped_sides_turn_the_first_step_round():
    config, net = settings("dpo"), toy_model()
    pairs = pairs_of(made(6))
    swapped = Pairs(pairs.rejected, pairs.chosen)
    _, one, _ = step(net, config, mode_of(net, pairs, config))
    _, other, _ = step(net, config, mode_of(net, swapped, config))
    assert np.abs(one).max() > 1e-4
    assert other == pytest.approx(-one, abs=1e-6)


def test_a_shared_beginning_moves_nothing_by_dpo_and_much_by_simpo():
    """What both answers begin with is trained, or is part of the prompt: DPO sees no difference."""
    trained = [(prompt, [9, 9, *one], [9, 9, *two]) for prompt, one, two in made(6)]
    asked = [([*prompt, 9, 9], one, two) for prompt, one, two in made(6)]
    apart = {}
    for objective in ("dpo", "simpo"):
        config, net = settings(objective), toy_model()
        one, other = (
            step(net, config, mode_of(net, pairs_of(each), config))[1] for each in (trained, asked)
        )
        apart[objective] = np.linalg.norm(one - other) / np.linalg.norm(one)
    assert apart["dpo"] < 1e-5
    assert apart["simpo"] > 0.1


def test_tails_that_count_nothing_may_be_of_any_words_and_whole_ones_are_dpo():
    edited = [(prompt, one, [*two[:-1], STOP]) for prompt, one, two in made(12)]
    for _, one, two in edited:
        if len(two) > len(one):
            two[len(one) :] = [5] * (len(two) - len(one))
    config = settings("dpo", length_desensitised=0.0)

    def loss(of: Any, tail: float) -> float:
        return step(moved(), config, mode_after(config, pairs_of(of, tail_weight=tail)))[0]

    assert loss(edited, 0.0) == pytest.approx(loss(made(12), 0.0), abs=1e-6)
    assert loss(edited, 1.0) != pytest.approx(loss(made(12), 1.0), abs=1e-5)
    assert loss(made(12), 0.5) != pytest.approx(loss(made(12), 1.0), abs=1e-5)
    plain = settings("dpo")
    whole = step(moved(), plain, mode_after(plain, pairs_of(made(12))))[0]
    assert loss(made(12), 1.0) == whole


def test_the_part_of_sft_is_the_mean_loss_of_each_chosen_answer():
    config, pairs = settings("dpo", sft_weight=0.5), pairs_of(made(6))
    mode = mode_after(config, pairs)
    with_sft, without = step(moved(), config, mode)[0], step(moved(), settings("dpo"), mode)[0]
    from trainer.objectives import sft

    held = sft.evaluate(moved(), pairs.chosen, np.arange(6), 4096, mode)
    assert held is not None
    assert with_sft - without == pytest.approx(0.5 * held.example_loss, abs=1e-6)


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("dpo")
    return {"tokens": write_pairs(folder / "tokens", 50), "model": write_model(folder / "base")}


def train(sources: dict[str, str], out: Path, log: Any = silent, **fields: Any) -> Any:
    given = {
        "objective": "dpo",
        "beta": 0.1,
        "num_train_epochs": 2,
        "batch_size": 4,
        "learning_rate": 3e-3,
        "held_out": 0.2,
        "prompts": 2,
    }
    return trainer.train(TrainConfig(**{**sources, **given, "out": str(out), **fields}), log)


def stored(out: Path) -> Any:
    from safetensors.numpy import load_file

    places = sorted(out.glob("state/step-*/reference.safetensors"))
    return [load_file(place)["reference"] for place in places]


def test_a_run_learns_which_answer_is_preferred_and_says_how_long_both_are(
    sources: dict[str, str], tmp_path: Path
):
    said: list[str] = []
    done = train(sources, tmp_path / "dpo", said.append)
    assert done.before.accuracy == 0.0 and done.before.ties == 1.0
    assert done.before.loss == pytest.approx(LN_2, abs=1e-5)
    assert done.after.accuracy > 0.9 and done.after.margin > 0
    text = "\n".join(said)
    assert "loss before step 1: 0.6931472, 0.6931472 where the model is its reference" in text
    assert "reference: the model before step 1, two numbers for each of 50 pairs" in text
    assert "always taking the longer is right in" in text
    assert "lowest held-out loss per pair" in text
    head = next(line for line in said if line.startswith("epoch    step"))
    assert {"accuracy", "margin", "length", "stops"} <= set(head.split())
    noted = [json.loads(line) for line in (done.out / "metrics.jsonl").read_text().splitlines()]
    steps = [line for line in noted if not line.get("eval")]
    names = {"accuracy", "margin", "chosen_reward", "rejected_reward", "chosen_length"}
    assert names <= steps[0].keys() and names | {"longer_wins"} <= noted[0].keys()
    assert "Held-out pairs, share" in (done.out / "curves.svg").read_text()


def test_the_reference_is_the_model_before_training_bit_for_bit_through_dropout(
    sources: dict[str, str], tmp_path: Path
):
    out = tmp_path / "lora"
    with pytest.MonkeyPatch.context() as patch:
        stop_at(patch, "trainer.loop.learning_rate", 19)
        with pytest.raises(StoppedError):
            train(
                sources,
                out,
                method="lora",
                lora_dropout=0.3,
                residual_dropout=0.3,
                save_steps=6,
                packing="off",
            )
    first, last = stored(out)
    assert first.tobytes() == last.tobytes()
    config = settings("dpo")
    fresh = mode_of(toy_model(), pairs_of(made(50)), config).reference
    assert first == pytest.approx(fresh, abs=2e-5)


@pytest.mark.parametrize("fields", [{}, {"length_desensitised": 0.5, "residual_dropout": 0.1}])
def test_a_run_that_was_stopped_takes_its_reference_along_and_ends_in_the_same_bits(
    sources: dict[str, str], tmp_path: Path, fields: dict[str, Any]
):
    train(sources, tmp_path / "whole", **fields)
    with pytest.MonkeyPatch.context() as patch:
        stop_at(patch, "trainer.loop.learning_rate", 12)
        with pytest.raises(StoppedError):
            train(sources, tmp_path / "stopped", save_steps=3, **fields)
    said: list[str] = []
    train(sources, tmp_path / "stopped", said.append, resume=True, **fields)
    assert "reference: the one of the run that was stopped" in said
    assert "resumed after step 12 of 20" in said
    assert outcome(tmp_path / "stopped") == outcome(tmp_path / "whole")


def test_a_reference_of_other_weights_rows_or_tails_is_stale(
    sources: dict[str, str], tmp_path: Path
):
    out = tmp_path / "stale"
    with pytest.MonkeyPatch.context() as patch:
        stop_at(patch, "trainer.loop.learning_rate", 5)
        with pytest.raises(StoppedError):
            train(sources, out, save_steps=3)
    other = made(50)
    other[3][2][0] = 30
    changed = {
        "the weights of the base model are others": {"model": write_model(tmp_path / "m", seed=2)},
        "the rejected answers are others": {"tokens": write_made(tmp_path / "t", other)},
        "length_desensitised was 1.0, now 0.5": {"length_desensitised": 0.5},
        "beta was 0.1, now 0.2": {"beta": 0.2},
    }
    for message, fields in changed.items():
        with pytest.raises(CurateError, match=f"cannot resume.*{message}"):
            train(sources, out, resume=True, **fields)


def test_a_loss_that_is_not_the_references_stops_the_run_before_step_1(
    sources: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    from trainer.checks import reference

    monkeypatch.setattr(
        reference, "references", lambda *given: references(*given) + np.arange(100) / 50
    )
    with pytest.raises(CurateError, match="the model is not the reference it is compared with"):
        train(sources, tmp_path / "wrong")
    assert not (tmp_path / "wrong" / "train.json").exists()


def test_an_adapter_that_goes_on_is_its_own_reference_and_not_its_base(
    sources: dict[str, str], tmp_path: Path
):
    from tests.trainer_toys import reversed_pairs, write_tokens

    rows = write_tokens(tmp_path / "sft", reversed_pairs(40))
    trainer.train(
        TrainConfig(
            tokens=rows,
            model=sources["model"],
            out=str(tmp_path / "tuned"),
            method="lora",
            num_train_epochs=2,
            batch_size=8,
            learning_rate=0.02,
            prompts=0,
        ),
        silent,
    )
    said: list[str] = []
    out = tmp_path / "dpo"
    with pytest.MonkeyPatch.context() as patch:
        stop_at(patch, "trainer.loop.learning_rate", 4)
        with pytest.raises(StoppedError):
            train(sources, out, said.append, from_adapter=str(tmp_path / "tuned"), save_steps=3)
    assert any("loss before step 1: 0.6931472, 0.6931472" in line for line in said)
    base = mode_of(toy_model(), pairs_of(made(50)), settings("dpo")).reference
    assert base is not None
    assert np.abs(stored(out)[0] - base).max() > 0.1


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")
def test_with_adapters_off_a_model_whose_biases_learn_is_another_one():
    """Why the reference is never told by turning adapters off."""
    import peft
    import torch

    net = peft.get_peft_model(
        toy_model(attention_bias=True),
        peft.LoraConfig(target_modules=["q_proj"], bias="all", task_type="CAUSAL_LM"),
    )
    with torch.no_grad():
        for name, weight in net.named_parameters():
            if name.endswith("bias"):
                weight.add_(0.1)
    config, pairs = settings("dpo", beta=0.1), pairs_of(made(8))
    mode = mode_of(net, pairs, config)
    assert step(net, config, mode)[0] == pytest.approx(LN_2, abs=1e-5)
    plain = toy_model(attention_bias=True)
    with net.disable_adapter():
        off = references(net, np.arange(8), 4096, mode)
    assert np.abs(off - references(plain, np.arange(8), 4096, mode)).max() > 0.05


def test_pairs_that_teach_nothing_or_something_else_are_refused_by_name(
    sources: dict[str, str], tmp_path: Path
):
    pairs = made(20)
    pairs[4] = (pairs[4][0], pairs[4][1], pairs[4][1])
    same = {**sources, "tokens": write_made(tmp_path / "same", pairs)}
    with pytest.raises(CurateError, match=r"same-answer: both answers of a pair.*0000000000000004"):
        train(same, tmp_path / "out")
    said: list[str] = []
    train(same, tmp_path / "out", said.append, allow=("same-answer",), max_steps=2)
    assert "allowed: same-answer: 1 rows trained all the same" in said

    columns = [{"ids": [START, 5, ASK, 9, STOP]}, {"ids": [START, 6, ASK, 8, STOP]}]
    from tests.trainer_toys import with_masks, write_columns

    tokens = write_columns(
        tmp_path / "other",
        ["a" * 16, "b" * 16],
        with_masks(
            {
                "input_ids": [columns[0]["ids"]] * 2,
                "labels": [[-100] * 3 + [9, STOP]] * 2,
                "rejected_input_ids": [columns[1]["ids"], [START, 5, ASK, 8, STOP]],
                "rejected_labels": [[-100] * 3 + [8, STOP]] * 2,
            }
        ),
    )
    with pytest.raises(
        CurateError, match="prompts-differ: the two answers of a pair do not follow"
    ):
        train({**sources, "tokens": tokens}, tmp_path / "out-2")


def test_a_pair_of_one_answer_has_no_gradient_and_is_a_tie():
    config, net = settings("dpo"), toy_model()
    pairs = pairs_of([(prompt, one, one) for prompt, one, _ in made(3)])
    loss, gradients, others = step(net, config, mode_of(net, pairs, config))
    assert loss == pytest.approx(LN_2, abs=1e-9)
    assert np.abs(gradients).max() < 1e-6
    assert (others["ties"], others["accuracy"]) == (1.0, 0.0)


def test_pairs_beyond_the_models_positions_are_left_out_whole_and_counted(
    sources: dict[str, str], tmp_path: Path
):
    pairs = made(20)
    pairs[2] = (pairs[2][0], pairs[2][1], [9] * 60 + [STOP])
    long = {**sources, "tokens": write_made(tmp_path / "long", pairs)}
    with pytest.raises(CurateError, match=r"too-long.*longest row 65, model has 48 positions"):
        train(long, tmp_path / "out")
    said: list[str] = []
    train(long, tmp_path / "out", said.append, allow=("too-long",), num_train_epochs=1)
    assert "pairs: 1 of 20 left out, both sides of each" in said
    assert any("reference:" in line and "19 pairs" in line for line in said)


@pytest.mark.parametrize(
    ("manifest", "message"),
    [({"counts": {"truncated": 3}}, "3 rows were cut when they were rendered")],
)
def test_answers_that_were_cut_are_refused(
    sources: dict[str, str], tmp_path: Path, manifest: dict[str, Any], message: str
):
    tokens = write_pairs(tmp_path / "cut", 10, **manifest)
    with pytest.raises(CurateError, match=message):
        train({**sources, "tokens": tokens}, tmp_path / "out")


def test_rows_that_are_no_pairs_are_refused(sources: dict[str, str], tmp_path: Path):
    from tests.trainer_toys import reversed_pairs, write_tokens

    tokens = write_tokens(tmp_path / "tokens", reversed_pairs(4))
    with pytest.raises(
        CurateError, match="no column rejected_input_ids, and dpo learns from pairs"
    ):
        train({**sources, "tokens": tokens}, tmp_path / "out")


def test_a_dry_run_of_pairs_writes_nothing(sources: dict[str, str], tmp_path: Path):
    said: list[str] = []
    trainer.dry_run(
        TrainConfig(**sources, out=str(tmp_path / "dry"), objective="dpo", batch_size=8),
        said.append,
    )
    assert not (tmp_path / "dry").exists()
    assert any("first step: loss 0.6931" in line for line in said)


def test_long_pairs_are_said_or_refused(sources: dict[str, str], tmp_path: Path):
    said: list[str] = []
    train(sources, tmp_path / "alone", said.append, micro_tokens=12, max_steps=1)
    assert any("pairs are longer than micro_tokens 12" in line for line in said)
    with pytest.raises(CurateError, match=r"set micro_tokens to .*, or long_rows to alone"):
        train(sources, tmp_path / "refused", micro_tokens=12, long_rows="refuse")


@pytest.mark.parametrize("objective", FREE)
def test_objectives_without_a_reference_ask_for_none(
    objective: str, sources: dict[str, str], tmp_path: Path
):
    said: list[str] = []
    done = train(sources, tmp_path / objective, said.append, objective=objective, prompts=0)
    assert done.after.loss < done.before.loss and done.after.accuracy > done.before.accuracy
    assert not any(line.startswith("reference") for line in said)


def test_answers_that_grow_beyond_both_sides_of_the_pairs_are_said():
    from trainer.evaluation.table import length_lines
    from trainer.result import Epoch, Evaluation, Probe

    held = Evaluation(0.6, 0.6, 10, 100, chosen_length=12.0, rejected_length=9.0, longer_wins=0.75)

    def table(*lengths: float) -> list[Epoch]:
        return [
            Epoch(number, number, None, held, Probe(length=length))
            for number, length in enumerate(lengths)
        ]

    kept, grown = length_lines(table(10.0, 11.0)), length_lines(table(10.0, 11.0, 15.5))
    assert kept == [
        "held-out pairs: chosen answers of 12.0 trained tokens on average, rejected ones of 9.0; "
        "always taking the longer is right in 75.0%"
    ]
    assert len(grown) == 2 and "answers grew from 10.0 to 15.5 tokens" in grown[1]
    assert len(length_lines(table(16.0, 15.0))) == 1
