"""A run that is killed leaves nothing half-written, and the next one gives the same bytes."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

WHOLE = ("kept.jsonl", "dropped.jsonl", "rejects.jsonl", "ledger.parquet")


def start(dump: Path, out: Path, cache: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "curate", "run", str(dump), "--out", str(out), "--quiet"]
    environment = {**os.environ, "CURATE_CACHE": str(cache)}
    return subprocess.Popen(command, env=environment, start_new_session=True)


def contents(out: Path) -> dict[str, bytes]:
    return {name: (out / name).read_bytes() for name in WHOLE}


@pytest.fixture
def dump(tmp_path: Path) -> Path:
    chance = random.Random(0)
    words = [f"word{n}" for n in range(400)]
    path = tmp_path / "dump.jsonl"
    with path.open("w") as file:
        for number in range(3_000):
            text = " ".join(chance.choices(words, k=chance.randint(1, 40)))
            row = {"instruction": f"Task {number}: {text}", "output": text.title()}
            file.write(json.dumps(row) + "\n")
    return path


def test_killed_at_any_moment_a_run_shows_nothing_and_ends_in_the_same_bytes(
    dump: Path, tmp_path: Path
) -> None:
    started = time.perf_counter()
    assert start(dump, tmp_path / "whole", tmp_path / "cache-whole").wait() == 0
    seconds = time.perf_counter() - started
    expected = contents(tmp_path / "whole")
    out, cache = tmp_path / "killed", tmp_path / "cache"
    for share in (0.35, 0.7, 0.95):
        process = start(dump, out, cache)
        time.sleep(seconds * share)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        # Either nothing is there under the final name, or everything is.
        if out.exists():
            assert contents(out) == expected
    assert start(dump, out, cache).wait() == 0
    assert contents(out) == expected
    assert not [path for path in tmp_path.iterdir() if path.name.endswith(".unfinished")]


def lives(process: int) -> bool:
    """Whether it runs; one that ended may still be listed until somebody asks how."""
    try:
        stat = Path(f"/proc/{process}/stat").read_text()
    except FileNotFoundError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads /proc, which is not here")
def test_no_process_outlives_a_killed_run(tmp_path: Path) -> None:
    code = (
        "import os, sys, time\n"
        "from curate.pipeline.engine import Processes\n"
        "class Task:\n"
        "    def __call__(self, item): return os.getpid()\n"
        "    def about(self, item): return 'item'\n"
        "if __name__ == '__main__':\n"
        "    engine = Processes(2)\n"
        "    answers = engine.map(Task(), [1])\n"
        "    print(next(answers), flush=True)\n"
        "    time.sleep(60)\n"
    )
    script = tmp_path / "parent.py"
    script.write_text(code)
    parent = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    worker = int(parent.stdout.readline())
    assert lives(worker)
    parent.kill()
    parent.communicate()
    for _ in range(200):
        if not lives(worker):
            return
        time.sleep(0.1)
    os.kill(worker, signal.SIGKILL)
    pytest.fail("the worker went on without its parent")
