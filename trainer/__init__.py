"""A compact trainer for small, masked-token data: gate, train, choose, save."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec

from curate.base.errors import CurateError
from trainer.settings.config import TrainConfig
from trainer.settings.presets import PRESETS, presets
from trainer.watch.result import Answer, Epoch, Evaluation, Sample, TrainResult

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
    "train",
]


def train(config: TrainConfig, log: Callable[[str], None] = print) -> TrainResult:
    """Fine-tune a causal language model on token rows and save the chosen epoch in `config.out`.

    `log` gets plain lines. Raises `CurateError` for rows, models and folders that cannot be
    used, and for a loss or gradient that is not finite. On a CPU the same config gives the same
    bits with the same versions and number of threads.

    >>> train(TrainConfig(tokens="tokens", model="base", out="tuned"))  # doctest: +SKIP
    """
    _check_installed()
    from trainer.loop import run

    return run(config, log)


def dry_run(config: TrainConfig, log: Callable[[str], None] = print) -> float:
    """All that `train` checks before its first step, and an estimate of its seconds.

    Nothing is written. Raises `CurateError` as `train` does.
    """
    _check_installed()
    from trainer.checks.rehearse import rehearse

    return rehearse(config, log)


def _check_installed() -> None:
    missing = [
        name for name in ("torch", "transformers", "datasets", "peft") if not find_spec(name)
    ]
    if missing:
        raise CurateError(
            f"training needs {', '.join(missing)}; "
            'install them with: pip install "curate-sft[train]"'
        )
