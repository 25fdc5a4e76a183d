"""kill -9 at random moments of a run, each followed by the same command: are the bytes the same?

`--rows 100000 --kills 10` is the full check; it prints one line a kill and fails on any difference.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

FILES = ("kept.jsonl", "dropped.jsonl", "rejects.jsonl", "ledger.parquet")


def start(dump: Path, out: Path, cache: Path) -> subprocess.Popen[bytes]:
    """The run, in a process group of its own."""
    command = [sys.executable, "-m", "curate", "run", str(dump), "--out", str(out), "--quiet"]
    return subprocess.Popen(
        command, env={**os.environ, "CURATE_CACHE": str(cache)}, start_new_session=True
    )


def digest(out: Path) -> str:
    """One hash over all files that must be equal."""
    whole = hashlib.sha256()
    for name in FILES:
        whole.update((out / name).read_bytes())
    return whole.hexdigest()[:16]


def main() -> None:
    """Run once whole, then kill and resume."""
    from rows import write_sharegpt

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--kills", type=int, default=3)
    options = parser.parse_args()
    chance = random.Random(0)
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        write_sharegpt(home / "dump.jsonl", options.rows)
        started = time.perf_counter()
        assert start(home / "dump.jsonl", home / "whole", home / "cache-whole").wait() == 0
        seconds, expected = time.perf_counter() - started, digest(home / "whole")
        print(f"{options.rows:,} rows, {seconds:.1f} s uninterrupted, {expected}")
        for kill in range(options.kills):
            out, cache = home / f"out{kill}", home / f"cache{kill}"
            process, moment = start(home / "dump.jsonl", out, cache), chance.uniform(0, seconds)
            time.sleep(moment)
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            seen = "whole" if out.exists() else "nothing"
            assert not out.exists() or digest(out) == expected
            resumed = time.perf_counter()
            assert start(home / "dump.jsonl", out, cache).wait() == 0
            again = time.perf_counter() - resumed
            same = digest(out) == expected
            print(f"killed at {moment:5.1f} s: {seen} shown; resumed in {again:.1f} s; same {same}")
            if not same:
                raise SystemExit(1)


if __name__ == "__main__":
    main()
