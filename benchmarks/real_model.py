"""What the whole job takes with a real model: dump, run, render, LoRA, merge, answers, full steps.

The model is SmolLM2-135M-Instruct, out of the package that carries it (see small_model.py). The
dump is the town's stories of the sample data, which the model cannot know, so that its answers
before and after training can be compared: the exact answer is looked for among the answers to the
prompts it was trained on. `--rows` limits the training rows; 64 take some minutes of two cores.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from small_model import small_model

ROOT = Path(__file__).parent.parent
RECIPE = """seed: 0
steps:
  - exact
  - near
  - select: {method: random, budget: ROWS}
"""


class Job:
    """Commands of the tool, and what each took."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, float, float, float]] = []

    def curate(self, name: str, *words: object) -> None:
        """One command, printed and run; its time, processor time and largest memory are noted."""
        shown = [str(word) for word in words]
        print("$ curate", *shown, flush=True)
        started = time.perf_counter()
        environment = os.environ | {"PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}
        running = subprocess.Popen([sys.executable, "-m", "curate", *shown], env=environment)
        _, status, usage = os.wait4(running.pid, 0)
        running.returncode = os.waitstatus_to_exitcode(status)
        if running.returncode:
            raise SystemExit(running.returncode)
        worked = usage.ru_utime + usage.ru_stime  # the same however busy the machine is
        self.lines.append((name, time.perf_counter() - started, worked, usage.ru_maxrss / 1e6))

    def table(self) -> None:
        """Print what every command took."""
        print("\n| command | seconds | of processor time | peak GB |\n|---|---|---|---|")
        for name, seconds, worked, memory in self.lines:
            print(f"| {name} | {seconds:.0f} | {worked:.0f} | {memory:.2f} |")


def correct(answers: Path, kept: Path) -> tuple[int, int, int]:
    """Answers that are the row's own word for word, those that stopped, and all."""
    rows = [json.loads(line)["messages"] for line in kept.read_text("utf-8").splitlines()]
    wanted = [messages[-1]["content"].strip() for messages in rows]
    found = [json.loads(line) for line in answers.read_text("utf-8").splitlines()]
    right = [one["answer"].strip() == text for one, text in zip(found, wanted, strict=True)]
    return sum(right), sum(one["stopped"] for one in found), len(found)


def say(name: str, right: int, stopped: int, count: int) -> None:
    """Print how many answers are the trained ones, and how many ended by themselves."""
    print(f"{name}: {right} of {count} answers as trained, {stopped} stopped by themselves")


def main() -> None:
    """Run all of it in a folder, and print the times and what was learnt."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, help="where the model is kept between runs")
    parser.add_argument("--rows", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--full-steps", type=int, default=3, help="of a full fine-tune; 0: none")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place, job = Path(folder), Job()
        started = time.perf_counter()
        model = small_model(given.work or place)
        print(f"model: {model.name}, ready after {time.perf_counter() - started:.0f} s")
        recipe, run, tokens, tuned = (place / name for name in ("r.yaml", "run", "tokens", "tuned"))
        recipe.write_text(RECIPE.replace("ROWS", str(given.rows)))
        job.curate(
            "run", "run", ROOT / "sample_data" / "raw", "--recipe", recipe, "--out", run, "--quiet"
        )
        job.curate("render", "render", run, "--tokenizer", model, "--out", tokens)
        settings = ["held_out=0", "choose=last", "prompts=0", "lora_r=16"]
        options = [word for setting in settings for word in ("--set", setting)]
        options += ["--batch", given.batch, "--epochs", given.epochs, "--lr", "1e-3"]
        job.curate(
            "train, LoRA",
            "train",
            tokens,
            "--model",
            model,
            "--method",
            "lora",
            *options,
            "--out",
            tuned,
        )
        job.curate("merge", "merge", tuned, "--out", place / "whole")
        for name, asked in (("before", model), ("after", place / "whole")):
            out = place / f"{name}.jsonl"
            words = ("--prompts", run / "kept.jsonl", "--max-tokens", "64", "--out", out)
            job.curate(f"chat, {name}", "chat", asked, *words, "--quiet")
            say(name, *correct(out, run / "kept.jsonl"))
        if given.full_steps:
            settings = ["held_out=0", "choose=last", "prompts=0", f"max_steps={given.full_steps}"]
            options = [word for setting in settings for word in ("--set", setting)]
            options += ["--method", "full", "--batch", given.batch, "--lr", "1e-5"]
            job.curate(
                "train, full", "train", tokens, "--model", model, *options, "--out", place / "full"
            )
            words = ("--prompts", run / "kept.jsonl", "--max-tokens", "64")
            job.curate(
                "chat, full",
                "chat",
                place / "full",
                *words,
                "--out",
                place / "full.jsonl",
                "--quiet",
            )
            say("full", *correct(place / "full.jsonl", run / "kept.jsonl"))
        job.table()


if __name__ == "__main__":
    main()
