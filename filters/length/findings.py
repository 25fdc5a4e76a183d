"""What `Length` finds out about a set: the diagnosis before and after, and the shift between."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from curate.base.contract import Findings
from filters.common.arrays import Bools, Floats, Ints
from filters.common.stats import SHORTEST
from filters.common.tasks import task_groups
from filters.length.actions import Matching
from filters.length.diagnosis import FEW_ROWS, Diagnosis, units
from filters.length.match import CHANCE, EDGES
from filters.length.mix import mix_sentences, mixed
from filters.length.report import QUANTILES, codes_of, diagnose_measures, quantiles, shift

SHIFTED = 0.1  # KS from which a task group is said to have shifted
LARGEST = 20  # task groups among the numbers; the table has them all

_SIDES = ("before", "after", "target")
# A column of the table for each of the usual probabilities: `p01` to `p99`.
_QUANTILES = {f"{p:g}": f"p{round(100 * p):02}" for p in QUANTILES}
GROUPS = pl.Schema(
    {
        "group": pl.String,
        "rows": pl.UInt32,
        "kept": pl.UInt32,
        "concentration": pl.Float64,
        "spread": pl.Float64,
        "ks": pl.Float64,
        "w1": pl.Float64,
        **{f"{side}_{name}": pl.Int64 for side in _SIDES for name in _QUANTILES.values()},
    }
)


def findings(
    measures: pl.DataFrame,
    judged: pl.DataFrame,
    unit: str,
    seed: int,
    target: Matching | None,
    cap: float | None = None,
    of: str = "response",
) -> Findings:
    """The diagnoses before and after and the shift, as sentences and as numbers.

    `target` is what `match` aims at, `cap` the share that `cap` allows, `of` whose lengths these
    are. Of the numbers `before`
    and `after` are `Diagnosis.to_dict()` (`after` null when nothing was dropped), `shift` a
    `Shift`, `mix` how the kinds of rows shifted for the target (see `mixed`), `impossible` why
    nothing could be done, `groups` the `LARGEST` of all `task_groups` (their number), each with its
    rows, its lengths before and after and its target. The table `groups` (see `GROUPS`) has all of
    them.
    """
    keep = judged["keep"].to_numpy()
    before = _diagnosed(measures, unit, seed, of)
    after = None if keep.all() else _diagnosed(measures.filter(judged["keep"]), unit, seed, of)
    length: Ints = measures["length"].cast(pl.Int64).to_numpy()
    moved = None if after is None else shift(length, length[keep])
    impossible = _impossible(judged)
    groups = _groups(measures, keep, length, before, target)
    mix = {} if target is None else mixed(measures, keep)
    numbers: dict[str, Any] = {
        "unit": unit,
        "before": _without_groups(before),
        "after": None if after is None else _without_groups(after),
        "shift": None if moved is None else moved.to_dict(),
        "target": None if target is None else _target(target),
        "mix": mix,
        "impossible": impossible,
        "task_groups": len(groups),
        "groups": groups[:LARGEST],
    }
    sentences = [*before.sentences] if after is None else [f"before: {' '.join(before.sentences)}"]
    if after is not None and moved is not None:
        sentences += [
            f"after: {' '.join(after.sentences)}",
            f"{int(keep.sum()):,} of {len(keep):,} rows are kept; the median changes from"
            f" {moved.median_before:,} to {moved.median_after:,} {unit}; distance between the two"
            f" distributions of length, on the log scale: KS {moved.ks:.3f}, W1 {moved.w1:.3f}",
            *_largest_shift(groups, unit),
        ]
    sentences += _left_alone(after or before, cap)
    if target is not None:
        sentences += [*mix_sentences(mix), target.sentence]
    tables = {"groups": _group_table(groups)}
    return Findings((*sentences, *([impossible] if impossible else [])), numbers, tables)


def _group_table(groups: Sequence[dict[str, Any]]) -> pl.DataFrame:
    """The groups as `GROUPS`: quantiles are null where there are no rows, or no target."""
    lines = [
        group
        | {
            f"{side}_{name}": found[share]
            for side in _SIDES
            if (found := group[side])
            for share, name in _QUANTILES.items()
        }
        for group in groups
    ]
    return pl.DataFrame(
        {name: [line.get(name) for line in lines] for name in GROUPS}, schema=GROUPS
    )


def _diagnosed(measures: pl.DataFrame, unit: str, seed: int, of: str) -> Diagnosis:
    scores = measures.get_column("record.score", default=pl.Series(dtype=pl.Float64))
    unknown = scores.null_count() == len(scores)
    given = None if unknown else scores.fill_null(float("nan")).to_numpy()
    return diagnose_measures(measures, unit=unit, scores=given, of=of, seed=seed)


def _without_groups(found: Diagnosis) -> dict[str, Any]:
    return {name: value for name, value in found.to_dict().items() if name != "groups"}


def _left_alone(found: Diagnosis, cap: float | None) -> list[str]:
    """That `cap` does not look at short answers, where they are more than it allows of others."""
    if cap is None or found.short_concentration <= cap or found.rows < FEW_ROWS:
        return []
    lengths = units(found.short_low, found.short_high, found.unit)
    share = f"{100 * found.short_concentration:.0f} % of the {found.texts} have {lengths}"
    return [
        f"{share}, more than the {100 * cap:g} % of max_share, and stay: cap thins only lengths"
        f" from {SHORTEST} {found.unit} up"
    ]


def _impossible(judged: pl.DataFrame) -> str | None:
    """Why a cap could not be done: kept rows have no other evidence."""
    reasons = judged.filter("keep")["evidence"].drop_nulls()
    return None if reasons.is_empty() else f"nothing was dropped: {reasons[0]}"


def _groups(
    measures: pl.DataFrame,
    keep: Bools,
    length: Ints,
    before: Diagnosis,
    target: Matching | None,
) -> list[dict[str, Any]]:
    if not measures.height:
        return []
    codes, names = codes_of(task_groups(measures, 20))
    order = np.argsort(codes, kind="stable")
    parts = dict(zip(names, np.split(order, np.cumsum(np.bincount(codes))[:-1]), strict=True))
    found = []
    for group in before.groups:  # one turn per task group, not per row
        rows = parts[group.group]
        kept = rows[keep[rows]]
        moved = shift(length[rows], length[kept])
        found.append(
            {
                "group": group.group,
                "rows": group.rows,
                "kept": len(kept),
                "concentration": group.concentration,
                "spread": group.spread,
                "before": group.quantiles,
                "after": quantiles(length[kept]) if len(kept) else None,
                "target": None if target is None else _quantiles_of(target.target_of(rows)),
                "ks": None if moved is None else moved.ks,
                "w1": None if moved is None else moved.w1,
            }
        )
    return found


def _target(target: Matching) -> dict[str, Any]:
    done = target.done
    return {
        "quantiles": _quantiles_of(target.target_of(np.arange(len(target.cells)))),
        "ks_before": done.before,
        "ks_after": done.after,
        "effective_rows": done.effective,
        "missing": done.missing,
    }


def _quantiles_of(shares: Floats) -> dict[str, int]:
    """The first length of the bin in which each of the usual probabilities is reached."""
    below = np.cumsum(shares)
    at = np.minimum(np.searchsorted(below, np.array(QUANTILES) - 1e-12), len(EDGES) - 1)
    return {f"{p:g}": int(EDGES[place]) for p, place in zip(QUANTILES, at, strict=True)}


def _largest_shift(groups: Sequence[Mapping[str, Any]], unit: str) -> list[str]:
    excess = [(_beyond_chance(group), group) for group in groups if group["ks"] is not None]
    shifted = [(over, group) for over, group in excess if group["ks"] >= SHIFTED and over > 0.0]
    if not shifted or len(groups) < 2:
        return []
    _, most = max(shifted, key=lambda pair: (pair[0], pair[1]["rows"]))
    before, after = most["before"]["0.5"], most["after"]["0.5"]
    return [
        f"the lengths of {len(shifted)} of {len(groups)} task groups shift significantly, by a KS"
        f" of {SHIFTED:g} or more; the largest shift is in '{most['group']}': KS {most['ks']:.3f},"
        f" median {before:,} to {after:,} {unit}, {most['kept']:,} of {most['rows']:,} rows kept"
    ]


def _beyond_chance(group: Mapping[str, Any]) -> float:
    """KS less the 95 % quantile for a random choice of as many of the group's rows."""
    rows, kept = group["rows"], group["kept"]
    return float(group["ks"] - CHANCE * np.sqrt(max(0.0, 1.0 / kept - 1.0 / rows)))
