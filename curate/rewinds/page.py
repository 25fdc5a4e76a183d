"""The page of a rewind: what was taken, all points, how they were measured. Nothing runs in it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from curate.base.pages import POLICY, page_templates
from curate.base.terminal import printable
from curate.base.version import __version__
from curate.rewinds import plane, table
from trainer.after.rewind.results import Point, Rewound

if TYPE_CHECKING:
    import jinja2

PAGE, PICTURE = "rewind.html", "rewind.svg"
_ROTATED = (
    "The stored generators of the rotations are multiplied by the square root of alpha, so that "
    "every point on the path is a rotation again (PEFT-Arena, arXiv 2605.28819)"
)
_SCALED = (
    "What the adapter adds is multiplied by alpha; what stands in place of weights of the base "
    "(norms, rows of tokens, lengths of DoRA) is on the line between both"
)
_WHOLE = (
    "Every weight is on the line between the base's and the checkpoint's (WiSE-FT, arXiv "
    "2109.01903)"
)
_LINES = (
    " By layer (LiNeS, arXiv 2410.17146) layer l of L is at alpha + (1 - alpha)(l - 1)/(L - 1) of "
    "its way."
)


def files(found: Rewound) -> Mapping[str, str]:
    """The page and the picture, by the names of their files."""
    return {PAGE: html(found), PICTURE: plane.svg(found)}


def html(found: Rewound) -> str:
    """A self-contained page: no script, nothing fetched, all text of others escaped."""
    context: dict[str, Any] = {
        "policy": POLICY,
        "version": __version__,
        "found": found,
        "form": table.FORMS[found.form],
        "ends": _ends(found),
        "columns": table.COLUMNS,
        "chart": plane.inline(found),
        "curves": plane.shown(found),
        "names": plane.NAMES,
        "tracks": table.TRACKS,
        "meaning": table.meaning(found),
        "method": method(found),
    }
    return printable(_environment().get_template("rewind.html.jinja").render(context))


def _ends(found: Rewound) -> list[tuple[str, Point]]:
    """The base, what was taken, and the checkpoint."""
    on_path = [point for point in found.points if point.place.track == "path"]
    base, tuned = on_path[0], on_path[-1]
    rest = [] if found.chosen == tuned else [("taken", found.chosen)]
    return [("base", base), *rest, ("checkpoint", tuned)]


def method(found: Rewound) -> str:
    """How this checkpoint's path is made, in words."""
    own = _WHOLE
    if found.kind in ("OFT", "BOFT"):
        own = _ROTATED
    elif found.kind not in ("full", "bitfit", "weights"):
        own = _SCALED
    by_layer = _LINES if "lines" in found.volumes else ""
    return f"{own}. Alpha 0 is the base and alpha 1 the checkpoint.{by_layer}"


@cache
def _environment() -> jinja2.Environment:
    filters = {
        "cells": table.cells,
    }
    return page_templates("rewinds", "report", filters=filters)
