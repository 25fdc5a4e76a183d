"""The verb that goes back: from a checkpoint towards its base."""

from __future__ import annotations

import argparse
import json

from curate import rewinding
from curate.base.terminal import show, show_json
from curate.verbs.common import speaker, warn

_OPTIONS = ("retention", "target", "model", "lines", "device")


def rewind(arguments: argparse.Namespace) -> None:
    """`curate rewind`: see its help."""
    given = {name: getattr(arguments, name) for name in _OPTIONS}
    if arguments.dry_run:
        rewinding.forecast_rewind(arguments.source, **given, log=show)
        return
    from curate.rewinds.table import lines

    say = speaker(arguments.quiet or arguments.json)
    found = rewinding.rewind(
        arguments.source,
        **given,
        out=arguments.out,
        max_retention_loss=arguments.max_retention_loss,
        force=arguments.force,
        log=say,
    )
    if arguments.json:
        for line in found.notices:
            warn(line)
        show_json(json.dumps(found.as_dict(), indent=2, ensure_ascii=False))
        return
    for line in lines(found):
        show(line)
    say(f"written to {found.out}")
