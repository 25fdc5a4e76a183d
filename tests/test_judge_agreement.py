"""How a judge agrees with people: known examples, brute force, and rows that say nothing."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from filters.common.stats import spearman
from filters.llm_judge.agreement import (
    Agreement,
    Cells,
    agreement,
    chance,
    kappa,
    kappa_deviation,
    rows_for_share,
    weighted_kappa,
    wilson,
)

NAN = math.nan


def rows_of(cells: Cells) -> tuple[Any, Any]:
    """Scores and labels, 1 or 0, that fall into these cells."""
    pairs = [(1, 1)] * cells[0] + [(1, 0)] * cells[1] + [(0, 1)] * cells[2] + [(0, 0)] * cells[3]
    columns = np.array(pairs, dtype=np.float64)
    return columns[:, 0], columns[:, 1]


def of_cells(*cells: int) -> Agreement:
    return agreement(*rows_of(Cells(*cells)), 1, 1)


def test_kappa_of_known_examples() -> None:
    # Wikipedia, "Cohen's kappa": 20, 5, 10, 15 gives 0.4; two with the same agreement of 0.6.
    assert kappa(Cells(20, 5, 10, 15)) == pytest.approx(0.4)
    assert kappa(Cells(45, 15, 25, 15)) == pytest.approx(0.1304, abs=1e-4)
    assert kappa(Cells(25, 35, 5, 35)) == pytest.approx(0.2593, abs=1e-4)
    assert chance(Cells(20, 5, 10, 15)) == pytest.approx(0.5)


def test_weighted_kappa_is_the_definition_by_a_table_of_grades() -> None:
    draw = np.random.default_rng(3)
    for _ in range(20):
        one, other = draw.integers(1, 6, 40), draw.integers(1, 6, 40)
        observed = expected = 0.0
        for a, b in itertools.product(range(1, 6), repeat=2):
            weight = (a - b) ** 2 / 16
            observed += weight * ((one == a) & (other == b)).mean()
            expected += weight * (one == a).mean() * (other == b).mean()
        value = weighted_kappa(one.astype(float), other.astype(float))
        assert value == pytest.approx(1 - observed / expected)


def test_wilson_interval_of_known_shares() -> None:
    found = wilson(80, 100)
    assert found is not None
    assert (round(found.low, 4), round(found.high, 4)) == (0.7112, 0.8666)
    none = wilson(0, 10)
    assert none is not None
    assert (none.low, round(none.high, 4)) == (0.0, 0.2775)
    assert wilson(0, 0) is None


def test_kappas_deviation_is_what_many_draws_show() -> None:
    cells = Cells(40, 12, 18, 30)
    draw = np.random.default_rng(0)
    drawn = draw.multinomial(4_000, np.array(cells) / 100, 4_000)
    values = np.array([kappa(Cells(*each)) for each in drawn.tolist()])
    assert kappa_deviation(cells) == pytest.approx(values.std() * math.sqrt(4_000), rel=0.05)


def half_of_wilson(share: float, rows: int) -> float:
    z = 1.959963985
    spread = share * (1 - share) / rows + z * z / (4 * rows * rows)
    return z * math.sqrt(spread) / (1 + z * z / rows)


def test_rows_for_a_share_are_the_fewest_whose_interval_is_narrow_enough() -> None:
    for share, width in ((0.8, 0.05), (0.5, 0.1), (0.95, 0.05)):
        rows = rows_for_share(share, width)
        assert half_of_wilson(share, rows) <= width < half_of_wilson(share, rows - 1)


@given(st.lists(st.integers(0, 30), min_size=4, max_size=4).filter(lambda c: sum(c) >= 10))
def test_counts_and_shares_are_those_of_a_loop_over_the_rows(counts: list[int]) -> None:
    cells = Cells(*counts)
    scores, labels = rows_of(cells)
    order = np.random.default_rng(0).permutation(len(scores))
    found = agreement(scores[order], labels[order], 1, 1)
    assert found.cells == cells
    pairs = list(zip(scores.tolist(), labels.tolist(), strict=True))
    assert found.agreement is not None
    assert found.agreement.value == pytest.approx(sum(a == b for a, b in pairs) / len(pairs))
    kept = [b for a, b in pairs if a]
    assert (found.precision is None) == (not kept)
    if found.precision is not None:
        assert found.precision.value == pytest.approx(sum(kept) / len(kept))
    good = [a for a, b in pairs if b]
    if found.recall is not None:
        assert found.recall.value == pytest.approx(sum(good) / len(good))
    judge, label = scores.mean(), labels.mean()
    assert found.by_chance == pytest.approx(judge * label + (1 - judge) * (1 - label))
    assert (found.kappa is None) == (judge in (0, 1) or label in (0, 1))


def test_thresholds_include_their_edge() -> None:
    scores, labels = np.arange(10.0), np.arange(10.0) / 2
    assert agreement(scores, labels, 4, 2).cells == Cells(6, 0, 0, 4)
    assert agreement(scores, labels, 4.01, 2).cells == Cells(5, 0, 1, 4)


def test_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    truth = Cells(45, 10, 15, 30)
    shares, value = np.array(truth) / 100, kappa(truth)
    draw = np.random.default_rng(1)
    inside = 0
    for seed in range(100):
        cells = Cells(*draw.multinomial(150, shares).tolist())
        found = agreement(*rows_of(cells), 1, 1, seed=seed).kappa
        assert found is not None
        inside += found.low <= value <= found.high
    assert 88 <= inside <= 100


def test_a_judge_that_knows_nothing_is_not_shown_to_be_better_than_chance() -> None:
    draw = np.random.default_rng(5)
    found = agreement(draw.random(200), draw.random(200), 0.5, 0.5)
    assert found.kappa is not None and found.rank_correlation is not None
    assert found.kappa.low < 0 < found.kappa.high
    assert found.rank_correlation.low < 0 < found.rank_correlation.high


def test_rank_correlation_in_draws_is_that_of_the_rows_drawn() -> None:
    draw = np.random.default_rng(4)
    labels = draw.integers(1, 4, 30).astype(float)
    scores = labels + draw.integers(0, 3, 30)
    found = agreement(scores, labels, 3, 3, scale=(1, 6), seed=8)
    again = np.random.default_rng(8)
    drawn = [again.integers(0, 30, 30) for _ in range(1_000)]
    ranked = [spearman(scores[at], labels[at]) for at in drawn]
    graded = [weighted_kappa(scores[at], labels[at]) for at in drawn]
    assert found.rank_correlation is not None and found.weighted_kappa is not None
    assert found.rank_correlation.value == pytest.approx(spearman(scores, labels))
    assert found.rank_correlation[1:] == pytest.approx(np.quantile(ranked, [0.025, 0.975]))
    assert found.weighted_kappa.value == pytest.approx(weighted_kappa(scores, labels))
    assert found.weighted_kappa[1:] == pytest.approx(np.quantile(graded, [0.025, 0.975]))


def test_the_same_seed_gives_the_same_numbers_and_another_one_other_intervals() -> None:
    draw = np.random.default_rng(2)
    labels = draw.integers(1, 6, 60).astype(float)
    scores = labels + draw.normal(0, 1, 60)
    words = draw.integers(5, 200, 60)
    one, same, other = (
        agreement(scores, labels, 4, 4, scale=(1, 5), words=words, seed=seed) for seed in (0, 0, 1)
    )
    assert one == same != other
    assert one.cells == other.cells


def test_graded_labels_are_compared_on_their_own_steps() -> None:
    labels = np.array([1.0, 1.5, 2.0, 3.0, 4.5, 5.0] * 4)
    near = labels + 0.2  # rounds back
    found = agreement(near, labels, 4.5, 4.5, scale=(1, 5))
    assert found.weighted_kappa is not None
    assert found.weighted_kappa.value == 1.0
    halves = agreement(labels + 0.25, labels, 4.5, 4.5, scale=(1, 6))  # half a step goes up
    assert halves.weighted_kappa is not None
    assert halves.weighted_kappa.value == pytest.approx(weighted_kappa(labels + 0.5, labels))


def test_labels_of_another_scale_have_no_weighted_kappa_and_it_is_said() -> None:
    draw = np.random.default_rng(0)
    scores = draw.random(30) * 4 + 1
    beyond = agreement(scores, np.arange(30.0), 3, 15, scale=(1, 5))
    assert beyond.weighted_kappa is None
    assert any("not one scale" in line for line in beyond.sentences())
    uneven = agreement(scores, np.array([1, 2, 3.5] * 10), 3, 3, scale=(1, 5))
    assert uneven.weighted_kappa is None
    assert any("no even steps" in line for line in uneven.sentences())
    binary = agreement(scores, np.array([0.0, 1.0] * 15), 3, 1, scale=(1, 5))
    assert binary.weighted_kappa is None
    assert not any("weighted kappa" in line for line in binary.sentences())


def test_rank_correlation_stands_beside_that_of_length() -> None:
    draw = np.random.default_rng(0)
    labels = draw.integers(1, 6, 300).astype(float)
    scores, words = labels + draw.normal(0, 1, 300), (labels * 10 + draw.integers(0, 200, 300))
    found = agreement(scores, labels, 4, 4, words=words.astype(np.int64))
    assert found.rank_correlation is not None and found.length is not None
    assert found.rank_correlation.value > 0.7 > found.length.value > 0
    assert 10 <= dict(found.suffice)["rank correlation above length's"] < 300
    turned = agreement(words.astype(float), labels, 4, 4, words=(scores * 1000).astype(np.int64))
    assert "rank correlation above length's" not in dict(turned.suffice)
    assert any("Length goes with the labels as well" in line for line in turned.sentences())


def test_rows_that_suffice_make_the_interval_as_narrow_as_promised() -> None:
    cells = Cells(40, 10, 14, 36)
    needed = dict(of_cells(*cells).suffice)
    assert needed["kappa +-0.05"] == pytest.approx(4 * needed["kappa +-0.1"], abs=4)
    times = needed["kappa +-0.05"] / cells.rows
    more = of_cells(*(round(count * times) for count in cells)).kappa
    assert more is not None
    assert (more.high - more.low) / 2 == pytest.approx(0.05, abs=0.006)
    assert needed["kappa above chance"] < cells.rows
    weak = dict(of_cells(28, 22, 22, 28).suffice)
    assert weak["kappa above chance"] > 100


def test_a_judge_worse_than_chance_needs_no_number_of_rows() -> None:
    found = of_cells(10, 40, 40, 10)
    assert "kappa above chance" not in dict(found.suffice)
    assert any("no better than by chance" in line for line in found.sentences())


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        ((20, 0, 0, 0), "all labels are on one side"),
        ((10, 10, 0, 0), "all scores are on one side"),
        ((0, 0, 10, 10), "all scores are on one side"),
        ((10, 0, 10, 0), "all labels are on one side"),
    ],
)
def test_one_side_alone_has_no_kappa_and_says_so(cells: tuple[int, ...], words: str) -> None:
    found = of_cells(*cells)
    assert found.kappa is None
    assert any(words in line for line in found.sentences())


def test_equal_labels_or_scores_have_no_order_and_say_so() -> None:
    same, other = np.full(20, 3.0), np.arange(20.0)
    assert "All labels are equal: there is no order to compare." in (
        agreement(other, same, 10, 3).sentences()
    )
    assert "All labels and all scores are equal: there is no order to compare." in (
        agreement(same, same, 3, 3, words=np.arange(20)).sentences()
    )


def test_fewer_than_ten_rows_say_nothing() -> None:
    found = agreement(np.arange(9.0), np.arange(9.0), 5, 5)
    assert found.agreement is None
    [line] = found.sentences()
    assert line == "9 rows have a score and a label: too few to say anything; label 10 or more."
    assert agreement(np.array([]), np.array([]), 5, 5).rows == 0


def test_rows_without_a_score_or_a_label_are_left_out_aloud() -> None:
    scores = np.array([NAN, 1.0, *np.arange(12.0)])
    labels = np.array([1.0, NAN, *np.arange(12.0)])
    found = agreement(scores, labels, 6, 6, words=np.arange(14))
    assert (found.rows, found.left_out) == (12, 2)
    assert found.sentences()[0] == "2 rows have no score or no label and are left out."
    assert found.cells == Cells(6, 0, 0, 6)


def test_columns_of_unequal_length_are_an_error() -> None:
    with pytest.raises(ValueError, match="columns of the same rows"):
        agreement(np.arange(3.0), np.arange(4.0), 1, 1)


def test_numbers_and_sentences_say_the_same() -> None:
    found = of_cells(20, 5, 10, 15)
    numbers = found.numbers()
    assert numbers["cells"] == {"both": 20, "judge_alone": 5, "label_alone": 10, "neither": 15}
    assert numbers["kappa"][0] == 0.4
    assert numbers["agreement"] == [0.7, 0.5625, 0.809]
    assert numbers["suffice"]["agreement +-0.1"] == rows_for_share(0.7, 0.1)
    text = " ".join(found.sentences())
    assert "On 50 rows the judge (from 1) and the labels (from 1) agree on 0.70" in text
    assert "Cohen's kappa, which takes chance off, is 0.40" in text
    assert "Of the rows that the judge calls good, 0.80" in text
    assert "Of the rows with a good label, the judge calls 0.67" in text
    assert f"{numbers['suffice']['kappa +-0.05']:,} for kappa +-0.05" in text
