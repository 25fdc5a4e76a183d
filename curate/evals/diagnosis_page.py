"""The page of a diagnosis: a small chart for each measure, then the tables. Nothing runs in it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cache
from statistics import fmean
from typing import TYPE_CHECKING, NamedTuple

from curate.base.charts import nice_ticks
from curate.base.pages import POLICY, page_templates
from curate.base.terminal import printable
from curate.report.charts import NARROW, Curve, Tick, drawn

if TYPE_CHECKING:
    import jinja2
    from markupsafe import Markup

    from trainer.after.geometry.diagnosis import Diagnosis, LayerChange

_TEMPLATE = "diagnosis.html.jinja"
# Classes of the report's style sheet: a solid line, and a dashed one.
_SOLID, _DASHED = "line-1", "line-2"


class Chart(NamedTuple):
    """One measure over blocks, and what it says; `legend` names its lines where it has two."""

    title: str
    meaning: str
    svg: Markup
    legend: tuple[str, ...] = ()


def html(found: Diagnosis) -> str:
    """A self-contained page: no script, nothing fetched, all text of others escaped."""
    template = _environment().get_template(_TEMPLATE)
    return printable(
        template.render(
            policy=POLICY, found=found, outputs=block_charts(found), weights=layer_charts(found)
        )
    )


def block_charts(found: Diagnosis) -> list[Chart]:
    """What blocks give, beside the base: Procrustes, Gram and CKA."""

    def points(value: Callable[[int], float | None]) -> list[tuple[float, float]]:
        values = [(float(each.block), value(place)) for place, each in enumerate(found.blocks)]
        return [(at, max(0.0, one)) for at, one in values if one is not None]

    moved = [each.movement for each in found.blocks]
    return [
        _chart(
            "Procrustes distance",
            "what is left after the best rotation, as a share of the base's size",
            [points(lambda place: moved[place].procrustes)],
        ),
        _chart(
            "Gram distance",
            "by how much cosines between tokens differ",
            [points(lambda place: moved[place].gram)],
        ),
        _chart(
            "CKA",
            "how alike distances between tokens are; 1 for the same",
            [
                points(lambda place: moved[place].debiased),
                points(lambda place: moved[place].cka),
            ],
            ("debiased", "plain"),
        ),
    ]


_OF_LAYERS: tuple[tuple[str, str, Callable[[LayerChange], float | None]], ...] = (
    ("Size of the change", "of a weight, as a share of it", lambda each: each.size),
    (
        "Shift of outputs",
        "the squared share of what a layer gives that changes (CSD, relative)",
        lambda each: each.relative,
    ),
    (
        "Alignment with the text",
        "how much of the change points to where the text lies (CSD)",
        lambda each: each.aligned,
    ),
    ("Effective rank", "directions that the change has", lambda each: each.effective_rank),
    (
        "Loss of singular values",
        "mean change of a singular value of the weight, as a share of it",
        lambda each: each.lost,
    ),
    (
        "Spikiness",
        "how far single directions stand out from their neighbours",
        lambda each: each.spikiness,
    ),
)


def layer_charts(found: Diagnosis) -> list[Chart]:
    """How weights changed: means over the layers of a block's attention, and of the rest of it."""
    charts = []
    for title, meaning, value in _OF_LAYERS:
        lines = [_means(found.layers, value, is_attention) for is_attention in (True, False)]
        if any(lines):
            charts.append(_chart(title, meaning, lines, ("attention", "feed-forward")))
    return charts


def _means(
    layers: Sequence[LayerChange], value: Callable[[LayerChange], float | None], attention: bool
) -> list[tuple[float, float]]:
    of_block: dict[int, list[float]] = {}
    for each in layers:
        one = value(each)
        if one is not None and ("att" in each.name.partition(".")[0]) == attention:
            of_block.setdefault(each.block, []).append(one)
    return [(float(block), fmean(values)) for block, values in sorted(of_block.items())]


def _chart(
    title: str,
    meaning: str,
    lines: Sequence[Sequence[tuple[float, float]]],
    legend: tuple[str, ...] = (),
) -> Chart:
    names = (_SOLID, _DASHED)
    there = [(name, points) for name, points in zip(names, lines, strict=False) if points]
    curves = [Curve(name, _stretched(points)) for name, points in there]
    ats = [at for _, points in there for at, _ in points]
    highest = max(value for _, points in there for _, value in points)
    x = [Tick(at, f"{at:.0f}") for at in _integers(nice_ticks(max(ats), min(ats))) if at in ats]
    y = [Tick(at, f"{at:g}") for at in nice_ticks(highest)]
    svg = drawn(curves, x, y, f"{title} by block", NARROW, filled=False)
    return Chart(title, meaning, svg, legend)


def _stretched(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The points of a curve; a single one as a line that can be seen."""
    if len(points) > 1:
        return list(points)
    ((at, value),) = points
    return [(at - 0.5, value), (at + 0.5, value)]


def _integers(ticks: Iterable[float]) -> list[float]:
    return [tick for tick in ticks if tick.is_integer()]


def number(value: float | None) -> str:
    """A measure for a table."""
    return "–" if value is None else f"{value:.4g}"


@cache
def _environment() -> jinja2.Environment:
    filters = {
        "count": lambda count: f"{count:,}",
        "number": number,
    }
    return page_templates("evals", "report", filters=filters)
