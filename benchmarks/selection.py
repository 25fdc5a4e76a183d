"""Selections of 1,000 rows: what each method chooses, how long it takes, and what `lima` gives.

Prints the figures of docs/selection.md. Needs the real dumps (environment variable
CURATE_TEST_DATA). `--rows N` also times the methods that compare rows on N made-up vectors;
`--skip-lima` leaves out the two whole runs of the recipe.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import closing
from pathlib import Path

import numpy as np
import polars as pl

from curate import sources
from curate.base.schema import with_text
from curate.pipeline import recipe
from curate.pipeline.engine import engine_of
from curate.pipeline.measuring import Measures
from curate.pipeline.runner import run
from filters.common.text import view
from filters.selection.baselines import findings
from filters.selection.filter import VECTORS, Select

BUDGET = 1000
TARGET = 90  # seconds for the lima recipe on two cores
CHOICES: tuple[dict[str, str], ...] = (
    {"method": "random"},
    {"method": "random", "stratify": "log_length"},
    {"method": "longest"},
    {"method": "tags"},
    {"method": "repr"},
    {"method": "kcenter"},
    {"method": "facility"},
    {"method": "facility", "stratify": "length"},
    {"method": "facility", "stratify": "log_length"},
)


def pool(folder: Path) -> pl.DataFrame:
    """What the steps of `lima` before the selection keep."""
    steps = recipe.load("lima").steps
    before = steps[: [step.name for step in steps].index("select")]
    with closing(engine_of()) as engine:
        result = run(sources.read([str(folder)]).records, before, Measures(engine))
    return result.records.filter(result.kept)


def measured(records: pl.DataFrame, step: Select) -> pl.DataFrame:
    """What `judge` sees; the score is drawn, for methods that need one."""
    drawn = np.random.default_rng(0).random(records.height)
    known = records.select(
        "row", "id", **{"record.source": "source", "record.category": "category"}
    )
    known = known.with_columns(pl.Series("record.score", drawn))
    return pl.concat([known, step.measure(records)], how="horizontal")


def methods(records: pl.DataFrame) -> None:
    """Print what each method chooses from the same rows."""
    vectors = measured(records, Select(method="facility", field="prompt"))["vector"]
    print(f"{records.height:,} rows, {BUDGET:,} selected; vectors of prompts, built-in encoder")
    print("method                    words  median  C10    lengths  coverage  alike  CPU s")
    for choice in CHOICES:
        more = {"field": "prompt"} if choice["method"] in VECTORS else {}
        step = Select(budget=BUDGET, **choice, **more)  # type: ignore[arg-type]
        started = time.process_time()
        measures = measured(records, step)
        verdicts = step.judge(measures).verdicts
        seconds = time.process_time() - started
        seen = measures.with_columns(vectors)
        chosen = findings(seen, verdicts["keep"], "words", 0).numbers["baselines"][0]
        name = " ".join(choice.values())
        print(
            f"{name:24} {chosen['words']:>7,} {chosen['median']:>7} {chosen['concentration']:6.3f}"
            f"  {chosen['verdict']:>7} {chosen['coverage']:9.3f} {chosen['alikeness']:6.3f}"
            f" {seconds:6.1f}"
        )


def lima(folder: Path) -> None:
    """Run the recipe twice from nothing; print the result and whether the bytes are the same."""
    command = [sys.executable, "-m", "curate", "run", str(folder), "--recipe", "lima"]
    prints = []
    with tempfile.TemporaryDirectory() as place:
        for turn in range(2):
            out = Path(place) / str(turn)
            started, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
            subprocess.run([*command, "--out", str(out), "--no-cache", "--quiet"], check=True)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            print(
                f"lima: {time.perf_counter() - started:.1f} s (target {TARGET} on two cores),"
                f" {spent:.1f} s of CPU"
            )
            names = ("kept.jsonl", "dropped.jsonl", "ledger.parquet", "select.baselines.parquet")
            prints.append([hashlib.sha256((out / name).read_bytes()).hexdigest() for name in names])
        manifest = json.loads((out / "manifest.json").read_text("utf-8"))
        kept = [json.loads(line) for line in (out / "kept.jsonl").read_bytes().splitlines()]
    print("two runs:", "byte-identical" if prints[0] == prints[1] else "DIFFERENT")
    print(manifest["counts"])
    for step in manifest["steps"]:
        print(f"  {step['name']:16} {step['rows']:>7,} rows, {step['dropped']:>6,} dropped")
    for step in manifest["steps"][-2:]:
        print(*(f"{step['name']}: {sentence}" for sentence in step["sentences"]), sep="\n")
    for source, count in Counter(Path(row["source"]).name for row in kept).most_common():
        print(f"  {count:4} {source}")
    alike(kept)


def alike(kept: list[dict[str, object]]) -> None:
    """Print how alike the chosen rows are: the nearest pairs that are left."""
    from filters.common.vectors import embed

    with tempfile.NamedTemporaryFile("w", suffix=".jsonl") as file:
        file.writelines(json.dumps(row) + "\n" for row in kept)
        file.flush()
        records = with_text(sources.read([file.name]).records)
    for field in ("prompt", "response", "both"):
        vectors = embed("select", "lexical", view(records, field))
        cosine = np.triu(vectors @ vectors.T, 1)
        print(f"pairs of {field} with a cosine above 0.8: {int((cosine > 0.8).sum())}")


def speed(rows: int) -> None:
    """Print the time of methods that compare rows, on random unit vectors around 200 centres."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(200, 512)).astype(np.float32)
    vectors = centres[rng.integers(0, 200, rows)]
    vectors += 2 * rng.normal(size=vectors.shape).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    measures = pl.DataFrame(
        {
            "row": np.arange(rows, dtype=np.uint32),
            "id": [f"{row:016x}" for row in range(rows)],
            "record.score": rng.random(rows),
            "record.category": pl.Series([None] * rows, dtype=pl.String),
            "length": np.full(rows, 100, dtype=np.uint32),
            "vector": pl.Series(vectors, dtype=pl.Array(pl.Float32, 512)),
        }
    )
    for method in VECTORS:
        started, spent = time.perf_counter(), time.process_time()
        Select(method=method, budget=BUDGET).judge(measures)  # type: ignore[arg-type]
        print(
            f"{method}: {BUDGET:,} of {rows:,} rows in {time.perf_counter() - started:.1f} s,"
            f" {time.process_time() - spent:.1f} s of CPU"
        )


def main() -> None:
    """Print all figures."""
    from rows import DATA, need

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=0)
    parser.add_argument("--skip-lima", action="store_true")
    options = parser.parse_args()
    if options.rows:
        speed(options.rows)
    need(DATA)
    methods(with_text(pool(DATA / "raw")))
    if not options.skip_lima:
        lima(DATA / "raw")


if __name__ == "__main__":
    main()
