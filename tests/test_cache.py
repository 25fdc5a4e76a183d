from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import polars as pl
import pytest

from curate.base.contract import Filter, Judgement
from curate.base.settings import setting
from curate.pipeline import engine
from curate.pipeline.cache import MeasureCache
from curate.pipeline.engine import LocalEngine

measured: list[int] = []


@dataclass(frozen=True)
class Slow(Filter):
    name: ClassVar[str] = "slow"
    reasons: ClassVar[Mapping[str, str]] = {"short": "too short"}
    cached: ClassVar[bool] = True
    measured_by: ClassVar[tuple[str, ...]] = ("unit",)

    limit: int = setting(1, "characters")
    unit: str = setting("chars", "what is counted")

    def measure(self, records: pl.DataFrame) -> pl.DataFrame:
        measured.append(records.height)
        return records.select(
            size=pl.col("response").str.len_chars(), parts=pl.col("response").str.split(" ")
        )

    def judge(self, measures: pl.DataFrame) -> Judgement:
        return Judgement.of(measures["size"] >= self.limit, "short")


@pytest.fixture(autouse=True)
def fresh() -> None:
    measured.clear()


def test_what_was_measured_once_is_looked_up_and_equal(tmp_path: Path, conversation: Any) -> None:
    records = conversation(("q", "a"), ("q", "b b"), ("q", "a"))
    engine = LocalEngine(1, MeasureCache(tmp_path))
    first, second = engine.measure(Slow(), records), engine.measure(Slow(limit=9), records)
    assert measured == [2]  # two distinct contents, once
    assert first.equals(Slow().measure(records)) and second.equals(first)


def test_only_rows_that_are_new_are_measured(tmp_path: Path, conversation: Any) -> None:
    engine = LocalEngine(1, MeasureCache(tmp_path))
    engine.measure(Slow(), conversation(("q", "a"), ("q", "b")))
    more = conversation(("q", "c"), ("q", "b"), ("q", "a"), ("q", "d"))
    assert engine.measure(Slow(), more)["size"].to_list() == [1, 1, 1, 1]
    assert measured == [2, 2]


def test_a_setting_that_changes_the_measure_is_another_measure(
    tmp_path: Path, conversation: Any
) -> None:
    engine = LocalEngine(1, MeasureCache(tmp_path))
    for unit in ("chars", "words", "chars"):
        engine.measure(Slow(unit=unit), conversation(("q", "a")))
    assert measured == [1, 1]


def test_a_run_that_was_cut_off_goes_on_where_it_was(
    tmp_path: Path, conversation: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "PART", 2)
    records = conversation(*[("q", "x" * n) for n in range(7)])
    cut = LocalEngine(1, MeasureCache(tmp_path))
    monkeypatch.setattr(cut, "_compute", _stop_after(2, cut._compute))
    with pytest.raises(KeyboardInterrupt):
        cut.measure(Slow(), records)
    resumed = LocalEngine(1, MeasureCache(tmp_path)).measure(Slow(), records)
    assert measured == [2, 2, 2, 1]
    assert resumed["size"].to_list() == list(range(7))


def _stop_after(calls: int, compute: Any) -> Any:
    seen = []

    def stopping(*arguments: Any) -> Any:
        seen.append(1)
        if len(seen) > calls:
            raise KeyboardInterrupt
        return compute(*arguments)

    return stopping


def test_a_damaged_part_is_measured_again(tmp_path: Path, conversation: Any) -> None:
    records = conversation(("q", "a"))
    LocalEngine(1, MeasureCache(tmp_path)).measure(Slow(), records)
    (part,) = tmp_path.glob("*/*.arrow")
    part.write_bytes(part.read_bytes()[:40])
    again = LocalEngine(1, MeasureCache(tmp_path)).measure(Slow(), records)
    assert measured == [1, 1] and again["size"].to_list() == [1]


def test_the_cache_stays_within_its_limit(tmp_path: Path, conversation: Any) -> None:
    cache = MeasureCache(tmp_path)
    LocalEngine(1, cache).measure(Slow(), conversation(("q", "a")))
    cache.trim(limit=10**9)
    assert len(list(tmp_path.glob("*/*.arrow"))) == 1
    cache.trim(limit=1)
    assert not list(tmp_path.glob("*/*.arrow"))
