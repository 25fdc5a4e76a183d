"""A run that goes on from an adapter: ours or another's, at its base, with a new optimizer."""

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
    change_json,
    outside_adapter,
    read_json,
    runs,
    tensors,
    train,
    write_answers,
    write_base,
)
from tests.resume_toys import outcome, train_until
from trainer import TrainConfig, dry_run

pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")
FEW: dict[str, Any] = {"num_train_epochs": 2, "batch_size": 8, "learning_rate": 0.01}
BUILT: dict[str, dict[str, Any]] = {
    "lora": {"lora_r": 4, "lora_alpha": 12.0, "target_modules": ("q_proj", "down_proj")},
    "oft": {"rotation_block": 8},
    "boft": {"rotation_block": 8},
    "lora-xs": {"lora_r": 4},
    "houlsby": {"bottleneck_width": 4},
    "prompt": {"num_virtual_tokens": 5},
    "prefix": {"num_virtual_tokens": 5},
}
METHODS = (
    *("lora", "rslora", "dora", "lora-xs", "oft", "boft", "ia3", "norms"),
    *("houlsby", "prompt", "prefix"),
)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_base(tmp_path_factory.mktemp("on") / "base")


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_answers(tmp_path_factory.mktemp("on") / "tokens")


@pytest.fixture(scope="module")
def tuned(base: str, tokens: str, tmp_path_factory: pytest.TempPathFactory) -> Any:
    def fields(method: str) -> dict[str, Any]:
        return {**FEW, "held_out": 0.2, **BUILT.get(method, {})}

    return runs(tokens, base, tmp_path_factory, fields)


def table(run: Path) -> list[dict[str, Any]]:
    return list(read_json(run / "train.json")["table"])


def own_adapter(run: Path) -> Path:
    return run / "adapter" if (run / "adapter").is_dir() else run


@pytest.mark.parametrize("method", METHODS)
def test_it_begins_where_the_adapter_ended_and_learns_on(
    method: str, tuned: Any, tokens: str, base: str, tmp_path: Path
) -> None:
    first = tuned(method)
    out = train(tokens, base, tmp_path / "out", from_adapter=first, held_out=0.2, **FEW)
    ended, lines = table(first)[-1], table(out)
    assert lines[0]["held_out"]["loss"] == pytest.approx(ended["held_out"]["loss"], abs=1e-5)
    assert lines[0]["held_out"]["loss"] < table(first)[0]["held_out"]["loss"] - 1e-4
    assert lines[-1]["held_out"]["loss"] < lines[0]["held_out"]["loss"] - 1e-4
    before, after = (read_json(train_config(run)) for run in (first, out))
    assert before == after
    config = read_json(out / "train.json")["config"]
    assert config["method"] == method
    assert {name: config[name] for name in BUILT.get(method, {}) if name != "target_modules"} == {
        name: value for name, value in BUILT.get(method, {}).items() if name != "target_modules"
    }


def train_config(run: Path) -> Path:
    folder = own_adapter(run)
    named = folder / "adapter_config.json"
    return named if named.is_file() else folder / "method.json"


@pytest.mark.parametrize("method", ["lora", "dora", "lora-xs", "oft"])
def test_the_result_merges_and_stops_as_any_other(
    method: str, tuned: Any, tokens: str, base: str, tmp_path: Path
) -> None:
    out = train(tokens, base, tmp_path / "out", from_adapter=tuned(method), **FEW)
    curate.merge(out, out=tmp_path / "whole")
    before, after = tensors(out), tensors(tmp_path / "whole")
    assert before.keys() == after.keys() == tensors(Path(base)).keys()
    assert all(bool((before[name] == after[name]).all()) for name in before)
    for folder in (out, out / "adapter", tmp_path / "whole"):
        assert read_json(folder / "generation_config.json")["eos_token_id"] == [EOS, STOP]


def test_an_epoch_and_the_folder_itself_are_adapters_too(
    tuned: Any, tokens: str, base: str, tmp_path: Path
) -> None:
    first = tuned("lora")
    epoch = first / "epochs" / "epoch-1"
    one = train(tokens, base, tmp_path / "one", from_adapter=epoch, held_out=0.2, **FEW)
    assert table(one)[0]["held_out"]["loss"] == pytest.approx(
        table(first)[1]["held_out"]["loss"], abs=1e-5
    )
    two = train(tokens, base, tmp_path / "two", from_adapter=first, **FEW)
    three = train(tokens, base, tmp_path / "three", from_adapter=first / "adapter", **FEW)
    assert outcome(two)["weights"] == outcome(three)["weights"]


def test_the_log_says_what_is_taken_over_and_what_starts_anew(
    tuned: Any, tokens: str, base: str, tmp_path: Path
) -> None:
    lines: list[str] = []
    out = train(tokens, base, tmp_path / "out", lines.append, from_adapter=tuned("lora"), **FEW)
    [line] = [line for line in lines if line.startswith("goes on from")]
    assert f"LORA of rank 4 in {tuned('lora') / 'adapter'}" in line
    assert line.endswith("the optimizer and the schedule start anew")
    identity = read_json(out / "train.json")["from_adapter_sha256"]
    assert f"(sha256 {identity[:12]})" in line
    assert not any("names" in line and "as its base" in line for line in lines)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"use_rslora": True},
        {"use_dora": True},
        {"init_lora_weights": "pissa"},
        {"modules_to_save": ["lm_head"]},
        {"rank_pattern": {"q_proj": 2}, "alpha_pattern": {"q_proj": 16}},
        {"layers_to_transform": [1]},
        {"target_modules": "all-linear"},
        {"target_modules": r".*\.1\..*(up|down)_proj"},
        {"lora_dropout": 0.1},
    ],
)
def test_adapters_that_peft_saved_go_on_from_what_peft_computes(
    settings: dict[str, Any], tokens: str, base: str, tmp_path: Path
) -> None:
    adapter = outside_adapter(base, tmp_path / "adapter", **settings)
    curate.merge(adapter, out=tmp_path / "whole")
    fields = {**FEW, "held_out": 0.2}
    out = train(tokens, base, tmp_path / "out", from_adapter=adapter, **fields)
    whole = train(tokens, str(tmp_path / "whole"), tmp_path / "other", method="lora", **fields)
    begun, wanted = (table(run)[0]["held_out"]["loss"] for run in (out, whole))
    assert begun == pytest.approx(wanted, abs=1e-4)
    assert table(out)[-1]["held_out"]["loss"] < begun - 1e-3
    curate.merge(out / "adapter", out=tmp_path / "again")
    before, after = tensors(out), tensors(tmp_path / "again")
    assert all(float((before[name] - after[name]).abs().max()) < 1e-5 for name in before)


def refused(tokens: str, base: str, out: Path, **fields: Any) -> str:
    with pytest.raises(CurateError) as error:
        train(tokens, base, out, **fields)
    assert not out.exists()
    return str(error.value)


def test_settings_that_the_adapter_decides_are_refused_by_name(
    tuned: Any, tokens: str, base: str, tmp_path: Path
) -> None:
    given = {"from_adapter": tuned("lora")}
    message = refused(tokens, base, tmp_path / "o", **given, lora_r=8)
    assert "lora_r is 8, and the adapter" in message and "is of 4; leave it out" in message
    assert "method is 'full'" in refused(tokens, base, tmp_path / "o", **given, method="full")
    message = refused(tokens, base, tmp_path / "o", **given, target_modules="q_proj")
    assert "target_modules is given" in message
    message = refused(tokens, base, tmp_path / "o", **given, train_tokens="w4")
    assert "train_tokens is given" in message
    message = refused(tokens, base, tmp_path / "o", **given, objective="reward")
    assert "objective is 'reward'" in message
    # The same values may be given, and what is no part of the adapter.
    same = {"method": "lora", "lora_r": 4, "lora_dropout": 0.5}
    config = TrainConfig(tokens=tokens, model=base, out="o", **given, **same)
    assert (config.lora_alpha, config.lora_dropout, config.preset) == (12.0, 0.5, "lora")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"peft_type": "VERA"}, "of kind VERA, which no method here trains"),
        ({"peft_type": None}, "of kind None, which no method here trains"),
        ({"bias": "all"}, "biases of the base that learn too"),
        ({"task_type": "FEATURE_EXTRACTION"}, "is for FEATURE_EXTRACTION"),
        ({"task_type": "SEQ_CLS"}, "no 'rejected'|pairs"),
        ({"r": "eight"}, "lora_r is 'eight'; expected a number"),
        ({"r": 3}, "not of the same adapter"),
        ({"trainable_token_indices": ["a"]}, "its tokens are no ids"),
        ({"trainable_token_indices": [40]}, "holds a row for token 40, which neither"),
        ({"megatron_config": {"a": 1}}, "names code to run"),
        ({"target_modules": ["no_such_layer"]}, "cannot be put on this base"),
    ],
)
def test_what_cannot_be_gone_on_with_is_refused_before_step_1(
    changes: dict[str, Any], said: str, tuned: Any, tokens: str, base: str, tmp_path: Path
) -> None:
    import re

    outside = shutil.copytree(tuned("lora") / "adapter", tmp_path / "outside")
    change_json(outside / "adapter_config.json", lambda content: content.update(changes))
    message = refused(tokens, base, tmp_path / "o", from_adapter=outside)
    assert re.search(said, message), message


def test_a_folder_without_an_adapter_is_refused(
    tuned: Any, tokens: str, base: str, tmp_path: Path
) -> None:
    full = tuned("full")
    assert "is a whole model already" in refused(tokens, base, tmp_path / "o", from_adapter=full)
    nowhere = tmp_path / "nowhere"
    assert "no such folder" in refused(tokens, base, tmp_path / "o", from_adapter=nowhere)
    prefix = shutil.copytree(tuned("prefix"), tmp_path / "prefix")
    change_json(prefix / "adapter_config.json", lambda one: one.update(prefix_projection=True))
    assert "a projection" in refused(tokens, base, tmp_path / "o", from_adapter=prefix)
    with pytest.raises(CurateError, match="which this run reads"):
        train(tokens, base, tuned("lora"), from_adapter=tuned("lora"), force=True)


def test_a_model_that_holds_the_adapter_already_is_refused(
    tuned: Any, tokens: str, base: str, tmp_path: Path
) -> None:
    run = tuned("lora")
    curate.merge(run, out=tmp_path / "whole")
    outside = shutil.copytree(run / "adapter", tmp_path / "outside")
    for model, adapter in ((run, run), (tmp_path / "whole", outside), (run, outside)):
        message = refused(tokens, str(model), tmp_path / "o", from_adapter=adapter)
        assert "learnt already; name its base" in message


def test_another_base_is_spoken_of_and_one_that_does_not_fit_refused(
    tuned: Any, tokens: str, base: str, tmp_path: Path
) -> None:
    lines: list[str] = []
    copy = str(shutil.copytree(base, tmp_path / "copy"))
    train(tokens, copy, tmp_path / "out", lines.append, from_adapter=tuned("lora"), **FEW)
    assert any(f"names {Path(base).resolve()} as its base" in line for line in lines)
    wide = write_base(tmp_path / "wide", hidden_size=32)
    message = refused(tokens, wide, tmp_path / "o", from_adapter=tuned("lora"))
    assert "was trained on another base" in message


@pytest.mark.parametrize("method", ["lora", "oft", "lora-xs", "prompt"])
def test_a_run_that_was_stopped_ends_in_the_same_bits(
    method: str, tuned: Any, tokens: str, base: str, tmp_path: Path
) -> None:
    fields: dict[str, Any] = {
        **FEW,
        "tokens": tokens,
        "model": base,
        "from_adapter": str(tuned(method)),
        "preset": "lora",
        "held_out": 0.2,
        "save_steps": 1,
        "prompts": 1,
    }
    curate.train(out=tmp_path / "whole", **fields)
    fields |= {"out": str(tmp_path / "out")}
    train_until("trainer.loop.learning_rate", 6, fields)
    moved = shutil.copytree(tuned(method), tmp_path / "moved")
    fields |= {"from_adapter": str(moved), "resume": True}
    lines: list[str] = []
    dry_run(TrainConfig(**fields), lines.append)
    assert any("goes on after step 6 of 8" in line for line in lines)
    curate.train(**fields)
    assert outcome(tmp_path / "out") == outcome(tmp_path / "whole")


def test_another_adapter_is_another_run(tuned: Any, tokens: str, base: str, tmp_path: Path) -> None:
    fields = {**FEW, "tokens": tokens, "model": base, "out": str(tmp_path / "out")}
    fields |= {"from_adapter": str(tuned("lora"))}
    train_until("trainer.loop.learning_rate", 6, fields)
    for other in (str(tuned("lora") / "epochs" / "epoch-1"), None):
        changed = {**fields, "from_adapter": other, "resume": True}
        if other is None:
            changed |= {"method": "lora", "lora_r": 4, "lora_alpha": 12.0}
        with pytest.raises(CurateError, match="the adapter it went on from is another"):
            curate.train(**changed)


def added(number: int = 32) -> dict[str, Any]:
    named = {"<call>": number}
    return {"special": {}, "eos_ids": [EOS], "added": named, "functional": named}


@pytest.mark.parametrize("method", ["lora", "tokens"])
def test_rows_of_added_tokens_go_on_and_need_not_be_in_the_new_rows(
    method: str, tokens: str, tmp_path: Path
) -> None:
    from transformers import AutoTokenizer

    base = write_base(tmp_path / "base")
    first = write_answers(tmp_path / "first", tokenizer=added())
    run = train(first, base, tmp_path / "run", method=method, **FEW)
    learnt = tensors(run)["lm_head.weight"][32]
    mean = tensors(Path(base))["lm_head.weight"].mean(dim=0)
    assert float((learnt - mean).abs().max()) > 1e-2  # it has learnt
    for name, rows in (("with", first), ("without", tokens)):
        lines: list[str] = []
        still = {**FEW, "learning_rate": 1e-9}
        out = train(rows, base, tmp_path / name, lines.append, from_adapter=run, **still)
        assert "added tokens: <call> (32); their rows are those of the adapter" in lines
        assert AutoTokenizer.from_pretrained(out / "adapter")("w4 <call>").input_ids == [4, 32]
        row = tensors(out)["lm_head.weight"][32]
        assert float((row - learnt).abs().max()) < 1e-6


def test_tokens_that_the_adapter_has_no_rows_for_are_refused(
    tuned: Any, base: str, tmp_path: Path
) -> None:
    tokens = write_answers(tmp_path / "tokens", tokenizer=added())
    message = refused(tokens, base, tmp_path / "o", from_adapter=tuned("lora"))
    assert "trains no embedding rows for <call>" in message
    run = train(tokens, base, tmp_path / "run", method="lora", **FEW)
    outside = tmp_path / "outside"
    outside.mkdir()
    for file in ("adapter_config.json", "adapter_model.safetensors"):
        shutil.copyfile(run / "adapter" / file, outside / file)
    plain = write_answers(tmp_path / "plain")
    message = refused(plain, base, tmp_path / "o", from_adapter=outside)
    assert "holds a row for token 32, which neither" in message


def test_the_command_line_takes_it(
    tuned: Any, tokens: str, base: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    asked = ["train", tokens, "--model", base, "--from-adapter", str(tuned("lora"))]
    asked += ["--epochs", "1", "--set", "prompts=0", "--set", "held_out=0", "--set", "choose=last"]
    assert main([*asked, "--out", str(out)]) == 0
    assert "goes on from LORA of rank 4" in capsys.readouterr().out
    assert main([*asked, "--out", str(tmp_path / "no"), "--method", "oft"]) == 1
    assert "method is 'oft'" in capsys.readouterr().err
    assert json.loads((out / "train.json").read_text())["config"]["lora_r"] == 4
