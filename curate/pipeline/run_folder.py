"""`RUN/`: what `curate run` leaves behind, written whole and read back."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property, reduce
from operator import or_
from pathlib import Path
from typing import Any, Self

import orjson
import polars as pl

from curate.base.errors import CurateError
from curate.base.folder import (
    MANIFEST,
    check_as_written,
    check_untouched,
    is_made_by,
    read_manifest,
)
from curate.base.json_text import needs_exact
from curate.base.manifest_shape import (
    NUMBER_BY_NAME,
    OBJECT,
    TEXT,
    TEXT_BY_NAME,
    TEXTS,
    WHOLE,
    WHOLE_BY_NAME,
    Shape,
    check_shapes,
    has,
    list_of,
    may_have,
)
from curate.base.manifest_table import restored
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
REJECTS = "rejects.jsonl"
FILES = (
    *("kept.jsonl", "dropped.jsonl", REJECTS),
    *(KEPT, DROPPED, LEDGER, LENGTHS, MANIFEST, REPORT),
)

_has_name, _has_source = has(name=TEXT), has(source=TEXT)
_may_be_step = may_have(
    settings=TEXT,
    **dict.fromkeys(("rows", "kept", "dropped", "edited"), WHOLE),
    reasons=WHOLE_BY_NAME,
    meanings=TEXT_BY_NAME,
    sentences=TEXTS,
    numbers=OBJECT,
)
_may_be_file = may_have(
    sha256=TEXT,
    **dict.fromkeys(("rows", "converted", "rejected"), WHOLE),
    formats=WHOLE_BY_NAME,
    fields=TEXT_BY_NAME,
    rejects=WHOLE_BY_NAME,
    leftovers=OBJECT,
    notes=OBJECT,
)
# What the manifest must hold, for all that reads it.
_SHAPES: Mapping[str, Shape] = {
    "counts": WHOLE_BY_NAME,
    "steps": list_of(
        "a list of steps, as a run writes them", lambda one: _has_name(one) and _may_be_step(one)
    ),
    "sources": list_of(
        "a list of files, as a run writes them", lambda one: _has_source(one) and _may_be_file(one)
    ),
    "recipe": OBJECT,
    "recipe.text": TEXT,
    "reading": OBJECT,
    "seconds": NUMBER_BY_NAME,
    "versions": TEXT_BY_NAME,
}
_NEEDED = ("counts", "steps", "sources")


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
    "rejects": (REJECTS,),
}

# The columns of the tables.
_SCHEMAS = {
    KEPT: KEPT_ROWS,
    DROPPED: DROPPED_ROWS,
    LEDGER: ledger.LEDGER,
    LENGTHS: ledger.LENGTHS,
}

# What polars makes of a damaged file; a panic is no `Exception`.
_DAMAGE = (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError)

_FEW = 500  # rows that are looked up one by one

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
        loaded = restored(self.path, read_manifest(self.path))
        check_shapes(loaded, _SHAPES, _NEEDED, self.path / MANIFEST, "run it again")
        return loaded

    @property
    def counts(self) -> dict[str, int]:
        """How many rows were read, kept, dropped, rejected and edited; without all the manifest."""
        manifest = read_manifest(self.path)
        shapes = {name: _SHAPES[name] for name in ("counts",)}
        check_shapes(manifest, shapes, shapes, self.path / MANIFEST, "run it again")
        counts: dict[str, int] = manifest["counts"]
        return counts

    @cached_property
    def kept(self) -> pl.DataFrame:
        """The records that were kept, in the order of the input: columns of `KEPT_ROWS`."""
        return self._rows(KEPT)

    @cached_property
    def dropped(self) -> pl.DataFrame:
        """The records that were dropped, with what the ledger says of it: `DROPPED_ROWS`."""
        return self._rows(DROPPED)

    @cached_property
    def rejects(self) -> pl.DataFrame:
        """The places that could not be read: columns of `REJECTED`."""
        return pl.DataFrame(list(self.lines(REJECTS)), schema=REJECTED)

    @cached_property
    def ledger(self) -> pl.DataFrame:
        """Every verdict on every row, in the order in which they fell: columns of `LEDGER`."""
        return collected(self.scan(LEDGER), self.path / LEDGER)

    @cached_property
    def lengths(self) -> pl.DataFrame:
        """`ledger.LENGTHS` of every record, in row order."""
        return collected(self.scan(LENGTHS), self.path / LENGTHS)

    def _rows(self, name: str) -> pl.DataFrame:
        self._check_there(name)
        check_as_written(self.path / name, MAKER)
        return collected(self.scan(name), self.path / name)

    def scan(self, name: str) -> pl.LazyFrame:
        """One of the four tables, of which only what is asked for is read (see `collected`).

        In the rows of earlier versions, scores are from the ledger.
        """
        self._check_there(name)
        schema = _SCHEMAS[name]
        if "scores" not in schema or self._has_scores(name):
            return pl.scan_parquet(self.path / name, schema=schema, glob=False)
        bare = pl.Schema({key: kind for key, kind in schema.items() if key != "scores"})
        rows = pl.scan_parquet(self.path / name, schema=bare, glob=False)
        return with_scores(rows, self.ledger).select(schema.names())

    def lines_about(self, name: str, rows: Iterable[int]) -> pl.DataFrame:
        """The lines of one of the four tables that are about these rows, in its order."""
        wanted = pl.Series(sorted(set(rows)), dtype=KEPT_ROWS["row"])
        return collected(self.scan(name).filter(is_row(wanted)), self.path / name)

    def scan_rejects(self, *names: str) -> pl.LazyFrame:
        """Columns of the rejects, and `at`, the number of the line from 0; see `scan`."""
        self._check_there(REJECTS)
        fields = pl.Struct({name: REJECTED[name] for name in names})
        lines = pl.scan_lines(self.path / REJECTS, glob=False).with_row_index("at")
        return lines.with_columns(pl.col("line").str.json_decode(fields)).unnest("line")

    def _has_scores(self, name: str) -> bool:
        self._check_there(name)
        try:
            with (self.path / name).open("rb") as file:
                return "scores" in pl.read_parquet_schema(file)
        except _DAMAGE as error:
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

    def check_untouched(self, *names: str) -> None:
        """Raise `CurateError` when files (all that hold rows or verdicts, or these) were changed.

        For those who show a few rows: it reads no file that nobody touched.
        """
        for file in names or [*(file for files in _ROWS.values() for file in files), LEDGER]:
            self._check_there(file)
            check_untouched(self.path / file, MAKER)

    @cached_property
    def last_verdicts(self) -> pl.DataFrame:
        """`row` and `dropped` for every record, in row order: row n of kept.parquet is the nth
        that was not dropped, and so for dropped.parquet."""
        return self.lengths.select("row", dropped=pl.col("kept").not_())

    def records(self, rows: Iterable[int]) -> dict[int, dict[str, Any]]:
        """The kept and dropped rows with these numbers as objects (`row_objects`), by row.

        Rows that the run does not hold are left out. Raises `CurateError` for damaged files.
        """
        wanted, records = set(rows), dict[int, dict[str, Any]]()
        for name in (KEPT, DROPPED):
            found = self.lines_about(name, wanted)
            records |= zip(found["row"].to_list(), row_objects(found), strict=True)
        return records

    def pick(self, name: str, positions: Iterable[int]) -> dict[int, dict[str, Any]]:
        """The objects on some lines of one of the `.jsonl` files, by line number from 0.

        Raises `CurateError` for a line that is missing or is no JSON.
        """
        path, wanted = self.path / name, pl.Series(sorted(set(positions)), dtype=pl.UInt32)
        if not len(wanted):
            return {}
        at = pl.col("at").is_in(wanted.implode())
        lines = collected(pl.scan_lines(path, glob=False).with_row_index("at").filter(at), path)
        picked = {at: _object(path, at + 1, line) for at, line in lines.iter_rows()}
        for at in wanted:
            if at not in picked:
                raise CurateError(f"{path}: has no line {at + 1}; the run is damaged, run it again")
        return picked


def is_row(rows: pl.Series) -> pl.Expr:
    """Whether a line is about one of these rows."""
    # By comparisons with single numbers polars sees which row groups it need not read. Halves keep
    # the expression flat; beyond some rows all groups are read anyway.
    if len(rows) > _FEW:
        return pl.col("row").is_in(rows.implode())
    same = [pl.col("row") == row for row in rows]
    while len(same) > 1:
        same = [reduce(or_, same[at : at + 2]) for at in range(0, len(same), 2)]
    return same[0] if same else pl.lit(value=False)


def collected(lines: pl.LazyFrame, path: Path) -> pl.DataFrame:
    """What a file of a run holds. Raises `CurateError` where it is damaged."""
    try:
        return lines.collect(engine="streaming")
    except _DAMAGE as error:
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
