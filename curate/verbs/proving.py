"""The verb that proves: does the selected set beat others of the same size?"""

from __future__ import annotations

import argparse
from typing import Any

from curate import api
from curate.base.terminal import show
from curate.verbs.common import assignments, speaker

_SETTINGS = {"epochs": "num_train_epochs", "lr": "learning_rate"}
_TRAINING = ("method", "preset", "batch_tokens", *_SETTINGS)
_OPTIONS = (
    *("model", "template", "targets", "tokens", "seeds", "margin", "max_rows", "answers"),
    *("instructions", "max_tokens"),
)


def prove(arguments: argparse.Namespace) -> None:
    """`curate prove`: see its help."""
    say = speaker(arguments.quiet)
    given = {_SETTINGS.get(name, name): getattr(arguments, name) for name in _TRAINING}
    training = {name: value for name, value in given.items() if value is not None}
    training |= assignments(arguments.set)
    options: dict[str, Any] = {name: getattr(arguments, name) for name in _OPTIONS}
    options["baselines"] = tuple(each.strip() for each in arguments.baselines.split(","))
    if arguments.dry_run:
        api.forecast_proof(
            arguments.run, **options, jobs=arguments.jobs, log=show, training=training
        )
        return
    proof = api.prove(
        arguments.run,
        **options,
        out=arguments.out,
        jobs=arguments.jobs,
        keep_models=arguments.keep_models,
        force=arguments.force,
        log=say,
        training=training,
    )
    for line in proof.lines():
        show(line)
    say(f"written to {arguments.out}")
