"""What a training run is told: few fields, each read by the trainer, none accepted unchecked."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import Any, Final, Literal, get_type_hints

from curate.base.errors import CurateError, nearest
from trainer.checks.gate import REASONS
from trainer.settings.fields import as_number, checked, limited
from trainer.settings.methods import METHODS
from trainer.settings.presets import OTHER_PRESET, PRESET_OF_METHOD, PRESETS
from trainer.settings.together import check_together, fitting


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
        None, "recipe that fills every field you leave out (lima for full, lora for all else)"
    )
    objective: Literal["sft", "reward"] = option(
        "sft", "what is learnt: answers, or a score for them from pairs"
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
        "masters up to a rate of 1e-3, or where it is to be found",
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
    proof: bool = option(
        True, "before step 1, compute rows of the first step in every way and compare (--no-proof)"
    )
    prompt_weight: float = option(
        0.0, "what a token of a prompt counts in the loss, a trained one being 1", low=0.0, high=1.0
    )
    normalize: Literal["tokens", "examples"] = option(
        "tokens", "what counts the same in a step: each trained token, or each example whole"
    )
    source_weights: tuple[str, ...] = option(
        (), "SOURCE=TIMES that each row of a source is read in an epoch, 1 where not given"
    )
    replay: str | None = option(
        None, "general text mixed in: a .txt or .jsonl file, or a folder of token rows"
    )
    replay_share: float = option(
        0.1, "general text's share of what counts in each step", above=0.0, high=0.9
    )
    held_out: float = option(
        0.05, "share of rows kept for evaluation, never trained", low=0, high=0.5
    )
    choose: Literal["loss", "example-loss", "score", "lima", "last"] = option(
        "loss",
        "which epoch becomes the model: lowest held-out loss a token or a row, best score of "
        "answers, the same within LIMA's window (the middle third), or the last",
    )
    prompts: int = option(
        16, "held-out prompts answered, and training answers tried, after each epoch", low=0
    )
    length_target: int = option(
        0,
        "tokens an answer should have; 0 takes what the rows were matched to, or else their median",
        low=0,
    )
    retention: str | None = option(
        None, "general text (.txt, .jsonl, token rows) whose loss is watched"
    )
    retention_limit: float | None = option(
        None, "nats a token by which that loss may rise in an epoch that is chosen", low=0.0
    )
    stop_on: Literal["never", "loss", "example-loss", "score", "retention"] = option(
        "never", "end training when this has not improved for some epochs"
    )
    patience: int = option(2, "epochs without improvement after which training ends", low=1)
    tensorboard: bool = option(False, "write the curves for TensorBoard as well")
    keep: int = option(3, "newest epochs kept in the folder besides the chosen one", low=1)
    samples: int = option(3, "held-out prompts answered before and after training", low=0)
    sample_tokens: int = option(128, "longest sampled answer, in tokens", low=1)
    device: Literal["auto", "cpu", "cuda"] = option(
        "auto", "where to train; auto takes a GPU if any"
    )
    sharding: Literal["none", "full"] = option(
        "none",
        "what each of several processes holds: the whole model, or a share of every weight; full "
        "needs torchrun",
    )
    deterministic: bool = option(
        True, "only kernels that give the same bits each time; without, a GPU may be faster"
    )
    seed: int = option(0, "decides split, order, adapters and dropout", low=0, high=2**64 - 1)
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
            value = checked(field.name, hints[field.name], getattr(self, field.name))
            limited(field.name, value, field.metadata)
            object.__setattr__(self, field.name, value)
        for reason in self.allow:
            if reason not in REASONS:
                raise CurateError(
                    f"allow: there is no gate reason {reason!r}{nearest(reason, list(REASONS))}; "
                    f"the reasons are {', '.join(REASONS)}"
                )
        check_together(self)
        self._check_mixing()

    def _filled(self) -> dict[str, Any]:
        """Values for the fields left unset: from the preset, else the field's own default."""
        given = {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if getattr(self, field.name) is not UNSET
        }
        chosen = given.get("preset")
        if chosen is None:
            chosen = PRESET_OF_METHOD.get(given.get("method", "full"), OTHER_PRESET)
            chosen = "reward" if given.get("objective") == "reward" else chosen
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
        if given.get("schedule") == "constant" and "floor" in fallbacks:
            fallbacks["floor"] = 0.0  # the preset's belongs to the preset's schedule
        objective = given.get("objective", fallbacks.get("objective"))
        return {**fitting(objective, fallbacks), "preset": chosen}

    def _check_mixing(self) -> None:
        for given in self.source_weights:
            name, _, weight = given.rpartition("=")
            if not name or not re.fullmatch(r"\d+(\.\d+)?", weight):
                raise CurateError(
                    f"source_weights: expected SOURCE=TIMES such as forum=0.5, got {given!r}"
                )

    @property
    def learns(self) -> str:
        """What the method trains: "weights", "adapter" or "prompt" (see `methods`)."""
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
        if "lr" in values and values.get("lr_find") is True:
            raise CurateError("lr: is looked for with lr_find; give one of them")
        hints = get_type_hints(cls)
        return cls(**{name: as_number(hints[name], value) for name, value in values.items()})
