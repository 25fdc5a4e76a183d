"""An adapter's settings as its folder has them, and what a run that goes on from it is to be."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from curate.base.errors import CurateError
from trainer.config.methods import METHODS, MethodName
from trainer.config.objectives import PREFERENCES

CONFIG, METHOD = "adapter_config.json", "method.json"
LORA_XS = "LORA-XS"
# Layers between those of the base, by the method.
BOTTLENECKS: Mapping[str, MethodName] = {"HOULSBY": "houlsby", "PFEIFFER": "pfeiffer"}
# Kinds of peft that a run can go on with, and the method each is; LoRA has three.
_METHODS: Mapping[str, MethodName] = {
    LORA_XS: "lora-xs",
    **BOTTLENECKS,
    "LORA": "lora",
    "OFT": "oft",
    "BOFT": "boft",
    "IA3": "ia3",
    "LN_TUNING": "norms",
    "TRAINABLE_TOKENS": "tokens",
    "PREFIX_TUNING": "prefix",
    "PROMPT_TUNING": "prompt",
}
Objective = Literal["sft", "reward"]
_OBJECTIVES: Mapping[Any, Objective] = {"CAUSAL_LM": "sft", "SEQ_CLS": "reward", None: "sft"}
# Settings of this program, and what an adapter's file calls them.
_NAMES: Mapping[str, tuple[str, ...]] = {
    "lora_r": ("r", "rank"),
    "lora_alpha": ("lora_alpha", "alpha"),
    "lora_dropout": ("lora_dropout",),
    "rotation_block": ("oft_block_size", "boft_block_size"),
    "bottleneck_width": ("width",),
    "num_virtual_tokens": ("num_virtual_tokens",),
}
# What may differ from run to run; all else is how the adapter is built.
_FREE = ("lora_dropout",)
# What the adapter's file alone says, in words that settings have no room for.
_ITS_OWN = ("target_modules", "train_tokens")


def is_adapter(folder: Path) -> bool:
    """Whether a folder holds an adapter and no whole model."""
    return (folder / CONFIG).is_file() or (folder / METHOD).is_file()


def located(source: str) -> Path:
    """The folder of the adapter that is meant by a CKPT or by its own folder.

    Raises `CurateError` where there is none.
    """
    folder = Path(source)
    if not is_adapter(folder) and (folder / "adapter").is_dir():
        folder = folder / "adapter"
    if not is_adapter(folder):
        raise CurateError(_no_adapter(folder))
    return folder


def _no_adapter(folder: Path) -> str:
    if not folder.is_dir():
        return f"{folder}: there is no such folder; name a CKPT or an adapter's folder"
    if (folder / "config.json").is_file():
        return f"{folder}: is a whole model already, with no adapter in it; take it as it is"
    return f"{folder}: holds no adapter, as it has no {CONFIG}"


def kind_and_settings(folder: Path) -> tuple[str, dict[str, Any]]:
    """Peft's name for an adapter, or one of ours, and all that its file says. Raises `CurateError`.

    Ours are LORA-XS, HOULSBY and PFEIFFER.
    """
    if (folder / CONFIG).is_file():
        settings = read_json(folder / CONFIG)
        return str(settings.get("peft_type")), settings
    settings = read_json(folder / METHOD)
    kinds: dict[str, str] = {
        "lora-xs": LORA_XS,
        **{method: kind for kind, method in BOTTLENECKS.items()},
    }
    kind = kinds.get(str(settings.get("method")))
    if kind is None:
        raise CurateError(f"{folder / METHOD}: is of no method that is known here")
    return kind, settings


def objective_of(folder: Path, settings: Mapping[str, Any]) -> Objective:
    """What an adapter's base is loaded for. Raises `CurateError` for what nothing here is for."""
    task = settings.get("task_type")
    if task not in _OBJECTIVES:
        raise CurateError(
            f"{folder}: is for {task}, and only adapters of causal language models (CAUSAL_LM) and "
            "of models with a score (SEQ_CLS) are read"
        )
    return _OBJECTIVES[task]


def read_json(path: Path) -> dict[str, Any]:
    """A file's JSON object. Raises `CurateError` for anything else."""
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise CurateError(f"{path}: cannot be read as JSON ({error})") from error
    if not isinstance(content, dict):
        raise CurateError(f"{path}: holds no JSON object")
    return content


def fields_of(source: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that an adapter decides, for a run that goes on from it.

    Raises `CurateError` for an adapter that no method here trains, and for a setting that is
    `given` and another.
    """
    folder = located(source)
    kind, settings = kind_and_settings(folder)
    method = _method(folder, kind, settings)
    _check_plain(folder, settings)
    fields: dict[str, Any] = {"method": method, "objective": objective_of(folder, settings)}
    for name in METHODS[method].fields:
        found = [settings[key] for key in _NAMES.get(name, ()) if settings.get(key) is not None]
        found = [] if name == "rotation_block" and found == [0] else found  # it has a count instead
        if found:
            fields[name] = _number(folder, name, found[0])
    if fields["objective"] == "sft" and given.get("objective") in PREFERENCES:
        fields["objective"] = given["objective"]  # learnt on the same model as answers are
    for name, value in fields.items():
        if name in given and given[name] != value and name not in _FREE:
            raise CurateError(
                f"train: {name} is {given[name]!r}, and the adapter in {folder} is of {value!r}; "
                "leave it out, as the run goes on with what the adapter is"
            )
    for name in _ITS_OWN:
        if given.get(name):
            raise CurateError(
                f"train: {name} is given, and the adapter in {folder} says itself what it adapts; "
                "leave it out, or start another adapter without from_adapter"
            )
    return {name: value for name, value in fields.items() if name not in given}


def _method(folder: Path, kind: str, settings: Mapping[str, Any]) -> MethodName:
    if kind not in _METHODS:
        raise CurateError(
            f"{folder}: is an adapter of kind {kind}, which no method here trains "
            f"({', '.join(METHODS)}); put it into its base with curate merge, and train that"
        )
    if kind == "LORA" and settings.get("use_dora"):
        return "dora"
    return "rslora" if kind == "LORA" and settings.get("use_rslora") else _METHODS[kind]


def _check_plain(folder: Path, settings: Mapping[str, Any]) -> None:
    """Refuse what its file describes and training would not go on with as it was."""
    reasons = {
        "biases of the base that learn too": settings.get("bias", "none") != "none",
        "a projection, which is not saved with it": bool(settings.get("prefix_projection")),
        "several butterfly factors": settings.get("boft_n_butterfly_factor", 1) != 1,
        "another activation than silu": settings.get("activation", "silu") != "silu",
    }
    if strange := next((reason for reason, there in reasons.items() if there), None):
        raise CurateError(
            f"{folder}: has {strange}, and no run here goes on with that; put it into its base "
            "with curate merge where that can be done, or start another adapter"
        )


def _number(folder: Path, name: str, value: Any) -> int | float:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not math.isfinite(value):
        raise CurateError(f"{folder}: says that {name} is {value!r}; expected a number")
    return float(value) if name in ("lora_alpha", "lora_dropout") else value
