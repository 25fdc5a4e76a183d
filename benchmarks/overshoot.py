"""LIMA's preset on a model of 260,000 parameters: what fifteen epochs do, and which one is taken.

A real dump is cleaned, rendered and trained on with three commands. The preset is scaled to the
model: a rate of 2e-3, steps of 8 examples, dropout up to 0.2. The data is `stories260k-hf` and
GPTeacher's role-play rows, looked for in the folder that CURATE_TEST_DATA names.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

RECIPE = """seed: 0
steps:
  - exact
  - near
  - quality
  - length: {action: cap}
  - select: {method: random, budget: ROWS}
"""
DOCS = Path(__file__).parent.parent / "docs"
MARK, END = "<!-- benchmarks/overshoot.py --docs -->", "<!-- end of the run -->"
SETTINGS = ("learning_rate=2e-3", "batch_size=8", "residual_dropout=0.2", "held_out=0.15")


def curate(*words: str) -> None:
    """One command of the tool, said and run."""
    print("$ curate", *words, flush=True)
    started = time.perf_counter()
    subprocess.run([sys.executable, "-m", "curate", *words], check=True)
    print(f"({time.perf_counter() - started:.0f} s)\n", flush=True)


def document(tuned: Path) -> None:
    """Put the picture and the table of a run into the page about training."""
    from trainer.evaluation.table import table_lines
    from trainer.result import Epoch

    said = json.loads((tuned / "train.json").read_text(encoding="utf-8"))
    table = [Epoch.read(line) for line in said["table"]]
    lines = [*table_lines(table, said["chosen_epoch"]), f"chosen: {said['why']}"]
    page = DOCS / "training.md"
    before, mark, rest = page.read_text(encoding="utf-8").partition(MARK)
    after = rest[rest.index(END) :]
    text = "\n".join(line.rstrip() for line in lines)
    filled = f"{before}{mark}\n```\n{text}\n```\n\n![curves of the run](training.svg)\n{after}"
    page.write_text(filled, encoding="utf-8")
    shutil.copyfile(tuned / "curves.svg", DOCS / "training.svg")


def main() -> None:
    """Clean, render, train; put the outcome into the docs if that is asked for."""
    from rows import DATA, need

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=130, help="kept rows; too long ones are left")
    parser.add_argument("--dump", type=Path, default=DATA / "raw" / "gpteacher_roleplay.json")
    parser.add_argument("--model", type=Path, default=DATA / "models" / "stories260k-hf")
    parser.add_argument("--docs", action="store_true", help="write table and picture into docs/")
    parser.add_argument("--choose", default="lima", help="rule that chooses the epoch")
    options = parser.parse_args()
    need(options.dump, options.model)
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        recipe = home / "recipe.yaml"
        recipe.write_text(RECIPE.replace("ROWS", str(options.rows)), encoding="utf-8")
        run, tokens, tuned = (str(home / name) for name in ("run", "tokens", "tuned"))
        base = str(options.model)
        curate("run", str(options.dump), "--recipe", str(recipe), "--out", run, "--quiet")
        curate("render", run, "--template", "simple", "--tokenizer", base, "--out", tokens)
        sets = [word for one in (*SETTINGS, f"choose={options.choose}") for word in ("--set", one)]
        curate("train", tokens, "--model", base, "--out", tuned, "--allow", "too-long", *sets)
        if options.docs:
            document(Path(tuned))


if __name__ == "__main__":
    main()
