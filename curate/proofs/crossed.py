"""Differences over seeds and prompts that are crossed: every seed meets every prompt.

The mean difference moves with the seeds (training, and the rows that a baseline draws anew) and
with the prompts. Two parts of its variance are estimated apart, as for several readers of the same
cases (Obuchowski and Rockette 1995):

- `seeds`, the variance of the seeds' own differences over their number, with seeds - 1 degrees of
  freedom. It holds the interaction of seeds and prompts as well.
- `prompts`, what all seeds share because they meet the same prompts.

With 3 to 5 seeds the first part is badly known. Degrees of freedom after Satterthwaite let through
up to 7.8 % false claims of 5 % at 3 seeds; a bootstrap of 3 seeds far more. The critical value here
is the mean of the two Student quantiles, weighted by the parts (Cochran and Cox 1950): it holds its
level from 3 seeds on, whatever the shares of the parts (`benchmarks/proof_power.py`).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
_ROUNDED = 1e-12  # of a difference
_LEAST = 1e-12  # a p value: below it Student's quantiles are not exact


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A number and the ends of its interval."""

    value: float
    low: float
    high: float

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return dataclasses.asdict(self)


@dataclasses.dataclass(frozen=True)
class Variances:
    """The two parts of a mean difference's variance, and how many seeds and prompts they are of."""

    seeds: float
    prompts: float
    seed_count: int
    prompt_count: int

    @property
    def total(self) -> float:
        return self.seeds + self.prompts


@dataclasses.dataclass(frozen=True)
class Differences:
    """One metric, selected minus baseline.

    `by_seed` has shape (seeds,). `shared` is the variance of their mean over prompts that all seeds
    share, `interaction` that of what each seed has alone.
    """

    by_seed: Floats
    shared: float
    interaction: float
    prompts: int

    @property
    def value(self) -> float:
        return float(self.by_seed.mean())

    @property
    def variances(self) -> Variances:
        """Of the mean over seeds.

        Seeds that agree by chance more than their prompts allow are not taken at their word: the
        first part is never smaller than the interaction.
        """
        count = len(self.by_seed)
        own = max(float(self.by_seed.var(ddof=1)) / count, self.interaction)
        # What rounding leaves of equal values is no scatter.
        rounded = (_ROUNDED * float(np.abs(self.by_seed).max())) ** 2
        seeds, prompts = (each if each > rounded else 0.0 for each in (own, self.shared))
        return Variances(seeds, prompts, count, self.prompts)


def ratio_differences(one: Floats, other: Floats, below: Floats) -> Differences:
    """Differences of ratios of sums over prompts, such as bits over bytes.

    `one` and `other` are numerators of shape (seeds, prompts), `below` the denominators (prompts,),
    which are the same for both. Ratios are made linear in the prompts around the seeds' own values.
    Needs two seeds and two prompts.
    """
    apart = one - other
    by_seed = apart.sum(axis=1) / below.sum()
    # What each prompt adds to its seed's ratio; its mean over prompts is that ratio.
    return linear_differences(
        by_seed, by_seed[:, None] + (apart - by_seed[:, None] * below) / below.mean()
    )


def linear_differences(by_seed: Floats, added: Floats) -> Differences:
    """Differences that are means over prompts, or have been made linear in them.

    `added` (seeds, prompts) is what each prompt adds; its mean over prompts is `by_seed` (seeds,).
    Needs two seeds and two prompts.
    """
    seeds, prompts = added.shape
    of_prompts = added.mean(axis=0)
    left = added - by_seed[:, None] - of_prompts + by_seed.mean()
    interaction = float((left**2).sum()) / ((seeds - 1) * (prompts - 1)) / (seeds * prompts)
    shared = float(of_prompts.var(ddof=1)) / prompts - interaction
    return Differences(by_seed, shared, interaction, prompts)


def redrawn_differences(by_seed: Floats, draws: Floats, prompts: int) -> Differences:
    """Differences of a statistic that is no sum, such as a median, from draws of prompts.

    `draws` of shape (draws, seeds) are the seeds' differences over prompts drawn anew, the same for
    all seeds.
    """
    seeds = len(by_seed)
    centred = draws - draws.mean(axis=0)
    mean_variance = float((centred.mean(axis=1) ** 2).sum()) / (len(draws) - 1)
    own_variance = float((centred**2).sum()) / (len(draws) - 1) / seeds
    interaction = max(own_variance - mean_variance, 0.0) / (seeds - 1)
    return Differences(by_seed, mean_variance - interaction, interaction, prompts)


def mean_differences(targets: Sequence[Differences]) -> Differences:
    """The plain mean over targets, whose prompts are apart and whose seeds are the same."""
    count = len(targets)
    return Differences(
        np.mean([each.by_seed for each in targets], axis=0),
        sum(each.shared for each in targets) / count**2,
        sum(each.interaction for each in targets) / count**2,
        sum(each.prompts for each in targets),
    )


def critical(variances: Variances, level: float) -> float:
    """How many standard errors a two-sided test at `level` asks for (Cochran and Cox 1950)."""
    of_seeds = quantile(variances.seed_count - 1, level)
    of_prompts = quantile(variances.prompt_count - 1, level)
    total = variances.total or 1.0
    return float((variances.seeds * of_seeds + variances.prompts * of_prompts) / total)


def quantile(freedom: int, level: float) -> float:
    """Student's, of a two-sided test at `level`."""
    # Importing scipy.stats takes a second; its functions lie here.
    from scipy.special import stdtrit

    return -float(stdtrit(freedom, level / 2))


def interval(found: Differences, level: float) -> Estimate:
    """The mean difference with its interval of 1 - `level`."""
    variances = found.variances
    reach = critical(variances, level) * math.sqrt(variances.total)
    return Estimate(found.value, found.value - reach, found.value + reach)


def single(found: Differences, level: float) -> Estimate:
    """In what a further seed's difference would lie, that is a single training of either side.

    Where a baseline draws its rows anew for each seed this is beside another draw.
    """
    variances = found.variances
    seeds = variances.seeds * (1 + variances.seed_count)
    wider = dataclasses.replace(variances, seeds=seeds)
    reach = critical(wider, level) * math.sqrt(wider.total)
    return Estimate(found.value, found.value - reach, found.value + reach)


def p_value(found: Differences) -> float:
    """Two-sided, for no difference: the level at which the interval would end at 0.

    Where nothing varies, neither seeds nor prompts, only the signs of the seeds are left.
    """
    variances = found.variances
    if not found.value:
        return 1.0
    if not variances.total:
        return 2.0 ** (1 - variances.seed_count)
    asked = abs(found.value) / math.sqrt(variances.total)
    low, high = math.log(_LEAST), 0.0
    for _ in range(50):
        middle = (low + high) / 2
        if critical(variances, math.exp(middle)) < asked:
            high = middle
        else:
            low = middle
    return math.exp(high)


def holm(p_values: Sequence[float]) -> list[float]:
    """P values adjusted for being several (Holm 1979): all below the level hold together.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    order = sorted(range(len(p_values)), key=lambda at: p_values[at])
    adjusted, highest = [0.0] * len(p_values), 0.0
    for rank, at in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[at]))
        adjusted[at] = highest
    return adjusted
