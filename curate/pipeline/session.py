"""An engine that remembers what it measured, so that rows can be judged again at once."""

from __future__ import annotations

import dataclasses

import polars as pl

from curate.base.contract import Filter
from curate.pipeline.cache import MeasureCache
from curate.pipeline.engine import LocalEngine

_KEYS = ["row", "id"]


class SessionEngine(LocalEngine):
    """Measures each record once: asked again for the same step and settings, it looks it up.

    It belongs to the records of one dump. A record is known by its row and id: the row stands for
    what a fix never changes (weights, scores), the id for the text that it may change.
    """

    def __init__(self, workers: int | None = None, cache: MeasureCache | None = None) -> None:
        super().__init__(workers, cache)
        self._known: dict[str, pl.DataFrame] = {}

    def measure(self, step: Filter, records: pl.DataFrame) -> pl.DataFrame:
        """As `LocalEngine.measure`, for rows that were not measured before."""
        key = _key(step)
        known = self._known.get(key, records.select(_KEYS).clear())
        missing = records.join(known.select(_KEYS), on=_KEYS, how="anti", maintain_order="left")
        if missing.height or key not in self._known:
            measured = super().measure(step, missing).with_columns(missing["row"], missing["id"])
            known = self._known[key] = pl.concat([known, measured], how="diagonal")
        rows = records.select(_KEYS).join(known, on=_KEYS, how="left", maintain_order="left")
        return rows.drop(_KEYS)


def _key(step: Filter) -> str:
    """What decides a step's measures: those settings that it says, or else all of them."""
    names = step.measured_by or [field.name for field in dataclasses.fields(step)]  # type: ignore[arg-type]
    return repr((type(step), step.version, {name: getattr(step, name) for name in names}))
