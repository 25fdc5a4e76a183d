"""How often each quality reason is right, by rows that a person has read, and what it costs.

`--read REASON` prints the rows of a reason for reading, `--sample` 200 random rows; the judgements
stand in `quality_read.json` (record id, reason, right or wrong; no text). Without either it prints
the precision of each reason by those judgements, then the seconds of CPU over `--rows` rows.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import tempfile
import time
from pathlib import Path

import polars as pl

from curate.schema import with_text
from curate.sources import read
from filters.quality import Quality
from filters.quality_reasons import REASONS

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

DATA = Path(os.environ.get("CURATE_TEST_DATA", HERE.parent.parent / "shared" / "data"))
JUDGED = HERE / "quality_read.json"
FILE = "alpaca_random_9k.json"
SAMPLE, AT_MOST, SEED = 200, 25, 0


def fired(records: pl.DataFrame) -> pl.DataFrame:
    """`index`, `reason`, `evidence` of everything that fires, with the default limits."""
    step = Quality()
    measures = step.measure(records)
    share, words = pl.col("repetition_share"), pl.col("prompt_words")
    measures = measures.with_columns(
        repetition=pl.when(share > step.max_repetition).then("repetition"),
        prompt_length=pl.when(~words.is_between(step.min_prompt_words, step.max_prompt_words)).then(
            "prompt_length"
        ),
    )
    return (
        measures.select(list(REASONS))
        .with_row_index("index")
        .unpivot(index="index", variable_name="reason", value_name="evidence")
        .drop_nulls("evidence")
    )


def show(records: pl.DataFrame, index: int, note: str) -> None:
    """One record, short enough to read many."""
    row = records.row(index, named=True)
    texts = [row[side][:400].replace("\n", " / ") for side in ("prompt", "response")]
    print(f"{row['id']}  {note}\n  ask: {texts[0]}\n  say: {texts[1]}")


def to_read(records: pl.DataFrame, reason: str) -> list[tuple[int, str]]:
    """At most 25 rows of a reason, drawn with a seed, and their evidence."""
    hits = list(
        fired(records).filter(pl.col("reason") == reason).select("index", "evidence").iter_rows()
    )
    random.Random(SEED).shuffle(hits)
    return sorted(hits[:AT_MOST])


def precision() -> None:
    """Print how many of the rows that were read fired rightly, by reason and file."""
    for name, reasons in json.loads(JUDGED.read_text("utf-8")).items():
        records = with_text(read([str(DATA / "raw" / name)]).records)
        found = fired(records).join(records["id"].to_frame().with_row_index("index"), on="index")
        print(f"\n{name}, {records.height:,} rows\nreason                 fires  read  right")
        for reason, read_ids in reasons.items():
            ids = set(found.filter(pl.col("reason") == reason)["id"])
            still = [right for id_, right in read_ids.items() if id_ in ids]
            total = found.filter(pl.col("reason") == reason).height
            share = f"{sum(still) / len(still):.2f}" if still else "-"
            print(f"{reason:22} {total:5} {len(still):5}  {share}")


def cost(rows: int) -> None:
    """Print seconds of CPU to measure and judge rows of ordinary length."""
    from rows import write_sharegpt

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.jsonl"
        write_sharegpt(path, rows, SEED)
        records = with_text(read([str(path)]).records)
    started = time.process_time()
    step = Quality()
    step.judge(step.measure(records))
    print(f"\n{rows:,} rows: {time.process_time() - started:.1f} s of CPU")


def main() -> None:
    """Print rows to read, or what the reading gave and what the rules cost."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--read", choices=list(REASONS), help="print rows of this reason")
    parser.add_argument("--sample", action="store_true", help="print random rows")
    parser.add_argument("--file", default=FILE)
    parser.add_argument("--rows", type=int, default=100_000)
    options = parser.parse_args()
    if options.read or options.sample:
        records = with_text(read([str(DATA / "raw" / options.file)]).records)
        if options.read:
            for index, evidence in to_read(records, options.read):
                show(records, index, evidence)
        else:
            for index in sorted(random.Random(SEED).sample(range(records.height), SAMPLE)):
                show(records, index, "")
        return
    precision()
    cost(options.rows)


if __name__ == "__main__":
    main()
