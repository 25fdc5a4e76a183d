from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Any

import pytest

import trainer
from curate.base.errors import CurateError
from tests.trainer_toys import reversed_pairs, silent, toy_model, write_model, write_tokens
from trainer import PRESETS, TrainConfig
from trainer.models import adapt, precision

# pygal's import hook is of a kind that Python 3.11 warns about at every later import.
pytestmark = pytest.mark.filterwarnings("ignore:PluginImportFixer:ImportWarning")


def config(**fields: Any) -> TrainConfig:
    return TrainConfig(**{"tokens": "tokens", "model": "base", "out": "tuned", **fields})


def test_a_preset_fills_what_the_user_left_out():
    alpaca = config(preset="alpaca")
    assert (alpaca.epochs, alpaca.batch, alpaca.lr, alpaca.warmup) == (3, 128, 2e-5, 0.03)


def test_what_the_user_sets_wins_over_the_preset():
    assert config(preset="alpaca", batch=8).batch == 8
    assert config(preset="alpaca", batch=8).lr == 2e-5


def test_lima_is_fifteen_epochs_of_32_examples_without_warmup_down_to_a_tenth():
    lima = config(preset="lima")
    assert (lima.epochs, lima.batch, lima.warmup, lima.schedule) == (15, 32, 0.0, "linear")
    assert lima.lr * lima.floor == pytest.approx(1e-6)
    assert (lima.beta1, lima.beta2, lima.weight_decay) == (0.9, 0.95, 0.1)
    assert lima.residual_dropout == 0.3


def test_without_a_name_the_preset_follows_the_method_and_is_named():
    assert config().preset == "lima"
    assert config(method="lora").preset == "lora"


def test_the_lora_preset_trains_adapters_unless_told_otherwise():
    assert config(preset="lora").method == "lora"
    assert config(preset="lora", method="full").method == "full"


def test_a_replaced_field_keeps_all_others():
    changed = dataclasses.replace(config(preset="alpaca"), seed=7)
    assert (changed.seed, changed.batch, changed.preset) == (7, 128, "alpaca")


def test_every_preset_names_only_fields_and_has_a_source():
    known = {field.name for field in dataclasses.fields(TrainConfig)}
    for name, preset in PRESETS.items():
        assert set(preset.values) <= known
        assert preset.source and preset.says
        assert config(preset=name).preset == name


def test_presets_are_listed_with_one_line_each():
    listed = dict(trainer.presets())
    assert list(listed) == list(PRESETS)
    assert "2305.11206" in listed["lima"]
    assert all("\n" not in line for line in listed.values())


def test_every_field_has_one_line_of_help():
    for field in dataclasses.fields(TrainConfig):
        assert field.metadata["help"] and "\n" not in field.metadata["help"]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"preset": "lime"}, "there is no preset 'lime'; did you mean 'lima'?"),
        ({"method": "lorra"}, "got 'lorra'; did you mean 'lora'?"),
        ({"epochs": 0}, "epochs: must be at least 1, got 0"),
        ({"epochs": 1.5}, "epochs: expected int, got 1.5"),
        ({"epochs": True}, "epochs: expected int, got True"),
        ({"lr": 0}, "lr: must be more than 0.0, got 0.0"),
        ({"lr": "1e-5"}, "lr: expected float, got '1e-5'"),
        ({"lr": float("nan")}, "lr: expected a finite number, got nan"),
        ({"warmup": 1.0}, "warmup: must be less than 1.0, got 1.0"),
        ({"held_out": 0.6}, "held_out: must be at most 0.5, got 0.6"),
        ({"tokens": ""}, "tokens: must not be empty"),
        ({"force": 1}, "force: expected bool, got 1"),
        ({"allow": 3}, "allow: expected a list of names, got 3"),
        ({"allow": ["no-stops"]}, "no gate reason 'no-stops'; did you mean 'no-stop'?"),
        ({"lora_rank": 16}, "lora_rank: is read only with method lora, rslora, dora, lora-xs"),
        ({"method": "lora", "rotation_block": 8}, "rotation_block: is read only with method oft"),
        ({"rounding": "stochastic"}, "rounding: concerns bf16 weights that are trained"),
        ({"seed": 2**64}, "seed: must be at most 18446744073709551615, got"),
        ({"schedule": "constant", "floor": 0.5}, "floor: is read only with a schedule that falls"),
        ({"patience": 7}, "patience: is read only with stop_on"),
        (
            {"preset": "alpaca", "prompts": 0, "length_target": 9},
            "length_target: is read only with",
        ),
        (
            {"prompts": 0, "samples": 0, "sample_tokens": 9, "choose": "loss"},
            "sample_tokens: is re",
        ),
        ({"replay_share": 0.3}, "replay_share: is read only with replay; name the general text"),
        ({"stop_on": "score", "held_out": 0}, "stop_on: score is measured on held-out rows"),
        (
            {"objective": "reward", "long_rows": "split"},
            "long_rows: a reward model reads whole rows",
        ),
        ({"quantize": "4bit"}, "quantize: a 4bit base is frozen, so it goes with adapters"),
    ],
)
def test_a_wrong_value_is_refused_before_anything_is_read(fields: dict[str, Any], message: str):
    with pytest.raises(CurateError) as refused:
        config(**fields)
    assert message in str(refused.value)


def test_a_preset_s_floor_is_no_part_of_another_schedule():
    assert config(preset="lima").floor == 0.1
    assert config(preset="lima", schedule="constant").floor == 0.0


def test_a_rate_that_is_looked_for_cannot_be_given():
    given = {"tokens": "t", "model": "m", "out": "o", "lr": 0.1}
    with pytest.raises(CurateError, match="lr: is looked for with lr_find; give one of them"):
        TrainConfig.from_mapping({**given, "lr_find": True})


def test_an_unknown_key_names_the_nearest_field():
    with pytest.raises(CurateError, match="no field 'epoch'; did you mean 'epochs'"):
        TrainConfig.from_mapping({"tokens": "t", "model": "m", "out": "o", "epoch": 3})


def test_a_rate_may_be_written_as_people_write_it():
    """YAML 1.1 reads 2e-3 as text."""
    given = {"tokens": "t", "model": "m", "out": "o"}
    assert TrainConfig.from_mapping({**given, "lr": "2e-3"}).lr == 0.002
    with pytest.raises(CurateError, match="lr: expected float, got 'fast'"):
        TrainConfig.from_mapping({**given, "lr": "fast"})


def test_a_missing_folder_is_named():
    with pytest.raises(CurateError, match="model, out must be given"):
        TrainConfig.from_mapping({"tokens": "t"})


def test_a_list_from_a_file_becomes_a_tuple_and_a_path_becomes_text():
    read = TrainConfig.from_mapping(
        {"tokens": Path("t"), "model": "m", "out": "o", "allow": ["no-stop"], "lr": 1}
    )
    assert (read.tokens, read.allow, read.lr) == ("t", ("no-stop",), 1.0)


class Recorded(TrainConfig):
    """Notes which fields are read by trainer code, but not by the config's own or by a dump."""

    def __getattribute__(self, name: str) -> Any:
        caller = Path(sys._getframe(1).f_code.co_filename)
        if caller.is_relative_to(HOUSE) and caller.parent.name != "settings":
            READ.add(name)
        return super().__getattribute__(name)


READ: set[str] = set()
HOUSE = Path(trainer.__file__).parent


def test_every_field_is_read_by_the_trainer(tmp_path: Path):
    """In one run or another: what no run reads would be accepted and without effect."""
    tokens = write_tokens(tmp_path / "tokens", reversed_pairs(8))
    model = write_model(tmp_path / "base")
    general = write_tokens(tmp_path / "general", reversed_pairs(4))
    READ.clear()
    run = Recorded(
        tokens=tokens,
        model=model,
        out=str(tmp_path / "tuned"),
        epochs=2,
        samples=0,
        prompts=1,
        stop_on="loss",
        replay=general,
    )
    trainer.train(run, silent)
    given = {"tokens": "t", "model": "m", "out": "o"}
    for method, fields in (
        ("lora", {}),
        ("oft", {"rotation_block": 8}),
        ("prompt", {"virtual_tokens": 2}),
    ):
        adapt.attach(toy_model(), Recorded(**given, method=method, **fields))
    precision.rounding_of(Recorded(**given, precision="bf16", rounding="stochastic"))
    assert {field.name for field in dataclasses.fields(TrainConfig)} - READ == set()


def test_a_list_may_be_written_as_names_with_commas():
    given = {"tokens": "t", "model": "m", "out": "o", "source_weights": "forum=0.5,wiki=2"}
    assert TrainConfig.from_mapping(given).source_weights == ("forum=0.5", "wiki=2")
