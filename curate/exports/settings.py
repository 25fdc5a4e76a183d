"""Configurations: YAML with a comment above each setting, so that a person can go on from there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import yaml

from curate.base.version import __version__


class Setting(NamedTuple):
    """One line of a configuration, and why it is so."""

    name: str
    value: Any
    why: str = ""


def run_line(command: str, argument: str, model: str | None) -> str:
    """The command that runs a configuration; the model is an argument where none is in it.

    >>> run_line("trl sft --config sft.yaml", "--model_name_or_path MODEL", None)
    'trl sft --config sft.yaml --model_name_or_path MODEL'
    """
    return command if model else f"{command} {argument}"


def of_transformers(*own: Setting) -> list[Setting]:
    """Plain starting points for the trainer of transformers; `own` are those of one tool."""
    return [
        Setting("output_dir", "output"),
        Setting("num_train_epochs", 3.0),
        Setting("per_device_train_batch_size", 1, "Times the steps below: examples of one update."),
        Setting("gradient_accumulation_steps", 16),
        Setting("learning_rate", 1.0e-5, "For all weights; about ten times this for LoRA."),
        Setting("lr_scheduler_type", "cosine"),
        Setting("warmup_steps", 0.03, "A share of all steps."),
        *own,
        Setting("logging_steps", 10),
        Setting("save_strategy", "epoch"),
        Setting("report_to", "none"),
        Setting("seed", 0),
    ]


def config(head: str, settings: Sequence[Setting]) -> str:
    """The settings as YAML; `head` says how it is run."""
    lines = [f"# Written by curate {__version__}.", *(f"# {line}" for line in head.splitlines())]
    for setting in settings:
        lines += ["", *(f"# {line}" for line in setting.why.splitlines())] if setting.why else []
        text = yaml.safe_dump({setting.name: setting.value}, allow_unicode=True, sort_keys=False)
        lines.append(text.rstrip("\n"))
    return "\n".join(lines) + "\n"


def longest(tokens: int) -> int:
    """A limit of length that holds this many tokens: a power of two, 2048 at least.

    >>> longest(3000)
    4096
    """
    limit = 2048
    while limit < tokens:
        limit *= 2
    return limit
