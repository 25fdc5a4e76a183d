"""The points of a rewind as lines for a terminal."""

from __future__ import annotations

from collections.abc import Iterator

from trainer.after.rewind.results import Point, Rewound

COLUMNS = ("way", "target", "retention", "rise", "KL", "same token")


def lines(result: Rewound) -> Iterator[str]:
    """A table of all points, what is meant by it, and what was taken."""
    names = [str(point.place) for point in result.points]
    width = max(len(name) for name in names)
    yield f"{'point':<{width}}  " + "  ".join(f"{name:>10}" for name in COLUMNS)
    for name, point in zip(names, result.points, strict=True):
        row = "  ".join(f"{cell:>10}" for cell in cells(point))
        yield f"{name:<{width}}  {row}{_mark(point)}"
    yield meaning(result)
    for track, volume in result.volumes.items():
        yield f"hypervolume of {TRACKS[track]}: {volume:.4g}"
    target, retention = result.reference
    yield f"hypervolumes begin at target {target:.4f}, retention {retention:.4f}"
    yield f"taken: {result.chosen.place}: {result.why}"
    yield f"written: {FORMS[result.form]}"


def cells(point: Point) -> tuple[str, ...]:
    """What was measured of a point, in the order of the columns."""
    found = point.numbers
    return (
        f"{point.distance:.0%}",
        f"{found.target:.4f}",
        f"{found.retention:.4f}",
        f"{point.rise:+.4f}",
        f"{found.kl:.4f}",
        f"{found.top1:.1%}",
    )


def _mark(point: Point) -> str:
    return f"{'  front' if point.is_front else ''}{'  taken' if point.is_chosen else ''}"


def meaning(result: Rewound) -> str:
    """What the columns are of."""
    return (
        f"target: nats a token of {result.target.name} ({result.target.targets:,} tokens); "
        f"retention: nats a token of {result.retention.name} ({result.retention.targets:,}); KL to "
        f"the base and the same likeliest token on {result.compared:,} of those; way: distance of "
        "the weights from the base, as a share of the checkpoint's"
    )


TRACKS = {"path": "the path", "lines": "the path by layer (LiNeS)", "epoch": "the saved epochs"}
FORMS = {
    "adapter": "an adapter again, for the same base",
    "weights": "a whole model",
}
