"""The verbs around TOKENS: preview, render, templates."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from curate.base.errors import CurateError
from curate.base.folder import check_out
from curate.verbs.common import assignments, speaker

if TYPE_CHECKING:
    import polars as pl


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
        turn=arguments.turn,
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

    say = speaker(arguments.quiet)
    tokenizer = _tokenizer(arguments)
    template = templates.load_template(arguments.template, tokenizer)
    check_out(arguments.out, templates.MAKER, arguments.force)
    records = _records(Path(arguments.source))
    rendered = templates.render(records, template, tokenizer, _render_options(arguments))
    matched = _matched(Path(arguments.source), records)
    templates.write(rendered, arguments.out, arguments.force, matched)
    say(rendered.summary())
    say(f"written to {arguments.out}")
    refused = rendered.counts["refused"]
    if refused and arguments.strict:
        raise CurateError(
            f"{refused:,} of {rendered.counts['rows']:,} rows were refused, and --strict takes "
            f"none; {arguments.out / 'refused.jsonl'} says why"
        )


def _matched(source: Path, records: pl.DataFrame) -> Any:
    """What the last `length` step with a target matched a run's answers to; None without one."""
    import polars as pl

    import templates
    from curate.pipeline import run_folder

    if not run_folder.is_run(source):
        return None
    run = run_folder.RunFolder(source)
    steps = [step for step in run.manifest["steps"] if _has_target(step["numbers"])]
    if not steps:
        return None
    name, numbers = steps[-1]["name"], steps[-1]["numbers"]
    judged = run.ledger.filter(pl.col("step") == name, pl.col("verdict") == "keep")
    # Line n of kept.jsonl is the nth row that was not dropped.
    kept = run.last_verdicts.filter(~pl.col("dropped")).with_row_index("line", offset=1)
    kept = kept.join(judged.select("row", length="score"), on="row", how="left")
    lengths = records.select("row", "line").join(kept.drop("row"), on="line", how="left")
    target = numbers["target"]["quantiles"]["0.5"]
    return templates.Matched(name, numbers["unit"], numbers["of"], target, lengths)


def _has_target(numbers: dict[str, Any]) -> bool:
    """Whether these are findings of a `length` step that matched answers, not prompts."""
    target = numbers.get("target")
    return (
        isinstance(target, dict)
        and "0.5" in target.get("quantiles", ())
        and numbers.get("of") in ("response", "turn")
    )


def templates(arguments: argparse.Namespace) -> None:
    """`curate templates`: see its help."""
    import templates as rendering

    if arguments.check is None:
        for name, about in rendering.describe():
            print(f"{name:12} {about}")
        return
    tokenizer = rendering.load_tokenizer(arguments.tokenizer) if arguments.tokenizer else None
    print(rendering.verify(rendering.load_template(arguments.check, tokenizer), tokenizer))


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

    names = (
        *("max_length", "date", "boundary", "history", "turns", "mask", "completion", "control"),
        *("overlong", "pairs", "append_eos", "mask_reasoning"),
    )
    given = {name: getattr(arguments, name) for name in names}
    given["continue_final_field"] = arguments.open_field
    given = {name: value for name, value in given.items() if value is not None}
    roles = tuple(dict.fromkeys(arguments.role)) or ("assistant",)
    return templates.RenderOptions(
        **given,
        stops=tuple(arguments.stop),
        roles=roles,
        arguments=assignments(arguments.arg, "--arg"),
    )


def _records(source: Path) -> Any:
    """Records of a run's kept rows, or of a dump; unreadable rows are said, not swallowed."""
    from curate import sources
    from curate.pipeline import run_folder

    inside = source / "kept.jsonl" if run_folder.is_run(source) else source
    if inside != source:
        run_folder.RunFolder(source).check("kept")
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
