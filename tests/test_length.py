from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from curate.base.contract import VERDICTS, Filter
from curate.base.errors import CurateError
from curate.pipeline.judging import judge
from curate.pipeline.recipe import filter_called
from filters.length.filter import Length
from tests.length_rows import of_lengths

ACTIONS = ("limit", "trim", "cap", "match", "report")


def test_length_is_a_filter() -> None:
    assert isinstance(Length(), Filter)


def test_an_answer_under_the_least_length_is_too_short(conversation: Any) -> None:
    found = judge(
        Length(min=3), conversation(("hi", "two words"), ("hi", "now three words"))
    ).verdicts
    assert found.row(0) == (False, "too_short", 2.0, None, "2 words; at least 3 are allowed")
    assert found.row(1) == (True, None, 3.0, None, None)


def test_an_answer_over_the_greatest_length_is_too_long(conversation: Any) -> None:
    found = judge(
        Length(max=2), conversation(("hi", "two words"), ("hi", "now three words"))
    ).verdicts
    assert found.row(0) == (True, None, 2.0, None, None)
    assert found.row(1) == (False, "too_long", 3.0, None, "3 words; at most 2 are allowed")


def test_without_settings_only_empty_answers_are_dropped(conversation: Any) -> None:
    found = judge(Length(), conversation(("hi", ""), ("hi", "x"))).verdicts
    assert found["reason"].to_list() == ["too_short", None]


def test_limits_can_be_in_characters_and_of_the_prompt(conversation: Any) -> None:
    records = conversation(("hello", "x"), ("hi", "x"))
    found = judge(Length(max=4, unit="chars", of="prompt"), records).verdicts
    assert found["evidence"].to_list() == ["5 chars; at most 4 are allowed", None]


def test_report_keeps_everything_and_measures(conversation: Any) -> None:
    found = judge(Length(action="report"), conversation(("hi", ""), ("hi", "x y"))).verdicts
    assert found["keep"].all()
    assert found["score"].to_list() == [0.0, 2.0]


@pytest.mark.parametrize("action", ACTIONS)
def test_every_action_takes_no_rows_and_one_row(action: Any) -> None:
    extra = {"max": 100, "tolerance": 1.0} if action == "match" else {}
    step = Length(action=action, **extra)
    assert step.judge(of_lengths()).verdicts.schema == VERDICTS
    assert step.judge(of_lengths(5)).verdicts["keep"].to_list() == [True]


@pytest.mark.parametrize("action", ACTIONS)
def test_every_action_leaves_what_it_kept(action: Any) -> None:
    extra = {"max": 900, "tolerance": 0.2} if action == "match" else {}
    extra |= {"max": 900} if action == "limit" else {}
    records = of_lengths(*[1, 5, 20, 60, 60, 60, 61, 62, 150, 400, 1000] * 20, 90_000)
    step = Length(action=action, **extra)
    kept = records.filter(step.judge(records).verdicts["keep"])
    assert kept.height < records.height or action == "report"
    assert step.judge(kept).verdicts["keep"].all()


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "unknown action": ({"action": "cut"}, "action is 'cut'; expected one of limit, trim, cap"),
    "min over max": ({"min": 5, "max": 4}, r"max is 4; expected no less than min \(5\)"),
    "negative min": ({"min": -1}, "length: min is -1; expected a number of at least 0"),
    "share of limit": (
        {"max_share": 0.3},
        "max_share is read only with action: cap, and action is limit; change action, or leave"
        " max_share out",
    ),
    "max of cap": ({"action": "cap", "max": 9}, "max is read only with action: limit or match"),
    "factor of cap": (
        {"action": "cap", "iqr_factor": 1.0},
        "iqr_factor is read only with action: trim",
    ),
    "share of zero": (
        {"action": "cap", "max_share": 0.0},
        r"max_share is 0\.0; expected a number of more than 0 and at most 1",
    ),
    "share over one": ({"action": "cap", "max_share": 20.0}, r"max_share is 20\.0; expected"),
    "factor of zero": ({"action": "trim", "iqr_factor": 0.0}, "expected a number of more than 0"),
    "negative keep": (
        {"action": "cap", "min_per_group": -1},
        "min_per_group is -1; expected a number of at least 0",
    ),
    "no target": ({"action": "match"}, r"needs one target: .* got 0 of them"),
    "two targets": ({"action": "match", "max": 9, "quantiles": (1, 2)}, "got 2 of them"),
    "min alone": ({"action": "match", "min": 3, "quantiles": (1, 2)}, "min is read only with max"),
    "one quantile": ({"action": "match", "quantiles": (5,)}, r"quantiles are \[5\]; expected two"),
    "falling": ({"action": "match", "quantiles": (5, 3)}, r"quantiles are \[5, 3\]; expected"),
    "far": ({"action": "match", "max": 9, "tolerance": 0.0}, r"tolerance is 0\.0; expected"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_settings_that_make_no_sense_are_refused_before_any_data_is_read(case: str) -> None:
    settings, message = WRONG[case]
    with pytest.raises(CurateError, match=message):
        Length(**settings)


def test_the_manifest_line_names_what_the_action_reads() -> None:
    assert repr(Length(action="cap", max_share=0.3)) == (
        "Length(action='cap', unit='words', of='response', max_share=0.3, min_per_group=5)"
    )
    assert repr(Length(action="match", max=90, seed=3)) == (
        "Length(action='match', unit='words', of='response', min=1, max=90, tolerance=0.05,"
        " min_per_group=5, seed=3)"
    )


def test_measures_depend_on_no_other_row(conversation: Any) -> None:
    records = conversation(*((f"Write {n} words", "word " * n) for n in range(30)))
    step = Length(action="report")
    parts = pl.concat([step.measure(records[:7]), step.measure(records[7:])])
    assert parts.equals(step.measure(records))


def test_only_tokens_are_worth_keeping_between_runs() -> None:
    assert not Length().cached


@pytest.mark.parametrize(("former", "present"), Length.renamed.items())
def test_a_former_setting_is_an_error_that_names_the_present_one(former: str, present: str) -> None:
    expected = f"the setting '{former}' is now '{present}'"
    with pytest.raises(CurateError, match=expected):
        filter_called("length", {former: 1})


def test_judging_once_gives_verdicts_and_findings_of_the_same_target() -> None:
    judgement = Length(action="match", max=900, tolerance=0.2).judge(
        of_lengths(*[5, 20, 60, 150, 400] * 20)
    )
    kept = judgement.verdicts["keep"].sum()
    assert judgement.findings.numbers["target"] is not None
    assert sum(group["kept"] for group in judgement.findings.numbers["groups"]) == kept
