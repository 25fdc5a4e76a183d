from __future__ import annotations

import json
import sys
import types
from pathlib import Path
from typing import Any

import pytest

import trainer
from curate.base import extras
from curate.base.errors import CurateError
from tests.trainer_toys import reversed_pairs, silent, toy_model, write_model, write_tokens
from trainer import TrainConfig
from trainer.checks import lr_finder
from trainer.evaluation import pace
from trainer.models import precision
from trainer.models.model import make_optimizer
from trainer.models.neftune import add_noise, lengths
from trainer.models.precision import rounding_of, stochastic


def config(**fields: Any) -> TrainConfig:
    return TrainConfig(**{"tokens": "t", "model": "m", "out": "o", **fields})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("precision")
    write_tokens(made / "tokens", reversed_pairs(24))
    write_model(made / "base")
    return made


def run(folder: Path, out: str, log: Any = silent, **fields: Any) -> trainer.TrainResult:
    settings = {
        "num_train_epochs": 1,
        "batch_size": 8,
        "learning_rate": 0.01,
        "prompts": 0,
        "choose": "loss",
    }
    settings |= {"proof": False, "packing": "off"}
    return trainer.train(
        config(
            tokens=str(folder / "tokens"),
            model=str(folder / "base"),
            out=str(folder / out),
            **{"residual_dropout": 0.0, **settings, **fields},
        ),
        log,
    )


@pytest.fixture(scope="module")
def said() -> list[str]:
    return []


@pytest.fixture(scope="module")
def plain(folder: Path, said: list[str]) -> trainer.TrainResult:
    return run(folder, "plain", said.append)


def steps_of(run: trainer.TrainResult) -> list[float]:
    lines = (run.out / "metrics.jsonl").read_text().splitlines()
    return [line["loss"] for line in map(json.loads, lines) if not line.get("eval")]


def test_rounding_at_random_is_right_on_average_and_hits_only_the_neighbours():
    import torch

    torch.manual_seed(0)
    exact = torch.full((100_000,), 1.0 + 2**-9)  # a quarter of the mode from 1 to 1 + 2^-7
    rounded = stochastic(exact).float()
    assert set(rounded.tolist()) == {1.0, 1.0 + 2**-7}
    assert float(rounded.double().mean()) == pytest.approx(1.0 + 2**-9, abs=5e-5)
    assert torch.equal(stochastic(torch.tensor([-1.5, 0.0])).float(), torch.tensor([-1.5, 0.0]))


def updated(rounding: str, steps: int = 64) -> tuple[float, float | None]:
    """Where a bf16 weight of 1 ends up after steps of about 1e-4, and the share that was lost."""
    import torch

    model = torch.nn.Linear(64, 64, bias=False, dtype=torch.bfloat16)
    torch.manual_seed(0)
    with torch.no_grad():
        model.weight.fill_(1.0)
    settings = {
        "dtype": "bfloat16",
        "rounding": rounding,
        "learning_rate": 1e-4,
        "weight_decay": 0.0,
    }
    optimizer: Any = make_optimizer(model, config(**settings))
    for _ in range(steps):
        model.weight.grad = torch.full_like(model.weight, -1.0)
        optimizer.step()
    return float(model.weight.detach().float().mean()), optimizer.lost_share()


def test_small_updates_are_lost_to_the_nearest_and_kept_by_masters_and_at_random():
    assert updated("nearest") == (1.0, 1.0)
    moved, lost = updated("masters")
    assert moved == pytest.approx(1.0064, abs=2**-7) and moved > 1.0
    assert lost is not None and lost > 0.9
    moved, _ = updated("stochastic")
    assert moved == pytest.approx(1.0064, abs=5e-4)


@pytest.mark.parametrize("rounding", ["masters", "stochastic", "nearest"])
def test_weights_stepped_together_come_to_the_bits_of_each_alone(
    rounding: str, monkeypatch: pytest.MonkeyPatch
):
    import torch

    def stepped(together: int) -> tuple[list[Any], float | None]:
        monkeypatch.setattr(precision, "_TOGETHER", together)
        torch.manual_seed(0)
        layers = [torch.nn.Linear(7, 5), torch.nn.Linear(33, 3), torch.nn.Linear(2, 40)]
        layers = [layer.to(torch.bfloat16) for layer in layers]
        layers[1].weight.data = layers[1].weight.data.float()  # some models keep a part in fp32
        net = torch.nn.ModuleList(layers)
        optimizer: Any = make_optimizer(
            net, config(dtype="bfloat16", rounding=rounding, learning_rate=1e-4, weight_decay=0.1)
        )
        for _ in range(3):
            for weight in net.parameters():
                weight.grad = torch.randn_like(weight)
            layers[0].bias.grad = None
            optimizer.step()
        return [weight.detach().clone() for weight in net.parameters()], optimizer.lost_share()

    alone, lost = stepped(1)
    for together in (100, 10_000):
        weights, share = stepped(together)
        assert all(map(torch.equal, weights, alone)) and share == lost


def test_low_rates_take_masters_unless_told_otherwise():
    assert rounding_of(config(dtype="bfloat16", learning_rate=1e-5)) == "masters"
    assert rounding_of(config(dtype="bfloat16", learning_rate=0.01)) == "nearest"
    assert rounding_of(config(dtype="bfloat16", lr_find=True)) == "masters"
    assert (
        rounding_of(config(dtype="bfloat16", learning_rate=1e-5, rounding="stochastic"))
        == "stochastic"
    )
    assert rounding_of(config(dtype="bfloat16", method="lora")) is None
    assert rounding_of(config()) is None


@pytest.mark.parametrize("rounding", ["masters", "stochastic"])
def test_an_optimizer_that_was_saved_goes_on_to_the_same_bits(rounding: str):
    """Masters are state like the moments: rounded weights alone would not do."""
    import torch

    settings = config(dtype="bfloat16", rounding=rounding, learning_rate=1e-4)

    def step(weight: Any, optimizer: Any, number: int) -> None:
        torch.manual_seed(number)
        weight.weight.grad = torch.randn(8, 8, generator=torch.Generator().manual_seed(number)).to(
            torch.bfloat16
        )
        optimizer.step()

    whole, half = (torch.nn.Linear(8, 8, bias=False, dtype=torch.bfloat16) for _ in range(2))
    half.load_state_dict(whole.state_dict())
    first, second = make_optimizer(whole, settings), make_optimizer(half, settings)
    for number in range(6):
        step(whole, first, number)
    for number in range(3):
        step(half, second, number)
    again = torch.nn.Linear(8, 8, bias=False, dtype=torch.bfloat16)
    again.load_state_dict(half.state_dict())
    third = make_optimizer(again, settings)
    third.load_state_dict(second.state_dict())
    for number in range(3, 6):
        step(again, third, number)
    assert torch.equal(again.weight, whole.weight)


def test_a_bf16_run_says_how_many_updates_would_be_lost(folder: Path):
    said: list[str] = []
    done = run(folder, "bfloat16", said.append, dtype="bfloat16", learning_rate=1e-4)
    assert "bfloat16 weights, updates rounded: masters" in said
    (line,) = [line for line in said if "of the updates vanish" in line]
    held = [json.loads(line) for line in (done.out / "metrics.jsonl").read_text().splitlines()]
    assert line.startswith(f"{held[-1]['lost_updates']:.1%}")


def test_adapters_stay_fp32_on_a_bf16_base():
    import torch

    from trainer.models import adapt

    base = toy_model().to(torch.bfloat16)
    adapted = adapt.attach(base, config(method="lora", dtype="bfloat16"))
    kinds = {weight.dtype for name, weight in adapted.named_parameters() if weight.requires_grad}
    assert kinds == {torch.float32}
    assert isinstance(
        make_optimizer(adapted, config(method="lora", dtype="bfloat16")), torch.optim.AdamW
    )


def test_activations_computed_again_give_the_same_losses_and_gradients():
    """Dropout masks too: they are drawn again as they were."""
    import torch

    from trainer.checks.loading import checkpoint_activations
    from trainer.models.dropout import add_residual_dropout

    found = []
    for again in (False, True):
        model = toy_model()
        add_residual_dropout(model, 0.3)
        if again:
            checkpoint_activations(model)
        model.train()
        torch.manual_seed(4)
        ids = torch.tensor([[1, 5, 6, 3, 9, 2]])
        loss = model(input_ids=ids, labels=ids, use_cache=False).loss
        loss.backward()
        found.append([loss.detach(), *(weight.grad for weight in model.parameters())])
    assert all(torch.allclose(one, other, atol=1e-7) for one, other in zip(*found, strict=True))


def test_noise_on_embeddings_is_there_in_training_and_not_in_evaluation():
    import torch

    model = toy_model()
    ids = torch.tensor([[1, 5, 6, 3]])
    plain = model(input_ids=ids).logits
    add_noise(model, 5.0)
    assert torch.equal(model(input_ids=ids).logits, plain)
    model.train()
    torch.manual_seed(1)
    first = model(input_ids=ids).logits
    torch.manual_seed(1)
    assert torch.equal(model(input_ids=ids).logits, first)
    assert not torch.allclose(first, plain, atol=1e-3)


def test_the_noise_is_as_large_as_the_paper_says():
    import torch

    model = toy_model()
    seen: list[Any] = []
    ids = torch.randint(4, 32, (8, 40))
    add_noise(model, 5.0)
    model.get_input_embeddings().register_forward_hook(lambda *given: seen.append(given[2]))
    model.train()(input_ids=ids)
    noise = (seen[0] - model.get_input_embeddings().weight[ids]).detach()
    limit = 5.0 / (40 * 16) ** 0.5
    assert 0.98 * limit < float(noise.abs().max()) <= limit + 1e-6


def test_packed_documents_get_the_noise_of_their_own_length():
    import torch

    positions = torch.tensor([[0, 1, 2, 0, 1]])
    assert lengths(torch.zeros(1, 5, 16), positions).tolist() == [[3, 3, 3, 2, 2]]
    assert lengths(torch.zeros(2, 5, 16), None).tolist() == [[5] * 5] * 2


def test_noise_changes_a_run_and_is_the_same_in_the_next(folder: Path, plain: trainer.TrainResult):
    noisy, again = (run(folder, name, neftune_noise_alpha=5.0) for name in ("noisy", "again"))
    assert steps_of(noisy) == steps_of(again) != steps_of(plain)


def test_a_found_rate_is_where_the_loss_falls_fastest():
    rates = [10.0**exponent for exponent in range(-7, 1)]
    assert lr_finder.found(rates, [5.0, 5.0, 4.9, 4.0, 2.0, 1.8, 1.9, 9.0]) == rates[4]
    with pytest.raises(CurateError, match="the loss falls at no rate"):
        lr_finder.found(rates, [1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 1.7])


def test_the_range_test_leaves_weights_as_they_were_and_finds_the_same_twice():
    import torch

    weight = torch.nn.Linear(4, 1, bias=False)
    with torch.no_grad():
        weight.weight.copy_(torch.tensor([[1.0, -2.0, 0.5, 3.0]]))
    before = weight.weight.detach().clone()
    plan: Any = types.SimpleNamespace(config=config(lr_find=True))

    def gradients(step: int) -> tuple[float, float]:
        weight.zero_grad()
        loss = weight.weight.square().sum()
        loss.backward()
        return float(loss.detach()), 1.0

    first = lr_finder.tested(plan, weight, gradients)
    assert torch.equal(weight.weight, before) and weight.weight.grad is None
    assert lr_finder.tested(plan, weight, gradients) == first
    assert 1e-3 < lr_finder.found(*first) < 1.0


def test_a_run_trains_with_the_rate_it_found_and_says_so(
    folder: Path, monkeypatch: pytest.MonkeyPatch
):
    said: list[str] = []
    monkeypatch.setattr(lr_finder, "STEPS", 24)
    done = run(folder, "found", said.append, lr_find=True, learning_rate=1e-6, held_out=0.2)
    (line,) = [line for line in said if line.startswith("learning rate")]
    rate = json.loads((done.out / "train.json").read_text())["config"]["learning_rate"]
    assert f"learning rate {rate:.3g}, found by" in line
    assert rate > 1e-4 and done.after is not None and done.before is not None
    assert done.after.loss < done.before.loss


def test_tensorboard_that_is_not_installed_is_an_error_that_names_the_extra(
    folder: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(extras, "find_spec", lambda name: None if name == "tensorboard" else name)
    with pytest.raises(CurateError, match=r'pip install "curate-sft\[tensorboard\]"'):
        run(folder, "board", report_to="tensorboard")
    assert not (folder / "board").exists()


def test_tensorboard_gets_every_number_under_its_step(
    folder: Path, monkeypatch: pytest.MonkeyPatch
):
    written: list[tuple[str, float, int]] = []

    class Writer:
        def __init__(self, folder: str) -> None:
            assert folder.endswith("tensorboard")

        def add_scalar(self, name: str, value: float, step: int) -> None:
            written.append((name, value, step))

        def close(self) -> None:
            written.append(("closed", 0, 0))

    monkeypatch.setattr(extras, "find_spec", lambda name: name)
    module = types.SimpleNamespace(SummaryWriter=Writer)
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", module)
    done = run(folder, "board", report_to="tensorboard")
    losses = [(value, step) for name, value, step in written if name == "training/loss"]
    assert losses == list(zip(steps_of(done), range(1, 4), strict=True))
    assert any(name == "evaluation/loss" for name, _, _ in written)
    assert written[-1][0] == "closed"


def test_work_is_counted_by_what_is_trained():
    """Two products forward, four backward; frozen weights need no gradient of their own."""
    from trainer.models import adapt

    model = toy_model()
    inner = sum(weight.numel() for weight in model.parameters()) - 32 * 16
    assert pace.flops_per_token(model, 0.0) == 6 * inner
    assert pace.flops_per_token(model, 10.0) == 6 * inner + 12 * 2 * 16 * 10
    tied = toy_model(tie_word_embeddings=True)
    assert pace.flops_per_token(tied, 0.0) == 6 * inner
    adapted = adapt.attach(toy_model(), config(method="lora"))
    added = sum(weight.numel() for weight in adapted.parameters() if weight.requires_grad)
    assert pace.flops_per_token(adapted, 0.0) == 4 * inner + 6 * added


def test_progress_says_speed_utilisation_and_memory(plain: trainer.TrainResult, said: list[str]):
    (line,) = [line for line in said if "tokens/s" in line]
    assert "GFLOP/s (measured, fp32)" in line and line.endswith(" GB")
