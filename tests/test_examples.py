"""The scripts in examples/ run as they are, each in a process of its own, on the sample data."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SCRIPTS = sorted((ROOT / "examples").glob("*.py"))


def printed(script: str, *arguments: str, cwd: Path) -> str:
    command = [sys.executable, str(ROOT / "examples" / script), *arguments]
    here = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=cwd, env=here, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def test_clean_prints_the_steps_and_one_row_that_was_dropped(tmp_path: Path) -> None:
    text = printed("clean.py", cwd=tmp_path)
    assert "498 read = " in text
    assert "dropped by exact: exact_duplicate" in text
    assert "verdicts, in order:" in text
    assert "with near.threshold 0.95 it is" in text


def test_preview_shows_both_rows_and_trains_the_last_answer_alone(tmp_path: Path) -> None:
    text = printed("preview.py", cwd=tmp_path)
    assert "row 0 " in text
    assert "row 1 " in text
    assert text.count("tokens are trained when only the last answer is") == 2


def test_finetune_leaves_a_model_that_transformers_loads(tmp_path: Path) -> None:
    text = printed("finetune.py", "CKPT", cwd=tmp_path)
    assert "held-out loss per token: " in text
    assert (tmp_path / "CKPT" / "config.json").is_file()
    assert (tmp_path / "CKPT" / "model.safetensors").is_file()


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_examples_are_short_and_import_curate_and_what_they_name(script: Path) -> None:
    text = script.read_text("utf-8")
    assert len(text.splitlines()) <= 60
    imported = {
        alias.name.split(".")[0]
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Import)
        for alias in node.names
    }
    others = {"grpo.py": {"datasets", "torch", "trl"}}.get(script.name, set())
    assert imported - set(sys.stdlib_module_names) == {"curate", *others}
