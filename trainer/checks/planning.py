"""Rows, tokenizer and model checked against each other, and the plan made; no weight is loaded."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curate.base.errors import CurateError, some_of
from curate.base.plain_stops import about_plain_stops
from trainer import packing
from trainer.checkpoints import place, resume
from trainer.checks import gate, going_on
from trainer.config.config import TrainConfig
from trainer.config.objectives import PREFERENCES
from trainer.config.presets import PRESETS
from trainer.config.reasons import LEFT_OUT
from trainer.data import mixing
from trainer.data.judged import read_judged, with_partners
from trainer.data.leaks import leaks
from trainer.data.pairs import Pairs, judged_both_ways, longer_wins
from trainer.data.rows import Rows, join
from trainer.data.split import split
from trainer.data.tokens import Tokens, load_tokens
from trainer.evaluation.boards import check_board
from trainer.evaluation.table import FEW
from trainer.models import matching, model, teachers, vocabulary
from trainer.objectives import preferences, reward
from trainer.plan import Log, Plan, warmup_steps


def make_plan(config: TrainConfig, log: Log) -> Plan:
    """Read the rows and the model's configuration, and refuse what cannot be trained."""
    place.check(config)
    model.check_source(config.model)
    check_board(config.report_to)
    if config.retention is not None and not Path(config.retention).exists():
        raise CurateError(f"retention: {config.retention}: no such file or folder")
    tokens = load_tokens(config.tokens)
    judged = read_judged(tokens, config.undesirable) if config.objective == "kto" else None
    tokens = tokens if judged is None else judged.tokens
    limits = model.read_limits(config.model, config.objective)
    words = vocabulary.needed(tokens.manifest, limits.vocabulary, tokens.folder)
    tokenizer = model.read_tokenizer(config.model)
    rejected = reward.rejected_rows(tokens, config)
    pairs = preferences.pairs_for(tokens, config)
    if config.objective in PREFERENCES:
        gate.check_whole(tokens)
    if rejected is not None:
        words = _with_padding(words, tokens.rows, rejected, tokenizer, config.model)
    adapter = going_on.adapter_of(config)
    if adapter is not None:
        words = going_on.with_rows(words, adapter, tokenizer, config.model)
    limits = limits.with_room(
        words.size, config.num_virtual_tokens if config.learns == "prompt" else 0
    )
    if tokenizer is not None and words.added:
        vocabulary.extend(tokenizer, words, config.model)
    words = vocabulary.with_named(words, config.train_tokens, tokenizer, config.model)
    config, matched = matching.settled(config, words)
    decode = model.decoder(tokenizer)
    known = None if tokenizer is None else len(tokenizer)
    about = (limits, config.allow, decode, model.token_ids(tokenizer), known)
    passed = gate.check(
        tokens,
        *about,
        rejected=None if pairs is None else pairs.rejected,
        desirable=None if judged is None else judged.desirable,
    )
    other = rejected if pairs is None else pairs.rejected
    if other is not None:
        passed = passed.both(gate.check(dataclasses.replace(tokens, rows=other), *about))
    train, held_out = split(tokens.rows, passed.usable, config.held_out, config.seed)
    if judged is not None:
        pairs = with_partners(judged, (train, held_out), config.seed, limits.positions)
    mixture = mixing.mix(config, tokens, train, tokenizer, limits)
    if config.max_steps:
        epochs = math.ceil(config.max_steps / mixture.steps_per_epoch)
        config = dataclasses.replace(config, num_train_epochs=epochs)
    teacher = _teacher(config, tokens, tokenizer, words.size)
    plan = Plan(
        config,
        tokens,
        train,
        held_out,
        limits,
        tokenizer,
        decode,
        words,
        mixture,
        rejected,
        teacher,
        pairs,
    )
    if config.resume:
        resume.check(Path(config.out), resume.settings(plan))
    long = packing.about_long_rows(tokens.rows, train, config)
    if pairs is not None and judged is None:
        long = packing.about_long_pairs(pairs, train, config)
    for line in [
        *_announcement(plan, passed),
        *matched,
        *(() if adapter is None else going_on.lines(adapter, config.model)),
        *_about_pairs(plan),
        *_about_teacher(plan),
        *_few_held_out(plan),
        *_watched(plan),
        *_measured(plan),
        *_classified(plan),
        *_leaks(plan),
        *mixture.lines(config.num_train_epochs),
        *long,
    ]:
        log(line)
    return plan


def _teacher(
    config: TrainConfig, tokens: Tokens, tokenizer: Any, size: int
) -> teachers.TeacherSource | None:
    """Who teaches, checked against the rows and the model that learns; None if nobody does."""
    if config.teacher is None:
        return None
    found = teachers.find(config.teacher, tokens, teachers.token_texts(tokenizer), size)
    teachers.check_temperature(found, config.distil_temperature)
    return found


def _with_padding(
    words: vocabulary.Vocabulary, rows: Rows, rejected: Rows, tokenizer: Any, name: str
) -> vocabulary.Vocabulary:
    """With the id that a reward model pads with; `AutoModelForSequenceClassification` needs one."""
    known = model.read_padding(name)
    if tokenizer is None:
        number = reward.padding_id(rows, rejected, [known], words.size)
        return dataclasses.replace(words, padding=number)
    own = [getattr(tokenizer, f"{kind}_token_id", None) for kind in ("pad", "unk", "bos")]
    ends = reward.last_tokens(rows, rejected)
    return vocabulary.with_padding(words, tokenizer, [known, *own], ends)


def _about_pairs(plan: Plan) -> list[str]:
    """What becomes of rows with two sides, as a line."""
    rows = plan.tokens.rows
    if plan.pairs is not None:
        return _about_preferences(plan, plan.pairs)
    if plan.rejected is not None:
        share = reward.longer_wins(rows, plan.rejected, np.union1d(plan.train, plan.held_out))
        return [f"pairs: the longer answer is the better one in {100 * share:.1f} %"]
    if plan.tokens.rejected is not None:
        return ["rows are pairs: the chosen answers are trained, the rejected ones not read"]
    return []


def _about_preferences(plan: Plan, pairs: Pairs) -> list[str]:
    """Lengths of both sides, what the longer answer tells, and what was left out."""
    read = np.union1d(plan.train, plan.held_out).astype(np.int64)
    if pairs.desirable is not None:
        return _about_judged(plan, pairs, pairs.desirable)
    ours, theirs = (side.target_counts[read].mean() for side in (pairs.chosen, pairs.rejected))
    lines = [
        f"pairs: chosen answers of {ours:,.1f} trained tokens, rejected ones of {theirs:,.1f} on "
        f"average; always taking the longer is right in "
        f"{longer_wins(pairs.chosen, pairs.rejected, read):.1%}",
    ]
    if out := len(pairs) - len(read):
        lines.append(f"pairs: {out:,} of {len(pairs):,} left out, both sides of each")
    return lines


def _about_judged(plan: Plan, pairs: Pairs, desirable: NDArray[np.bool_]) -> list[str]:
    """How many answers of each kind are trained, how long they are, and whether they balance."""
    config, lines = plan.config, []
    counted = []
    for name, weight, kind in (
        ("desirable", config.desirable_weight, desirable),
        ("undesirable", config.undesirable_weight, ~desirable),
    ):
        rows = plan.train[kind[plan.train]]
        if not len(rows):
            raise CurateError(
                f"{plan.tokens.folder}: no {name} answer is left to train on, and kto learns from "
                "answers of both kinds"
            )
        lengths = pairs.chosen.target_counts[rows]
        lines.append(f"{len(rows):,} {name} answers of {lengths.mean():,.1f} trained tokens")
        counted.append(weight * len(rows))
    share = counted[0] / counted[1] if counted[1] else float("inf")
    advice = ""
    if not 1 <= share <= 4 / 3:
        advice = (
            "; 1 to 4/3 is advised (arXiv 2402.01306): set undesirable_weight or desirable_weight"
        )
    both = int(judged_both_ways(plan.tokens.rows, desirable).sum())
    told = [f"{both:,} answers are judged both ways, and pull nowhere"] if both else []
    return [
        f"judged answers to train: {' and '.join(lines)}; all desirable ones count {share:.2f} "
        f"times all undesirable ones{advice}",
        *told,
    ]


def _about_teacher(plan: Plan) -> list[str]:
    """Who teaches and what of the loss is its part, as lines."""
    config = plan.config
    if plan.teacher is None:
        return []
    both = "teacher || student" if config.distil_divergence == "forward" else "student || teacher"
    return [
        *plan.teacher.lines,
        f"distillation: {config.distil_weight:g} x KL({both}) at temperature "
        f"{config.distil_temperature:g}, times its square, and {1 - config.distil_weight:g} x the "
        "loss of the labels; held-out losses are those of the labels",
    ]


def _watched(plan: Plan) -> list[str]:
    """What general text is watched; it is read here, so that one that cannot be is refused soon."""
    if plan.general is None:
        return []
    rows, chosen = plan.general
    tokens = int(rows.lengths[chosen].sum())
    return [f"retention: the loss of {tokens:,} tokens of general text is watched"]


def _measured(plan: Plan) -> list[str]:
    """Warnings of a text for ewc that is no other text than what is trained or watched."""
    if plan.measured is None:
        return []
    (rows, chosen), config = plan.measured, plan.config
    source, lines = config.fisher_text or config.replay, []
    if len(chosen) < config.fisher_sequences:
        lines.append(
            f"fisher_sequences: {source} has {len(chosen):,} of {config.fisher_sequences:,}"
        )
    texts = [("rows to train", plan.tokens.rows, plan.train, "they are kept from being learnt")]
    if plan.general is not None:
        texts.append(("what retention watches", *plan.general, "that loss says less of other text"))
    for name, others, numbers, effect in texts:
        both = join(others, rows)
        if copies := len(leaks(both, numbers, chosen + len(others))):
            lines.append(
                f"fisher_text: {copies:,} of {len(chosen):,} sequences are near-copies of {name}, "
                f"so {effect}"
            )
    return lines


def _classified(plan: Plan) -> list[str]:
    """What held-out rows are classified; refused here, if their answers are no labels."""
    rows = plan.labelled
    if rows is None:
        return []
    counts = np.bincount(rows.truth, minlength=len(rows.classes))
    share, most = counts.max() / len(rows), rows.classes[int(counts.argmax())]
    lines = [
        f"labels: {len(rows):,} held-out rows of {len(rows.classes)} classes are classified after "
        f"each epoch; always {most!r} is right in {share:.1%}"
    ]
    if absent := [name for name, count in zip(rows.classes, counts, strict=True) if not count]:
        lines.append(f"labels: no held-out row has {some_of([*map(repr, absent)])}, in no macro-F1")
    if rows.left_out:
        lines.append(f"labels: {rows.why_left_out()}")
    return lines


def _few_held_out(plan: Plan) -> list[str]:
    """A warning before the work, if what is held out tells little."""
    rows = len(plan.held_out)
    if not 0 < rows < FEW:
        return []
    return [
        f"held out: {rows} of at least {FEW} rows that tell epochs apart, so their order in the "
        "table may be chance; more rows, or a larger held_out, make it mean more"
    ]


def _leaks(plan: Plan) -> list[str]:
    """A warning if trained rows give held-out ones away; the split is made so that none does."""
    leaking = leaks(plan.tokens.rows, plan.train, plan.held_out).tolist()
    if not leaking:
        return []
    shown = some_of([plan.tokens.rows.ids[row] for row in leaking])
    return [
        f"held out: {len(leaking):,} of {len(plan.held_out):,} rows are near-copies of trained "
        f"ones, so their loss measures memory: {shown}"
    ]


def preset_line(config: TrainConfig) -> str:
    """What preset a run takes, and which of its settings are unusual, if they were left as it has
    them."""
    preset = PRESETS[config.preset]
    unusual = [
        f"; {name} {value}: {effect} ({name}=0 turns it off)"
        for name, effect in preset.unusual.items()
        if (value := getattr(config, name)) and value == preset.values[name]
    ]
    return f"preset {config.preset}: {preset.about} ({preset.source}){''.join(unusual)}"


def _batch(plan: Plan) -> str:
    """How much a step holds."""
    config = plan.config
    if config.batch_tokens is None:
        is_paired = plan.pairs is not None and plan.pairs.desirable is None
        return f"{config.batch_size} {'pairs' if is_paired else 'examples'}"
    rows = plan.mixture.per_epoch / plan.steps_per_epoch
    return f"about {config.batch_tokens:,.0f} trained tokens ({rows:,.1f} examples)"


def _announcement(plan: Plan, passed: gate.Passed) -> list[str]:
    config, rows = plan.config, plan.tokens.rows
    preset = PRESETS[config.preset]
    lines = [preset_line(config)]
    changed = [
        f"{name} {getattr(config, name)} (not {value})"
        for name, value in preset.values.items()
        if getattr(config, name) != value
    ]
    if config.batch_tokens is not None and "batch_size" in preset.values:
        changed.append(f"batch_tokens {config.batch_tokens:,.0f} (not batch_size)")
    if changed:
        lines.append(f"other than the preset: {', '.join(changed)}")
    lines += gate.rendered(plan.tokens.manifest)
    if plain := plan.tokens.text_endings:
        lines.append(about_plain_stops(plain))
    for reason, count in passed.allowed.items():
        effect = "left out" if reason in LEFT_OUT else "trained all the same"
        lines.append(f"allowed: {reason}: {count} rows {effect}")
    lines.append(
        f"{len(plan.train):,} rows to train ({int(rows.lengths[plan.train].sum()):,} tokens, "
        f"{int(rows.target_counts[plan.train].sum()):,} of them trained), "
        f"{len(plan.held_out):,} held out"
    )
    last = plan.steps - (config.num_train_epochs - 1) * plan.steps_per_epoch
    cut = f", the last of {last}" if last != plan.steps_per_epoch else ""
    ends = " (max_steps)" if config.max_steps else ""
    lines.append(
        f"{plan.steps:,} steps{ends}: {config.num_train_epochs} epochs of {plan.steps_per_epoch}"
        f"{cut}, {_batch(plan)} a step, {config.lr_scheduler_type} rate from "
        f"{config.learning_rate:g} after {warmup_steps(config, plan.steps)} warm-up steps"
    )
    if config.prompts:
        lines.append(str(plan.length))
    return lines
