"""How often the selected rows' model writes the better answer: plainly, and at equal lengths.

The plain rate is the mean of wins, a tie counting half. The length-controlled one is from a
logistic regression of the wins of a seed and target on the difference of lengths, in deviations and
through tanh, as in `glm_winrate` of alpaca_eval (Dubois et al. 2024, arXiv 2404.04475), with the
difference set to 0. What a prompt adds to it is its influence on the estimate, so that seeds and
prompts are taken apart as for every other metric.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from curate.proofs.cells import SELECTED, Cell
from curate.proofs.comparisons import Comparison, Key, family
from curate.proofs.crossed import (
    Differences,
    Estimate,
    Floats,
    interval,
    linear_differences,
    mean_differences,
    quantile,
)
from curate.proofs.design import LEVEL, Design
from curate.proofs.scored_answers import ByTarget

EVEN = 0.5  # the rate of two sides that are alike
# Deviations of a weak prior of the regression, which only decides where the data do not: all wins,
# or every win with the longer answer. What length can explain it shall: were the level the freer,
# a scorer that looks at nothing but length would be taken for one that likes the longer side.
_LEVEL_PRIOR, _SLOPE_PRIOR = 10.0, 30.0
_ROUNDS, _CLOSE = 200, 1e-10
_LOPSIDED = (
    0.95  # of pairs in which one side is the longer: length and the rest cannot be told apart
)


class Counts(NamedTuple):
    """Pairs of answers: how many, ties, verdicts that turn with the order, and those without one.

    `longer` is the share in which the selected rows' answer is the longer one.
    """

    pairs: int
    ties: int
    flipped: int
    without: Mapping[str, int]
    longer: float

    @property
    def judged(self) -> int:
        """Pairs with a verdict."""
        return self.pairs - sum(self.without.values())


@dataclasses.dataclass(frozen=True)
class WinRate:
    """Against a baseline, on a target or (None) over all: rates with 95 % intervals.

    `plain` and `controlled` compare a rate with one half; `longer_wins` is how often the longer of
    the two answers wins, whosever it is.
    """

    plain: Comparison
    controlled: Comparison
    longer_wins: Estimate
    counts: Counts

    @property
    def baseline(self) -> str:
        return self.plain.baseline

    @property
    def target(self) -> str | None:
        return self.plain.target

    @property
    def is_lopsided(self) -> bool:
        """Whether nearly always the same side has the longer answer."""
        return not 1 - _LOPSIDED < self.counts.longer < _LOPSIDED

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "baseline": self.baseline,
            "target": self.target,
            **{name: _values(getattr(self, name)) for name in ("plain", "controlled")},
            "longer_wins": self.longer_wins.as_dict(),
            **self.counts._asdict(),
            "without": dict(self.counts.without),
        }


def rate_of(comparison: Comparison) -> Estimate:
    """The rate itself, with its interval, within what a share can be."""
    return _shifted(comparison.difference)


def _values(comparison: Comparison) -> dict[str, Any]:
    found = comparison.as_dict()
    names = ("seed_variance", "prompt_variance", "p", "holm", "would_see", "verdict", "prompts")
    by_seed = [EVEN + each for each in comparison.by_seed]
    return {
        **rate_of(comparison).as_dict(),
        "by_seed": by_seed,
        **{name: found[name] for name in names},
    }


@dataclasses.dataclass(frozen=True)
class WinRates:
    """All rates by one scorer, of `kind` and `name`; `unrated` are baselines without any."""

    kind: str
    name: str
    rates: Sequence[WinRate]
    unrated: Mapping[str, Mapping[str, int]]

    @property
    def overall(self) -> list[WinRate]:
        """Over all targets, one for each baseline."""
        return [each for each in self.rates if each.target is None]

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "scorer": self.kind,
            "name": self.name,
            "rates": [each.as_dict() for each in self.rates],
            "unrated": {name: dict(each) for name, each in self.unrated.items()},
        }


class _Wins(NamedTuple):
    """Of one baseline on one target: wins and differences of lengths, both (seeds, prompts)."""

    wins: Floats
    longer_by: Floats
    counts: Counts


def win_rates(
    kind: str,
    name: str,
    cells: Mapping[str, Sequence[Cell]],
    found: Mapping[tuple[str, int], ByTarget],
    design: Design,
) -> WinRates:
    """The rates by outcomes `found`, by baseline and seed: 1 where the selected rows' model wins.

    A prompt without a verdict in one seed is left out in all of them, so that seeds and prompts
    stay crossed; a target with fewer than two prompts left is left out of the mean.
    """
    wins: dict[Key, _Wins] = {}
    counts: dict[Key, Counts] = {}
    unrated: dict[str, Mapping[str, int]] = {}
    for baseline in (each for each in cells if each != SELECTED):
        own = {
            target: _wins(cells[SELECTED], cells[baseline], target, found)
            for target in cells[baseline][0].targets
        }
        rated: dict[Key, _Wins] = {
            (baseline, name): each for name, each in own.items() if each.wins.shape[1] >= 2
        }
        wins |= rated
        counts |= {key: each.counts for key, each in rated.items()}
        counts[baseline, None] = _summed([each.counts for each in own.values()])
        if not rated:
            unrated[baseline] = counts[baseline, None].without
    return WinRates(kind, name, _rates(wins, counts, design), unrated)


def _wins(
    selected: Sequence[Cell],
    baseline: Sequence[Cell],
    target: str,
    found: Mapping[tuple[str, int], ByTarget],
) -> _Wins:
    outcomes = [found[cell.baseline, cell.seed][target] for cell in baseline]
    values = np.array(
        [[np.nan if each.value is None else each.value for each in row] for row in outcomes],
        np.float64,
    ).reshape(len(outcomes), -1)
    longer_by = np.array(
        [
            np.subtract(one.targets[target].lengths, other.targets[target].lengths)
            for one, other in zip(selected, baseline, strict=True)
        ],
        np.float64,
    ).reshape(values.shape)
    problems = Counter(each.problem for row in outcomes for each in row if each.value is None)
    known = ~np.isnan(values)
    counts = Counts(
        values.size,
        int((values == EVEN).sum()),
        sum(each.is_flipped for row in outcomes for each in row),
        dict(sorted(problems.items())),
        float(np.heaviside(longer_by, EVEN).mean()) if values.size else EVEN,
    )
    everywhere = known.all(axis=0)
    return _Wins(values[:, everywhere], longer_by[:, everywhere], counts)


def _summed(counts: Sequence[Counts]) -> Counts:
    without: Counter[str] = Counter()
    for each in counts:
        without.update(each.without)
    pairs = sum(each.pairs for each in counts)
    longer = sum(each.longer * each.pairs for each in counts) / max(pairs, 1)
    ties, flipped = (sum(getattr(each, name) for each in counts) for name in ("ties", "flipped"))
    return Counts(pairs, ties, flipped, dict(sorted(without.items())), longer)


def _rates(
    wins: Mapping[Key, _Wins], counts: Mapping[Key, Counts], design: Design
) -> list[WinRate]:
    """Over all targets, then on each."""
    own = {key: plain(each.wins) for key, each in wins.items()}
    at_equal = {key: controlled(each.wins, each.longer_by) for key, each in wins.items()}
    length = {key: longer(each.wins, each.longer_by) for key, each in wins.items()}
    rates = _families("win_rate", own, design)
    others = _families("controlled_win_rate", at_equal, design)
    by_length = {**_means(length), **length}
    return [
        WinRate(each, others[key], _shifted(interval(by_length[key], LEVEL)), counts[key])
        for key, each in rates.items()
    ]


def _means(found: Mapping[Key, Differences]) -> dict[Key, Differences]:
    """The plain mean over the targets of each baseline."""
    return {
        (name, None): mean_differences([each for key, each in found.items() if key[0] == name])
        for name in dict.fromkeys(key[0] for key in found)
    }


def _families(
    metric: str, found: Mapping[Key, Differences], design: Design
) -> dict[Key, Comparison]:
    """Two families: over all targets, and on each."""
    made: dict[Key, Comparison] = {}
    for part in (_means(found), found):
        levels = {key: (EVEN + each.value, EVEN) for key, each in part.items()}
        for comparison in family(metric, part, levels, design):
            made[comparison.baseline, comparison.target] = comparison
    return made


def _shifted(found: Estimate) -> Estimate:
    low, high = max(0.0, EVEN + found.low), min(1.0, EVEN + found.high)
    return Estimate(EVEN + found.value, low, high)


def plain(wins: Floats) -> Differences:
    """The mean of wins (seeds, prompts), less one half."""
    return _no_surer(linear_differences(wins.mean(axis=1) - EVEN, wins - EVEN), wins.shape[1])


def longer(wins: Floats, longer_by: Floats) -> Differences:
    """How often the longer answer wins, less one half; equal lengths count as a tie."""
    return plain(EVEN + (wins - EVEN) * np.sign(longer_by))


def controlled(wins: Floats, longer_by: Floats) -> Differences:
    """The rate at equal lengths, less one half; one regression for each seed.

    `longer_by` (seeds, prompts) is by how many tokens the first side's answer is the longer.
    """
    spread = float(longer_by.std())
    told = np.tanh(longer_by / spread) if spread else np.zeros_like(longer_by)
    fitted = [_at_zero(own, by) for own, by in zip(wins, told, strict=True)]
    by_seed = np.array([rate for rate, _ in fitted]) - EVEN
    added = np.array([added for _, added in fitted])
    found = linear_differences(by_seed, by_seed[:, None] + added)
    # As many prompts as are left of the level once the lengths are known.
    square = float(np.square(told).mean())
    left = 1 - float(told.mean()) ** 2 / square if square else 1.0
    return _no_surer(found, wins.shape[1] * left)


def _no_surer(found: Differences, prompts: float) -> Differences:
    """A rate, no more certain than one of so many prompts that agree without exception.

    Where nothing is left unexplained, as with all wins, or where every win is one of the longer
    answer, nothing scatters, and the estimated variance would be that of a certainty. The least
    one is such that the interval of all wins reaches down as far as Wilson's (1927) does.
    """
    asked = quantile(found.prompts - 1, LEVEL)
    lacking = (asked / (prompts + asked**2)) ** 2 - found.variances.total
    if lacking <= 0:
        return found
    return dataclasses.replace(found, shared=found.variances.prompts + lacking)


def _at_zero(wins: Floats, longer_by: Floats) -> tuple[float, Floats]:
    """The fitted rate where neither answer is longer, and what each prompt adds to it (mean 0)."""
    columns = np.stack([np.ones_like(longer_by), longer_by], axis=1)
    prior = 1 / np.square([_LEVEL_PRIOR, _SLOPE_PRIOR])
    weights = np.zeros(2)
    for _ in range(_ROUNDS):
        expected = _logistic(np.einsum("ij,j->i", columns, weights))
        left = columns * (wins - expected)[:, None]
        curved = columns * (expected * (1 - expected))[:, None]
        curvature = np.einsum("ij,ik->jk", curved, columns) + np.diag(prior)
        step = np.linalg.solve(curvature, left.sum(axis=0) - prior * weights)
        # Far from the end a whole step may overshoot.
        weights = weights + step / max(1.0, float(np.abs(step).max()))
        if float(np.abs(step).max()) < _CLOSE:
            break
    rate = float(_logistic(weights[:1])[0])
    influence = np.linalg.inv(curvature)[0]
    centred = left - left.mean(axis=0)
    added = rate * (1 - rate) * len(wins) * np.einsum("ij,j->i", centred, influence)
    return rate, added


def _logistic(values: Floats) -> Floats:
    return 0.5 * (1 + np.tanh(values / 2))
