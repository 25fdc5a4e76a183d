from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from filters.length.diagnosis import REASONS, Diagnosis
from filters.length.filter import Length
from filters.length.report import diagnose, diagnose_measures, shift

Rows = list[tuple[str, str]]


def dump(folder: Path, name: str) -> Rows:
    """(instruction, response) of a raw file; prompts of ShareGPT rows are unwrapped."""
    rows = json.loads((folder / "raw" / name).read_text("utf-8"))
    if "conversations" not in rows[0]:
        return [(row["instruction"], row["output"]) for row in rows]
    turns = [[turn["value"] for turn in row["conversations"]] for row in rows]
    return [(asked.split("### Instruction:")[1], answer) for asked, answer in turns]


def words(rows: Rows) -> np.ndarray[Any, Any]:
    return np.array([len(answer.split()) for _, answer in rows])


def first_word(prompt: str) -> str:
    return (prompt.lower().split() or [""])[0]


@pytest.fixture(scope="module")
def alpaca(test_data: Path) -> Rows:
    return dump(test_data, "alpaca_random_9k.json")


@pytest.fixture(scope="module")
def longest(test_data: Path) -> Rows:
    return dump(test_data, "alpaca_1k_longest.json")


@pytest.fixture(scope="module")
def lima(test_data: Path) -> Rows:
    return dump(test_data, "lima_1k.json")


def as_published(rows: Rows, alpaca: Rows) -> Diagnosis:
    """Groups of the published values: Alpaca's 60 commonest first words, all else pooled."""
    common = [word for word, _ in Counter(first_word(p) for p, _ in alpaca).most_common(60)]
    groups = [first_word(p) if first_word(p) in common else "(else)" for p, _ in rows]
    return diagnose(words(rows), groups, min_group=1)


def test_alpaca_has_its_published_values(alpaca: Rows) -> None:
    found = as_published(alpaca, alpaca)
    assert round(found.concentration, 3) == 0.092
    assert round(found.spread, 2) == 1.20
    assert found.eta2 is not None and round(found.eta2, 3) == 0.314
    assert found.eta2_null is not None and round(found.eta2_null, 3) == 0.007
    assert found.eta2_adjusted is not None and round(found.eta2_adjusted, 2) == 0.31


def test_lima_has_its_published_values(lima: Rows, alpaca: Rows) -> None:
    found = as_published(lima, alpaca)
    assert round(found.concentration, 3) == 0.141
    assert round(found.spread, 2) == 1.11
    assert found.eta2 is not None and round(found.eta2, 3) == 0.407
    assert found.eta2_null is not None and round(found.eta2_null, 3) == 0.024
    assert found.eta2_adjusted is not None and round(found.eta2_adjusted, 2) == 0.39


def test_the_longest_thousand_have_their_published_values(longest: Rows, alpaca: Rows) -> None:
    found = as_published(longest, alpaca)
    assert round(found.concentration, 3) == 0.439
    assert round(found.spread, 2) == 0.27
    assert found.quantiles["0.5"] == 205
    assert found.eta2 is not None and round(found.eta2, 3) == 0.048
    assert found.eta2_null is not None and round(found.eta2_null, 3) == 0.043
    assert found.eta2_adjusted is not None and round(found.eta2_adjusted, 2) == 0.01
    assert found.reasons == ("concentrated", "narrow", "task_blind")


def as_measured(conversation: Any, rows: Rows) -> Diagnosis:
    return diagnose_measures(Length(action="report").measure(conversation(*rows)))


def test_the_longest_thousand_are_flagged_in_plain_words(longest: Rows, conversation: Any) -> None:
    found = as_measured(conversation, longest)
    assert found.verdict == "flag"
    assert found.reasons == ("concentrated", "narrow")
    assert found.sentences[0] == (
        "44 % of the responses have 171 to 209 words: a model trained on this stops there"
        " whatever the task."
    )


def test_lima_and_alpaca_pass(lima: Rows, alpaca: Rows, conversation: Any) -> None:
    for rows in (lima, alpaca):
        found = as_measured(conversation, rows)
        assert (found.verdict, found.reasons) == ("pass", ())
        assert found.sentences[0].startswith("Lengths are varied: the median is ")


def test_narrow_mathematics_passes(test_data: Path, conversation: Any) -> None:
    rows = dump(test_data, "gsm8k_train_alpaca.json")[:3000]
    assert as_measured(conversation, rows).verdict == "pass"


def test_concentration_answers_to_the_dose(alpaca: Rows) -> None:
    rng = np.random.default_rng(0)
    found = []
    for share in (0.1, 0.2, 0.3, 0.5, 0.8, 1.0):
        lengths = words(alpaca)
        dosed = rng.permutation(len(lengths))[: round(share * len(lengths))]
        lengths[dosed] = np.rint(rng.normal(200, 10, len(dosed)))
        found.append(diagnose(lengths).concentration)
    assert found == pytest.approx([0.107, 0.203, 0.294, 0.484, 0.769, 0.962], abs=0.008)


def test_the_longest_thousand_lie_far_from_their_pool(alpaca: Rows, longest: Rows) -> None:
    found = shift(words(alpaca), words(longest))
    assert found is not None
    assert round(found.ks, 3) == 0.937
    assert round(found.mean_ratio or 0, 1) == 4.9
    assert (found.median_before, found.median_after) == (31, 205)


def test_the_same_model_told_to_be_long_is_seen_to_be(test_data: Path) -> None:
    concise, verbose = (
        words(dump(test_data, f"model_outputs_alpaca_7b_{style}.json"))
        for style in ("concise", "verbose")
    )
    found = shift(concise, verbose)
    assert found is not None
    assert found.ks > 0.2 and found.w1 > 0.3
    assert found.median_after > found.median_before


def test_a_set_is_no_distance_from_itself() -> None:
    found = shift([1, 50, 700], [700, 1, 50])
    assert found is not None
    assert (found.ks, found.w1, found.mean_ratio) == (0.0, 0.0, 1.0)


def test_nothing_selected_has_no_shift() -> None:
    assert shift([1, 2], []) is None
    assert shift([], [1]) is None


VARIED = [1, 3, 8, 20, 45, 90, 200, 400, 800, 1600] * 20


def test_varied_lengths_pass() -> None:
    assert diagnose(VARIED).verdict == "pass"


def test_a_fifth_at_one_length_warns_and_a_third_flags() -> None:
    warned = diagnose(VARIED + [120] * 60)
    assert (warned.verdict, warned.reasons) == ("warn", ("concentrated",))
    assert "is biased towards that length" in warned.sentences[0]
    assert diagnose(VARIED + [120] * 120).verdict == "flag"


def test_narrow_lengths_alone_only_warn() -> None:
    narrow = diagnose([round(60 * 1.013**step) for step in range(100)])
    assert (narrow.verdict, narrow.reasons) == ("warn", ("narrow",))


def test_lengths_that_ignore_the_task_are_said_to() -> None:
    tasks = [word for word in ("write", "name", "sort", "list") for _ in range(50)]
    blind = diagnose(VARIED, tasks)
    assert (blind.verdict, blind.reasons) == ("warn", ("task_blind",))
    assert "no more than chance does" in blind.sentences[0]
    assert diagnose(sorted(VARIED), tasks).reasons == ()


def test_few_rows_cannot_show_that_lengths_ignore_the_task() -> None:
    assert diagnose(VARIED[:100], ["write", "name"] * 50).reasons == ()


def test_one_kind_of_request_has_no_task_dependence() -> None:
    found = diagnose(VARIED, ["write"] * 200)
    assert (found.eta2, found.eta2_null, found.eta2_adjusted) == (None, None, None)


def test_unfinished_answers_at_the_greatest_length_are_a_wall() -> None:
    lengths = VARIED + [2048] * 10
    cut = [True] * 200 + [False] * 10
    found = diagnose(lengths, finished=cut)
    assert (found.verdict, found.reasons, found.wall_at) == ("flag", ("wall",), 2048)
    assert found.sentences == (
        "4.8 % of the responses stop in mid-sentence at 2,048 words: they were cut off at a limit.",
    )
    assert diagnose(lengths, finished=[True] * 210).reasons == ()
    assert diagnose(lengths).wall is None


def test_a_wall_below_the_maximum_is_found_at_a_context_limit_in_tokens() -> None:
    lengths, cut = [*VARIED, 5000] + [512] * 10, [True] * 201 + [False] * 10
    assert diagnose(lengths, finished=cut, unit="tokens").wall_at == 512
    assert diagnose(lengths, finished=cut, unit="words").reasons == ()


def test_scores_that_follow_length_are_measured_overall_and_within_groups() -> None:
    tasks = ["short"] * 100 + ["long"] * 100
    lengths = np.array(sorted(VARIED))
    found = diagnose(lengths, tasks, scores=lengths * 1.0)
    assert found.score_correlation == pytest.approx(1.0)
    assert found.score_correlation_within == pytest.approx(1.0)
    by_task = np.where(np.arange(200) < 100, 1.0, 2.0)
    found = diagnose(lengths, tasks, scores=by_task)
    assert found.score_correlation is not None and found.score_correlation > 0.8
    assert found.score_correlation_within is None
    scores = lengths * 1.0
    scores[:150] = np.nan
    assert diagnose(lengths, scores=scores).score_correlation == pytest.approx(1.0)


def test_groups_are_listed_by_size_and_small_ones_together() -> None:
    found = diagnose(VARIED, ["write"] * 150 + ["name"] * 40 + ["sort"] * 10)
    assert [(group.group, group.rows) for group in found.groups] == [
        ("write", 150), ("name", 40), ("(rest)", 10),
    ]  # fmt: skip


def test_the_order_of_the_rows_changes_nothing() -> None:
    rng = np.random.default_rng(0)
    lengths, tasks = rng.integers(0, 500, 300), rng.integers(0, 4, 300).astype(str)
    scores, finished = rng.normal(size=300), rng.random(300) < 0.9
    order = rng.permutation(300)
    one = diagnose(lengths, tasks, scores=scores, finished=finished)
    other = diagnose(lengths[order], tasks[order], scores=scores[order], finished=finished[order])
    assert one == other


def test_a_diagnosis_is_json_as_it_is() -> None:
    found = diagnose(VARIED, ["write"] * 200, scores=VARIED, finished=[True] * 200)
    assert json.loads(json.dumps(found.to_dict())) == found.to_dict()
    moved = shift(VARIED, VARIED[:50])
    assert moved is not None
    assert json.loads(json.dumps(moved.to_dict())) == moved.to_dict()


def test_no_rows_and_few_rows_are_no_reason_to_warn() -> None:
    assert diagnose([]).sentences == ("There are no responses to measure.",)
    assert diagnose([200] * 19).verdict == "pass"
    assert "too few" in diagnose([200] * 19).sentences[0]
    assert diagnose([200] * 20).verdict == "flag"


def test_every_reason_is_explained() -> None:
    assert set(REASONS) == {"concentrated", "narrow", "task_blind", "wall"}
    assert REASONS["concentrated"] == (
        "more than 20% of the rows lie within 10 % of one length, or within 1 of one below nine"
    )
