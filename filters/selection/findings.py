"""What a selection is to be compared with: a draw, the longest rows and all rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from curate.base.contract import Findings
from filters.common.ranking import best_first, noise_of, score_column
from filters.common.stats import Bools, Ints
from filters.length.report import diagnose_measures, shift
from filters.selection.budget import Allowance, spend
from filters.selection.diversity import nearest_of

DRAWS = 3  # seeds of the random arm
PROBES = 2_000  # rows on which coverage is counted


class Arm(NamedTuple):
    """One set of rows to train on: `rows` are positions, ascending."""

    name: str
    matched_by: str | None
    seed: int | None
    rows: Ints


def arms(measures: pl.DataFrame, kept: pl.Series, unit: str, seed: int) -> list[Arm]:
    """The selection, `random@k` (three seeds) and `longest@k`, each with as many rows and again
    with as much response as the selection has, and `full`.

    Each is what `Select` keeps with that method, seed and budget.
    """
    chosen = kept.arg_true().to_numpy().astype(np.int64)
    length: Ints = measures["length"].cast(pl.Int64).to_numpy()
    found = [Arm("selected", None, None, chosen)]
    budgets = (
        ("rows", len(chosen), np.ones_like(length)),
        (unit, int(length[chosen].sum()), length),
    )
    for matched_by, budget, cost in budgets:
        for draw in range(seed, seed + DRAWS):
            order = best_first(measures, noise_of(measures["id"], draw, "select"))
            found.append(Arm("random@k", matched_by, draw, _first(order, cost, budget)))
        order = best_first(measures, score_column(measures, "length"))
        found.append(Arm("longest@k", matched_by, None, _first(order, cost, budget)))
    found.append(Arm("full", None, None, np.arange(measures.height)))
    return found


def _first(order: Ints, cost: Ints, budget: int) -> Ints:
    everything: Bools = np.ones(len(cost), dtype=np.bool_)
    room = Allowance(cost, budget, np.zeros(len(cost), np.int64), everything)
    found: Ints = np.flatnonzero(spend(order.tolist(), room))
    return found


def findings(measures: pl.DataFrame, kept: pl.Series, unit: str, seed: int) -> Findings:
    """The arms as a table (`arm`, `matched_by`, `seed`, `row`, `id`), their lengths and, where
    rows have vectors, how well each covers all rows and how alike its own rows are."""
    if not measures.height:
        return Findings()
    found = arms(measures, kept, unit, seed)
    described = [_described(arm, measures, unit, seed) for arm in found]
    if "vector" in measures.columns:
        for arm, numbers in zip(found, _coverage(found, measures, seed), strict=True):
            described[found.index(arm)] |= numbers
    table = pl.concat([_table(arm, measures) for arm in found])
    return Findings(tuple(_sentences(described, unit)), {"arms": described}, {"arms": table})


def _table(arm: Arm, measures: pl.DataFrame) -> pl.DataFrame:
    return measures.select("row", "id")[arm.rows].select(
        arm=pl.lit(arm.name),
        matched_by=pl.lit(arm.matched_by, dtype=pl.String),
        seed=pl.lit(arm.seed, dtype=pl.Int64),
        row="row",
        id="id",
    )


def _described(arm: Arm, measures: pl.DataFrame, unit: str, seed: int) -> dict[str, Any]:
    rows = measures[arm.rows]
    lengths = diagnose_measures(rows, unit=unit, seed=seed)
    moved = shift(measures["length"], rows["length"])
    return {
        "arm": arm.name,
        "matched_by": arm.matched_by,
        "seed": arm.seed,
        "rows": rows.height,
        unit: int(rows["length"].sum()),
        "median": lengths.quantiles.get("0.5", 0),
        "mean": lengths.mean,
        "concentration": lengths.concentration,
        "spread": lengths.spread,
        "eta2_adjusted": lengths.eta2_adjusted,
        "verdict": lengths.verdict,
        "reasons": list(lengths.reasons),
        "ks_to_full": None if moved is None else moved.ks,
    }


def _coverage(found: list[Arm], measures: pl.DataFrame, seed: int) -> Iterator[dict[str, Any]]:
    """`coverage` is the mean cosine of all rows to the nearest of the arm, `alikeness` that of
    the arm's rows to the nearest other one; both on a seeded sample."""
    vectors = np.ascontiguousarray(measures["vector"].to_numpy(), dtype=np.float32)
    probes = _sample(np.arange(measures.height), seed)
    for arm in found:
        if arm.name == "full" or len(arm.rows) < 2:
            yield {}
            continue
        _, near = nearest_of(vectors[probes], vectors, arm.rows)
        own = _sample(arm.rows, seed)
        cosine = vectors[own] @ vectors[arm.rows].T
        cosine[np.arange(len(own)), np.searchsorted(arm.rows, own)] = -1.0  # not to itself
        yield {
            "coverage": round(float(near.mean()), 4),
            "alikeness": round(float(cosine.max(axis=1).mean(dtype=np.float64)), 4),
        }


def _sample(rows: Ints, seed: int) -> Ints:
    if len(rows) <= PROBES:
        return rows
    drawn: Ints = np.sort(np.random.default_rng(seed).permutation(rows)[:PROBES])
    return drawn


def _sentences(described: list[dict[str, Any]], unit: str) -> Iterator[str]:
    chosen, full = described[0], described[-1]
    yield f"selected {_told(chosen, unit)}; all rows: {_told(full, unit)}"
    if chosen["rows"] == full["rows"]:
        yield "the budget is no smaller than the rows, so all are kept and nothing is compared"
        return
    for name in ("random@k", "longest@k"):
        same = [arm for arm in described if arm["arm"] == name and arm["matched_by"] == "rows"]
        drawn = f" (seed {same[0]['seed']} of {len(same)})" if len(same) > 1 else ""
        yield f"{name}{drawn} for comparison: {_told(same[0], unit)}"
    yield from _not_beaten(described)
    yield (
        "whether the selection is worth more than these, only training tells: the arms, matched"
        f" by rows and by {unit}, are in the arms table"
    )


def _not_beaten(described: list[dict[str, Any]]) -> Iterator[str]:
    """Which baselines cover the rows better than the selection does."""
    chosen = described[0]
    for name in ("random@k", "longest@k"):
        for matched_by in dict.fromkeys(arm["matched_by"] for arm in described[1:-1]):
            same = [
                arm
                for arm in described
                if (arm["arm"], arm["matched_by"]) == (name, matched_by) and "coverage" in arm
            ]
            if "coverage" not in chosen or not same:
                continue
            mean = sum(arm["coverage"] for arm in same) / len(same)
            if mean >= chosen["coverage"]:
                yield (
                    f"{name} with as many {matched_by} ({same[0]['rows']:,} rows) covers all rows"
                    f" no worse: {mean:.3f}"
                )


def _told(arm: dict[str, Any], unit: str) -> str:
    covers = f", coverage {arm['coverage']:.3f}" if "coverage" in arm else ""
    return (
        f"{arm['rows']:,} rows, {arm[unit]:,} {unit}, median {arm['median']:,}, lengths"
        f" {arm['verdict']}{covers}"
    )
