"""The verbs around TOKENS: preview, render, templates."""

from __future__ import annotations

import argparse
import os
import sys
from typing import Any

from curate import api
from curate.base.errors import CurateError
from curate.base.folder import write_page
from curate.base.places import check_page
from curate.base.terminal import show, show_json, show_styled
from curate.verbs.common import assignments, speaker, warn

# Options of `preview` and `render` that are given on as they are.
_OPTIONS = (
    *("max_length", "date", "boundary", "history", "turns", "mask", "completion", "control"),
    *("overlong", "continue_final_field", "pairs", "append_eos", "mask_reasoning"),
    "inline_think",
)


def preview(arguments: argparse.Namespace) -> None:
    """`curate preview`: see its help."""
    if arguments.html:
        check_page(arguments.html)
    against = (arguments.diff, arguments.diff_tokenizer)
    shown = api.preview(
        arguments.source,
        rows=arguments.row or (0,),
        turn=arguments.turn,
        failures=arguments.failures,
        ids=arguments.ids,
        against=against if any(against) else None,
        **_options(arguments),
    )
    for line in shown.notices:
        warn(line)
    if arguments.html:
        write_page(arguments.html, shown.html)
        show(f"written to {arguments.html}")
    elif arguments.json:
        show_json(shown.make("json"))
    elif sys.stdout.isatty() and "NO_COLOR" not in os.environ:
        show_styled(shown.make("ansi"))
    else:
        show(shown.make("text"))


def render(arguments: argparse.Namespace) -> None:
    """`curate render`: see its help."""
    say = speaker(arguments.quiet)
    tokens = api.render(
        arguments.source, out=arguments.out, force=arguments.force, **_options(arguments)
    )
    for line in tokens.notices:
        warn(line)
    say(tokens.summary())
    for line in tokens.endings():
        say(f"  {line}")
    say(f"written to {arguments.out}")
    if tokens.refused.height and arguments.strict:
        raise CurateError(
            f"{tokens.refused.height:,} of {tokens.manifest['counts']['rows']:,} rows were refused,"
            f" and --strict takes none; {arguments.out / 'refused.jsonl'} says why"
        )


def templates(arguments: argparse.Namespace) -> None:
    """`curate templates`: see its help."""
    import templates as rendering

    if arguments.check is None:
        for name, about in rendering.describe():
            show(f"{name:12} {about}")
        return
    tokenizer = rendering.load_tokenizer(arguments.tokenizer) if arguments.tokenizer else None
    template = rendering.load_template(arguments.check, tokenizer)
    for one in filter(None, (template, template.tool_use)):
        with one.allowance():
            _print_card(one, tokenizer)


def _print_card(template: Any, tokenizer: Any) -> None:
    """A template's card, or why there is none; and the options with which it is safe."""
    import templates as rendering

    try:
        card = rendering.verify(template, tokenizer)
    except CurateError as error:
        helps = rendering.working(template, tokenizer)
        raise CurateError(
            "\n".join([str(error), *(f"  with {name}: safe" for name in helps)])
        ) from error
    show(str(card))
    if card.problems:
        for name in rendering.working(template, tokenizer) or ("none of those that were tried",):
            show(f"{'remedy':18} {name}")
    for line in rendering.stop_notices([card]):
        warn(line)


def _options(arguments: argparse.Namespace) -> dict[str, Any]:
    """What `preview` and `render` are told about rendering, as arguments of both."""
    given = {name: getattr(arguments, name) for name in _OPTIONS}
    return {
        "template": arguments.template,
        "tokenizer": arguments.tokenizer,
        "add_tokens": arguments.add_token,
        **{name: value for name, value in given.items() if value is not None},
        "stops": tuple(arguments.stop),
        "roles": tuple(dict.fromkeys(arguments.role)) or ("assistant",),
        "arguments": assignments(arguments.arg, "--arg", "name=value"),
    }
