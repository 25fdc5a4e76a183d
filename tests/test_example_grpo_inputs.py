"""What the example of GRPO refuses before TRL is loaded."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ANSWERS = '{"architectures": ["LlamaForCausalLM"]}'
SCORES = '{"architectures": ["LlamaForSequenceClassification"]}'


def grpo(*arguments: str, cwd: Path) -> str:
    """What is said on standard error."""
    command = [sys.executable, str(ROOT / "examples" / "grpo.py"), *arguments]
    here = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=cwd, env=here, capture_output=True, text=True)
    assert done.returncode == 1
    return done.stderr


def test_a_reward_model_without_a_score_is_refused(tmp_path: Path) -> None:
    for name, config in (("SFT", SCORES), ("REWARD", ANSWERS)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(config, "utf-8")
    said = grpo("SFT", "REWARD", "dump.jsonl", "OUT", cwd=tmp_path)
    assert said.startswith("REWARD has no score, and TRL would make one up")


def test_without_its_folders_its_usage_is_said(tmp_path: Path) -> None:
    assert "python examples/grpo.py SFT REWARD PROMPTS OUT" in grpo("SFT", cwd=tmp_path)
