"""The rows of two runs, paired: which row of the one is which row of the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from curate.base.replacing import NAMELESS, sources_of
from curate.pipeline.run_folder import DROPPED, KEPT, LEDGER, REJECTS, collected
from curate.report.explain.lookup import SLUG

if TYPE_CHECKING:
    from curate.pipeline.run_folder import RunFolder

# One line for each row or reject of a run, in the order of rows, rejects last. `verdict` is kept,
# dropped or rejected; `edits` are the reasons of the fixes, `duplicate_at` a place.
ENTRIES = pl.Schema(
    {
        "source": pl.String,
        "line": pl.UInt32,
        "row": pl.UInt32,
        "id": pl.String,
        "verdict": pl.String,
        "step": pl.String,
        "reason": pl.String,
        "score": pl.Float64,
        "evidence": pl.String,
        "duplicate_of": pl.UInt32,
        "duplicate_at": pl.String,
        "edits": pl.String,
    }
)
# What rows are paired by: the hash and the name of their file, and what was read of them.
KEYS = pl.Schema({"hash": pl.String, "file": pl.String, "content": pl.String})

# Which columns make two rows one, tried in this order. Rows that agree in them are paired in order.
_SAME = (
    ["hash", "line", "content"],
    ["hash", "line"],  # read differently, or by one run only
    ["file", "content"],
    ["content"],  # moved to another file
)


def entries(run: RunFolder) -> pl.DataFrame:
    """`ENTRIES` and `KEYS` of a run, and `at`, the number of the line."""
    lines = pl.concat([_records(run), _rejects(run)], how="diagonal_relaxed")
    named = {source.name: source.sha256 for source in sources_of(run.manifest)}
    files = pl.DataFrame(
        {
            "source": list(named),
            "hash": [sha if len(sha) == 64 else None for sha in named.values()],
            "file": list(map(_file, named)),
        },
        schema={"source": pl.String, "hash": pl.String, "file": pl.String},
    )
    joined = lines.join(files, on="source", how="left", maintain_order="left")
    return joined.select(*ENTRIES.names(), *KEYS.names()).with_row_index("at")


def _file(name: str) -> str:
    """The same for all names of one file, as seen from here."""
    return name if name in NAMELESS else str(Path(name).resolve())


def _records(run: RunFolder) -> pl.DataFrame:
    run.check_untouched(KEPT, DROPPED, LEDGER)
    ledger = run.scan(LEDGER)
    drops, edits, read = (
        collected(lines, run.path / LEDGER)
        for lines in (
            ledger.filter(pl.col("verdict") == "drop").select(
                "row", "step", "reason", "score", "evidence", "duplicate_of"
            ),
            ledger.filter(pl.col("verdict") == "edited").select("row", "reason"),
            ledger.select("row", "source", "line", content="id").unique(
                "row", keep="first", maintain_order=True
            ),
        )
    )
    edits = edits.group_by("row", maintain_order=True).agg(edits=pl.col("reason").str.join(", "))
    places = read.select(duplicate_of="row", duplicate_at=pl.format("{}:{}", "source", "line"))
    last = pl.concat(
        collected(run.scan(name).select("row", "id"), run.path / name) for name in (KEPT, DROPPED)
    )
    return (
        read.join(last, on="row", how="left", maintain_order="left")
        .join(drops, on="row", how="left", maintain_order="left")
        .join(places, on="duplicate_of", how="left", maintain_order="left")
        .join(edits, on="row", how="left")
        .with_columns(
            verdict=pl.when(pl.col("step").is_null())
            .then(pl.lit("kept"))
            .otherwise(pl.lit("dropped"))
        )
        .sort("row")
    )


def _rejects(run: RunFolder) -> pl.DataFrame:
    rejects = run.scan_rejects("source", "line", "reason", "raw")
    detail = pl.col("reason").str.split_exact(": ", 1).struct.field("field_1")
    lines = rejects.select(
        "source",
        "line",
        verdict=pl.lit("rejected"),
        reason=SLUG,
        evidence=detail,
        content=pl.format("reject {}", "raw"),
    )
    return collected(lines, run.path / REJECTS)


def pairs(first: pl.DataFrame, second: pl.DataFrame) -> pl.DataFrame:
    """`at_1` and `at_2` of the lines of two `entries` that are the same row.

    By the bytes of their file, the line and the order of rows on that line; where files differ, by
    what was read of the row, first in files of the same name.
    """
    paired = [pl.DataFrame(schema={"at_1": pl.UInt32, "at_2": pl.UInt32})]
    for columns in _SAME:
        both = _numbered(first, columns).join(
            _numbered(second, columns), on=[*columns, "nth"], suffix="_2"
        )
        paired.append(both.select(at_1="at", at_2="at_2"))
        first = first.join(both, on="at", how="anti", maintain_order="left")
        second = second.join(both, left_on="at", right_on="at_2", how="anti", maintain_order="left")
    return pl.concat(paired).sort("at_1")


def _numbered(lines: pl.DataFrame, columns: Sequence[str]) -> pl.DataFrame:
    """`at`, the columns, and the how manieth line with these values each is."""
    known = lines.select("at", *columns).drop_nulls()
    return known.with_columns(nth=pl.int_range(pl.len()).over(columns))


def why_alone(one: pl.DataFrame, manifest: Mapping[str, Any]) -> pl.Expr:
    """Why lines of `one` are in no pair, from the manifest of the other run."""
    others = sources_of(manifest)
    hashes, files = {other.sha256 for other in others}, {_file(other.name) for other in others}
    same = [each for each in one["hash"].unique().drop_nulls() if each in hashes]
    named = [each for each in one["file"].unique().drop_nulls() if each in files]
    return (
        pl.when(pl.col("hash").is_in(same))
        .then(pl.lit("the same file gave fewer rows"))
        .when(pl.col("file").is_in([name for name in named if name in NAMELESS]))
        .then(pl.lit("other data were given, without such a row"))
        .when(pl.col("file").is_in(named))
        .then(pl.lit("the file has changed and has no such row"))
        .otherwise(pl.lit("the file was not read"))
    )
