"""Settings that make no sense with one another: refused before anything is read."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from curate.base.errors import CurateError
from trainer.config.groups import Settings
from trainer.config.methods import readers

_BY_ANSWERS = ("score", "lima")
_BY_LOSS = ("loss", "last")
_REWARD_METHODS = ("full", "lora", "rslora", "dora")
# Settings that concern generating or a loss on tokens, and what they are for a reward model.
NOT_FOR_REWARD: Mapping[str, Any] = {
    "prompts": 0,
    "prompt_weight": 0.0,
    "normalize": "tokens",
    "length_target": 0,
    "neftune_noise_alpha": 0.0,
    "retention": None,
    "replay": None,
    "load_in_4bit": False,
}

# A setting, whether it is in order, and what to do where it is not; {name} is a setting's value.
Rule = tuple[str, Callable[[Settings], bool], str]
RULES: tuple[Rule, ...] = (
    ("tokens", lambda c: bool(c.tokens.strip()), "name the folder of the rows"),
    ("model", lambda c: bool(c.model.strip()), "name a model"),
    (
        "rounding",
        lambda c: c.rounding == "auto" or (c.dtype == "bfloat16" and c.learns == "weights"),
        "it concerns bfloat16 weights that are trained, and dtype is {dtype}, method {method}; "
        "leave it out",
    ),
    (
        "load_in_4bit",
        lambda c: not c.load_in_4bit or c.learns == "adapter",
        "a 4-bit base is frozen, so it goes with adapters, and method is {method}",
    ),
    (
        "choose",
        lambda c: c.choose not in _BY_ANSWERS or c.prompts > 0,
        "it goes by answers to held-out prompts; set prompts above 0",
    ),
    (
        "stop_on",
        lambda c: c.stop_on != "score" or c.prompts > 0,
        "it goes by answers to held-out prompts; set prompts above 0",
    ),
    (
        "stop_on",
        lambda c: c.stop_on != "retention" or c.retention is not None,
        "it needs a general text; name a file in retention",
    ),
    (
        "stop_on",
        lambda c: c.held_out > 0 or c.stop_on in ("never", "retention"),
        "it is measured on held-out rows, and held_out is 0; set held_out above 0, or leave it out",
    ),
    (
        "retention_limit",
        lambda c: c.retention_limit is None or c.retention is not None,
        "it needs a general text; name a file in retention",
    ),
    (
        "source_weights",
        lambda c: all(re.fullmatch(r".+=\d+(\.\d+)?", one) for one in c.source_weights),
        "expected SOURCE=TIMES, such as forum=0.5",
    ),
    (
        "packing",
        lambda c: c.packing != "on" or c.learns != "prompt",
        "method {method} puts vectors before each row, so rows cannot lie end to end; set it to "
        "off",
    ),
    (
        "gradient_checkpointing",
        lambda c: not c.gradient_checkpointing or c.method != "prefix",
        "method prefix trains keys and values, which are no activations; leave it out",
    ),
    (
        "sharding",
        lambda c: c.sharding == "none" or c.learns != "prompt",
        "method {method} trains a few vectors on a model that must lie whole on each device; set "
        "it to none, or take method lora",
    ),
    (
        "sharding",
        lambda c: c.sharding == "none" or not c.load_in_4bit,
        "a 4-bit base cannot be shared; leave out one of sharding and load_in_4bit",
    ),
    (
        "force",
        lambda c: not (c.force and c.resume),
        "it starts anew and resume goes on; give one of --force and --resume",
    ),
)
# Settings that are read only beside another one: set without it they would have no effect.
READ_BESIDE: tuple[Rule, ...] = (
    (
        "min_lr_ratio",
        lambda c: c.lr_scheduler_type != "constant",
        "it is read only with a schedule that falls, and a constant one has no end",
    ),
    (
        "patience",
        lambda c: c.stop_on != "never",
        "it is read only with stop_on; name there what has to improve",
    ),
    (
        "length_target",
        lambda c: c.prompts > 0,
        "it is read only with answers to compare; set prompts above 0",
    ),
    (
        "replay_share",
        lambda c: c.replay is not None,
        "it is read only with replay; name the general text there",
    ),
)
REWARD_RULES: tuple[Rule, ...] = (
    (
        "method",
        lambda c: c.method in _REWARD_METHODS,
        f"a reward model is trained with {', '.join(_REWARD_METHODS)}",
    ),
    (
        "choose",
        lambda c: c.choose in _BY_LOSS,
        "a reward model has nothing but its loss to compare epochs by; set it to loss or last",
    ),
    (
        "stop_on",
        lambda c: c.stop_on in ("never", "loss"),
        "a reward model has nothing but its loss to compare epochs by; set it to never or loss",
    ),
    (
        "long_rows",
        lambda c: c.long_rows != "split",
        "a reward model reads whole rows; set it to alone or refuse",
    ),
    (
        "packing",
        lambda c: c.packing != "on",
        "a reward model reads the last token of each padded row; leave it out",
    ),
)


def check_cross_field(config: Settings) -> None:
    """Raise `CurateError` for the first setting that has no effect or sense beside the others."""
    is_reward = config.objective == "reward"
    if is_reward:
        for name, neutral in NOT_FOR_REWARD.items():
            if getattr(config, name) != neutral:
                advice = f"it has no meaning for a reward model; leave it at {neutral!r}"
                raise _refusal(config, name, advice)
    for name, is_in_order, advice in (*RULES, *(REWARD_RULES if is_reward else ())):
        if not is_in_order(config):
            raise _refusal(config, name, advice)
    for name, is_read, advice in (*_of_methods(), *READ_BESIDE):
        if _is_changed(config, name) and not is_read(config):
            raise _refusal(config, name, f"{advice}, or leave it out")


def _of_methods() -> Iterator[Rule]:
    """For each setting that only some methods read, that it goes with one of them."""
    for field in dataclasses.fields(Settings):
        if able := readers(field.name):
            advice = f"it is read only with method {', '.join(able)}, and method is {{method}}"
            yield field.name, partial(_goes_with, able), f"{advice}; take one of them"


def _goes_with(methods: Sequence[str], config: Settings) -> bool:
    return config.method in methods


def _is_changed(config: Settings, name: str) -> bool:
    field = next(one for one in dataclasses.fields(config) if one.name == name)
    return bool(getattr(config, name) != field.metadata["fallback"])


def _refusal(config: Settings, name: str, advice: str) -> CurateError:
    value = getattr(config, name)
    return CurateError(f"train: {name} is {value!r}; {advice.format(**vars(config))}")


def fitting(objective: object, fallbacks: Mapping[str, Any]) -> dict[str, Any]:
    """What stands in for fields left out, made to fit: presets were written for answers.

    >>> fitting("reward", {"prompts": 50, "choose": "lima", "num_train_epochs": 15})
    {'prompts': 0, 'choose': 'loss', 'num_train_epochs': 15}
    """
    if objective != "reward":
        return {**fallbacks}
    neutral = {name: value for name, value in NOT_FOR_REWARD.items() if name in fallbacks}
    if fallbacks.get("choose", "loss") not in _BY_LOSS:
        neutral["choose"] = "loss"
    return {**fallbacks, **neutral}
