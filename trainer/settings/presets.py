"""Training recipes that somebody published, with their source: no single silent default."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping


@dataclasses.dataclass(frozen=True)
class Preset:
    """`values` fill the fields of `TrainConfig` that the user left unset."""

    values: Mapping[str, str | int | float]
    says: str  # one line: when to take it
    source: str


PRESETS: dict[str, Preset] = {
    "lima": Preset(
        {
            "epochs": 15,
            "batch": 32,
            "lr": 1e-5,
            "schedule": "linear",
            "warmup": 0.0,
            "floor": 0.1,
            "beta1": 0.9,
            "beta2": 0.95,
            "weight_decay": 0.1,
            "residual_dropout": 0.3,
            "choose": "lima",
            "prompts": 50,
        },
        says="about 1,000 chosen rows, full fine-tuning, many epochs",
        source="arXiv 2305.11206 section 3 and appendix B",
    ),
    "s1": Preset(
        {
            "epochs": 5,
            "batch": 16,
            "lr": 1e-5,
            "schedule": "cosine",
            "warmup": 0.05,
            "floor": 0.0,
            "beta1": 0.9,
            "beta2": 0.95,
            "weight_decay": 1e-4,
            "choose": "last",
        },
        says="about 1,000 long reasoning rows, full fine-tuning, last weights",
        source="simplescaling/s1 train/sft.sh",
    ),
    "alpaca": Preset(
        {
            "epochs": 3,
            "batch": 128,
            "lr": 2e-5,
            "schedule": "cosine",
            "warmup": 0.03,
            "floor": 0.0,
            "beta1": 0.9,
            "beta2": 0.999,
            "weight_decay": 0.0,
        },
        says="tens of thousands of short rows, full fine-tuning",
        source="tatsu-lab/stanford_alpaca README.md",
    ),
    "instructgpt": Preset(
        # Rate and batch are those for 1.3B and 6B; the paper's dropout is the same in all layers,
        # and its epoch is picked by a reward model, for which the score of answers stands here.
        {
            "epochs": 16,
            "batch": 32,
            "lr": 9.65e-6,
            "schedule": "cosine",
            "warmup": 0.0,
            "floor": 0.1,
            "beta1": 0.9,
            "beta2": 0.95,
            "weight_decay": 0.0,
            "residual_dropout": 0.2,
            "choose": "score",
        },
        says="about 13,000 demonstrations, full fine-tuning, far beyond the lowest loss",
        source="arXiv 2203.02155 appendix C",
    ),
    "tulu3": Preset(
        {
            "epochs": 2,
            "batch": 128,
            "lr": 5e-6,
            "schedule": "linear",
            "warmup": 0.03,
            "floor": 0.0,
            "beta1": 0.9,
            "beta2": 0.999,
            "weight_decay": 0.0,
        },
        says="hundreds of thousands of mixed rows, full fine-tuning",
        source="allenai/open-instruct docs/tulu3.md",
    ),
    "lora": Preset(
        # Rank, alpha and the range of epochs are PEFT-Arena's, the rate is TRL's advice of ten
        # times full fine-tuning. Neither states a schedule; the batch is LIMA's, because 256
        # would leave a thousand rows with four steps an epoch.
        {
            "method": "lora",
            "epochs": 4,
            "batch": 32,
            "lr": 1e-4,
            "schedule": "cosine",
            "warmup": 0.03,
            "floor": 0.0,
            "weight_decay": 0.0,
            "lora_rank": 8,
            "lora_alpha": 16.0,
        },
        says="any size, low-rank adapters, a tenth of the memory",
        source="TRL docs/source/sft_trainer.md; arXiv 2605.28819",
    ),
    "reward": Preset(
        {
            "objective": "reward",
            "epochs": 1,
            "batch": 64,
            "lr": 9e-6,
            "schedule": "cosine",
            "warmup": 0.0,
            "floor": 0.1,
            "beta1": 0.9,
            "beta2": 0.95,
            "weight_decay": 0.0,
        },
        says="a reward model from tens of thousands of pairs, full fine-tuning",
        source="arXiv 2203.02155 appendix C",
    ),
}

# What a run takes when nobody named a preset; the trainer says so in its first line.
PRESET_OF_METHOD = {"full": "lima"}
OTHER_PRESET = "lora"


def presets() -> list[tuple[str, str]]:
    """Name and one line of every preset, in the order of the table.

    >>> presets()[0][0]
    'lima'
    """
    return [(name, f"{preset.says} ({preset.source})") for name, preset in PRESETS.items()]
