"""The verb that goes back: from a checkpoint towards its base."""

from __future__ import annotations

import argparse
import json

from curate import rewinding
from curate.base.log import Log
from curate.base.terminal import printable_line, show, show_json
from curate.verbs.common import speaker, warn

_OPTIONS = ("retention", "target", "max_retention_loss", "model", "lines", "device")


def rewind(arguments: argparse.Namespace) -> None:
    """`curate rewind`: see its help."""
    given = {name: getattr(arguments, name) for name in _OPTIONS}
    say = _line_by_line(speaker(not arguments.dry_run and (arguments.quiet or arguments.json)))
    if arguments.dry_run:
        rewinding.forecast_rewind(arguments.source, **given, log=say)
        return
    from curate.rewinds.table import lines

    found = rewinding.rewind(
        arguments.source,
        **given,
        out=arguments.out,
        force=arguments.force,
        log=say,
    )
    if arguments.json:
        for line in found.notices:
            warn(line)
        show_json(json.dumps(found.as_dict(), indent=2, ensure_ascii=False))
        return
    for line in lines(found):
        show(printable_line(line))
    say(f"written to {found.out}")


def _line_by_line(say: Log) -> Log:
    """What a stranger named with a break in it stays within its line."""
    return lambda line: say(printable_line(line))
