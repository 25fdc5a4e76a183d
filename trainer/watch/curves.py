"""The picture of a run: losses over steps, and what each epoch's answers and memory were like."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from html import escape

from trainer.watch.result import Epoch

# Colours that keep at least 3:1 contrast on white.
_BLUE, _ORANGE, _VIOLET, _GREEN = "#3b82c4", "#c2620e", "#8a6bbf", "#2e8b57"
_INK, _FAINT, _GRID, _PAPER = "#1f2328", "#6b7280", "#e3e6ea", "#ffffff"
_WIDTH, _HEIGHT, _GAP = 900, 300, 24
_DASHED = f'stroke="{_INK}" stroke-dasharray="5 4"'
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 16, 52, 40

Point = tuple[float, float]


@dataclasses.dataclass(frozen=True)
class Line:
    """One curve; with `dots` each point is marked."""

    name: str
    colour: str
    points: Sequence[Point]
    dots: bool = True


@dataclasses.dataclass(frozen=True)
class Panel:
    """One chart: `mark` is the place of the chosen epoch, `level` a dashed line to compare with."""

    title: str
    across: str
    lines: tuple[Line, ...]
    mark: float
    level: tuple[str, float] | None = None


def draw(steps: Sequence[Point], table: Sequence[Epoch], chosen: int) -> str:
    """An SVG of the losses in nats over optimizer steps, and of each measure over epochs.

    `steps` are training losses, `chosen` is the number of the chosen epoch. The background is
    opaque, so the picture reads the same on a light and on a dark page.
    """
    panels = [panel for panel in _panels(steps, table, chosen) if any(panel.lines)]
    half = (_WIDTH - _GAP) / 2
    parts, down = [], 0.0
    for number, panel in enumerate(panels):
        is_wide = number == 0
        is_right = number > 0 and number % 2 == 0
        parts.append(
            _drawn(panel, half + _GAP if is_right else 0, down, _WIDTH if is_wide else half)
        )
        down += _HEIGHT if is_wide or is_right or number == len(panels) - 1 else 0
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {down:g}" '
        f'width="{_WIDTH}" height="{down:g}" font-family="sans-serif" font-size="12">'
        f'<rect width="{_WIDTH}" height="{down:g}" fill="{_PAPER}"/>{"".join(parts)}</svg>\n'
    )


def _panels(steps: Sequence[Point], table: Sequence[Epoch], chosen: int) -> list[Panel]:
    def over(axis: str, read: Callable[[Epoch], float | None]) -> list[Point]:
        return [
            (float(getattr(line, axis)), found)
            for line in table
            if (found := read(line)) is not None
        ]

    def lines(axis: str, *given: tuple[str, str, Callable[[Epoch], float | None]]) -> list[Line]:
        made = [Line(name, colour, over(axis, read)) for name, colour, read in given]
        return [line for line in made if line.points]

    at = next(line.step for line in table if line.epoch == chosen)
    losses = lines(
        "step",
        ("held out", _ORANGE, lambda line: line.held_out.loss if line.held_out else None),
        (
            "held out, mean of rows",
            _VIOLET,
            lambda line: line.held_out.loss_per_example if line.held_out else None,
        ),
        ("training rows, no dropout", _GREEN, lambda line: line.probe.fit),
    )
    training = Line("training", _BLUE, steps, dots=len(steps) < 40)
    target = next((line.probe.length_target for line in table if line.probe.length), None)
    shares = lines(
        "epoch",
        ("score", _ORANGE, lambda line: line.probe.score),
        ("stopped", _BLUE, lambda line: line.probe.stops),
        ("likeness", _VIOLET, lambda line: line.probe.likeness),
    )
    return [
        Panel("Loss, nats per trained token", "optimizer step", (training, *losses), at),
        Panel("Greedy answers to held-out prompts, 0 to 1", "epoch", tuple(shares), chosen),
        Panel(
            "Mean length of these answers, tokens",
            "epoch",
            tuple(lines("epoch", ("length", _BLUE, lambda line: line.probe.length))),
            chosen,
            None if target is None else ("target", target),
        ),
        Panel(
            "Training answers said word for word, share",
            "epoch",
            tuple(lines("epoch", ("verbatim", _BLUE, lambda line: line.probe.verbatim))),
            chosen,
        ),
        Panel(
            "KL to the base at held-out answers, nats",
            "epoch",
            tuple(lines("epoch", ("KL", _BLUE, lambda line: line.probe.kl))),
            chosen,
        ),
        Panel(
            "Loss on general text, nats per token",
            "epoch",
            tuple(lines("epoch", ("general text", _BLUE, lambda line: line.probe.retention))),
            chosen,
        ),
    ]


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Round numbers from below `low` to above `high`.

    >>> ticks(0.0, 1.0)
    [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    """
    span = high - low or abs(high) or 1.0
    rough = span / about
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * nice for nice in (1, 2, 5, 10) if power * nice >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(number * step, 10) for number in range(first, max(last, first + 1) + 1)]


def _drawn(panel: Panel, left: float, top: float, width: float) -> str:
    """One panel at its place in the picture."""
    points = [point for line in panel.lines for point in line.points]
    levels = [panel.level[1]] if panel.level else []
    across = ticks(min(x for x, _ in points), max(x for x, _ in points), 8)
    up = ticks(min([*(y for _, y in points), *levels]), max([*(y for _, y in points), *levels]))
    x0, x1 = left + _LEFT, left + width - _RIGHT
    y0, y1 = top + _HEIGHT - _BOTTOM, top + _TOP

    def x(value: float) -> float:
        return x0 + (value - across[0]) / (across[-1] - across[0]) * (x1 - x0)

    def y(value: float) -> float:
        return y0 - (value - up[0]) / (up[-1] - up[0]) * (y0 - y1)

    parts = [_text(left + 12, top + 20, panel.title, size=14, weight="bold")]
    for value in up:
        parts.append(f'<path d="M{x0:.1f} {y(value):.1f}H{x1:.1f}" stroke="{_GRID}"/>')
        parts.append(_text(x0 - 6, y(value) + 4, f"{value:g}", colour=_FAINT, anchor="end"))
    for value in across:
        parts.append(_text(x(value), y0 + 16, f"{value:g}", colour=_FAINT, anchor="middle"))
    parts.append(_text((x0 + x1) / 2, y0 + 32, panel.across, colour=_FAINT, anchor="middle"))
    parts.append(_mark(x(panel.mark), y0, y1))
    if panel.level:
        level = y(panel.level[1])
        parts.append(f'<path d="M{x0:.1f} {level:.1f}H{x1:.1f}" {_DASHED}/>')
    for line in panel.lines:
        placed = [(x(one), y(other)) for one, other in line.points]
        parts.append(_curve(line, placed))
    return "".join(parts) + _legend(panel, left + 12, top + 40)


def _mark(x: float, y0: float, y1: float) -> str:
    return f'<path d="M{x:.1f} {y0:.1f}V{y1:.1f}" stroke="{_INK}" stroke-dasharray="2 3"/>'


def _curve(line: Line, placed: Sequence[Point]) -> str:
    path = "L".join(f"{x:.1f} {y:.1f}" for x, y in placed)
    drawn = f'<path d="M{path}" fill="none" stroke="{line.colour}" stroke-width="1.6"/>'
    if not line.dots:
        return drawn
    return drawn + "".join(
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.5" fill="{line.colour}"/>' for x, y in placed
    )


def _legend(panel: Panel, left: float, top: float) -> str:
    """Names of the curves in a row under the title, and of the dashed and the dotted line."""
    parts, at = [], left
    for line in panel.lines:
        parts.append(
            f'<path d="M{at:.1f} {top - 4:.1f}h14" stroke="{line.colour}" stroke-width="3"/>'
        )
        parts.append(_text(at + 18, top, line.name))
        at += 32 + 6.4 * len(line.name)
    if panel.level:
        name, value = panel.level
        parts.append(f'<path d="M{at:.1f} {top - 4:.1f}h14" {_DASHED}/>')
        parts.append(_text(at + 18, top, f"{name} {value:g}"))
        at += 32 + 6.4 * len(f"{name} {value:g}")
    parts.append(_mark(at + 4, top + 1, top - 10))
    parts.append(_text(at + 12, top, "chosen"))
    return "".join(parts)


def _text(
    x: float,
    y: float,
    text: str,
    colour: str = _INK,
    anchor: str = "start",
    size: int = 12,
    weight: str = "normal",
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" fill="{colour}" text-anchor="{anchor}" '
        f'font-size="{size}" font-weight="{weight}">{escape(text)}</text>'
    )
