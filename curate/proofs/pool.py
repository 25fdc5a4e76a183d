"""The rows that sets are made of: those of a run, as it left them and as they were read."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

import templates
from curate.base.errors import CurateError
from curate.base.log import Log
from curate.base.schema import RECORDS
from curate.base.spelling import option
from curate.data import read_data
from curate.pipeline import runner
from curate.pipeline.recipe import filter_called
from curate.pipeline.run_folder import LEDGER, RunFolder, collected
from curate.pipeline.steps import Step
from curate.runs import source_files
from trainer.data.batches import epoch_order
from trainer.data.rows import Ints

HELD_OUT, SHARE, FEWEST = 200, 0.1, 10


@dataclasses.dataclass(frozen=True)
class Renderer:
    """How rows become tokens: one template, the model's tokenizer, and the room it has."""

    template: templates.ChatTemplate
    tokenizer: templates.Tokenizer
    positions: int | None

    def __call__(self, records: pl.DataFrame) -> templates.Rendered:
        """Rows rendered; those that are too long for the model are refused like others."""
        how = templates.RenderOptions(max_length=self.positions)
        return templates.render(records, self.template, self.tokenizer, how)


@dataclasses.dataclass(frozen=True)
class Pool:
    """Rows that a set may be made of: `rows` are their numbers, ascending, `tokens` what is trained
    of each. `refused` counts those that cannot be rendered, by reason, `overlapping` those that
    repeat a target.
    """

    rendered: templates.Rendered
    rows: Ints
    tokens: Ints
    refused: Mapping[str, int]
    overlapping: frozenset[int]

    def as_dict(self) -> dict[str, Any]:
        """What a plan says."""
        return {
            "rows": len(self.rows),
            "trained_tokens": int(self.tokens.sum()),
            "refused": dict(self.refused),
            "overlapping": len(self.overlapping),
        }


def read_pool(run: RunFolder) -> tuple[pl.DataFrame, frozenset[int]]:
    """All rows of a run in their order, as it left them, and the numbers of those that it kept.

    Rows that were dropped are as they were then: with the fixes before that step. Raises
    `CurateError` where nothing was kept, or nothing else is there.
    """
    kept, dropped = run.kept, run.dropped
    if not kept.height:
        raise CurateError(f"{run.path}: the run kept no rows; curate report {run.path} says why")
    if not dropped.height:
        raise CurateError(
            f"{run.path}: the run dropped no row, so every baseline would be made of the very same "
            "rows; there is nothing to prove"
        )
    every = pl.concat([each.select(RECORDS.names()) for each in (kept, dropped)]).sort("row")
    return every, frozenset(kept["row"].to_list())


def edited_rows(run: RunFolder) -> int:
    """How many rows a fix of the run edited."""
    lines = run.scan(LEDGER).filter(pl.col("verdict") == "edited").select("row")
    return collected(lines.unique(), run.path / LEDGER).height


def read_raw(run: RunFolder, tell: Log) -> pl.DataFrame:
    """The rows of a run as they were read, before any fix: from its sources, read again.

    Raises `CurateError` where those are not there any more, or not the same.
    """
    try:
        names, how, hashes = source_files(run)
    except CurateError as error:
        raise CurateError(
            f"baseline raw: {error}, or leave raw out of {option('baselines')}"
        ) from error
    dump = read_data(names, how, tell)
    if [file.sha256 for file in dump.files] != hashes or dump.height != _rows(run):
        raise CurateError(
            f"baseline raw: what {run.path} was made from has changed since, so nobody can say "
            "what its rows were before they were cleaned; leave raw out, or run it again"
        )
    return dump.records


def _rows(run: RunFolder) -> int:
    return run.counts["kept"] + run.counts["dropped"]


def held_out(records: pl.DataFrame, rendered: templates.Rendered, seed: int = 0) -> list[int]:
    """Numbers of rows that no set has, to measure on: 200, or a tenth if that is less.

    They are drawn by a hash, of rows that can be rendered; of equal conversations one is taken.
    Raises `CurateError` where a tenth is too few to measure on.
    """
    usable = records.filter(pl.col("row").is_in(rendered.examples["row"].unique().implode()))
    usable = usable.unique("id", keep="first", maintain_order=True)
    count = min(HELD_OUT, int(usable.height * SHARE))
    if count < FEWEST:
        raise CurateError(
            f"the run has only {usable.height:,} different rows, too few to hold some out and "
            "measure on them; name targets that it has not read (--targets FILE)"
        )
    order = epoch_order(usable.height, seed, -9)[:count]
    return sorted(usable["row"].gather(order.tolist()).to_list())


def without(records: pl.DataFrame, rows: Sequence[int]) -> pl.DataFrame:
    """Records without those of these numbers, and without any of the same content."""
    ids = records.filter(pl.col("row").is_in(list(rows)))["id"].implode()
    return records.filter(~pl.col("row").is_in(list(rows)) & ~pl.col("id").is_in(ids))


@dataclasses.dataclass(frozen=True)
class Overlaps:
    """Rows that repeat a target, by their numbers, and of each target how many rows they repeat."""

    rows: frozenset[int]
    found: Mapping[str, int]


def overlaps(records: pl.DataFrame, targets: Mapping[str, Path]) -> Overlaps:
    """What of the records repeats a row of a target file, by the filter `decontaminate`."""
    action = filter_called("decontaminate", {"against": [str(path) for path in targets.values()]})
    # As they would be read: a row's number is its place.
    placed = records.drop("row").with_row_index("row").select(RECORDS.names())
    done = runner.run(placed, [Step("decontaminate", action)])
    shares = {Path(each["name"]).name: each for each in done.steps[0].numbers["evaluations"]}
    found = {name: int(_hit(shares, path)) for name, path in targets.items()}
    rows = records["row"].filter(~done.kept).to_list()
    return Overlaps(frozenset(rows), found)


def _hit(shares: Mapping[str, Mapping[str, int]], path: Path) -> int:
    one = shares.get(path.name) or shares.get(path.stem)
    assert one is not None, f"the filter has not looked for {path.name}"
    return one["hit"] or 0


def make_pool(rendered: templates.Rendered, overlapping: frozenset[int]) -> Pool:
    """The rows that were rendered and repeat no target."""
    trained = pl.col("labels").list.slice(1).list.eval((pl.element() != -100).cast(pl.Int64))
    tokens = (
        rendered.examples.select("row", tokens=trained.list.sum())
        .group_by("row")
        .agg(pl.col("tokens").sum())
        .sort("row")
        .filter(~pl.col("row").is_in(list(overlapping)) & (pl.col("tokens") > 0))
    )
    return Pool(
        rendered,
        tokens["row"].cast(pl.Int64).to_numpy(),
        tokens["tokens"].to_numpy().astype(np.int64),
        dict(sorted(Counter(rendered.refused["check"].to_list()).items())),
        overlapping,
    )


def subset(rendered: templates.Rendered, rows: Sequence[int]) -> templates.Rendered:
    """The rendered rows of these numbers alone."""
    examples = rendered.examples.filter(pl.col("row").is_in(list(rows)))
    counts = dict.fromkeys(rendered.counts, 0)
    counts["rows"] = len(rows)
    counts["tokens"] = int(examples["input_ids"].list.len().sum())
    trained = examples["labels"].list.eval((pl.element() != -100).cast(pl.Int64)).list.sum()
    counts["trained_tokens"] = int(trained.sum())
    return dataclasses.replace(
        rendered, examples=examples, refused=rendered.refused.clear(), counts=counts, remedies=()
    )
