"""News articles put into sections by a small model: before training, with all weights, with LoRA.

    python benchmarks/labels.py [--work FOLDER] [--rows 64] [--epochs 2]

Articles of AG News as T0's prompts ask about them (test data, dedup/t0/ag_news), which name four
sections; the 200 rows that are there have two of them. `--rows` are trained, all others classified.
The model is SmolLM2-135M-Instruct, out of the package that carries it (see small_model.py). What
`--work` holds of an earlier run with the same numbers is taken from there. In the end the time of
reading a prompt once for all its labels is compared with reading it before each.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rows import DATA, need
from small_model import small_model

ROOT = Path(__file__).parent.parent
ARTICLES = "dedup/t0/ag_news/ag_news_which_section_choices.jsonl"
SECTIONS = ("World News", "Sports", "Business", "Science and Technology")
# By name of the folder: how it is trained. Rates are ten times apart, as TRL advises for LoRA.
METHODS = {
    "full": ("--method", "full", "--lr", "5e-5"),
    "lora": ("--method", "lora", "--lr", "5e-4"),
}
TRAINING = (
    *("--batch", "8", "--no-proof"),
    *("--set", "held_out=0", "--set", "prompts=0", "--set", "choose=last"),
    *("--set", "residual_dropout=0", "--set", "save_total_limit=1"),
)
COMPARED = 12  # rows that are read in both ways


def curate(*words: object) -> None:
    """One command, printed and run."""
    shown = [str(word) for word in words]
    print("$ curate", *shown, flush=True)
    environment = os.environ | {"PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}
    subprocess.run([sys.executable, "-m", "curate", *shown], env=environment, check=True)


def prepare(work: Path, count: int) -> None:
    """`train.jsonl`, `test.jsonl` and `sections.txt`, rows in an order that is always the same."""
    rows = [json.loads(line) for line in (DATA / ARTICLES).read_text("utf-8").splitlines()]
    random.Random(0).shuffle(rows)
    lines = [
        json.dumps(
            {
                "messages": [
                    {"role": "user", "content": row["prompt"].strip()},
                    {
                        "role": "assistant",
                        "content": row["completion"].removesuffix("<|endoftext|>"),
                    },
                ]
            }
        )
        for row in rows
    ]
    for name, part in (("train", lines[:count]), ("test", lines[count:])):
        (work / f"{name}.jsonl").write_text("".join(f"{line}\n" for line in part), "utf-8")
    (work / "sections.txt").write_text("".join(f"{name}\n" for name in SECTIONS), "utf-8")


def train(work: Path, base: Path, epochs: int) -> list[Path]:
    """A CKPT of each method; those that are there stay."""
    tokens, made = work / "TOKENS", []
    curate("render", work / "train.jsonl", "--tokenizer", base, "--out", tokens, "--quiet")
    for name, how in METHODS.items():
        made.append(work / name)
        if not (made[-1] / "config.json").is_file():
            given = ("--model", base, *how, "--epochs", epochs, *TRAINING, "--out", made[-1])
            curate("train", tokens, *given, "--force", "--quiet")
    return made


def both_ways(work: Path, base: Path) -> None:
    """What reading a prompt once for all labels saves, beside reading it before each."""
    from curate.evals.label_data import Encoder, read
    from trainer.after import chat
    from trainer.evaluation.label_nats import label_nats

    talker = chat.load(str(base))
    rows = Encoder(read(work / "test.jsonl", work / "sections.txt"), print).rows(str(base), talker)
    prompts, labels = rows.prompts[:COMPARED], rows.labels[:COMPARED]
    for name, shared in (("each prompt once", True), ("a prompt for each label", False)):
        started = time.perf_counter()
        found = label_nats(talker.net, prompts, labels, share=shared)
        seconds = time.perf_counter() - started
        print(
            f"{name}: {found.read:,} positions, {seconds:.1f} s for {len(prompts)} rows "
            f"(prompts once and labels are {found.once:,} tokens, apart {found.apart:,})"
        )


def main() -> None:
    """Train, evaluate the three models side by side, and compare the ways of reading."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, help="where models are kept between runs")
    parser.add_argument("--rows", type=int, default=64, help="rows to train on")
    parser.add_argument("--epochs", type=int, default=2)
    arguments = parser.parse_args()
    need(DATA / ARTICLES)
    with tempfile.TemporaryDirectory() as temporary:
        work = arguments.work or Path(temporary)
        work.mkdir(parents=True, exist_ok=True)
        base = small_model(work)
        prepare(work, arguments.rows)
        full, lora = train(work, base, arguments.epochs)
        sections, test = work / "sections.txt", work / "test.jsonl"
        others = ("--against", lora, "--against", base)
        curate("eval", full, test, "--labels", sections, *others, "--out", work / "EVAL")
        both_ways(work, base)


if __name__ == "__main__":
    main()
