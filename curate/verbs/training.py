"""The verb around CKPT: train."""

from __future__ import annotations

import argparse
import os
from typing import Any

from curate import api
from curate.base.packages import check_ours
from curate.base.terminal import printable
from curate.verbs.common import assignments, speaker

# The short options, and the settings that they give.
_SHORT = {
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
    settings: dict[str, Any] = {
        setting: getattr(arguments, option)
        for option, setting in _SHORT.items()
        if getattr(arguments, option) is not None
    }
    settings |= {"allow": tuple(arguments.allow), "force": arguments.force}
    settings |= {"resume": arguments.resume}
    if arguments.no_proof:
        settings["proof"] = False
    settings |= assignments(arguments.set)
    given = {"model": arguments.model, "out": str(arguments.out), **settings}
    if arguments.dry_run:
        check_ours()
        import trainer

        config = trainer.TrainConfig.from_mapping({"tokens": arguments.tokens, **given})
        trainer.dry_run(config, print)
        return
    # Under torchrun the first process speaks for all.
    say = speaker(arguments.quiet or os.environ.get("RANK", "0") != "0")
    result = api.train(arguments.tokens, log=say, **given)
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
        texts = {
            "prompt": sample.prompt,
            "expected": sample.expected,
            "before": sample.before.text,
            "after": sample.after.text,
        }
        if any(text is not None for text in texts.values()):
            lines.append("")
            lines += [f"  {name:9} {printable(text or '', 300)}" for name, text in texts.items()]
    return lines
