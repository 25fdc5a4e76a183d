"""The verb that measures models: eval."""

from __future__ import annotations

import argparse
import json

from curate import api
from curate.base.errors import CurateError
from curate.verbs.common import speaker, warn


def eval(arguments: argparse.Namespace) -> None:
    """`curate eval`: see its help."""
    if arguments.labels is None:
        raise CurateError("eval needs --labels: a file with a class a line, or a field of the rows")
    _labels(arguments)


def _labels(arguments: argparse.Namespace) -> None:
    from curate.evals.label_text import lines

    if len(arguments.data) != 1:
        raise CurateError("--labels needs one TOKENS folder or file: curate eval CKPT FILE")
    say = speaker(arguments.quiet or arguments.json)
    found = api.evaluate_labels(
        arguments.source,
        arguments.data[0],
        labels=arguments.labels,
        against=arguments.against,
        model=arguments.model,
        scoring=arguments.scoring,
        prior=arguments.prior,
        seed=arguments.seed,
        device=arguments.device,
        log=say,
    )
    for line in found.notices:
        warn(line)
    if arguments.json:
        print(json.dumps(found.as_dict(), indent=2, ensure_ascii=False))
        return
    for line in lines(found):
        print(line)
