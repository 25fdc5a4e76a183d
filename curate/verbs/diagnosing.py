"""The verb that looks into a tuned model beside its base: diagnose."""

from __future__ import annotations

import argparse
import json

from curate import api
from curate.base.terminal import show, show_json
from curate.verbs.common import speaker, warn


def diagnose(arguments: argparse.Namespace) -> None:
    """`curate diagnose`: see its help."""
    from curate.evals.diagnosis import lines

    say = speaker(arguments.quiet or arguments.json)
    found = api.diagnose(
        arguments.source,
        arguments.text,
        out=arguments.out,
        model=arguments.model,
        tokens=arguments.tokens,
        spectra=not arguments.no_spectra,
        device=arguments.device,
        force=arguments.force,
        log=say,
    )
    for notice in found.notices:
        warn(notice)
    if arguments.json:
        show_json(json.dumps(found.as_dict(), indent=2, ensure_ascii=False))
        return
    for line in lines(found):
        show(line)
    if arguments.out is not None:
        say(f"written to {arguments.out}")
