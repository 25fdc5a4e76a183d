"""What a target is given, and what it makes of it: data, texts beside it, rows left out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from curate.pipeline.run_folder import RunFolder

DATA = "train.parquet"
# Stands in a text for the hash of the data: what a tool caches must not outlive them.
DATA_HASH = "@data-hash@"
LEFT_OUT = pl.Schema({"row": pl.UInt32, "id": pl.String, "reason": pl.String, "detail": pl.String})


@dataclass(frozen=True)
class RunRows:
    """The kept rows of a run, `name` as messages call it."""

    name: str
    run: RunFolder
    kept: pl.DataFrame  # columns of KEPT_ROWS


@dataclass(frozen=True)
class TokenRows:
    """Masked tokens: `examples` as `templates.read` gives them, and their manifest."""

    name: str
    examples: pl.DataFrame
    manifest: Mapping[str, Any]


@dataclass(frozen=True)
class Export:
    """What a target makes: one table, texts by file name, and what the user should know.

    `json` are columns whose texts are JSON values: `datasets` gives them back as objects. `command`
    is what runs in the folder; MODEL stands in it where no model is in the configuration.
    """

    data: pl.DataFrame
    texts: Mapping[str, str]
    left_out: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=LEFT_OUT))
    json: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    command: str | None = None
    as_dataset: bool = False  # the folder itself is one that `datasets.load_from_disk` reads


def counted(rows: int) -> str:
    """A number of rows, in words.

    >>> counted(1), counted(2_000)
    ('1 row', '2,000 rows')
    """
    return f"{rows:,} row{'' if rows == 1 else 's'}"
