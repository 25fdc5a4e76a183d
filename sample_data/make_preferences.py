"""Write `preferences/`: answers with the votes of readers, and answers of several annotators.

    python sample_data/make_preferences.py [--out DIR]

Each question about Pennyfold has a short answer, a wordy one and one that gives up. The same bytes
on every run.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import questions as q

SEED = 12
WORDY = "Thank you for this question. I am glad to help, and I hope that it is of use to you."
GIVES_UP = "I am sorry, I do not know that."
TARGET = "ann"
# The other annotators, and what each of them says first.
OTHERS = {"ben": WORDY, "cleo": "What a good thing to ask! Let me think about it for a moment."}


def votes(rows: list[q.Row], rng: random.Random) -> Iterator[dict[str, Any]]:
    """Three posts to each question: readers like the short answer best, and the one that gives up
    least."""
    for row in rows:
        posts = [
            (row.answer, rng.randint(9, 30)),
            (f"{WORDY} {row.answer}", rng.randint(3, 8)),
            (GIVES_UP, rng.randint(0, 2)),
        ]
        rng.shuffle(posts)
        for answer, count in posts:
            yield {"prompt": row.question, "completion": answer, "votes": count}


def annotators(rows: list[q.Row], rng: random.Random) -> Iterator[dict[str, Any]]:
    """One annotator is short; the others are wordy or give up, and what gives up did not pass."""
    for row in rows:
        yield _answer(row.question, row.answer, TARGET, True)
        for name, first in OTHERS.items():
            right = rng.random() < 0.8
            text = f"{first} {row.answer}" if right else GIVES_UP
            yield _answer(row.question, text, name, right)


def _answer(question: str, answer: str, worker: str, passed: bool) -> dict[str, Any]:
    return {"prompt": question, "completion": answer, "worker": worker, "passed": passed}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "preferences")
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    rng = random.Random(SEED)
    rows = rng.sample(list(q.short_facts()), 120)
    for name, lines in (("votes", votes(rows, rng)), ("annotators", annotators(rows, rng))):
        text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
        (out / f"{name}.jsonl").write_text(text, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
