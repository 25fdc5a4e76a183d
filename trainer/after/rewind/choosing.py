"""Which point is written: by a bound on what is lost, or by the room it covers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from trainer.after.rewind.front import front, hypervolume
from trainer.after.rewind.results import Numbers, Place, Point

Measured = Mapping[Place, tuple[float, Numbers]]
BASE, TUNED = Place("path", 0.0), Place("path", 1.0)


def reference_of(found: Measured) -> tuple[float, float]:
    """Where hypervolumes begin: the worse of base and checkpoint in each loss, nats a token.

    Both ends are known before anything between them is measured, so no point decides how it is
    itself compared.
    """
    ends = [found[place][1] for place in (BASE, TUNED)]
    return max(end.target for end in ends), max(end.retention for end in ends)


def choose(found: Measured, bound: float | None, name: str) -> tuple[Place, str]:
    """The place that is taken, and why. The base is none: it is there without a rewind.

    Of the points whose retention loss rose by at most `bound`, the one with the lowest target loss;
    where none does, or no bound is given, the one with the largest hypervolume. `name` is what the
    retention loss is of. Of equal points the one nearest to the base is taken.
    """
    able = sorted((place for place in found if not place.is_base), key=lambda one: found[one][0])
    base = found[BASE][1].retention
    failed = ""
    if bound is not None:
        kept = [place for place in able if found[place][1].retention - base <= bound]
        if kept:
            best = min(kept, key=lambda one: found[one][1].target)
            return best, (
                f"lowest target loss of the {len(kept)} points whose loss on {name} rose by at "
                f"most {bound:g} nats a token"
            )
        failed = f"no point keeps the loss on {name} within {bound:g} of the base; "
    reference = reference_of(found)
    volumes = {place: _volume(found[place][1], reference) for place in able}
    shown = f"target {reference[0]:.4f}, retention {reference[1]:.4f}"
    best = max(able, key=lambda one: volumes[one])
    if volumes[best] > 0:
        return best, f"{failed}largest hypervolume, {volumes[best]:.4g}, above {shown}"
    best = min(able, key=lambda one: found[one][1].target)
    return best, (
        f"{failed}no point is better than both ends at their worst ({shown}), so the one with the "
        "lowest target loss is taken"
    )


def points_of(found: Measured, chosen: Place) -> tuple[Point, ...]:
    """All points in the order in which they were measured."""
    reference, base = reference_of(found), found[BASE][1].retention
    whole = found[TUNED][0]
    numbers = [each for _, each in found.values()]
    best = {*front([_pair(each) for each in numbers])}
    return tuple(
        Point(
            place=place,
            distance=distance / whole,
            numbers=each,
            rise=each.retention - base,
            volume=_volume(each, reference),
            is_front=at in best,
            is_chosen=place == chosen,
        )
        for at, (place, (distance, each)) in enumerate(found.items())
    )


def volumes_of(found: Measured) -> dict[str, float]:
    """The hypervolume of all points of a track together."""
    reference = reference_of(found)
    tracks = dict.fromkeys(place.track for place in found)
    return {
        track: hypervolume(
            [_pair(each) for place, (_, each) in found.items() if place.track == track],
            _losses(*reference),
        )
        for track in tracks
    }


def _volume(numbers: Numbers, reference: Sequence[float]) -> float:
    return hypervolume([_pair(numbers)], _losses(*reference))


def _pair(numbers: Numbers) -> tuple[float, float]:
    return _losses(numbers.target, numbers.retention)


def _losses(target: float, retention: float) -> tuple[float, float]:
    """Two losses as numbers of which more is better."""
    return -target, -retention
