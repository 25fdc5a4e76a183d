"""A compact trainer for small, masked-token data: check, train, choose, save."""

from __future__ import annotations

import os
from collections.abc import Callable

from curate.base.extras import require
from curate.base.terminal import show
from trainer.config.config import TrainConfig
from trainer.config.groups import settings
from trainer.config.presets import PRESETS, presets
from trainer.result import Answer, Epoch, Evaluation, Sample, TrainResult

__all__ = [
    "PRESETS",
    "Answer",
    "Epoch",
    "Evaluation",
    "Sample",
    "TrainConfig",
    "TrainResult",
    "dry_run",
    "presets",
    "settings",
    "train",
]

_NEEDED = ("torch", "transformers", "datasets", "peft")


def train(config: TrainConfig, log: Callable[[str], None] = show) -> TrainResult:
    """Fine-tune a causal language model on token rows and save the chosen epoch in `config.out`.

    `log` gets plain lines. Raises `CurateError` for rows, models and folders that cannot be
    used, and for a loss or gradient that is not finite. Whatever else stops it (Ctrl-C) leaves a
    folder that `resume` goes on with. On a CPU the same config gives the same bits with the same
    versions and number of threads.

    >>> train(TrainConfig(tokens="tokens", model="base", out="tuned"))  # doctest: +SKIP
    """
    require("training", "train", *_NEEDED)
    _announce(config, log)
    from trainer.loop import run

    return run(config, log)


def dry_run(config: TrainConfig, log: Callable[[str], None] = show) -> float:
    """All that `train` checks before its first step, and an estimate of its seconds.

    Nothing is written. Raises `CurateError` as `train` does.
    """
    require("training", "train", *_NEEDED)
    _announce(config, log)
    from trainer.checks import dry_run

    return dry_run.rehearse(config, log)


def _announce(config: TrainConfig, log: Callable[[str], None]) -> None:
    """The first line comes at once: the libraries alone may take many seconds to load."""
    if os.environ.get("RANK", "0") == "0":  # of the processes that torchrun starts, the first
        log(f"loading the libraries, the rows of {config.tokens} and the model {config.model}")
