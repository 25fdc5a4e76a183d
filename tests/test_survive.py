"""Commands that are killed, meet a full disk or run twice at once: the same bytes in the end."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
JOBS = ("run", "run, 2 processes", "run with a judge", "render", "train")


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="kills by what Linux offers")
@pytest.mark.parametrize("job", JOBS)
def test_the_same_command_afterwards_gives_the_same_bytes(job: str, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    script = ROOT / "benchmarks" / "survive.py"
    done = subprocess.run(
        [sys.executable, str(script), "--kills", "20", "--job", job],
        cwd=tmp_path, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    table = re.search(
        rf"^\| {job} \| (\d+) \| (\d+) \| (\d+) \| (\d+) \| \d+ \| 0 \|$", done.stdout, re.M
    )
    assert table is not None and all(int(count) >= 1 for count in table.groups()), done.stdout
