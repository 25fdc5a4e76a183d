"""Rules on scores: the best answers of each prompt, and by how much the best one has to lead."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import polars as pl

from filters.common.arrays import Bools, Floats, Ints
from filters.common.ranking import best_first


class Ranked(NamedTuple):
    """Where each row stands among the scored answers to its prompt; each array (n,).

    `place` counts from 0, `answers` are the scored answers of the prompt, `lead` is the best
    score less the next one (infinite where there is no next one). Rows without a score have
    place and answers 0 and lead NaN.
    """

    place: Ints
    answers: Ints
    lead: Floats


def rank_in_prompts(measures: pl.DataFrame, score: Floats) -> Ranked:
    """Rank rows by `score` (n,; NaN: none) within their prompt (`asked`); ties go by id."""
    known = ~np.isnan(score)
    order = best_first(measures, score)
    order = order[known[order]]
    order = order[np.argsort(measures["asked"].to_numpy()[order], kind="stable")]
    asked = measures["asked"].to_numpy()[order]
    starts = np.flatnonzero(np.append(True, asked[1:] != asked[:-1])[: len(asked)])
    sizes = np.diff(np.append(starts, len(asked)))
    lead = np.full(len(starts), np.inf)
    several = sizes > 1
    lead[several] = score[order[starts[several]]] - score[order[starts[several] + 1]]
    ranked = Ranked(
        np.zeros(len(score), np.int64), np.zeros(len(score), np.int64), np.full(len(score), np.nan)
    )
    ranked.place[order] = np.arange(len(order)) - np.repeat(starts, sizes)
    ranked.answers[order] = np.repeat(sizes, sizes)
    ranked.lead[order] = np.repeat(lead, sizes)
    return ranked


class Choices(NamedTuple):
    """Prompts with scored answers, those that offer a choice, and whether length made it.

    `longest` is the share of choices whose winner is the longest answer, `chance` what a draw
    would give; both None without any choice.
    """

    prompts: int
    with_choice: int
    longest: float | None
    chance: float | None


def choices(measures: pl.DataFrame, score: Floats) -> Choices:
    """How often the best answer of a prompt with several is its longest."""
    ranked = rank_in_prompts(measures, score)
    frame = measures.select("asked", "length").with_columns(
        place=pl.Series(ranked.place), answers=pl.Series(ranked.answers)
    )
    prompts = int(((ranked.place == 0) & (ranked.answers > 0)).sum())
    several = frame.filter(pl.col("answers") > 1).with_columns(
        longest=pl.col("length") == pl.col("length").max().over("asked")
    )
    if not several.height:
        return Choices(prompts, 0, None, None)
    winners = several.filter(pl.col("place") == 0)
    drawn = several.group_by("asked").agg(pl.col("longest").mean())["longest"].to_numpy()
    longest = winners["longest"].to_numpy().mean()
    return Choices(prompts, winners.height, float(longest), float(np.sort(drawn).mean()))


def best_graded(grades: Floats) -> Bools:
    """The rows with the highest grade that occurs (NaN: no grade)."""
    best = np.nanmax(grades) if (~np.isnan(grades)).any() else np.nan
    found: Bools = grades == best
    return found
