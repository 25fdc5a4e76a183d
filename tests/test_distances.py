"""Distances and rank correlations are those of scipy, on any number of cores to the same bit."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from scipy import stats as scipy_stats

from curate.base.distances import kolmogorov_smirnov, wasserstein
from filters.common.stats import average_ranks, spearman


@pytest.mark.parametrize("seed", range(40))
def test_they_agree_with_scipy(seed: int) -> None:
    draw = np.random.default_rng(seed)
    one, other = (draw.integers(0, 40, draw.integers(3, 300)) for _ in range(2))
    if seed % 2:
        one, other = np.log1p(one), np.log1p(other)
    ks = scipy_stats.ks_2samp(one, other, method="asymp").statistic
    assert kolmogorov_smirnov(one, other) == ks
    w1 = scipy_stats.wasserstein_distance(one, other)
    assert wasserstein(one, other) == pytest.approx(w1, rel=1e-12)
    scores = draw.random(len(one)).round(1)
    assert average_ranks(one).tolist() == scipy_stats.rankdata(one).tolist()
    rho = scipy_stats.spearmanr(one, scores).statistic
    assert spearman(one, scores) == pytest.approx(rho, abs=1e-12)


def test_the_number_of_cores_changes_no_bit() -> None:
    code = (
        "import numpy as np\n"
        "from curate.base.distances import wasserstein\n"
        "from filters.common.stats import eta_squared, spearman, permutation_null\n"
        "draw = np.random.default_rng(0)\n"
        "one, other = np.log1p(draw.integers(0, 900, 40_000)), draw.random(40_000)\n"
        "codes = draw.integers(0, 50, 40_000)\n"
        "null = permutation_null(one, codes, 3, 0)\n"
        "print(eta_squared(one, codes), spearman(one, other), wasserstein(one, other), null)\n"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "OPENBLAS_NUM_THREADS": cores, "OMP_NUM_THREADS": cores},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for cores in ("1", "2", "5")
    }
    assert len(found) == 1
