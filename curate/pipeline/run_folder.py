"""`RUN/`: what `curate run` leaves behind, written whole and read back."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import orjson
import polars as pl

from curate.base.errors import CurateError
from curate.base.folder import MANIFEST, check_as_written, is_made_by
from curate.base.json_text import needs_exact
from curate.base.replacing import Kind, shown_settings
from curate.base.schema import KEPT_ROWS
from curate.pipeline import ledger
from curate.pipeline.kept_rows import (
    DROPPED_ROWS,
    row_objects,
    with_scores,
)
from curate.sources import REJECTED

MAKER = "curate run"
REPORT = "report.html"
KEPT, DROPPED = "kept.parquet", "dropped.parquet"
LEDGER, LENGTHS = "ledger.parquet", "lengths.parquet"
FILES = (
    *("kept.jsonl", "dropped.jsonl", "rejects.jsonl"),
    *(KEPT, DROPPED, LEDGER, LENGTHS, MANIFEST, REPORT),
)


def settings_of(manifest: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """What a run was made with: steps and reading, and of each step its settings.

    The manifest of a stranger may hold anything; what is no step is left out.
    """
    listed, reading = manifest.get("steps"), manifest.get("reading")
    steps = {
        str(step.get("name")): str(step.get("settings"))
        for step in (listed if isinstance(listed, list) else [])
        if isinstance(step, dict)
    }
    about = {"seed": str(manifest.get("seed")), "steps": ", ".join(steps)}
    about |= {k: str(v) for k, v in reading.items()} if isinstance(reading, dict) else {}
    return {"": about, **{name: shown_settings(shown) for name, shown in steps.items()}}


# The files that hold a run's rows, and the rejects.
_ROWS = {
    "kept": ("kept.jsonl", KEPT),
    "dropped": ("dropped.jsonl", DROPPED),
    "rejects": ("rejects.jsonl",),
}

# What a run is, beside others that take the same folder.
KIND = Kind(MAKER, "run", settings_of)


def _state(run: Path) -> tuple[int, int]:
    """Changes when another run is written into a folder."""
    state = (run / MANIFEST).stat()
    return state.st_ino, state.st_mtime_ns


class RunFolder:
    """A finished run on disk."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._written = _state(path)

    @classmethod
    def open(cls, path: Path) -> Self:
        """The run in `path`. Raises `CurateError` when there is none."""
        if not is_run(path):
            raise CurateError(f"{path}: not a folder written by curate run")
        return cls(path)

    @cached_property
    def manifest(self) -> dict[str, Any]:
        """Inputs, recipe, steps with their findings, counts, versions. Raises `CurateError`."""
        loaded: dict[str, Any] = json.loads((self.path / MANIFEST).read_text("utf-8"))
        missing = [name for name in ("counts", "steps", "sources") if loaded.get(name) is None]
        if missing:
            raise CurateError(f"{self.path / MANIFEST}: damaged, it has no {', '.join(missing)}")
        return loaded

    @cached_property
    def kept(self) -> pl.DataFrame:
        """The records that were kept, in the order of the input: columns of `KEPT_ROWS`."""
        return self._rows(KEPT, KEPT_ROWS)

    @cached_property
    def dropped(self) -> pl.DataFrame:
        """The records that were dropped, with what the ledger says of it: `DROPPED_ROWS`."""
        return self._rows(DROPPED, DROPPED_ROWS)

    @cached_property
    def rejects(self) -> pl.DataFrame:
        """The places that could not be read: columns of `REJECTED`."""
        return pl.DataFrame(list(self.lines("rejects.jsonl")), schema=REJECTED)

    @cached_property
    def ledger(self) -> pl.DataFrame:
        """Every verdict on every row, in the order in which they fell: columns of `LEDGER`."""
        return self._table(LEDGER, ledger.LEDGER)

    @cached_property
    def lengths(self) -> pl.DataFrame:
        """`ledger.LENGTHS` of every record, in row order."""
        return self._table(LENGTHS, ledger.LENGTHS)

    def _table(self, name: str, schema: pl.Schema) -> pl.DataFrame:
        self._check_there(name)
        return collected(
            pl.scan_parquet(self.path / name, schema=schema, glob=False), self.path / name
        )

    def _rows(self, name: str, schema: pl.Schema) -> pl.DataFrame:
        self._check_there(name)
        check_as_written(self.path / name, MAKER)
        return collected(self._scanned(name, schema), self.path / name)

    def _scanned(self, name: str, schema: pl.Schema) -> pl.LazyFrame:
        """A table of rows; in those of earlier versions, scores are from the ledger."""
        if self._has_scores(name):
            return pl.scan_parquet(self.path / name, schema=schema, glob=False)
        bare = pl.Schema({key: kind for key, kind in schema.items() if key != "scores"})
        rows = pl.scan_parquet(self.path / name, schema=bare, glob=False)
        return with_scores(rows, self.ledger).select(schema.names())

    def _has_scores(self, name: str) -> bool:
        self._check_there(name)
        try:
            with (self.path / name).open("rb") as file:
                return "scores" in pl.read_parquet_schema(file)
        except (pl.exceptions.PolarsError, OSError) as error:
            raise CurateError(f"{self.path / name}: damaged ({error}); run it again") from error

    def row_files(self, *names: str) -> list[str]:
        """The files that hold all there is of the rows `kept` or `dropped`, for our readers.

        They are the tables; in runs of earlier versions the lines. Raises `CurateError` where they
        are not as they were written.
        """
        self.check(*names)
        by_version = [_ROWS[name][self._has_scores(_ROWS[name][1])] for name in names]
        return [str(self.path / file) for file in by_version]

    def _check_there(self, name: str) -> None:
        """Raise `CurateError` for a file that is missing, or of a run that was replaced since."""
        if self._written != _state(self.path):
            raise CurateError(f"{self.path}: another run was written here since; open it again")
        if not (self.path / name).exists():
            raise CurateError(f"{self.path / name}: missing, this run is older; run it again")

    def lines(self, name: str) -> Iterator[dict[str, Any]]:
        """The objects of one of the `.jsonl` files, in order."""
        self._check_there(name)
        with (self.path / name).open("rb") as file:
            for number, line in enumerate(file, 1):
                yield _object(self.path / name, number, line)

    def check(self, *names: str) -> None:
        """Raise `CurateError` when files (of `kept`; without names of all rows) are not as written.

        Their rows are read from the tables, so that what somebody changed in the lines alone would
        have no effect.
        """
        for name in names or tuple(_ROWS):
            for file in _ROWS[name]:
                check_as_written(self.path / file, MAKER)

    @cached_property
    def last_verdicts(self) -> pl.DataFrame:
        """`row` and `dropped` for every record, in row order: row n of kept.parquet is the nth
        that was not dropped, and so for dropped.parquet."""
        dropped = (pl.col("verdict") == "drop").any().alias("dropped")
        return self.ledger.group_by("row").agg(dropped).sort("row")

    def records(self, rows: Iterable[int]) -> dict[int, dict[str, Any]]:
        """The kept and dropped rows with these numbers as objects (`row_objects`), by row.

        Rows that the run does not hold are left out. Raises `CurateError` for damaged files.
        """
        wanted = pl.Series(sorted(set(rows)), dtype=pl.UInt32)
        records: dict[int, dict[str, Any]] = {}
        for name, schema in ((KEPT, KEPT_ROWS), (DROPPED, DROPPED_ROWS)):
            table = self._scanned(name, schema).filter(pl.col("row").is_in(wanted.implode()))
            found = collected(table, self.path / name)
            records |= zip(found["row"].to_list(), row_objects(found), strict=True)
        return records

    def pick(self, name: str, positions: Iterable[int]) -> dict[int, dict[str, Any]]:
        """The objects on some lines of one of the `.jsonl` files, by line number from 0.

        Raises `CurateError` for a line that is missing or is no JSON.
        """
        path, wanted = self.path / name, pl.Series(sorted(set(positions)), dtype=pl.UInt32)
        at = pl.col("at").is_in(wanted.implode())
        lines = collected(pl.scan_lines(path, glob=False).with_row_index("at").filter(at), path)
        picked = {at: _object(path, at + 1, line) for at, line in lines.iter_rows()}
        for at in wanted:
            if at not in picked:
                raise CurateError(f"{path}: has no line {at + 1}; the run is damaged, run it again")
        return picked


def collected(lines: pl.LazyFrame, path: Path) -> pl.DataFrame:
    """What a file of a run holds. Raises `CurateError` where it is damaged."""
    try:
        return lines.collect(engine="streaming")
    except (pl.exceptions.PolarsError, OSError) as error:
        raise CurateError(f"{path}: damaged ({error}); run it again") from error


def _object(path: Path, number: int, line: str | bytes) -> dict[str, Any]:
    data = line.encode() if isinstance(line, str) else line
    try:
        # Integers of any size stay as they are.
        loaded: dict[str, Any] = (json if needs_exact(data) else orjson).loads(data)
    except ValueError as error:
        raise CurateError(f"{path}:{number}: damaged ({error}); run it again") from error
    return loaded


def is_run(path: Path) -> bool:
    """Whether a folder holds a finished run."""
    return is_made_by(path, MAKER)
