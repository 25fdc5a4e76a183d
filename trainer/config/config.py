"""`TrainConfig`: one run's settings, filled from a preset and checked before anything is read."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Mapping
from typing import Any

from curate.base.errors import CurateError
from curate.base.settings import check_settings, checked_settings, known_settings
from trainer.config.adapter_files import fields_of
from trainer.config.cross_field import check_cross_field, fitting
from trainer.config.groups import ABSENT, RENAMED, UNSET, Settings
from trainer.config.methods import PICKED, readers
from trainer.config.objectives import READ_BY
from trainer.config.presets import PRESETS, preset_of

# What decides the preset of a run that names none, and what it is if it is left out.
_DECIDING = {"objective": "sft", "method": "full"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainConfig(Settings):
    """One run of the trainer; `trainer.settings()` lists all fields, in groups, with their help.

    A field that is not given takes the value of the adapter that the run goes on from, else the
    preset's, and if neither has one its own fallback. After construction every field is set.
    Raises `CurateError` for a value of another type or outside its limits, and for settings that do
    not go together.

    >>> TrainConfig(tokens="tokens", model="base", out="tuned", preset="alpaca").batch_size
    128
    >>> TrainConfig(tokens="t", model="m", out="o", preset="alpaca", batch_size=8).batch_size
    8
    """

    def __post_init__(self) -> None:
        hints = typing.get_type_hints(type(self))
        for name, value in self._filled().items():
            object.__setattr__(self, name, _listed(hints[name], value))
        check_settings(self, "train")
        check_cross_field(self)

    def _filled(self) -> dict[str, Any]:
        """Values for the fields left unset: from the preset, else the field's own fallback."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        given = {name: value for name, value in values.items() if value is not UNSET}
        if given.get("from_adapter") is not None:
            source = checked_settings(type(self), {"from_adapter": given["from_adapter"]}, "train")
            given |= fields_of(source["from_adapter"], given)
        chosen = given.get("preset")
        if chosen is None:
            named = {name: given.get(name, fallback) for name, fallback in _DECIDING.items()}
            named = checked_settings(type(self), named, "train")
            chosen = preset_of(named["objective"], named["method"])
        checked_settings(type(self), {"preset": chosen}, "train")
        recipe = _read_of(PRESETS[chosen].values, given)
        fallbacks = {
            field.name: recipe.get(field.name, field.metadata["fallback"])
            for field in dataclasses.fields(self)
            if field.name not in given
        }
        if given.get("lr_scheduler_type") == "constant" and "min_lr_ratio" in fallbacks:
            fallbacks["min_lr_ratio"] = 0.0  # the preset's belongs to the preset's schedule
        if "save_dtype" in fallbacks and "dtype" in given:
            fallbacks["save_dtype"] = given["dtype"]  # whoever names a format wants it in the files
        if given.get("teacher") is not None and "objective" in fallbacks:
            fallbacks["objective"] = "distil"  # whoever names a teacher wants to be taught
        named = {"objective": given.get("objective", fallbacks.get("objective"))}
        objective = checked_settings(type(self), named, "train")["objective"]
        return {**given, **fitting(objective, fallbacks), "preset": chosen}

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> TrainConfig:
        """A config from names and values, as the command line and files give them.

        Raises `CurateError` for an unknown name, with the nearest that there is, and for a former
        one, with the present one.
        """
        for name in ABSENT.keys() & values.keys():
            raise CurateError(f"train: there is no {name}: {ABSENT[name]}")
        known_settings(cls, values, "train", RENAMED)
        missing = [name for name in ("tokens", "model", "out") if name not in values]
        if missing:
            raise CurateError(f"train: {', '.join(missing)} must be given")
        if "learning_rate" in values and values.get("lr_find") is True:
            raise CurateError("train: lr_find looks for learning_rate; give one of them")
        if values.get("batch_tokens") is not None and "batch_size" in values:
            raise CurateError(
                "train: batch_tokens and batch_size both say how much a step holds; give one of "
                "them"
            )
        if values.get("max_steps") and "num_train_epochs" in values:
            raise CurateError(
                "train: max_steps and num_train_epochs both say when the run ends; give one of them"
            )
        picked = PICKED.get(str(values.get("method", "lora")))
        if values.get("match_parameters") is not None and picked in values:
            raise CurateError(f"train: match_parameters picks {picked}; give one of them")
        return cls(**values)


def _read_of(recipe: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """What of a preset a run takes: of another objective or method nothing that only those read."""
    method = given.get("method", recipe.get("method", "full"))
    own = given.get("objective", recipe.get("objective")) == recipe.get("objective")
    return {
        name: value
        for name, value in recipe.items()
        if (own or name not in READ_BY) and method in (readers(name) or [method])
    }


def _listed(hint: Any, value: Any) -> Any:
    """A text with commas as the list it is on the command line, where a list is wanted."""
    if typing.get_origin(hint) is tuple and isinstance(value, str):
        return tuple(item.strip() for item in value.split(",") if item.strip())
    return value
