"""What each bundled recipe does to a real dump: rows, reasons, lengths, seconds.

Prints the table of docs/recipes.md. Needs the test data (environment variable CURATE_TEST_DATA);
`--dump` takes a file of one's own. Recipes that read a score or a model are left out unless
`--set RECIPE:STEP.FIELD=VALUE` gives them what they need. The cache of measures is off.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl

sys.path.insert(0, str(Path(__file__).parent))

from rows import DATA, need

RECIPES = ("default", "lima", "longest")
SHOWN = 3  # reasons of a step


def ran(dump: Path, recipe: str, overrides: Sequence[str], out: Path) -> float:
    """Run a recipe over the dump into `out`; wall seconds, process start to files written."""
    command = [sys.executable, "-m", "curate", "run", str(dump), "--recipe", recipe]
    settings = [word for override in overrides for word in ("--set", override)]
    started = time.perf_counter()
    subprocess.run([*command, *settings, "--out", str(out), "--no-cache", "--quiet"], check=True)
    return time.perf_counter() - started


def steps(manifest: dict[str, Any]) -> str:
    """Each step that dropped or edited something, with its most frequent reasons."""
    return "; ".join(
        f"{step['name']} {step['dropped'] or step['edited']:,} ({reasons(step['reasons'])})"
        for step in manifest["steps"]
        if step["dropped"] or step["edited"]
    )


def reasons(counts: dict[str, int]) -> str:
    """The most frequent reasons of a step, and how many more there are."""
    most = sorted(counts, key=lambda reason: -counts[reason])
    more = [f"{len(most) - SHOWN} more"] if len(most) > SHOWN else []
    return ", ".join([*most[:SHOWN], *more])


def lengths(run: Path) -> str:
    """Words of an answer (10th, 50th and 90th percentile), of the rows read and of those kept."""
    frame = pl.read_parquet(run / "lengths.parquet")
    parts = [frame["words"], frame.filter(pl.col("kept"))["words"]]
    return " to ".join(
        "/".join(f"{part.quantile(share, 'nearest'):.0f}" for share in (0.1, 0.5, 0.9))
        for part in parts
    )


def main() -> None:
    """Print a line for each recipe."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dump", type=Path, default=DATA / "raw" / "alpaca_random_9k.json")
    parser.add_argument("--set", action="append", default=[], metavar="RECIPE:STEP.FIELD=VALUE")
    asked = parser.parse_args()
    need(asked.dump)
    given = [text.partition(":") for text in asked.set]
    names = dict.fromkeys([*RECIPES, *(recipe for recipe, _, _ in given)])
    print(f"{asked.dump.name}, {os.cpu_count()} cores\n")
    print("| recipe | rows read | kept | what the steps did | words of an answer | seconds |")
    print("|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            out = Path(folder) / name
            seconds = ran(
                asked.dump, name, [one for recipe, _, one in given if recipe == name], out
            )
            manifest = json.loads((out / "manifest.json").read_text("utf-8"))
            counts = manifest["counts"]
            print(
                f"| {name} | {counts['read']:,} | {counts['kept']:,} | {steps(manifest)} "
                f"| {lengths(out)} | {seconds:.0f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
