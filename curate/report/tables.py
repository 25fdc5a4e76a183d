"""The tables that steps left in a run's folder, `STEP.NAME.parquet`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import polars as pl

from curate.base.errors import CurateError

if TYPE_CHECKING:
    from curate.pipeline.run_folder import RunFolder


def tables(run: RunFolder, name: str, columns: set[str]) -> Iterator[tuple[str, pl.DataFrame]]:
    """Each step's table of that name that has rows and these columns, in the funnel's order.

    Raises `CurateError` for one that cannot be read.
    """
    ending = f".{name}.parquet"
    for file in run.manifest.get("files", []):
        if not file.endswith(ending):
            continue
        try:
            table = pl.read_parquet(run.path / file)
        except (pl.exceptions.PolarsError, OSError) as error:
            raise CurateError(f"{run.path / file}: damaged ({error}); run it again") from error
        if set(table.columns) >= columns and table.height:
            yield file.removesuffix(ending), table
