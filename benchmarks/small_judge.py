"""What a small local judge is worth, beside length and the linear reward model, on the same rows.

    python benchmarks/small_judge.py [DATA] --work FOLDER [--minutes 15] [--rows 100]

SmolLM2-135M-Instruct scores rows by the probabilities of labels, with four bundled rubrics. It asks
for so many minutes, a round of all kinds of rows at a time; answers are kept in FOLDER, and a later
call goes on from there (--minutes 0 prints what is there). Every table says how many rows it is
from. The model is fetched by pip once. Rows are those of at most 1,200 characters.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import small_judge_rows as rows
from small_judge_questions import Asked, Work, questions
from small_judge_tables import print_marked, print_pairs, print_planted
from small_model import small_model

from filters.llm_judge.local import LocalModel
from filters.llm_judge.question import Question

PROCESSES = 2


def ask(part: tuple[int, str, str, list[Question], float]) -> tuple[float, int]:
    """Answer some questions until the time is up; processor seconds, and tokens read."""
    number, model, folder, asked, until = part
    import torch

    torch.set_num_threads(1)
    judge = LocalModel(model)
    file = Path(folder) / f"answers-{number}.jsonl"
    tokens = 0
    started = time.process_time()
    with file.open("a", encoding="utf-8") as out:
        for at, answer in judge.ask(enumerate(asked)):
            if answer.problem:
                raise SystemExit(f"{answer.problem}: {asked[at].user[:200]}")
            key = asked[at].key(judge.identity).hex()
            out.write(json.dumps([key, answer.probabilities, answer.tokens_in]) + "\n")
            out.flush()
            tokens += answer.tokens_in
            if time.time() > until:
                break
    return time.process_time() - started, tokens


def ask_all(asked: Asked, model: Path, wanted: Iterator[Question], minutes: float) -> None:
    """Ask what is not known, for some minutes, in two processes."""
    new = {question.key(asked.identity): question for question in wanted}
    missing = [question for key, question in new.items() if key.hex() not in asked.known]
    until = time.time() + 60 * minutes
    parts = [
        (number, str(model), str(asked.folder), missing[number::PROCESSES], until)
        for number in range(PROCESSES)
    ]
    with multiprocessing.get_context("spawn").Pool(PROCESSES) as pool:
        took = pool.map(ask, parts, chunksize=1)
    seconds, tokens = (sum(column) for column in zip(*took, strict=True))
    print(f"{tokens:,} tokens read, {tokens / seconds:.0f} a second of one core\n")
    asked.load()


def main() -> None:
    from rows import DATA, need

    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("data", nargs="?", type=Path, default=DATA)
    options.add_argument("--work", type=Path, default=Path(".venv/small_judge"))
    options.add_argument("--minutes", type=float, default=15.0)
    options.add_argument("--rows", type=int, default=400, help="rounds of questions at most")
    given = options.parse_args()
    need(given.data)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    given.work.mkdir(parents=True, exist_ok=True)
    model = small_model(given.work)
    pairs = {
        "pandalm": rows.pandalm(given.data),
        "alpaca_eval": rows.alpaca_eval(given.data),
        "sharegpt": rows.sharegpt(given.data),
    }
    short = {kind: rows.drawn(all_pairs) for kind, all_pairs in pairs.items()}
    work = Work(rows.marked(given.data), short, pairs)
    identity = LocalModel(str(model)).identity
    folder = given.work / hashlib.blake2b(identity.encode(), digest_size=8).hexdigest()
    folder.mkdir(exist_ok=True)
    asked = Asked(identity, folder)
    asked.load()
    if given.minutes:
        ask_all(asked, model, questions(work, given.rows), given.minutes)
    print_marked(asked, work, given.rows)
    print_pairs(asked, work, given.rows)
    print_planted(asked, work, given.rows)


if __name__ == "__main__":
    main()
