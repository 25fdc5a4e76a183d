"""Settings that make no sense with one another: refused before anything is read."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

from curate.base.errors import CurateError
from trainer.config.groups import Settings
from trainer.config.methods import PICKED, readers
from trainer.config.objectives import BETAS, PREFERENCES, READ_BY

# A setting, its values that are meant (ANY is every value but the fallback), another setting, the
# values of that which do not go with them, and why, or what to do. `learns` is the method's.
ANY: tuple[Any, ...] = ()
_TEACHER = "name a model or LOGITS in teacher"
_REGULARISER = "name what draws weights back in regulariser, l2_sp or ewc"
_EWC = "it is read by ewc alone; leave it out, or set regulariser to ewc"
CLASHES: tuple[tuple[str, tuple[Any, ...], str, tuple[Any, ...], str], ...] = (
    ("rounding", ANY, "dtype", ("float32",), "only bfloat16 weights are rounded; leave it out"),
    (
        "rounding",
        ANY,
        "learns",
        ("adapter", "prompt", "layers"),
        "adapters are not rounded; leave it out",
    ),
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
    (
        "teacher",
        ANY,
        "objective",
        ("sft", "reward", *PREFERENCES),
        "leave objective out, or set it to distil",
    ),
    ("long_rows", ("split",), "objective", PREFERENCES, "both answers are read whole"),
    ("router_aux_coef", ANY, "objective", PREFERENCES, "the loss of routers is for answers"),
    ("robust", (True,), "label_smoothing", (0.0,), "set the share in label_smoothing"),
    ("length_desensitised", ANY, "length_normalised", (True,), "means have no tails; take one"),
    (
        "objective",
        PREFERENCES,
        "learns",
        ("prompt",),
        "a learnt prompt changes the model before step 1, so it is no reference; take lora",
    ),
    ("regulariser_weight", ANY, "regulariser", ("none",), _REGULARISER),
    ("fisher_text", ANY, "regulariser", ("none", "l2_sp"), _EWC),
    ("fisher_sequences", ANY, "regulariser", ("none", "l2_sp"), _EWC),
    ("fisher", ANY, "regulariser", ("none", "l2_sp"), _EWC),
    (
        "regulariser",
        ANY,
        "objective",
        ("reward",),
        "the score of a reward model starts at random, so nothing is to be drawn back there",
    ),
    (
        "regulariser",
        ("ewc",),
        "load_in_4bit",
        (True,),
        "4-bit weights have no gradients that say which of them matter; take l2_sp",
    ),
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
# Settings that concern a loss of single answers, and what they are for preferences.
NOT_FOR_PAIRS: Mapping[str, Any] = {
    "batch_tokens": None,  # a step is of pairs, whatever their length
    "prompt_weight": 0.0,
    "normalize": "tokens",
    "labels": None,
    "replay": None,
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
    if config.objective in PREFERENCES:
        _check_neutral(config, NOT_FOR_PAIRS, "preferences")
    for name, values, other, clashing, advice in CLASHES:
        value = getattr(config, name)
        is_meant = value in values if values else _is_changed(config, name)
        if is_meant and getattr(config, other) in clashing:
            shown = "method" if other == "learns" else other
            beside = f"{shown} is {getattr(config, shown)!r}"
            raise CurateError(f"train: {name} is {value!r}, and {beside}; {advice}")
    _check_regulariser(config)
    _check_matching(config)
    for name, objectives in READ_BY.items():
        if config.objective not in objectives and _is_changed(config, name):
            raise CurateError(
                f"train: {name} is read only with objective {', '.join(objectives)}, and objective "
                f"is {config.objective!r}; leave it out"
            )
    for field in dataclasses.fields(Settings):
        able = readers(field.name)
        if able and config.method not in able and _is_changed(config, field.name):
            raise CurateError(
                f"train: {field.name} is read only with method {', '.join(able)}, and method is "
                f"{config.method!r}; leave it out"
            )


def _check_matching(config: Settings) -> None:
    """A share of parameters is one of a method that has a rank, a block or a width."""
    given = config.match_parameters
    if given is None:
        return
    share = float(given[:-1]) if re.fullmatch(r"[0-9]+(\.[0-9]+)?%", given) else 0.0
    if not 0 < share < 100:
        raise CurateError(
            f"train: match_parameters is {given!r}; expected a share of all parameters, above 0% "
            "and below 100%, such as 0.5%"
        )
    if config.method not in PICKED:
        raise CurateError(
            f"train: match_parameters is {given!r}, and method {config.method} has no rank, block "
            f"or width to pick; take one of {', '.join(PICKED)}, or leave it out"
        )
    if config.from_adapter is not None:
        raise CurateError(
            f"train: match_parameters is {given!r}, and the adapter in {config.from_adapter} says "
            "itself how large it is; leave it out"
        )


def _check_regulariser(config: Settings) -> None:
    """What draws weights back needs weights whose distance it can tell, and ewc a text."""
    if config.regulariser == "none":
        return
    able = readers("regulariser")
    if config.method not in able:
        raise CurateError(
            f"train: regulariser is {config.regulariser!r}, which is of weights and of what lora "
            f"adds to them, and method {config.method} changes a model in another way; take one of "
            f"{', '.join(able)}, or leave regulariser out"
        )
    if config.regulariser == "ewc" and config.fisher_text is None and config.replay is None:
        raise CurateError(
            "train: regulariser is 'ewc', and no general text says which weights matter; name one "
            "in fisher_text, or in replay (that of retention is kept for measuring)"
        )
    if config.sharding != "none" and config.learns == "adapter":
        raise CurateError(
            f"train: regulariser is {config.regulariser!r}, and with sharding no process has the "
            "whole product of an adapter's factors; leave sharding out, or take method full"
        )


def _check_reward(config: Settings) -> None:
    """A reward model scores whole rows: it generates nothing and has no loss on tokens."""
    _check_neutral(config, NOT_FOR_REWARD, "a reward model")
    if config.method not in _REWARD_METHODS:
        raise CurateError(
            f"train: method is {config.method!r}; expected one of {', '.join(_REWARD_METHODS)} for "
            "a reward model"
        )


def _check_neutral(config: Settings, neutral: Mapping[str, Any], learnt: str) -> None:
    for name, value in neutral.items():
        if getattr(config, name) != value:
            raise CurateError(
                f"train: {name} is {getattr(config, name)!r}, which has no meaning for {learnt}; "
                f"leave it at {value!r}"
            )


def _is_changed(config: Settings, name: str) -> bool:
    fallbacks = {field.name: field.metadata.get("fallback") for field in dataclasses.fields(config)}
    return bool(getattr(config, name) != fallbacks[name])


def fitting(objective: Any, fallbacks: Mapping[str, Any]) -> dict[str, Any]:
    """What stands in for fields left out, made to fit: presets were written for answers.

    >>> fitting("reward", {"prompts": 50, "choose": "lima", "num_train_epochs": 15})
    {'prompts': 0, 'choose': 'loss', 'num_train_epochs': 15}
    >>> fitting("simpo", {"beta": None, "prompts": 50})
    {'beta': 2.0, 'prompts': 50}
    """
    if objective in BETAS:
        own = {"beta": BETAS[objective], "sft_weight": 1.0 if objective == "cpo" else 0.0}
        found = {name: value for name, value in fallbacks.items() if value not in (None, 0.0)}
        return {**fallbacks, **{name: own[name] for name in own.keys() & fallbacks.keys() - found}}
    if objective != "reward":
        return {**fallbacks}
    neutral = {name: value for name, value in NOT_FOR_REWARD.items() if name in fallbacks}
    if fallbacks.get("choose", "loss") not in ("loss", "last"):
        neutral["choose"] = "loss"
    return {**fallbacks, **neutral}
