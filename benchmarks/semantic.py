"""What `exact`, `near` and `semantic` cannot see: sentences in another order, other words.

Pairs of a real row and the same in reverse order of its sentences, with half of its sentences moved
to the front, or rephrased by a model; for each step how many pairs it takes for duplicates. What
`semantic` finds by threshold is printed by `planted.py --encoder ENCODER`.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path

import polars as pl

sys.path.insert(0, str(Path(__file__).parent))

from near import records
from rows import DATA, need

from curate.base.contract import Filter
from curate.pipeline.judging import judge
from filters.dedup.exact import Exact
from filters.dedup.near.filter import Near
from filters.dedup.semantic.filter import Semantic

Pair = tuple[tuple[str, str], tuple[str, str]]
PAIRS = 300
LEAST = 5  # sentences of an answer that is put in another order


def reordered(data: Path, order: Callable[[list[str]], list[str]]) -> list[Pair]:
    """Prose answers, and the same sentences in another order."""
    rows = json.loads((data / "raw" / "alpaca_random_9k.json").read_bytes())
    pairs = []
    for row in rows:
        prompt, answer = f"{row['instruction']}\n{row['input']}", row["output"]
        sentences = re.split(r"(?<=[.!?])\s+(?=[A-Z])", answer.strip())
        if len(sentences) >= LEAST and "\n" not in answer:
            pairs.append(((prompt, " ".join(sentences)), (prompt, " ".join(order(sentences)))))
    return pairs[:PAIRS]


def rephrased(data: Path) -> list[Pair]:
    """Questions of GSM8K's test set, and what a model made of them, with the same answer."""
    ours = (data / "eval" / "gsm8k_test.jsonl").read_text("utf-8").splitlines()
    theirs = (data / "eval" / "gsm8k_test_rephrased.jsonl").read_text("utf-8").splitlines()
    pairs = []
    for own, other in zip(ours, theirs, strict=True):
        row = json.loads(own)
        found = re.fullmatch(r"Question: (.+?)\s*Answer:.*", json.loads(other)["text"], re.S)
        if found:
            answer = row["answer"]
            pairs.append(((row["question"], answer), (found[1], answer)))
    return pairs[:PAIRS]


def found(step: Filter, pairs: list[Pair]) -> int:
    """Pairs of which the second row goes for the first."""
    verdicts = judge(step, records([row for pair in pairs for row in pair])).verdicts
    numbered = verdicts.with_row_index("at")
    return numbered.filter(pl.col("duplicate_of") + 1 == pl.col("at")).height


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", nargs="?", type=Path, default=DATA)
    parser.add_argument("--encoder", default="lexical", help="of `semantic`")
    given = parser.parse_args()
    need(given.data)
    kinds = {
        "sentences in reverse": reordered(given.data, lambda all_: all_[::-1]),
        "second half first": reordered(
            given.data, lambda all_: all_[len(all_) // 2 :] + all_[: len(all_) // 2]
        ),
        "rephrased, prompts": rephrased(given.data),
    }
    print("| | pairs | exact | near | semantic |\n|---|---|---|---|---|")
    for kind, pairs in kinds.items():
        field = "prompt" if "prompts" in kind else "both"
        steps = (
            Exact(field=field),
            Near(field=field),
            Semantic(field=field, encoder=given.encoder),
        )
        counts = [str(found(step, pairs)) for step in steps]
        print(f"| {kind} | {len(pairs)} | {' | '.join(counts)} |")


if __name__ == "__main__":
    main()
