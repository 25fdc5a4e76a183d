"""How far apart two samples of numbers are.

The numbers are those of scipy.stats, whose import takes a second, more than a small run. Sums are
numpy's own: those of BLAS have other bits on another number of cores.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.int64] | NDArray[np.float64]


def kolmogorov_smirnov(one: Numbers, other: Numbers) -> float:
    """The largest gap between two empirical distribution functions, 0..1.

    >>> kolmogorov_smirnov(np.array([0, 0]), np.array([0, 1]))
    0.5
    """
    gaps = _gaps(one, other, np.concatenate([one, other]))
    return float(np.abs(gaps).max())


def wasserstein(one: Numbers, other: Numbers) -> float:
    """W1: the area between two empirical distribution functions, in units of the values.

    >>> wasserstein(np.array([0, 0]), np.array([0, 1]))
    0.5
    """
    values = np.sort(np.concatenate([one, other]).astype(np.float64), kind="stable")
    return float(np.sum(np.abs(_gaps(one, other, values[:-1])) * np.diff(values)))


def _gaps(one: Numbers, other: Numbers, at: Numbers) -> NDArray[np.float64]:
    """By how much the two distribution functions differ at some places."""
    shares = [np.searchsorted(np.sort(x), at, "right") / len(x) for x in (one, other)]
    return np.asarray(shares[0] - shares[1])
