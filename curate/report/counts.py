"""A run's numbers as the page shows them, counted in columns from the ledger and the manifest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import polars as pl

from curate.pipeline.run_folder import LEDGER, collected
from curate.report.run_files import source_names

if TYPE_CHECKING:
    from curate.pipeline.run_folder import RunFolder

REASONS = 12  # reasons of one step shown with examples; a user's function may give thousands
COLUMNS = 16  # drop reasons with a column of their own in the table of sources
OTHER = ("", "other reasons")
SOURCES = 60
CATEGORIES = 30
LANGUAGES = 30


class Cell(NamedTuple):
    """A count and its share of a total, 0 to 1."""

    rows: int
    share: float


class SourceLine(NamedTuple):
    """What became of one file's rows; `drops` has a cell per column of the table."""

    name: str
    read: int
    kept: Cell
    rejected: Cell
    drops: list[Cell]


class Sources(NamedTuple):
    """Drop reasons by source: columns are (step, reason), lines go from the largest file down."""

    columns: list[tuple[str, str]]
    lines: list[SourceLine]
    left_out: int

    def groups(self) -> list[tuple[str, list[str]]]:
        """The columns' reasons under their steps."""
        steps = dict.fromkeys(step for step, _ in self.columns)
        return [(name, [reason for step, reason in self.columns if step == name]) for name in steps]


def share(part: int, total: int) -> float:
    """`part / total`, and 0 of nothing."""
    return part / total if total else 0.0


def by_source(run: RunFolder) -> Sources:
    """Per file: rows read, kept, rejected, and dropped by step and reason."""
    columns = _columns(run.manifest["steps"])
    drops = run.scan(LEDGER).filter(pl.col("verdict") == "drop")
    counted = drops.group_by("source", "step", "reason").len()
    cells: Counter[tuple[str, tuple[str, str]]] = Counter()
    for source, step, reason, count in collected(counted, run.path / LEDGER).iter_rows():
        cells[source, (step, reason) if (step, reason) in columns else OTHER] += count
    rows, rejected = Counter[str](), Counter[str]()
    for file in run.manifest["sources"]:
        rows[file["source"]] += file["rows"] + file["rejected"]
        rejected[file["source"]] += file["rejected"]
    names = source_names(run)
    lines = []
    for source in sorted(rows, key=lambda name: (-rows[name], name))[:SOURCES]:
        read, lost = rows[source], rejected[source]
        dropped = [cells[source, column] for column in columns]
        shares = [cell(count, read) for count in dropped]
        kept = cell(read - lost - sum(dropped), read)
        lines.append(SourceLine(names[source], read, kept, cell(lost, read), shares))
    return Sources(columns, lines, max(0, len(rows) - SOURCES))


def _columns(steps: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """The commonest (step, reason) pairs, in the order of the funnel."""
    # An edited row is not dropped, and only a fix edits.
    pairs = {
        (step["name"], reason): count
        for step in steps
        if step["dropped"]
        for reason, count in step["reasons"].items()
    }
    if len(pairs) <= COLUMNS:
        return list(pairs)
    common = sorted(pairs, key=lambda pair: -pairs[pair])[: COLUMNS - 1]
    return [pair for pair in pairs if pair in common] + [OTHER]


def cell(count: int, total: int) -> Cell:
    """A count with its share of the total."""
    return Cell(count, share(count, total))


def by_category(lengths: pl.DataFrame) -> tuple[list[tuple[str | None, int, Cell]], int]:
    """Per category, commonest first: its name, rows, rows kept; and how many are left out.

    `lengths` has `category` and `kept`. Empty when no row has a category.
    """
    if lengths["category"].null_count() == lengths.height:
        return [], 0
    counted = lengths.group_by("category").agg(rows=pl.len(), kept=pl.col("kept").sum())
    ordered = counted.sort("rows", "category", descending=[True, False])
    lines = [
        (name, rows, cell(kept, rows)) for name, rows, kept in ordered.head(CATEGORIES).iter_rows()
    ]
    lines.sort(key=lambda line: line[0] is None)  # rows without a category come last
    return lines, max(0, ordered.height - CATEGORIES)


class Languages(NamedTuple):
    """The languages that one step detected; `left_out` of them are not in `lines`."""

    step: str
    lines: list[tuple[str, int, Cell]]
    left_out: int


def by_language(run: RunFolder) -> list[Languages]:
    """Rows and kept rows by language, for every step that counted them; commonest first."""
    return [
        _languages(step)
        for step in run.manifest["steps"]
        if step["rows"] and isinstance(step.get("numbers", {}).get("languages"), dict)
    ]


def _languages(step: Mapping[str, Any]) -> Languages:
    numbers = step["numbers"]
    named = list(numbers["languages"].items())
    labels = {"unsure": "not sure which", "abstained": "too short to detect"}
    rest = [(label, numbers[name]) for name, label in labels.items() if numbers[name]["rows"]]
    lines = [
        (name, count["rows"], cell(count["kept"], count["rows"]))
        for name, count in [*named[:LANGUAGES], *rest]
    ]
    return Languages(step["name"], lines, max(0, len(named) - LANGUAGES))


def common_evidence(run: RunFolder, most: int = 4) -> dict[tuple[str, str], list[tuple[str, int]]]:
    """Per (step, reason) the pieces of evidence that occur more than once, commonest first."""
    common = (
        run.scan(LEDGER)
        .filter(pl.col("verdict") != "keep", pl.col("evidence").is_not_null())
        .group_by("step", "reason", pl.col("evidence").str.head(200))
        .len()
        .filter(pl.col("len") > 1)
        .sort("len", "evidence", descending=[True, False])
        .group_by("step", "reason", maintain_order=True)
        .head(most)
    )
    evidence: dict[tuple[str, str], list[tuple[str, int]]] = {}
    for step, reason, text, count in collected(common, run.path / LEDGER).iter_rows():
        evidence.setdefault((step, reason), []).append((text, count))
    return evidence
