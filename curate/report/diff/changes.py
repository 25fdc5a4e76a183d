"""What became of every row from one run to another, and which settings are behind it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

from curate.base.replacing import Settings, differences
from curate.base.version import __version__
from curate.pipeline.run_folder import LEDGER, collected, settings_of
from curate.report.diff.row_pairs import ENTRIES, entries, pairs, why_alone
from curate.report.run_files import damage_explained

if TYPE_CHECKING:
    from curate.pipeline.run_folder import RunFolder

# What can become of a row, in the order of the counts; the last two are in one run only.
UNCHANGED = "unchanged"
CHANGES = (
    UNCHANGED,
    "newly kept",
    "newly dropped",
    "dropped for another reason",
    "newly read",
    "newly rejected",
    "rejected for another reason",
    "read differently",
    "edited differently",
    "only in run 1",
    "only in run 2",
)
_KEYED = (*ENTRIES, "content")


@dataclass(frozen=True, eq=False)
class Changes:
    """How a second run differs from a first.

    `rows` has a line for every row that is not as it was: `change` (of `CHANGES`), `why` (of a row
    that is in one run only), and the columns of `ENTRIES` of both runs, such as `verdict_1` and
    `verdict_2`. `counts` are rows by change, `settings` what the runs were made with that differs,
    `duplicates` the unchanged rows that were dropped as duplicates of another row than before.
    """

    first: RunFolder
    second: RunFolder
    rows: pl.DataFrame
    counts: Mapping[str, int]
    settings: tuple[str, ...]
    duplicates: int

    @property
    def in_both(self) -> int:
        """How many rows and rejects are in both runs."""
        return sum(self.counts[name] for name in CHANGES[:-2])


def changes(first: RunFolder, second: RunFolder) -> Changes:
    """What changed from the first run to the second. Raises `CurateError` for damaged ones."""
    with damage_explained(first):
        one, before = entries(first), settings_of(first.manifest)
    with damage_explained(second):
        two, after = entries(second), settings_of(second.manifest)
    together = pairs(one, two)
    both = _both(one, two, together).with_columns(change=_change())
    both = _with_scores_of_the_other(both, first, second)
    alone = [
        _alone(one, together, 1, second.manifest),
        _alone(two, together, 2, first.manifest),
    ]
    every = pl.concat([both, *alone], how="diagonal")
    count = dict(every["change"].value_counts().iter_rows())
    return Changes(
        first,
        second,
        rows=every.filter(pl.col("change") != UNCHANGED).select(_columns()),
        counts={name: count.get(name, 0) for name in CHANGES},
        settings=tuple(_settings(first, second, before, after)),
        duplicates=_other_duplicates(both, one, two, together),
    )


def _columns() -> list[str]:
    return ["change", "why", *(f"{name}_{run}" for run in (1, 2) for name in ENTRIES)]


def _side(lines: pl.DataFrame, run: int) -> pl.DataFrame:
    """The lines with the number of the run behind the names of their columns."""
    return lines.select("at", *_KEYED).rename(lambda name: f"{name}_{run}")


def _both(one: pl.DataFrame, two: pl.DataFrame, together: pl.DataFrame) -> pl.DataFrame:
    left = together.join(_side(one, 1), on="at_1", maintain_order="left")
    return left.join(_side(two, 2), on="at_2", maintain_order="left").with_columns(
        why=pl.lit(None, pl.String)
    )


def _alone(
    lines: pl.DataFrame, together: pl.DataFrame, run: int, other: Mapping[str, Any]
) -> pl.DataFrame:
    """The lines of one run that are in no pair."""
    left = lines.join(
        together, left_on="at", right_on=f"at_{run}", how="anti", maintain_order="left"
    )
    why = left.select(why=why_alone(lines, other), change=pl.lit(f"only in run {run}"))
    return pl.concat([_side(left, run), why], how="horizontal")


def _change() -> pl.Expr:
    """The change of rows that are in both runs."""
    before, after = pl.col("verdict_1"), pl.col("verdict_2")

    def same(*names: str) -> pl.Expr:
        return pl.all_horizontal(
            pl.col(f"{name}_1").eq_missing(pl.col(f"{name}_2")) for name in names
        )

    # A row that was read differently has another id anyway.
    return (
        pl.when(before == "rejected", after != "rejected")
        .then(pl.lit("newly read"))
        .when(before != "rejected", after == "rejected")
        .then(pl.lit("newly rejected"))
        .when(before != after)
        .then(pl.format("newly {}", after))
        .when(~same("step", "reason"))
        .then(pl.format("{} for another reason", after))
        .when(after == "rejected")
        .then(pl.lit(UNCHANGED))
        .when(~same("content"))
        .then(pl.lit("read differently"))
        .when(~same("id", "edits"))
        .then(pl.lit("edited differently"))
        .otherwise(pl.lit(UNCHANGED))
    )


def _with_scores_of_the_other(
    both: pl.DataFrame, first: RunFolder, second: RunFolder
) -> pl.DataFrame:
    """A kept row has the score and evidence of the step that dropped it in the other run."""
    for run, here, there in ((first, 1, 2), (second, 2, 1)):
        kept = pl.col(f"verdict_{here}") == "kept"
        judged = _judged(run, both.filter(kept).select(row=f"row_{here}", step=f"step_{there}"))
        both = both.join(
            judged,
            left_on=[f"row_{here}", f"step_{there}"],
            right_on=["row", "step"],
            how="left",
            maintain_order="left",
        )
        both = both.with_columns(
            pl.when(kept).then("given").otherwise(f"score_{here}").alias(f"score_{here}"),
            pl.when(kept).then("shown").otherwise(f"evidence_{here}").alias(f"evidence_{here}"),
        ).drop("given", "shown")
    return both


def _judged(run: RunFolder, asked: pl.DataFrame) -> pl.DataFrame:
    """Score and evidence of the rows that a step kept, of those `asked`: columns row and step."""
    wanted = asked.drop_nulls().lazy()
    lines = run.scan(LEDGER).filter(pl.col("verdict") == "keep")
    lines = lines.join(wanted, on=["row", "step"], how="semi")
    judged = collected(lines, run.path / LEDGER).unique(["row", "step"])
    return judged.select("row", "step", given="score", shown="evidence")


def _other_duplicates(
    both: pl.DataFrame, one: pl.DataFrame, two: pl.DataFrame, together: pl.DataFrame
) -> int:
    """How many unchanged rows duplicate another row than before."""
    rows = together.join(one.select(at_1="at", duplicate_of_1="row"), on="at_1")
    rows = rows.join(two.select(at_2="at", expected="row"), on="at_2").drop("at_1", "at_2")
    unchanged = both.filter(pl.col("change") == UNCHANGED, pl.col("duplicate_of_1").is_not_null())
    expected = unchanged.join(rows.drop_nulls("duplicate_of_1"), on="duplicate_of_1", how="left")
    return expected.filter(~pl.col("expected").eq_missing(pl.col("duplicate_of_2"))).height


def _settings(
    first: RunFolder, second: RunFolder, before: Settings, after: Settings
) -> Iterator[str]:
    """What the runs were made with that differs, a line each."""
    made = [str(run.manifest.get("version")) for run in (first, second)]
    if made[0] != made[1]:
        yield f"made by curate {made[0]} -> {made[1]} (this is {__version__})"
    steps = [[name for name in settings if name] for settings in (before, after)]
    for run, here, there in ((1, steps[0], steps[1]), (2, steps[1], steps[0])):
        if more := [name for name in here if name not in there]:
            yield f"steps only in run {run}: {', '.join(more)}"
    old, new = ([name for name in names if name in before and name in after] for names in steps)
    if old != new:
        yield f"order of steps {', '.join(old)} -> {', '.join(new)}"
    about = [{**settings, "": _without_steps(settings[""])} for settings in (before, after)]
    yield from differences(*about)


def _without_steps(about: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in about.items() if name != "steps"}
