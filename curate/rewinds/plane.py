"""Every point in one plane, what was lost across and what was learnt up, as SVG."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from xml.etree import ElementTree

from markupsafe import Markup

from curate.base.charts import nice_ticks, plain_svg
from curate.base.terminal import printable_line
from trainer.after.rewind.results import Point, Rewound

Size = tuple[str, int, int]  # its class, and pixels as drawn
_WIDE, _NARROW, _FILE = ("wide", 760, 430), ("narrow", 360, 330), ("file", 760, 460)
_EMPTY = ("plot text-overlay", "plot tooltip-overlay")
_MOST_EPOCHS = 6  # of which each has its number
_LABELLED = (0.0, 0.1, 0.3, 0.5, 0.7, 1.0)
# Names of the curves are their classes in the style sheets.
NAMES = {
    "path": "path, by alpha",
    "lines": "path by layer (LiNeS)",
    "epoch": "saved epochs",
    "front": "not beaten",
    "taken": "taken",
}
_STYLE = (
    "text{fill:#1f2328;font:11px sans-serif}.background{fill:#fff}"
    ".axis .guide,.axis .line{stroke:#e3e6ea}.axis.x text,.titles text"
    "{text-anchor:middle}.axis.y text{text-anchor:end}"
    ".series .line{fill:none;stroke-width:1.8}"
    ".path .line{stroke:#2f6fab}.path .dot,.path rect{fill:#2f6fab}"
    ".lines .line{stroke:#8a6bbf;stroke-dasharray:2 3}.lines .dot,.lines rect{fill:#8a6bbf}"
    ".epoch .line{stroke:#b4560b;stroke-dasharray:6 4}.epoch .dot,.epoch rect{fill:#b4560b}"
    ".front .dot,.front rect{fill:none;stroke:#1f2328;stroke-width:1.4}"
    ".taken .dot,.taken rect{fill:#1f2328}.at{font-size:10px;fill:#4b5563}"
)


def svg(result: Rewound) -> str:
    """The picture as a file of its own, on white."""
    root = _drawn(result, _FILE)
    _, width, height = _FILE
    root.attrib |= {"xmlns": "http://www.w3.org/2000/svg", "width": str(width)}
    root.attrib["height"] = str(height)
    style = ElementTree.Element("style")
    style.text = _STYLE
    white = {"class": "background", "width": str(width), "height": str(height)}
    root.insert(0, ElementTree.Element("rect", white))
    root.insert(0, style)
    return ElementTree.tostring(root, encoding="unicode") + "\n"


def inline(result: Rewound) -> Markup:
    """The picture for a page, once for wide and once for narrow screens."""
    made = [_drawn(result, size) for size in (_WIDE, _NARROW)]
    # Made of our own shapes and numbers; ElementTree escapes the label.
    return Markup("").join(Markup(ElementTree.tostring(each, encoding="unicode")) for each in made)


def shown(result: Rewound) -> list[str]:
    """The names of the curves that are there, in order."""
    return [*result.volumes, "front", "taken"]


def _drawn(result: Rewound, size: Size) -> ElementTree.Element:
    import pygal

    name, width, height = size
    across = [point.rise for point in result.points]
    up = [point.numbers.target for point in result.points]
    x, y = nice_ticks(max(across), min(across)), nice_ticks(max(up), min(up))
    x = x[::2] if name == "narrow" and len(x) > 5 else x
    kept = printable_line(result.retention.name, 40)
    titles = {"x_title": f"rise of the loss on {kept}, nats a token"}
    titles["y_title"] = "target loss, nats a token"
    chart = pygal.XY(
        **({} if name == "narrow" else titles),
        width=width,
        height=height,
        margin=8,
        margin_right=20,
        margin_bottom=24 if name == "file" else 8,
        js=[],
        xrange=(min(x[0], min(across)), max(x[-1], max(across))),
        range=(y[0], y[-1]),
        x_labels=[{"value": value, "label": f"{value:g}"} for value in x],
        y_labels=[{"value": value, "label": f"{value:g}"} for value in y],
        show_legend=name == "file",
        legend_at_bottom=True,
        legend_at_bottom_columns=5,
        truncate_label=-1,
        truncate_legend=-1,
        dots_size=2.6,
    )
    groups = _groups(result)
    for track, points in groups.items():
        is_ring = track in ("front", "taken")
        own = [(point.rise, point.numbers.target) for point in points]
        chart.add(NAMES[track], own, stroke=not is_ring, dots_size=5.5 if is_ring else 2.6)
    root = plain_svg(chart, [*groups], _EMPTY)
    _label(root, groups)
    root.attrib = {
        "class": f"chart plane {name}",
        "viewBox": f"0 0 {width} {height}",
        "role": "img",
        "aria-label": f"target loss by the rise of the loss on {kept}, every point",
    }
    return root


def _groups(result: Rewound) -> dict[str, list[Point]]:
    """The points of each curve: tracks, those that are not beaten, and the one that was taken."""
    tests: dict[str, Callable[[Point], bool]] = {
        "front": lambda point: point.is_front and not point.is_chosen,
        "taken": lambda point: point.is_chosen,
    }
    tracks = {
        track: [point for point in result.points if point.place.track == track]
        for track in result.volumes
    }
    return tracks | {
        name: [point for point in result.points if test(point)] for name, test in tests.items()
    }


def _label(root: ElementTree.Element, groups: dict[str, list[Point]]) -> None:
    """Give some points their alpha, and epochs their number."""
    for track, points in groups.items():
        if track in ("front", "taken"):
            continue
        dots = [
            (parent, dot)
            for group in root.iter("g")
            if group.get("class") == f"series {track}"
            for parent in group.iter("g")
            for dot in parent.findall("circle")
        ]
        for (parent, dot), point in zip(dots, points, strict=True):
            if text := _name(point, points):
                # A path is bent towards the lower left, so that there is space above it.
                down = 15 if track == "epoch" else -6
                place = {"x": _moved(dot, "cx", 6), "y": _moved(dot, "cy", down), "class": "at"}
                ElementTree.SubElement(parent, "text", place).text = text


def _moved(dot: ElementTree.Element, axis: str, by: float) -> str:
    return f"{float(dot.get(axis, '0')) + by:.1f}"


def _name(point: Point, points: Sequence[Point]) -> str:
    place = point.place
    if place.track == "epoch":
        is_end = point in (points[0], points[-1])
        return f"e{place.epoch}" if is_end or len(points) <= _MOST_EPOCHS else ""
    return f"{place.alpha:g}" if place.track == "path" and place.alpha in _LABELLED else ""
