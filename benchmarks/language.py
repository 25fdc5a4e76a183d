"""Rows a second of the language step in one process, and how often it asks for a second opinion.

On made-up English rows and, where the real dumps are (environment variable CURATE_TEST_DATA), on
those. The target is 10,000 rows a second on two cores: 5,000 a second of CPU.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from unittest import mock

import polars as pl

from curate.base.schema import with_text
from curate.sources import read
from filters.language import detect as language_detect
from filters.language import second as language_second
from filters.language.filter import Language

HERE = Path(__file__).parent
SETS = ("alpaca_random_9k", "lima_1k", "gsm8k_train_alpaca", "code_alpaca_2k", "alpaca_zh_demo")
TARGET = 5_000


def rate(name: str, records: pl.DataFrame, repeat: int = 3) -> None:
    """Print rows per second of CPU (the best of `repeat`) and the share of second opinions."""
    asked, opinion = 0, language_second.second_opinion()

    def counted(text: str) -> tuple[str, float]:
        nonlocal asked
        asked += 1
        return opinion(text)

    best = float("inf")
    for _ in range(repeat):
        started = time.process_time()
        with mock.patch.object(language_detect, "second_opinion", return_value=counted):
            Language().measure(records)
        best = min(best, time.process_time() - started)
    share = 100 * asked / repeat / records.height
    print(
        f"{name:20} {records.height:7,} rows {records.height / best:9,.0f} a second of CPU,"
        f" {share:.2f} % second opinions"
    )


def main() -> None:
    """Print a line for each set."""
    sys.path.insert(0, str(HERE))
    from rows import DATA, need, write_sharegpt

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=20_000)
    options = parser.parse_args()
    print(f"target {TARGET:,} rows a second of CPU")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.jsonl"
        write_sharegpt(path, options.rows)
        rate("made-up rows", with_text(read([str(path)]).records))
    need(DATA)
    for name in SETS:
        rate(name, with_text(read([str(DATA / "raw" / f"{name}.json")]).records))


if __name__ == "__main__":
    main()
