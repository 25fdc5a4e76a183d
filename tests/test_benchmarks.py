"""Measurements without the test data end well, with one sentence."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SKIPPED = "skipped: needs the test data (CURATE_TEST_DATA); see tests/DATA.md"
# What they measure on made-up rows first, if anything.
MADE_UP = {"language": ["--rows", "200"], "length": ["--rows", "200"], "near": ["--rows", "200"]}
SCRIPTS = sorted(
    path.stem
    for path in (ROOT / "benchmarks").glob("*.py")
    if re.search(r"^ +need\(", path.read_text("utf-8"), re.M) and path.stem != "rows"
)


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_benchmark_without_the_test_data_says_so_and_ends_well(name: str, tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "benchmarks" / f"{name}.py"), *MADE_UP.get(name, [])]
    environment = os.environ | {"CURATE_TEST_DATA": str(tmp_path / "none"), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.stderr == ""
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert lines[-1] == SKIPPED
    assert name in MADE_UP or len(lines) == 1


def test_no_benchmark_reads_the_test_data_without_asking_for_it() -> None:
    for path in sorted((ROOT / "benchmarks").glob("*.py")):
        if path.stem not in (*SCRIPTS, "rows"):
            text = path.read_text("utf-8")
            assert "CURATE_TEST_DATA" not in text, path.name
            assert "DATA /" not in text, path.name
