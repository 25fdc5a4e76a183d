"""The fields of a run's settings, in groups; each has a line of help, with unit and limits.

Names are those of `transformers.TrainingArguments`, TRL's `SFTConfig` and `ModelConfig`, and peft
wherever the meaning is the same. What differs has a name of its own: `batch_size` counts the
examples of an optimizer step, not of a device; `packing` lays out the examples of one step, never
cuts a row, and can find out for itself; `choose` is a rule with reasons, not the name of a metric.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Final, Literal

from curate.base.settings import setting
from trainer.config.methods import METHODS, MethodName
from trainer.config.objectives import ObjectiveName
from trainer.config.presets import PresetName
from trainer.config.reasons import Reason

LEAST_TEMPERATURE = 0.01  # of distributions: far below it logits that are divided overflow


class _Unset:
    """Marks a field that the user left to the preset."""

    def __repr__(self) -> str:
        return "unset"


UNSET: Final = _Unset()


def option(fallback: Any, help: str, **limits: Any) -> Any:
    """A field that the preset may fill; else it takes `fallback`. Limits are as in `setting`."""
    return setting(UNSET, help, fallback=fallback, **limits)


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataSettings:
    """Which rows are read, and how they are laid out."""

    tokens: str = setting(help="folder of token rows, written by `curate render`")
    allow: tuple[Reason, ...] = option((), "reasons for refusing rows that you accept, by name")
    held_out: float = option(
        0.05, "share of rows kept for evaluation, never trained", low=0, high=0.5
    )
    packing: Literal["auto", "on", "off"] = option(
        "auto", "documents end to end without padding; auto if the model keeps them apart"
    )
    micro_tokens: int = option(4096, "positions in one forward pass, a memory limit", low=1)
    long_rows: Literal["alone", "split", "refuse"] = option(
        "alone", "rows above micro_tokens: a forward pass of their own, cut in documents, an error"
    )
    undesirable: str | None = option(
        None,
        "folder of token rows with undesirable answers, for kto, where tokens holds desirable ones "
        "and no pairs",
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


@dataclasses.dataclass(frozen=True, kw_only=True)
class MethodSettings:
    """The model, and what of it is trained."""

    model: str = setting(help="folder of a causal language model, or its name on the hub")
    preset: PresetName = option(  # noqa: RUF009 - a field, as all others
        None, "recipe that fills every field you leave out (lima for full, lora for all else)"
    )
    objective: ObjectiveName = option(  # noqa: RUF009 - a field, as all others
        "sft",
        "what is learnt: answers, a teacher's distributions beside them (where one is named), a "
        "score for them from pairs, or from pairs which answer to prefer (dpo and all after it)",
    )
    teacher: str | None = option(
        None,
        "whose distributions are learnt: a model's folder or name on the hub, or LOGITS, which "
        "`curate teacher` wrote",
    )
    distil_weight: float = option(
        0.5,
        "share of the teacher's part in the loss, the labels having the rest",
        above=0.0,
        high=1.0,
    )
    distil_temperature: float = option(
        1.0,
        "what logits of both are divided by before they are compared; that loss is multiplied by "
        "its square",
        low=LEAST_TEMPERATURE,
        high=100.0,
    )
    distil_divergence: Literal["forward", "reverse"] = option(
        "forward",
        "KL(teacher || student), which covers all that the teacher would say, or the reverse, "
        "which keeps to what it finds likely",
    )
    beta: float | None = option(
        None,
        "what log ratios of preferences are multiplied by; IPO's tau, ORPO's lambda; by objective "
        "if empty: 0.1, of hinge 0.05, of simpo 2",
        above=0.0,
    )
    length_normalised: bool = option(
        False, "preferences of means over tokens, not of sums; beta is then about 50 times as large"
    )
    label_smoothing: float = option(
        0.0, "share of pairs whose sides are taken to be swapped (cDPO)", low=0.0, below=0.5
    )
    robust: bool = option(
        False, "correct the loss for that share without bias; it then has no lowest value"
    )
    sft_weight: float = option(
        0.0,
        "how many times the loss a token of the chosen answer is added (RPO); of cpo 1 if left out",
        low=0.0,
    )
    length_desensitised: float = option(
        1.0,
        "what tokens of the longer answer count beyond the length of the shorter (LD-DPO, usually "
        "0.5)",
        low=0.0,
        high=1.0,
    )
    length_regularised: float = option(
        0.0, "added to a pair's margin for each token the chosen answer is longer (R-DPO)", low=0.0
    )
    simpo_gamma: float = option(
        1.0, "the margin that pairs shall reach; SimPO's gamma_beta_ratio times beta", low=0.0
    )
    desirable_weight: float = option(
        1.0, "what a desirable answer counts in the loss of kto", low=0.0
    )
    undesirable_weight: float = option(
        1.0,
        "what an undesirable answer counts; all of them should count 3/4 to 1 times all desirable "
        "ones",
        low=0.0,
    )
    method: MethodName = option(  # noqa: RUF009 - a field, as all others
        "full", "what is trained: all weights, some of them, adapters, or a learnt prompt"
    )
    from_adapter: str | None = option(
        None,
        "adapter to go on from, which decides the method and its settings: a CKPT, one of its "
        "epochs, or a folder of peft",
    )
    lora_r: int = option(8, "rank of the adapters", low=1)
    lora_alpha: float = option(16.0, "scale of the adapters times the rank", above=0)
    lora_dropout: float = option(0.0, "dropout before the adapters", low=0, below=1)
    target_modules: tuple[str, ...] = option(
        (), "names of the linear layers that get adapters; all but the output layer if empty"
    )
    train_tokens: tuple[str, ...] = option(
        (), "tokens whose embedding rows learn beside the adapters, such as chat tokens, by text"
    )
    rotation_block: int = option(32, "width of the blocks that are rotated", low=2)
    bottleneck_width: int = option(64, "numbers between the two layers of an adapter", low=1)
    match_parameters: str | None = option(
        None,
        "share of all parameters to train, such as 0.5%: picks the largest rank, block or width "
        "that is not above it",
    )
    num_virtual_tokens: int = option(20, "learnt vectors before the first token", low=1)
    dtype: Literal["float32", "bfloat16"] = option(
        "float32", "number format of weights and activations; adapters stay float32"
    )
    save_dtype: Literal["base", "float32", "bfloat16", "float16"] = option(
        "base", "number format of checkpoints: the base's own, or dtype where you give that"
    )
    load_in_4bit: bool = option(
        False, "keep the frozen base in 4 bits; needs bitsandbytes and a GPU"
    )
    residual_dropout: float = option(
        0.0,
        "dropout of the last block's sub-layers, growing from 0 in the first",
        low=0.0,
        below=1.0,
    )
    neftune_noise_alpha: float = option(
        0.0, "size of the noise on embeddings in training (NEFTune, usually 5)", low=0.0
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class OptimisationSettings:
    """How long, how fast, and where it is computed."""

    num_train_epochs: int = option(3, "passes over the training rows", low=1)
    max_steps: int = option(
        0, "optimizer steps after which the run ends, instead of after num_train_epochs", low=0
    )
    batch_size: int = option(32, "examples in one optimizer step, however they are padded", low=1)
    batch_tokens: float | None = option(
        None,
        "trained tokens in one optimizer step, instead of batch_size: an epoch is cut into steps "
        "of nearly as many",
        low=1.0,
    )
    learning_rate: float = option(1e-5, "peak learning rate", above=0.0, high=1.0)
    lr_find: bool = option(
        False, "find the peak learning rate by a range test, instead of learning_rate"
    )
    lr_scheduler_type: Literal["linear", "cosine", "constant"] = option(
        "cosine", "shape of the learning rate after warm-up"
    )
    warmup_ratio: float = option(
        0.0, "share of all steps in which the rate rises", low=0.0, below=1.0
    )
    min_lr_ratio: float = option(0.0, "rate at the end, as a share of the peak", low=0.0, high=1.0)
    adam_beta1: float = option(0.9, "AdamW decay of the mean of gradients", low=0.0, below=1.0)
    adam_beta2: float = option(0.999, "AdamW decay of the mean of squares", low=0.0, below=1.0)
    weight_decay: float = option(0.0, "AdamW decay of matrices, not norms or biases", low=0.0)
    max_grad_norm: float = option(
        1.0, "largest gradient norm of a step; 0 only reports it", low=0.0
    )
    router_aux_coef: float | None = option(
        None,
        "how many times the loss that keeps the experts of a mixture in use alike is added; as the "
        "base's config.json says if empty, 0 for none",
        low=0.0,
    )
    regulariser: Literal["none", "l2_sp", "ewc"] = option(
        "none",
        "what draws trained weights back to where they started: nothing, the distance squared, or "
        "that by how much each weight matters to general text",
    )
    regulariser_weight: float = option(
        0.1, "what half of that sum is multiplied by before it is added to the loss", low=0.0
    )
    fisher_text: str | None = option(
        None,
        "general text by which ewc tells which weights matter: a .txt or .jsonl file, or a folder "
        "of token rows; that of replay if empty",
    )
    fisher_sequences: int = option(
        32, "sequences of that text, of at most 1,024 tokens, that are read before step 1", low=1
    )
    fisher: Literal["empirical", "sampled"] = option(
        "empirical",
        "whose tokens the gradients of ewc are of: the text's own, or ones that the model draws",
    )
    rounding: Literal["auto", "masters", "stochastic", "nearest"] = option(
        "auto",
        "how bfloat16 weights take small updates: float32 masters, at random, or not at all; auto "
        "takes masters up to a rate of 1e-3, or where it is to be found",
    )
    gradient_checkpointing: bool = option(
        False, "compute activations again in the backward pass: slower, much less memory"
    )
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


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvaluationSettings:
    """What is measured, and what is decided by it."""

    proof: bool = option(
        True, "before step 1, compute rows of the first step in every way and compare (--no-proof)"
    )
    choose: Literal["loss", "example-loss", "score", "macro_f1", "lima", "last"] = option(
        "loss",
        "which epoch becomes the model: lowest held-out loss a token or a row, best score of "
        "answers, best macro-F1 of labels, the score within LIMA's window (the middle third), or "
        "the last",
    )
    labels: str | None = option(
        None,
        "held-out rows are classified after each epoch: a file of classes, or auto for the answers "
        "that rows have",
    )
    prompts: int = option(
        16,
        "held-out prompts answered, and training answers tried, after each epoch; 3 are shown",
        low=0,
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
    stop_on: Literal["never", "loss", "example-loss", "score", "macro_f1", "retention"] = option(
        "never", "end training when this has not improved for some epochs"
    )
    patience: int = option(2, "epochs without improvement after which training ends", low=1)


@dataclasses.dataclass(frozen=True, kw_only=True)
class SavingSettings:
    """What is written, and where."""

    out: str = setting(help="folder for the tuned model; must not hold anything else")
    force: bool = option(False, "replace the output folder if an earlier run wrote it")
    resume: bool = option(False, "go on with the run that was stopped in the output folder")
    save_total_limit: int = option(
        3, "newest epochs kept in the folder besides the chosen one", low=1
    )
    save_steps: int = option(
        0, "optimizer steps between states to resume from, besides the end of each epoch", low=0
    )
    report_to: Literal["none", "tensorboard", "wandb", "mlflow"] = option(
        "none", "where the curves are written besides metrics.jsonl and curves.svg"
    )


# The fields of the bases come in the reverse order: data first.
@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings(
    SavingSettings, EvaluationSettings, OptimisationSettings, MethodSettings, DataSettings
):
    """All groups together."""

    @property
    def learns(self) -> str:
        """What the method trains: "weights", "adapter", "prompt" or "layers" (see `methods`)."""
        return METHODS[self.method].learns


GROUPS: Mapping[str, type] = {
    "data": DataSettings,
    "method": MethodSettings,
    "optimisation": OptimisationSettings,
    "evaluation": EvaluationSettings,
    "saving": SavingSettings,
}

# Former names of settings, and what they are called now.
RENAMED: Mapping[str, str] = {
    "batch": "batch_size",
    "beta1": "adam_beta1",
    "beta2": "adam_beta2",
    "clip": "max_grad_norm",
    "epochs": "num_train_epochs",
    "floor": "min_lr_ratio",
    "keep": "save_total_limit",
    "lora_rank": "lora_r",
    "lr": "learning_rate",
    "neftune": "neftune_noise_alpha",
    "precision": "dtype",
    "quantize": "load_in_4bit",
    "recompute": "gradient_checkpointing",
    "samples": "prompts",
    "save_every": "save_steps",
    "schedule": "lr_scheduler_type",
    "targets": "target_modules",
    "tensorboard": "report_to",
    "virtual_tokens": "num_virtual_tokens",
    "warmup": "warmup_ratio",
}


# What is asked for elsewhere and is not there, and why.
ABSENT: Mapping[str, str] = {
    "context_parallel": "one row is not shared among several GPUs, as that could not be tested; "
    "sharding=full shares the weights, gradient_checkpointing=true saves activations, and "
    "long_rows=split cuts rows into documents",
}


def settings() -> list[tuple[str, str, Any, str]]:
    """Group, name, value if neither user nor preset sets it, and help of every setting.

    >>> settings()[0][:2]
    ('data', 'tokens')
    """
    return [
        (group, field.name, field.metadata.get("fallback"), field.metadata["help"])
        for group, kind in GROUPS.items()
        for field in dataclasses.fields(kind)
    ]
