from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import trainer
from curate.base import extras
from curate.base.errors import CurateError
from tests.trainer_toys import (
    reversed_pairs,
    sha256,
    silent,
    write_model,
    write_tokenizer,
    write_tokens,
)
from trainer import TrainConfig
from trainer.checks.causal import check_causal
from trainer.models import adapt
from trainer.objectives import sft

# pygal's import hook is of a kind that Python 3.11 warns about at every later import.
pytestmark = pytest.mark.filterwarnings("ignore:PluginImportFixer:ImportWarning")


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("sources")
    return {
        "tokens": write_tokens(folder / "tokens", reversed_pairs(8)),
        "model": write_model(folder / "base"),
    }


def configure(sources: dict[str, str], out: Path, **fields: Any) -> TrainConfig:
    settings = {
        "num_train_epochs": 1,
        "batch_size": 4,
        "learning_rate": 0.01,
        "residual_dropout": 0.0,
    }
    return TrainConfig(**{**sources, **settings, "out": str(out), **fields})


def refused(sources: dict[str, str], out: Path, **fields: Any) -> str:
    with pytest.raises(CurateError) as error:
        trainer.train(configure(sources, out, **fields), silent)
    return str(error.value)


def test_all_labels_masked_is_refused_and_nothing_is_written(
    sources: dict[str, str], tmp_path: Path
):
    masked = [(name, ids, [-100] * len(ids)) for name, ids, _ in reversed_pairs(3)]
    tokens = write_tokens(tmp_path / "masked", masked)
    said = refused({**sources, "tokens": tokens}, tmp_path / "out")
    assert "3 of 3 rows" in said and "no-targets" in said
    assert not (tmp_path / "out").exists()


def test_rows_for_a_larger_vocabulary_are_refused(sources: dict[str, str], tmp_path: Path):
    small = write_model(tmp_path / "small", vocab_size=8)
    said = refused({**sources, "model": small}, tmp_path / "out")
    assert "model has 8 ids; is it the model these rows were rendered for?" in said


def test_a_missing_model_folder_is_named(sources: dict[str, str], tmp_path: Path):
    said = refused({**sources, "model": str(tmp_path / "nowhere")}, tmp_path / "out")
    assert "there is no such model folder" in said


def test_a_folder_that_is_no_model_is_refused(sources: dict[str, str], tmp_path: Path):
    (tmp_path / "empty").mkdir()
    said = refused({**sources, "model": str(tmp_path / "empty")}, tmp_path / "out")
    assert "not a model folder, it has no config.json" in said
    (tmp_path / "empty" / "adapter_config.json").write_text("{}")
    said = refused({**sources, "model": str(tmp_path / "empty")}, tmp_path / "out")
    assert "has no config.json but an adapter; name its base as the model" in said


def test_weights_that_could_run_code_are_not_loaded(sources: dict[str, str], tmp_path: Path):
    folder = Path(write_model(tmp_path / "pickled"))
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    said = refused({**sources, "model": str(folder)}, tmp_path / "out")
    assert "has no .safetensors weights" in said


def test_a_model_cut_short_is_one_line(sources: dict[str, str], tmp_path: Path):
    folder = Path(write_model(tmp_path / "cut"))
    weights = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(weights[: len(weights) // 2])
    said = refused({**sources, "model": str(folder)}, tmp_path / "out")
    assert "its model cannot be loaded: SafetensorError" in said
    assert "\n" not in said
    assert not (tmp_path / "out").exists()


def test_a_model_whose_weights_are_not_all_there_is_refused(
    sources: dict[str, str], tmp_path: Path
):
    from safetensors.torch import load_file, save_file

    folder = Path(write_model(tmp_path / "part"))
    weights = load_file(folder / "model.safetensors")
    del weights["model.layers.1.mlp.up_proj.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    said = refused({**sources, "model": str(folder)}, tmp_path / "out")
    assert "lack 1 that the model needs (first model.layers.1.mlp.up_proj.weight)" in said
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"intermediate_size": 40}, "its model cannot be loaded: RuntimeError: You set"),
        ({"hidden_size": "wide"}, "its configuration cannot be loaded: StrictDataclassField"),
        ({"num_attention_heads": 0}, "its configuration cannot be loaded: ZeroDivisionError"),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_a_configuration_that_does_not_fit_the_weights_is_one_line(
    sources: dict[str, str], tmp_path: Path, changed: dict[str, Any], said: str
):
    folder = Path(write_model(tmp_path / "odd"))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **changed}))
    found = refused({**sources, "model": str(folder)}, tmp_path / "out")
    assert said in found and "\n" not in found


def test_an_unknown_architecture_is_one_line(sources: dict[str, str], tmp_path: Path):
    folder = Path(write_model(tmp_path / "odd"))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "model_type": "nothing-known"}))
    said = refused({**sources, "model": str(folder)}, tmp_path / "out")
    assert "its configuration cannot be loaded" in said
    assert "\n" not in said


@pytest.mark.parametrize("objective", ["sft", "reward"])
def test_a_model_that_reads_in_both_directions_is_refused(objective: str, tmp_path: Path):
    import torch
    from transformers import BertConfig, BertForMaskedLM, BertForSequenceClassification

    from trainer.models import model

    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1}
    config = BertConfig(vocab_size=32, num_attention_heads=2, num_labels=1, **sizes)
    kinds = {"sft": BertForMaskedLM, "reward": BertForSequenceClassification}
    kinds[objective](config).save_pretrained(tmp_path)
    loaded = model.load(str(tmp_path), torch.device("cpu"), objective=objective)
    with pytest.raises(CurateError, match="a bert model of this kind reads a row in both direct"):
        check_causal(loaded, "base")


def test_a_gpu_that_is_not_there_is_said_to_be_missing(
    sources: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert "torch sees no GPU" in refused(sources, tmp_path / "out", device="cuda")


def test_missing_libraries_name_the_extra_to_install(
    sources: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(extras, "find_spec", lambda name: None if name == "peft" else object())
    said = refused(sources, tmp_path / "out")
    assert said == 'training needs peft; install with: pip install "curate-sft[train]"'


# A loss or gradient that is not a number


def poison(monkeypatch: pytest.MonkeyPatch, call: int, *, gradient: bool) -> None:
    """Spoil the loss, or only its gradient, of one call in training mode."""
    calls = 0
    real = sft.target_nats

    def spoilt(model: Any, batch: Any, **named: Any) -> Any:
        nonlocal calls
        calls += model.training
        nats = real(model, batch, **named)
        if calls != call or not model.training:
            return nats
        if not gradient:
            return nats * float("nan")
        nats.register_hook(lambda flowing: flowing * float("inf"))
        return nats

    monkeypatch.setattr(sft, "target_nats", spoilt)


@pytest.mark.parametrize("gradient", [False, True])
def test_a_step_that_is_not_finite_stops_before_its_update_with_the_last_checkpoint_intact(
    gradient: bool,
    sources: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    good = trainer.train(configure(sources, tmp_path / "good"), silent)
    poison(monkeypatch, call=4, gradient=gradient)  # 7 rows in steps of 4: epoch 2, second step
    out = tmp_path / "out"
    said = refused(sources, out, num_train_epochs=3, lr_scheduler_type="constant")
    assert "step 4 of epoch 2" in said and "the update was not made" in said
    assert f"the last good checkpoint is {out / 'epochs' / 'epoch-1'}" in said
    assert [folder.name for folder in (out / "epochs").iterdir()] == ["epoch-1"]
    from transformers import AutoModelForCausalLM

    AutoModelForCausalLM.from_pretrained(out / "epochs" / "epoch-1")
    assert json.loads((out / "train.json").read_text())["status"].startswith("stopped: step 4")
    assert not (out / "model.safetensors").exists()
    assert good.epoch == 1


def changed_model(folder: Path, change: Callable[[dict[str, Any]], None]) -> str:
    from safetensors.torch import load_file, save_file

    base = Path(write_model(folder))
    weights = load_file(base / "model.safetensors")
    change(weights)
    save_file(weights, base / "model.safetensors", metadata={"format": "pt"})
    return str(base)


@pytest.mark.parametrize("proof", [True, False])
@pytest.mark.parametrize(
    ("name", "place", "value"),
    [
        ("model.norm.weight", (0,), "nan"),
        # No row has this token, so no loss and no gradient would ever show it.
        ("model.embed_tokens.weight", (31, 0), "nan"),
        ("model.layers.1.mlp.down_proj.weight", (3, 4), "inf"),
        ("lm_head.weight", (0, 7), "-inf"),
    ],
)
def test_a_weight_that_is_no_number_is_found_before_the_first_step_by_its_name(
    sources: dict[str, str],
    tmp_path: Path,
    name: str,
    place: tuple[int, ...],
    value: str,
    proof: bool,
):
    def change(weights: dict[str, Any]) -> None:
        weights[name][place] = float(value)

    broken = {**sources, "model": changed_model(tmp_path / "broken", change)}
    said = refused(broken, tmp_path / "out", proof=proof)
    assert f"nothing was started: {name} (1 values); download or convert the model" in said
    assert not (tmp_path / "out").exists()


def test_several_broken_weights_are_all_named_in_bf16_too_and_before_a_dry_run(
    sources: dict[str, str], tmp_path: Path
):
    def change(weights: dict[str, Any]) -> None:
        weights["model.norm.weight"][:] = float("nan")
        weights["lm_head.weight"][2] = float("inf")

    model = changed_model(tmp_path / "broken", change)
    fields = {"tokens": sources["tokens"], "model": model, "out": str(tmp_path / "out")}
    with pytest.raises(
        CurateError, match=r"model.norm.weight \(16 values\), lm_head.weight \(16 va"
    ):
        trainer.dry_run(TrainConfig(**fields, dtype="bfloat16", held_out=0.1), silent)


def test_a_model_that_overflows_from_the_start_is_never_updated(
    sources: dict[str, str], tmp_path: Path
):
    def change(weights: dict[str, Any]) -> None:
        weights["model.norm.weight"][:] = 1e30
        weights["lm_head.weight"] *= 1e30

    broken = {**sources, "model": changed_model(tmp_path / "broken", change)}
    said = refused(broken, tmp_path / "out")
    assert "before the first step: loss nan, gradient norm nan on 4 rows" in said
    assert not (tmp_path / "out").exists()
    said = refused(broken, tmp_path / "out", proof=False)
    assert "before training: the held-out loss is nan" in said
    assert "there is no checkpoint yet" in said
    said = refused(broken, tmp_path / "out", held_out=0.0, force=True, proof=False)
    assert "step 1 of epoch 1: loss nan" in said and "there is no checkpoint yet" in said
    assert "its rows are 000000000000000" in said
    assert (tmp_path / "out" / "metrics.jsonl").read_text() == ""


def test_a_last_update_that_breaks_the_weights_is_not_saved(
    sources: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    import torch

    def overflow(optimizer: Any, closure: Any = None) -> None:
        with torch.no_grad():
            optimizer.param_groups[0]["params"][0].fill_(float("inf"))

    monkeypatch.setattr(torch.optim.AdamW, "step", overflow)
    said = refused(sources, tmp_path / "out", batch_size=8)
    assert "weights are not finite" in said and "no checkpoint was written" in said
    assert list((tmp_path / "out" / "epochs").iterdir()) == []


def test_a_full_disk_keeps_what_was_finished_and_leaves_nothing_half_written(
    sources: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    real = adapt.save_weights

    def full(model: Any, folder: Path, *more: Any) -> None:
        real(model, folder, *more)
        if "epoch-2" in folder.name:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(adapt, "save_weights", full)
    out = tmp_path / "out"
    said = refused(sources, out, num_train_epochs=3)
    assert "epoch-2: could not be written" in said and "No space left on device" in said
    assert [folder.name for folder in (out / "epochs").iterdir()] == ["epoch-1"]
    assert json.loads((out / "train.json").read_text())["status"].startswith("stopped")


# The output folder


def test_a_folder_with_anything_else_is_never_replaced(sources: dict[str, str], tmp_path: Path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "thesis.txt").write_text("years of work")
    assert "holds files that no training run wrote" in refused(sources, out, force=True)
    assert (out / "thesis.txt").read_text() == "years of work"


def test_what_a_run_leaves_that_was_killed_at_its_first_file_is_no_obstacle(
    sources: dict[str, str], tmp_path: Path
):
    out = tmp_path / "out"
    (out / "epochs").mkdir(parents=True)
    (out / ".train.json.123.unfinished").write_text("{")
    trainer.train(configure(sources, out, resume=True), silent)
    assert not [*out.glob(".*.unfinished")] and (out / "train.json").is_file()


def test_what_is_beside_an_unfinished_first_file_is_left_alone(
    sources: dict[str, str], tmp_path: Path
):
    out = tmp_path / "out"
    (out / "epochs").mkdir(parents=True)
    (out / ".train.json.123.unfinished").write_text("{")
    (out / "epochs" / "thesis.txt").write_text("years of work")
    assert "no training run wrote" in refused(sources, out, force=True)


def test_a_marker_that_is_not_ours_does_not_open_the_folder(
    sources: dict[str, str], tmp_path: Path
):
    out = tmp_path / "out"
    out.mkdir()
    (out / "train.json").write_text('[{"instruction": "a training set of that name"}]')
    assert "no training run wrote" in refused(sources, out, force=True)


def test_an_earlier_run_is_replaced_only_by_force(sources: dict[str, str], tmp_path: Path):
    out = tmp_path / "out"
    trainer.train(configure(sources, out, num_train_epochs=2), silent)
    first = sha256(out / "model.safetensors")
    assert "replace it with --force" in refused(sources, out)
    assert sha256(out / "model.safetensors") == first
    trainer.train(configure(sources, out, force=True, seed=3), silent)
    assert sha256(out / "model.safetensors") != first
    assert [folder.name for folder in (out / "epochs").iterdir()] == ["epoch-1"]


def test_a_refused_run_does_not_empty_the_folder_it_would_replace(
    sources: dict[str, str], tmp_path: Path
):
    out = tmp_path / "out"
    trainer.train(configure(sources, out), silent)
    first = sha256(out / "model.safetensors")
    refused({**sources, "tokens": str(tmp_path / "nowhere")}, out, force=True)
    assert sha256(out / "model.safetensors") == first


def test_a_run_does_not_replace_what_it_reads(sources: dict[str, str], tmp_path: Path):
    out = tmp_path / "out"
    trainer.train(configure(sources, out), silent)
    again = {**sources, "model": str(out)}
    assert "which this run reads" in refused(again, out, force=True)
    inside = {**sources, "model": str(out / "epochs" / "epoch-1")}
    assert "which this run reads" in refused(inside, out, force=True)
    assert (out / "model.safetensors").is_file()
    general = out / "general.txt"
    general.write_text("w5 w6 w7")
    for field in ("replay", "retention"):
        said = refused(sources, out, force=True, **{field: str(general)})
        assert f"the output folder holds {general}, which this run reads" in said
    assert general.is_file()


def test_a_file_in_the_place_of_the_folder_is_refused(sources: dict[str, str], tmp_path: Path):
    (tmp_path / "out").write_text("a file")
    assert "is a file" in refused(sources, tmp_path / "out")


def test_a_folder_that_cannot_be_made_is_refused_before_the_model_is_read(
    sources: dict[str, str], tmp_path: Path
):
    (tmp_path / "file").write_text("mine")
    nowhere = {**sources, "model": str(tmp_path / "nowhere")}
    said = refused(nowhere, tmp_path / "file" / "deep" / "out")
    assert f"{tmp_path / 'file'} is a file, so there can be no folder in it" in said


def test_allowed_rows_are_left_out_and_said_so(sources: dict[str, str], tmp_path: Path):
    rows = [*reversed_pairs(6), ("masked", [1, 4, 2], [-100] * 3)]
    tokens = write_tokens(tmp_path / "mixed", rows)
    lines: list[str] = []
    config = configure({**sources, "tokens": tokens}, tmp_path / "out", allow=("no-targets",))
    trainer.train(config, lines.append)
    assert "allowed: no-targets: 1 rows left out" in lines
    assert any(line.startswith("5 rows to train") for line in lines)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("words.txt", "", "holds no text of two tokens or more"),
        ("words.jsonl", '{"words": "a"}', "expected a JSON object with a text"),
        ("words.txt", "\udcff", "cannot be read as text"),
    ],
)
def test_a_text_that_cannot_be_watched_is_refused_before_the_model_is_loaded(
    sources: dict[str, str], tmp_path: Path, name: str, text: str, message: str
):
    write_tokenizer(Path(write_model(tmp_path / "base")))
    (tmp_path / name).write_bytes(text.encode("utf-8", "surrogateescape"))
    fields = {**sources, "model": str(tmp_path / "base"), "retention": str(tmp_path / name)}
    lines: list[str] = []
    with pytest.raises(CurateError, match=message):
        trainer.train(TrainConfig(**fields, out=str(tmp_path / "out")), lines.append)
    assert not any(line.startswith("loading model") for line in lines)
