"""What n-grams and vectors find of test rows: word for word, rephrased, and judged by people.

`DATA` is the folder of test data (default: CURATE_TEST_DATA). `--model` names a
sentence-transformers folder to set beside the built-in encoder; `--rows` times a made-up set of
that size.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

sys.path.insert(0, str(Path(__file__).parent))

from rows import DATA, need, texts

from curate import sources
from curate.base.schema import with_text
from curate.pipeline.judging import judge
from filters.common.vectors import embed
from filters.decontaminate.filter import Decontaminate

COSINES = (0.6, 0.7, 0.8, 0.9)


def read(paths: Any) -> pl.DataFrame:
    return with_text(sources.read(list(paths)).records)


def asked(records: pl.DataFrame, against: str, **settings: Any) -> tuple[int, int]:
    """Records dropped, and evaluation rows found."""
    step: Any = Decontaminate(against=(against,), **settings).bind(read)
    _, verdicts, findings = judge(step, records)
    return int((~verdicts["keep"]).sum()), int(findings.numbers["evaluations"][0]["hit"])


def gsm8k(data: Path, encoders: dict[str, str]) -> None:
    test = str(data / "eval/gsm8k_test.jsonl")
    train = read([str(data / "raw/gsm8k_train_alpaca.json")])
    rephrased = read([str(data / "eval/gsm8k_test_rephrased.jsonl")])
    print("rule                     train rows dropped   rephrased test rows found (of 1,319)")
    for rule in ("tulu3", "ngram13"):
        dropped, found = asked(train, test, rule=rule)[0], asked(rephrased, test, rule=rule)[1]
        print(f"{rule:24} {dropped:18,} {found:22,}")
    theirs_text = read([test])["prompt"]
    for name, encoder in encoders.items():
        theirs = embed("benchmark", encoder, theirs_text)
        best = {}
        for side, records in (("train", train), ("rephrased", rephrased)):
            best[side] = embed("benchmark", encoder, records["prompt"]) @ theirs.T
        own = np.diag(best["rephrased"])
        for cosine in COSINES:
            dropped = int((best["train"].max(axis=1) >= cosine).sum())
            print(f"{f'{name} {cosine}':24} {dropped:18,} {int((own >= cosine).sum()):22,}")


def judged_pairs(data: Path, encoders: dict[str, str]) -> None:
    """Pairs of a HumanEval solution and a CodeAlpaca one that a judge called the same or not."""
    lines = (data / "eval/code_alpaca_contamination.jsonl").read_text("utf-8").splitlines()
    pairs = [
        (row["test"], train, same)
        for row in map(json.loads, lines)
        for train, same in zip(row["train"], row["results"], strict=True)
    ]
    same = np.array([pair[2] for pair in pairs], bool)
    print(f"\n{len(pairs)} judged pairs of code, {same.sum()} the same: found, of them the same")
    for rule, (size, share) in {"tulu3": (8, 0.5), "ngram13": (13, 0.0)}.items():
        from filters.decontaminate.index import Index

        index = Index(pl.Series([pair[0] for pair in pairs]), size, share, skip_common=False)
        found = index.find(pl.Series([pair[1] for pair in pairs]))
        hit = np.zeros(len(pairs), bool)
        hit[found.text[found.text == found.item]] = True
        print(f"{rule:24} {hit.sum():4} {(hit & same).sum():4}")
    for name, encoder in encoders.items():
        left, right = (
            embed("benchmark", encoder, pl.Series([pair[side] for pair in pairs]))
            for side in (0, 1)
        )
        cosines = (left * right).sum(axis=1)
        for cosine in COSINES:
            hit = cosines >= cosine
            print(f"{f'{name} {cosine}':24} {hit.sum():4} {(hit & same).sum():4}")


def timed(data: Path, count: int) -> None:
    folder = str(data / "eval/gsm8k_test.jsonl")
    rows = [
        {"role": "user", "content": prompt + " " + answer} for prompt, answer in texts(0, count)
    ]
    records = pl.DataFrame(
        {
            "row": pl.Series(range(count), dtype=pl.UInt32),
            "id": [f"{row:016x}" for row in range(count)],
            "source": "made up",
            "score": None,
            "category": None,
            "messages": [[{**row, "tool_calls": None}] for row in rows],
        },
        schema_overrides={"messages": read([folder]).schema["messages"]},
    ).with_columns(prompt=pl.lit(""), response=pl.lit(""))
    size = sum(len(row["content"]) for row in rows) / 1e6
    for rule in ("tulu3", "ngram13"):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_utime
        asked(records, folder, rule=rule)
        spent = resource.getrusage(resource.RUSAGE_SELF).ru_utime - before
        print(f"{count:,} rows, {size:.0f} MB, {rule}: {spent:.1f} s of user CPU")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", nargs="?", type=Path, default=DATA)
    parser.add_argument("--model", help="folder of a sentence-transformers model")
    parser.add_argument("--rows", type=int, default=0)
    given = parser.parse_args()
    need(given.data)
    encoders = {"lexical": "lexical"} | ({"model": given.model} if given.model else {})
    gsm8k(given.data, encoders)
    judged_pairs(given.data, encoders)
    if given.rows:
        timed(given.data, given.rows)


if __name__ == "__main__":
    main()
