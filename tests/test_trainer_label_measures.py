"""Accuracy, macro-F1 and confusion over a fixed list of classes.

The numbers are those of scikit-learn 1.9, `f1_score(..., labels=present, zero_division=0)`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from trainer.evaluation.classes import INVALID, Report, differences, report

Ints = np.typing.NDArray[np.int64]


def numbers(*values: int) -> Ints:
    return np.array(values, dtype=np.int64)


def measured(classes: str, truth: str, predicted: str, **more: Any) -> Report:
    """Classes of one letter; any other answer is invalid."""
    given = [classes.index(one) if one in classes else INVALID for one in predicted]
    return report(classes, numbers(*map(classes.index, truth)), numbers(*given), **more)


def test_an_invalid_answer_is_wrong_and_no_class() -> None:
    found = measured("ab", "aabb", "a?bb")
    assert (found.accuracy.value, found.invalid) == (0.75, 1)
    assert found.macro_f1.value == pytest.approx(0.8333, abs=1e-4)  # with a class of its own: .556
    assert found.confusion == ((1, 0, 1), (0, 2, 0))


def test_a_class_that_no_row_has_is_listed_and_in_no_mean() -> None:
    found = measured("abc", "ab", "ab")
    assert found.macro_f1.value == 1.0  # counted as 0 it would be .667
    assert found.absent == ("c",)
    assert [(one.name, one.support, one.f1) for one in found.classes] == [
        ("a", 1, 1.0),
        ("b", 1, 1.0),
        ("c", 0, None),
    ]


def test_an_answer_that_no_row_has_costs_the_class_it_was_taken_from() -> None:
    found = measured("abc", "aabb", "acbb")
    assert found.macro_f1.value == pytest.approx((2 / 3 + 1) / 2)
    third = found.classes[2]
    assert (third.predicted, third.precision, third.recall, third.f1) == (1, 0.0, None, None)


def test_a_class_that_no_answer_is_has_no_precision_and_counts_0() -> None:
    found = measured("ab", "a" * 90 + "b" * 10, "a" * 100)
    assert found.accuracy.value == 0.9
    assert found.macro_f1.value == pytest.approx(0.47368, abs=1e-5)
    assert (found.classes[1].precision, found.classes[1].recall, found.classes[1].f1) == (
        None,
        0.0,
        0.0,
    )


def test_macro_f1_is_the_mean_of_f1s_and_not_the_f1_of_means() -> None:
    found = measured("abc", "aaaabbbbcc", "aaabbbccca")
    each = [one.f1 for one in found.classes]
    assert each == pytest.approx([0.75, 4 / 7, 0.4])
    assert found.macro_f1.value == pytest.approx(0.57381, abs=1e-5)
    precision = np.mean([one.precision or 0 for one in found.classes])
    recall = np.mean([one.recall or 0 for one in found.classes])
    of_means = 2 * precision * recall / (precision + recall)
    assert abs(of_means - found.macro_f1.value) > 1e-3


def test_every_row_is_in_the_confusion_once() -> None:
    found = measured("abc", "abcabcaab", "ab?bc?a?c")
    assert sum(map(sum, found.confusion)) == found.rows == 9
    assert [sum(row) for row in found.confusion] == [one.support for one in found.classes]
    assert sum(row[-1] for row in found.confusion) == found.invalid == 3


def test_intervals_are_the_seeds_and_hold_the_value() -> None:
    answers = "ab" * 20 + "ba" * 5
    one, again, other = (measured("ab", "ab" * 25, answers, seed=seed) for seed in (0, 0, 1))
    assert one == again != other
    assert one.accuracy.low is not None and one.accuracy.high is not None
    assert one.accuracy.low < one.accuracy.value == 0.8 < one.accuracy.high
    # Of a share the half width is known: 1.96 * sqrt(.8 * .2 / 50) = .111.
    assert (one.accuracy.high - one.accuracy.low) / 2 == pytest.approx(0.111, abs=0.015)


def test_one_row_has_no_interval() -> None:
    found = measured("ab", "a", "a")
    assert (found.accuracy.value, found.accuracy.low, found.macro_f1.high) == (1.0, None, None)


def test_a_class_that_a_resample_misses_is_in_no_mean_of_it() -> None:
    """All answers are right, so every resample is, though the rare class is often not drawn."""
    found = measured("ab", "a" * 30 + "b", "a" * 30 + "b")
    assert (found.macro_f1.low, found.macro_f1.high) == (1.0, 1.0)


def test_models_that_fail_on_the_same_rows_differ_by_less_than_their_intervals() -> None:
    truth = numbers(*[0, 1] * 50)
    first = np.where(np.arange(100) < 40, 1 - truth, truth)
    second = first.copy()
    second[40:45] = 1 - truth[40:45]
    [apart] = differences(2, truth, [first, second])
    alone = report("ab", truth, first).accuracy
    assert apart.accuracy.value == pytest.approx(0.05)
    assert apart.accuracy.low is not None and apart.accuracy.low > 0 and apart.accuracy.is_different
    assert alone.low is not None and alone.high is not None
    assert apart.accuracy.high is not None
    assert apart.accuracy.high - apart.accuracy.low < (alone.high - alone.low) / 2


def test_a_model_beside_itself_is_not_different() -> None:
    truth = numbers(0, 1, 1, 0)
    [apart] = differences(2, truth, [truth, truth])
    assert (apart.accuracy.value, apart.accuracy.low, apart.accuracy.high) == (0.0, 0.0, 0.0)
    assert not apart.macro_f1.is_different
