"""The verb that measures models: eval."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from curate import api
from curate.base.errors import CurateError
from curate.base.log import Log
from curate.base.terminal import show, show_json
from curate.verbs.common import mapped, speaker, warn

# Options that one of the two evaluations alone reads, with what they are if not given.
_OF_LABELS = {"field": None, "scoring": "sum", "prior": "model"}
_OF_SUITE = {
    "only": None,
    "reference": None,
    "max_rows": 500,
    "all_rows": False,
    "prompts": 300,
    "max_tokens": 256,
    "temperature": 0.0,
}
_ASKING = frozenset({"stops", "lengths", "instructions"})  # parts for which a model writes
# Options that some parts of the suite alone read.
_OF_PARTS = {
    "reference": frozenset({"lengths"}),
    "prompts": frozenset({"instructions"}),
    "max_tokens": _ASKING,
    "temperature": _ASKING,
}


def eval(arguments: argparse.Namespace) -> None:
    """`curate eval`: see its help."""
    if arguments.suite and arguments.labels is not None:
        raise CurateError("--suite and --labels are two evaluations; run them one after the other")
    _check_read(arguments, _OF_LABELS if arguments.suite else _OF_SUITE)
    if arguments.suite:
        _suite(arguments)
        return
    if arguments.labels is None:
        raise CurateError(
            "eval needs --suite, or --labels: a file with a class a line, or a field of the rows"
        )
    _labels(arguments)


def _check_read(arguments: argparse.Namespace, unread: dict[str, Any]) -> None:
    """Raise `CurateError` for an option that the evaluation asked for would not read."""
    given = [name for name, default in unread.items() if getattr(arguments, name) != default]
    if given:
        reader = "--suite" if unread is _OF_SUITE else "--labels"
        raise CurateError(f"--{given[0].replace('_', '-')} is read by {reader} alone; leave it out")


def _check_parts(arguments: argparse.Namespace, only: Sequence[str] | None) -> None:
    """Raise `CurateError` for options of the suite of which one makes the other mean nothing."""
    if arguments.all_rows and arguments.max_rows != _OF_SUITE["max_rows"]:
        raise CurateError("--all-rows and --max-rows say two things; leave one of them out")
    for name, readers in _OF_PARTS.items():
        if only and getattr(arguments, name) != _OF_SUITE[name] and not readers & set(only):
            raise CurateError(
                f"--{name.replace('_', '-')} is read for {', '.join(sorted(readers))} alone, and "
                "--only leaves that out; leave the option out too"
            )


def _labels(arguments: argparse.Namespace) -> None:
    from curate.evals.label_text import lines

    if len(arguments.data) != 1:
        raise CurateError("--labels needs one TOKENS folder or file: curate eval CKPT FILE")
    found = api.evaluate_labels(
        arguments.source,
        arguments.data[0],
        labels=arguments.labels,
        field=arguments.field,
        scoring=arguments.scoring,
        prior=arguments.prior,
        **_shared(arguments),
    )
    _print(found, lines, arguments)


def _suite(arguments: argparse.Namespace) -> None:
    from curate.evals.suite_text import lines

    only = None if arguments.only is None else arguments.only.split(",")
    _check_parts(arguments, only)
    found = api.evaluate_suite(
        arguments.source,
        arguments.data,
        reference=arguments.reference,
        only=only,
        max_rows=None if arguments.all_rows else arguments.max_rows,
        prompts=arguments.prompts,
        max_tokens=arguments.max_tokens,
        temperature=arguments.temperature,
        **_shared(arguments),
    )
    _print(found, lines, arguments)


def _shared(arguments: argparse.Namespace) -> dict[str, Any]:
    """The options that both evaluations read."""
    names = ("against", "model", "template", "seed", "device", "format", "out", "force")
    return {
        **{name: getattr(arguments, name) for name in names},
        "columns": mapped(arguments.map),
        "log": _speaker(arguments),
    }


def _print(
    found: Any, lines: Callable[[Any], Iterable[str]], arguments: argparse.Namespace
) -> None:
    for line in found.notices:
        warn(line)
    if arguments.json:
        show_json(json.dumps(found.as_dict(), indent=2, ensure_ascii=False))
        return
    for line in lines(found):
        show(line)
    if arguments.out is not None:
        _speaker(arguments)(f"written to {arguments.out}")


def _speaker(arguments: argparse.Namespace) -> Log:
    return speaker(arguments.quiet or arguments.json)
