"""`curate explain` and `curate report` on a run of a million rows: seconds and peak memory of each.

The rows are made up, of about 600 bytes, in ten files: one in 50 repeats the row before, one in 50
adds two words to it, one in 100 has a short answer, one in 500 cannot be read. The run is made with
the default recipe, which takes minutes and gigabytes of memory; `--keep FOLDER` keeps it and the
files, and takes those that are there. Each command is a process of its own, from its start to its
end; the least seconds and the most memory of three.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import orjson

sys.path.insert(0, str(Path(__file__).parent))

FILES = 10
SECONDS, GIGABYTES, KILOBYTES = 2, 1, 200


def conversations(rows: int) -> Iterator[bytes]:
    """Lines of a dump."""
    from rows import texts

    chance = random.Random(1)
    prompt, answer = "Say hello.", "Hello, and welcome."
    for number, made in enumerate(texts(0, rows)):
        kind = chance.random()
        if kind < 0.002:
            yield b'{"conversations": [{"from": "human", "value": "cut of'
            continue
        if kind < 0.022:  # again: nothing is changed
            pass
        elif kind < 0.042:
            answer = f"{answer} Number {number}."
        elif kind < 0.052:
            prompt, answer = made[0], f"No {number}"
        else:
            prompt, answer = made
        turns = [{"from": "human", "value": prompt}, {"from": "gpt", "value": answer}]
        yield orjson.dumps({"id": f"r{number}", "conversations": turns})


def write_dump(folder: Path, rows: int) -> list[Path]:
    """The files of a dump, `rows` lines in all."""
    paths = [folder / f"part{number}.jsonl" for number in range(FILES)]
    lines = conversations(rows)
    for number, path in enumerate(paths):
        with path.open("wb") as file:
            for _ in range(rows * number // FILES, rows * (number + 1) // FILES):
                file.write(next(lines) + b"\n")
    return paths


def make_run(folder: Path, rows: int) -> None:
    """`RUN` in a folder, over a dump beside it."""
    dump = folder / "dump"
    dump.mkdir(parents=True, exist_ok=True)
    names = map(str, write_dump(dump, rows))
    command = [sys.executable, "-m", "curate", "run", *names, "--out", str(folder / "RUN")]
    subprocess.run([*command, "--no-cache", "--quiet"], check=True)


def queries(run: Path) -> dict[str, list[str]]:
    """What is asked of a run: a row in the middle by all of its names, and lists of rows."""
    import polars as pl

    rows = pl.scan_parquet(run / "kept.parquet").select("row", "id", "source", "line")
    middle = pl.len() // 2
    row, name, source, line = rows.filter(pl.int_range(pl.len()) == middle).collect().row(0)
    return {
        "ROW": [str(row)],
        "ID": [name],
        "FILE:LINE": [f"{source}:{line}"],
        "FILE": [source],
        "--reason": ["--reason", "near_duplicate"],
        "--step": ["--step", "exact"],
        "--step read": ["--step", "read"],
        "--grep, in 2 %": ["--grep", "number"],
        "--grep, in one": ["--grep", f"number {row}"],
    }


def timed(words: list[str]) -> tuple[float, float, float]:
    """Wall seconds, CPU seconds and peak memory in GB of one command."""
    started = time.perf_counter()
    command = [sys.executable, "-m", "curate", *words]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, _, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    return seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024 / 1e9


def main() -> None:
    """Print seconds and memory of each query, and of the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--keep", type=Path, metavar="FOLDER")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.keep or Path(temporary)
        run = folder / "RUN"
        if not run.exists():
            make_run(folder, options.rows)
        size = (run / "manifest.json").stat().st_size
        print(f"manifest.json {size / 1e3:.0f} kB (target {KILOBYTES})")
        print(f"seconds (target {SECONDS}), of CPU, peak memory in GB (target {GIGABYTES}):")
        words = {
            f"explain {name}": ["explain", str(run), *asked] for name, asked in queries(run).items()
        }
        for name, command in {**words, "report": ["report", str(run)]}.items():
            seconds, spent, memory = zip(*(timed(command) for _ in range(3)), strict=True)
            print(f"  {name:24} {min(seconds):6.2f} {min(spent):6.2f} {max(memory):6.2f}")


if __name__ == "__main__":
    main()
