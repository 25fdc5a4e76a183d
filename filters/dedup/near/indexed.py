"""`near` with an index of what earlier runs curated."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import polars as pl

from curate.base.contract import VERDICTS, Filter, Findings, Judgement
from curate.base.errors import CurateError
from filters.dedup.keep import F64, I64, duplicate_verdicts
from filters.dedup.near.decide import find, findings_of
from filters.dedup.near.index import ORIGIN, Index, batch_name

if TYPE_CHECKING:
    from filters.dedup.near.filter import Near

REASONS = {
    "near_duplicate": "Its text is nearly that of a record that stays.",
    "already_curated": "Its text is nearly that of a record in the index of earlier runs.",
}


class Indexed(Filter):
    """`near` with its index: `judge` reads it, `remember` adds what the whole run kept."""

    name: ClassVar[str] = "near"
    reasons: ClassVar[Mapping[str, str]] = REASONS
    version: ClassVar[int] = 2
    cached: ClassVar[bool] = True
    measured_by: ClassVar[tuple[str, ...]] = (
        *("similarity", "field", "shingle", "size", "tokenizer", "stem", "spare"),
    )

    def __init__(self, near: Near) -> None:
        self.near = near
        settings = {name: getattr(near, name) for name in near.measured_by}
        self._index = Index(Path(near.index or ""), settings | {"measure": near.version})
        self._index.check()
        self._batch: str | None = None

    def __repr__(self) -> str:
        return repr(self.near)

    @property
    def needs(self) -> tuple[str, ...]:
        """As `Near.needs`."""
        return self.near.needs

    @property
    def remembers_in(self) -> str:
        """The index's folder, whatever way the recipe names it."""
        return str(self._index.path.resolve())

    def __getattr__(self, name: str) -> Any:
        # What it needs, and what the cache goes by, are those of the step it stands for.
        # It is bound already, and `near` is not there yet while a copy is unpickled.
        if name in ("bind", "near"):
            raise AttributeError(name)
        return getattr(self.near, name)

    def measure(self, records: pl.DataFrame) -> pl.DataFrame:
        """As `Near.measure`."""
        return self.near.measure(records)

    def judge(self, measures: pl.DataFrame) -> Judgement:
        """See `Filter.judge`."""
        judged = self._verdicts(measures)
        return Judgement(judged, self._findings(measures, judged))

    def _verdicts(self, measures: pl.DataFrame) -> pl.DataFrame:
        """As `Near.judge`."""
        self._batch = batch_name(measures["id"])
        known = self._index.read(self._index.before(self._batch))
        found = find(self.near, measures, known)
        count = 0 if known is None else known.height
        twin, score = found.twin[0], found.score[0]
        own = np.where(twin >= count, twin - count, -1)
        said = duplicate_verdicts(measures, "near_duplicate", own, score, found.root)
        return said if known is None else _with_curated(said, known, twin, score)

    def _findings(self, measures: pl.DataFrame, judged: pl.DataFrame) -> Findings:
        """As `Near.findings`, and how many records the index held."""
        batches = self._index.before(batch_name(measures["id"]))
        known = self._index.read(batches)
        found = find(self.near, measures, known)
        count = 0 if known is None else known.height
        gone = int((judged["reason"] == "already_curated").sum())
        # The same words the first time and again: a run that is repeated gives the same bytes.
        said = (
            f"{gone:,} rows are nearly one of {count:,} that the index had before a first run over "
            "these very rows"
        )
        return findings_of(
            self.near, measures, judged, found, (said,), curated_before=count, already_curated=gone
        )

    def remember(self, records: pl.DataFrame) -> None:
        """Add these records to the index, as the batch of the records judged."""
        if self._batch is None:
            raise CurateError("near: nothing was judged, so there is no batch to add to the index")
        if not records.height and not self._index.has(self._batch):
            return  # a run that kept nothing leaves nothing to repeat
        measured = self.near.measure(records).drop("length")
        rows = pl.concat([records.select(ORIGIN), measured], how="horizontal")
        self._index.add(self._batch, rows)


def _with_curated(said: pl.DataFrame, known: pl.DataFrame, twin: I64, score: F64) -> pl.DataFrame:
    """The verdicts, with those on rows that go for one of the first rows, `known`."""
    goes = (twin >= 0) & (twin < known.height)
    origin = known.select(pl.format("{} at {}:{}", "id", "source", "line")).to_series()
    curated = pl.DataFrame(
        {
            "goes": goes,
            "similarity": score,
            "origin": origin.gather(np.where(goes, twin, 0)) if known.height else None,
        }
    )
    goes_now = pl.col("goes")
    return (
        pl.concat([said, curated], how="horizontal")
        .with_columns(
            keep=pl.col("keep") & ~goes_now,
            reason=pl.when(goes_now).then(pl.lit("already_curated")).otherwise("reason"),
            score=pl.when(goes_now).then("similarity").otherwise("score"),
            evidence=pl.when(goes_now).then("origin").otherwise("evidence"),
        )
        .select(pl.col(name).cast(dtype) for name, dtype in VERDICTS.items())
    )
