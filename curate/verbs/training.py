"""The verbs around CKPT: train, and teacher, which writes what it may learn from."""

from __future__ import annotations

import argparse
import os
from typing import Any

from curate import api
from curate.base.packages import check_ours
from curate.base.terminal import printable, show
from curate.verbs.common import assignments, speaker

# Options that give a setting of another name; the others are called alike.
_SETTINGS = {"epochs": "num_train_epochs", "lr": "learning_rate", "batch": "batch_size"}
_OPTIONS = (
    *("model", "out", "preset", "method", "objective", "seed", "allow", "force", "resume"),
    *("max_steps", "from_adapter", "teacher"),
    *_SETTINGS,
)


def train(arguments: argparse.Namespace) -> None:
    """`curate train`: see its help."""
    # Under torchrun the first process speaks for all.
    say = speaker(arguments.quiet or os.environ.get("RANK", "0") != "0")
    given = {_SETTINGS.get(name, name): getattr(arguments, name) for name in _OPTIONS}
    settings = {name: value for name, value in given.items() if value is not None}
    proof = {"proof": False} if arguments.no_proof else {}
    settings |= proof | assignments(arguments.set)
    if arguments.dry_run:
        check_ours()
        import trainer

        config = trainer.TrainConfig.from_mapping({"tokens": arguments.tokens, **settings})
        trainer.dry_run(config, show)
        return
    result = api.train(arguments.tokens, log=say, **settings)
    for line in _outcome(result):
        say(line)
    say(f"written to {result.out}")


def teacher(arguments: argparse.Namespace) -> None:
    """`curate teacher`: see its help."""
    say = speaker(arguments.quiet)
    done = api.teacher(
        arguments.tokens,
        model=arguments.model,
        out=arguments.out,
        top=arguments.top,
        temperature=arguments.temperature,
        dtype=arguments.dtype,
        device=arguments.device,
        force=arguments.force,
        log=say,
    )
    say(f"written to {done.out}")


def _outcome(result: Any) -> list[str]:
    """Loss and answers before and after training, as lines."""
    lines = []
    if result.before and result.after:
        before, after = result.before.loss, result.after.loss
        unit = "token" if result.after.margin is None else "pair"
        lines.append(f"held-out loss per {unit}: {before:.4f} before, {after:.4f} after")
    for sample in result.samples:
        texts = {
            "prompt": sample.prompt,
            "expected": sample.expected,
            "before": sample.before.text,
            "after": sample.after.text,
        }
        if any(text is not None for text in texts.values()):
            shown = [f"  {name:9} {printable(text or '', 300)}" for name, text in texts.items()]
            lines += ["", *shown]
    return lines
