"""The verb around CKPT: train."""

from __future__ import annotations

import argparse
import os
from typing import Any

from curate.base.terminal import printable
from curate.verbs.common import assignments, speaker


# Short options, and the settings they stand for.
_SETTING_OF = {
    "preset": "preset",
    "method": "method",
    "objective": "objective",
    "epochs": "num_train_epochs",
    "lr": "learning_rate",
    "batch": "batch_size",
    "seed": "seed",
}


def train(arguments: argparse.Namespace) -> None:
    """`curate train`: see its help."""
    import trainer

    given = {"tokens": arguments.tokens, "model": arguments.model, "out": str(arguments.out)}
    given |= {
        name: value
        for option, name in _SETTING_OF.items()
        if (value := getattr(arguments, option)) is not None
    }
    given |= {"allow": tuple(arguments.allow), "force": arguments.force}
    given |= {"resume": arguments.resume}
    if arguments.no_proof:
        given["proof"] = False
    given |= assignments(arguments.set)
    # Under torchrun the first process speaks for all.
    say = speaker(arguments.quiet or os.environ.get("RANK", "0") != "0")
    config = trainer.TrainConfig.from_mapping(given)
    if arguments.dry_run:
        trainer.dry_run(config, print)
        return
    result = trainer.train(config, say)
    for line in _outcome(result):
        say(line)
    say(f"written to {result.out}")


def _outcome(result: Any) -> list[str]:
    """Loss and answers before and after training, as lines."""
    lines = []
    if result.before and result.after:
        before, after = result.before.loss, result.after.loss
        lines.append(f"held-out loss per token: {before:.4f} before, {after:.4f} after")
    for sample in result.samples:
        said = {
            "prompt": sample.prompt,
            "expected": sample.expected,
            "before": sample.before.text,
            "after": sample.after.text,
        }
        if any(text is not None for text in said.values()):
            lines.append("")
            lines += [f"  {name:9} {printable(text or '', 300)}" for name, text in said.items()]
    return lines
