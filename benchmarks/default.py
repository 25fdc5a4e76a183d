"""The default recipe over many rows: seconds and memory, process start to files written.

The rows are made up and alike in length; `--dump` takes a file of one's own. The cache of measures
is off, so everything is measured. The sum of seconds by step stands in the run's manifest.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

SECONDS, GIGABYTES = 60, 3


def resident(process: int) -> int:
    """Bytes of memory that a process and its children hold, as Linux counts pages."""
    held, waiting = 0, [process]
    while waiting:
        one = Path(f"/proc/{waiting.pop()}")
        try:
            pages = int((one / "statm").read_text().split()[1])
            children = (one / "task" / one.name / "children").read_text().split()
        except (FileNotFoundError, ProcessLookupError):  # it ended meanwhile
            continue
        held += pages * os.sysconf("SC_PAGE_SIZE")
        waiting += map(int, children)
    return held


def timed(dump: Path, out: Path, workers: int) -> tuple[float, float, float]:
    """Wall seconds, CPU seconds (children too) and peak memory in GB of one `curate run`."""
    command = [sys.executable, "-m", "curate", "run", str(dump), "--out", str(out), "--no-cache"]
    started, peak = time.perf_counter(), 0
    process = subprocess.Popen([*command, "--workers", str(workers), "--quiet"])
    ended = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not ended.wait(0.05):
            peak = max(peak, resident(process.pid))

    watching = threading.Thread(target=watch)
    watching.start()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    ended.set()
    watching.join()
    if status:
        raise SystemExit(f"exit status {status}")
    return seconds, usage.ru_utime + usage.ru_stime, peak / 1e9


def main() -> None:
    """Print seconds and memory, and the seconds of each step."""
    from rows import write_sharegpt

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--dump", type=Path)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        dump = options.dump or Path(folder) / "rows.jsonl"
        if options.dump is None:
            write_sharegpt(dump, options.rows)
        out = Path(folder) / "RUN"
        seconds, spent, memory = timed(dump, out, options.workers)
        manifest = json.loads((out / "manifest.json").read_text("utf-8"))
    print(f"{manifest['counts']['read']:,} rows, {options.workers} workers:")
    print(f"{seconds:.1f} s (target {SECONDS} for 100,000 rows), {spent:.1f} s of CPU")
    print(f"peak memory of all processes {memory:.2f} GB (target {GIGABYTES})")
    for name, took in manifest["seconds"].items():
        print(f"  {name:18} {took:6.2f} s")
    between = seconds - sum(manifest["seconds"].values())
    print(f"  {'reading, writing':18} {between:6.2f} s")


if __name__ == "__main__":
    main()
