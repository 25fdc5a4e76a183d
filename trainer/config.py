"""What a training run is told: few fields, each read by the trainer, none accepted unchecked."""

from __future__ import annotations

import dataclasses
import math
import operator
import os
import types
from collections.abc import Mapping
from typing import Any, Final, Literal, Union, get_args, get_origin, get_type_hints

from curate.schema import CurateError, nearest
from trainer.gate import REASONS
from trainer.methods import METHODS, readers
from trainer.presets import PRESET_OF_METHOD, PRESETS


class _Unset:
    """Marks a field that the user left to the preset."""

    def __repr__(self) -> str:
        return "unset"


UNSET: Final = _Unset()


def option(default: Any, help: str, **limits: float) -> Any:
    """A field with its fallback value, its help and its limits.

    `low` and `high` are inclusive, `above` and `below` are not.
    """
    metadata = {"default": default, "help": help, **limits}
    return dataclasses.field(default=UNSET, metadata=metadata)


def required(help: str) -> Any:
    return dataclasses.field(metadata={"help": help})


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """One run of the trainer.

    A field that is not given takes the preset's value, and if the preset has none its own
    default. After construction every field is set.

    >>> TrainConfig(tokens="tokens", model="base", out="tuned", preset="alpaca").batch
    128
    >>> TrainConfig(tokens="tokens", model="base", out="tuned", preset="alpaca", batch=8).batch
    8
    """

    tokens: str = required("folder of token rows, written by `curate render`")
    model: str = required("folder of a causal language model, or its name on the hub")
    out: str = required("folder for the tuned model; must not hold anything else")
    preset: str | None = option(
        None, "recipe that fills every field you leave out (lima for full, lora for lora)"
    )
    method: Literal[
        "full",
        "bitfit",
        "norms",
        "tokens",
        "lora",
        "rslora",
        "dora",
        "lora-xs",
        "oft",
        "boft",
        "ia3",
        "prefix",
        "prompt",
    ] = option("full", "what is trained: all weights, some of them, adapters, or a learnt prompt")
    epochs: int = option(3, "passes over the training rows", low=1)
    batch: int = option(32, "examples in one optimizer step, however they are padded", low=1)
    lr: float = option(1e-5, "peak learning rate", above=0.0, high=1.0)
    schedule: Literal["linear", "cosine", "constant"] = option(
        "cosine", "shape of the learning rate after warm-up"
    )
    warmup: float = option(0.0, "share of all steps in which the rate rises", low=0.0, below=1.0)
    floor: float = option(0.0, "rate at the end, as a share of the peak", low=0.0, high=1.0)
    beta1: float = option(0.9, "AdamW decay of the mean of gradients", low=0.0, below=1.0)
    beta2: float = option(0.999, "AdamW decay of the mean of squares", low=0.0, below=1.0)
    weight_decay: float = option(0.0, "AdamW decay of matrices, not norms or biases", low=0.0)
    clip: float = option(1.0, "largest gradient norm of a step; 0 only reports it", low=0.0)
    residual_dropout: float = option(
        0.0,
        "dropout of the last block's sub-layers, growing from 0 in the first",
        low=0.0,
        below=1.0,
    )
    neftune: float = option(
        0.0, "size of the noise on embeddings in training (NEFTune, usually 5)", low=0.0
    )
    lora_rank: int = option(8, "rank of the adapters", low=1)
    lora_alpha: float = option(16.0, "scale of the adapters times the rank", above=0)
    lora_dropout: float = option(0.0, "dropout before the adapters", low=0, below=1)
    targets: tuple[str, ...] = option(
        (), "names of the linear layers that get adapters; all but the output layer if empty"
    )
    rotation_block: int = option(32, "width of the blocks that are rotated", low=2)
    virtual_tokens: int = option(20, "learnt vectors before the first token", low=1)
    quantize: Literal["none", "4bit"] = option(
        "none", "how the frozen base lies in memory; 4bit needs bitsandbytes and a GPU"
    )
    precision: Literal["fp32", "bf16"] = option(
        "fp32", "number format of weights and activations; adapters stay fp32"
    )
    rounding: Literal["auto", "masters", "stochastic", "nearest"] = option(
        "auto",
        "how bf16 weights take small updates: fp32 masters, at random, or not at all; auto takes "
        "masters up to a rate of 1e-3",
    )
    recompute: bool = option(
        False, "compute activations again in the backward pass: slower, much less memory"
    )
    lr_find: bool = option(False, "find the peak learning rate by a range test, instead of lr")
    micro_tokens: int = option(4096, "positions in one forward pass, a memory limit", low=1)
    packing: Literal["auto", "on", "off"] = option(
        "auto", "documents end to end without padding; auto if the model keeps them apart"
    )
    long_rows: Literal["alone", "split", "refuse"] = option(
        "alone", "rows above micro_tokens: a forward pass of their own, cut in documents, an error"
    )
    held_out: float = option(
        0.05, "share of rows kept for evaluation, never trained", low=0, high=0.5
    )
    choose: Literal["loss", "last"] = option(
        "loss", "which epoch becomes the model: lowest held-out loss per token, or the last"
    )
    keep: int = option(3, "newest epochs kept in the folder besides the chosen one", low=1)
    samples: int = option(3, "held-out prompts answered before and after training", low=0)
    sample_tokens: int = option(128, "longest sampled answer, in tokens", low=1)
    device: Literal["auto", "cpu", "cuda"] = option(
        "auto", "where to train; auto takes a GPU if any"
    )
    seed: int = option(0, "decides split, order, adapters and dropout", low=0)
    allow: tuple[str, ...] = option((), "gate reasons you accept, by name")
    resume: bool = option(False, "go on with the run that was stopped in the output folder")
    save_every: int = option(
        0, "optimizer steps between states to resume from, besides the end of each epoch", low=0
    )
    force: bool = option(False, "replace the output folder if an earlier run wrote it")

    def __post_init__(self) -> None:
        for name, value in self._filled().items():
            object.__setattr__(self, name, value)
        hints = get_type_hints(type(self))
        for field in dataclasses.fields(self):
            value = _checked(field.name, hints[field.name], getattr(self, field.name))
            _limited(field.name, value, field.metadata)
            object.__setattr__(self, field.name, value)
        for reason in self.allow:
            if reason not in REASONS:
                raise CurateError(
                    f"allow: there is no gate reason {reason!r}{nearest(reason, list(REASONS))}; "
                    f"the reasons are {', '.join(REASONS)}"
                )
        self._check_adapter_fields()
        self._check_together()
        if self.force and self.resume:
            raise CurateError("force starts anew and resume goes on; give one of them")

    def _filled(self) -> dict[str, Any]:
        """Values for the fields left unset: from the preset, else the field's own default."""
        given = {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if getattr(self, field.name) is not UNSET
        }
        chosen = given.get("preset")
        if chosen is None:
            chosen = PRESET_OF_METHOD.get(given.get("method", "full"), "lima")
        if chosen not in PRESETS:
            raise CurateError(
                f"preset: there is no preset {chosen!r}{nearest(str(chosen), list(PRESETS))}; "
                f"the presets are {', '.join(PRESETS)}"
            )
        recipe = PRESETS[chosen].values
        fallbacks = {
            field.name: recipe.get(field.name, field.metadata["default"])
            for field in dataclasses.fields(self)
            if field.name not in given
        }
        return {**fallbacks, "preset": chosen}

    def _check_adapter_fields(self) -> None:
        """Settings of another method would be accepted and read by nothing."""
        for field in dataclasses.fields(self):
            able = readers(field.name)
            changed = able and getattr(self, field.name) != field.metadata["default"]
            if changed and self.method not in able:
                raise CurateError(
                    f"{field.name}: is read only with method {', '.join(able)}; got method "
                    f"{self.method!r}; leave {field.name} out"
                )

    def _check_together(self) -> None:
        """Settings that exclude each other."""
        if self.packing == "on" and self.learns == "prompt":
            raise CurateError(
                f"packing: method {self.method} puts vectors before each row, so rows cannot lie "
                "end to end; set packing to off"
            )
        if self.rounding != "auto" and (self.precision != "bf16" or self.learns != "weights"):
            raise CurateError(
                f"rounding: concerns bf16 weights that are trained; got precision "
                f"{self.precision!r}, method {self.method!r}; leave rounding out"
            )
        if self.quantize != "none" and self.learns != "adapter":
            raise CurateError(
                f"quantize: a {self.quantize} base is frozen, so it goes with adapters; got "
                f"method {self.method!r}"
            )

    @property
    def learns(self) -> str:
        """What the method trains: "weights", "adapter" or "prompt" (see `trainer.methods`)."""
        return METHODS[self.method].learns

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> TrainConfig:
        """A config from keys and values; an unknown key is an error that names the nearest one."""
        known = [field.name for field in dataclasses.fields(cls)]
        for key in values:
            if key not in known:
                raise CurateError(
                    f"train: there is no field {key!r}{nearest(str(key), known)}; "
                    f"the fields are {', '.join(known)}"
                )
        missing = [name for name in ("tokens", "model", "out") if name not in values]
        if missing:
            raise CurateError(f"train: {', '.join(missing)} must be given")
        return cls(**values)


def _checked(name: str, hint: Any, value: Any) -> Any:
    """`value` as the field's type; ints count as floats, lists as tuples, paths as text."""
    if get_origin(hint) is Literal:
        if value not in get_args(hint):
            choices = ", ".join(repr(choice) for choice in get_args(hint))
            raise CurateError(
                f"{name}: expected one of {choices}, got {value!r}"
                f"{nearest(str(value), get_args(hint))}"
            )
        return value
    if get_origin(hint) in (Union, types.UnionType):
        if value is None:
            return None
        hint = next(kind for kind in get_args(hint) if kind is not type(None))
    if hint is str and isinstance(value, os.PathLike):
        value = os.fspath(value)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if get_origin(hint) is tuple:
        if isinstance(value, list | tuple) and all(isinstance(item, str) for item in value):
            return tuple(value)
        raise CurateError(f"{name}: expected a list of names, got {value!r}")
    if not isinstance(value, hint) or (isinstance(value, bool) and hint is not bool):
        raise CurateError(f"{name}: expected {hint.__name__}, got {value!r}")
    if value == "":
        raise CurateError(f"{name}: must not be empty")
    return value


def _limited(name: str, value: Any, limits: Mapping[str, Any]) -> None:
    """Refuse a number outside the limits that the field declares."""
    if isinstance(value, float) and not math.isfinite(value):
        raise CurateError(f"{name}: expected a finite number, got {value!r}")
    inside = {
        "low": ("at least", operator.ge),
        "high": ("at most", operator.le),
        "above": ("more than", operator.gt),
        "below": ("less than", operator.lt),
    }
    broken = [
        f"{words} {limits[limit]}"
        for limit, (words, holds) in inside.items()
        if limit in limits and not holds(value, limits[limit])
    ]
    if broken:
        raise CurateError(f"{name}: must be {' and '.join(broken)}, got {value!r}")
