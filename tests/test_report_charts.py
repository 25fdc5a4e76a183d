"""Histograms, thresholds and the charts drawn of them."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.pipeline.steps import Step
from curate.report import charts, histograms, html
from tests.reports import Page, Tells, Words, make, page, row


@given(st.lists(st.integers(0, 400), min_size=1, max_size=60))
def test_the_densest_window_is_the_best_of_all_windows(words: list[int]) -> None:
    longest = max(10, *words)
    counts = {
        centre: sum(9 * centre <= 10 * word <= 11 * centre for word in words)
        for centre in range(10, longest + 1)
    }
    share, centre = histograms.densest(np.array(words))
    assert share == max(counts.values()) / len(words)
    assert counts[centre] == max(counts.values())


def test_length_bins_hold_every_length_and_none_is_without_a_whole_number() -> None:
    for largest in (1, 2, 9, 10, 11, 999, 123_456):
        edges = histograms.length_edges(largest)
        assert edges[0] == 0 and edges[-1] > largest
        assert (np.diff(edges) >= 1).all() and (edges == edges.round()).all()


@settings(max_examples=25, deadline=None)
@given(st.lists(st.floats(-1e6, 1e6), min_size=3, max_size=40, unique=True))
def test_every_score_is_in_a_bin(values: list[float]) -> None:
    frame = pl.DataFrame({"verdict": ["keep"] * len(values), "score": values})
    found = histograms.of_step("step", frame)
    assert found.histogram.heights["kept"].sum() == pytest.approx(1)
    assert "<svg" in charts.scores(found)


def test_scores_that_part_kept_from_dropped_show_where(tmp_path: Path) -> None:
    lines = [row("a", "x" * size + (" sorry" if size > 50 else "")) for size in range(10, 100)]
    shown = page(make(tmp_path, lines, Step("words", Words()))).text
    assert "41 kept 49 dropped the groups separate between 50 and 57" in shown


def test_charts_hold_no_style_script_date_or_address(tmp_path: Path) -> None:
    words = np.arange(200)
    drawn = charts.lengths(histograms.length_histogram(words, words < 100), [])
    assert drawn.count("<svg") == 2
    for unwanted in ("<script", "<style", "<!--", "http", "pygal"):
        assert unwanted not in drawn


def test_thresholds_are_drawn_where_they_are_within_the_scores(tmp_path: Path) -> None:
    lines = [row("a", "x" * size + (" sorry" if size > 50 else "")) for size in range(10, 100)]
    thresholds = {"thresholds": {"low": 20, "high": 60.5, "far": 900}}
    run = make(tmp_path, lines, Step("words", Tells(numbers=thresholds)))
    source = html(run)
    assert "41 kept 49 dropped low 20 high 60.5 far 900" in Page(source).text
    assert "the groups separate" not in source
    drawn = set(re.findall(r'class="series (line-\d)"', source))
    assert drawn == {"line-1", "line-2"}
