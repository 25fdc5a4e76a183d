"""What each verb of the command line does. Heavy imports live inside the verbs."""

from __future__ import annotations

import argparse
import os
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from curate.schema import CurateError
from curate.terminal import printable

if TYPE_CHECKING:
    from curate.sources import Dump

Say = Callable[[str], None]


def run(arguments: argparse.Namespace) -> None:
    """`curate run`: see its help."""
    from curate import pipeline, run_folder
    from curate import recipe as recipes
    from curate.cache import MeasureCache, default_folder
    from curate.engine import local_engine
    from curate.folder import check_free
    from curate.report import text

    say = _speaker(arguments.quiet)
    recipe = recipes.load(arguments.recipe, arguments.set)
    check_free(arguments.out, run_folder.MAKER, arguments.force, run_folder.FILES, arguments.dump)
    steps = pipeline.bound(recipe.steps, _warn)
    dump = _read(arguments)
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
    run_folder.write(arguments.out, dump, result, recipe, arguments.force)
    pipeline.remember(steps, result)
    say(text(run_folder.RunFolder(arguments.out), _width()))
    say(f"written to {arguments.out}; open {arguments.out / 'report.html'}")
    if not result.kept.any():
        print("curate: no row was kept; the report says why", file=sys.stderr)


def inspect(arguments: argparse.Namespace) -> None:
    """`curate inspect`: see its help."""
    import json

    from curate import pipeline, recipe, survey
    from curate.schema import with_text

    dump = _read(arguments)
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
    from curate.explain import explain as explained
    from curate.run_folder import RunFolder

    print(explained(RunFolder.open(arguments.run), arguments.key))


def preview(arguments: argparse.Namespace) -> None:
    """`curate preview`: see its help."""
    import templates

    tokenizer = _tokenizer(arguments) if arguments.tokenizer else None
    style: Literal["ansi", "html", "json"]
    style = "html" if arguments.html else "json" if arguments.json else "ansi"
    options = templates.PreviewOptions(
        rows=tuple(arguments.row or (0,)),
        format=style,
        failures=arguments.failures,
        ids=arguments.ids,
        color=sys.stdout.isatty() and "NO_COLOR" not in os.environ,
        render=_render_options(arguments),
    )
    source = Path(arguments.source)
    if templates.is_tokens(source):
        if arguments.diff or arguments.diff_tokenizer:
            raise CurateError(
                f"{source}: a written folder is shown as it is; give --diff the RUN or file"
            )
        page = templates.preview(source, None, tokenizer, options)
    else:
        if not source.exists():
            raise CurateError(f"{source}: no such file or folder")
        template = templates.load_template(arguments.template, tokenizer)
        page = templates.preview(
            _records(source), template, tokenizer, options, _against(arguments, template, tokenizer)
        )
    if arguments.html:
        arguments.html.write_text(page, encoding="utf-8")
        print(f"written to {arguments.html}")
    else:
        print(page)


def render(arguments: argparse.Namespace) -> None:
    """`curate render`: see its help."""
    import templates

    say = _speaker(arguments.quiet)
    tokenizer = _tokenizer(arguments)
    template = templates.load_template(arguments.template, tokenizer)
    templates.check_free(arguments.out, arguments.force)
    records = _records(Path(arguments.source))
    rendered = templates.render(records, template, tokenizer, _render_options(arguments))
    templates.write(rendered, arguments.out, arguments.force)
    say(rendered.summary())
    say(f"written to {arguments.out}")
    refused = rendered.counts["refused"]
    if refused and arguments.strict:
        raise CurateError(
            f"{refused:,} of {rendered.counts['rows']:,} rows were refused, and --strict takes "
            f"none; {arguments.out / 'refused.jsonl'} says why"
        )


def _tokenizer(arguments: argparse.Namespace) -> Any:
    """The tokenizer named, with the tokens added to it."""
    import templates

    return templates.load_tokenizer(arguments.tokenizer, tuple(arguments.add_token))


def _against(arguments: argparse.Namespace, template: Any, tokenizer: Any) -> Any:
    """The other template and tokenizer of `--diff` and `--diff-tokenizer`, if any is given."""
    import templates

    if not (arguments.diff or arguments.diff_tokenizer):
        return None
    added = tuple(arguments.add_token)
    other = arguments.diff_tokenizer
    theirs = templates.load_tokenizer(other, added) if other else tokenizer
    return (templates.load_template(arguments.diff, theirs) if arguments.diff else template), theirs


def _render_options(arguments: argparse.Namespace) -> Any:
    """What `render` and `preview` are told about rendering."""
    import templates

    names = ("max_length", "date", "boundary", "history", "turns", "mask", "completion")
    given = {name: getattr(arguments, name) for name in (*names, "control", "overlong")}
    given |= {name: getattr(arguments, name) for name in ("append_eos", "mask_reasoning")}
    given = {name: value for name, value in given.items() if value is not None}
    roles = tuple(dict.fromkeys(arguments.role)) or ("assistant",)
    return templates.RenderOptions(
        **given, stops=tuple(arguments.stop), roles=roles, arguments=_template_arguments(arguments)
    )


def _template_arguments(arguments: argparse.Namespace) -> dict[str, Any]:
    import yaml

    pairs = [_split(text, "--arg", "name=value") for text in arguments.arg]
    return {name: yaml.safe_load(value) for name, value in pairs}


def train(arguments: argparse.Namespace) -> None:
    """`curate train`: see its help."""
    import trainer

    given = {"tokens": arguments.tokens, "model": arguments.model, "out": str(arguments.out)}
    names = ("preset", "method", "epochs", "lr", "batch", "seed")
    given |= {
        name: getattr(arguments, name) for name in names if getattr(arguments, name) is not None
    }
    given |= {"allow": tuple(arguments.allow), "force": arguments.force}
    given |= {"resume": arguments.resume}
    given |= _assignments(arguments.set)
    say = _speaker(arguments.quiet)
    config = trainer.TrainConfig.from_mapping(given)
    if arguments.dry_run:
        trainer.dry_run(config, print)
        return
    result = trainer.train(config, say)
    for line in _outcome(result):
        say(line)
    say(f"written to {result.out}")


def _outcome(result: Any) -> list[str]:
    """Loss and answers before and after training, as lines."""
    lines = []
    if result.before and result.after:
        before, after = result.before.loss, result.after.loss
        lines.append(f"held-out loss per token: {before:.4f} before, {after:.4f} after")
    for sample in result.samples:
        said = {
            "prompt": sample.prompt,
            "expected": sample.expected,
            "before": sample.before.text,
            "after": sample.after.text,
        }
        if any(text is not None for text in said.values()):
            lines.append("")
            lines += [f"  {name:9} {printable(text or '', 300)}" for name, text in said.items()]
    return lines


def report(arguments: argparse.Namespace) -> None:
    """`curate report`: see its help."""
    from curate import run_folder
    from curate.report import text

    folder = run_folder.RunFolder.open(arguments.run)
    run_folder.write_report(folder)
    print(text(folder, _width()))
    print(f"written to {arguments.run / 'report.html'}")


def filters(arguments: argparse.Namespace) -> None:
    """`curate filters`: see its help."""
    from curate.catalogue import describe

    print(describe(arguments.name))


def templates(arguments: argparse.Namespace) -> None:
    """`curate templates`: see its help."""
    import templates as rendering

    if arguments.check is None:
        for name, about in rendering.describe():
            print(f"{name:12} {about}")
        return
    tokenizer = rendering.load_tokenizer(arguments.tokenizer) if arguments.tokenizer else None
    print(rendering.verify(rendering.load_template(arguments.check, tokenizer), tokenizer))


def _read(arguments: argparse.Namespace) -> Dump:
    from curate import sources

    columns = dict(_split(text, "--map", "field=column") for text in arguments.map)
    how = sources.Reading(arguments.format, columns, arguments.paths)
    dump = sources.read(arguments.dump, how)
    for name, times in Counter(file.source for file in dump.files).items():
        if times > 1:
            print(f"curate: {name} was given {times} times and read as often", file=sys.stderr)
    return dump


def _records(source: Path) -> Any:
    """Records of a run's kept rows, or of a dump; unreadable rows are said, not swallowed."""
    from curate import run_folder, sources

    inside = source / "kept.jsonl" if run_folder.is_run(source) else source
    if inside != source and not inside.stat().st_size:
        raise CurateError(f"{source}: the run kept no rows; curate report {source} says why")
    dump = sources.read([str(inside)])
    if dump.rejects.height:
        first = dump.rejects.row(0, named=True)
        where = f"{first['source']}:{first['line']}: {first['reason']}"
        print(
            f"curate: {dump.rejects.height:,} rows cannot be read; first {where}", file=sys.stderr
        )
    if not dump.records.height:
        raise CurateError(f"{inside}: no readable rows")
    return dump.records


def _assignments(given: Sequence[str]) -> dict[str, Any]:
    import yaml

    pairs = [_split(text, "--set", "field=value") for text in given]
    return {name: yaml.safe_load(value) for name, value in pairs}


def _split(text: str, option: str, expected: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise CurateError(f"{option} {text}: expected {expected}")
    return name, value


def _width() -> int:
    import shutil

    return max(60, min(140, shutil.get_terminal_size((100, 24)).columns))


def _warn(line: str) -> None:
    print(f"curate: {printable(line)}", file=sys.stderr)


def _speaker(quiet: bool) -> Say:
    def say(line: str) -> None:
        if not quiet:
            print(printable(line), flush=True)

    return say
