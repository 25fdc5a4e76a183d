"""ROUGE-L deduplication of a dump's responses, all pairs, against the clock.

By default the 7,673 responses of `raw/gpteacher_toolformer.json` under `CURATE_TEST_DATA`, and
as many identical rows.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import polars as pl

sys.path.insert(0, str(Path(__file__).parent))

from near import Row, records
from rows import DATA, need

from filters.dedup.near.filter import Near


def rows_of(path: Path) -> list[Row]:
    """Prompt and response of a file of Alpaca's shape."""
    return [
        (f"{row['instruction']}\n{row.get('input') or ''}", row.get("response") or row["output"])
        for row in json.loads(path.read_bytes())
    ]


def timed(rows: list[Row], step: Near) -> None:
    frame = records(rows)
    started, worked = time.perf_counter(), time.process_time()
    known = frame.select("row", "id", pl.col("score").alias("record.score"))
    measures = pl.concat([known, step.measure(frame)], how="horizontal")
    measured = time.perf_counter()
    findings = step.judge(measures).findings
    done = time.perf_counter()
    how = "all pairs" if findings.numbers["exact"] else "pairs by signatures"
    print(
        f"{frame.height:,} rows, stem {step.stem}: measure {measured - started:.2f} s, judge "
        f"{done - measured:.2f} s ({time.process_time() - worked:.1f} s of processor), {how}, "
        f"{findings.numbers['dropped']:,} dropped"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--file", type=Path, default=DATA / "raw" / "gpteacher_toolformer.json")
    parser.add_argument("--threshold", type=float, default=0.7)
    parser.add_argument("--field", choices=("prompt", "response", "both"), default="response")
    asked = parser.parse_args()
    need(asked.file)
    rows = rows_of(asked.file)
    for stem in (False, True):
        step = Near(similarity="rouge_l", threshold=asked.threshold, field=asked.field, stem=stem)
        timed(rows, step)
    timed([max(rows, key=lambda row: len(row[1]))] * 20_000, Near(similarity="rouge_l"))


if __name__ == "__main__":
    main()
