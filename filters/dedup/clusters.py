"""What filters of duplicates report about the whole set: clusters, and other thresholds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

from curate.base.contract import Findings
from filters.common.arrays import Ints

# How far from the threshold the report says what another would do.
STEP = 0.05


def other_thresholds(threshold: float, *, strict: bool = False) -> list[float]:
    """One step lower and one higher, where something could be similar enough.

    >>> other_thresholds(0.8), other_thresholds(1.0)
    ([0.75, 0.85], [0.95])
    """
    # Rounded, because 0.8 + 0.05 is above 0.85, and pairs at 17/20 are common.
    near = [round(threshold - STEP, 12), round(threshold + STEP, 12)]
    return [one for one in near if 0 < one < 1 or (one == 1 and not strict)]


def _cluster_table(measures: pl.DataFrame, root: Ints, verdicts: pl.DataFrame) -> pl.DataFrame:
    """A line for each row in a cluster of two or more, by cluster, its head first.

    `cluster` is the row of the head; `similarity` that of a dropped row to the one that is kept.
    """
    size = np.bincount(root, minlength=len(root))[root]
    lines = measures.select("row", "id").with_columns(
        cluster=measures["row"].gather(root),
        kept=verdicts["keep"],
        similarity=verdicts["score"],
        is_head=pl.Series(root == np.arange(len(root))),
    )
    lines = lines.filter(pl.Series(size > 1))
    return lines.sort("cluster", pl.col("is_head").not_(), "row").drop("is_head")


def cluster_findings(
    view: str,
    measures: pl.DataFrame,
    root: Ints,
    verdicts: pl.DataFrame,
    others: Mapping[float, int],
    more: tuple[str, ...] = (),
    **numbers: Any,
) -> Findings:
    """Sentences, numbers and the table `clusters`; `others` is dropped rows by other threshold."""
    clusters = _cluster_table(measures, root, verdicts)
    sizes = clusters["cluster"].value_counts()["count"]
    largest = int(sizes.max()) if len(sizes) else 0  # type: ignore[arg-type]
    dropped = int((~verdicts["keep"]).sum())
    sentences = [view, _cluster_sentence(len(sizes), largest)]
    counts = {"clusters": len(sizes), "largest_cluster": largest, "dropped": dropped}
    if others:
        there = " and ".join(f"{count:,} at {value:g}" for value, count in others.items())
        rows = "row is" if dropped == 1 else "rows are"
        sentences.append(f"{dropped:,} {rows} dropped; it would be {there}")
        numbers = {"dropped_at": {f"{value:g}": n for value, n in others.items()}, **numbers}
    return Findings((*sentences, *more), {**counts, **numbers}, {"clusters": clusters})


def _cluster_sentence(count: int, largest: int) -> str:
    if not count:
        return "no two rows are in one cluster"
    many = "cluster" if count == 1 else "clusters"
    return f"{count:,} {many} of two or more rows, the largest of {largest:,}"
