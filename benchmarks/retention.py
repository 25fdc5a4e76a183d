"""What keeps a small model from forgetting: nothing, replay, L2-SP, EWC.

`stories260k-hf` learnt children's stories and is trained on rows of a role-play dump. General text
are stories that it writes itself: replay and EWC read one half of them, and what is measured is the
loss on the other half, beside the loss of held-out rows. Three seeds, by which split, order and the
use of stories differ; every arm takes the same steps. About three minutes of one core; `--docs`
puts the table into the page. The data is looked for in the folder that CURATE_TEST_DATA names.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rows import DATA, need

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "training.md"
MARK, END = "<!-- benchmarks/retention.py --docs -->", "<!-- end of retention -->"
DUMP, MODEL = DATA / "raw" / "gpteacher_roleplay.json", DATA / "models" / "stories260k-hf"
STORIES, LONGEST = 128, 200
SETTINGS: dict[str, Any] = {
    "preset": "alpaca",
    "num_train_epochs": 3,
    "batch_size": 8,
    "learning_rate": 2e-3,
    "held_out": 0.2,
    "prompts": 0,
    "choose": "last",
    "save_total_limit": 1,
    "proof": False,
}
WEIGHTS = {"l2_sp": (0.1, 1.0, 10.0), "ewc": (0.1, 1.0, 10.0)}


def arms(general: str, weights: dict[str, Sequence[float]]) -> dict[str, dict[str, Any]]:
    """What each arm adds to the settings, by its name in the table."""
    found: dict[str, dict[str, Any]] = {
        "nothing": {},
        "replay, 10 %": {"replay": general},
        "replay, 30 %": {"replay": general, "replay_share": 0.3},
    }
    for kind, strengths in weights.items():
        own = {"fisher_text": general, "fisher_sequences": STORIES // 2} if kind == "ewc" else {}
        for strength in strengths:
            name = f"{kind}, weight {strength:g}"
            found[name] = {"regulariser": kind, "regulariser_weight": strength, **own}
    return found


def write_rows(count: int) -> list[dict[str, str]]:
    """The first rows of the dump that are short enough for the model's positions."""
    rows = json.loads(DUMP.read_text("utf-8"))
    fields = ("instruction", "input", "response")
    short = [row for row in rows if 60 <= sum(len(row.get(name, "")) for name in fields) <= 420]
    return [
        {
            "instruction": row["instruction"],
            "input": row.get("input", ""),
            "output": row["response"],
        }
        for row in short
    ][:count]


def write_stories(home: Path) -> tuple[str, str]:
    """Two files of stories that the model writes: to train with, and to measure on."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    net = AutoModelForCausalLM.from_pretrained(MODEL).eval()
    tokenizer = AutoTokenizer.from_pretrained(MODEL)
    torch.manual_seed(0)
    begun = torch.full((STORIES, 1), tokenizer.bos_token_id)
    with torch.no_grad():
        told = net.generate(begun, do_sample=True, max_new_tokens=LONGEST, top_k=0, pad_token_id=0)
    texts = tokenizer.batch_decode(told, skip_special_tokens=True)
    paths = []
    for name, part in (("trained", texts[::2]), ("measured", texts[1::2])):
        path = home / f"{name}.jsonl"
        path.write_text("".join(json.dumps({"text": text}) + "\n" for text in part), "utf-8")
        paths.append(str(path))
    return paths[0], paths[1]


def trained(tokens: str, out: Path, seed: int, measured: str, more: dict[str, Any]) -> Any:
    """The table of a run: before training, and after each epoch."""
    import curate

    result = curate.train(
        tokens, model=MODEL, out=out, seed=seed, retention=measured, **SETTINGS, **more
    )
    return result.table


def spread(values: Sequence[float]) -> str:
    """The mean, and half the width of its 95 % interval (Student's t)."""
    from scipy.special import stdtrit

    if len(values) < 2:
        return f"{values[0]:.3f}"
    wide = stdtrit(len(values) - 1, 0.975) * np.std(values, ddof=1) / len(values) ** 0.5
    return f"{np.mean(values):.3f} ± {wide:.3f}"


def table_of(found: dict[str, list[tuple[float, float]]], seeds: int) -> list[str]:
    """Both losses of each arm, and how far that of held-out rows is from the arm of nothing.

    Held-out rows differ from seed to seed, so the difference is taken seed by seed.
    """
    lines = [
        "| | held-out rows, nats a token | beside nothing | stories, nats a token |",
        "|---|---|---|---|",
    ]
    plain = [target for target, _ in found["nothing"]]
    for name, pairs in found.items():
        targets, kept = zip(*pairs[:seeds], strict=True)
        apart = spread([one - other for one, other in zip(targets, plain, strict=True)])
        shown = "-" if name in ("nothing", "before training") else apart
        lines.append(f"| {name} | {np.mean(targets):.3f} | {shown} | {spread(kept)} |")
    return lines


def main() -> None:
    """Train every arm, print the table; write the page if that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=120)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--docs", action="store_true", help="write the table into docs/")
    given = parser.parse_args()
    need(DUMP, MODEL)
    import curate

    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        tokens = str(home / "tokens")
        curate.render(write_rows(given.rows), template="simple", tokenizer=str(MODEL), out=tokens)
        general, measured = write_stories(home)
        found: dict[str, list[tuple[float, float]]] = {}
        for name, more in arms(general, WEIGHTS).items():
            for seed in range(given.seeds):
                started = time.perf_counter()
                table = trained(tokens, home / f"{name}-{seed}", seed, measured, more)
                ends = [(line.held_out.loss, line.probe.retention) for line in table]
                found.setdefault("before training", []).append(ends[0])
                found.setdefault(name, []).append(ends[-1])
                taken = time.perf_counter() - started
                print(f"{name}, seed {seed}: {ends[0]} to {ends[-1]}, {taken:.0f} s", flush=True)
    lines = table_of(found, given.seeds)
    print("\n".join(lines))
    if given.docs:
        before, mark, rest = PAGE.read_text("utf-8").partition(MARK)
        after = rest[rest.index(END) :]
        PAGE.write_text(f"{before}{mark}\n" + "\n".join(lines) + f"\n\n{after}", "utf-8")


if __name__ == "__main__":
    main()
