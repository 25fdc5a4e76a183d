"""The sets that a selection is to be compared with, as files to render and train on."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

import polars as pl

from curate.base.errors import CurateError
from curate.base.folder import MANIFEST, atomic_folder, is_plain_file, write_manifest, writing
from curate.base.schema import KEPT_ROWS
from curate.pipeline.kept_rows import write_conversations
from curate.pipeline.run_folder import RunFolder, collected

MAKER = "curate baselines"
_ENDING = ".baselines.parquet"


def write_baselines(run: Path, out: str | PathLike[str], force: bool = False) -> dict[str, int]:
    """Write `STEP.BASELINE.jsonl` for each baseline of each selection of a run; rows by name.

    The lines are as those of `kept.jsonl`, in the order of the input, also for rows that the run
    dropped. Names: `select.selected`, `select.random-rows-0` (matched by rows, seed 0),
    `select.random-words-0`, `select.longest-rows`, `select.full`. Raises `CurateError` when the
    run holds no selection or `out` is not free.
    """
    folder = RunFolder.open(run)
    files = sorted(
        name
        for name in folder.manifest["files"]
        if is_plain_file(run, name) and name.endswith(_ENDING)
    )
    if not files:
        raise CurateError(f"{run}: no step of this run selected rows, so there is nothing to match")
    folder.check_untouched(*files)
    tables = {
        name.removesuffix(_ENDING): collected(pl.scan_parquet(run / name, glob=False), run / name)
        for name in files
    }
    every = pl.concat([folder.kept, folder.dropped.select(KEPT_ROWS.names())])
    written: dict[str, int] = {}
    with atomic_folder(out, MAKER, force, [str(run)], [MANIFEST]) as unfinished, writing(out):
        for step, table in tables.items():
            for (baseline, matched_by, seed), rows in sorted(
                table.group_by("baseline", "matched_by", "seed"), key=lambda part: str(part[0])
            ):
                parts = (str(baseline).removesuffix("@k"), matched_by, seed)
                name = "-".join(str(part) for part in parts if part is not None)
                path = unfinished / f"{step}.{name}.jsonl"
                own = rows.select("row").join(every, on="row", how="left").sort("row")
                write_conversations(path, own)
                written[path.name] = rows.height
        write_manifest(unfinished, MAKER, {"run": str(run), "rows": written})
    return written
