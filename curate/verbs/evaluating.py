"""The verb that measures models: eval."""

from __future__ import annotations

import argparse
import json

from curate import api
from curate.base.errors import CurateError
from curate.verbs.common import speaker, warn


def eval(arguments: argparse.Namespace) -> None:
    """`curate eval`: see its help."""
    if arguments.suite and arguments.labels is not None:
        raise CurateError("--suite and --labels are two evaluations; run them one after the other")
    if arguments.suite:
        _suite(arguments)
        return
    if arguments.labels is None:
        raise CurateError(
            "eval needs --suite, or --labels: a file with a class a line, or a field of the rows"
        )
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


def _suite(arguments: argparse.Namespace) -> None:
    from curate.evals.suite_text import lines

    found = api.evaluate_suite(
        arguments.source,
        arguments.data,
        against=arguments.against,
        model=arguments.model,
        reference=arguments.reference,
        template=arguments.template,
        only=None if arguments.only is None else arguments.only.split(","),
        max_rows=None if arguments.all_rows else arguments.max_rows,
        prompts=arguments.prompts,
        max_tokens=arguments.max_tokens,
        temperature=arguments.temperature,
        seed=arguments.seed,
        device=arguments.device,
        out=arguments.out,
        force=arguments.force,
        log=speaker(arguments.quiet or arguments.json),
    )
    for line in found.notices:
        warn(line)
    if arguments.json:
        print(json.dumps(found.as_dict(), indent=2, ensure_ascii=False))
        return
    for line in lines(found):
        print(line)
    if arguments.out is not None:
        speaker(arguments.quiet)(f"written to {arguments.out}")
