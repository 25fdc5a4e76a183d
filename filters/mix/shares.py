"""How much each group may have of a mixture."""

from __future__ import annotations

import fnmatch
import math
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import PurePath

import numpy as np

from curate.base.errors import CurateError, nearest
from filters.common.arrays import Floats, Ints

_FINEST = 1e12  # weights are whole numbers up to this


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
    others of its kind. Quotas are whole: the largest remainders go up, equal ones by name (the
    order of the groups), so that they add up to the mixture. Raises `CurateError` for shares that
    these rows do not allow.
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
    return _rounded(*_exact(sizes, _weights(sizes, wanted, temperature), asked, wanted)), parts


def _parts(
    sizes: Ints, names: Sequence[str], wanted: Mapping[int, float], temperature: float
) -> Floats:
    weights = _weights(sizes, wanted, temperature).astype(np.float64)
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


def _weights(sizes: Ints, wanted: Mapping[int, float], temperature: float) -> Ints:
    """By what the groups without a share of their own (the others: 0) divide the rest."""
    free = np.array([group not in wanted for group in range(len(sizes))], dtype=np.bool_)
    if temperature == 1.0:
        return np.where(free, sizes, 0)
    # Relative to the largest, so that no power overflows; whole, so that no sum is rounded.
    powers = (sizes / max(int(sizes.max(initial=0)), 1)) ** (1.0 / temperature)
    whole = np.maximum(np.rint(powers * _FINEST), 1)
    return np.where(free & (sizes > 0), whole, 0).astype(np.int64)


def _exact(
    sizes: Ints, weights: Ints, asked: int, wanted: Mapping[int, float]
) -> tuple[list[int], int]:
    """What each group has of `asked` before rounding: numerators and their denominator.

    No group has more than there is of it; what it cannot fill the others have by their weights.
    """
    size, weight = sizes.tolist(), weights.tolist()
    fixed = {group: min(_fraction(share) * asked, size[group]) for group, share in wanted.items()}
    left = max(Fraction(asked) - sum(fixed.values()), Fraction(0))
    free = [group for group, own in enumerate(weight) if own]
    total = sum(weight)
    while True:  # each turn fills up a group or ends
        part = left / total if free else Fraction(0)
        full = {g for g in free if weight[g] * part.numerator >= size[g] * part.denominator}
        if not full:
            break
        fixed |= {group: Fraction(size[group]) for group in full}
        left -= sum(size[group] for group in full)
        free = [group for group in free if group not in full]
        total = sum(weight[group] for group in free)
    whole = math.lcm(part.denominator, *{each.denominator for each in fixed.values()})
    found = [0] * len(size)
    for group, each in fixed.items():
        found[group] = each.numerator * (whole // each.denominator)
    for group in free:
        found[group] = weight[group] * part.numerator * (whole // part.denominator)
    return found, whole


def _rounded(exact: list[int], whole: int) -> Ints:
    """`exact` / `whole` as whole numbers of the same sum; largest remainders up, then by number."""
    given = [each // whole for each in exact]
    remainder = [each % whole for each in exact]
    total = (2 * sum(exact) + whole) // (2 * whole)
    most = sorted(range(len(exact)), key=lambda group: (-remainder[group], group))
    for group in most[: total - sum(given)]:
        given[group] += 1
    return np.array(given, dtype=np.int64)


def _fraction(share: float) -> Fraction:
    """A share as it was written: 0.1 is a tenth."""
    return Fraction(repr(float(share)))


def named(given: Mapping[str, float], names: Sequence[str], what: str) -> dict[int, float]:
    """The settings by group number; a group is meant by its name, file name, stem or a pattern.

    Raises `CurateError` for a name that no group or several groups have.
    """
    found: dict[int, float] = {}
    for wanted, value in given.items():
        # A whole name means that group, whatever else it may be the stem or a pattern of.
        hits = [number for number, name in enumerate(names) if wanted == name] or [
            number for number, name in enumerate(names) if _meant(wanted, name)
        ]
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
