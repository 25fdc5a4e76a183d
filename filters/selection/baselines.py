"""The baselines of a selection: a draw, the longest rows and all rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from curate.base.contract import Findings
from filters.common.arrays import Ints
from filters.common.budget import Allowance, spend
from filters.common.ranking import best_first, noise_of, score_column
from filters.length.report import diagnose_measures, shift
from filters.selection.diversity import nearest_of

DRAWS = 3  # seeds of the random baseline
PROBES = 2_000  # rows on which coverage is counted


class Baseline(NamedTuple):
    """One set of rows to train on: `rows` are positions, ascending."""

    name: str
    matched_by: str | None
    seed: int | None
    rows: Ints


def baselines(measures: pl.DataFrame, kept: pl.Series, unit: str, seed: int) -> list[Baseline]:
    """The selection, `random@k` (three seeds) and `longest@k`, each with as many rows and again
    with as much response as the selection has, and `full`.

    Each is what `Select` keeps with that method, seed and budget.
    """
    chosen = kept.arg_true().to_numpy().astype(np.int64)
    length: Ints = measures["length"].cast(pl.Int64).to_numpy()
    found = [Baseline("selected", None, None, chosen)]
    budgets = (
        ("rows", len(chosen), np.ones_like(length)),
        (unit, int(length[chosen].sum()), length),
    )
    for matched_by, budget, cost in budgets:
        for draw in range(seed, seed + DRAWS):
            order = best_first(measures, noise_of(measures["id"], draw, "select"))
            found.append(Baseline("random@k", matched_by, draw, _first(order, cost, budget)))
        order = best_first(measures, score_column(measures, "length"))
        found.append(Baseline("longest@k", matched_by, None, _first(order, cost, budget)))
    found.append(Baseline("full", None, None, np.arange(measures.height)))
    return found


def _first(order: Ints, cost: Ints, budget: int) -> Ints:
    room = Allowance(cost, budget, np.zeros(len(cost), np.int64), np.ones(len(cost), np.bool_))
    return np.flatnonzero(spend(order.tolist(), room))


def findings(measures: pl.DataFrame, kept: pl.Series, unit: str, seed: int) -> Findings:
    """The baselines as a table (`baseline`, `matched_by`, `seed`, `row`, `id`), their lengths.

    Where rows have vectors also how well each covers all rows, and how similar its own rows are.
    """
    if not measures.height:
        return Findings()
    sets = baselines(measures, kept, unit, seed)
    described = [_described(each, measures, unit, seed) for each in sets]
    if "vector" in measures.columns:
        for numbers, coverage in zip(described, _coverage(sets, measures, seed), strict=True):
            numbers |= coverage
    table = pl.concat([_table(each, measures) for each in sets])
    sentences = tuple(_sentences(described, unit))
    return Findings(sentences, {"baselines": described}, {"baselines": table})


def _table(baseline: Baseline, measures: pl.DataFrame) -> pl.DataFrame:
    return measures.select("row", "id")[baseline.rows].select(
        baseline=pl.lit(baseline.name),
        matched_by=pl.lit(baseline.matched_by, dtype=pl.String),
        seed=pl.lit(baseline.seed, dtype=pl.Int64),
        row="row",
        id="id",
    )


def _described(baseline: Baseline, measures: pl.DataFrame, unit: str, seed: int) -> dict[str, Any]:
    rows = measures[baseline.rows]
    lengths = diagnose_measures(rows, unit=unit, seed=seed)
    moved = shift(measures["length"], rows["length"])
    return {
        "baseline": baseline.name,
        "matched_by": baseline.matched_by,
        "seed": baseline.seed,
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


def _coverage(sets: list[Baseline], measures: pl.DataFrame, seed: int) -> Iterator[dict[str, Any]]:
    """`coverage` is the mean cosine of all rows to the nearest of the set, `alikeness` that of
    the set's rows to the nearest other one; both on a seeded sample."""
    vectors = np.ascontiguousarray(measures["vector"].to_numpy(), dtype=np.float32)
    probes = _sample(np.arange(measures.height), seed)
    for each in sets:
        if each.name == "full" or len(each.rows) < 2:
            yield {}
            continue
        _, near = nearest_of(vectors[probes], vectors, each.rows)
        own = _sample(each.rows, seed)
        cosine = vectors[own] @ vectors[each.rows].T
        cosine[np.arange(len(own)), np.searchsorted(each.rows, own)] = -1.0  # not to itself
        yield {
            "coverage": round(float(near.mean()), 4),
            "alikeness": round(float(cosine.max(axis=1).mean(dtype=np.float64)), 4),
        }


def _sample(rows: Ints, seed: int) -> Ints:
    if len(rows) <= PROBES:
        return rows
    return np.sort(np.random.default_rng(seed).permutation(rows)[:PROBES])


def _sentences(described: list[dict[str, Any]], unit: str) -> Iterator[str]:
    chosen, full = described[0], described[-1]
    yield f"selected {_sizes(chosen, unit)}; all rows: {_sizes(full, unit)}"
    if chosen["rows"] == full["rows"]:
        yield "the budget is no smaller than the rows, so all are kept and nothing is compared"
        return
    for name in ("random@k", "longest@k"):
        same = _draws(described, name, "rows")
        drawn = f" (seed {same[0]['seed']} of {len(same)})" if len(same) > 1 else ""
        yield f"{name}{drawn} for comparison: {_sizes(same[0], unit)}"
    yield from _not_beaten(described)
    yield (
        "only training shows whether the selection is better than its baselines; they are in the"
        f" baselines table, matched by rows and by {unit}"
    )


def _draws(described: list[dict[str, Any]], name: str, matched_by: str) -> list[dict[str, Any]]:
    wanted = (name, matched_by)
    return [each for each in described if (each["baseline"], each["matched_by"]) == wanted]


def _not_beaten(described: list[dict[str, Any]]) -> Iterator[str]:
    """Which baselines cover the rows at least as well as the selection does."""
    chosen = described[0]
    if "coverage" not in chosen:
        return
    for name in ("random@k", "longest@k"):
        for matched_by in dict.fromkeys(each["matched_by"] for each in described[1:-1]):
            same = [each for each in _draws(described, name, matched_by) if "coverage" in each]
            if not same:
                continue
            mean = sum(each["coverage"] for each in same) / len(same)
            if mean >= chosen["coverage"]:
                yield (
                    f"{name} with as many {matched_by} ({same[0]['rows']:,} rows) covers all rows"
                    f" at least as well: {mean:.3f}"
                )


def _sizes(described: dict[str, Any], unit: str) -> str:
    covers = f", coverage {described['coverage']:.3f}" if "coverage" in described else ""
    return (
        f"{described['rows']:,} rows, {described[unit]:,} {unit}, median {described['median']:,},"
        f" length verdict {described['verdict']}{covers}"
    )
