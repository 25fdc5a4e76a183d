"""The verbs around a RUN: run, inspect, explain, report, arms, filters."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from curate.verbs.common import read, speaker, warn, width


def run(arguments: argparse.Namespace) -> None:
    """`curate run`: see its help."""
    from curate.base.errors import CurateError
    from curate.base.folder import check_out
    from curate.pipeline import recipe as recipes
    from curate.pipeline import run_folder
    from curate.pipeline import runner as pipeline
    from curate.pipeline.cache import MeasureCache, default_folder
    from curate.pipeline.engine import local_engine
    from curate.report import text

    say = speaker(arguments.quiet)
    if "" not in sys.path:
        # Steps and encoders may be modules in the current folder; last, so that none hides another.
        sys.path.append("")
    recipe = recipes.load(arguments.recipe, arguments.set)
    check_out(arguments.out, run_folder.MAKER, arguments.force, arguments.dump)
    steps = pipeline.bind_steps(recipe.steps, warn)
    dump = read(arguments)
    for file in dump.files:
        say(f"{file.source}: {file.evidence()}; {file.rejected:,} rejects")
    cache = None if arguments.no_cache else MeasureCache(default_folder())
    with local_engine(arguments.workers, cache) as engine:
        result = pipeline.run(
            dump.records,
            steps,
            engine,
            lambda step: say(f"{step.name}: {step.rows:,} rows, {step.dropped:,} dropped"),
        )
    if cache:
        cache.trim()
    fault = run_folder.write(arguments.out, dump, result, recipe, arguments.force)
    pipeline.remember(steps, result)
    if fault is not None:
        said = " ".join(f"{type(fault).__name__}: {fault}".split())
        raise CurateError(
            f"{arguments.out} holds the whole run, but {run_folder.REPORT} could not be made "
            f"({said}); make it again with: curate report {arguments.out}"
        ) from fault
    say(text(run_folder.RunFolder(arguments.out), width()))
    say(f"written to {arguments.out}; open {arguments.out / 'report.html'}")
    if not result.kept.any():
        print("curate: no row was kept; the report says why", file=sys.stderr)


def inspect(arguments: argparse.Namespace) -> None:
    """`curate inspect`: see its help."""
    import json

    from curate.base.schema import with_text
    from curate.pipeline import recipe
    from curate.pipeline import runner as pipeline
    from curate.report import inspection as survey

    dump = read(arguments)
    sample = survey.sample(dump.records)
    wanted: dict[str, dict[str, Any]] = {"language": {}}
    unit: dict[str, Any] = {}
    if arguments.tokenizer:
        unit = {"unit": "tokens", "tokenizer": arguments.tokenizer}
        wanted["length"] = unit
    looked_at = with_text(sample)
    measures = {
        name: recipe.filter_called(name, settings).measure(looked_at)
        for name, settings in wanted.items()
    }
    # Words of all records are counted in no time; tokens are not.
    length = pipeline.Step("length", recipe.filter_called("length", {"action": "report", **unit}))
    lengths = pipeline.run(sample if unit else dump.records, [length]).steps[0].numbers
    found = survey.survey(dump, measures, lengths)
    if arguments.json:
        print(json.dumps(found, ensure_ascii=False, indent=2))
    else:
        print(survey.text(found))


def explain(arguments: argparse.Namespace) -> None:
    """`curate explain`: see its help."""
    from curate.pipeline.run_folder import RunFolder
    from curate.report.explain import explain as explained

    print(explained(RunFolder.open(arguments.run), arguments.key))


def report(arguments: argparse.Namespace) -> None:
    """`curate report`: see its help."""
    from curate.pipeline import run_folder
    from curate.report import text

    folder = run_folder.RunFolder.open(arguments.run)
    run_folder.write_report(folder)
    print(text(folder, width()))
    print(f"written to {arguments.run / 'report.html'}")


def arms(arguments: argparse.Namespace) -> None:
    """`curate arms`: see its help."""
    from curate.pipeline.baselines import write_arms

    say = speaker(arguments.quiet)
    for name, rows in write_arms(arguments.run, arguments.out, arguments.force).items():
        say(f"{name}: {rows:,} rows")
    say(f"written to {arguments.out}; curate render takes each file")


def filters(arguments: argparse.Namespace) -> None:
    """`curate filters`: see its help."""
    from curate.pipeline.catalogue import describe

    print(describe(arguments.name))
