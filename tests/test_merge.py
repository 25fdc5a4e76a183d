"""Adapters merged into their bases: whole models that plain transformers loads and that stop."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

import curate
from curate.base.errors import CurateError
from curate.cli import main
from tests.checkpoint_toys import (
    EOS,
    STOP,
    TEMPLATE,
    change_json,
    outside_adapter,
    read_json,
    runs,
    tensors,
    train,
    write_answers,
    write_base,
)
from tests.trainer_toys import ASK, START, write_model

pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")
FEW: dict[str, Any] = {"num_train_epochs": 2, "batch_size": 8, "learning_rate": 0.03}
BLOCKS = {"oft": {"rotation_block": 8}, "boft": {"rotation_block": 8}, "lora-xs": {"lora_r": 4}}
ASKED = [START, 9, 21, ASK]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_base(tmp_path_factory.mktemp("merge") / "base")


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_answers(tmp_path_factory.mktemp("merge") / "tokens")


@pytest.fixture(scope="module")
def tuned(base: str, tokens: str, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The folder of a run with a method, run once; all its epochs are kept."""
    return runs(tokens, base, tmp_path_factory, lambda method: {**FEW, **BLOCKS.get(method, {})})


def logits(folder: Path) -> Any:
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder)
    with torch.no_grad():
        return model(input_ids=torch.tensor([ASKED])).logits


def adapted_logits(base: str, adapter: Path) -> Any:
    """What peft alone makes of a base and an adapter."""
    import peft
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(base)
    model = peft.PeftModel.from_pretrained(model, adapter)
    with torch.no_grad():
        return model(input_ids=torch.tensor([ASKED])).logits


@pytest.mark.parametrize("method", ["lora", "dora", "rslora", "oft", "boft", "ia3", "lora-xs"])
def test_the_chosen_adapter_merges_into_the_chosen_model(
    method: str, tuned: Any, tmp_path: Path
) -> None:
    run = tuned(method)
    curate.merge(run, out=tmp_path / "whole")
    before, after = tensors(run), tensors(tmp_path / "whole")
    assert before.keys() == after.keys()
    assert all(bool((before[name] == after[name]).all()) for name in before)


@pytest.mark.parametrize("epoch", [1, 2])
def test_any_epoch_gives_the_logits_of_its_adapter_on_the_base(
    epoch: int, base: str, tuned: Any, tmp_path: Path
) -> None:
    run = tuned("lora")
    done = curate.merge(run, epoch=epoch, out=tmp_path / "whole")
    wanted = adapted_logits(base, run / "epochs" / f"epoch-{epoch}")
    assert float((logits(tmp_path / "whole") - wanted).abs().max()) < 1e-4
    assert done.change > 0.01 > done.error


def test_the_folder_has_what_the_training_gave_its_own(tuned: Any, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    run = tuned("lora")
    out = tmp_path / "whole"
    curate.merge(run / "epochs" / "epoch-1", out=out)
    assert read_json(out / "generation_config.json")["eos_token_id"] == [EOS, STOP]
    assert (out / "chat_template.jinja").read_text("utf-8") == TEMPLATE
    assert AutoTokenizer.from_pretrained(out).eos_token_id == STOP
    assert read_json(out / "config.json")["eos_token_id"] == STOP
    for file in ("tokenizer.json", "tokenizer_config.json", "generation_config.json"):
        assert (out / file).read_bytes() == (run / file).read_bytes()
    assert read_json(out / "config.json") == read_json(run / "config.json")


def test_an_adapter_of_peft_alone_takes_the_tokenizer_and_stops_of_its_base(
    base: str, tuned: Any, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    for file in ("adapter_config.json", "adapter_model.safetensors"):
        shutil.copyfile(tuned("lora") / "adapter" / file, outside / file)
    out = tmp_path / "whole"
    curate.merge(outside, out=out)
    assert (out / "tokenizer.json").read_bytes() == (Path(base) / "tokenizer.json").read_bytes()
    assert read_json(out / "generation_config.json")["eos_token_id"] == [EOS]
    assert read_json(out / "config.json")["eos_token_id"] == EOS
    assert tensors(out).keys() == tensors(Path(base)).keys()


def test_templates_by_name_come_along(base: str, tuned: Any, tmp_path: Path) -> None:
    named = shutil.copytree(base, tmp_path / "named")
    (named / "additional_chat_templates").mkdir()
    (named / "additional_chat_templates" / "tool_use.jinja").write_text("{{ tools }}")
    outside = outside_adapter(str(named), tmp_path / "adapter")
    curate.merge(outside, out=tmp_path / "whole")
    copied = tmp_path / "whole" / "additional_chat_templates" / "tool_use.jinja"
    assert copied.read_text("utf-8") == "{{ tools }}"
    # Again, and with another template in it, or without any.
    curate.merge(outside, out=tmp_path / "whole")
    assert copied.read_text("utf-8") == "{{ tools }}"
    (named / "additional_chat_templates" / "tool_use.jinja").write_text("{{ others }}")
    curate.merge(outside, out=tmp_path / "whole", force=True)
    assert copied.read_text("utf-8") == "{{ others }}"
    shutil.rmtree(named / "additional_chat_templates")
    curate.merge(outside, out=tmp_path / "whole", force=True)
    assert not copied.parent.exists()


def test_templates_of_a_stranger_are_left_alone(base: str, tuned: Any, tmp_path: Path) -> None:
    named = shutil.copytree(base, tmp_path / "named")
    (named / "additional_chat_templates").mkdir()
    (named / "additional_chat_templates" / "tool_use.jinja").write_text("{{ tools }}")
    outside = outside_adapter(str(named), tmp_path / "adapter")
    curate.merge(outside, out=tmp_path / "whole")
    mine = tmp_path / "whole" / "additional_chat_templates" / "mine.jinja"
    mine.write_text("mine")
    for force in (False, True):
        with pytest.raises(CurateError, match="additional_chat_templates"):
            curate.merge(outside, out=tmp_path / "whole", force=force)
    assert mine.read_text() == "mine" and (tmp_path / "whole" / "config.json").is_file()


def test_it_is_saved_in_the_number_format_of_the_base(tokens: str, tmp_path: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    base = write_base(tmp_path / "base")
    AutoModelForCausalLM.from_pretrained(base, dtype=torch.bfloat16).save_pretrained(base)
    run = train(tokens, base, tmp_path / "run", method="lora", **FEW)
    curate.merge(run, out=tmp_path / "whole")
    assert {weight.dtype for weight in tensors(tmp_path / "whole").values()} == {torch.bfloat16}
    assert read_json(tmp_path / "whole" / "config.json")["dtype"] == "bfloat16"


def test_rows_of_added_tokens_come_with_the_adapter(tmp_path: Path) -> None:
    base = write_base(tmp_path / "base")
    words = {"name": "toy", "special": {"eos_token": "</s>"}, "eos_ids": [EOS]}
    tokens = write_answers(tmp_path / "tokens", tokenizer={**words, "added": {"<|new|>": 32}})
    run = train(tokens, base, tmp_path / "run", method="lora", **FEW)
    curate.merge(run, out=tmp_path / "whole")
    before, after = tensors(run), tensors(tmp_path / "whole")
    assert before["model.embed_tokens.weight"].shape[0] == 33
    assert all(bool((before[name] == after[name]).all()) for name in before)


def test_an_adapter_is_put_on_the_model_that_is_named_beside_it(
    base: str, tuned: Any, tmp_path: Path
) -> None:
    outside = shutil.copytree(tuned("lora") / "adapter", tmp_path / "outside")
    other = shutil.copytree(base, tmp_path / "other")
    nowhere = lambda content: content.update(base_model_name_or_path="/nowhere/base")  # noqa: E731
    change_json(outside / "adapter_config.json", nowhere)
    curate.merge(other, adapter=outside, out=tmp_path / "whole")
    wanted = adapted_logits(base, tuned("lora") / "adapter")
    assert float((logits(tmp_path / "whole") - wanted).abs().max()) < 1e-4


def refused(tmp_path: Path, source: Path, **options: Any) -> str:
    with pytest.raises(CurateError) as error:
        curate.merge(source, out=tmp_path / "refused", **options)
    assert not (tmp_path / "refused").exists()
    return str(error.value)


def test_what_cannot_be_merged_is_refused(base: str, tuned: Any, tmp_path: Path) -> None:
    run = tuned("lora")
    assert "has no epoch 7; kept are 1, 2" in refused(tmp_path, run, epoch=7)
    assert "whole model already" in refused(tmp_path, Path(base))
    assert "whole model already" in refused(tmp_path, tuned("full"))
    assert "whole model already" in refused(tmp_path, tuned("full"), epoch=1)
    assert "is a learnt prompt (PROMPT_TUNING)" in refused(tmp_path, tuned("prompt"))
    assert "not both" in refused(tmp_path, run, epoch=1, adapter=run)
    assert "there is no such folder" in refused(tmp_path, tmp_path / "none")


def test_an_adapter_is_not_put_on_what_it_was_merged_into(tuned: Any, tmp_path: Path) -> None:
    run = tuned("lora")
    outside = shutil.copytree(run / "adapter", tmp_path / "outside")
    assert "was trained on" in refused(tmp_path, run, adapter=outside)
    # One that lies in the folder goes on its own base.
    curate.merge(run, adapter=run / "adapter", out=tmp_path / "whole")
    assert all(
        bool((weight == tensors(run)[name]).all())
        for name, weight in tensors(tmp_path / "whole").items()
    )


def test_an_adapter_of_another_base_is_refused_by_name(tuned: Any, tmp_path: Path) -> None:
    adapter = tuned("lora") / "adapter"
    wide = write_model(tmp_path / "wide", hidden_size=32)
    message = refused(tmp_path, adapter, model=wide)
    assert "layers.0" in message and "is 16 x 8, and on this base it would be 32 x 8" in message
    short = write_model(tmp_path / "short", num_hidden_layers=1)
    message = refused(tmp_path, adapter, model=short)
    assert "layers.1" in message and "another base" in message
    # Others name layers by how their names end, and then a deeper base has more of them.
    outside = shutil.copytree(adapter, tmp_path / "outside")
    ends = {"target_modules": ["q_proj", "k_proj", "v_proj", "o_proj"]}
    ends["target_modules"] += ["gate_proj", "up_proj", "down_proj"]
    change_json(outside / "adapter_config.json", lambda content: content.update(ends))
    deep = write_model(tmp_path / "deep", num_hidden_layers=3)
    message = refused(tmp_path, outside, model=deep)
    assert "lacks 14 of the weights" in message and "layers.2" in message


def test_a_base_that_the_adapter_does_not_name_is_spoken_of(
    base: str, tuned: Any, tmp_path: Path
) -> None:
    other, lines = shutil.copytree(base, tmp_path / "other"), []
    curate.merge(tuned("lora"), model=other, out=tmp_path / "whole", log=lines.append)
    assert any(f"names {Path(base).resolve()} as its base" in line for line in lines)


def test_settings_of_another_rank_are_refused(tuned: Any, tmp_path: Path) -> None:
    outside = shutil.copytree(tuned("lora") / "adapter", tmp_path / "outside")
    change_json(outside / "adapter_config.json", lambda content: content.update(r=3))
    assert "by adapter_config.json it would be of rank 3" in refused(tmp_path, outside)


def test_nothing_of_a_stranger_runs(tuned: Any, tmp_path: Path) -> None:
    outside = shutil.copytree(tuned("lora") / "adapter", tmp_path / "outside")
    megatron = {"megatron_config": {"a": 1}, "megatron_core": "os"}
    change_json(outside / "adapter_config.json", lambda content: content.update(megatron))
    assert "names code to run" in refused(tmp_path, outside)
    (outside / "adapter_model.safetensors").rename(outside / "adapter_model.bin")
    assert "adapter_model.bin can run code" in refused(tmp_path, outside)


def test_numbers_that_are_not_finite_are_refused(tuned: Any, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    outside = shutil.copytree(tuned("lora") / "adapter", tmp_path / "outside")
    learnt = load_file(outside / "adapter_model.safetensors")
    next(iter(learnt.values()))[0, 0] = float("nan")
    save_file(learnt, outside / "adapter_model.safetensors")
    assert "not finite" in refused(tmp_path, outside)


@pytest.mark.parametrize(
    "changes",
    [
        {"peft_type": "NONE"},
        {"peft_type": None},
        {"task_type": "FEATURE_EXTRACTION"},
        {"target_modules": ["no_such_layer"]},
        {"target_modules": {"a": 1}},
        {"trainable_token_indices": ["a"]},
        {"r": "eight"},
        {"r": -1},
    ],
)
def test_odd_settings_end_in_a_sentence(
    changes: dict[str, Any], tuned: Any, tmp_path: Path
) -> None:
    outside = shutil.copytree(tuned("lora") / "adapter", tmp_path / "outside")
    change_json(outside / "adapter_config.json", lambda content: content.update(changes))
    assert str(outside) in refused(tmp_path, outside)


@pytest.mark.parametrize("file", ["adapter_config.json", "adapter_model.safetensors"])
def test_files_that_are_cut_off_are_named(file: str, tuned: Any, tmp_path: Path) -> None:
    outside = shutil.copytree(tuned("lora") / "adapter", tmp_path / "outside")
    content = (outside / file).read_bytes()
    (outside / file).write_bytes(content[: len(content) // 2])
    assert str(outside) in refused(tmp_path, outside)


def test_a_base_that_is_gone_is_asked_for(tuned: Any, tmp_path: Path) -> None:
    outside = shutil.copytree(tuned("lora") / "adapter", tmp_path / "outside")
    gone = {"base_model_name_or_path": "/nowhere/base"}
    change_json(outside / "adapter_config.json", lambda content: content.update(gone))
    assert "its base is /nowhere/base" in refused(tmp_path, outside)


def test_what_is_there_already_is_not_overwritten(
    tuned: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, out = tuned("lora"), tmp_path / "whole"
    out.mkdir()
    (out / "mine.txt").write_text("mine")
    asked = ["merge", str(run), "--out", str(out)]
    assert main(asked) == 1
    assert "the folder holds something else" in capsys.readouterr().err
    (out / "mine.txt").unlink()
    assert main(asked) == 0
    assert "written to" in capsys.readouterr().out
    first = {path.name: path.read_bytes() for path in out.iterdir()}
    assert main(asked) == 0
    assert first == {path.name: path.read_bytes() for path in out.iterdir()}
    # Another epoch is another result.
    assert main([*asked, "--epoch", "1"]) == 1
    assert "made from other data" in capsys.readouterr().err
    assert main([*asked, "--epoch", "1", "--force"]) == 0


def test_the_manifest_names_adapter_and_base(base: str, tuned: Any, tmp_path: Path) -> None:
    curate.merge(tuned("lora"), out=tmp_path / "whole")
    manifest = json.loads((tmp_path / "whole" / "manifest.json").read_text("utf-8"))
    assert manifest["base"] == str(Path(base).resolve())
    assert manifest["sources"][0]["source"].endswith("adapter")


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"init_lora_weights": "pissa"},
        {"modules_to_save": ["lm_head"]},
        {"rank_pattern": {"q_proj": 2}, "alpha_pattern": {"q_proj": 16}},
        {"layers_to_transform": [1]},
    ],
)
def test_adapters_that_peft_saves_merge_into_what_peft_computes(
    settings: dict[str, Any], base: str, tmp_path: Path
) -> None:
    adapter = outside_adapter(base, tmp_path / "adapter", **settings)
    curate.merge(adapter, out=tmp_path / "whole")
    wanted = adapted_logits(base, adapter)
    assert float((logits(tmp_path / "whole") - wanted).abs().max()) < 1e-4
    assert float((logits(Path(base)) - wanted).abs().max()) > 1e-2


@pytest.mark.filterwarnings("ignore:.*a tied layer is part of the adapter.*:UserWarning")
@pytest.mark.filterwarnings("ignore:Setting `save_embedding_layers`:UserWarning")
def test_a_change_of_a_tied_layer_is_refused_as_no_weight_can_hold_it(tmp_path: Path) -> None:
    base = write_base(tmp_path / "base", tie_word_embeddings=True)
    adapter = outside_adapter(base, tmp_path / "adapter", target_modules=["lm_head"])
    assert "tied to others" in refused(tmp_path, adapter)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"layer_replication": [[0, 2], [1, 2]]}, "repeats layers of its base (layer_replication)"),
    ],
)
def test_what_no_layer_of_the_base_can_hold_is_refused_with_the_reason(
    settings: dict[str, Any], said: str, base: str, tmp_path: Path
) -> None:
    adapter = outside_adapter(base, tmp_path / "adapter", **settings)
    found = refused(tmp_path, adapter)
    assert said in found and "load it on its base with peft" in found
