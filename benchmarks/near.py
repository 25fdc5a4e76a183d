"""Near-duplicates: measure and judge against the clock, the machine's limit and datasketch.

Rows are made up, or real ones (from a folder of dumps, `CURATE_TEST_DATA`) written over in
other alphabets until there are enough, which keeps word lengths, frequencies and duplicates.
`--whole` adds the command line, process start to files written.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import resource
import string
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import orjson
import polars as pl

sys.path.insert(0, str(Path(__file__).parent))

from rows import DATA, need, texts

from curate.base.schema import RECORDS, with_text
from filters.common.text import view
from filters.dedup.near.filter import Near

Row = tuple[str, str]


def made_up(rows: int) -> list[Row]:
    """Random words; every tenth row is an earlier one with one to three other words."""
    chance = random.Random(0)
    found: list[Row] = []
    for row in texts(0, rows):
        if found and chance.random() < 0.1:
            prompt, answer = found[chance.randrange(len(found))]
            words = answer.split(" ")
            for _ in range(chance.randint(1, 3)):
                words[chance.randrange(len(words))] = "changed"
            row = (prompt, " ".join(words))
        found.append(row)
    return found


def real(folder: Path, rows: int) -> list[Row]:
    """Rows of every Alpaca-like dump there, then the same in other alphabets."""
    found: list[Row] = []
    for path in sorted(folder.glob("raw/*.json")):
        for row in json.loads(path.read_bytes()):
            answer = row.get("output") or row.get("response")
            if "instruction" in row and isinstance(answer, str):
                found.append((f"{row['instruction']}\n{row.get('input') or ''}", answer))
    chance = random.Random(0)
    chance.shuffle(found)
    letters = string.ascii_lowercase
    more = []
    for copy in range(rows // max(len(found), 1) + 1):
        other = letters if not copy else "".join(chance.sample(letters, 26))
        table = str.maketrans(letters + letters.upper(), other + other.upper())
        more += [(prompt.translate(table), answer.translate(table)) for prompt, answer in found]
        if len(more) >= rows:
            break
    return more[:rows]


def records(rows: list[Row]) -> pl.DataFrame:
    """As the reader would give them."""
    count = len(rows)
    fields = dict.fromkeys(("reasoning", "name", "tool_calls", "tool_call_id", "weight"))
    data = {name: [None] * count for name in RECORDS} | {
        "row": range(count),
        "id": [f"{number:016x}" for number in range(count)],
        "messages": [
            [
                {"role": "user", "content": prompt, **fields},
                {"role": "assistant", "content": answer, **fields},
            ]
            for prompt, answer in rows
        ],
    }
    return with_text(pl.DataFrame(data, schema=RECORDS))


def limit(characters: int, shingles: int, num_perm: int) -> float:
    """Seconds of processor to read the text once and do `num_perm` multiply-adds a shingle.

    By this machine's own speed, with everything in cache and nothing else to do.
    """
    few = np.arange(1 << 14, dtype=np.uint32)
    many = np.zeros(1 << 26, np.uint8)
    started = time.process_time()
    for _ in range(200):
        np.multiply(few, np.uint32(2654435761), out=few)
        np.add(few, np.uint32(12345), out=few)
    step = (time.process_time() - started) / 200 / len(few)
    started = time.process_time()
    many.max()
    byte = (time.process_time() - started) / len(many)
    return characters * byte + shingles * num_perm * step


def datasketch_seconds(sample: pl.Series, step: Near) -> float:
    """Seconds a row of datasketch's MinHash over words split in Python, on one core."""
    from datasketch import MinHash

    started = time.perf_counter()
    for text in sample.to_list():
        words = re.findall(r"\w+", text.lower())
        size = step.rule.size
        shingles = {" ".join(words[i : i + size]).encode() for i in range(len(words) - size + 1)}
        MinHash(step.num_perm, step.seed).update_batch(shingles)
    return (time.perf_counter() - started) / len(sample)


def in_memory(frame: pl.DataFrame, step: Near) -> None:
    size = int(view(frame, "both").str.len_bytes().sum())
    print(f"{frame.height:,} rows, {size / 1e6:.0f} MB, {step}")
    started, worked = time.perf_counter(), time.process_time()
    own = step.measure(frame)
    measured = time.perf_counter()
    known = frame.select("row", "id", pl.col("score").alias("record.score"))
    verdict = step.judge(pl.concat([known, own], how="horizontal")).verdicts
    done = time.perf_counter()
    seconds, shingles = done - started, int(own["shingles"].list.len().sum())
    worked = time.process_time() - worked
    least = limit(size, shingles, step.num_perm)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f"  measure {measured - started:6.2f} s   {shingles:,} shingles")
    print(f"  judge   {done - measured:6.2f} s   {int((~verdict['keep']).sum()):,} dropped")
    print(
        f"  both    {seconds:6.2f} s   {frame.height / seconds:,.0f} rows/s, "
        f"{worked:.1f} s of processor, {memory:.1f} GB at most"
    )
    print(
        f"  limit   {least:6.2f} s   of processor to read once and multiply-add; "
        f"{worked / least:.1f} times that"
    )
    sample = view(frame[:: max(1, frame.height // 1000)], "both")
    theirs = datasketch_seconds(sample, step) * frame.height
    print(
        f"  datasketch {theirs:.0f} s for the signatures alone (from {len(sample)} rows, one "
        f"core); {theirs / (measured - started):.0f} times our measure"
    )


def whole(rows: list[Row]) -> None:
    """The command line with `near` alone, in a fresh process, nothing cached."""
    with tempfile.TemporaryDirectory() as folder:
        dump, recipe = Path(folder, "dump.jsonl"), Path(folder, "near.yaml")
        lines = [orjson.dumps({"instruction": p, "output": a}) + b"\n" for p, a in rows]
        dump.write_bytes(b"".join(lines))
        recipe.write_text("steps:\n  - near\n")
        command = [sys.executable, "-m", "curate", "run", str(dump), "--recipe", str(recipe)]
        started = time.perf_counter()
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(
            [*command, "--out", str(Path(folder, "run")), "--quiet"],
            env={**os.environ, "CURATE_CACHE": str(Path(folder, "cache"))},
            check=True,
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        worked = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        print(
            f"  process start to files written {time.perf_counter() - started:.1f} s, "
            f"{worked:.1f} s of processor, {after.ru_maxrss / 1e6:.1f} GB at most"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--shingle", choices=("adaptive", "word", "char"), default="adaptive")
    parser.add_argument("--threshold", type=float, help="default: that of `near`")
    parser.add_argument("--whole", action="store_true", help="also time `curate run`")
    parser.add_argument("--made-up", action="store_true", help="leave real dumps out")
    parser.add_argument("--data", type=Path, default=DATA)
    asked = parser.parse_args()
    step = Near(threshold=asked.threshold, shingle=asked.shingle)
    for name in ("made up", "real"):
        if name == "real" and asked.made_up:
            break
        if name == "real":
            need(asked.data)
        rows = real(asked.data, asked.rows) if name == "real" else made_up(asked.rows)
        print(f"{name}: ", end="")
        in_memory(records(rows), step)
        if asked.whole:
            whole(rows)


if __name__ == "__main__":
    main()
