"""What a reward step says about the set: scores against length, before and after calibration."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from curate.base.contract import Findings
from filters.common.calibrate import fitted_together, length_bins
from filters.common.stats import Floats, Ints, spearman
from filters.reward.rules import Choices, choices

BINS = 10  # of equal size by length


def reward_findings(
    measures: pl.DataFrame,
    judged: pl.DataFrame,
    raw: Floats,
    score: Floats,
    *,
    method: str,
    per_prompt: int | None,
    min_score: float | None,
) -> Findings:
    """Spearman of score and length, raw and calibrated, and how prompts chose their best answer."""
    known = np.flatnonzero(~np.isnan(raw))
    if not known.size:
        return Findings(("no row has a score",))
    length = measures["length"].to_numpy().astype(np.int64)
    task = measures["task"].rank("dense").to_numpy()
    before, after = (
        with_length(values, length, fitted_together(raw, length, task)) for values in (raw, score)
    )
    numbers: dict[str, Any] = {
        "scored": int(known.size),
        "method": method,
        "spearman": {"as_it_came": before, "calibrated": after},
    }
    kept = length[judged["keep"].to_numpy()]
    if 0 < len(kept) < len(length):
        numbers["median_words"] = {
            "scored": float(np.median(length[known])),
            "kept": float(np.median(kept)),
        }
    sentences = [_length_sentence(before, after, method)]
    if "median_words" in numbers:
        sentences.append(
            "median words: {scored:g} scored, {kept:g} kept".format(**numbers["median_words"])
        )
    if min_score is not None and method != "none":
        low, high = raw[known].min(), raw[known].max()
        sentences.append(
            f"min_score {min_score:g} is compared with scores as they came, {low:.4g} to"
            f" {high:.4g}; charts and reward.verdict show them with length taken out ({method})"
        )
    if per_prompt is not None:
        made = choices(measures, score)
        numbers["prompts"] = made._asdict()
        sentences.append(_choice_sentence(made))
    bins = by_length(judged["keep"], length, raw, score, known)
    return Findings(tuple(sentences), numbers, {"length": bins})


def with_length(values: Floats, length: Ints, parts: list[Ints]) -> dict[str, float | None]:
    """Spearman with length over all scored rows, and its mean within kinds of request by rows."""
    rows = np.sort(np.concatenate(parts))
    found = [(len(part), spearman(values[part], length[part])) for part in parts]
    told = [(count, rho) for count, rho in found if rho is not None]
    whole = spearman(values[rows], length[rows])
    within = (
        sum(count * rho for count, rho in told) / sum(count for count, _ in told) if told else None
    )
    return {
        "all": None if whole is None else round(whole, 4),
        "within_task": None if within is None else round(within, 4),
    }


def _length_sentence(
    before: dict[str, float | None], after: dict[str, float | None], method: str
) -> str:
    if before["within_task"] is None:
        return "score and length: no correlation to speak of, one of them is the same for all"
    if method == "none":
        return (
            f"score and length within a kind of request: Spearman {before['within_task']:.2f},"
            " and calibrate: none leaves it"
        )
    now = after["within_task"]
    shown = "none, all are equal" if now is None else f"{now:.2f}"
    return (
        f"score and length within a kind of request: Spearman {before['within_task']:.2f} as it"
        f" came, {shown} after calibration ({method})"
    )


def _choice_sentence(made: Choices) -> str:
    if not made.with_choice:
        return (
            f"none of {made.prompts:,} prompts has two scored answers, so per_prompt chose nothing"
        )
    return (
        f"{made.with_choice:,} of {made.prompts:,} prompts have several answers; the best is the"
        f" longest for {made.longest:.0%} of them (by chance {made.chance:.0%})"
    )


def by_length(
    keep: pl.Series, length: Ints, raw: Floats, score: Floats, known: Ints
) -> pl.DataFrame:
    """One line per tenth of the scored rows by length: what a chart of score over length needs."""
    frame = pl.DataFrame(
        {
            "bin": length_bins(length[known], BINS),
            "length": length[known],
            "score": raw[known],
            "verdict": score[known],
            "kept": keep.gather(known),
        }
    )
    quartiles = [
        pl.col(name).quantile(share, "linear").alias(f"{name}_{label}")
        for name in ("score", "verdict")
        for label, share in (("low", 0.25), ("median", 0.5), ("high", 0.75))
    ]
    return (
        frame.group_by("bin")
        .agg(
            pl.len().alias("rows"),
            pl.col("kept").sum(),
            pl.col("length").min().alias("length_from"),
            pl.col("length").median().alias("length_median"),
            pl.col("length").max().alias("length_to"),
            *quartiles,
        )
        .sort("bin")
    )
