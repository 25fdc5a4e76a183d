"""What a rewind hands back: every point that was measured, and the one that was written."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

# How a point was reached: on the path, on the path layer by layer, or while training.
Track = Literal["path", "lines", "epoch"]


@dataclasses.dataclass(frozen=True)
class Place:
    """Where a point lies: at `alpha` of a path, or at the end of a saved `epoch`."""

    track: Track
    alpha: float = 1.0
    epoch: int | None = None

    def __str__(self) -> str:
        if self.track == "epoch":
            return f"epoch {self.epoch}"
        return f"{'LiNeS' if self.track == 'lines' else 'alpha'} {self.alpha:g}"

    @property
    def is_base(self) -> bool:
        """Whether it is the base itself."""
        return self.track == "path" and self.alpha == 0


@dataclasses.dataclass(frozen=True)
class Numbers:
    """What is measured of a model.

    `target` and `retention` are nats a token; `kl` is KL(model || base) in nats a token, and
    `top1` the share of tokens of which both think the same one the likeliest, on the retention
    text.
    """

    target: float
    retention: float
    kl: float
    top1: float


@dataclasses.dataclass(frozen=True)
class Point:
    """A place and what was measured there.

    `distance` is how far its weights are from the base's (Frobenius norm over all of them), as a
    share of the whole way; `rise` is the retention loss above the base's; `volume` the hypervolume
    of the point alone. `is_front` tells whether no other point beats it.
    """

    place: Place
    distance: float
    numbers: Numbers
    rise: float
    volume: float
    is_front: bool
    is_chosen: bool

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        place = {"name": str(self.place), **dataclasses.asdict(self.place)}
        rest = {
            name: getattr(self, name)
            for name in ("distance", "rise", "volume", "is_front", "is_chosen")
        }
        return {**place, **dataclasses.asdict(self.numbers), **rest}


@dataclasses.dataclass(frozen=True)
class Text:
    """What a loss is of: a name, and how many rows and targets of it are read."""

    name: str
    rows: int
    targets: int


@dataclasses.dataclass(frozen=True)
class Rewound:
    """All points, the one that was chosen and why, and what was written to `out`.

    `form` says what lies there: an adapter again, or whole weights. `reference` is where the
    hypervolumes begin, as target and retention loss; `volumes` are those of all points of one track
    together. `length` is the whole way as a share of the norm of the weights that were changed.
    """

    out: Path
    source: str
    base: str
    kind: str
    form: Literal["adapter", "weights"]
    points: tuple[Point, ...]
    why: str
    max_retention_loss: float | None
    target: Text
    retention: Text
    compared: int
    reference: tuple[float, float]
    volumes: Mapping[str, float]
    length: float
    notices: tuple[str, ...]
    hashes: Mapping[str, str | None]

    @property
    def chosen(self) -> Point:
        """The point that was written."""
        return next(point for point in self.points if point.is_chosen)

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON, without where they were written."""
        about = {
            name: getattr(self, name)
            for name in ("source", "base", "kind", "form", "why", "max_retention_loss", "compared")
        }
        reference = dict(zip(("target", "retention"), self.reference, strict=True))
        return {
            **about,
            "alpha": self.chosen.place.alpha,
            "chosen": str(self.chosen.place),
            "units": "nats a token",
            "target": dataclasses.asdict(self.target),
            "retention": dataclasses.asdict(self.retention),
            "reference": reference,
            "volumes": dict(self.volumes),
            "length": self.length,
            "hashes": dict(self.hashes),
            "notices": list(self.notices),
            "points": [point.as_dict() for point in self.points],
        }
