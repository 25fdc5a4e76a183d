"""Which of several points no other one beats, and how much room they cover.

Two numbers are larger the better in both: how well the target is done, and what was kept.
"""

from __future__ import annotations

from collections.abc import Sequence

Pair = tuple[float, float]


def front(points: Sequence[Pair]) -> list[int]:
    """The places of the points that none beats, in their order; equal ones stay together.

    A point is beaten by one that is at least as large in both numbers and larger in one.

    >>> front([(1, 3), (2, 2), (3, 1), (2, 1)])
    [0, 1, 2]
    """
    return [at for at, own in enumerate(points) if not any(_beats(other, own) for other in points)]


def _beats(one: Pair, other: Pair) -> bool:
    return one[0] >= other[0] and one[1] >= other[1] and one != other


def hypervolume(points: Sequence[Pair], reference: Pair) -> float:
    """The area between a reference and the points: what any of them is at least as large as.

    A point that is not above the reference in both numbers adds nothing.

    >>> hypervolume([(1, 3), (2, 2), (3, 1), (2, 1)], (0, 0))
    6.0
    """
    left, floor = reference
    area, low = 0.0, floor
    # From the right, each point adds a strip of its width, as high as it is above those before.
    for across, up in sorted(points, reverse=True):
        if across > left and up > low:
            area += (across - left) * (up - low)
            low = up
    return area
