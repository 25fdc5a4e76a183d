"""The verb that writes for other tools: export."""

from __future__ import annotations

import argparse

from curate import api
from curate.verbs.common import speaker


def export(arguments: argparse.Namespace) -> None:
    """`curate export`: see its help."""
    say = speaker(arguments.quiet)
    done = api.export(
        arguments.source,
        to=arguments.to,
        out=arguments.out,
        model=arguments.model,
        force=arguments.force,
    )
    say(done.summary())
