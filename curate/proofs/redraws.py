"""Prompts and seeds drawn anew: the bootstrap that stands beside the intervals of `crossed`.

A draw takes as many prompts of each target as there are, and as many seeds, with replacement, the
same for both sides of a comparison. With 3 to 5 seeds its percentiles are too narrow, so no verdict
rests on it; it shows where a mean over prompts is not what it seems.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from curate.proofs.crossed import Estimate, Floats
from curate.proofs.design import LEVEL
from curate.proofs.metrics import Ratios

AT_ONCE = 1_000_000  # counts held at a time
_BITS = 52  # whole numbers below 2 ** 53 add up in floating point without rounding


def counts(prompts: int, draws: int, generator: np.random.Generator) -> Iterator[Floats]:
    """How often each prompt is drawn: parts of shape (some of the draws, prompts)."""
    most = max(1, AT_ONCE // prompts)
    for start in range(0, draws, most):
        some = min(most, draws - start)
        at = generator.integers(prompts, size=(some, prompts), dtype=np.int32)
        at += np.arange(some, dtype=np.int32)[:, None] * prompts
        drawn = np.bincount(at.ravel(), minlength=some * prompts)
        yield drawn.reshape(some, prompts).astype(np.float64)


def redrawn(
    targets: Mapping[str, Ratios], first: str, draws: int, seed: int
) -> dict[tuple[str, str | None], Estimate]:
    """Percentile intervals of `first` minus every other baseline, on each target and over all.

    Keys are (baseline, target), with None for the mean over targets. Nothing for no draws.
    """
    if not draws:
        return {}
    generator = np.random.Generator(np.random.PCG64(seed))
    seeds = len(next(iter(targets.values())).above[first])
    which = generator.integers(seeds, size=(draws, seeds))
    share = (which[:, :, None] == np.arange(seeds)).sum(axis=1) / seeds
    others = [name for name in next(iter(targets.values())).above if name != first]
    found: dict[tuple[str, str | None], Floats] = {(name, None): np.zeros(draws) for name in others}
    for target, ratios in targets.items():
        columns = np.stack([ratios.above[first] - ratios.above[name] for name in others])
        drawn = _drawn(columns.reshape(-1, columns.shape[-1]), ratios.below, draws, generator)
        by_seed = drawn.reshape(draws, len(others), seeds)
        for at, name in enumerate(others):
            found[name, target] = (by_seed[:, at] * share).sum(axis=1)
            found[name, None] += found[name, target] / len(targets)
    ends = [50 * LEVEL, 100 - 50 * LEVEL]
    return {key: _estimate(values, ends) for key, values in found.items()}


def _estimate(values: Floats, ends: list[float]) -> Estimate:
    low, high = np.percentile(values, ends)
    return Estimate(float(values.mean()), float(low), float(high))


def _drawn(columns: Floats, below: Floats, draws: int, generator: np.random.Generator) -> Floats:
    """Ratios of sums over drawn prompts, of shape (draws, columns)."""
    prompts = len(below)
    # Products of matrices have other last bits on another number of cores, but for whole numbers.
    largest = float(np.abs(columns).max()) or 1.0
    power = _BITS - int(np.ceil(np.log2(largest))) - int(np.ceil(np.log2(prompts)))
    whole = np.rint(np.ldexp(columns, power))
    parts = [
        np.ldexp(drawn @ whole.T, -power) / (drawn @ below)[:, None]
        for drawn in counts(prompts, draws, generator)
    ]
    return np.concatenate(parts)


def redrawn_lengths(lengths: Floats, own: Floats, draws: int, seed: int) -> dict[str, Floats]:
    """The metrics of answer lengths over drawn prompts: each of shape (draws, columns).

    `lengths` has shape (columns, prompts), a column for each model; `own` (prompts,) are the
    target's. All columns see the same draws.
    """
    generator = np.random.Generator(np.random.PCG64(seed))
    found: dict[str, list[Floats]] = {"median_length": [], "length_w1": [], "length_ks": []}
    for drawn in counts(len(own), draws, generator):
        columns = [_lengths(column, own, drawn) for column in lengths]
        for name, parts in found.items():
            parts.append(np.stack([column[name] for column in columns], axis=1))
    return {name: np.concatenate(parts) for name, parts in found.items()}


def _lengths(column: Floats, own: Floats, drawn: Floats) -> dict[str, Floats]:
    """The metrics of one model's answers for drawn prompts: each of shape (draws,)."""
    order = np.argsort(column, kind="stable")
    so_far = drawn[:, order].cumsum(axis=1)
    # The lower median: the first value that half of the answers do not exceed.
    at = (so_far >= (len(own) + 1) // 2).argmax(axis=1)
    values = np.concatenate([column, own])
    both = np.argsort(values, kind="stable")
    steps = np.diff(values[both])
    gaps = np.concatenate([drawn, -drawn], axis=1)[:, both].cumsum(axis=1)[:, :-1] / len(own)
    apart = np.abs(gaps)
    return {
        "median_length": column[order][at],
        "length_w1": (apart * steps).sum(axis=1),
        # A gap between two equal values is none.
        "length_ks": np.where(steps > 0, apart, 0.0).max(axis=1, initial=0.0),
    }
