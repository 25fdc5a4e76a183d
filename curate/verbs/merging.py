"""The verb that makes whole models of adapters: merge."""

from __future__ import annotations

import argparse

from curate import api
from curate.verbs.common import speaker


def merge(arguments: argparse.Namespace) -> None:
    """`curate merge`: see its help."""
    say = speaker(arguments.quiet)
    done = api.merge(
        arguments.source,
        out=arguments.out,
        epoch=arguments.epoch,
        adapter=arguments.adapter,
        model=arguments.model,
        force=arguments.force,
        log=say,
    )
    say(f"written to {done.out}")
