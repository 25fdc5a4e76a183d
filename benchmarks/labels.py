"""News articles put into sections by a model: before training, with all weights, and with LoRA.

    python benchmarks/labels.py [--smollm2] [--work FOLDER] [--rows 100]

The articles are AG News as T0 has them (test data, dedup/t0/ag_news): 200 rows, of the four
sections that T0's prompt names two. The article alone is the prompt; `--rows` are trained, all
others classified. The model is stories260k of the test data, which has read children's stories;
with `--smollm2` it is SmolLM2-135M-Instruct, out of the package that carries it (small_model.py),
which takes an hour or more of two cores. What `--work` holds of an earlier run is taken from there.
In the end reading a prompt once for all its labels is compared with reading it before each.
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
ARTICLES = DATA / "dedup/t0/ag_news/ag_news_which_section_choices.jsonl"
STORIES = DATA / "models/stories260k-hf"
QUESTION = "\n\nWhich of the following sections"
SECTIONS = ("World News", "Sports", "Business", "Science and Technology")
# Rates of all weights and of LoRA, and epochs, for each model.
RATES = {"stories": ("1e-3", "5e-3", "8"), "smollm2": ("5e-5", "5e-4", "2")}
TRAINING = (
    *("--batch", "8", "--no-proof", "--allow", "too-long", "--force"),
    *("--set", "held_out=0", "--set", "prompts=0", "--set", "choose=last"),
    *("--set", "residual_dropout=0", "--set", "save_total_limit=1"),
)
COMPARED = 24  # rows that are read in both ways


def curate(*words: object) -> None:
    """One command, printed and run."""
    shown = [str(word) for word in words]
    print("$ curate", *shown, flush=True)
    environment = os.environ | {"PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}
    subprocess.run([sys.executable, "-m", "curate", *shown], env=environment, check=True)


def prepare(work: Path, count: int) -> None:
    """`train.jsonl`, `test.jsonl` and `sections.txt`, rows in an order that is always the same."""
    rows = [json.loads(line) for line in ARTICLES.read_text("utf-8").splitlines()]
    random.Random(0).shuffle(rows)
    lines = []
    for row in rows:
        article = row["prompt"].split(QUESTION)[0].strip()
        section = row["completion"].removesuffix("<|endoftext|>")
        turns = [("user", article), ("assistant", section)]
        messages = [{"role": role, "content": content} for role, content in turns]
        lines.append(json.dumps({"messages": messages}) + "\n")
    for name, part in (("train", lines[:count]), ("test", lines[count:])):
        (work / f"{name}.jsonl").write_text("".join(part), "utf-8")
    (work / "sections.txt").write_text("".join(f"{name}\n" for name in SECTIONS), "utf-8")


def train(work: Path, base: Path, kind: str) -> list[Path]:
    """A CKPT with all weights trained, and one with LoRA; those that are there stay."""
    tokens, (rate, lora_rate, epochs) = work / "TOKENS", RATES[kind]
    template = ("--template", "simple") if kind == "stories" else ()
    given = ("--tokenizer", base, *template, "--out", tokens, "--quiet", "--force")
    curate("render", work / "train.jsonl", *given)
    for name, how in (("full", rate), ("lora", lora_rate)):
        if not (work / name / "config.json").is_file():
            more = ("--method", name, "--lr", how, "--epochs", epochs, "--out", work / name)
            curate("train", tokens, "--model", base, *more, *TRAINING, "--quiet")
    return [work / "full", work / "lora"]


def both_ways(work: Path, model: Path) -> None:
    """What reading a prompt once for all labels saves, beside reading it before each."""
    from curate.evals.label_data import Encoder, read
    from trainer.after import chat
    from trainer.after.labels import fitting
    from trainer.evaluation.label_nats import label_nats

    talker = chat.load(str(model))
    data = read(work / "test.jsonl", work / "sections.txt")
    rows = fitting(talker, Encoder(data, print).rows(str(model), talker))
    prompts, labels = rows.prompts[:COMPARED], rows.labels[:COMPARED]
    for name, share in (("each prompt once", True), ("a prompt for each label", False)):
        seconds = []
        for _ in range(3):
            started = time.process_time()
            found = label_nats(talker.net, prompts, labels, share=share)
            seconds.append(time.process_time() - started)
        print(
            f"{name}: {found.read:,} positions, {min(seconds):.2f} s of processor for "
            f"{len(prompts)} rows (prompts once and labels are {found.once:,} tokens, labels with "
            f"a prompt each {found.apart:,})"
        )


def main() -> None:
    """Train, evaluate the three models side by side, and compare the ways of reading."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smollm2", action="store_true", help="the larger model")
    parser.add_argument("--work", type=Path, help="where models are kept between runs")
    parser.add_argument("--rows", type=int, default=100, help="rows to train on")
    arguments = parser.parse_args()
    need(ARTICLES, STORIES)
    with tempfile.TemporaryDirectory() as temporary:
        work = arguments.work or Path(temporary)
        work.mkdir(parents=True, exist_ok=True)
        kind = "smollm2" if arguments.smollm2 else "stories"
        base = small_model(work) if arguments.smollm2 else STORIES
        prepare(work, arguments.rows)
        full, lora = train(work, base, kind)
        others = ("--against", lora, "--against", base)
        out = ("--out", work / "EVAL", "--force")
        curate("eval", full, work / "test.jsonl", "--labels", work / "sections.txt", *others, *out)
        both_ways(work, full)


if __name__ == "__main__":
    main()
