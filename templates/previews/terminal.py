"""A preview on a terminal, with colour or without."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from itertools import groupby

from curate.base.terminal import printable, printable_line
from templates.previews.view import KINDS, SIDES, Part, Preview, RowView

SHOWN_FAILURES = 50
WIDTH = 84  # columns of text, beside the sources

# Tokens of one line: (text, whether of an odd token); and how a kind of them is shown.
Line = list[tuple[str, bool]]
Paint = Callable[[Line, str], str]

# 256-colour backgrounds; two shades of each, so that neighbouring tokens differ.
SHADES = {
    "template": (237, 239),
    "context": (17, 18),
    "masked": (237, 239),
    "answer": (22, 28),
    "stop": (125, 162),
}


def terminal(shown: Preview, ids: bool, color: bool) -> str:
    """The preview as lines; without colour trained text stands in brackets, stops in braces."""
    paint: Paint = _painted if color else _marked
    lines = [printable_line(shown.title), *_legend(paint, shown), ""]
    for view in shown.rows:
        lines += [printable_line(view.summary()), *_body(view, paint, ids), ""]
    if shown.difference:
        lines += [*(_changed(line, color) for line in shown.difference), ""]
    lines += _figures(shown)
    if shown.failures is not None:
        lines += ["", *_failure_lines(shown.failures)]
    return "\n".join(lines)


def _changed(line: str, color: bool) -> str:
    """A line of a difference; control characters of the data never reach the terminal."""
    safe = printable_line(line)
    shade = {"-": 160, "+": 34}.get(line[:1])
    return f"\x1b[38;5;{shade}m{safe}\x1b[0m" if color and shade else safe


def _legend(paint: Paint, shown: Preview) -> list[str]:
    tokens: Line = [("to", False), ("kens", True)]
    trained = f"{paint(tokens, 'answer')} {KINDS['answer']}   "
    trained += f"{paint([('end', False)], 'stop')} {KINDS['stop']}"
    masked = [kind for kind in shown.kinds if kind not in ("answer", "stop")] or ["masked"]
    rest = ", ".join(paint([(kind, False)], kind) for kind in masked)
    how = "" if masked == ["masked"] else "masked, "
    return [f"legend  {trained}", f"        {rest}: {how}read and never learnt"]


def _body(view: RowView, paint: Paint, ids: bool) -> list[str]:
    """A row's parts, a line for each source and each line break of the text."""
    if view.refused is not None:
        return [f"  {line}" for line in printable(view.refused).splitlines()]
    lines = [f"  labels  {view.runs}"]
    if view.rejected is None:
        return lines + _turns(view, 0, len(view.parts), paint, ids)
    lines += _turns(view, 0, view.prompt, paint, ids)
    for name, side in (("chosen", view), ("rejected", view.rejected)):
        lines += [f"  {name}", *_turns(side, side.prompt, len(side.parts), paint, ids)]
    return lines


def _turns(view: RowView, start: int, stop: int, paint: Paint, ids: bool) -> list[str]:
    """The lines of some parts, each source named once."""
    lines = []
    placed = list(enumerate(view.parts))[start:stop]
    for (kind, message), group in groupby(placed, key=lambda pair: (pair[1].kind, pair[1].message)):
        label = printable_line(_label(kind, message, view.roles))
        for line in _lines(list(group), ids):
            lines.append(f"{label:>15} │{paint(line, kind)}")
            label = ""
    return lines


def _label(kind: str, message: int | None, roles: Sequence[str]) -> str:
    if kind in ("context", "answer") and message is not None and message < len(roles):
        return f"{message} {roles[message]}"
    if kind == "answer" and message is not None:
        return f"message {message}"
    return kind


def _lines(parts: list[tuple[int, Part]], ids: bool) -> list[Line]:
    """The parts cut at line breaks and at WIDTH: lines of (text, whether of an odd token)."""
    lines: list[Line] = [[]]
    room = WIDTH
    for number, part in parts:
        shown = part.shown + (f"‹{part.id}›" if ids and part.id is not None else "")
        for place, text in enumerate(shown.split("\n")):
            if place or len(text) > room:
                lines.append([])
                room = WIDTH
            for chunk in textwrap.wrap(text, WIDTH, drop_whitespace=False):
                if room <= 0:
                    lines.append([])
                    room = WIDTH
                lines[-1].append((chunk, bool(number % 2)))
                room -= len(chunk) + 1
    return [line for line in lines if line]


def _painted(line: Line, kind: str) -> str:
    shades = SHADES[kind]
    weight = ";1" if kind in ("answer", "stop") else ""
    return "".join(f"\x1b[38;5;255;48;5;{shades[odd]}{weight}m{text}\x1b[0m" for text, odd in line)


def _marked(line: Line, kind: str) -> str:
    before, after = SIDES.get(kind, ("", ""))
    return before + "¦".join(text for text, _ in line) + after


def _figures(shown: Preview) -> list[str]:
    figures = [
        (name, value) for name, value in shown.figures.items() if not isinstance(value, dict)
    ]
    lines = [
        shown.about,
        *(f"  {name:19}{value:,}" for name, value in figures if value is not None),
    ]
    checks = shown.figures.get("refused_by_check") or {}
    lines += [f"  refused by {check:24}{count:,}" for check, count in checks.items()]
    return [*map(printable, lines), "", printable(shown.card_text)]


def _failure_lines(failures: Sequence[RowView]) -> list[str]:
    lines = [f"{len(failures):,} refused rows"]
    for view in failures[:SHOWN_FAILURES]:
        refused = printable(view.refused or "").splitlines()
        lines += [printable_line(view.summary()), *(f"  {line}" for line in refused)]
    if len(failures) > SHOWN_FAILURES:
        lines.append(f"and {len(failures) - SHOWN_FAILURES:,} more; --json lists them all")
    return lines
