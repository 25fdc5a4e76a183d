"""How often scores pick the chosen answer of a pair, always beside picking the longer one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from filters.common.arrays import Floats, Ints

RESAMPLES = 1_000
WORD = r"\S+"


@dataclass(frozen=True)
class Pairs:
    """Texts of preference pairs, each Series (n,): prompt, chosen and rejected answer."""

    prompts: pl.Series
    chosen: pl.Series
    rejected: pl.Series

    @property
    def groups(self) -> Ints:
        """The number of each pair's prompt."""
        return (self.prompts.rank("dense") - 1).cast(pl.Int64).to_numpy()


class Share(NamedTuple):
    """A share of pairs with its 95 % interval, by resampling prompts."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} (95 % {self.low:.3f} to {self.high:.3f})"


@dataclass(frozen=True)
class Comparison:
    """How often scores pick the chosen answer, beside picking the longer one. A tie is a half."""

    pairs: int
    prompts: int
    model: Share
    longer: Share
    gain: Share  # model less longer, on the same resamples

    def numbers(self) -> dict[str, Any]:
        """For the manifest."""
        shares = {"model": self.model, "longer": self.longer, "gain": self.gain}
        found = {name: [round(part, 4) for part in share] for name, share in shares.items()}
        return {"pairs": self.pairs, "prompts": self.prompts, "coin": 0.5, **found}


def compare(margin: Floats, pairs: Pairs, seed: int = 0) -> Comparison:
    """Accuracy of margins (n,) on pairs beside "longer wins" (in words), intervals by prompt."""
    words = [side.str.count_matches(WORD).cast(pl.Int64) for side in (pairs.chosen, pairs.rejected)]
    right = np.heaviside(np.stack([margin, words[0] - words[1]]), 0.5)
    groups = pairs.groups
    count = np.bincount(groups)
    sums = np.stack([np.bincount(groups, row) for row in right])
    draw = np.random.default_rng(seed)
    means = np.empty((RESAMPLES, 2))
    for turn in range(RESAMPLES):  # all at once would take a row of all prompts per turn
        drawn = np.bincount(draw.integers(0, len(count), len(count)), minlength=len(count))
        means[turn] = (sums * drawn).sum(axis=1) / (count * drawn).sum()
    model, longer_wins = (
        _share(float(row.mean()), means[:, place]) for place, row in enumerate(right)
    )
    gain = _share(model.value - longer_wins.value, means[:, 0] - means[:, 1])
    return Comparison(len(margin), len(count), model, longer_wins, gain)


def _share(value: float, resampled: Floats) -> Share:
    low, high = np.quantile(resampled, [0.025, 0.975]).tolist()
    return Share(value, low, high)
