"""What `cap` and `match` promise, on real sets: the figures of docs/length.md."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from curate.base.errors import CurateError
from curate.base.schema import with_text
from curate.pipeline.judging import judge
from curate.sources import read
from filters.length.filter import Length
from filters.length.match import EDGES
from filters.length.report import shift

TARGET = (5, 30, 90, 300)


def measured(folder: Path, name: str) -> pl.DataFrame:
    records = with_text(read([str(folder / "raw" / f"{name}.json")]).records)
    return judge(Length(action="report"), records).measures


def numbers(step: Length, measures: pl.DataFrame) -> tuple[pl.DataFrame, Any]:
    judged = step.judge(measures).verdicts
    return measures.filter(judged["keep"]), step.judge(measures).findings.numbers


@pytest.mark.parametrize(
    ("name", "step"),
    [
        ("lima_1k", Length(action="cap")),
        ("alpaca_random_9k", Length(action="cap")),
        ("alpaca_random_9k", Length(action="cap", max_share=0.1)),
    ],
)
def test_a_calibrated_set_is_left_alone(test_data: Path, name: str, step: Length) -> None:
    measures = measured(test_data, name)
    kept, found = numbers(step, measures)
    assert kept.height == measures.height
    assert found["after"] is None and found["impossible"] is None


@pytest.mark.parametrize(
    ("name", "max_share", "rows"),
    [
        ("alpaca_1k_longest", 0.2, 345),
        ("alpaca_1k_longest", 0.3, 700),
        ("lima_1k", 0.1, 872),
        ("model_outputs_alpaca_7b_verbose", 0.1, 584),
    ],
)
def test_a_capped_set_is_within_tau_and_stays_as_it_is(
    test_data: Path, name: str, max_share: float, rows: int
) -> None:
    step = Length(action="cap", max_share=max_share)
    kept, found = numbers(step, measured(test_data, name))
    assert kept.height == rows
    assert found["after"]["concentration"] <= max_share < found["before"]["concentration"]
    assert step.judge(kept).verdicts["keep"].all()


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        ("alpaca_random_9k", 1457),
        ("model_outputs_alpaca_7b_concise", 184),
        ("model_outputs_alpaca_7b_verbose", 190),
    ],
)
def test_a_matched_set_is_near_its_target_and_stays_as_it_is(
    test_data: Path, name: str, rows: int
) -> None:
    step = Length(action="match", quantiles=TARGET)
    kept, found = numbers(step, measured(test_data, name))
    assert kept.height == rows
    target = found["target"]
    assert target["ks_after"] <= 0.05 < target["ks_before"]
    assert rows < target["effective_rows"]
    assert step.judge(kept).verdicts["keep"].all()


def test_matching_brings_concise_and_verbose_answers_together(test_data: Path) -> None:
    step = Length(action="match", quantiles=TARGET)
    names = [f"model_outputs_alpaca_7b_{style}" for style in ("concise", "verbose")]
    before = [measured(test_data, name) for name in names]
    after = [numbers(step, measures)[0] for measures in before]
    apart = shift(*[measures["length"].to_numpy() for measures in before])
    together = shift(*[measures["length"].to_numpy() for measures in after])
    assert apart is not None and round(apart.ks, 3) == 0.296
    # Each is within 0.05 of the target at the edges of the bins, so they are within 0.1 there.
    edges = [np.searchsorted(np.sort(kept["length"]), EDGES) / kept.height for kept in after]
    assert np.abs(edges[0] - edges[1]).max() <= 0.1
    assert together is not None and together.ks < 0.15


def test_a_target_that_the_lengths_do_not_have_is_refused(test_data: Path) -> None:
    measures = measured(test_data, "alpaca_1k_longest")
    with pytest.raises(CurateError, match="55 % of the target has lengths that no row has"):
        Length(action="match", quantiles=TARGET).judge(measures)
    with pytest.raises(CurateError, match=r"a max_share of 0\.1 is out of reach"):
        Length(action="cap", max_share=0.1).judge(measures)
