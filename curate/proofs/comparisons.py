"""Selected minus a baseline on one metric: the difference, what it was taken from, its verdict."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from curate.proofs.crossed import Differences, Estimate, holm, interval, p_value, single
from curate.proofs.design import LEVEL, POWER, Design
from curate.proofs.detectable import detectable
from curate.proofs.metrics import METRICS

BETTER, WORSE, HIGHER, LOWER = "better", "worse", "higher", "lower"
NO_DIFFERENCE, NOT_SHOWN = "no difference", "not shown"


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Selected minus baseline, on a target or (`target` is None) over all.

    `difference` has the 95 % interval of this comparison alone, `narrow` the 90 % interval that has
    to lie within `margin` for "no difference"; `single` is where one further seed would lie. `holm`
    is the p value adjusted for the family. `would_see` is the smallest true difference that this
    run sees with the power asked for, at the level of the family's first step. `redrawn` is the
    bootstrap's interval.
    """

    metric: str
    baseline: str
    target: str | None
    selected: float
    other: float
    difference: Estimate
    by_seed: tuple[float, ...]
    prompts: int
    seed_variance: float
    prompt_variance: float
    p: float
    holm: float
    would_see: float
    verdict: str
    narrow: Estimate
    single: Estimate
    margin: float | None = None
    redrawn: Estimate | None = None

    @property
    def within_margin(self) -> bool:
        """Whether the 90 % interval lies within the margin (two one-sided tests)."""
        return (
            self.margin is not None
            and max(abs(self.narrow.low), abs(self.narrow.high)) < self.margin
        )

    @property
    def is_constant(self) -> bool:
        """Whether nothing varied, neither with the seeds nor with the prompts."""
        return self.seed_variance + self.prompt_variance == 0

    @property
    def in_each_training(self) -> bool:
        """Whether a single training of either side would show the same sign."""
        return self.single.low > 0 or self.single.high < 0

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {**dataclasses.asdict(self), "within_margin": self.within_margin}


@dataclasses.dataclass(frozen=True)
class Level:
    """What one side came to: a metric on a target, or over all, for each seed."""

    by_seed: tuple[float, ...]

    @property
    def mean(self) -> float:
        return sum(self.by_seed) / len(self.by_seed)


Key = tuple[str, str | None]  # a baseline, and a target or None


def family(
    metric: str,
    found: Mapping[Key, Differences],
    levels: Mapping[Key, tuple[float, float]],
    design: Design,
    redrawn: Mapping[Key, Estimate] | None = None,
) -> list[Comparison]:
    """Verdicts of comparisons that are claimed together.

    `levels` are the means of the selected and of the other side. Only bits per byte have a margin.
    """
    adjusted = holm([p_value(each) for each in found.values()])
    made = []
    for (key, each), p in zip(found.items(), adjusted, strict=True):
        selected, other = levels[key]
        variances = each.variances
        comparison = Comparison(
            metric,
            *key,
            selected,
            other,
            interval(each, LEVEL),
            tuple(each.by_seed.tolist()),
            each.prompts,
            variances.seeds,
            variances.prompts,
            p_value(each),
            p,
            detectable(variances, LEVEL / len(found), POWER),
            NOT_SHOWN,
            interval(each, 2 * LEVEL),
            single(each, LEVEL),
            design.margin * other if metric.endswith("bits_per_byte") else None,
            (redrawn or {}).get(key),
        )
        made.append(dataclasses.replace(comparison, verdict=_verdict(comparison)))
    return made


def _verdict(comparison: Comparison) -> str:
    """A difference that is shown is named, however small; then sameness; else neither is shown."""
    if comparison.holm <= LEVEL:
        lower = comparison.difference.value < 0
        wanted = METRICS[comparison.metric].lower_is_better
        if wanted is None:
            return LOWER if lower else HIGHER
        return BETTER if lower is wanted else WORSE
    return NO_DIFFERENCE if comparison.within_margin else NOT_SHOWN


def of_metric(comparisons: Sequence[Comparison], metric: str) -> list[Comparison]:
    """Those of one metric."""
    return [each for each in comparisons if each.metric == metric]
