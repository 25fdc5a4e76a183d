"""The command line: one verb a job. Heavy imports live inside the verbs, so that help is quick."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

from curate import __version__

Say = Callable[[str], None]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb; 0 done, 1 a user's mistake, 2 usage, 130 interrupted."""
    arguments = parser().parse_args(argv)
    from curate.schema import CurateError

    try:
        return int(arguments.verb(arguments) or 0)
    except CurateError as error:
        print(f"curate: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("curate: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader (head, less) has gone; nothing more to say, and nothing to say it to.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def parser() -> argparse.ArgumentParser:
    """The whole command line, as argparse sees it."""
    top = argparse.ArgumentParser(
        prog="curate",
        description="Clean raw instruction dumps, preview what a model will see, fine-tune on it.",
        epilog="Every verb has its own help: curate run --help",
    )
    top.add_argument("--version", action="version", version=f"curate {__version__}")
    verbs = top.add_subparsers(title="verbs", metavar="VERB", required=True)
    for add in (_run, _inspect, _explain, _preview, _render, _train, _report, _filters, _templates):
        add(verbs)
    return top


def _verb(verbs: Any, name: str, verb: Callable[..., int | None], about: str) -> Any:
    added = verbs.add_parser(name, help=about, description=about)
    added.set_defaults(verb=verb)
    return added


def _run(verbs: Any) -> None:
    about = "Clean dumps: read them, apply a recipe's steps, write RUN with every verdict."
    verb = _verb(verbs, "run", run, about)
    _dumps(verb)
    verb.add_argument("--recipe", help="a recipe file, or the name of a bundled one")
    verb.add_argument("--set", action="append", default=[], metavar="STEP.FIELD=VALUE")
    verb.add_argument("--workers", type=_positive, help="processes to use (default: all cores)")
    verb.add_argument("--no-cache", action="store_true", help="measure everything anew")
    _out(verb, "RUN")


def _inspect(verbs: Any) -> None:
    verb = _verb(
        verbs, "inspect", inspect, "What is in these files: formats, counts, lengths, problems."
    )
    _dumps(verb)
    verb.add_argument("--tokenizer", help="a tokenizer folder: lengths in tokens as well")
    verb.add_argument("--json", action="store_true", help="for machines")


def _explain(verbs: Any) -> None:
    verb = _verb(verbs, "explain", explain, "Every verdict on one record of a run, with its twins.")
    verb.add_argument("run", type=Path, help="a folder written by curate run")
    verb.add_argument("key", metavar="ROW_OR_ID", help="a row number or a record's id")


def _preview(verbs: Any) -> None:
    about = "What a model will see: text, tokens, and which of them are trained."
    verb = _verb(verbs, "preview", preview, about)
    verb.add_argument("source", help="a file, a RUN folder, or a TOKENS folder")
    _rendering(verb, required=False)
    verb.add_argument("--row", type=int, action="append", help="which record, from 0 (repeatable)")
    verb.add_argument("--html", type=Path, metavar="FILE", help="write a page instead")
    verb.add_argument("--json", action="store_true", help="for machines")
    verb.add_argument("--ids", action="store_true", help="show token ids")
    verb.add_argument("--failures", action="store_true", help="the rows that are refused, and why")


def _render(verbs: Any) -> None:
    about = "Turn kept records into masked tokens that a trainer takes as they are."
    verb = _verb(verbs, "render", render, about)
    verb.add_argument("source", help="a file or a RUN folder")
    _rendering(verb, required=True)
    _out(verb, "TOKENS")


def _rendering(verb: Any, required: bool) -> None:
    verb.add_argument("--template", help="a bundled template, a .jinja file, or 'tokenizer'")
    verb.add_argument("--tokenizer", required=required, help="a tokenizer folder or hub id")
    verb.add_argument("--max-length", type=_positive, help="refuse rows with more tokens than this")


def _train(verbs: Any) -> None:
    about = "Fine-tune a causal language model on a TOKENS folder and choose a checkpoint."
    verb = _verb(verbs, "train", train, about)
    verb.add_argument("tokens", help="a folder written by curate render")
    verb.add_argument("--model", required=True, help="a model folder or hub id")
    verb.add_argument("--preset", help="a named set of training settings")
    verb.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE")
    for name, kind in (("method", str), ("epochs", _positive), ("lr", float), ("batch", _positive)):
        verb.add_argument(f"--{name}", type=kind)
    verb.add_argument("--seed", type=int)
    verb.add_argument("--allow", action="append", default=[], metavar="REASON")
    _out(verb, "CKPT")


def _report(verbs: Any) -> None:
    verb = _verb(verbs, "report", report, "Print a run's funnel and write its report.html anew.")
    verb.add_argument("run", type=Path, help="a folder written by curate run")


def _filters(verbs: Any) -> None:
    verb = _verb(verbs, "filters", filters, "The filters and fixes, their settings and reasons.")
    verb.add_argument("name", nargs="*", help="only these")


def _templates(verbs: Any) -> None:
    verb = _verb(
        verbs, "templates", templates, "The bundled chat templates, or one template's card."
    )
    verb.add_argument("--check", metavar="TEMPLATE", help="a bundled template or a .jinja file")
    verb.add_argument("--tokenizer", help="a tokenizer folder or hub id")


def _dumps(verb: Any) -> None:
    verb.add_argument("dump", nargs="+", help="files, folders, globs, or - for standard input")
    verb.add_argument("--format", help="read every row as this format instead of detecting it")
    verb.add_argument("--map", action="append", default=[], metavar="FIELD=COLUMN")
    verb.add_argument("--paths", default="best", help="OASST trees: best, all or a number")


def _read(arguments: argparse.Namespace) -> Any:
    from curate import sources

    columns = dict(_split(text, "--map", "field=column") for text in arguments.map)
    how = sources.Reading(arguments.format, columns, arguments.paths)
    return sources.read(arguments.dump, how)


def _out(verb: Any, folder: str) -> None:
    verb.add_argument("--out", type=Path, required=True, metavar=folder, help="the folder to write")
    verb.add_argument("--force", action="store_true", help="write even if the folder holds more")
    verb.add_argument("--quiet", action="store_true", help="print errors only")


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is not positive")
    return value


def run(arguments: argparse.Namespace) -> None:
    from curate import recipe as recipes
    from curate import run_folder
    from curate.cache import MeasureCache, default_folder
    from curate.engine import local_engine
    from curate.folder import check_free
    from curate.pipeline import run as run_steps
    from curate.report import text

    say = _speaker(arguments.quiet)
    recipe = recipes.load(arguments.recipe, arguments.set)
    check_free(arguments.out, run_folder.MAKER, arguments.force)
    dump = _read(arguments)
    for file in dump.files:
        say(f"{file.source}: {file.evidence()}; {file.rejected:,} rejects")
    cache = None if arguments.no_cache else MeasureCache(default_folder())
    with local_engine(arguments.workers, cache) as engine:
        result = run_steps(
            dump.records,
            recipe.steps,
            engine,
            lambda step: say(f"{step.name}: {step.rows:,} rows, {step.dropped:,} dropped"),
        )
    if cache:
        cache.trim()
    run_folder.write(arguments.out, dump, result, recipe, arguments.force)
    say(text(run_folder.RunFolder(arguments.out), _width()))
    say(f"written to {arguments.out}; open {arguments.out / 'report.html'}")


def inspect(arguments: argparse.Namespace) -> None:
    import json

    from curate import recipe, survey
    from curate.schema import with_text

    dump = _read(arguments)
    looked_at = with_text(survey.sample(dump.records))
    wanted: dict[str, dict[str, Any]] = {"language": {}}
    if arguments.tokenizer:
        wanted["length"] = {"unit": "tokens", "tokenizer": arguments.tokenizer}
    measures = {
        name: recipe.filter_called(name, settings).measure(looked_at)
        for name, settings in wanted.items()
    }
    found = survey.survey(dump, measures)
    if arguments.json:
        print(json.dumps(found, ensure_ascii=False, indent=2))
    else:
        print(survey.text(found))


def explain(arguments: argparse.Namespace) -> None:
    from curate.explain import explain as explained
    from curate.run_folder import RunFolder

    print(explained(RunFolder.open(arguments.run), arguments.key))


def preview(arguments: argparse.Namespace) -> None:
    import templates

    tokenizer = templates.load_tokenizer(arguments.tokenizer) if arguments.tokenizer else None
    style: Literal["ansi", "html", "json"]
    style = "html" if arguments.html else "json" if arguments.json else "ansi"
    options = templates.PreviewOptions(
        rows=tuple(arguments.row or (0,)),
        format=style,
        failures=arguments.failures,
        ids=arguments.ids,
        color=sys.stdout.isatty() and "NO_COLOR" not in os.environ,
        max_length=arguments.max_length,
    )
    source = Path(arguments.source)
    if templates.is_tokens(source):
        page = templates.preview(source, None, tokenizer, options)
    else:
        template = templates.load_template(arguments.template, tokenizer)
        page = templates.preview(_records(source), template, tokenizer, options)
    if arguments.html:
        arguments.html.write_text(page, encoding="utf-8")
        print(f"written to {arguments.html}")
    else:
        print(page)


def render(arguments: argparse.Namespace) -> None:
    import templates

    say = _speaker(arguments.quiet)
    tokenizer = templates.load_tokenizer(arguments.tokenizer)
    template = templates.load_template(arguments.template, tokenizer)
    templates.check_free(arguments.out, arguments.force)
    records = _records(Path(arguments.source))
    rendered = templates.render(
        records, template, tokenizer, templates.RenderOptions(max_length=arguments.max_length)
    )
    templates.write(rendered, arguments.out, arguments.force)
    say(rendered.summary())
    say(f"written to {arguments.out}")


def train(arguments: argparse.Namespace) -> None:
    import trainer

    given = {"tokens": arguments.tokens, "model": arguments.model, "out": str(arguments.out)}
    names = ("preset", "method", "epochs", "lr", "batch", "seed")
    given |= {
        name: getattr(arguments, name) for name in names if getattr(arguments, name) is not None
    }
    given |= {"allow": tuple(arguments.allow), "force": arguments.force}
    given |= _assignments(arguments.set)
    result = trainer.train(trainer.TrainConfig.from_mapping(given), _speaker(arguments.quiet))
    _speaker(arguments.quiet)(f"written to {result.out}")


def report(arguments: argparse.Namespace) -> None:
    from curate import run_folder
    from curate.report import text

    folder = run_folder.RunFolder.open(arguments.run)
    run_folder.write_report(folder)
    print(text(folder, _width()))
    print(f"written to {arguments.run / 'report.html'}")


def filters(arguments: argparse.Namespace) -> None:
    from curate.catalogue import describe

    print(describe(arguments.name))


def templates(arguments: argparse.Namespace) -> None:
    import templates as rendering

    if arguments.check is None:
        for name, about in rendering.describe():
            print(f"{name:12} {about}")
        return
    tokenizer = rendering.load_tokenizer(arguments.tokenizer) if arguments.tokenizer else None
    print(rendering.verify(rendering.load_template(arguments.check, tokenizer), tokenizer))


def _records(source: Path) -> Any:
    """Records of a run's kept rows, or of a dump; unreadable rows are said, not swallowed."""
    from curate import run_folder, sources
    from curate.schema import CurateError

    inside = source / "kept.jsonl" if run_folder.is_run(source) else source
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
    from curate.schema import CurateError

    name, equals, value = text.partition("=")
    if not equals:
        raise CurateError(f"{option} {text}: expected {expected}")
    return name, value


def _width() -> int:
    import shutil

    return max(60, min(140, shutil.get_terminal_size((100, 24)).columns))


def _speaker(quiet: bool) -> Say:
    def say(line: str) -> None:
        if not quiet:
            print(line, flush=True)

    return say
