from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Any

import pytest

import trainer
from curate.base import values
from curate.base.errors import CurateError
from tests.preference_toys import write_pairs
from tests.trainer_toys import reversed_pairs, silent, toy_model, write_model, write_tokens
from trainer import PRESETS, TrainConfig
from trainer.checkpoints import place
from trainer.checks.planning import preset_line
from trainer.config import cross_field
from trainer.config.groups import RENAMED
from trainer.config.methods import METHODS
from trainer.models import adapt, precision

# pygal's import hook is of a kind that Python 3.11 warns about at every later import.
pytestmark = pytest.mark.filterwarnings("ignore:PluginImportFixer:ImportWarning")


def config(**fields: Any) -> TrainConfig:
    return TrainConfig(**{"tokens": "tokens", "model": "base", "out": "tuned", **fields})


def test_a_preset_fills_what_the_user_left_out():
    alpaca = config(preset="alpaca")
    assert (alpaca.num_train_epochs, alpaca.batch_size) == (3, 128)
    assert (alpaca.learning_rate, alpaca.warmup_ratio) == (2e-5, 0.03)


def test_what_the_user_sets_wins_over_the_preset():
    assert config(preset="alpaca", batch_size=8).batch_size == 8
    assert config(preset="alpaca", batch_size=8).learning_rate == 2e-5


def test_lima_is_fifteen_epochs_of_32_examples_without_warmup_down_to_a_tenth():
    lima = config(preset="lima")
    assert (lima.num_train_epochs, lima.batch_size) == (15, 32)
    assert (lima.warmup_ratio, lima.lr_scheduler_type) == (0.0, "linear")
    assert lima.learning_rate * lima.min_lr_ratio == pytest.approx(1e-6)
    assert (lima.adam_beta1, lima.adam_beta2, lima.weight_decay) == (0.9, 0.95, 0.1)
    assert lima.residual_dropout == 0.3


def test_the_line_of_a_preset_says_what_is_unusual_in_it_for_small_models():
    lima, off = config(), config(residual_dropout=0.0)
    assert "; residual_dropout 0.3: dropout of residuals, unusual for small" in preset_line(lima)
    assert "residual_dropout" not in preset_line(off)
    assert "; residual_dropout 0.2:" in preset_line(config(preset="instructgpt"))
    for name in ("s1", "alpaca", "tulu3", "lora"):
        assert "unusual" not in preset_line(config(preset=name))


def test_without_a_name_the_preset_follows_the_method_and_is_named():
    assert config().preset == "lima"
    assert config(method="lora").preset == "lora"


def test_the_lora_preset_trains_adapters_unless_told_otherwise():
    assert config(preset="lora").method == "lora"
    assert config(preset="lora", method="full").method == "full"


def test_a_replaced_field_keeps_all_others():
    changed = dataclasses.replace(config(preset="alpaca"), seed=7)
    assert (changed.seed, changed.batch_size, changed.preset) == (7, 128, "alpaca")


def test_every_preset_names_only_fields_and_has_a_source():
    known = {field.name for field in dataclasses.fields(TrainConfig)}
    for name, preset in PRESETS.items():
        assert set(preset.values) <= known
        assert preset.source and preset.about
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
        ({"preset": "lime"}, "did you mean 'lima'?"),
        ({"method": "lorra"}, "method is 'lorra'; expected one of full, bitfit, norms, tokens,"),
        ({"method": "lorra"}, "did you mean 'lora'?"),
        ({"num_train_epochs": 0}, "num_train_epochs is 0; expected a number of at least 1"),
        ({"num_train_epochs": 1.5}, "num_train_epochs is 1.5; expected a whole number"),
        ({"num_train_epochs": True}, "num_train_epochs is True; expected a whole number"),
        (
            {"learning_rate": -1},
            "train: learning_rate is -1; expected a number of more than 0 and at most 1",
        ),
        ({"learning_rate": "1e-5"}, "learning_rate is '1e-5'; expected a number"),
        ({"learning_rate": float("nan")}, "learning_rate is nan; expected a finite number"),
        ({"warmup_ratio": 1.0}, "warmup_ratio is 1.0; expected a number of at least 0 and less"),
        ({"held_out": 0.6}, "held_out is 0.6; expected a number of at least 0 and at most 0.5"),
        ({"tokens": ""}, "tokens is empty"),
        ({"force": 1}, "force is 1; expected true or false"),
        ({"allow": 3}, "allow is 3; expected one of vocabulary, too-long"),
        ({"allow": ["no-stops"]}, "allow is ['no-stops']; expected one of"),
        ({"allow": ["no-stops"]}, "did you mean 'no-stop'?"),
        ({"lora_r": 16}, "lora_r is read only with method lora, rslora, dora, lora-xs"),
        ({"method": "lora", "rotation_block": 8}, "rotation_block is read only with method oft"),
        ({"rounding": "stochastic"}, "only bfloat16 weights are rounded"),
        (
            {"rounding": "stochastic", "dtype": "bfloat16", "method": "lora"},
            "rounding is 'stochastic', and method is 'lora'; adapters are not rounded",
        ),
        ({"seed": 2**64}, "seed is 18446744073709551616; expected a number"),
        (
            {"lr_scheduler_type": "constant", "min_lr_ratio": 0.5},
            "min_lr_ratio is 0.5, and lr_scheduler_type is 'constant'",
        ),
        ({"patience": 7}, "patience is 7, and stop_on is 'never'"),
        (
            {"preset": "alpaca", "prompts": 0, "length_target": 9},
            "length_target is 9, and prompts is 0; it needs answers",
        ),
        ({"replay_share": 0.3}, "replay_share is 0.3, and replay is None; name a general text"),
        ({"stop_on": "score", "held_out": 0}, "stop_on is 'score', and held_out is 0.0"),
        ({"source_weights": ["forum"]}, "source_weights is 'forum'; expected SOURCE=TIMES"),
        (
            {"objective": "reward", "long_rows": "split"},
            "long_rows is 'split', and objective is 'reward'; a reward model reads whole rows",
        ),
        ({"load_in_4bit": True}, "load_in_4bit is True, and method is 'full'; a 4-bit base is"),
    ],
)
def test_a_wrong_value_is_refused_before_anything_is_read(fields: dict[str, Any], message: str):
    with pytest.raises(CurateError) as refused:
        config(**fields)
    assert message in str(refused.value)


def test_a_preset_s_lowest_rate_is_no_part_of_another_schedule():
    assert config(preset="lima").min_lr_ratio == 0.1
    assert config(preset="lima", lr_scheduler_type="constant").min_lr_ratio == 0.0


def test_a_rate_that_is_looked_for_cannot_be_given():
    given = {"tokens": "t", "model": "m", "out": "o", "learning_rate": 0.1}
    with pytest.raises(CurateError, match="lr_find looks for learning_rate; give one of them"):
        TrainConfig.from_mapping({**given, "lr_find": True})


def test_an_unknown_key_names_the_nearest_field():
    said = "train has no setting 'train_epochs'; did you mean 'num_train_epochs'"
    with pytest.raises(CurateError, match=said):
        TrainConfig.from_mapping({"tokens": "t", "model": "m", "out": "o", "train_epochs": 3})


@pytest.mark.parametrize(("former", "present"), RENAMED.items())
def test_a_former_name_is_an_error_that_names_the_present_one(former: str, present: str):
    assert present in {field.name for field in dataclasses.fields(TrainConfig)}
    with pytest.raises(CurateError, match=f"train: the setting '{former}' is now '{present}'"):
        TrainConfig.from_mapping({"tokens": "t", "model": "m", "out": "o", former: 1})


def test_settings_are_listed_in_groups_with_what_they_are_where_nobody_says():
    listed = trainer.settings()
    assert [name for _, name, _, _ in listed] == [
        field.name for field in dataclasses.fields(TrainConfig)
    ]
    assert list(dict.fromkeys(group for group, _, _, _ in listed)) == [
        *("data", "method", "optimisation", "evaluation", "saving")
    ]
    fallbacks = {name: fallback for _, name, fallback, _ in listed}
    assert (fallbacks["num_train_epochs"], fallbacks["tokens"]) == (3, None)


def test_what_goes_together_is_said_of_settings_that_there_are():
    known = {field.name for field in dataclasses.fields(TrainConfig)}
    for name, _, other, _, _ in cross_field.CLASHES:
        assert name in known and other in known | {"learns"}
    assert set(cross_field.NOT_FOR_REWARD) <= known
    assert {one for method in METHODS.values() for one in method.fields} <= known


def test_a_rate_may_be_written_as_people_write_it():
    """YAML 1.1 reads 2e-3 as text, which is why values are read as YAML 1.2."""
    given = {"tokens": "t", "model": "m", "out": "o"}
    rate = values.load("2e-3")
    assert TrainConfig.from_mapping({**given, "learning_rate": rate}).learning_rate == 0.002
    with pytest.raises(CurateError, match="learning_rate is 'fast'; expected a number"):
        TrainConfig.from_mapping({**given, "learning_rate": values.load("fast")})


def test_a_missing_folder_is_named():
    with pytest.raises(CurateError, match="model, out must be given"):
        TrainConfig.from_mapping({"tokens": "t"})


def test_a_list_from_a_file_becomes_a_tuple_and_a_path_becomes_text():
    read = TrainConfig.from_mapping(
        {"tokens": Path("t"), "model": "m", "out": "o", "allow": ["no-stop"], "learning_rate": 1}
    )
    assert (read.tokens, read.allow, read.learning_rate) == ("t", ("no-stop",), 1.0)


class Recorded(TrainConfig):
    """Notes which fields are read by trainer code, but not by the config's own or by a dump."""

    def __getattribute__(self, name: str) -> Any:
        caller = Path(sys._getframe(1).f_code.co_filename)
        if caller.is_relative_to(HOUSE) and caller.parent.name != "config":
            READ.add(name)
        return super().__getattribute__(name)


READ: set[str] = set()
HOUSE = Path(trainer.__file__).parent


def test_every_field_is_read_by_the_trainer(tmp_path: Path):
    """In one run or another: what no run reads would be accepted and without effect."""
    tokens = write_tokens(tmp_path / "tokens", reversed_pairs(8))
    model = write_model(tmp_path / "base")
    general = write_tokens(tmp_path / "general", reversed_pairs(4))
    others = write_tokens(tmp_path / "others", reversed_pairs(12)[8:])
    READ.clear()
    run = Recorded(
        tokens=tokens,
        model=model,
        out=str(tmp_path / "tuned"),
        num_train_epochs=2,
        prompts=1,
        stop_on="loss",
        replay=general,
        regulariser="ewc",
    )
    trainer.train(run, silent)
    place.check(Recorded(**{**vars(run), "force": True}))
    given = {"tokens": "t", "model": "m", "out": "o"}
    taught = {"teacher": model, "num_train_epochs": 1, "stop_on": "never", "replay": None}
    taught |= {"regulariser": "none"}
    trainer.train(
        Recorded(**{**vars(run), **taught, "objective": "distil", "out": f"{run.out}-2"}), silent
    )
    pairs = write_pairs(tmp_path / "pairs", 12)
    for objective, more in (
        ("dpo", {"tokens": pairs, "label_smoothing": 0.1}),
        ("simpo", {"tokens": pairs}),
        ("kto", {"undesirable": others}),
    ):
        beside = {"tokens": tokens, "model": model, "objective": objective, **more}
        trainer.train(Recorded(**beside, out=f"{run.out}-{objective}"), silent)
    for method, fields in (
        ("lora", {}),
        ("oft", {"rotation_block": 8}),
        ("houlsby", {"bottleneck_width": 2}),
        ("prompt", {"num_virtual_tokens": 2}),
    ):
        adapt.attach(toy_model(), Recorded(**given, method=method, **fields))
    precision.rounding_of(Recorded(**given, dtype="bfloat16", rounding="stochastic"))
    assert {field.name for field in dataclasses.fields(TrainConfig)} - READ == set()


def test_rows_shared_among_gpus_are_refused_in_a_sentence():
    given = {"tokens": "t", "model": "m", "out": "o", "context_parallel": 2}
    with pytest.raises(CurateError, match="there is no context_parallel: one row is not shared"):
        TrainConfig.from_mapping(given)


def test_a_list_may_be_written_as_names_with_commas():
    given = {"tokens": "t", "model": "m", "out": "o", "source_weights": "forum=0.5,wiki=2"}
    assert TrainConfig.from_mapping(given).source_weights == ("forum=0.5", "wiki=2")
    given = {"tokens": "t", "model": "m", "out": "o", "target_modules": "q_proj,v_proj"}
    targets = TrainConfig.from_mapping({**given, "method": "lora"}).target_modules
    assert targets == ("q_proj", "v_proj")
