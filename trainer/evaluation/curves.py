"""The picture of a run: losses over steps, and what each epoch's answers and memory were like."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from xml.etree import ElementTree

from curate.base.charts import nice_ticks, plain_svg
from trainer.result import Epoch

_WIDTH, _HEIGHT, _GAP = 900, 300, 24
_SVG = {"xmlns": "http://www.w3.org/2000/svg", "font-family": "sans-serif", "font-size": "12"}
# Curves with more points than this have no dots.
_MOST_DOTS = 40
# Colours that keep at least 3:1 contrast on white, by the class of a curve.
_BLUE, _ORANGE, _VIOLET, _GREEN, _INK = "#3b82c4", "#c2620e", "#8a6bbf", "#2e8b57", "#1f2328"
_COLOURS = {
    "training": _BLUE,
    "held-out": _ORANGE,
    "held-out-example": _VIOLET,
    "training-rows": _GREEN,
    "score": _ORANGE,
    "stopped": _BLUE,
    "token-f1": _VIOLET,
    "measure": _BLUE,
    "chosen": _INK,
    "target": _INK,
}
_STYLE = (
    "text{fill:#1f2328}.guides text,.titles text{fill:#6b7280}.titles text,.axis.x text"
    "{text-anchor:middle}.axis.y text{text-anchor:end}.titles .plot_title{fill:#1f2328;"
    "font-size:14px;font-weight:bold}.background{fill:#fff}.guide{stroke:#e3e6ea}.axis .line"
    "{stroke:#e3e6ea}.series .line{fill:none;stroke-width:1.6}.chosen .line{stroke-dasharray:2 3}"
    ".target .line{stroke-dasharray:5 4}"
    + "".join(
        f".series.{name} .line{{stroke:{colour}}}.{name} .dot,.{name} rect{{fill:{colour}}}"
        for name, colour in _COLOURS.items()
    )
)
# What pygal makes for its own scripts.
_WITHOUT = ("plot text-overlay", "plot tooltip-overlay")

Point = tuple[float, float]
Read = Callable[[Epoch], float | None]


@dataclasses.dataclass(frozen=True)
class Line:
    """One curve: its name in the legend, its class in the style sheet, and its points."""

    name: str
    kind: str
    points: Sequence[Point]


@dataclasses.dataclass(frozen=True)
class Panel:
    """One chart: `mark` is the place of the chosen epoch, `level` a dashed line to compare with."""

    title: str
    across: str
    lines: tuple[Line, ...]
    mark: float
    level: float | None = None


def draw(steps: Sequence[Point], table: Sequence[Epoch], chosen: int) -> str:
    """An SVG of the losses in nats over optimizer steps, and of each measure over epochs.

    `steps` are training losses, `chosen` is the number of the chosen epoch. The background is
    opaque, so the picture reads the same on a light and on a dark page.
    """
    panels = [panel for panel in _panels(steps, table, chosen) if panel.lines]
    half = (_WIDTH - _GAP) // 2
    down = _HEIGHT * (1 + len(panels) // 2)
    whole = ElementTree.Element("svg", {**_SVG, "viewBox": f"0 0 {_WIDTH} {down}"})
    whole.attrib |= {"width": str(_WIDTH), "height": str(down)}
    ElementTree.SubElement(whole, "style").text = _STYLE
    paper = {"class": "background", "width": str(_WIDTH), "height": str(down)}
    ElementTree.SubElement(whole, "rect", paper)
    # The first has the whole width; the others are side by side below it.
    for number, panel in enumerate(panels):
        part = _drawn(panel, half if number else _WIDTH)
        left, top = (1 - number % 2) * (half + _GAP), (number + 1) // 2 * _HEIGHT
        part.attrib = {"x": str(left if number else 0), "y": str(top)}
        whole.append(part)
    return ElementTree.tostring(whole, encoding="unicode") + "\n"


def _panels(steps: Sequence[Point], table: Sequence[Epoch], chosen: int) -> list[Panel]:
    def over(axis: str, *given: tuple[str, str, Read]) -> tuple[Line, ...]:
        found = [
            Line(
                name,
                kind,
                [(getattr(line, axis), y) for line in table if (y := read(line)) is not None],
            )
            for name, kind, read in given
        ]
        return tuple(line for line in found if line.points)

    at = next(line.step for line in table if line.epoch == chosen)
    losses = over(
        "step",
        ("held out", "held-out", lambda line: line.held_out.loss if line.held_out else None),
        (
            "held out, per example",
            "held-out-example",
            lambda line: line.held_out.example_loss if line.held_out else None,
        ),
        ("training rows, no dropout", "training-rows", lambda line: line.probe.fit),
    )
    shares = over(
        "epoch",
        ("score", "score", lambda line: line.probe.score),
        ("stopped", "stopped", lambda line: line.probe.stops),
        ("token F1", "token-f1", lambda line: line.probe.token_f1),
    )
    target = next((line.probe.length_target for line in table if line.probe.length), None)
    measures: tuple[tuple[str, str, Read], ...] = (
        ("Mean length of these answers, tokens", "length", lambda line: line.probe.length),
        ("Memorised training answers, share", "memorised", lambda line: line.probe.memorised),
        ("KL to the base at held-out answers, nats", "KL", lambda line: line.probe.kl),
        (
            "Loss on general text, nats per token",
            "general text",
            lambda line: line.probe.retention,
        ),
    )
    training = (Line("training", "training", steps),) if steps else ()
    return [
        Panel("Loss, nats per trained token", "optimizer step", (*training, *losses), at),
        Panel("Answers to held-out prompts, 0 to 1", "epoch", shares, chosen),
        *(
            Panel(
                title,
                "epoch",
                over("epoch", (name, "measure", read)),
                chosen,
                target if name == "length" else None,
            )
            for title, name, read in measures
        ),
    ]


def _drawn(panel: Panel, width: int) -> ElementTree.Element:
    """One panel, with its title above and its legend below."""
    import pygal

    points = [point for line in panel.lines for point in line.points]
    levels = [] if panel.level is None else [panel.level]
    xs, ys = [x for x, _ in points], [y for _, y in points] + levels
    # Steps and epochs are whole numbers.
    across = [value for value in nice_ticks(max(xs), min(xs), 8) if value.is_integer()]
    up = nice_ticks(max(ys), min(ys))
    lines = [*panel.lines, Line("chosen", "chosen", [(panel.mark, up[0]), (panel.mark, up[-1])])]
    if panel.level is not None:
        ends = [(across[0], panel.level), (across[-1], panel.level)]
        lines.append(Line(f"target {panel.level:g}", "target", ends))
    chart = pygal.XY(
        width=width,
        height=_HEIGHT,
        margin=12,
        js=[],
        title=panel.title,
        x_title=panel.across,
        dots_size=2.5,
        xrange=(across[0], across[-1]),
        range=(up[0], up[-1]),
        x_labels=[{"value": value, "label": f"{value:g}"} for value in across],
        y_labels=[{"value": value, "label": f"{value:g}"} for value in up],
        legend_at_bottom=True,
        legend_at_bottom_columns=len(lines),
        truncate_label=-1,
        truncate_legend=-1,
    )
    for line in lines:
        has_dots = line.kind not in ("chosen", "target") and len(line.points) < _MOST_DOTS
        chart.add(line.name, line.points, show_dots=has_dots)
    return plain_svg(chart, [line.kind for line in lines], _WITHOUT)
