"""What adapters go on: experts of mixtures, layers under other models' names, Mamba's blocks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from curate.base.errors import CurateError
from tests.tiny_models import write_tiny
from trainer import TrainConfig
from trainer.models import adapt
from trainer.models.targets import targets

pytestmark = pytest.mark.filterwarnings("ignore:PluginImportFixer:ImportWarning")


def config(method: str = "lora", **fields: Any) -> TrainConfig:
    return TrainConfig(tokens="t", model="m", out="o", method=method, **fields)


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A tiny model of an architecture, loaded anew each time."""
    home = tmp_path_factory.mktemp("targets")

    def load(name: str) -> Any:
        from transformers import AutoModelForCausalLM

        if not (home / name).exists():
            write_tiny(name, home / name)
        return AutoModelForCausalLM.from_pretrained(home / name).eval()

    return load


def leaves(names: tuple[str, ...]) -> set[str]:
    return {name.rpartition(".")[2] for name in names}


def test_experts_are_adapted_and_the_log_says_so(loaded: Any):
    chosen = targets(loaded("mixtral"), config())
    assert chosen.parameters == tuple(
        f"model.layers.{layer}.mlp.experts.{name}"
        for layer in (0, 1)
        for name in ("gate_up_proj", "down_proj")
    )
    assert leaves(chosen.layers) == {"q_proj", "k_proj", "v_proj", "o_proj"}
    # r (in + out) numbers for each expert: 8 x 4 x ((32 + 96) + (48 + 32)) in two layers.
    assert chosen.lines == (
        "experts of the mixture are adapted as well: 4 tensors (down_proj, gate_up_proj) with "
        "adapters of 13,312 numbers; target_modules without them leaves them frozen, such as "
        "k_proj,o_proj,q_proj,v_proj",
    )


@pytest.mark.parametrize(
    ("method", "fields", "why"),
    [
        ("oft", {}, "as method oft adapts layers alone"),
        ("dora", {}, "as method dora adapts layers alone"),
        ("lora", {"lora_dropout": 0.1}, "as they take no lora_dropout"),
        ("lora", {"sharding": "full"}, "as their adapters are not shared"),
    ],
)
def test_experts_that_stay_frozen_are_named_with_what_adapts_them(
    method: str, fields: dict[str, Any], why: str, loaded: Any
):
    chosen = targets(loaded("mixtral"), config(method, **fields))
    assert chosen.parameters == ()
    (line,) = chosen.lines
    assert line.startswith("experts of the mixture stay frozen, " + why)
    assert line.endswith("method lora, without lora_dropout and sharding, adapts them")


@pytest.mark.parametrize("name", ["mixtral", "gpt_oss", "qwen2_moe", "deepseek_v3"])
def test_adapted_experts_change_nothing_at_first_and_merge_to_what_they_gave(
    name: str, loaded: Any
):
    """Weights of GPT-OSS's experts lie the other way round than those of the others."""
    import torch

    ids = torch.tensor([[1, 5, 22, 3, 9]])
    plain = loaded(name)(ids).logits.detach()
    adapted = adapt.attach(loaded(name), config()).eval()
    assert torch.allclose(adapted(ids).logits, plain, atol=1e-5)
    with torch.no_grad():
        for at, weight in adapted.named_parameters():
            if "lora_B" in at and "experts" in at:
                weight += 0.05 * torch.randn(weight.shape, generator=torch.manual_seed(3))
    expected = adapted(ids).logits.detach()
    assert float((expected - plain).abs().max()) > 0.01
    merged = adapt.merged(adapted, config())
    assert torch.allclose(merged(ids).logits, expected, atol=1e-5)


def test_layers_that_peft_takes_for_experts_by_their_names_are_adapted_all_the_same(loaded: Any):
    """Peft would put experts in the place of shared experts and of dense layers."""
    model = loaded("deepseek_v3")
    chosen = targets(model, config())
    ours = {name for name in chosen.parameters if name.endswith("_proj.weight")}
    assert ours == {
        f"model.layers.{place}.{name}_proj.weight"
        for place in ("0.mlp", "1.mlp.shared_experts")
        for name in ("gate", "up", "down")
    }
    adapted = adapt.attach(model, config())
    given = {at for at, weight in adapted.named_parameters() if weight.requires_grad}
    for name in (*chosen.layers, *(one.rpartition(".")[0] for one in chosen.parameters)):
        assert any(f".{name}." in at for at in given), name
    assert not adapted.peft_config["default"].rank_pattern
    # Where it cannot be had, it is said.
    lines = targets(loaded("deepseek_v3"), config("dora")).lines
    assert any("stay frozen, as peft takes their names for those of experts" in x for x in lines)


@pytest.mark.parametrize(
    ("name", "given", "own", "line"),
    [
        ("gpt2", "q_proj,v_proj", {"c_attn"}, "gpt2 models have c_attn for q_proj, c_attn for v_p"),
        ("phi3", "q_proj,up_proj", {"qkv_proj", "gate_up_proj"}, "have qkv_proj for q_proj, gate_"),
        ("bloom", "q_proj,o_proj", {"query_key_value", "dense"}, "self_attention.dense for o_proj"),
        ("opt", "o_proj,down_proj", {"out_proj", "fc2"}, "have out_proj for o_proj, fc2 for down_"),
        ("lfm2", "gate_proj", {"w1"}, "lfm2 models have w1 for gate_proj"),
    ],
)
def test_names_that_most_recipes_give_are_those_of_the_model(
    name: str, given: str, own: set[str], line: str, loaded: Any
):
    chosen = targets(loaded(name), config(target_modules=given))
    assert leaves(chosen.layers) == own
    assert len(chosen.lines) == 1 and line in chosen.lines[0]
    assert chosen.lines[0].endswith(", and that is adapted")


def test_experts_are_known_by_the_names_they_once_had(loaded: Any):
    chosen = targets(loaded("mixtral"), config(target_modules="w1,w3,q_proj"))
    assert leaves(chosen.parameters) == {"gate_up_proj"} and leaves(chosen.layers) == {"q_proj"}
    chosen = targets(loaded("mixtral"), config(target_modules="q_proj"))
    assert (chosen.parameters, chosen.lines) == ((), ())


def test_all_linear_is_what_is_adapted_where_nothing_is_named(loaded: Any):
    model = loaded("mixtral")
    assert targets(model, config(target_modules="all-linear")) == targets(model, config())


def test_a_name_that_no_model_has_is_an_error_with_the_models_own(loaded: Any):
    with pytest.raises(CurateError, match="no linear layer 'gate_proj'; it has c_attn, c_fc, c_pr"):
        targets(loaded("gpt2"), config(target_modules="gate_proj"))


@pytest.mark.parametrize(
    ("name", "left"),
    [
        ("mamba", "dt_proj, out_proj, x_proj"),
        ("mamba2", "out_proj"),
        ("falcon_h1", "out_proj"),
        ("jamba", "dt_proj, out_proj, x_proj"),
    ],
)
def test_weights_that_kernels_read_past_adapters_get_none(name: str, left: str, loaded: Any):
    """On a GPU with Mamba's kernels adapters on them would be trained by nothing, and unseen."""
    chosen = targets(loaded(name), config())
    assert "in_proj" in leaves(chosen.layers)
    assert not leaves(chosen.layers) & {*left.split(", ")}
    assert chosen.lines[0].startswith(f"lora: {left} of state-space layers stay as they are")
    adapt.attach(loaded(name), config())


def test_where_nothing_is_left_to_adapt_the_run_is_refused(loaded: Any):
    with pytest.raises(CurateError, match="gate_up_proj: nothing is left for method oft to adapt"):
        targets(loaded("mixtral"), config("oft", target_modules="gate_up_proj"))


def test_a_run_says_what_becomes_of_experts(tmp_path: Path):
    from tests.checkpoint_toys import train, write_answers

    lines: list[str] = []
    base, tokens = write_tiny("qwen3_moe", tmp_path / "base"), write_answers(tmp_path / "tokens")
    train(tokens, base, tmp_path / "out", lines.append, method="lora", target_modules="q_proj")
    assert not any(line.startswith("experts") for line in lines)
    train(tokens, base, tmp_path / "two", lines.append, method="ia3", target_modules="q_proj")
    train(tokens, base, tmp_path / "three", lines.append, method="lora")
    assert sum(line.startswith("experts of the mixture are adapted") for line in lines) == 1
