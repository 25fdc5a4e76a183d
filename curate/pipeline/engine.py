"""Where measures are computed: in this process, or spread over several; or not at all, if known.

A measure sees one row at a time, so any split of the rows gives the same numbers; that is all
an engine may change.
"""

from __future__ import annotations

import os
import signal
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context, parent_process
from multiprocessing.connection import wait
from threading import Thread

import polars as pl

from curate.base.contract import Filter, hold
from curate.pipeline.cache import MeasureCache, StepCache

# Below this many rows starting a process costs more than it saves.
SPREAD_FROM = 4_000
# Rows measured before they are kept: what a killed run loses at most.
PART = 20_000


class LocalEngine:
    """Measures here; filters that loop over rows are spread over `workers` processes."""

    def __init__(self, workers: int | None = None, cache: MeasureCache | None = None) -> None:
        self.workers = workers or os.cpu_count() or 1
        self.cache = cache
        self._pool: ProcessPoolExecutor | None = None

    def measure(self, step: Filter, records: pl.DataFrame) -> pl.DataFrame:
        """`step.measure(records)`, looked up where it is known, else computed.

        A step that names what it `reads` gets those columns and no others.
        """
        kept = self.cache.of(step) if self.cache else None
        if kept is None or not records.height:
            return self._compute(step, records)
        return self._look_up(step, records, kept)

    def _look_up(self, step: Filter, records: pl.DataFrame, kept: StepCache) -> pl.DataFrame:
        known = kept.load(records["id"])
        missing = records.unique("id", keep="first", maintain_order=True)
        missing = missing.join(known.select("id"), on="id", how="anti", maintain_order="left")
        measures = [known]
        for part in missing.iter_slices(PART):
            measured = self._compute(step, part).with_columns(part["id"])
            kept.save(measured)
            measures.append(measured)
        table = pl.concat(measures, how="diagonal")
        rows = records.select("id").join(table, on="id", how="left", maintain_order="left")
        return rows.drop("id")

    def _compute(self, step: Filter, records: pl.DataFrame) -> pl.DataFrame:
        # Here and in a worker alike, lest a column that `reads` forgets be missed only there.
        records = records.select(step.reads or records.columns)
        helpers = self.helpers() if step.per_row and records.height >= SPREAD_FROM else None
        if helpers is None:
            measured = step.measure(records)
        else:
            size = -(-records.height // (2 * self.workers))
            measured = pl.concat(list(helpers.map(step.measure, records.iter_slices(size))))
        hold(measured.height == records.height, step.name, "measure changed the number of rows")
        return measured

    def helpers(self) -> ProcessPoolExecutor | None:
        """The processes that work beside this one; each starts when it is first needed."""
        if self.workers < 2:
            return None
        if self._pool is None:
            # Spawn, not fork: Polars' thread pool does not survive a fork.
            self._pool = ProcessPoolExecutor(self.workers, get_context("spawn"), _serve_parent)
        return self._pool

    def close(self) -> None:
        """Stop the worker processes, if any were started."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            self._pool = None


def _serve_parent() -> None:
    """An interrupt is for the parent, which ends the others; they never outlive it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = parent_process()
    if parent is not None:
        Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)
