from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import trainer
from tests.trainer_toys import reversed_pairs, sha256, silent, toy_model, write_model, write_tokens
from trainer import TrainConfig, TrainResult
from trainer.models.adapt import attach
from trainer.models.model import make_optimizer, measure

# pygal's import hook is of a kind that Python 3.11 warns about at every later import.
pytestmark = pytest.mark.filterwarnings("ignore:PluginImportFixer:ImportWarning")


def configure(folder: Path, out: str, **fields: Any) -> TrainConfig:
    settings = {
        "tokens": str(folder / "tokens"),
        "model": str(folder / "base"),
        "out": str(folder / out),
        "method": "lora",
        "num_train_epochs": 4,
        "batch_size": 8,
        "learning_rate": 0.02,
        "held_out": 0.1,
        "prompts": 1,
        "lora_r": 4,
    }
    return TrainConfig(**{**settings, **fields})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("lora")
    write_tokens(made / "tokens", reversed_pairs(40))
    write_model(made / "base")
    return made


@pytest.fixture(scope="module")
def done(folder: Path) -> TrainResult:
    return trainer.train(configure(folder, "tuned"), silent)


def logits(model: Any) -> Any:
    import torch

    with torch.no_grad():
        return model.eval()(input_ids=torch.tensor([[1, 5, 6, 3]])).logits


def test_held_out_loss_falls(done: TrainResult):
    assert done.before is not None and done.after is not None
    assert done.after.loss < 0.9 * done.before.loss


def test_the_merged_model_loads_without_peft_and_is_no_adapter(done: TrainResult):
    from transformers import AutoModelForCausalLM

    names = {path.name for path in done.out.iterdir()}
    assert "model.safetensors" in names and "adapter_config.json" not in names
    assert type(AutoModelForCausalLM.from_pretrained(done.out)).__name__ == "LlamaForCausalLM"


# PEFT asks transformers 5 for a property under its old name.
@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")
def test_base_and_adapter_give_what_the_merged_model_gives(done: TrainResult, folder: Path):
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    merged = AutoModelForCausalLM.from_pretrained(done.out)
    base = AutoModelForCausalLM.from_pretrained(folder / "base")
    unadapted = logits(base)
    adapted = logits(PeftModel.from_pretrained(base, done.out / "adapter"))
    assert torch.allclose(adapted, logits(merged), atol=1e-5)
    assert not torch.allclose(adapted, unadapted, atol=1e-2)


def test_the_adapter_is_the_chosen_epochs(done: TrainResult):
    kept = done.out / "epochs" / f"epoch-{done.epoch}" / "adapter_model.safetensors"
    assert sha256(done.out / "adapter" / "adapter_model.safetensors") == sha256(kept)
    assert not (done.out / "adapter" / "README.md").exists()


def test_a_chosen_epoch_that_is_not_the_last_is_the_one_merged(folder: Path):
    run = trainer.train(
        configure(
            folder,
            "early",
            num_train_epochs=3,
            learning_rate=0.9,
            warmup_ratio=0.0,
            max_grad_norm=0.0,
            seed=1,
        ),
        silent,
    )
    assert run.epoch < 3
    chosen = run.table[run.epoch]
    assert chosen.held_out is not None and run.after is not None
    assert run.after.loss == pytest.approx(chosen.held_out.loss, abs=1e-3)


def test_two_runs_give_the_same_bits(done: TrainResult, folder: Path):
    again = trainer.train(configure(folder, "again"), silent)
    for name in ("model.safetensors", "adapter/adapter_model.safetensors", "config.json"):
        assert sha256(again.out / name) == sha256(done.out / name)
    one, two = (
        json.loads((run.out / "adapter" / "adapter_config.json").read_text())
        for run in (done, again)
    )
    assert one == two


def test_only_adapters_are_trained_and_they_start_as_nothing():
    import torch

    base = toy_model()
    before = logits(base)
    adapted = attach(base, TrainConfig(tokens="t", model="m", out="o", method="lora"))
    trained = [name for name, weight in adapted.named_parameters() if weight.requires_grad]
    assert trained and all("lora_" in name for name in trained)
    assert not any("lm_head" in name or "embed" in name for name in trained)
    assert torch.equal(logits(adapted), before)


def test_the_size_counts_what_is_trained():
    base = toy_model()
    full = measure(base)
    assert full.trained == full.total == sum(weight.numel() for weight in base.parameters())
    assert full.bytes == 16 * full.total
    config = TrainConfig(tokens="t", model="m", out="o", method="lora", lora_r=2)
    adapted = measure(attach(base, config))
    # r (d_in + d_out) over q, k, v, o, gate, up and down of two blocks.
    shapes = [(16, 16), (16, 8), (16, 8), (16, 16), (16, 32), (16, 32), (32, 16)]
    assert adapted.trained == 2 * sum(2 * (wide + high) for wide, high in shapes)
    assert adapted.total == full.total + adapted.trained


def test_decay_spares_norms_and_biases():
    config = TrainConfig(tokens="t", model="m", out="o", weight_decay=0.1)
    model = toy_model(attention_bias=True)
    matrices, rest = make_optimizer(model, config).param_groups
    assert (matrices["weight_decay"], rest["weight_decay"]) == (0.1, 0.0)
    assert all(weight.ndim == 2 for weight in matrices["params"])
    names = {id(weight): name for name, weight in model.named_parameters()}
    assert {names[id(weight)].rsplit(".")[-1] for weight in rest["params"]} == {"weight", "bias"}
    assert any("norm" in names[id(weight)] for weight in rest["params"])
    assert any(names[id(weight)].endswith("bias") for weight in rest["params"])
