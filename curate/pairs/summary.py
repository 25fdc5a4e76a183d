"""What a set of pairs teaches about length: the first thing to know of it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import polars as pl

from curate.base.schema import text_of

WORD = r"\S+"


class Summary(NamedTuple):
    """Of `pairs` pairs on `parents` prompts: how length and choice go together, in words.

    `chosen_longer` and `same_length` are shares of pairs; `log_length_gap` is the mean of
    log(1 + words) of chosen less rejected; `longer_wins` is how often the longer answer is the
    chosen one, a tie counting a half. All are None without pairs.
    """

    pairs: int
    parents: int
    chosen_longer: float | None = None
    same_length: float | None = None
    log_length_gap: float | None = None
    longer_wins: float | None = None

    def text(self) -> str:
        """One line for people."""
        if not self.pairs:
            return "no pairs"
        return (
            f"{self.pairs:,} pairs on {self.parents:,} prompts; the chosen answer is longer in"
            f" {self.chosen_longer:.1%} (as long in {self.same_length:.1%}), by"
            f" {self.log_length_gap:+.2f} in mean log words; picking the longer one is right in"
            f" {self.longer_wins:.1%}"
        )


def summary(pairs: pl.DataFrame) -> Summary:
    """The summary of pairs (see `curate.pairs.shape.PAIRS`)."""
    if not pairs.height:
        return Summary(0, 0)
    words = [
        pairs.select(text_of(pl.col(name), assistant=True)).to_series().str.count_matches(WORD)
        for name in ("chosen", "rejected")
    ]
    chosen, rejected = (side.cast(pl.Float64).to_numpy() for side in words)
    longer, same = float((chosen > rejected).mean()), float((chosen == rejected).mean())
    return Summary(
        pairs.height,
        pairs["parent"].n_unique(),
        round(longer, 4),
        round(same, 4),
        round(float((np.log1p(chosen) - np.log1p(rejected)).mean()), 4),
        round(longer + same / 2, 4),
    )
