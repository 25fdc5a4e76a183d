"""Settings that make no sense with one another: refused before anything is read."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

from curate.base.errors import CurateError
from trainer.config.groups import Settings
from trainer.config.methods import readers

# A setting, its values that are meant (ANY is every value but the fallback), another setting, the
# values of that which do not go with them, and why, or what to do. `learns` is the method's.
ANY: tuple[Any, ...] = ()
_TEACHER = "name a model or LOGITS in teacher"
CLASHES: tuple[tuple[str, tuple[Any, ...], str, tuple[Any, ...], str], ...] = (
    ("rounding", ANY, "dtype", ("float32",), "only bfloat16 weights are rounded; leave it out"),
    ("rounding", ANY, "learns", ("adapter", "prompt"), "adapters are not rounded; leave it out"),
    ("load_in_4bit", (True,), "learns", ("weights", "prompt"), "a 4-bit base is for adapters"),
    ("choose", ("score", "lima"), "prompts", (0,), "it needs answers; set prompts above 0"),
    ("stop_on", ("score",), "prompts", (0,), "it needs answers; set prompts above 0"),
    ("length_target", ANY, "prompts", (0,), "it needs answers; set prompts above 0"),
    ("stop_on", ("retention",), "retention", (None,), "name a general text in retention"),
    ("retention_limit", ANY, "retention", (None,), "name a general text in retention"),
    ("stop_on", ("loss", "example-loss", "score"), "held_out", (0,), "set held_out above 0"),
    ("choose", ("macro_f1",), "labels", (None,), "name classes in labels, or auto"),
    ("stop_on", ("macro_f1",), "labels", (None,), "name classes in labels, or auto"),
    ("labels", ANY, "held_out", (0,), "held-out rows are classified; set held_out above 0"),
    ("min_lr_ratio", ANY, "lr_scheduler_type", ("constant",), "a constant rate does not fall"),
    ("patience", ANY, "stop_on", ("never",), "name in stop_on what has to improve"),
    ("replay_share", ANY, "replay", (None,), "name a general text in replay"),
    ("packing", ("on",), "learns", ("prompt",), "a learnt prompt lies before each row"),
    ("router_aux_coef", ANY, "learns", ("prompt",), "a learnt prompt changes no router"),
    ("router_aux_coef", ANY, "objective", ("reward",), "the loss of routers is for answers"),
    ("gradient_checkpointing", (True,), "method", ("prefix",), "its vectors are no activations"),
    ("sharding", ("full",), "learns", ("prompt",), "the model must lie whole on each device"),
    ("sharding", ("full",), "load_in_4bit", (True,), "a 4-bit base cannot be shared"),
    ("force", (True,), "resume", (True,), "one starts anew, one goes on; give one of them"),
    ("objective", ("distil",), "teacher", (None,), "name a model or LOGITS in teacher"),
    ("teacher", ANY, "objective", ("sft", "reward"), "leave objective out, or set it to distil"),
    ("distil_weight", ANY, "teacher", (None,), _TEACHER),
    ("distil_temperature", ANY, "teacher", (None,), _TEACHER),
    ("distil_divergence", ANY, "teacher", (None,), _TEACHER),
    ("choose", ("example-loss", "score", "lima"), "objective", ("reward",), "set loss or last"),
    ("stop_on", ("example-loss", "score", "retention"), "objective", ("reward",), "set loss"),
    ("long_rows", ("split",), "objective", ("reward",), "a reward model reads whole rows"),
    ("packing", ("on",), "objective", ("reward",), "a reward model reads padded rows"),
)
# Settings that concern generating or a loss on tokens, and what they are for a reward model.
NOT_FOR_REWARD: Mapping[str, Any] = {
    "prompts": 0,
    "batch_tokens": None,  # its loss is of pairs, whatever their length
    "prompt_weight": 0.0,
    "normalize": "tokens",
    "length_target": 0,
    "neftune_noise_alpha": 0.0,
    "labels": None,
    "retention": None,
    "replay": None,
    "load_in_4bit": False,
}
_REWARD_METHODS = ("full", "lora", "rslora", "dora")


def check_cross_field(config: Settings) -> None:
    """Raise `CurateError` for the first setting that has no effect or sense beside the others."""
    for name in ("tokens", "model"):
        if not getattr(config, name).strip():
            raise CurateError(f"train: {name} is empty; name a folder")
    for given in config.source_weights:
        if not re.fullmatch(r".+=\d+(\.\d+)?", given):
            raise CurateError(
                f"train: source_weights is {given!r}; expected SOURCE=TIMES, such as forum=0.5"
            )
    if config.objective == "reward":
        _check_reward(config)
    for name, values, other, clashing, advice in CLASHES:
        value = getattr(config, name)
        is_meant = value in values if values else _is_changed(config, name)
        if is_meant and getattr(config, other) in clashing:
            shown = "method" if other == "learns" else other
            beside = f"{shown} is {getattr(config, shown)!r}"
            raise CurateError(f"train: {name} is {value!r}, and {beside}; {advice}")
    for field in dataclasses.fields(Settings):
        able = readers(field.name)
        if able and config.method not in able and _is_changed(config, field.name):
            raise CurateError(
                f"train: {field.name} is read only with method {', '.join(able)}, and method is "
                f"{config.method!r}; leave it out"
            )


def _check_reward(config: Settings) -> None:
    """A reward model scores whole rows: it generates nothing and has no loss on tokens."""
    for name, neutral in NOT_FOR_REWARD.items():
        if getattr(config, name) != neutral:
            raise CurateError(
                f"train: {name} is {getattr(config, name)!r}, which has no meaning for a reward "
                f"model; leave it at {neutral!r}"
            )
    if config.method not in _REWARD_METHODS:
        raise CurateError(
            f"train: method is {config.method!r}; expected one of {', '.join(_REWARD_METHODS)} for "
            "a reward model"
        )


def _is_changed(config: Settings, name: str) -> bool:
    fallbacks = {field.name: field.metadata.get("fallback") for field in dataclasses.fields(config)}
    return bool(getattr(config, name) != fallbacks[name])


def fitting(objective: object, fallbacks: Mapping[str, Any]) -> dict[str, Any]:
    """What stands in for fields left out, made to fit: presets were written for answers.

    >>> fitting("reward", {"prompts": 50, "choose": "lima", "num_train_epochs": 15})
    {'prompts': 0, 'choose': 'loss', 'num_train_epochs': 15}
    """
    if objective != "reward":
        return {**fallbacks}
    neutral = {name: value for name, value in NOT_FOR_REWARD.items() if name in fallbacks}
    if fallbacks.get("choose", "loss") not in ("loss", "last"):
        neutral["choose"] = "loss"
    return {**fallbacks, **neutral}
