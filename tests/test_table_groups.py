"""A table has the same bytes, however its rows were cut."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from curate.pipeline.tables import write_table

# More than a page of a parquet file (1 MiB) holds, in each row group but the last.
ROWS = pl.DataFrame(
    {
        "row": range(500),
        "texts": [
            [f"{number * step} and so on " * 400 for step in (3, 7)] for number in range(500)
        ],
    }
)


def written(path: Path, frames: list[pl.DataFrame]) -> bytes:
    write_table(path, frames, ROWS.schema, group=200)
    return path.read_bytes()


@pytest.mark.parametrize("size", [1, 70, 200, 203, 499])
def test_frames_of_any_size_give_the_same_bytes(tmp_path: Path, size: int) -> None:
    frames = [ROWS[start : start + size].clone() for start in range(0, ROWS.height, size)]
    assert written(tmp_path / "parts", [*frames, ROWS.clear()]) == written(tmp_path / "one", [ROWS])
    assert pl.read_parquet(tmp_path / "parts").equals(ROWS)


def test_no_rows_are_a_table_too(tmp_path: Path) -> None:
    written(tmp_path / "none", [])
    assert pl.read_parquet(tmp_path / "none").equals(ROWS.clear())
