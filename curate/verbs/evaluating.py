"""The verb that measures models: eval."""

from __future__ import annotations

import argparse
import json

from curate import api
from curate.base.errors import CurateError
from curate.verbs.common import mapped, speaker, warn


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
        field=arguments.field,
        against=arguments.against,
        model=arguments.model,
        template=arguments.template,
        scoring=arguments.scoring,
        prior=arguments.prior,
        seed=arguments.seed,
        device=arguments.device,
        format=arguments.format,
        columns=mapped(arguments.map),
        out=arguments.out,
        force=arguments.force,
        log=say,
    )
    for line in found.notices:
        warn(line)
    if arguments.json:
        print(json.dumps(found.as_dict(), indent=2, ensure_ascii=False))
        return
    for line in lines(found):
        print(line)
    if arguments.out is not None:
        say(f"written to {arguments.out}")
