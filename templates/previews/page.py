"""A preview as one HTML page that needs nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from itertools import groupby
from typing import Any

from curate.base.pages import POLICY
from curate.base.terminal import printable
from templates.previews.view import Part, Preview, RowView

STYLE = """
:root { color-scheme: light dark; --ink: #1c1c1e; --paper: #fbfaf7; --line: #d8d5cc;
  --template: #e6e4de; --context: #d9e4f2; --masked: #e6e4de; --answer: #c9ecc5; --stop: #f3b9d3; }
@media (prefers-color-scheme: dark) { :root { --ink: #ececec; --paper: #17181a; --line: #3a3b3e;
  --template: #303236; --context: #22344d; --masked: #303236; --answer: #1d4d22;
  --stop: #6f2347; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  max-width: 72rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.4rem; } h2 { font-size: 1rem; margin: 2rem 0 .5rem; }
pre, .text { font: 13px/1.9 ui-monospace, monospace; }
pre { line-height: 1.45; overflow-x: auto; }
.text { white-space: pre-wrap; overflow-wrap: anywhere; flex: 1; min-width: 0; }
.turn { display: flex; gap: 1rem; border-top: 1px solid var(--line); padding: .25rem 0; }
.who { flex: 0 0 8rem; text-align: right; opacity: .7; font-size: 12px; line-height: 2; }
.t { border-radius: 3px; padding: 1px 0; box-shadow: inset 1px 0 0 var(--paper); }
.template { background: var(--template); } .context { background: var(--context); }
.masked { background: var(--masked); }
.answer { background: var(--answer); border-bottom: 2px solid currentColor; }
.stop { background: var(--stop); border-bottom: 2px double currentColor; font-weight: 600; }
.t small { opacity: .65; font-size: 9px; vertical-align: sub; white-space: nowrap; }
.w { opacity: .45; }
.gone { background: #f6c9c4; } .come { background: #c9ecc5; } .diff { white-space: pre-wrap; }
@media (prefers-color-scheme: dark) { .gone { background: #5c2320; }
  .come { background: #1d4d22; } }
.refused { border-left: 4px solid #c0392b; padding-left: 1rem; white-space: pre-wrap; }
table { border-collapse: collapse; } td { padding: .1rem 1.5rem .1rem 0; vertical-align: top; }
td:last-child { text-align: right; font-variant-numeric: tabular-nums; }
.legend .t { margin-right: .4rem; padding: 1px 6px; } .legend { line-height: 2.2; }
.legend .item { white-space: nowrap; margin-right: 1.2rem; }
.pair { display: grid; grid-template-columns: 1fr 1fr; gap: 1.5rem; } .pair > div { min-width: 0; }
h3 { font-size: .9rem; margin: .6rem 0 .2rem; } .pair .who { flex-basis: 6rem; }
.muted { opacity: .7; font-size: 13px; }
@media (max-width: 700px) { .turn { display: block; } .who { text-align: left; }
  .pair { display: block; } }
"""


_LINE_END = "\n</span><wbr>"


def page(shown: Preview, ids: bool) -> str:
    """The page: legend, rows, figures, the template's card, refused rows."""
    body = [
        f"<h1>{escape(shown.title)}</h1>",
        _legend(shown),
        *(_row(view, ids) for view in shown.rows),
    ]
    if shown.difference:
        changed = "".join(_changed(line) for line in shown.difference)
        body.append(f"<h2>Difference</h2><pre class=diff>{changed}</pre>")
    body += [f"<h2>Figures</h2><p class=muted>{escape(shown.about)}</p>", _table(shown.figures)]
    body += [f"<h2>Template card</h2><pre>{escape(shown.card_text)}</pre>"]
    if shown.failures is not None:
        body.append(f"<h2>{len(shown.failures):,} refused rows</h2>")
        body += [_row(view, ids) for view in shown.failures]
    return printable(
        "<!doctype html>\n<html lang=en><meta charset=utf-8>"
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        f"<title>{escape(shown.title)}</title>"
        '<meta name=viewport content="width=device-width">'
        f"<style>{STYLE}</style>\n<body>\n" + "\n".join(body) + "\n</body></html>\n"
    )


def _changed(line: str) -> str:
    """A line of a difference, coloured by the side it stands on."""
    kind = {"-": "gone", "+": "come"}.get(line[:1], "same")
    return f'<span class="{kind}">{escape(line)}</span>\n'


def _legend(shown: Preview) -> str:
    spans = (
        f'<span class=item><span class="t {kind}">{kind}</span>{escape(meaning)}</span> '
        for kind, meaning in shown.kinds.items()
    )
    lead = (
        "The model learns to write what is underlined, and to stop there; it only reads the rest."
    )
    return f"<p>{lead}</p><p class=legend>{''.join(spans)}</p>"


def _row(view: RowView, ids: bool) -> str:
    head = f"<h2>{' · '.join(map(escape, view.summary().split('  ')))}</h2>"
    if view.refused is not None:
        return f"{head}<div class=refused>{escape(view.refused)}</div>"
    head += f"<p class=muted>labels {escape(view.runs)}</p>"
    if view.rejected is None:
        return head + _turns(view, 0, len(view.parts), ids)
    prompt = _turns(view, 0, view.prompt, ids)
    sides = (
        f"<div><h3>{name}</h3>{_turns(side, side.prompt, len(side.parts), ids)}</div>"
        for name, side in (("chosen", view), ("rejected", view.rejected))
    )
    return f"{head}{prompt}<div class=pair>{''.join(sides)}</div>"


def _turns(view: RowView, start: int, stop: int, ids: bool) -> str:
    """Some parts of a row, a block for each source."""
    turns = []
    for message, group in groupby(view.parts[start:stop], key=lambda part: part.message):
        parts = list(group)
        who = _who(message, parts, view.roles)
        text = "".join(_part(part, ids) for part in parts)
        if text.endswith(_LINE_END):  # the next turn starts a line anyway
            text = f"{text.removesuffix(_LINE_END)}</span>"
        turns.append(
            f"<div class=turn><div class=who>{who}</div><div class=text>{text}</div></div>"
        )
    return "".join(turns)


def _who(message: int | None, parts: Sequence[Part], roles: Sequence[str]) -> str:
    if message is not None and message < len(roles):
        return escape(f"{message} {roles[message]}")
    if message is not None:
        return f"message {message}"
    kinds = {part.kind for part in parts}
    return "template" if "template" in kinds else "the row" if "context" in kinds else ""


def _part(part: Part, ids: bool) -> str:
    use = "trained" if part.trained else "masked"
    token = "" if part.id is None else f"token {part.id}, "
    number = f"<small>{part.id}</small>" if ids and part.id is not None else ""
    text = escape(part.shown)
    ending = "\n" * text.endswith("\n")  # the number stands before the line break
    text = text.removesuffix("\n")
    for mark in "·→⏎␍":
        text = text.replace(mark, f"<span class=w>{mark}</span>")
    title = f"{token}{part.kind}, {use}"
    return f'<span class="t {part.kind}" title="{title}">{text}{number}{ending}</span><wbr>'


def _table(figures: dict[str, Any]) -> str:
    flat: list[tuple[str, Any]] = []
    for name, value in figures.items():
        if isinstance(value, dict):
            flat += [(f"{name.replace('_', ' ')}: {key}", item) for key, item in value.items()]
        elif value is not None:
            flat.append((name.replace("_", " "), value))
    rows = (f"<tr><td>{escape(name)}<td>{value:,}</tr>" for name, value in flat)
    return f"<table>{''.join(rows)}</table>"
