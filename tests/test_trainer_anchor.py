"""EWC and L2-SP: what is penalised, by which Fisher information, and that nothing else changes."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from curate.base.errors import CurateError
from tests.resume_toys import outcome, train_until
from tests.trainer_toys import (
    ALL,
    documents,
    reversed_pairs,
    sha256,
    silent,
    toy_model,
    write_model,
    write_tokens,
)
from trainer import TrainConfig, dry_run, train
from trainer.data.batches import pad
from trainer.data.rows import Rows, join, train_prompts
from trainer.distributed import ALONE
from trainer.loss import LossMode, target_nats
from trainer.models import adapt
from trainer.models.anchor import Anchor, Product, Weight, parts_of, with_fisher
from trainer.objectives.fisher import information

pytest.importorskip("torch")
# pygal's import hook is of a kind that Python 3.11 warns about at every later import.
pytestmark = pytest.mark.filterwarnings("ignore:PluginImportFixer:ImportWarning")

MODE = LossMode(whole=False, packed=False)


def config(**fields: Any) -> TrainConfig:
    return TrainConfig(**{"tokens": "t", "model": "m", "out": "o", **fields})


def text() -> Rows:
    """Documents in which every token but the first is a target."""
    return train_prompts(documents(), 1.0)


def moved(net: Any, seed: int = 3) -> Any:
    """The model with its trained weights elsewhere."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in net.parameters():
            if weight.requires_grad:
                weight += 0.1 * torch.randn(weight.shape, generator=generator)
    return net


def gradients(net: Any) -> dict[str, Any]:
    return {
        name: weight.grad.clone()
        for name, weight in net.named_parameters()
        if weight.grad is not None
    }


def test_ewc_whose_weights_all_matter_alike_is_l2_sp_and_at_the_start_it_pulls_at_nothing():
    import torch

    net = toy_model()
    parts = parts_of(net)
    ones = {part.name: torch.ones_like(part.measured()) for part in parts}
    plain, weighed = Anchor("l2_sp", 0.5, parts), Anchor("ewc", 0.5, with_fisher(parts, ones), {})
    assert plain.pull(ALONE) == 0.0
    assert all(not grad.any() for grad in gradients(net).values())
    net.zero_grad()
    moved(net)
    values = [plain.pull(ALONE)]
    first = gradients(net)
    net.zero_grad()
    values.append(weighed.pull(ALONE))
    assert values[0] == values[1] == pytest.approx(0.25 * distance(net), rel=1e-6)
    assert first.keys() == dict(net.named_parameters()).keys()
    assert all(torch.equal(first[name], grad) for name, grad in gradients(net).items())


def distance(net: Any) -> float:
    """The squared distance of a model from the toy."""
    base = dict(toy_model().named_parameters())
    return sum(
        float((weight - base[name]).detach().double().square().sum())
        for name, weight in net.named_parameters()
    )


@pytest.mark.parametrize("goes_on", [False, True], ids=["new", "goes-on"])
@pytest.mark.parametrize("kind", ["l2_sp", "ewc"])
@pytest.mark.parametrize("method", ["lora", "rslora"])
def test_the_penalty_of_an_adapter_is_of_its_product_and_not_of_its_factors(
    method: str, kind: str, goes_on: bool
):
    """Value and gradients are those of autograd through the weights of the merged layers."""
    import torch

    net = adapt.attach(toy_model(), config(method=method, lora_r=3, lora_alpha=5.0))
    if goes_on:
        moved(net, seed=1)
    parts = parts_of(net)
    assert all(isinstance(part, Product) for part in parts) and len(parts) == 14
    generator = torch.Generator().manual_seed(2)
    fisher = {part.name: torch.rand(part.measured().shape, generator=generator) for part in parts}
    if kind == "l2_sp":
        fisher = {name: torch.ones_like(each) for name, each in fisher.items()}
    layers = {part.name: net.get_submodule(part.name) for part in parts}
    starts = {name: layer.get_delta_weight("default").detach() for name, layer in layers.items()}
    moved(net, seed=4)
    expected = 0.35 * sum(
        (fisher[name] * (layer.get_delta_weight("default") - starts[name]).square()).sum()
        for name, layer in layers.items()
    )
    torch.autograd.backward(expected)
    wanted = gradients(net)
    net.zero_grad()
    chosen = parts if kind == "l2_sp" else with_fisher(parts, fisher)
    found = Anchor(kind, 0.7, chosen).pull(ALONE)
    assert found == pytest.approx(float(expected.detach()), rel=1e-5)
    assert wanted.keys() == gradients(net).keys() and len(wanted) == 28
    for name, grad in gradients(net).items():
        assert torch.allclose(grad, wanted[name], rtol=1e-4, atol=1e-5), name


def by_autograd(net: Any, rows: Rows, at_once: int = 1) -> dict[str, Any]:
    """The mean over passes of `at_once` sequences of the squared gradient of their mean ln p."""
    import torch

    sums = {name: torch.zeros_like(weight) for name, weight in net.named_parameters()}
    numbers = np.arange(len(rows)).reshape(-1, at_once)
    for some in numbers:
        net.zero_grad()
        torch.autograd.backward(target_nats(net, pad(rows, some), whole=False).sum() / at_once)
        for name, weight in net.named_parameters():
            sums[name] += weight.grad.square() / len(numbers)
    net.zero_grad()
    return sums


def test_fisher_information_is_the_mean_of_squared_gradients_of_single_sequences():
    """And not the square of a batch's mean gradient, which is several times smaller."""
    import torch

    net, rows = toy_model(), text()
    found, scale = information(net, rows, ALL, parts_of(net), MODE)
    expected = by_autograd(net, rows)
    for name, each in found.items():
        assert torch.allclose(scale * each, expected[name], rtol=1e-4, atol=1e-9), name
    everything = torch.cat([each.flatten() for each in found.values()])
    assert float(everything.mean()) == pytest.approx(1.0, rel=1e-5)
    whole = sum(float(each.sum()) for each in expected.values())
    at_once = sum(float(each.sum()) for each in by_autograd(net, rows, at_once=4).values())
    assert at_once < 0.6 * whole
    assert not gradients(net)


def test_rows_that_are_there_twice_change_no_fisher_information():
    import torch

    net, rows = toy_model(), text()
    parts = parts_of(net)
    once, scale = information(net, rows, ALL, parts, MODE)
    twice, same = information(net, join(rows, rows), np.arange(8), parts, MODE)
    assert same == pytest.approx(scale, rel=1e-6)
    assert all(torch.allclose(once[name], twice[name], rtol=1e-5, atol=1e-8) for name in once)


def test_it_is_of_sums_over_a_sequence_which_are_the_tokens_means_times_their_number_squared():
    import torch

    net, rows = toy_model(), text()
    row = np.array([2])
    count = int(rows.target_counts[2])
    found, scale = information(net, rows, row, parts_of(net), MODE)
    torch.autograd.backward(target_nats(net, pad(rows, row), whole=False).mean())
    means = sum(float(grad.square().sum()) for grad in gradients(net).values())
    total = scale * sum(float(each.sum()) for each in found.values())
    assert total == pytest.approx(count**2 * means, rel=1e-5)


def test_targets_that_the_model_draws_give_its_true_fisher_information():
    """Of one target that is a sum over all words, each as likely as the model says."""
    import torch

    net = toy_model(initializer_range=0.5)
    rows = text()
    places = np.arange(len(rows.targets))
    short = dataclasses.replace(rows, targets=np.where(places == 0, rows.targets, -100))
    first = np.array([0])
    parts = parts_of(net)
    logits = net(input_ids=torch.tensor([[int(rows.input_ids[0])]])).logits[0, 0]
    exact = 0.0
    for word, share in enumerate(logits.softmax(0).tolist()):
        net.zero_grad()
        torch.autograd.backward(-logits.log_softmax(0)[word], retain_graph=True)
        exact += share * sum(float(grad.square().sum()) for grad in gradients(net).values())
    net.zero_grad()
    size = sum(part.measured().numel() for part in parts)
    draws = [size * information(net, short, first, parts, MODE, seed)[1] for seed in range(200)]
    error = np.std(draws) / np.sqrt(len(draws))
    assert abs(np.mean(draws) - exact) < 4 * error < exact
    assert len({round(each, 6) for each in draws}) > 5
    again = information(net, short, first, parts, MODE, 7)[1]
    assert size * again == draws[7]


def test_a_bias_and_a_layer_the_other_way_round_are_measured_as_they_are():
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    sizes = {"vocab_size": 32, "n_embd": 16, "n_layer": 1, "n_head": 2, "n_positions": 16}
    base = GPT2LMHeadModel(GPT2Config(**sizes, bos_token_id=1, eos_token_id=2))
    net = adapt.attach(base, config(method="lora", lora_r=2))
    parts = parts_of(net)
    fisher, _ = information(net, text(), ALL, parts, MODE)
    moved(net)
    anchor = Anchor("ewc", 1.0, with_fisher(parts, fisher), {})
    expected = 0.5 * sum(
        (fisher[part.name] * net.get_submodule(part.name).get_delta_weight("default") ** 2).sum()
        for part in parts
    )
    torch.autograd.backward(expected)
    wanted = gradients(net)
    net.zero_grad()
    assert anchor.pull(ALONE) == pytest.approx(float(expected.detach()), rel=1e-5)
    for name, grad in gradients(net).items():
        assert torch.allclose(grad, wanted[name], rtol=1e-4, atol=1e-6), name


def test_bitfit_is_penalised_for_its_biases_alone():
    net = adapt.attach(toy_model(attention_bias=True), config(method="bitfit"))
    parts = parts_of(net)
    assert len(parts) == 8 and all(isinstance(part, Weight) for part in parts)
    assert all(part.name.endswith(".bias") for part in parts)


FIELDS: dict[str, Any] = {
    "num_train_epochs": 2,
    "batch_size": 8,
    "learning_rate": 3e-3,
    "held_out": 0.1,
    "prompts": 0,
    "save_steps": 2,
    "residual_dropout": 0.1,
    "preset": "alpaca",
}


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    home = tmp_path_factory.mktemp("sources")
    return {
        "tokens": write_tokens(home / "tokens", reversed_pairs(40)),
        "model": write_model(home / "model"),
        "text": write_tokens(home / "text", reversed_pairs(12, first=300)),
    }


def fields(sources: Mapping[str, str], out: Path, **changes: Any) -> dict[str, Any]:
    given = {"tokens": sources["tokens"], "model": sources["model"], "out": str(out)}
    return {**FIELDS, **given, **changes}


def ewc(sources: Mapping[str, str], **changes: Any) -> dict[str, Any]:
    return {"regulariser": "ewc", "fisher_text": sources["text"], "fisher_sequences": 8, **changes}


def steps_of(out: Path, name: str) -> list[float]:
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return [line[name] for line in lines if name in line and "eval" not in line]


def test_a_penalty_that_counts_nothing_changes_not_one_bit_and_a_larger_one_holds_back(
    sources: dict[str, str], tmp_path: Path
):
    plain = train(TrainConfig(**fields(sources, tmp_path / "plain")), silent)
    hashes, ends = {"plain": sha256(plain.out / "model.safetensors")}, {}
    said: list[str] = []
    for weight in (0.0, 0.1, 10.0):
        out = tmp_path / str(weight)
        chosen = fields(sources, out, choose="last", **ewc(sources, regulariser_weight=weight))
        train(TrainConfig(**chosen), said.append)
        hashes[str(weight)] = sha256(out / "epochs/epoch-2/model.safetensors")
        ends[weight] = steps_of(out, "penalty")
    assert hashes["0.0"] == sha256(plain.out / "epochs/epoch-2/model.safetensors")
    assert len(set(hashes.values())) == 3
    assert ends[0.0] == [0.0] * 10
    assert ends[0.1][0] == 0.0 < ends[0.1][-1]
    # What is left of a distance is far less, where it counts a hundred times as much.
    assert ends[10.0][-1] / 10 < 0.5 * ends[0.1][-1] / 0.1
    assert any(" penalty " in line and line.startswith("epoch 2/2 step 10") for line in said)
    assert "Penalty of the regulariser, nats" in (tmp_path / "0.1" / "curves.svg").read_text()
    assert "Penalty" not in (plain.out / "curves.svg").read_text()


@pytest.mark.parametrize("method", ["full", "lora"])
def test_however_a_step_is_cut_into_passes_the_penalty_is_the_same(
    sources: dict[str, str], tmp_path: Path, method: str
):
    runs = {}
    for name, changes in {
        "one": {"packing": "off"},
        "many": {"packing": "off", "micro_tokens": 14},
        "packed": {},
    }.items():
        more = {**ewc(sources), **changes, "method": method, "residual_dropout": 0.0}
        train(TrainConfig(**fields(sources, tmp_path / name, **more)), silent)
        runs[name] = steps_of(tmp_path / name, "penalty"), steps_of(tmp_path / name, "loss")
    assert runs["one"][0][-1] > 0
    for name in ("many", "packed"):
        assert runs[name][0] == pytest.approx(runs["one"][0], rel=1e-4)
        assert runs[name][1] == pytest.approx(runs["one"][1], abs=1e-5)


def test_clipping_sees_the_penalty_and_the_loss_does_not(sources: dict[str, str], tmp_path: Path):
    norms, losses = [], []
    for weight in (0.0, 1000.0):
        out = tmp_path / str(weight)
        more = {"regulariser": "l2_sp", "regulariser_weight": weight, "learning_rate": 1e-3}
        train(TrainConfig(**fields(sources, out, **more, max_steps=2)), silent)
        norms.append(steps_of(out, "grad_norm"))
        losses.append(steps_of(out, "loss"))
    assert norms[0][0] == norms[1][0] and norms[1][1] > 3 * norms[0][1]
    assert losses[0] == losses[1]


@pytest.mark.parametrize("method", ["full", "lora"])
@pytest.mark.parametrize("kind", ["ewc", "l2_sp"])
def test_a_run_that_was_killed_ends_in_the_same_bits(
    sources: dict[str, str], tmp_path: Path, kind: str, method: str
):
    more: dict[str, Any] = {"regulariser": kind, "method": method, "save_total_limit": 1}
    if kind == "ewc":
        more |= ewc(sources, fisher="sampled")
    train(TrainConfig(**fields(sources, tmp_path / "whole", **more)), silent)
    said: list[str] = []
    stopped = fields(sources, tmp_path / "out", **more)
    train_until("trainer.loop.learning_rate", 3, stopped)
    train(TrainConfig(**stopped, resume=True), said.append)
    assert outcome(tmp_path / "out") == outcome(tmp_path / "whole")
    kept = [line for line in said if line.startswith("Fisher information, sampled: 8 sequences")]
    assert len(kept) == (kind == "ewc")
    assert all(line.endswith("; the one of the run that was stopped") for line in kept)


@pytest.fixture(scope="module")
def stopped_once(sources: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("stopped") / "out"
    train_until("trainer.loop.learning_rate", 3, fields(sources, out, **ewc(sources)))
    return out


@pytest.fixture
def stopped(stopped_once: Path, sources: dict[str, str], tmp_path: Path) -> dict[str, Any]:
    import shutil

    shutil.copytree(stopped_once, tmp_path / "out")
    return fields(sources, tmp_path / "out", **ewc(sources), resume=True)


def test_what_is_kept_says_what_it_is_and_is_in_the_manifest_of_the_run(stopped: dict[str, Any]):
    out = Path(stopped["out"])
    about = json.loads((out / "regulariser/fisher.json").read_text())
    assert about == json.loads((out / "train.json").read_text())["regulariser"]
    assert (about["kind"], about["weight"]) == ("ewc", 0.1)
    fisher = about["fisher"]
    assert (fisher["kind"], fisher["sequences"], fisher["tokens"]) == ("empirical", 8, 48)
    assert fisher["units"].startswith("squared nats of a whole sequence")
    assert fisher["scale"] > 0
    assert all(len(fisher[name]) == 64 for name in ("sha256", "text_sha256"))


def test_a_kept_fisher_information_that_is_another_is_refused(
    stopped: dict[str, Any], tmp_path: Path
):
    from safetensors.torch import load_file, save_file

    other = write_tokens(tmp_path / "other", reversed_pairs(12, first=200))
    with pytest.raises(CurateError, match="the text of fisher_text is another"):
        train(TrainConfig(**{**stopped, "fisher_text": other}), silent)
    with pytest.raises(CurateError, match="fisher was 'empirical', now 'sampled'"):
        train(TrainConfig(**{**stopped, "fisher": "sampled"}), silent)
    file = Path(stopped["out"]) / "regulariser/fisher.safetensors"
    values = load_file(file)
    changed = {name: value * (1 + (name == "lm_head.weight")) for name, value in values.items()}
    save_file(changed, file)
    with pytest.raises(CurateError, match=r"fisher\.safetensors: is not as it was written"):
        train(TrainConfig(**stopped), silent)
    first = min(values)
    for odd in (
        {name: value.bfloat16() for name, value in values.items()},
        {**values, first: values[first].flatten()},  # the same numbers
        {**{name: value for name, value in values.items() if name != first}, "x": values[first]},
    ):
        save_file(odd, file)
        with pytest.raises(CurateError, match=r"fisher\.safetensors: is not as it was written"):
            train(TrainConfig(**stopped), silent)
    about = file.with_name("fisher.json")
    content = json.loads(about.read_text())
    content["fisher"]["weights"] = "0" * 32
    about.write_text(json.dumps(content))
    with pytest.raises(CurateError, match="its Fisher information is another: weights was '000"):
        train(TrainConfig(**stopped), silent)
    file.unlink()
    about.unlink()
    train(TrainConfig(**stopped), silent)  # made again, it is the same


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"regulariser_weight": 1.0}, "regulariser is 'none'; name what draws weights back"),
        ({"fisher": "sampled"}, "fisher is 'sampled', and regulariser is 'none'"),
        ({"regulariser": "l2_sp", "fisher_text": "x"}, "it is read by ewc alone; leave it out"),
        ({"regulariser": "ewc"}, "no general text says which weights matter; name one in fisher"),
        ({"regulariser": "ewc", "retention": "x"}, "that of retention is kept for measuring"),
        ({"regulariser": "l2_sp", "objective": "reward"}, "the score of a reward model starts at"),
        ({"regulariser": "l2_sp", "method": "oft"}, "method oft changes a model in another way"),
        ({"regulariser": "l2_sp", "method": "dora"}, "take one of full, bitfit, lora, rslora"),
        ({"regulariser": "l2_sp", "method": "prompt"}, "method prompt changes a model in another"),
        (
            {"regulariser": "ewc", "fisher_text": "x", "method": "lora", "load_in_4bit": True},
            "4-bit weights have no gradients that say which of them matter; take l2_sp",
        ),
        (
            {"regulariser": "l2_sp", "method": "lora", "sharding": "full"},
            "no process has the whole product of an adapter's factors",
        ),
    ],
)
def test_a_penalty_that_means_nothing_is_refused(given: dict[str, Any], message: str):
    with pytest.raises(CurateError) as refused:
        config(**given)
    assert message in str(refused.value)


def test_replayed_text_is_that_of_ewc_unless_another_is_named(
    sources: dict[str, str], tmp_path: Path
):
    said: list[str] = []
    given = fields(sources, tmp_path / "out", regulariser="ewc", replay=sources["text"])
    dry_run(TrainConfig(**given), said.append)
    found = [line for line in said if line.startswith("Fisher information, empirical")]
    assert len(found) == 1 and f"12 sequences (72 tokens) of {sources['text']}" in found[0]
    assert "fisher_sequences: " + sources["text"] + " has 12 of 32" in said
    assert any(
        "EWC: 0.1 / 2 x the squared distance of 21 tensors of weights" in line for line in said
    )
    assert not (tmp_path / "out").exists()


def test_a_text_that_is_trained_or_watched_as_well_is_said_to_be(
    sources: dict[str, str], tmp_path: Path
):
    said: list[str] = []
    given = ewc(sources, fisher_text=sources["tokens"], retention=sources["tokens"])
    dry_run(TrainConfig(**fields(sources, tmp_path / "out", **given)), said.append)
    found = [line for line in said if line.startswith("fisher_text: ")]
    assert len(found) == 2
    assert "near-copies of rows to train, so they are kept from being learnt" in found[0]
    assert "near-copies of what retention watches" in found[1]


def test_adapters_of_experts_have_no_weight_to_be_penalised():
    from tests.test_trainer_routers import mixture

    net = adapt.attach(mixture(), config(method="lora", lora_r=2))
    with pytest.raises(CurateError, match="regulariser: adapters of tensors that are no linear"):
        parts_of(net)


def test_a_penalty_that_leaves_all_numbers_is_named_in_what_stops_the_run(
    sources: dict[str, str], tmp_path: Path
):
    given = fields(sources, tmp_path / "out", regulariser="l2_sp", regulariser_weight=1e30)
    with pytest.raises(CurateError, match=r"regulariser_weight than 1e\+30 \(its penalty was"):
        train(TrainConfig(**given), silent)
