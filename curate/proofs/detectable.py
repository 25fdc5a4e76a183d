"""What a proof could have seen: the power of its test, from the variances that it met.

The power is integrated over what the variances might have been estimated as, so it is that of the
very test in `crossed`. Where prompts add nothing it is the power of Student's test.
"""

from __future__ import annotations

import dataclasses
import math
from functools import cache

import numpy as np

from curate.proofs.crossed import Floats, Variances, critical

_POINTS = 400  # of the distribution of the seeds' variance
_FEW_POINTS = 8  # of that of the prompts', which are many
_CLOSE = 1e-6  # of the power asked for, in standard deviations


def power(effect: float, variances: Variances, level: float) -> float:
    """How often a true difference of `effect` is seen at `level`, if these variances are true.

    >>> round(power(3.26, Variances(1 / 3, 0.0, 3, 100), 0.05), 2)
    0.8
    """
    from scipy.special import ndtr

    true = math.sqrt(variances.total)
    if not true:
        return float(effect != 0)
    reach = _reaches(variances, level)
    return float((ndtr((effect - reach) / true) + ndtr((-effect - reach) / true)).mean())


def detectable(variances: Variances, level: float, asked: float) -> float:
    """The smallest true difference that is seen with a power of `asked`, in the metric's unit.

    Of few seeds the variance comes out too small more often than too large; it is taken at the
    value that as many runs over- as understate.
    """
    from scipy.special import chdtri

    freedom = variances.seed_count - 1
    typical = freedom / float(chdtri(freedom, 0.5))
    variances = dataclasses.replace(variances, seeds=variances.seeds * typical)
    return smallest(variances, level, asked)


def smallest(variances: Variances, level: float, asked: float) -> float:
    """As `detectable`, for variances that are known to be true."""
    from scipy.special import ndtr, ndtri

    true = math.sqrt(variances.total)
    if not true:
        return 0.0
    reach = _reaches(variances, level)
    wanted = float(ndtri(asked))

    def beyond(effect: float) -> float:
        seen = ndtr((effect - reach) / true) + ndtr((-effect - reach) / true)
        return float(ndtri(seen.mean())) - wanted

    # In these terms power is nearly a straight line: a few steps of a bracketed secant.
    low, high = 0.0, true
    while (above := beyond(high)) < 0:
        low, high = high, 2 * high
    below = beyond(low)
    while high - low > _CLOSE * true:
        middle = high - above * (high - low) / (above - below)
        middle = min(max(middle, low + 0.02 * (high - low)), high - 0.02 * (high - low))
        at = beyond(middle)
        if abs(at) < _CLOSE:
            return middle
        low, below, high, above = (middle, at, high, above) if at < 0 else (low, below, middle, at)
    return high


def _reaches(variances: Variances, level: float) -> Floats:
    """Half widths of intervals that such a run may come to, all equally likely."""
    points = _FEW_POINTS if variances.prompts else 1
    seeds = variances.seeds * _scales(variances.seed_count - 1, _POINTS)[:, None]
    prompts = variances.prompts * _scales(variances.prompt_count - 1, points)[None, :]
    one, other = (
        critical(dataclasses.replace(variances, seeds=a, prompts=b), level)
        for a, b in ((1.0, 0.0), (0.0, 1.0))
    )
    return np.ravel((seeds * one + prompts * other) / np.sqrt(seeds + prompts))


@cache
def _scales(freedom: int, points: int) -> Floats:
    """Values of chi squared over its degrees of freedom, each of the same probability."""
    from scipy.special import chdtri

    shares = (np.arange(points) + 0.5) / points
    return np.asarray(chdtri(freedom, shares) / freedom, np.float64)
