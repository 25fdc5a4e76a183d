"""Sets of very short answers: what is said of them is true, and no broad set is suspected."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.pipeline.judging import judge
from filters.common.stats import short_concentration
from filters.length.filter import Length
from filters.length.report import diagnose
from tests.length_rows import of_lengths

VARIED = [1, 3, 8, 20, 45, 90, 200, 400, 800, 1600] * 20
LONG = [20, 45, 90, 200, 400, 800, 1600, 35, 70, 150]
BRIEFLY = ": a model trained on this answers so briefly whatever the task."
BIASED = ": a model trained on this is biased towards such short answers."


def yes_and_no(conversation: Any, answers: list[str], rows: int = 500) -> Any:
    """Nine in ten rows have one of these answers, the tenth a longer one."""
    long = "It depends on the item, and a longer look at the list would be needed to say more."
    pairs = [
        (f"Is item {row} of the list red?", long if row % 10 == 0 else answers[row % len(answers)])
        for row in range(rows)
    ]
    return conversation(*pairs)


@pytest.mark.parametrize(
    ("answers", "lengths"),
    [
        (["Yes.", "No."], "1 word"),
        (["Yes", "No"], "1 word"),  # without a mark, which is no cut-off
        (["Not given", "Is true", "Is false"], "2 words"),
        (["Yes.", "Yes, it is.", "No."], "1 to 3 words"),
        (["positive", "negative", "neutral"], "1 word"),
        (["是", "否"], "1 word"),
    ],
)
def test_a_set_of_yes_and_no_is_flagged_with_the_truth(
    conversation: Any, answers: list[str], lengths: str
) -> None:
    findings = judge(Length(action="report"), yes_and_no(conversation, answers)).findings
    assert findings.sentences == (f"90 % of the responses have {lengths}{BRIEFLY}",)
    assert findings.numbers["before"]["verdict"] == "flag"
    assert findings.numbers["before"]["reasons"] == ["concentrated"]


@pytest.mark.parametrize(
    ("lengths", "verdict", "sentence"),
    [
        ([1] * 200, "flag", f"100 % of the responses have 1 word{BRIEFLY}"),
        (
            [*[2] * 45, *[3] * 45, *LONG],
            "flag",
            f"90 % of the responses have 2 to 3 words{BRIEFLY}",
        ),
        ([0] * 60 + LONG * 4, "flag", f"60 % of the responses have 0 words{BRIEFLY}"),
        ([*[5] * 25, *LONG * 8], "warn", f"24 % of the responses have 5 words{BIASED}"),
        ([*range(1, 9)] * 30, "flag", f"38 % of the responses have 1 to 3 words{BRIEFLY}"),
        # Both ends of a set of two lengths are named.
        ([1] * 50 + [200] * 50, "flag", f"50 % of the responses have 1 word{BRIEFLY}"),
    ],
)
def test_about_one_length_below_nine_is_concentration_too(
    lengths: list[int], verdict: str, sentence: str
) -> None:
    found = diagnose(lengths)
    assert found.verdict == verdict
    assert sentence in found.sentences
    assert not any("varied:" in each for each in found.sentences)


@pytest.mark.parametrize(
    "lengths",
    [
        VARIED,
        [*[1] * 10, *LONG * 9],  # a tenth of labels
        [*[1] * 19, *LONG * 8],
        [*range(1, 60)] * 5,
    ],
)
def test_some_short_answers_are_no_concentration(lengths: list[int]) -> None:
    found = diagnose(lengths)
    assert (found.verdict, found.reasons) == ("pass", ())
    assert found.sentences[0].startswith("Lengths are varied")


def test_what_is_said_of_a_varied_set_counts_short_answers_too() -> None:
    found = diagnose([*[1] * 19, *LONG * 9, *range(1, 9)])
    same = round(100 * 20 / 117)
    assert found.concentration < 0.1
    assert found.sentences[0].endswith(
        f"at most {same} % of the responses lie within 10 % of one length."
    )


def test_short_answers_that_were_asked_for_only_warn() -> None:
    lengths = [*[1] * 90, *LONG]
    asks = [*["brief"] * 60, *["count"] * 10, *[""] * 30]
    numbers = Length(action="report").judge(of_lengths(*lengths, asks=asks)).findings.numbers
    assert numbers["before"]["verdict"] == "warn"
    assert numbers["before"]["sentences"] == [
        "90 % of the responses have 1 word; 78 % of their requests ask for a length."
    ]
    unasked = Length(action="report").judge(of_lengths(*lengths)).findings.numbers
    assert unasked["before"]["verdict"] == "flag"


def test_labels_beside_other_tasks_only_warn_since_the_task_explains_them() -> None:
    found = diagnose([*[1] * 100, *LONG * 15], ["classify"] * 100 + ["write"] * 150)
    assert (found.verdict, found.reasons) == ("warn", ("concentrated",))
    assert found.sentences[0].startswith(
        "40 % of the responses have 1 word; the task group explains 8"
    )
    mixed_up = diagnose([*[1] * 100, *LONG * 15], ["classify", "write"] * 125)
    assert mixed_up.verdict == "flag"


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 15), min_size=1, max_size=40))
def test_the_densest_short_lengths_are_found_by_trying_all(lengths: list[int]) -> None:
    found = short_concentration(np.array(lengths))
    counts = [lengths.count(value) for value in range(9)]
    densest = max(sum(counts[max(0, at - 1) : at + 2]) for at in range(1, 8))
    rows = [value for value in lengths if found.low <= value <= found.high < 9]
    assert found.share == pytest.approx((len(rows) if any(counts) else 0) / len(lengths))
    assert 0.9 * densest <= found.share * len(lengths) + 1e-9 <= densest + 1e-6
    assert found.same == max(counts) / len(lengths)
    assert found.high - found.low <= 2


def test_a_cap_says_that_it_leaves_short_answers_alone(conversation: Any) -> None:
    records = yes_and_no(conversation, ["Yes.", "No."])
    for max_share, percent in ((None, 20), (0.3, 30)):
        judged = judge(Length(action="cap", max_share=max_share), records)
        assert judged.verdicts["keep"].all()
        assert judged.findings.sentences[-1] == (
            f"90 % of the responses have 1 word, more than the {percent} % of max_share, and stay:"
            " cap thins only lengths from 9 words up"
        )
    content = judge(Length(action="cap", max_share=0.95), records).findings
    assert not any("thins only" in each for each in content.sentences)


def test_a_cap_that_thins_long_answers_says_what_it_leaves() -> None:
    findings = Length(action="cap").judge(of_lengths(*[1] * 60, *[100] * 60, *LONG * 6)).findings
    assert findings.numbers["after"]["rows"] < 180
    share = findings.numbers["after"]["short_concentration"]
    assert share == 60 / findings.numbers["after"]["rows"]
    assert findings.sentences[-1].startswith(f"{100 * share:.0f} % of the responses have 1 word, ")


def test_a_cap_of_a_varied_set_says_nothing_of_short_answers() -> None:
    findings = Length(action="cap").judge(of_lengths(*VARIED, *[120] * 100)).findings
    assert not any("thins only" in each for each in findings.sentences)


LABELS = ["positive"] * 150 + ["quite negative"] * 150


@pytest.mark.parametrize("unit", ["words", "chars"])
def test_answers_without_a_mark_at_any_length_are_not_cut_off(conversation: Any, unit: Any) -> None:
    rising = [" ".join(["word"] * (1 + row % 40)) for row in range(200)]
    for answers in (LABELS, rising):
        records = conversation(*[(f"Question {row}?", text) for row, text in enumerate(answers)])
        findings = judge(Length(action="report", unit=unit), records).findings
        assert "wall" not in findings.numbers["before"]["reasons"]


def test_a_wall_is_seen_among_answers_that_lack_marks() -> None:
    rng = np.random.default_rng(0)
    lengths = [*rng.integers(5, 500, 300).tolist(), *[512] * 40]
    found = diagnose(lengths, finished=[False] * 340)
    assert "wall" in found.reasons and found.wall_at == 512
    marked = diagnose(lengths, finished=[*[True] * 300, *[False] * 40])
    assert "wall" in marked.reasons


def test_lengths_of_prompts_are_called_so_and_teach_no_answer(conversation: Any) -> None:
    rows = [("Go on", "A long answer of eight words stands here.") for _ in range(60)]
    for action in ("report", "cap"):
        findings = judge(Length(action=action, of="prompt"), conversation(*rows)).findings  # type: ignore[arg-type]
        assert findings.sentences[0] == "100 % of the prompts have 2 words."
        assert not any("responses" in each or "model" in each for each in findings.sentences)
    long = [(" ".join(["word"] * 100), f"No {row}") for row in range(60)]
    sentences = judge(Length(action="report", of="prompt"), conversation(*long)).findings.sentences
    assert sentences[0] == "100 % of the prompts have 82 to 100 words."
    turns = judge(Length(action="report", of="turn"), conversation(*rows)).findings.sentences
    assert turns[0].startswith("100 % of the average turns have 8 words: a model trained on this")
