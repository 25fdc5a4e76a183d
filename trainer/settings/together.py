"""Settings that make no sense with one another: refused before anything is read."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from curate.base.errors import CurateError
from trainer.settings.methods import readers

if TYPE_CHECKING:
    from trainer.settings.config import TrainConfig

_BY_ANSWERS = ("score", "lima")


def check_together(config: TrainConfig) -> None:
    """Raise `CurateError` for the first pair of settings of which one would be without effect."""
    _check_method(config)
    _check_precision(config)
    _check_choice(config)
    _check_read(config)
    if config.objective == "reward":
        _check_reward(config)
    if config.packing == "on" and config.learns == "prompt":
        raise CurateError(
            f"packing: method {config.method} puts vectors before each row, so rows cannot lie "
            "end to end; set packing to off"
        )
    if config.recompute and config.method == "prefix":
        raise CurateError(
            "recompute: not possible with method prefix, whose keys and values are no activations"
        )
    if config.sharding != "none":
        _check_sharding(config)
    if config.force and config.resume:
        raise CurateError("--force starts anew and --resume goes on; give one of them")


def _check_method(config: TrainConfig) -> None:
    """Settings of another method would be accepted and read by nothing."""
    for field in dataclasses.fields(config):
        able = readers(field.name)
        changed = able and getattr(config, field.name) != field.metadata["default"]
        if changed and config.method not in able:
            raise CurateError(
                f"{field.name}: is read only with method {', '.join(able)}; got method "
                f"{config.method!r}; leave {field.name} out"
            )


def _check_sharding(config: TrainConfig) -> None:
    """What was never seen to work with shared weights, or cannot."""
    if config.learns == "prompt":
        raise CurateError(
            f"sharding: method {config.method} trains a few vectors on a model that must lie whole "
            "on each device; set sharding to none, or take method lora"
        )
    if config.quantize != "none":
        raise CurateError(
            f"sharding: a {config.quantize} base cannot be shared; set one of sharding and "
            "quantize to none"
        )


def _check_precision(config: TrainConfig) -> None:
    if config.rounding != "auto" and (config.precision != "bf16" or config.learns != "weights"):
        raise CurateError(
            f"rounding: concerns bf16 weights that are trained; got precision "
            f"{config.precision!r}, method {config.method!r}; leave rounding out"
        )
    if config.quantize != "none" and config.learns != "adapter":
        raise CurateError(
            f"quantize: a {config.quantize} base is frozen, so it goes with adapters; got "
            f"method {config.method!r}"
        )


def _check_choice(config: TrainConfig) -> None:
    for name in ("choose", "stop_on"):
        if getattr(config, name) in _BY_ANSWERS and not config.prompts:
            raise CurateError(
                f"{name}: {getattr(config, name)} goes by answers to held-out prompts; set "
                "prompts above 0"
            )
    if config.retention is None and (
        config.stop_on == "retention" or config.retention_limit is not None
    ):
        name = "stop_on" if config.stop_on == "retention" else "retention_limit"
        raise CurateError(f"{name}: needs a general text; name a file in retention")


def _check_read(config: TrainConfig) -> None:
    """Settings that are read only beside another one, and would be without effect."""
    answers = config.prompts > 0
    unread = {
        "floor": (config.schedule != "constant", "a schedule that falls; constant has no end"),
        "patience": (config.stop_on != "never", "stop_on; say what has to improve"),
        "length_target": (answers, "answers to compare; set prompts above 0"),
        "sample_tokens": (answers or config.samples > 0, "answers; set prompts or samples above 0"),
        "replay_share": (config.replay is not None, "replay; name the general text too"),
    }
    for field in dataclasses.fields(config):
        is_read, beside = unread.get(field.name, (True, ""))
        if not is_read and getattr(config, field.name) != field.metadata["default"]:
            raise CurateError(f"{field.name}: is read only with {beside}, or leave it out")
    if config.held_out == 0 and config.stop_on not in ("never", "retention"):
        raise CurateError(
            f"stop_on: {config.stop_on} is measured on held-out rows, and held_out is 0; set "
            "held_out above 0, or stop_on to never"
        )


# Settings that say something about generating or about a loss on tokens, and what they must be.
NOT_FOR_REWARD = {
    "samples": 0,
    "prompts": 0,
    "prompt_weight": 0.0,
    "normalize": "tokens",
    "length_target": 0,
    "neftune": 0.0,
    "retention": None,
    "replay": None,
    "quantize": "none",
}
_REWARD_METHODS = ("full", "lora", "rslora", "dora")
_BY_LOSS = ("loss", "last")


def fitting(objective: object, fallbacks: Mapping[str, Any]) -> dict[str, Any]:
    """What stands in for fields left out, made to fit: presets were written for answers.

    >>> fitting("reward", {"prompts": 50, "choose": "lima", "epochs": 15})
    {'prompts': 0, 'choose': 'loss', 'epochs': 15}
    """
    if objective != "reward":
        return {**fallbacks}
    neutral = {name: value for name, value in NOT_FOR_REWARD.items() if name in fallbacks}
    if fallbacks.get("choose", "loss") not in _BY_LOSS:
        neutral["choose"] = "loss"
    return {**fallbacks, **neutral}


def _check_reward(config: TrainConfig) -> None:
    """A reward model scores whole rows: it generates nothing and has no loss on tokens."""
    for name, neutral in NOT_FOR_REWARD.items():
        if getattr(config, name) != neutral:
            raise CurateError(
                f"{name}: has no meaning for a reward model; got {getattr(config, name)!r}, leave "
                f"it at {neutral!r}"
            )
    if config.method not in _REWARD_METHODS:
        raise CurateError(
            f"method: a reward model is trained with {', '.join(_REWARD_METHODS)}; got "
            f"{config.method!r}"
        )
    if config.choose not in _BY_LOSS or config.stop_on not in ("never", "loss"):
        raise CurateError(
            "choose: a reward model has a loss and nothing else to compare epochs by; set choose "
            "to loss or last, and stop_on to never or loss"
        )
    if config.long_rows == "split":
        raise CurateError("long_rows: a reward model reads whole rows; set it to alone or refuse")
    if config.packing == "on":
        raise CurateError("packing: a reward model reads the last token of each padded row")
