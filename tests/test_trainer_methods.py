from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

import trainer
from curate.base.errors import CurateError
from curate.base.settings import choices_of
from tests.trainer_toys import (
    ALL,
    documents,
    reversed_pairs,
    silent,
    toy_model,
    write_model,
    write_tokens,
)
from trainer import TrainConfig
from trainer.config.methods import METHODS
from trainer.config.reasons import REASONS
from trainer.models import adapt

# pygal's import hook is of a kind that Python 3.11 warns about at every later import.
pytestmark = pytest.mark.filterwarnings("ignore:PluginImportFixer:ImportWarning")

SMALL: dict[str, dict[str, Any]] = {
    "lora": {"lora_r": 4},
    "rslora": {"lora_r": 4},
    "dora": {"lora_r": 4},
    "lora-xs": {"lora_r": 4},
    "oft": {"rotation_block": 8},
    "boft": {"rotation_block": 8},
    "ia3": {},
    "norms": {},
}
ASKED = [[1, 5, 6, 3, 9], [1, 7, 8, 3, 4]]


def config(method: str, **fields: Any) -> TrainConfig:
    settings = {"tokens": "t", "model": "m", "out": "o", **SMALL.get(method, {}), **fields}
    return TrainConfig(method=method, **settings)


def logits(model: Any) -> Any:
    import torch

    with torch.no_grad():
        return model.eval()(input_ids=torch.tensor(ASKED)).logits


def disturbed(method: str) -> Any:
    """An adapted model whose trained weights are no longer where they began."""
    import torch

    adapted = adapt.attach(toy_model(), config(method))
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for weight in adapted.parameters():
            if weight.requires_grad:
                weight += 0.1 * torch.randn(weight.shape, generator=generator)
    return adapted


def test_the_config_offers_exactly_the_methods_of_the_table():
    assert set(choices_of(TrainConfig, "method")) == set(METHODS)
    assert set(choices_of(TrainConfig, "preset")) == set(trainer.PRESETS)
    assert set(choices_of(TrainConfig, "allow")) == set(REASONS)


@pytest.mark.parametrize("method", SMALL)
def test_before_training_the_adapted_model_is_the_base(method: str):
    import torch

    expected = logits(toy_model())
    adapted = adapt.attach(toy_model(), config(method))
    # DoRA divides by the norms that it multiplies by; BOFT solves a system.
    exact = method not in ("dora", "boft", "oft")
    assert torch.allclose(logits(adapted), expected, atol=0.0 if exact else 1e-5, rtol=0.0)


@pytest.mark.parametrize("method", SMALL)
def test_merged_weights_give_what_the_adapters_gave(method: str):
    import torch

    adapted = disturbed(method)
    before = logits(adapted)
    assert not torch.allclose(before, logits(toy_model()), atol=1e-2)
    merged = adapt.merged(adapted, config(method))
    assert type(merged).__name__ == "LlamaForCausalLM"
    assert torch.allclose(logits(merged), before, atol=2e-5)
    assert {name for name, _ in merged.named_parameters()} == {
        name for name, _ in toy_model().named_parameters()
    }


@pytest.mark.parametrize("method", ["lora", "dora", "oft", "boft"])
def test_taking_the_adapters_out_again_restores_the_base(method: str):
    import torch

    adapted = disturbed(method)
    base = dict(toy_model().named_parameters())
    adapted.merge_adapter()
    moved = [
        (name.removeprefix("base_model.model.").replace(".base_layer", ""), weight)
        for name, weight in adapted.named_parameters()
        if "base_layer.weight" in name
    ]
    assert moved and all(not torch.allclose(weight, base[name]) for name, weight in moved)
    adapted.unmerge_adapter()
    assert all(torch.allclose(weight, base[name], atol=1e-5) for name, weight in moved)
    with adapted.disable_adapter():
        assert torch.allclose(logits(adapted), logits(toy_model()), atol=1e-4)


@pytest.mark.parametrize("method", [name for name in SMALL if name != "norms"])
def test_a_step_moves_the_adapters_and_not_one_bit_of_the_base(method: str):
    import torch

    from trainer.loss import LossMode
    from trainer.models.model import make_optimizer
    from trainer.objectives.sft import gradients

    settings = config(method, learning_rate=0.02)
    adapted = adapt.attach(toy_model(), settings).train()
    before = {name: weight.detach().clone() for name, weight in adapted.named_parameters()}
    optimizer, rows = make_optimizer(adapted, settings), documents()
    for _ in range(2):  # where B begins as 0, the first step moves B alone
        gradients(adapted, rows, ALL, settings, LossMode(True, False), 4)
        optimizer.step()
    for name, weight in adapted.named_parameters():
        assert weight.requires_grad != torch.equal(weight, before[name]), name


def test_adapters_on_a_4_bit_base_do_what_they_do_on_the_whole_one(tmp_path: Path):
    import torch

    from trainer.models import model

    if not torch.cuda.is_available() or not find_spec("bitsandbytes"):
        pytest.skip("a 4-bit base needs a CUDA GPU and the package bitsandbytes")
    place, found = torch.device("cuda"), []
    folder = write_model(tmp_path / "base", hidden_size=64, intermediate_size=128)
    for in_4bit in (False, True):
        base = model.load(folder, place, in_4bit=in_4bit)
        ids = torch.tensor(ASKED, device=place)
        with torch.no_grad():
            plain = base.eval()(input_ids=ids).logits
            torch.manual_seed(0)
            adapted = adapt.attach(base, config("lora", load_in_4bit=in_4bit)).eval()
            assert torch.equal(adapted(input_ids=ids).logits, plain)
            for name, weight in adapted.named_parameters():
                if "lora_B" in name:
                    weight.fill_(0.05)
            tuned = adapted(input_ids=ids).logits
        found.append((plain.float().flatten(), (tuned - plain).float().flatten()))
    for whole, quantized in zip(*found, strict=True):  # 4 bits round each weight by some percent
        assert float(torch.cosine_similarity(whole, quantized, dim=0)) > 0.7


def test_oft_turns_and_neither_stretches_nor_shears():
    import torch

    adapted = disturbed("oft")
    base = dict(toy_model().named_parameters())
    turned = 0
    for name, module in adapted.named_modules():
        if not hasattr(module, "oft_R"):
            continue
        turn = module.get_delta_weight("default").detach()
        assert torch.allclose(turn.T @ turn, torch.eye(len(turn)), atol=1e-6)
        plain = base[name.removeprefix("base_model.model.") + ".weight"].detach()
        merged = (turn @ plain.T).T
        values = [torch.linalg.svdvals(weight) for weight in (plain, merged)]
        assert torch.allclose(values[0], values[1], atol=1e-5)
        assert torch.allclose(plain @ plain.T, merged @ merged.T, atol=1e-5)
        turned += 1
    assert turned == 14


@pytest.mark.parametrize(
    ("method", "trained"),
    [
        # r (in + out) of q, k, v, o, gate, up, down in two blocks.
        ("lora", 2 * 4 * (32 + 24 + 24 + 32 + 48 + 48 + 48)),
        ("dora", 2 * (4 * (32 + 24 + 24 + 32 + 48 + 48 + 48) + 16 + 8 + 8 + 16 + 32 + 32 + 16)),
        ("lora-xs", 2 * 7 * 16),
        # in / b blocks of b (b - 1) / 2: six layers of 16 inputs and one of 32.
        ("oft", 2 * (6 * 2 + 4) * 28),
        ("ia3", 2 * (8 + 8 + 32)),
        ("norms", 5 * 16),
    ],
)
def test_the_number_of_trained_parameters_is_the_formulas(method: str, trained: int):
    adapted = adapt.attach(toy_model(), config(method))
    found = sum(weight.numel() for weight in adapted.parameters() if weight.requires_grad)
    assert found == trained


def test_bitfit_trains_biases_alone_and_refuses_a_model_without_any():
    model = adapt.attach(toy_model(attention_bias=True), config("bitfit"))
    trained = [name for name, weight in model.named_parameters() if weight.requires_grad]
    assert len(trained) == 8 and all(name.endswith(".bias") for name in trained)
    with pytest.raises(CurateError, match="bitfit trains biases, and llama models of this shape"):
        adapt.attach(toy_model(), config("bitfit"))


@pytest.mark.parametrize("method", ["lora", "lora-xs", "ia3"])
def test_adapters_fit_layers_that_keep_their_weight_the_other_way_round(method: str):
    """GPT-2's layers are Conv1D, whose weights are [in, out]; peft's own warning is kept quiet."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    def base() -> Any:
        torch.manual_seed(0)
        sizes = {"vocab_size": 32, "n_embd": 16, "n_layer": 1, "n_head": 2, "n_positions": 16}
        ends = {"bos_token_id": 1, "eos_token_id": 2}
        return GPT2LMHeadModel(GPT2Config(**sizes, **ends, initializer_range=0.2))

    adapted = adapt.attach(base(), config(method))
    assert torch.allclose(logits(adapted), logits(base()), atol=1e-6)
    with torch.no_grad():
        for weight in adapted.parameters():
            if weight.requires_grad:
                weight += 0.1 * torch.randn(weight.shape, generator=torch.manual_seed(3))
    expected = logits(adapted)
    assert not torch.allclose(expected, logits(base()), atol=1e-2)
    assert torch.allclose(logits(adapt.merged(adapted, config(method))), expected, atol=1e-5)


def test_a_layer_that_is_not_there_is_an_error_that_names_the_nearest():
    with pytest.raises(CurateError, match="no linear layer 'q_prj'; did you mean 'q_proj'"):
        adapt.attach(toy_model(), config("lora", target_modules=("q_prj", "v_proj")))


def test_adapters_go_on_the_named_layers_alone():
    adapted = adapt.attach(toy_model(), config("oft", target_modules=("q_proj", "v_proj")))
    trained = [name for name, weight in adapted.named_parameters() if weight.requires_grad]
    assert len(trained) == 4
    assert all("q_proj" in name or "v_proj" in name for name in trained)


@pytest.mark.parametrize(
    ("method", "fields", "message"),
    [
        ("boft", {"rotation_block": 5}, "boft rotates blocks of "),
        ("lora-xs", {"lora_r": 9}, "lora_r: 9 is more than the 8 singular values"),
        ("tokens", {}, "these rows have none; render them with --add-token"),
        ("ia3", {"target_modules": ("nothing",)}, "no linear layer 'nothing'"),
    ],
)
def test_what_does_not_go_together_is_refused(method: str, fields: dict[str, Any], message: str):
    with pytest.raises(CurateError, match=message):
        adapt.attach(toy_model(), config(method, **fields))


def test_a_learnt_prompt_that_a_model_cannot_take_is_refused_when_it_is_put_on():
    """Falcon with one key for all heads wants learnt keys of a shape that peft does not make."""
    from transformers import FalconConfig, FalconForCausalLM

    sizes = {"vocab_size": 32, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    model = FalconForCausalLM(FalconConfig(**sizes, bos_token_id=1, eos_token_id=2))
    with pytest.raises(
        CurateError, match="prefix does not go with falcon models of this shape: Sizes"
    ):
        adapt.attach(model, config("prefix"))


def test_a_4_bit_base_without_a_gpu_says_what_is_missing():
    import torch

    from trainer.models import model

    with pytest.raises(CurateError, match="a 4-bit base needs a CUDA GPU"):
        model.load("nowhere", torch.device("cpu"), in_4bit=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("methods")
    write_tokens(made / "tokens", reversed_pairs(24))
    write_model(made / "base")
    return made


def run(folder: Path, method: str, name: str, **fields: Any) -> trainer.TrainResult:
    settings = {
        "num_train_epochs": 2,
        "batch_size": 8,
        "learning_rate": 0.02,
        "held_out": 0.1,
        "prompts": 1,
    }
    settings |= {"proof": False, "packing": "off"}
    return trainer.train(
        TrainConfig(
            tokens=str(folder / "tokens"),
            model=str(folder / "base"),
            out=str(folder / name),
            method=method,
            **{**settings, **SMALL.get(method, {}), **fields},
        ),
        silent,
    )


@pytest.mark.parametrize("method", ["dora", "lora-xs"])
def test_a_run_learns_and_leaves_a_plain_model(method: str, folder: Path):
    from transformers import AutoModelForCausalLM

    done = run(folder, method, method)
    assert done.before is not None and done.after is not None
    assert done.after.loss < done.before.loss
    assert type(AutoModelForCausalLM.from_pretrained(done.out)).__name__ == "LlamaForCausalLM"
    assert (done.out / "adapter").is_dir()


# PEFT asks transformers 5 for a property under its old name, and numbers positions itself.
@pytest.mark.filterwarnings("ignore:Position ids are not supported")
@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")
@pytest.mark.parametrize("method", ["prefix", "prompt"])
def test_a_learnt_prompt_is_handed_over_as_it_is(method: str, folder: Path):
    """It cannot be merged: peft puts it on its base, and the logits are those of training."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    done = run(folder, method, method, num_virtual_tokens=4)
    assert done.before is not None and done.after is not None
    assert done.after.loss < done.before.loss
    assert not (done.out / "config.json").exists()
    base = AutoModelForCausalLM.from_pretrained(folder / "base")
    tuned = PeftModel.from_pretrained(base, done.out).eval()
    (sample,) = done.samples
    prompt = torch.tensor([sample.prompt_ids])
    said = tuned.generate(
        input_ids=prompt,
        attention_mask=torch.ones_like(prompt),
        max_new_tokens=8,
        do_sample=False,
        pad_token_id=0,
        eos_token_id=2,
    )
    answer = tuple(
        token for token in said[0, len(sample.prompt_ids) :].tolist() if token not in (0, 2)
    )
    assert answer[: len(sample.after.ids)] == sample.after.ids[:8]


def test_a_learnt_prompt_takes_positions_from_the_rows(folder: Path):
    with pytest.raises(CurateError, match=r"too-long.*longest row 7, model has 6 positions"):
        run(folder, "prompt", "long", num_virtual_tokens=42)
