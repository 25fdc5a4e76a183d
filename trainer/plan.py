"""What a run is about to do, as data: the rows of each side, the steps, and their rates."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from curate.base.errors import CurateError
from trainer.config.config import TrainConfig
from trainer.data import classes
from trainer.data.batches import epoch_order
from trainer.data.general import WATCHED_LENGTH, read_general, watched
from trainer.data.labelled import LabelledRows, from_tokens
from trainer.data.lengths import LengthTarget, length_target
from trainer.data.mixing import Mixture
from trainer.data.pairs import Pairs
from trainer.data.rows import Ints, Rows
from trainer.data.tokens import Decode, Limits, Tokens
from trainer.models.teachers import TeacherSource
from trainer.models.vocabulary import Vocabulary

Log = Callable[[str], None]


# Keeps the sequences of Fisher information from being those of anything else the seed decides.
_FISHER = 0xF15A


def no_log(line: str) -> None:
    """The log of all processes but the first."""


@dataclasses.dataclass(frozen=True)
class Plan:
    """The rows of each side, as row numbers, and what the model can take."""

    config: TrainConfig
    tokens: Tokens
    train: Ints
    held_out: Ints
    limits: Limits
    tokenizer: Any
    decode: Decode | None
    words: Vocabulary
    mixture: Mixture
    rejected: Rows | None  # of a reward model: the other side of the rows
    teacher: TeacherSource | None = None  # whose distributions are learnt
    pairs: Pairs | None = None  # of preferences: both sides of the rows

    @property
    def steps_per_epoch(self) -> int:
        """Optimizer steps of an epoch."""
        return self.mixture.steps_per_epoch

    @property
    def steps(self) -> int:
        """Optimizer steps of the whole run."""
        whole = self.config.num_train_epochs * self.steps_per_epoch
        return min(whole, self.config.max_steps or whole)

    def steps_until(self, epoch: int) -> int:
        """Optimizer steps up to the end of an epoch."""
        return min(self.steps, epoch * self.steps_per_epoch)

    def wanted(self, rows: Ints) -> Ints:
        """Of the rows those whose answers the model shall give: all but undesirable ones."""
        if self.pairs is None or self.pairs.desirable is None:
            return rows
        return rows[self.pairs.desirable[rows]]

    @cached_property
    def general(self) -> tuple[Rows, Ints] | None:
        """The general text whose loss is watched, and the rows of it that are read."""
        if self.config.retention is None:
            return None
        return watched(Path(self.config.retention), self.tokenizer, self.limits)

    @cached_property
    def measured(self) -> tuple[Rows, Ints] | None:
        """The general text that says which weights matter, and its sequences that are read.

        They are drawn by the seed, as texts of a file often lie in some order.
        """
        config = self.config
        source = config.fisher_text or config.replay
        if config.regulariser != "ewc" or source is None:
            return None
        rows = read_general(Path(source), self.tokenizer, self.limits, WATCHED_LENGTH)
        order = epoch_order(len(rows), config.seed ^ _FISHER, 0)
        chosen: Ints = np.sort(order[: config.fisher_sequences])
        return rows, chosen

    @cached_property
    def labelled(self) -> LabelledRows | None:
        """The held-out rows that are classified after each epoch.

        Raises `CurateError` where their answers are no labels, or no row can be classified.
        """
        labels = self.config.labels
        if labels is None:
            return None
        if self.decode is None:
            raise CurateError(f"labels: {self.config.model} has no tokenizer to read answers with")
        names, where = None, "labels"
        if labels != "auto":
            names, where = classes.plain_file(labels), labels
        seen = np.union1d(self.train, self.held_out)
        rows = from_tokens(
            self.tokens, self.held_out, self.decode, self.tokenizer, names, where, seen
        ).fitting(self.limits.positions)
        if not len(rows):
            raise CurateError(f"labels: no held-out row can be classified: {rows.why_left_out()}")
        return rows

    @cached_property
    def length(self) -> LengthTarget:
        """What the length of greedy answers is compared with."""
        return length_target(self.config, self.tokens, self.wanted(self.train))


def warmup_steps(config: TrainConfig, steps: int) -> int:
    """Any warm-up at all is at least one step."""
    return math.ceil(config.warmup_ratio * steps)


def learning_rate(config: TrainConfig, step: int, steps: int) -> float:
    """The rate of step `step`, counted from 0.

    It rises in equal parts over the warm-up, and no step has rate 0: the first one takes
    1/(n+1) of the peak, and the decay would reach the floor one step after the last.
    """
    rising = warmup_steps(config, steps)
    if step < rising:
        return config.learning_rate * (step + 1) / (rising + 1)
    done = (step - rising) / (steps - rising)
    if config.lr_scheduler_type == "constant":
        return config.learning_rate
    left = 1 - done if config.lr_scheduler_type == "linear" else (1 + math.cos(math.pi * done)) / 2
    return config.learning_rate * (config.min_lr_ratio + (1 - config.min_lr_ratio) * left)
