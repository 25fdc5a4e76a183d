"""How far apart two samples of numbers are, by scipy."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.int64] | NDArray[np.float64]

# scipy.stats is imported where it is needed: its import takes a second.


def kolmogorov_smirnov(one: Numbers, other: Numbers) -> float:
    """The largest gap between two empirical distribution functions, 0..1.

    >>> kolmogorov_smirnov(np.array([0, 0]), np.array([0, 1]))
    0.5
    """
    from scipy.stats import ks_2samp

    with np.errstate(divide="ignore", invalid="ignore"):  # of the p-value, which nobody reads
        return float(ks_2samp(one, other, method="asymp").statistic)


def wasserstein(one: Numbers, other: Numbers) -> float:
    """W1: the area between two empirical distribution functions, in units of the values.

    >>> wasserstein(np.array([0, 0]), np.array([0, 1]))
    0.5
    """
    from scipy.stats import wasserstein_distance

    return float(wasserstein_distance(one, other))
