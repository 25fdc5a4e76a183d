"""What the length step says: the verdict before and after, the shift, the target, impossibility."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from curate.base.contract import Findings
from curate.pipeline.judging import judge
from filters.length.filter import Length
from tests.length_rows import of_lengths

VARIED = [1, 3, 8, 20, 45, 90, 200, 400, 800, 1600] * 20
CROWDED = [*VARIED, *[120] * 200]


def found(step: Length, measures: pl.DataFrame) -> Findings:
    return step.judge(measures).findings


def test_a_report_is_the_diagnosis_and_shifts_nothing() -> None:
    findings = found(Length(action="report"), of_lengths(*CROWDED))
    assert findings.numbers["before"]["verdict"] == "flag"
    assert findings.numbers["after"] is None and findings.numbers["shift"] is None
    assert findings.sentences == (
        "50 % of the responses have 99 to 121 words: a model trained on this stops there"
        " whatever the task.",
    )


def test_a_cap_says_the_verdict_before_and_after_and_how_far_the_lengths_shifted() -> None:
    findings = found(Length(action="cap", max_share=0.2), of_lengths(*CROWDED))
    assert findings.numbers["before"]["verdict"] == "flag"
    assert findings.numbers["after"]["verdict"] == "pass"
    assert findings.numbers["after"]["concentration"] <= 0.2
    assert findings.numbers["shift"]["ks"] > 0.1
    assert findings.sentences[0].startswith("before: 50 % of the responses have 99 to 121 words")
    assert findings.sentences[1].startswith("after: Lengths are varied")
    assert findings.sentences[2].startswith("250 of 400 rows are kept; the median changes from ")


def test_a_cap_that_is_impossible_says_why() -> None:
    findings = found(Length(action="cap"), of_lengths(*[200] * 50))
    assert "a max_share of 0.2 is impossible" in findings.sentences[-1]
    assert findings.numbers["impossible"] == findings.sentences[-1]
    assert findings.numbers["after"] is None


def test_a_match_says_target_distance_and_effective_sample_size() -> None:
    lengths = [*range(5, 500), *[60] * 500]
    findings = found(Length(action="match", min=5, max=500), of_lengths(*lengths))
    target = findings.numbers["target"]
    assert target["ks_after"] <= 0.05 < target["ks_before"]
    assert 0 < target["effective_rows"] < len(lengths)
    assert target["quantiles"]["0.01"] == 5
    assert 40 <= target["quantiles"]["0.5"] <= 55  # the middle of 5 to 500 on the log scale
    assert findings.sentences[-1].startswith("distance (KS) to the target: ")
    assert "effective sample size" in findings.sentences[-1]


def test_each_task_group_has_its_rows_lengths_and_target() -> None:
    tasks = ["name"] * 200 + ["write"] * 200
    measures = of_lengths(*CROWDED, task=tasks)
    groups = found(Length(action="cap", max_share=0.2), measures).numbers["groups"]
    by_name = {group["group"]: group for group in groups}
    assert by_name["name"]["ks"] is not None and by_name["name"]["target"] is None
    assert by_name["write"]["rows"] == 200 > by_name["write"]["kept"]
    assert by_name["write"]["before"]["0.5"] == by_name["write"]["after"]["0.5"] == 120
    assert sum(group["kept"] for group in groups) == 250
    rough = Length(action="match", min=1, max=1600, tolerance=0.2)
    matched = found(rough, measures).numbers["groups"]
    assert all(group["target"]["0.99"] > 1000 for group in matched)


def test_the_numbers_have_the_largest_task_groups_and_the_table_has_all() -> None:
    lengths, tasks = VARIED * 5, [f"task{row % 25:02}" for row in range(1000)]
    findings = found(Length(max=1000), of_lengths(*lengths, task=tasks))
    table = findings.tables["groups"]
    assert findings.numbers["task_groups"] == table.height == 25
    assert [line["group"] for line in findings.numbers["groups"]] == table["group"].to_list()[:20]
    largest, line = findings.numbers["groups"][0], table.row(0, named=True)
    assert line["group"] == largest["group"] == "task00"
    assert (line["rows"], line["kept"], line["ks"]) == (40, 40, 0.0)
    for side in ("before", "after"):
        quantiles = [value for name, value in line.items() if name.startswith(side)]
        assert quantiles == list(largest[side].values())
    assert (line["before_p01"], line["before_p50"], line["before_p99"]) == (1, 1, 90)


def test_what_a_task_group_does_not_have_is_null_in_the_table() -> None:
    table = found(Length(min=1000), of_lengths(5, 6)).tables["groups"]
    assert table["before_p50"].to_list() == [5]
    assert table["after_p50"].to_list() == table["target_p50"].to_list() == [None]
    nothing = found(Length(), of_lengths(5).clear()).tables["groups"]
    assert nothing.is_empty() and nothing.schema == table.schema


def test_the_task_group_that_shifted_most_is_named() -> None:
    lengths = [*VARIED, *[30] * 100, *[120] * 200]
    tasks = ["name"] * 200 + ["write"] * 300
    findings = found(Length(action="cap", max_share=0.15), of_lengths(*lengths, task=tasks))
    assert "task groups shift significantly" in findings.sentences[-1]
    assert "the largest shift is in 'write': KS " in findings.sentences[-1]


def test_scores_that_come_with_the_rows_are_compared_with_length() -> None:
    scores = pl.Series([None, *map(float, CROWDED[1:])], dtype=pl.Float64)
    scored = of_lengths(*CROWDED).with_columns(scores.alias("record.score"))
    findings = found(Length(action="report"), scored)
    assert findings.numbers["before"]["score_correlation"] == pytest.approx(1.0)
    without = found(Length(action="report"), of_lengths(*CROWDED))
    assert without.numbers["before"]["score_correlation"] is None


@pytest.mark.parametrize("action", ["limit", "trim", "cap", "report"])
def test_findings_are_json_even_of_no_rows(action: Any) -> None:
    for measures in (of_lengths(5).clear(), of_lengths(5), of_lengths(*CROWDED)):
        findings = found(Length(action=action), measures)
        assert json.loads(json.dumps(findings.numbers)) == findings.numbers
        assert findings.sentences


def test_when_nothing_is_left_there_is_nothing_to_compare() -> None:
    findings = found(Length(min=1000), of_lengths(5, 6))
    assert findings.numbers["after"]["rows"] == 0
    assert findings.numbers["shift"] is None
    assert findings.numbers["groups"][0]["after"] is None


def test_the_order_of_the_rows_changes_no_finding() -> None:
    measures = of_lengths(*CROWDED, task=["name", "write"] * 200)
    step = Length(action="match", min=1, max=1600, tolerance=0.2)
    one, other = found(step, measures), found(step, measures.reverse())
    assert (other.sentences, other.numbers) == (one.sentences, one.numbers)
    assert other.tables["groups"].equals(one.tables["groups"])


@pytest.mark.parametrize(
    ("name", "verdict"),
    [("alpaca_1k_longest", "flag"), ("lima_1k", "pass"), ("alpaca_random_9k", "pass")],
)
def test_real_sets_are_flagged_or_pass(test_data: Path, name: str, verdict: str) -> None:
    from curate.base.schema import with_text
    from curate.sources import read

    records = with_text(read([str(test_data / "raw" / f"{name}.json")]).records)
    step = Length(action="report")
    assert found(step, judge(step, records).measures).numbers["before"]["verdict"] == verdict
