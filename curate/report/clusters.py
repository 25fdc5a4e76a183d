"""Duplicates: how many clusters the steps found, how large, and the largest of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import polars as pl

from curate.report.examples import Side
from curate.report.excerpts import excerpt
from curate.report.run_files import records, tables

if TYPE_CHECKING:
    from curate.pipeline.run_folder import RunFolder

SHOWN, MEMBERS = 3, 4  # clusters of a step, and rows of a cluster, with their text
TEXT = 220  # characters of each text
SIZES = {"2": (2, 2), "3 to 5": (3, 5), "6 to 10": (6, 10), "11 to 100": (11, 100)}
SIZES |= {"over 100": (101, 2**32 - 1)}
_COLUMNS = {"row", "cluster", "kept"}


class Member(NamedTuple):
    """A row of a cluster."""

    side: Side
    kept: bool
    similarity: float | None  # to the row that is kept


class Cluster(NamedTuple):
    """Rows that a step found to be duplicates of each other; `members` are those shown."""

    rows: int
    kept: int
    members: list[Member]


class Clusters(NamedTuple):
    """All clusters of one step; `sizes` says how many there are of each range of rows."""

    step: str
    clusters: int
    rows: int
    sizes: list[tuple[str, int]]
    largest: list[Cluster]


def of_run(run: RunFolder) -> list[Clusters]:
    """The clusters of all steps that left a table of them, in the funnel's order."""
    return [_clusters(run, step, table) for step, table in tables(run, "clusters", _COLUMNS)]


def _clusters(run: RunFolder, step: str, table: pl.DataFrame) -> Clusters:
    if "similarity" not in table.columns:
        table = table.with_columns(similarity=pl.lit(None, pl.Float64))
    sizes = table.group_by("cluster").agg(rows=pl.len(), kept=pl.col("kept").sum())
    largest = sizes.sort("rows", "cluster", descending=[True, False]).head(SHOWN)
    members = table.filter(pl.col("cluster").is_in(largest["cluster"].implode()))
    # The kept rows come first, then some of the dropped ones.
    order = ["cluster", pl.col("kept").not_(), "row"]
    members = members.sort(order).group_by("cluster", maintain_order=True).head(MEMBERS)
    seen = records(run, members["row"])
    shown: dict[int, list[Member]] = {}
    members = members.select("cluster", "row", "kept", "similarity")
    for cluster, row, kept, similarity in members.iter_rows():
        record = seen[row]
        texts = (excerpt(text, limit=TEXT) for text in (record.prompt, record.response))
        shown.setdefault(cluster, []).append(Member(Side(record, *texts), kept, similarity))
    listed = [Cluster(rows, kept, shown[cluster]) for cluster, rows, kept in largest.iter_rows()]
    return Clusters(step, sizes.height, table.height, _by_size(sizes["rows"]), listed)


def _by_size(rows: pl.Series) -> list[tuple[str, int]]:
    counts = [(label, int(rows.is_between(*ends).sum())) for label, ends in SIZES.items()]
    return [(label, inside) for label, inside in counts if inside]
