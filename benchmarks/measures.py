"""Bytes a row of what each filter of the default recipe measures, as `judge` gets it.

Each filter is a process of its own, which holds the measures of all rows, without lists and arrays
(shingles, vectors), and then lets go of them: by so much does its resident memory fall. Mapped
files do not count. The allocator gives back at once what is free.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parent.parent))

from figures import report

from curate.base.contract import Filter
from curate.base.parts import Part, PartsTo
from curate.pipeline import recipe
from curate.pipeline.measuring import Measures
from curate.pipeline.steps import Step, bind_steps

# For the allocator of polars, jemalloc: free pages are given back at once.
AT_ONCE = {"_RJEM_MALLOC_CONF": "dirty_decay_ms:0,muzzy_decay_ms:0"}


def held() -> int:
    """Bytes that this process holds, without pages of files."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    _, resident, shared, *_ = map(int, Path("/proc/self/statm").read_text().split())
    return (resident - shared) * os.sysconf("SC_PAGE_SIZE")


def measured(step: Step, part: Part) -> pl.DataFrame:
    """What a step measures of a part, without lists and arrays."""
    assert isinstance(step.action, Filter)
    alone = replace(part, start=0)
    keys = alone.load().select("row", "id")
    alive = np.ones(part.height, dtype=bool)
    found = Measures().of(step.name, step.action, [alone], keys, alive)
    return found.select(~pl.selectors.nested())


def weigh(step: Step, parts: Sequence[Part]) -> tuple[float, float]:
    """Bytes a row of a step's measures: by resident memory, and as polars counts them."""
    together = pl.concat([measured(step, part) for part in parts])
    rows, size, most = together.height, together.estimated_size(), held()
    del together
    return (most - held()) / rows, size / rows


def filters() -> list[Step]:
    """The filters of the default recipe."""
    steps = bind_steps(recipe.load(None).steps)
    return [step for step in steps if isinstance(step.action, Filter)]


def parts_in(folder: Path) -> list[Part]:
    """The parts that were read into a folder; all of them are files."""
    paths = sorted(folder.glob("part-*.arrow"))
    heights = [pl.scan_ipc(path).select(pl.len()).collect().item() for path in paths]
    return [
        Part(number, sum(heights[:number]), height, path=path)
        for number, (path, height) in enumerate(zip(paths, heights, strict=True))
    ]


def alone(name: str, parts: Path) -> tuple[float, float]:
    """`weigh` in a process of its own."""
    command = [sys.executable, __file__, "--step", name, "--parts", str(parts)]
    output = subprocess.check_output(command, env=os.environ | AT_ONCE)
    by_memory, by_size = json.loads(output.splitlines()[-1])
    return by_memory, by_size


def main() -> None:
    """Print a line for each filter, their sum, and the line of the table of figures."""
    from rows import write_sharegpt

    from curate.sources import read

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=500_000, help="more than one part")
    parser.add_argument("--dump", type=Path, help="a file of one's own")
    parser.add_argument("--docs", action="store_true", help="write into docs/performance.md")
    parser.add_argument("--step", help=argparse.SUPPRESS)
    parser.add_argument("--parts", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.step:
        step = next(step for step in filters() if step.name == options.step)
        print(json.dumps(weigh(step, parts_in(options.parts))))
        return
    with tempfile.TemporaryDirectory() as made:
        dump, parts = options.dump or Path(made) / "rows.jsonl", Path(made) / "parts"
        if options.dump is None:
            write_sharegpt(dump, options.rows)
        rows = read([str(dump)], to=PartsTo(parts)).height
        assert parts.exists(), "so few rows are in memory; take more"
        print(f"{rows:,} rows; bytes a row by resident memory, and as polars counts them:")
        found = {}
        for step in filters():
            found[step.name] = alone(step.name, parts)
            print(f"  {step.name:10} {found[step.name][0]:6.1f} {found[step.name][1]:6.1f}")
    by_memory, by_size = map(sum, zip(*found.values(), strict=True))
    print(f"  {'sum':10} {by_memory:6.1f} {by_size:6.1f}")
    name, (most, _) = max(found.items(), key=lambda each: each[1])
    text = f"{most:.0f} in the largest step ({name}), {by_memory:.0f} in all steps together"
    report("measures", text, options.docs)


if __name__ == "__main__":
    main()
