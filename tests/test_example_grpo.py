"""TRL's GRPO goes on from our folders: answers end at our stops, rewards are those of `reward`.

`make slow` runs it, with the trl that the extra `dev` brings; it takes a minute.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import curate
from curate.cli import main

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]
ROOT = Path(__file__).resolve().parent.parent
SAMPLE = ROOT / "sample_data"
VOTES = SAMPLE / "preferences" / "votes.jsonl"


def grpo(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "examples" / "grpo.py"), *map(str, arguments)]
    here = os.environ | {"PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}
    return subprocess.run(command, cwd=cwd, env=here, capture_output=True, text=True)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """SFT and a reward model after some steps, and what two steps of the example left in OUT."""
    pytest.importorskip("trl", reason="examples/grpo.py needs trl")
    home = tmp_path_factory.mktemp("grpo")
    base = str(SAMPLE / "tiny-base")
    short: dict[str, Any] = {"held_out": 0.05, "prompts": 0, "proof": False, "batch_size": 16}
    run = curate.run(str(SAMPLE / "raw"), recipe=SAMPLE / "recipe.yaml")
    tokens = curate.render(run, template="chatml", tokenizer=base)
    rates = {"preset": "alpaca", "learning_rate": 0.002, "max_steps": 40}
    curate.train(tokens, model=base, out=home / "SFT", **rates, **short)
    assert main(["pairs", str(VOTES), "--from", "votes", "--out", str(home / "PAIRS")]) == 0
    pairs = curate.render(home / "PAIRS", pairs=True, tokenizer=str(home / "SFT"))
    learnt = {"objective": "reward", "learning_rate": 0.001, "max_steps": 10}
    curate.train(pairs, model=home / "SFT", out=home / "REWARD", **learnt, **short)
    done = grpo("SFT", "REWARD", VOTES, "OUT", cwd=home)
    assert done.returncode == 0, done.stderr
    (home / "log").write_text(done.stdout, "utf-8")
    return home


@pytest.fixture(scope="module")
def answers(made: Path) -> pl.DataFrame:
    """Every answer of the two steps: prompt and completion as messages, and its reward."""
    files = sorted((made / "OUT" / "completions").glob("*.parquet"))
    assert len(files) == 2
    return pl.concat(pl.read_parquet(file) for file in files)


def test_rewards_in_trl_are_the_scores_of_the_step_reward(
    made: Path, answers: pl.DataFrame, tmp_path: Path
) -> None:
    lines = [
        {"messages": [*prompt, *completion]}
        for prompt, completion in answers.select("prompt", "completion").iter_rows()
    ]
    assert len(lines) == 16
    dump = tmp_path / "answers.jsonl"
    dump.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    step = {"reward": {"model": str(made / "REWARD"), "min_score": -1e6, "calibrate": "none"}}
    scored = curate.run(str(dump), steps=[step], cache=False).kept
    # An answer without a word, or with its marks at an edge, is not read as it was written.
    ours = {
        tuple(each["content"] for each in messages): dict(map(dict.values, scores))["reward"]
        for messages, scores in scored.select("messages", "scores").iter_rows()
    }
    texts = [tuple(each["content"] for each in line["messages"]) for line in lines]
    theirs = zip(texts, answers["REWARD"].to_list(), strict=True)
    both = [(ours[text], reward) for text, reward in theirs if text in ours]
    assert len(both) >= 12
    assert [one for one, _ in both] == pytest.approx([other for _, other in both], abs=1e-4)
    assert len({round(one, 3) for one, _ in both}) > 8


def test_answers_end_at_the_stop_of_sft_and_not_at_the_limit(made: Path) -> None:
    state = json.loads((made / "OUT" / "generation_config.json").read_text("utf-8"))
    ours = json.loads((made / "SFT" / "generation_config.json").read_text("utf-8"))
    tokenizer = json.loads((made / "SFT" / "tokenizer.json").read_text("utf-8"))
    numbers = {token["content"]: token["id"] for token in tokenizer["added_tokens"]}
    for stops in (state, ours):
        found = stops["eos_token_id"]
        assert numbers["<|im_end|>"] in (found if isinstance(found, list) else [found])
    clipped = re.findall(r"'completions/clipped_ratio': '([^']+)'", (made / "log").read_text())
    assert len(clipped) == 2
    assert min(map(float, clipped)) < 1


def test_what_grpo_saves_has_the_template_and_can_be_asked(made: Path) -> None:
    template = (made / "SFT" / "chat_template.jinja").read_text("utf-8")
    assert (made / "OUT" / "chat_template.jinja").read_text("utf-8") == template
    asked = made / "asked.txt"
    asked.write_text("Where does a pig live?\n", "utf-8")
    chat = ["chat", str(made / "OUT"), "--prompts", str(asked), "--out", str(made / "a.jsonl")]
    assert main([*chat, "--max-tokens", "16", "--force"]) == 0
    (line,) = (made / "a.jsonl").read_text("utf-8").splitlines()
    assert "<|im_" not in json.loads(line)["answer"]


def test_a_model_that_stops_at_text_is_refused_in_a_sentence(made: Path, tmp_path: Path) -> None:
    sft = tmp_path / "SFT"
    sft.mkdir()
    stops = {"eos_token_id": 0, "stop_strings": ["<|im_end|>"]}
    (sft / "generation_config.json").write_text(json.dumps(stops), "utf-8")
    done = grpo(sft, made / "REWARD", VOTES, "OUT", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.endswith("stops at text; render its rows with --add-token <|im_end|>\n")
    assert not (tmp_path / "OUT").exists()
