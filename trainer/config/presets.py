"""Training recipes that somebody published, with their source: no single silent default."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Literal

from trainer.config.objectives import PREFERENCES

_Answers = Literal["lima", "s1", "alpaca", "instructgpt", "tulu3", "lora", "reward"]
PresetName = Literal[_Answers, "zephyr", "zephyr-lora", "tulu3-dpo", "simpo", "orpo", "kto"]


@dataclasses.dataclass(frozen=True)
class Preset:
    """`values` fill the fields of `TrainConfig` that the user left unset."""

    values: Mapping[str, str | int | float]
    about: str  # one line: when to take it
    source: str
    unusual: Mapping[str, str] = dataclasses.field(default_factory=dict)  # what surprises: effects


# Both presets that have it are of models of billions of parameters.
_DROPOUT = {
    "residual_dropout": "dropout of residuals, unusual for small models: the losses of training "
    "begin far above the model's own, those of held-out rows do not"
}


def _rate(peak: float, shape: str, warmup: float, least: float) -> dict[str, str | float]:
    """The learning rate; `warmup` is a share of all steps, `least` one of the peak."""
    return {
        "learning_rate": peak,
        "lr_scheduler_type": shape,
        "warmup_ratio": warmup,
        "min_lr_ratio": least,
    }


def _adamw(beta2: float, decay: float) -> dict[str, float]:
    return {"adam_beta1": 0.9, "adam_beta2": beta2, "weight_decay": decay}


PRESETS: Mapping[PresetName, Preset] = {
    "lima": Preset(
        {
            "num_train_epochs": 15,
            "batch_size": 32,
            **_rate(1e-5, "linear", warmup=0.0, least=0.1),
            **_adamw(beta2=0.95, decay=0.1),
            "residual_dropout": 0.3,
            "choose": "lima",
            "prompts": 50,
        },
        about="about 1,000 chosen rows, full fine-tuning, many epochs",
        source="arXiv 2305.11206 section 3 and appendix B",
        unusual=_DROPOUT,
    ),
    "s1": Preset(
        {
            "num_train_epochs": 5,
            "batch_size": 16,
            **_rate(1e-5, "cosine", warmup=0.05, least=0.0),
            **_adamw(beta2=0.95, decay=1e-4),
            "choose": "last",
        },
        about="about 1,000 long reasoning rows, full fine-tuning, last weights",
        source="simplescaling/s1 train/sft.sh",
    ),
    "alpaca": Preset(
        {
            "num_train_epochs": 3,
            "batch_size": 128,
            **_rate(2e-5, "cosine", warmup=0.03, least=0.0),
            **_adamw(beta2=0.999, decay=0.0),
        },
        about="tens of thousands of short rows, full fine-tuning",
        source="tatsu-lab/stanford_alpaca README.md",
    ),
    "instructgpt": Preset(
        # Rate and batch are those for 1.3B and 6B; the paper's dropout is the same in all layers,
        # and its epoch is picked by a reward model, for which the score of answers stands here.
        {
            "num_train_epochs": 16,
            "batch_size": 32,
            **_rate(9.65e-6, "cosine", warmup=0.0, least=0.1),
            **_adamw(beta2=0.95, decay=0.0),
            "residual_dropout": 0.2,
            "choose": "score",
        },
        about="about 13,000 demonstrations, full fine-tuning, far beyond the lowest loss",
        source="arXiv 2203.02155 appendix C",
        unusual=_DROPOUT,
    ),
    "tulu3": Preset(
        {
            "num_train_epochs": 2,
            "batch_size": 128,
            **_rate(5e-6, "linear", warmup=0.03, least=0.0),
            **_adamw(beta2=0.999, decay=0.0),
        },
        about="hundreds of thousands of mixed rows, full fine-tuning",
        source="allenai/open-instruct docs/tulu3.md",
    ),
    "lora": Preset(
        # Rank, alpha and the range of epochs are PEFT-Arena's, the rate is TRL's advice of ten
        # times full fine-tuning. Neither states a schedule; the batch is LIMA's, because 256
        # would leave a thousand rows with four steps an epoch.
        {
            "method": "lora",
            "num_train_epochs": 4,
            "batch_size": 32,
            **_rate(1e-4, "cosine", warmup=0.03, least=0.0),
            "weight_decay": 0.0,
            "lora_r": 8,
            "lora_alpha": 16.0,
        },
        about="any size, low-rank adapters, a tenth of the memory",
        source="TRL docs/source/sft_trainer.md; arXiv 2605.28819",
    ),
    "reward": Preset(
        {
            "objective": "reward",
            "num_train_epochs": 1,
            "batch_size": 64,
            **_rate(9e-6, "cosine", warmup=0.0, least=0.1),
            **_adamw(beta2=0.95, decay=0.0),
        },
        about="a reward model from tens of thousands of pairs, full fine-tuning",
        source="arXiv 2203.02155 appendix C",
    ),
    "zephyr": Preset(
        {
            "objective": "dpo",
            "beta": 0.01,
            "num_train_epochs": 1,
            "batch_size": 128,
            **_rate(5e-7, "cosine", warmup=0.1, least=0.0),
            **_adamw(beta2=0.999, decay=0.0),
        },
        about="DPO on tens of thousands of pairs after SFT, full fine-tuning",
        source="alignment-handbook recipes/zephyr-7b-beta/dpo/config_full.yaml",
    ),
    "zephyr-lora": Preset(
        # The recipe has 4 pairs a device and does not say how many devices: 32 are of eight.
        {
            "objective": "dpo",
            "beta": 0.01,
            "method": "lora",
            "num_train_epochs": 1,
            "batch_size": 32,
            **_rate(5e-6, "cosine", warmup=0.1, least=0.0),
            **_adamw(beta2=0.999, decay=0.0),
            "lora_r": 16,
            "lora_alpha": 16.0,
            "lora_dropout": 0.05,
        },
        about="DPO with low-rank adapters",
        source="alignment-handbook recipes/zephyr-7b-beta/dpo/config_qlora.yaml",
    ),
    "tulu3-dpo": Preset(
        {
            "objective": "dpo",
            "length_normalised": True,
            "beta": 5.0,
            "num_train_epochs": 1,
            "batch_size": 128,
            **_rate(5e-7, "linear", warmup=0.1, least=0.0),
            **_adamw(beta2=0.999, decay=0.0),
        },
        about="DPO of means over tokens, full fine-tuning of 8B (2e-7 for 70B)",
        source="allenai/open-instruct docs/tulu3.md, dpo_norm",
    ),
    "simpo": Preset(
        # The row of the table for Llama 3 8B after SFT; the others have beta 2 to 2.5, gamma / beta
        # .1 to .8 and rates from 3e-7 to 1e-6.
        {
            "objective": "simpo",
            "beta": 2.0,
            "simpo_gamma": 1.0,
            "num_train_epochs": 1,
            "batch_size": 128,
            **_rate(6e-7, "cosine", warmup=0.1, least=0.0),
            **_adamw(beta2=0.999, decay=0.0),
        },
        about="SimPO, full fine-tuning; its rate matters most, and 1e-5 ruins a model",
        source="princeton-nlp/SimPO README.md and training_configs",
    ),
    "orpo": Preset(
        # The authors' script for Mistral 7B, 8 pairs on each of four devices. Its schedule, the
        # inverse root of the step after 200 steps of warm-up, is none of ours: here is zephyr's.
        {
            "objective": "orpo",
            "beta": 0.1,
            "num_train_epochs": 5,
            "batch_size": 32,
            **_rate(5e-6, "cosine", warmup=0.1, least=0.0),
            **_adamw(beta2=0.999, decay=0.0),
        },
        about="SFT and preference in one stage from a base model, full fine-tuning",
        source="xfactlab/orpo scripts/run_mistral_orpo_beta.sh, but for its schedule",
    ),
    "kto": Preset(
        # The rate is TRL's default; the schedule is zephyr's.
        {
            "objective": "kto",
            "beta": 0.1,
            "num_train_epochs": 1,
            "batch_size": 128,
            **_rate(1e-6, "cosine", warmup=0.1, least=0.0),
            **_adamw(beta2=0.999, decay=0.0),
        },
        about="KTO on answers judged one by one, full fine-tuning",
        source="arXiv 2402.01306; TRL KTOConfig",
    ),
}

# What a run takes when nobody named a preset; the first line of the log names it.
PRESET_OF_METHOD: Mapping[str, PresetName] = {"full": "lima"}
OTHER_PRESET: PresetName = "lora"
PRESET_OF_OBJECTIVE: Mapping[str, PresetName] = {
    "reward": "reward",
    **dict.fromkeys(PREFERENCES, "zephyr"),
    "simpo": "simpo",
    "orpo": "orpo",
    "kto": "kto",
}


def preset_of(objective: str, method: str) -> PresetName:
    """The preset of a run that names none.

    >>> preset_of("sft", "full"), preset_of("ipo", "full"), preset_of("ipo", "dora")
    ('lima', 'zephyr', 'zephyr-lora')
    """
    if objective in PREFERENCES and method != "full":
        return "zephyr-lora"
    own = PRESET_OF_METHOD.get(method, OTHER_PRESET)
    return PRESET_OF_OBJECTIVE.get(objective, own)


def presets() -> list[tuple[str, str]]:
    """Name and one line of every preset, in the order of the table.

    >>> presets()[0][0]
    'lima'
    """
    return [(name, f"{preset.about} ({preset.source})") for name, preset in PRESETS.items()]
