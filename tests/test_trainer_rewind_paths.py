"""Every point of a path as weights and logits: exact at both ends, and a rotation in between."""

from __future__ import annotations

import functools
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import curate
from curate.base.errors import CurateError
from tests.checkpoint_toys import (
    EOS,
    outside_adapter,
    tensors,
    train,
    write_answers,
    write_base,
)
from tests.rewind_toys import hard_run
from tests.tiny_models import write_tiny
from trainer.after.rewind.paths import WeightPath, path_of
from trainer.after.rewind.scales import Scale
from trainer.after.rewind.source import find

# peft asks transformers for a property under its old name, and speaks of odd settings.
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning")

LAYERS = 2
ASKED = [1, 5, 9, 3, 7, 6]
ADAPTERS = ("lora", "rslora", "dora", "lora-xs", "oft", "boft", "ia3", "norms")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("paths")


@pytest.fixture(scope="module")
def base(home: Path) -> str:
    return write_base(home / "base")


@pytest.fixture(scope="module")
def tuned(home: Path, base: str) -> Callable[[str], Path]:
    """The run of a method, trained once for all who ask."""
    tokens = write_answers(home / "tokens")

    @functools.cache
    def run(method: str) -> Path:
        few = {"num_train_epochs": 2, "held_out": 0.0}
        return hard_run(tokens, base, home / method, method, **few)

    return run


def path_to(run: Path, model: str | None = None) -> WeightPath:
    import torch

    return path_of(find(str(run), model), torch.device("cpu"))


def logits_of(net: Any) -> Any:
    import torch

    with torch.no_grad():
        return net(input_ids=torch.tensor([ASKED])).logits


def logits_in(folder: str | Path, adapter: Path | None = None) -> Any:
    """What transformers and peft alone make of a folder."""
    import peft
    import torch
    from transformers import AutoModelForCausalLM

    net = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    if adapter is not None:
        net = peft.PeftModel.from_pretrained(net, adapter)
    return logits_of(net.eval())


def at(path: WeightPath, alpha: float, by_layer: bool = False) -> Any:
    path.to(Scale(alpha, LAYERS, by_layer))
    return logits_of(path.net)


@pytest.mark.parametrize("method", ["full", *ADAPTERS])
def test_alpha_0_is_the_base_and_alpha_1_the_checkpoint(
    method: str, base: str, tuned: Callable[[str], Path]
) -> None:
    run = tuned(method)
    path = path_to(run)
    middle = at(path, 0.5)
    assert bool((at(path, 0.0) == logits_in(base)).all())
    assert path.moved()[0] == 0
    last = at(path, 1.0)
    if method == "full":
        assert bool((last == logits_in(run)).all())
    elif method == "lora-xs":
        assert float((last - logits_in(run)).abs().max()) < 1e-4
    else:
        assert bool((last == logits_in(base, run / "adapter")).all())
    assert path.moved()[0] > 0
    assert float((middle - last).abs().max()) > 1e-3 < float((middle - at(path, 0)).abs().max())


@pytest.mark.parametrize("method", ["full", "lora", "rslora", "lora-xs", "ia3", "norms"])
def test_additive_paths_go_as_far_as_alpha_says(method: str, tuned: Callable[[str], Path]) -> None:
    path = path_to(tuned(method))
    at(path, 1.0)
    whole, norm = path.moved()
    at(path, 0.3)
    assert path.moved()[0] / whole == pytest.approx(0.3, abs=1e-4)
    assert path.moved()[1] == pytest.approx(norm)


@pytest.mark.parametrize("method", ["lora", "dora", "lora-xs", "oft", "boft", "ia3", "norms"])
def test_what_is_written_of_an_adapter_merges_into_what_was_measured(
    method: str, tuned: Callable[[str], Path], tmp_path: Path
) -> None:
    path = path_to(tuned(method))
    wanted = at(path, 0.3)
    (tmp_path / "some").mkdir()
    path.write(tmp_path / "some")
    merged = tmp_path / "some"
    if path.form == "adapter":
        merged = tmp_path / "merged"
        curate.merge(tmp_path / "some", out=merged)
    assert path.form == ("weights" if method == "lora-xs" else "adapter")
    assert float((logits_in(merged) - wanted).abs().max()) < 1e-4


def singular_values(weights: dict[str, Any], name: str) -> Any:
    import torch

    return torch.linalg.svdvals(weights[name].double())


def test_a_rotation_keeps_singular_values_on_its_path_and_a_straight_line_does_not(
    base: str, tuned: Callable[[str], Path], tmp_path: Path
) -> None:
    run = tuned("oft")
    path = path_to(run)
    path.to(Scale(0.3, LAYERS))
    (tmp_path / "some").mkdir()
    path.write(tmp_path / "some")
    curate.merge(tmp_path / "some", out=tmp_path / "turned")
    before, last = tensors(Path(base)), tensors(run)
    turned = tensors(tmp_path / "turned")
    dense = {name: before[name].lerp(last[name], 0.3) for name in before}
    changed = [name for name in before if not bool((before[name] == last[name]).all())]
    assert len(changed) == 14
    for name in changed:
        own = singular_values(before, name)
        assert float((singular_values(turned, name) - own).abs().max()) < 1e-5
        assert float((singular_values(dense, name) - own).abs().max()) > 1e-3


def turned_by(base: str, folder: Path, generator: float) -> Path:
    """An adapter of which one plane of each block turns, by its generator's entry."""
    from safetensors.torch import load_file, save_file

    rotations = {"oft_block_size": 8, "use_cayley_neumann": False, "target_modules": ["q_proj"]}
    outside_adapter(base, folder, rotation=True, **rotations)
    file = folder / "adapter_model.safetensors"
    learnt = load_file(file)
    for weight in learnt.values():
        weight.zero_()
        weight[:, 0] = generator
    save_file(learnt, file, metadata={"format": "pt"})
    return folder


@pytest.mark.parametrize(
    ("alpha", "angle"), [(1.0, 0.394791), (0.3, 0.218219), (0.0, 0.0)], ids=["1", "0.3", "0"]
)
def test_a_plane_turns_by_twice_the_arc_tangent_of_its_scaled_generator(
    alpha: float, angle: float, base: str, tmp_path: Path
) -> None:
    import torch

    path = path_to(turned_by(base, tmp_path / "adapter", 0.2))
    path.to(Scale(alpha, LAYERS))
    name = "model.layers.0.self_attn.q_proj"
    weight = tensors(Path(base))[f"{name}.weight"].double()
    layer = path.net.get_submodule(f"base_model.model.{name}")
    layer.merge()
    turned = layer.get_base_layer().weight.detach().double()
    # Two planes turn in a space of 16.
    trace = float(torch.trace(torch.linalg.pinv(weight) @ turned))
    assert math.acos(min(1.0, (trace - 12) / 4)) == pytest.approx(angle, abs=2e-3)
    assert angle == pytest.approx(2 * math.atan(math.sqrt(alpha) * 0.2), abs=1e-6)


def test_alpha_03_of_a_rotation_is_more_than_half_of_the_way(base: str, tmp_path: Path) -> None:
    path = path_to(turned_by(base, tmp_path / "adapter", 0.2))
    path.to(Scale(1.0, LAYERS))
    whole = path.moved()[0]
    path.to(Scale(0.3, LAYERS))
    # A chord is as long as twice the sine of half the angle.
    wanted = math.sin(0.218219 / 2) / math.sin(0.394791 / 2)
    assert path.moved()[0] / whole == pytest.approx(wanted, abs=1e-4)
    assert 0.55 < wanted < 0.56


@pytest.mark.parametrize("method", ["full", "lora", "oft"])
def test_by_layer_the_last_layer_is_the_checkpoints_and_the_first_at_alpha(
    method: str, base: str, tuned: Callable[[str], Path], tmp_path: Path
) -> None:
    run = tuned(method)
    path = path_to(run)
    path.to(Scale(0.0, LAYERS, by_layer=True))
    (tmp_path / "some").mkdir()
    path.write(tmp_path / "some")
    whole = tmp_path / "some"
    if method != "full":
        whole = tmp_path / "whole"
        curate.merge(tmp_path / "some", out=whole)
    found, before, last = tensors(whole), tensors(Path(base)), tensors(run)
    for name in found:
        end = before if ".layers.0." in name or "embed" in name else last
        assert float((found[name] - end[name]).abs().max()) < 1e-6, name


@pytest.mark.parametrize("method", ["full", "oft", "lora-xs"])
def test_an_epoch_is_what_its_folder_holds(
    method: str, base: str, tuned: Callable[[str], Path]
) -> None:
    run = tuned(method)
    folder = run / "epochs" / "epoch-1"
    path = path_to(run)
    path.to_epoch(folder)
    if method == "full":
        assert bool((logits_of(path.net) == logits_in(folder)).all())
    elif method == "oft":
        assert bool((logits_of(path.net) == logits_in(base, folder)).all())
    at_epoch = logits_of(path.net)
    assert float((at_epoch - at(path, 1.0)).abs().max()) > 1e-3
    # It comes back from there.
    if method == "full":
        assert bool((logits_of(path.net) == logits_in(run)).all())


def moved(source: str, folder: Path, seed: int) -> Path:
    """The model of a folder with other weights, in the form in which transformers saves it."""
    import torch
    from transformers import AutoModelForCausalLM

    net = AutoModelForCausalLM.from_pretrained(source)
    torch.manual_seed(seed)
    with torch.no_grad():
        for weight in net.parameters():
            weight.add_(0.05 * torch.randn_like(weight))
    net.save_pretrained(folder)
    return folder


def test_an_epoch_whose_files_hold_experts_in_parts_is_read_as_it_is_loaded(tmp_path: Path) -> None:
    base = write_tiny("mixtral", tmp_path / "base")
    tuned, epoch = (moved(base, tmp_path / name, at) for at, name in enumerate(("last", "first")))
    path = path_to(tuned, base)
    path.check_epoch(epoch)
    path.to_epoch(epoch)
    assert float((logits_of(path.net) - logits_in(epoch)).abs().max()) < 1e-5
    assert float((at(path, 1.0) - logits_in(tuned)).abs().max()) < 1e-5


def damaged(run: Path, folder: Path, file: str, content: bytes | None) -> Path:
    """A copy of a run with one file that is cut short, or gone."""
    shutil.copytree(run, folder)
    if content is None:
        (folder / file).unlink()
    else:
        (folder / file).write_bytes(content)
    return folder


@pytest.mark.parametrize("content", [None, b"short"], ids=["gone", "short"])
@pytest.mark.parametrize("method", ["full", "oft"])
def test_a_damaged_epoch_is_named(
    method: str, content: bytes | None, tuned: Callable[[str], Path], tmp_path: Path
) -> None:
    name = "model.safetensors" if method == "full" else "adapter_model.safetensors"
    run = damaged(tuned(method), tmp_path / "run", f"epochs/epoch-1/{name}", content)
    path = path_to(run)
    with pytest.raises(CurateError, match="epoch-1"):
        path.check_epoch(run / "epochs" / "epoch-1")
    path.check_epoch(run / "epochs" / "epoch-2")


def test_an_epoch_of_another_adapter_is_named(
    base: str, tuned: Callable[[str], Path], tmp_path: Path
) -> None:
    path = path_to(outside_adapter(base, tmp_path / "own"))
    other = outside_adapter(base, tmp_path / "other", r=2)
    with pytest.raises(CurateError, match="is 2 x 32 in the one and 4 x 32 in the other"):
        path.check_epoch(other)
    with pytest.raises(CurateError, match="holds another adapter"):
        path.check_epoch(tuned("oft") / "adapter")


def test_a_damaged_adapter_is_named(tuned: Callable[[str], Path], tmp_path: Path) -> None:
    file = "adapter/adapter_model.safetensors"
    assert "cannot be read as safetensors" in refused(
        damaged(tuned("lora"), tmp_path / "run", file, b"short")
    )


def test_rows_of_added_tokens_begin_as_they_did_before_training(tmp_path: Path) -> None:
    base = write_base(tmp_path / "base")
    words = {"name": "toy", "special": {"eos_token": "</s>"}, "eos_ids": [EOS]}
    tokens = write_answers(tmp_path / "tokens", tokenizer={**words, "added": {"<|new|>": 32}})
    for method in ("full", "lora", "dora"):
        run = hard_run(tokens, base, tmp_path / method, method, num_train_epochs=1)
        path = path_to(run)
        first = at(path, 0.0)
        assert first.shape[-1] == 33
        assert bool((first[..., :32] == logits_in(base)).all())
        if method == "full":
            assert bool((at(path, 1.0) == logits_in(run)).all())
        else:
            assert float((at(path, 1.0) - logits_in(run)).abs().max()) < 1e-4


@pytest.mark.parametrize(
    "settings",
    [
        {"bias": "all"},
        {"modules_to_save": ["lm_head"]},
        {"rank_pattern": {"q_proj": 2}, "alpha_pattern": {"q_proj": 16}},
        {"init_lora_weights": False, "use_dora": True},
        {"target_modules": ["embed_tokens", "q_proj"]},
    ],
    ids=["bias", "saved", "ranks", "dora", "embedding"],
)
def test_adapters_that_peft_saves_are_rewound_from_the_base_to_what_peft_computes(
    settings: dict[str, Any], base: str, tmp_path: Path
) -> None:
    adapter = outside_adapter(base, tmp_path / "adapter", **settings)
    path = path_to(adapter)
    assert bool((at(path, 0.0) == logits_in(base)).all())
    assert path.moved()[0] == 0
    assert bool((at(path, 1.0) == logits_in(base, adapter)).all())


def test_vera_is_rewound_by_its_output_scales(base: str, tmp_path: Path) -> None:
    import peft
    import torch
    from transformers import AutoModelForCausalLM

    net = AutoModelForCausalLM.from_pretrained(base)
    made = peft.VeraConfig(task_type="CAUSAL_LM", r=4, target_modules=["q_proj"])
    adapted = peft.get_peft_model(net, made)
    with torch.no_grad():
        for name, weight in adapted.named_parameters():
            if "vera_lambda_b" in name:
                weight.add_(1.0)
    adapted.save_pretrained(tmp_path / "vera")
    path = path_to(tmp_path / "vera")
    assert bool((at(path, 0.0) == logits_in(base)).all())
    assert bool((at(path, 1.0) == logits_in(base, tmp_path / "vera")).all())


def test_a_base_in_bfloat16_is_met_exactly_at_both_ends(tmp_path: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    base = write_base(tmp_path / "base")
    AutoModelForCausalLM.from_pretrained(base, dtype=torch.bfloat16).save_pretrained(base)
    tokens = write_answers(tmp_path / "tokens")
    run = train(tokens, base, tmp_path / "run")
    path = path_to(run)
    assert bool((at(path, 0.0) == logits_in(base)).all())
    assert bool((at(path, 1.0) == logits_in(run)).all())
    path.to(Scale(0.5, LAYERS))
    (tmp_path / "some").mkdir()
    path.write(tmp_path / "some")
    assert {weight.dtype for weight in tensors(tmp_path / "some").values()} == {torch.bfloat16}


@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
def test_tied_output_layers_move_as_one(tied: bool, tmp_path: Path) -> None:
    base = write_base(tmp_path / "base", tie_word_embeddings=tied)
    run = train(write_answers(tmp_path / "tokens"), base, tmp_path / "run")
    path = path_to(run)
    assert bool((at(path, 0.0) == logits_in(base)).all())
    assert bool((at(path, 1.0) == logits_in(run)).all())
    head = path.net.get_output_embeddings().weight
    assert (head is path.net.get_input_embeddings().weight) == tied


def refused(source: Path, model: str | None = None) -> str:
    with pytest.raises(CurateError) as error:
        path_to(source, model)
    return str(error.value)


def test_what_no_path_leads_to_is_refused_in_one_sentence(
    base: str, tuned: Callable[[str], Path], tmp_path: Path
) -> None:
    prompt = tuned("prompt")
    assert "is a learnt prompt (PROMPT_TUNING): vectors that no path leads to" in refused(prompt)
    assert "stands between the layers of its base (PFEIFFER)" in refused(tuned("pfeiffer"))
    pissa = outside_adapter(base, tmp_path / "pissa", init_lora_weights="pissa")
    assert "began with other weights than its base's (init_lora_weights 'pissa')" in refused(pissa)
    strange = shutil.copytree(tuned("lora") / "adapter", tmp_path / "strange")
    config = strange / "adapter_config.json"
    config.write_text(config.read_text().replace('"LORA"', '"HRA"'))
    assert "of adapters of kind HRA no path from the base is known here" in refused(strange)
    alone = shutil.copytree(tuned("full") / "epochs" / "epoch-1", tmp_path / "alone")
    assert "does not say what it was trained from; name its base with --model" in refused(alone)
    wide = write_base(tmp_path / "wide", hidden_size=32)
    assert "was not trained from" in refused(alone, wide)
    assert "is 32 x 16 in the one and 32 x 32 in the other" in refused(alone, wide)
    path_to(alone, base)
