"""The verbs around a RUN: run, inspect, explain, report, baselines, filters."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from curate import api
from curate.base.folder import changes_explained
from curate.base.terminal import show, show_json
from curate.pipeline.engine import ENGINES
from curate.verbs.common import assignments, line_width, live, reading, speaker, warn, width

if TYPE_CHECKING:
    from curate.base.contract import Estimate


def run(arguments: argparse.Namespace) -> None:
    """`curate run`: see its help."""
    if "" not in sys.path:
        # Steps and encoders may be modules in the current folder; last, so that none hides another.
        sys.path.append("")
    say = speaker(arguments.quiet)
    how = {
        "recipe": arguments.recipe,
        "settings": assignments(arguments.set, expected="step.field=value"),
        "workers": arguments.workers,
        "cache": not arguments.no_cache,
        "log": say,
        "warn": warn,
        "live": live(arguments.quiet),
        **reading(arguments),
    }
    where = {name: getattr(arguments, name) for name in ("engine", "address", "work")}
    if arguments.dry_run:
        if where != {"engine": ENGINES[0], "address": None, "work": None}:
            say("estimated by processes of this machine, whatever the engine")
        for name, found in api.estimate(arguments.dump, **how).items():
            show(_estimate_line(name, found))
        say("nothing was asked for these rows, and nothing was written")
        return
    how |= {"out": arguments.out, "force": arguments.force, "remember": False, **where}
    done = api.run(arguments.dump, **how)
    if not arguments.quiet:  # else its table is not even made
        say(done.summary(width()))
        say(f"written to {arguments.out}; open {arguments.out / 'report.html'}")


def _estimate_line(name: str, found: Estimate) -> str:
    """What a step would ask, for people."""
    start = f"{name}: at most {found.rows:,} rows"
    if found.nobody:
        return (
            f"{start}; {found.nobody:,} have no score and nobody is named to ask:"
            f" --set {name}.model=NAME --set {name}.url=URL"
        )
    if not found.questions:
        return f"{start}; nothing to ask, {found.known:,} answers are known"
    cost = f"no prices are given (--set {name}.prices=[IN,OUT], dollars for a million tokens)"
    if found.cost is not None:
        cost = f"at most ${found.cost:,.4f}" if found.cost else "$0"
    return (
        f"{start}; {found.questions:,} questions to ask,"
        f" {found.known:,} known; about {found.tokens_in:,} tokens in, at most"
        f" {found.tokens_out:,} out; {cost}"
    )


def inspect(arguments: argparse.Namespace) -> None:
    """`curate inspect`: see its help."""
    import json

    from curate.report import inspection

    found = api.inspect(arguments.dump, tokenizer=arguments.tokenizer, **reading(arguments))
    for line in found["notices"]:
        warn(line)
    if arguments.json:
        show_json(json.dumps(found, ensure_ascii=False, indent=2))
    else:
        show(inspection.text(found))


def explain(arguments: argparse.Namespace) -> None:
    """`curate explain`: see its help."""
    from curate.runs import Run

    asked = {name: getattr(arguments, name) for name in ("key", "grep", "reason", "step")}
    if all(value is None for value in asked.values()):
        warn("explain needs a row, an id or FILE:LINE, or --grep, --reason or --step; see its help")
        raise SystemExit(2)
    done = Run.open(arguments.run)
    show(done.explain(**asked, rows=arguments.rows, width=line_width()))


def diff(arguments: argparse.Namespace) -> None:
    """`curate diff`: see its help."""
    from curate.runs import Run

    with changes_explained(arguments.run, arguments.other):
        done = Run.open(arguments.run).diff(arguments.other)
        asked = done.to_json() if arguments.json else done.text(arguments.rows, line_width())
    (show_json if arguments.json else show)(asked)


def report(arguments: argparse.Namespace) -> None:
    """`curate report`: see its help."""
    from curate.runs import Run

    done = Run.open(arguments.run)
    written = done.report()
    show(done.summary(width()))
    show(f"written to {written}")


def baselines(arguments: argparse.Namespace) -> None:
    """`curate baselines`: see its help."""
    say = speaker(arguments.quiet)
    for name, rows in api.baselines(arguments.run, arguments.out, arguments.force).items():
        say(f"{name}: {rows:,} rows")
    say(f"written to {arguments.out}; curate render takes each file")


def filters(arguments: argparse.Namespace) -> None:
    """`curate filters`: see its help."""
    from curate.pipeline.catalogue import describe

    show(describe(arguments.name))
