"""The verb that writes for other tools: export."""

from __future__ import annotations

import argparse

from curate import api
from curate.base.errors import CurateError
from curate.verbs.common import speaker


def export(arguments: argparse.Namespace) -> None:
    """`curate export`: see its help."""
    say = speaker(arguments.quiet)
    if arguments.to == "gguf":
        _gguf(arguments)
        return
    if arguments.number_format is not None:
        raise CurateError(f"--number-format is for --to gguf, not for {arguments.to}; leave it out")
    done = api.export(
        arguments.source,
        to=arguments.to,
        out=arguments.out,
        model=arguments.model,
        force=arguments.force,
    )
    say(done.summary())


def _gguf(arguments: argparse.Namespace) -> None:
    """A model in a file of its own: nothing of rows is in it."""
    if arguments.model is not None:
        raise CurateError("--to gguf takes no --model: the CKPT is the model; leave it out")
    say = speaker(arguments.quiet)
    done = api.export_gguf(
        arguments.source,
        out=arguments.out,
        number_format=arguments.number_format,
        force=arguments.force,
        log=say,
    )
    say(f"written to {done.out}: {done.architecture}, {done.tensors} tensors")
