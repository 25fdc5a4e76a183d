"""How much each group may have of a mixture."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping, Sequence
from pathlib import PurePath

import numpy as np

from curate.base.errors import CurateError, nearest
from filters.common.arrays import Floats, Ints
from filters.common.budget import shares


def quotas(
    sizes: Ints,
    names: Sequence[str],
    wanted: Mapping[int, float],
    temperature: float,
    budget: int | None,
    unit: str,
) -> tuple[Ints, Floats]:
    """What each group may have at most, and the share of the mixture that it should have.

    `sizes` (groups,) is what there is, after caps. `wanted` gives a share by group number; the
    others divide the rest by sizes ** (1 / temperature). Without `budget` the mixture is as large
    as the shares allow. What a group without a share of its own cannot fill is given to the
    others of its kind. Raises `CurateError` for shares that these rows do not allow.
    """
    parts = _parts(sizes, names, wanted, temperature)
    total = int(sizes.sum())
    if not wanted and (total <= budget if budget is not None else temperature == 1.0):
        return sizes, parts
    asked = budget if budget is not None else _largest(sizes, parts)
    for group, share in wanted.items():
        need = round(share * asked)
        if need > sizes[group]:
            least = min(int(sizes[g] / s) for g, s in wanted.items() if s > 0)
            raise CurateError(
                f"mix: {names[group]} has {int(sizes[group]):,} {unit}, and a share of {share:g} of"
                f" {asked:,} is {need:,}; with these shares the budget can be {least:,} at most"
            )
    return _filled(sizes, parts, asked, wanted), parts


def _parts(
    sizes: Ints, names: Sequence[str], wanted: Mapping[int, float], temperature: float
) -> Floats:
    free = np.array([group not in wanted for group in range(len(sizes))], dtype=np.bool_)
    # Relative to the largest, so that no power overflows.
    powers = (sizes / max(int(sizes.max(initial=0)), 1)) ** (1.0 / temperature)
    weights = np.where(free & (sizes > 0), powers, 0.0)
    rest = 1.0 - sum(wanted.values())
    if rest > 1e-9 and not weights.any():
        raise CurateError(
            f"mix: the shares add up to {1.0 - rest:g}, and there is no other group to have the"
            f" rest; there is {', '.join(names)}"
        )
    parts = weights * (max(rest, 0.0) / max(float(weights.sum()), 1e-300))
    for group, share in wanted.items():
        parts[group] = share
    return parts


def _largest(sizes: Ints, parts: Floats) -> int:
    """The greatest total at which no group is asked for more than it has."""
    asked = parts > 0
    if not asked.any():
        return 0
    # A hair more before rounding down: 0.3 * (30 / 0.3) must remain 30.
    return int((sizes[asked] / parts[asked]).min() + 1e-6)


def _filled(sizes: Ints, parts: Floats, asked: int, wanted: Mapping[int, float]) -> Ints:
    """Whole quotas that add up to `asked`, as far as there is enough."""
    given = _rounded(parts, asked)
    fixed = np.array([group in wanted for group in range(len(sizes))], dtype=np.bool_)
    while True:  # each turn fills up a group or ends
        over = np.where(fixed, 0, np.maximum(given - sizes, 0))
        surplus = int(over.sum())
        given = given - over
        hungry = ~fixed & (given < sizes) & (parts > 0)
        if not surplus or not hungry.any():
            return np.minimum(given, sizes)
        given = given + _rounded(np.where(hungry, parts / parts[hungry].sum(), 0.0), surplus)


def _rounded(parts: Floats, total: int) -> Ints:
    """`total` in proportion to parts that add up to at most 1; largest remainders go up."""
    whole = np.rint(parts * 1_000_000_000).astype(np.int64)
    if not int(whole.sum()):
        return np.zeros(len(parts), dtype=np.int64)
    return shares(whole, min(total, int(whole.sum())))


def named(given: Mapping[str, float], names: Sequence[str], what: str) -> dict[int, float]:
    """The settings by group number; a group is meant by its name, file name, stem or a pattern.

    Raises `CurateError` for a name that no group or several groups have.
    """
    found: dict[int, float] = {}
    for wanted, value in given.items():
        hits = [number for number, name in enumerate(names) if _meant(wanted, name)]
        if len(hits) != 1:
            owners = "no group" if not hits else f"{len(hits)} groups"
            known = [PurePath(name).name or name for name in names]
            hint = nearest(wanted, known) if not hits else ""
            there_is = f"; there is {', '.join(names)}"
            raise CurateError(
                f"mix: {what} names {wanted!r}, which is the name of {owners}{hint or there_is}"
            )
        if hits[0] in found:
            raise CurateError(f"mix: {what} names {names[hits[0]]} twice")
        found[hits[0]] = value
    return found


def _meant(wanted: str, name: str) -> bool:
    path = PurePath(name)
    return wanted in (name, path.name, path.stem) or fnmatch.fnmatchcase(name, wanted)
