"""`near` gives the same bytes on one process or several, in one part or many."""

from __future__ import annotations

import io
import random
from contextlib import closing
from dataclasses import dataclass
from typing import ClassVar

import polars as pl
import pytest

from curate.pipeline import measuring
from curate.pipeline import runner as pipeline
from curate.pipeline.cache import MeasureCache
from curate.pipeline.engine import Here, Processes
from curate.pipeline.measuring import Measures
from curate.pipeline.steps import Step
from filters.dedup.near.filter import Near
from tests.near_rows import records


@dataclass(frozen=True)
class SpreadNear(Near):
    """Measured in worker processes, as a filter that loops over rows would be."""

    per_row: ClassVar[bool] = True


STEPS = [
    SpreadNear(threshold=0.5, shingle="word", size=2),
    SpreadNear(similarity="rouge_l", threshold=0.6, keep="longest"),
]


def rows(count: int) -> pl.DataFrame:
    words = ["red", "green", "blue", "white", "black", "\u00e9t\u00e9", "\u5317", "42"]
    draw = random.Random(17)
    return records(
        [("", " ".join(draw.choices(words, k=draw.randint(0, 9)))) for _ in range(count)]
    )


def written(frame: pl.DataFrame, measures: Measures | None = None) -> list[bytes]:
    """The ledger and every table of a run with all of STEPS, as files."""
    plain = frame.drop("prompt", "response")
    steps = [Step(f"near-{number}", step) for number, step in enumerate(STEPS)]
    result = pipeline.run(plain, steps, measures)
    assert all(step.dropped for step in result.steps)
    files = []
    for table in (result.verdicts, *result.tables.values()):
        file = io.BytesIO()
        table.write_parquet(file, statistics=False)
        files.append(file.getvalue())
    return [*files, repr([step.sentences for step in result.steps]).encode()]


def test_any_number_of_workers_gives_the_same_bytes(monkeypatch):
    monkeypatch.setattr(measuring, "SPREAD_FROM", 10)
    monkeypatch.setattr(measuring, "LOOPED", 30)
    frame = rows(200)
    with closing(Processes(2)) as two:
        assert written(frame, Measures(two)) == written(frame, Measures(Here()))


@pytest.mark.parametrize("cores", [1, 3])
def test_any_number_of_threads_or_parts_gives_the_same_bytes(cores, tmp_path, monkeypatch):
    frame = rows(300)
    expected = written(frame)
    monkeypatch.setattr("os.cpu_count", lambda: cores)
    monkeypatch.setattr("filters.common.text.BLOCK", 200)
    monkeypatch.setattr(measuring, "CACHED", 70)
    measures = Measures(cache=MeasureCache(tmp_path))
    assert written(frame, measures) == expected
    assert written(frame, measures) == expected  # this time from what is kept
