"""The picture of a run: losses over steps, and what each epoch's answers and memory were like."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from xml.etree import ElementTree

from curate.base.charts import nice_ticks, plain_svg
from trainer.result import Epoch

_WIDTH, _HEIGHT, _GAP = 900, 300, 24
_SVG = {"xmlns": "http://www.w3.org/2000/svg", "font-family": "sans-serif", "font-size": "12"}
# Curves with more points than this have no dots.
_MOST_DOTS = 40
# Colours that keep at least 3:1 contrast on white, for the curves of a chart in their order.
_COLOURS = ("#3b82c4", "#c2620e", "#8a6bbf", "#2e8b57")
_CLASSES = ("curve-0", "curve-1", "curve-2", "curve-3", "chosen", "target")
_STYLE = (
    "text{fill:#1f2328}.guides text,.titles text{fill:#6b7280}.titles text,.axis.x text"
    "{text-anchor:middle}.axis.y text{text-anchor:end}.titles .plot_title{fill:#1f2328;"
    "font-size:14px;font-weight:bold}.background{fill:#fff}.guide{stroke:#e3e6ea}.axis .line"
    "{stroke:#e3e6ea}.series .line{fill:none;stroke-width:1.6}.chosen .line{stroke-dasharray:2 3}"
    ".target .line{stroke-dasharray:5 4}"
    + "".join(
        f".series.{name} .line{{stroke:{colour}}}.{name} .dot,.{name} rect{{fill:{colour}}}"
        for name, colour in zip(_CLASSES, (*_COLOURS, "#1f2328", "#1f2328"), strict=True)
    )
)
# What pygal makes for its own scripts.
_WITHOUT = ("plot text-overlay", "plot tooltip-overlay")

Point = tuple[float, float]

_LENGTH = "Mean length of these answers, tokens"
# The title of a chart over epochs, and its curves: name and measure.
_OF_EPOCHS: tuple[tuple[str, Mapping[str, str]], ...] = (
    (
        "Answers to held-out prompts, 0 to 1",
        {"score": "score", "stopped": "stops", "token F1": "token_f1"},
    ),
    (_LENGTH, {"length": "length", "chosen": "chosen_length", "rejected": "rejected_length"}),
    ("Held-out pairs, share", {"right": "accuracy", "the longer wins": "longer_wins"}),
    (
        "Rewards of held-out answers",
        {"chosen": "chosen_reward", "rejected": "rejected_reward", "margin": "margin"},
    ),
    (
        "Classes of held-out rows, 0 to 1",
        {"macro-F1": "macro_f1", "accuracy": "label_accuracy"},
    ),
    ("Memorised training answers, share", {"memorised": "memorised"}),
    ("KL to the base at held-out answers, nats", {"KL": "kl"}),
    ("Loss on general text, nats per token", {"general text": "retention"}),
    ("Divergence from the teacher at held-out answers, nats", {"KL": "teacher_kl"}),
)
_OF_STEPS = {
    "held out": "loss",
    "held out, per example": "example_loss",
    "training rows, no dropout": "fit",
}


@dataclasses.dataclass(frozen=True)
class Line:
    """One curve, and its name in the legend."""

    name: str
    points: Sequence[Point]


@dataclasses.dataclass(frozen=True)
class Panel:
    """One chart: `mark` is the place of the chosen epoch, `level` a dashed line to compare with."""

    title: str
    across: str
    lines: tuple[Line, ...]
    mark: float
    level: float | None = None


def draw(
    steps: Sequence[Point], table: Sequence[Epoch], chosen: int, penalties: Sequence[Point] = ()
) -> str:
    """An SVG of the losses in nats over optimizer steps, and of each measure over epochs.

    `steps` are training losses, `chosen` is the number of the chosen epoch, and `penalties` are
    those of a regulariser. The background is opaque, so the picture reads the same on a light and
    on a dark page.
    """
    panels = [panel for panel in _panels(steps, table, chosen, penalties) if panel.lines]
    half = (_WIDTH - _GAP) // 2
    down = _HEIGHT * (1 + len(panels) // 2)
    size = {"width": str(_WIDTH), "height": str(down)}
    whole = ElementTree.Element("svg", {**_SVG, "viewBox": f"0 0 {_WIDTH} {down}", **size})
    ElementTree.SubElement(whole, "style").text = _STYLE
    ElementTree.SubElement(whole, "rect", {"class": "background", **size})
    # The first has the whole width; the others are side by side below it.
    for number, panel in enumerate(panels):
        part = _drawn(panel, half if number else _WIDTH)
        left, top = (1 - number % 2) * (half + _GAP), (number + 1) // 2 * _HEIGHT
        part.attrib = {"x": str(left if number else 0), "y": str(top)}
        whole.append(part)
    return ElementTree.tostring(whole, encoding="unicode") + "\n"


def _panels(
    steps: Sequence[Point], table: Sequence[Epoch], chosen: int, penalties: Sequence[Point]
) -> list[Panel]:
    at = next(line.step for line in table if line.epoch == chosen)
    training = (Line("training", steps),) if steps else ()
    losses = _lines([(line.step, line) for line in table], _OF_STEPS)
    is_paired = any(line.held_out and line.held_out.margin is not None for line in table)
    title = f"Loss, nats per {'pair' if is_paired else 'trained token'}"
    panels = [Panel(title, "optimizer step", (*training, *losses), at)]
    drawn_back = (Line("penalty", penalties),) if penalties else ()
    panels.append(Panel("Penalty of the regulariser, nats", "optimizer step", drawn_back, at))
    by_epoch = [(line.epoch, line) for line in table]
    target = next((line.probe.length_target for line in table if line.probe.length), None)
    for title, curves in _OF_EPOCHS:
        level = target if title == _LENGTH else None
        panels.append(Panel(title, "epoch", _lines(by_epoch, curves), chosen, level))
    return panels


def _lines(table: Sequence[tuple[int, Epoch]], names: Mapping[str, str]) -> tuple[Line, ...]:
    """The curves of measures over the places of the epochs, but for those not measured at all."""
    measured = [(place, line.measures()) for place, line in table]
    lines = [
        Line(name, [(place, found[key]) for place, found in measured if key in found])
        for name, key in names.items()
    ]
    return tuple(line for line in lines if line.points)


def _drawn(panel: Panel, width: int) -> ElementTree.Element:
    """One panel, with its title above and its legend below."""
    import pygal

    points = [point for line in panel.lines for point in line.points]
    levels = [] if panel.level is None else [panel.level]
    xs, ys = [x for x, _ in points], [y for _, y in points] + levels
    # Steps and epochs are whole numbers.
    across = [value for value in nice_ticks(max(xs), min(xs), 8) if value.is_integer()]
    up = nice_ticks(max(ys), min(ys))
    classes = [*_CLASSES[: len(panel.lines)], "chosen", "target"]
    lines = [*panel.lines, Line("chosen", [(panel.mark, up[0]), (panel.mark, up[-1])])]
    if panel.level is not None:
        ends = [(across[0], panel.level), (across[-1], panel.level)]
        lines.append(Line(f"target {panel.level:g}", ends))
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
        has_dots = line in panel.lines and len(line.points) < _MOST_DOTS
        chart.add(line.name, line.points, show_dots=has_dots)
    return plain_svg(chart, classes, _WITHOUT)
