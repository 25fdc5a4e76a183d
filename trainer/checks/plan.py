"""What is known before any weight is loaded: rows, sides, steps, and that all of it fits."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from curate.base.errors import CurateError
from trainer import reward
from trainer.checks import gate
from trainer.models import model, vocabulary
from trainer.rows import data, mixing, packing
from trainer.rows.leaks import leaks
from trainer.rows.split import split
from trainer.saving import checkpoint, resume
from trainer.settings.config import TrainConfig
from trainer.settings.presets import PRESETS
from trainer.watch.lengths import Wanted, wanted
from trainer.watch.metrics import check_board

Log = Callable[[str], None]


@dataclasses.dataclass(frozen=True)
class Plan:
    """The rows of each side, as row numbers, and what the model can take."""

    config: TrainConfig
    tokens: data.Tokens
    train: data.Ints
    held_out: data.Ints
    limits: gate.Limits
    tokenizer: Any
    decode: gate.Decode | None
    words: vocabulary.Vocabulary
    mixture: mixing.Mixture
    rejected: data.Rows | None  # of a reward model: the other side of the rows

    @property
    def steps_per_epoch(self) -> int:
        return math.ceil(self.mixture.per_epoch / self.config.batch)

    @property
    def steps(self) -> int:
        return self.config.epochs * self.steps_per_epoch

    @cached_property
    def length(self) -> Wanted:
        """What the length of greedy answers is compared with."""
        return wanted(self.config, self.tokens, self.train)


def make_plan(config: TrainConfig, log: Log) -> Plan:
    """Read the rows and the model's configuration, and refuse what cannot be trained."""
    read = [config.tokens, config.model, config.replay, config.retention]
    named = [source for source in read if source is not None]
    checkpoint.check_place(config.out, config.force, named, config.resume)
    model.check_source(config.model)
    check_board(config.tensorboard)
    if config.retention is not None and not Path(config.retention).exists():
        raise CurateError(f"retention: {config.retention}: no such file or folder")
    tokens = data.load_tokens(config.tokens)
    limits = model.read_limits(config.model)
    words = vocabulary.needed(tokens.manifest, limits.vocabulary, tokens.folder)
    limits = limits.with_room(words.size, config.virtual_tokens if config.learns == "prompt" else 0)
    tokenizer = model.read_tokenizer(config.model)
    if tokenizer is not None and words.added:
        vocabulary.extend(tokenizer, words, config.model)
    decode = model.decoder(tokenizer)
    known = None if tokenizer is None else len(tokenizer)
    rejected = reward.rejected_rows(tokens, config)
    about = (limits, config.allow, decode, model.token_ids(tokenizer), known)
    passed = gate.check(tokens, *about)
    if rejected is not None:
        passed = passed.both(gate.check(dataclasses.replace(tokens, rows=rejected), *about))
    train, held_out = split(tokens.rows, passed.usable, config.held_out, config.seed)
    mixture = mixing.mix(config, tokens, train, tokenizer, limits)
    plan = Plan(
        config, tokens, train, held_out, limits, tokenizer, decode, words, mixture, rejected
    )
    if config.resume:
        resume.check(Path(config.out), resume.settings(plan))
    long = packing.about_long_rows(tokens.rows, train, config)
    for line in [
        *_announcement(plan, passed),
        *_about_pairs(plan),
        *_leaks(plan),
        *mixture.lines(config.epochs),
        *long,
    ]:
        log(line)
    return plan


def _about_pairs(plan: Plan) -> list[str]:
    """What becomes of rows with two sides, as a line."""
    rows = plan.tokens.rows
    if plan.rejected is not None:
        share = reward.longer_wins(rows, plan.rejected, np.union1d(plan.train, plan.held_out))
        return [f"pairs: the longer answer is the better one in {100 * share:.1f} %"]
    if plan.tokens.rejected is not None:
        return ["rows are pairs: the chosen answers are trained, the rejected ones not read"]
    return []


def _leaks(plan: Plan) -> list[str]:
    """A warning if trained rows give held-out ones away; the split is made so that none does."""
    leaking = leaks(plan.tokens.rows, plan.train, plan.held_out).tolist()
    if not leaking:
        return []
    shown = ", ".join(plan.tokens.rows.ids[row] for row in leaking[:3])
    return [
        f"held out: {len(leaking):,} of {len(plan.held_out):,} rows are near-copies of trained "
        f"ones, so their loss measures memory: {shown}{', ...' if len(leaking) > 3 else ''}"
    ]


def _announcement(plan: Plan, passed: gate.Passed) -> list[str]:
    config, rows = plan.config, plan.tokens.rows
    preset = PRESETS[str(config.preset)]
    lines = [f"preset {config.preset}: {preset.says} ({preset.source})"]
    changed = [
        f"{name} {getattr(config, name)} (not {value})"
        for name, value in preset.values.items()
        if getattr(config, name) != value
    ]
    if changed:
        lines.append(f"other than the preset: {', '.join(changed)}")
    lines += gate.rendered(plan.tokens.manifest)
    for reason, count in passed.allowed.items():
        effect = "left out" if reason in gate.LEFT_OUT else "trained all the same"
        lines.append(f"gate: {reason}: {count} rows {effect}, as allowed")
    lines.append(
        f"{len(plan.train):,} rows to train ({int(rows.lengths[plan.train].sum()):,} tokens, "
        f"{int(rows.target_counts[plan.train].sum()):,} of them trained), "
        f"{len(plan.held_out):,} held out"
    )
    lines.append(
        f"{plan.steps:,} steps: {config.epochs} epochs of {plan.steps_per_epoch}, "
        f"{config.batch} examples a step, {config.schedule} rate from {config.lr:g} "
        f"after {warmup_steps(config, plan.steps)} warm-up steps"
    )
    if config.prompts:
        lines.append(str(plan.length))
    return lines


def warmup_steps(config: TrainConfig, steps: int) -> int:
    """Any warm-up at all is at least one step."""
    return math.ceil(config.warmup * steps)


def learning_rate(config: TrainConfig, step: int, steps: int) -> float:
    """The rate of step `step`, counted from 0.

    It rises in equal parts over the warm-up, and no step has rate 0: the first one takes
    1/(n+1) of the peak, and the decay would reach the floor one step after the last.
    """
    rising = warmup_steps(config, steps)
    if step < rising:
        return config.lr * (step + 1) / (rising + 1)
    done = (step - rising) / (steps - rising)
    if config.schedule == "constant":
        return config.lr
    left = 1 - done if config.schedule == "linear" else (1 + math.cos(math.pi * done)) / 2
    return config.lr * (config.floor + (1 - config.floor) * left)
