"""The picture of a run: training loss of each step and held-out loss of each epoch."""

from __future__ import annotations

import re
from collections.abc import Sequence

# Colours that keep at least 3:1 contrast on white and on near-black.
_TRAIN, _HELD_OUT, _PER_EXAMPLE = "#3b82c4", "#c2620e", "#8a6bbf"
_INK, _PAPER, _GUIDE = "#1f2328", "#ffffff", "#e3e6ea"

Point = tuple[float, float]


def draw(
    train: Sequence[Point], held_out: Sequence[Point], per_example: Sequence[Point], chosen: int
) -> str:
    """An SVG with losses in nats over optimizer steps; `chosen` is the step of the chosen epoch.

    The background is opaque, so the picture reads the same on a light and on a dark page.
    """
    import pygal
    from pygal.style import Style

    style = Style(
        background=_PAPER,
        plot_background=_PAPER,
        foreground=_INK,
        foreground_strong=_INK,
        foreground_subtle="#6b7280",
        colors=(_TRAIN, _HELD_OUT, _PER_EXAMPLE, _INK),
        guide_stroke_color=_GUIDE,
        major_guide_stroke_color=_GUIDE,
        guide_stroke_dasharray="none",
        major_guide_stroke_dasharray="none",
        label_font_size=13,
        major_label_font_size=13,
        legend_font_size=14,
        title_font_size=17,
        font_family="sans-serif",
        opacity=1.0,
        stroke_width="1.6",
    )
    chart = pygal.XY(
        style=style,
        title="Loss, nats per trained token",
        x_title="optimizer step",
        width=900,
        height=480,
        js=[],  # no script from the network
        no_prefix=True,  # no random name inside: same run, same bytes
        dots_size=2,
        legend_at_bottom=True,
        legend_at_bottom_columns=2,
        show_x_guides=False,
        truncate_legend=-1,
    )
    chart.add("training", list(train), show_dots=len(train) < 40)
    if held_out:
        chart.add("held out", list(held_out), dots_size=4)
        chart.add("held out, mean of rows", list(per_example), dots_size=3)
        best = [point for point in held_out if point[0] == chosen]
        chart.add("chosen", best, dots_size=7, stroke=False)
    # What is left of pygal's script is its settings for a viewer that is not there.
    return re.sub(r"<script.*?</script>", "", chart.render(is_unicode=True), flags=re.DOTALL)
