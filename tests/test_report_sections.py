"""The sections of the page about the set as a whole: languages, lengths, duplicates, sources."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.base.distances import kolmogorov_smirnov, wasserstein
from curate.pipeline.recipe import filter_called
from curate.pipeline.run_folder import RunFolder
from curate.pipeline.steps import Step
from curate.report import length_shift
from tests.reports import HOSTILE, SMALL, STEPS, Tells, Words, make, page, row


def test_categories_are_counted_when_rows_have_them(tmp_path: Path) -> None:
    lines = [row("a", "sorry", category="poems"), row("b", "Roses", category="poems")]
    with_some = page(make(tmp_path / "some", [*lines, row("c", "Lilies")], Step("words", Words())))
    assert "poems 2 1 50.0 %" in with_some.text and "no category 1 1 100 %" in with_some.text
    without = page(make(tmp_path / "none", SMALL, *STEPS))
    assert "Categories" not in without.text


def languages(count: int) -> dict[str, Any]:
    named = {f"l{at}": {"rows": 100 - at, "kept": 1} for at in range(count)}
    nothing = {"rows": 0, "kept": 0}
    return {"languages": named, "unsure": {"rows": 3, "kept": 3}, "abstained": nothing}


def test_languages_are_named_with_what_was_kept_of_them(tmp_path: Path) -> None:
    step = Step("tongues", Tells(numbers=languages(2)))
    shown = page(make(tmp_path, SMALL, step)).text
    table = shown[shown.index("Step tongues detected these languages") :]
    assert "l0 100 1 1.0 %" in table and "l1 99 1 1.0 %" in table
    assert "not sure which 3 3 100 %" in table
    assert "too short to detect" not in table and "more languages" not in table


def test_languages_beyond_thirty_are_counted(tmp_path: Path) -> None:
    shown = page(make(tmp_path, SMALL, Step("tongues", Tells(numbers=languages(33))))).text
    assert "l29 " in shown and "l30 " not in shown
    assert "and 3 more languages" in shown


def test_what_a_step_says_of_the_whole_set_stands_on_the_page(tmp_path: Path) -> None:
    said = ("two rows are <b>odd</b>", HOSTILE)
    shown = page(make(tmp_path, SMALL, Step("words", Tells(sentences=said))))
    assert all(sentence in shown.text for sentence in said)
    assert "b" in shown.tags and "script" not in shown.tags


def scored(count: int) -> list[str]:
    """Answers of 1 to `count` words, each with its length as its score."""
    return [row(f"Write text {at}", "word " * at + "end.", score=at) for at in range(count)]


def test_scores_against_length_are_shown_as_given_and_as_judged(tmp_path: Path) -> None:
    step = Step("best", filter_called("reward", {"keep_top": 0.5, "calibrate": "rank"}))
    shown = page(make(tmp_path, scored(60), step)).text
    assert "best: score against length" in shown
    assert re.search(r"within a task group: 1\.00 for the original scores, -?0\.\d\d for", shown)
    assert re.search(r"1–6 6 \d+\.\d.% 7–12 6 ", shown)


def test_scores_that_no_step_set_against_length_have_no_such_table(tmp_path: Path) -> None:
    assert "score against length" not in page(make(tmp_path, SMALL, *STEPS)).text


def lengthy(*sizes: int) -> list[str]:
    texts = ("word " * (size - 1) + "end." for size in sizes)
    return [row(f"Write text {at}", text) for at, text in enumerate(texts)]


def test_lengths_are_shown_per_task_group_with_verdict_and_target(tmp_path: Path) -> None:
    lines = lengthy(*[1, 3, 8, 20, 45, 90, 200, 400] * 20, *[120] * 140)
    cap = Step("cap it", filter_called("length", {"action": "cap", "max_share": 0.2}))
    shown = page(make(tmp_path / "cap", lines, cap)).text
    assert "what step cap it found" in shown
    assert "✕ flag before, ✓ pass after" in shown
    assert "a model trained on this stops there whatever the task" in shown
    assert re.search(r"all 300 200 \d+ \d+ 0\.\d{3}", shown)
    assert "write 300" in shown and "target" not in shown[: shown.index("Provenance")]
    match = Step("match", filter_called("length", {"action": "match", "min": 5, "max": 200}))
    shown = page(make(tmp_path / "match", lengthy(*range(5, 201), *[60] * 104), match)).text
    assert "effective sample size" in shown and " median after target KS " in shown


def of_many_task_groups(folder: Path) -> RunFolder:
    """A run of 25 task groups of 20 rows each."""
    look = Step("look", filter_called("length", {"action": "report"}))
    lines = [row(f"Task{at % 25} it {at}", "word " * (at % 25 + at % 7)) for at in range(500)]
    return make(folder, lines, look)


def test_the_largest_task_groups_are_shown_and_the_file_named_that_has_all(tmp_path: Path) -> None:
    run = of_many_task_groups(tmp_path)
    assert "9 smaller task groups are in look.groups.parquet" in page(run).text
    table = pl.read_parquet(run.path / "look.groups.parquet")
    assert table.height == 25 and table["rows"].sum() == 500


def test_task_groups_of_a_run_of_an_earlier_version_are_read_from_its_manifest(
    tmp_path: Path,
) -> None:
    run = of_many_task_groups(tmp_path)
    now = page(run).text
    # It had all groups among the numbers, and no table.
    (run.path / "look.groups.parquet").unlink()
    manifest = json.loads((run.path / "manifest.json").read_text("utf-8"))
    manifest["files"].remove("look.groups.parquet")
    numbers = manifest["steps"][0]["numbers"]
    del numbers["task_groups"]
    numbers["groups"] += [numbers["groups"][-1] | {"group": f"last {at}"} for at in range(5)]
    (run.path / "manifest.json").write_text(json.dumps(manifest), "utf-8")
    earlier = page(RunFolder(run.path)).text
    assert "9 smaller task groups are in manifest.json" in earlier
    assert earlier.replace("are in manifest.json", "are in look.groups.parquet") == now


def test_a_verdict_without_drops_has_no_columns_of_afterwards(tmp_path: Path) -> None:
    look = Step("look", filter_called("length", {"action": "report"}))
    shown = page(make(tmp_path, lengthy(*range(5, 105)), look)).text
    assert "Lengths are varied" in shown and "before, " not in shown[shown.index("what step") :]
    assert "How each step changed the lengths" not in shown


def test_every_step_that_dropped_rows_shows_how_it_changed_the_lengths(tmp_path: Path) -> None:
    lines = [row("a", "one"), row("b", "sorry two three"), row("c", "one two three four five")]
    shown = page(make(tmp_path, lines, Step("words", Words()), *STEPS[:1])).text
    shifts = shown[shown.index("How each step changed the lengths") :]
    # Three rows of 1, 3 and 5 words; the one of 3 goes, then the second that begins with "one".
    assert "words 3 2 3 3 3.0 3.0 0.167" in shifts
    assert "start 2 1 3 1 3.0 1.0 0.500" in shifts


@given(st.lists(st.integers(0, 99), min_size=1), st.lists(st.integers(0, 99), min_size=1))
def test_distances_of_lengths_are_those_of_their_distribution_functions(
    one: list[int], other: list[int]
) -> None:
    points = range(100)
    gaps = [
        abs(sum(x <= at for x in one) / len(one) - sum(x <= at for x in other) / len(other))
        for at in points
    ]
    area = sum(gap * (np.log1p(at + 1) - np.log1p(at)) for at, gap in enumerate(gaps))
    ks = kolmogorov_smirnov(np.array(one), np.array(other))
    w1 = wasserstein(np.log1p(one), np.log1p(other))
    assert ks == pytest.approx(max(gaps)) and w1 == pytest.approx(area)
    counts = [np.bincount(words, minlength=100) for words in (one, other)]
    assert length_shift.distances(np.arange(100), *counts) == pytest.approx((ks, w1))


def test_clusters_of_duplicates_are_counted_and_the_largest_shown(tmp_path: Path) -> None:
    lines = [row("Say it", f"Something very like this, {word}") for word in "aaaabb"]
    lines += [row("Say it", HOSTILE), row("Say it", HOSTILE), row("Say more", "Alone.")]
    step = Step("exact", filter_called("exact", {}))
    shown = page(make(tmp_path, lines, step))
    assert "exact: 8 rows in 3 clusters" in shown.text
    assert "2 clusters of 2 rows 1 cluster of 3 to 5 rows" in shown.text
    assert "4 rows, 1 kept" in shown.text and HOSTILE in shown.text


def test_drop_reasons_are_counted_by_source(tmp_path: Path) -> None:
    shown = page(make(tmp_path, SMALL, *STEPS)).text
    table = shown[shown.index("Drop reasons by source") :]
    assert "dump.jsonl 5 2 40.0 % 1 20.0 % 1 20.0 % 1 20.0 %" in table


def test_lengths_are_words_of_the_response(tmp_path: Path) -> None:
    lines = [row("a b c", "one two three"), row("d", "  one\ttwo\n"), row("e", "sorry")]
    shown = page(make(tmp_path, lines, Step("words", Words()))).text
    assert "The median response went from 2 to 2 words." in shown
    assert "read 3 1 2 2 2 3 3 2.0" in shown
    assert "dropped 1 1 1 1 1 1 1 1.0" in shown
