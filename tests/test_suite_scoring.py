"""Strict and loose verdicts, shares of prompts and of instructions, and how two models differ."""

from __future__ import annotations

import math

import pytest

from trainer.after.suite.instructions.kinds import Instruction
from trainer.after.suite.instructions.prompts import InstructionPrompt
from trainer.after.suite.instructions.scoring import (
    differences,
    follows,
    follows_loosely,
    judge,
    summarize,
)
from trainer.after.suite.intervals import (
    mean,
    mean_difference,
    pooled_share,
    ratio,
    ratio_difference,
    share,
    share_difference,
)

JSON = Instruction("json_object", {}, "")
SMALL = Instruction("all_lowercase", {}, "")
PLAIN = Instruction("no_comma", {}, "")


@pytest.mark.parametrize(
    ("answer", "instruction"),
    [
        ('Sure, here it is:\n{"a": 1}', JSON),
        ('{"a": 1}\nAnything else?', JSON),
        ('Sure:\n**{"a": 1}**\nBye', JSON),
        ("Of course!\nall is small here", SMALL),
    ],
)
def test_an_opening_a_closing_and_asterisks_are_forgiven_loosely(
    answer: str, instruction: Instruction
) -> None:
    assert not follows(answer, instruction)
    assert follows_loosely(answer, instruction)


def test_what_is_strictly_followed_is_loosely_followed_too() -> None:
    """Also where taking lines away would break it."""
    two = Instruction("paragraph_count", {"number": 2}, "")
    assert follows("One\n\nTwo", two) and follows_loosely("One\n\nTwo", two)


def test_an_answer_of_one_line_does_not_follow_loosely_by_being_nothing() -> None:
    assert not follows_loosely("One, two", PLAIN)


def prompt(number: int, *instructions: Instruction) -> InstructionPrompt:
    return InstructionPrompt(number, "", instructions)


def test_a_prompt_counts_when_all_is_followed_and_an_instruction_by_itself() -> None:
    answers = ["small", "Small", "one, two", '{"a": 1}']
    prompts = [prompt(0, SMALL, PLAIN), prompt(1, SMALL, PLAIN), prompt(2, PLAIN), prompt(3, JSON)]
    verdicts = [judge(one, answer) for one, answer in zip(prompts, answers, strict=True)]
    found = summarize(verdicts)
    assert found.prompt_strict.value == 2 / 4
    assert found.instruction_strict.value == 4 / 6
    kinds = {kind: (each.asked, each.strict) for kind, each in found.kinds.items()}
    assert kinds == {"json_object": (1, 1.0), "all_lowercase": (2, 0.5), "no_comma": (3, 2 / 3)}


def test_differences_are_of_the_same_prompts() -> None:
    prompts = [prompt(at, SMALL, PLAIN) for at in range(20)]
    good = [judge(each, "small") for each in prompts]
    half = [judge(each, "Small") for each in prompts]
    apart = differences(good, half)
    assert (apart.prompt_strict.value, apart.instruction_strict.value) == (1.0, 0.5)
    same = differences(good, good)
    assert same.prompt_strict.value == same.instruction_strict.value == 0
    # Twenty prompts on which nothing differs do not show that nothing ever does.
    for one in (same.prompt_strict, same.instruction_strict):
        assert one.low == -(one.high or 0) and math.isclose(one.high or 0, 0.1611, abs_tol=1e-4)


def test_an_interval_is_of_rows_and_the_same_every_time() -> None:
    values = [float(at % 7) for at in range(200)]
    one, again, other = mean(values), mean(values), mean(values, seed=1)
    assert one == again != other
    assert one.value == sum(values) / 200
    # Student's interval of the same mean.
    spread = math.sqrt(sum((v - one.value) ** 2 for v in values) / 199) / math.sqrt(200)
    assert one.low is not None and math.isclose(one.value - one.low, 1.972 * spread, rel_tol=0.08)


def test_an_interval_holds_the_truth_about_as_often_as_it_says() -> None:
    """400 samples of 40 rows, by a generator of our own; 95 % with a little less at 40 rows."""
    import numpy as np

    draws = np.random.default_rng(3)
    inside = 0
    for _ in range(400):
        found = mean(draws.normal(2.0, 1.0, 40).tolist())
        assert found.low is not None and found.high is not None
        inside += found.low <= 2.0 <= found.high
    assert 0.90 <= inside / 400 <= 0.98


def test_a_ratio_weighs_rows_by_their_size() -> None:
    found = ratio([10.0, 1.0], [5.0, 1.0])
    assert found.value == 11 / 6 and (found.low, found.high) == (1.0, 2.0)


def test_one_row_has_no_interval() -> None:
    assert (mean([3.0]).low, share([True]).low) == (None, None)


def test_none_of_many_is_not_known_to_be_none() -> None:
    """Drawing rows anew would give 0 to 0; Wilson's interval of 0 in 100 is 0 to 3.7 %."""
    found = share([False] * 100)
    assert found.low == 0 and math.isclose(found.high or 0, 0.037, abs_tol=5e-4)
    every = pooled_share([2, 1], [2, 1])
    assert every.value == 1.0 and every.low is not None and every.low < 0.7


def test_pairs_that_all_differ_alike_have_a_narrow_difference() -> None:
    one, other = [1.0, 5.0, 9.0], [0.5, 4.5, 8.5]
    found = mean_difference(one, other)
    assert (found.low, found.high) == (0.5, 0.5)
    ones = [1.0] * 3
    assert ratio_difference((one, ones), (other, ones)).low == 0.5
    assert share_difference([True, True], [False, True]).value == 0.5
