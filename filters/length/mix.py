"""How the kinds of rows shift when rows are chosen by length: task groups, sources, categories."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import polars as pl

from filters.common.arrays import Bools
from filters.common.tasks import REST, task_groups

MOVED = 0.1  # change of a share that is told
SURE = 2.6  # standard errors of a draw that a change must exceed, too: one in a hundred
_KINDS = {"source": "record.source", "category": "record.category"}
NONE = "(none)"


def mixed(measures: pl.DataFrame, keep: Bools) -> dict[str, dict[str, Any]]:
    """Of task groups, sources and categories the one whose share rises most among the kept rows.

    For each kind with two names or more: `name`, its shares `before` and `after`, and the same of
    the one that falls most (`fallen`, `fallen_before`, `fallen_after`), and `moved`: half the sum
    of all changes of shares, the part of the rows that are of another kind than before.
    """
    if not measures.height or not keep.any():
        return {}
    names = {"task group": task_groups(measures, 20).cast(pl.String)} | {
        kind: measures[column].cast(pl.String).fill_null(NONE)
        for kind, column in _KINDS.items()
        if column in measures.columns
    }
    found = {kind: _shifted(own, keep) for kind, own in names.items() if own.n_unique() > 1}
    return {kind: shift for kind, shift in found.items() if shift}


def _shifted(names: pl.Series, keep: Bools) -> dict[str, Any]:
    counts = (
        pl.DataFrame({"name": names, "kept": keep})
        .group_by("name")
        .agg(before=pl.len(), after=pl.col("kept").sum())
        .sort("name")
    )
    before = (counts["before"] / len(keep)).to_numpy()
    after = (counts["after"] / int(keep.sum())).to_numpy()
    change = after - before
    most, least = int(change.argmax()), int(change.argmin())
    return {
        "name": counts["name"][most],
        "before": float(before[most]),
        "after": float(after[most]),
        "fallen": counts["name"][least],
        "fallen_before": float(before[least]),
        "fallen_after": float(after[least]),
        "moved": float(np.abs(change).sum() / 2),
        "kept": int(keep.sum()),
        "rows": len(keep),
    }


def mix_sentences(mix: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """A sentence on each kind of which a share rises by a tenth of the rows, beyond chance."""
    for kind, shift in mix.items():
        before, after = shift["before"], shift["after"]
        error = np.sqrt(before * (1 - before) * (1 / shift["kept"] - 1 / shift["rows"]))
        if after - before >= max(MOVED, SURE * error):
            yield (
                f"to reach the target, the share of {_named(kind, shift['name'])} went from"
                f" {_percent(before)} to {_percent(after)}, and that of"
                f" {_named(kind, shift['fallen'])} from {_percent(shift['fallen_before'])} to"
                f" {_percent(shift['fallen_after'])}"
            )


def _named(kind: str, name: str) -> str:
    if kind == "task group" and name == REST:
        return "rarer task groups"
    return f"rows without a {kind}" if name == NONE else f"{kind} '{name}'"


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share == 0 or share >= 0.01 else f"{100 * share:.2g} %"
