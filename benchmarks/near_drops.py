"""Rows that the `near` steps of a recipe drop from real dumps, beside those kept, to be read.

By default the `lima` recipe on all of `raw/` under `CURATE_TEST_DATA`, and 25 rows of each step,
drawn with a seed: whether the question, or the answer, is the same is for a reader to say.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from pathlib import Path

import polars as pl

sys.path.insert(0, str(Path(__file__).parent))

from rows import DATA, need

import curate

PROMPT, ANSWER = 250, 150  # characters shown, the last and the first


def texts_of(run: Path) -> dict[str, str]:
    """Prompt and answer of every row of a run, by id."""
    found = {}
    for name in ("kept", "dropped"):
        frame = pl.read_parquet(run / f"{name}.parquet", columns=["id", "messages"])
        for row_id, messages in frame.iter_rows():
            said = [one["content"] or "" for one in messages if one["role"] == "assistant"]
            asked = [one["content"] or "" for one in messages if one["role"] == "user"]
            prompt, answer = " / ".join(asked), " / ".join(said)
            found[row_id] = f"{prompt[-PROMPT:]!r} => {answer[:ANSWER]!r}"
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recipe", default="lima")
    parser.add_argument("--dump", type=Path, default=DATA / "raw")
    parser.add_argument("--count", type=int, default=25, help="rows of each step")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    need(asked.dump)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "RUN"
        curate.run(str(asked.dump), recipe=asked.recipe, out=out)
        texts = texts_of(out)
        ledger = pl.read_parquet(out / "ledger.parquet")
    of_row = dict(ledger.unique("row").select("row", "id").iter_rows())
    near = ledger.filter(pl.col("step").str.starts_with("near"), pl.col("verdict") == "drop")
    for step, rows in near.group_by("step", maintain_order=True):
        drawn = random.Random(asked.seed).sample(rows.rows(named=True), min(asked.count, len(rows)))
        print(f"\n{step[0]}: {len(rows):,} rows dropped, {len(drawn)} shown")
        for row in drawn:
            print(f"\n{row['id']} {row['score']:.2f} {Path(row['source']).name}")
            print(f"  - {texts[row['id']]}\n  + {texts[of_row[row['duplicate_of']]]}")


if __name__ == "__main__":
    main()
