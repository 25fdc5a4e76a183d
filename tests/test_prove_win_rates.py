"""Win rates from wins and lengths that are laid down: plain, length-controlled, the longer wins."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from curate.proofs.cells import Cell
from curate.proofs.crossed import Floats, interval, p_value
from curate.proofs.design import Design
from curate.proofs.page import html
from curate.proofs.scored_answers import ByTarget
from curate.proofs.scorers import Outcome
from curate.proofs.verdicts import Asked, judge
from curate.proofs.win_lines import win_lines
from curate.proofs.win_rates import WinRates, controlled, longer, plain, rate_of, win_rates
from tests.proof_cells import cell, cells, target
from tests.reports import Page

SEEDS, PROMPTS = 5, 60


def drawn(level: float, slope: float, seed: int) -> tuple[Floats, Floats]:
    """Wins whose log odds are `level`, and `slope` more where the answer is much the longer."""
    draw = np.random.default_rng(seed)
    longer_by = draw.normal(20, 25, PROMPTS) + draw.normal(0, 15, (SEEDS, PROMPTS))
    odds = level + slope * np.tanh(longer_by / longer_by.std()) + draw.normal(0, 0.8, PROMPTS)
    return (draw.random(odds.shape) < 1 / (1 + np.exp(-odds))).astype(float), longer_by


def test_a_scorer_that_likes_length_is_seen_through() -> None:
    """Answers that are no better but longer: the plain rate claims them, the controlled does not.

    So do answers that are better and shorter, the other way round.
    """
    claimed = {"plain": 0, "controlled": 0}
    values = []
    for seed in range(60):
        wins, longer_by = drawn(0.0, 1.5, seed)
        claimed["plain"] += p_value(plain(wins)) <= 0.05
        claimed["controlled"] += p_value(controlled(wins, longer_by)) <= 0.05
        values.append(controlled(wins, longer_by).value)
    assert claimed["plain"] > 30 and claimed["controlled"] <= 6
    assert abs(float(np.mean(values))) < 0.02
    shorter = [drawn(0.8, -1.5, seed) for seed in range(20)]
    assert np.mean([controlled(*each).value for each in shorter]) > 0.12
    assert np.mean([plain(wins).value for wins, _ in shorter]) < 0.08


def test_where_no_answer_is_longer_both_rates_are_the_same() -> None:
    wins = np.tile([[1, 1, 0, 0.5], [1, 0, 0, 1]], 10)
    rates = controlled(wins, np.full(wins.shape, 7.0))
    assert rates.by_seed == pytest.approx(plain(wins).by_seed, abs=1e-3)
    assert rates.variances.total == pytest.approx(plain(wins).variances.total, rel=0.02)


def test_where_the_longer_answer_always_wins_nothing_is_left_at_equal_lengths() -> None:
    longer_by = np.tile(np.array([-30.0, -20, -10, -5, 5, 10, 20, 30]), (2, 1))
    wins = (longer_by > 0).astype(float)
    assert controlled(wins, longer_by).by_seed == pytest.approx([0, 0], abs=1e-6)
    assert (longer(wins, longer_by).value, plain(wins).value) == (0.5, 0.0)


def by_lengths(seeds: int, prompts: int, on_average: float) -> Floats:
    """Differences of lengths with a deviation of 25 over prompts, and hardly any over seeds."""
    draw = np.random.default_rng(prompts)
    return draw.normal(on_average, 25, prompts) + draw.normal(0, 3, (seeds, prompts))


def test_a_side_that_wins_all_has_a_rate_as_sure_as_its_prompts_are_many() -> None:
    few, many = np.ones((3, 6)), np.ones((3, 32))
    for wins, is_shown in ((few, False), (many, True)):
        rates = (plain(wins), controlled(wins, by_lengths(*wins.shape, 0.0)), plain(1 - wins))
        assert all((p_value(each) <= 0.05) is is_shown for each in rates)
        assert rates[0].value == 0.5 and 0.45 < rates[1].value < 0.5
    # Wilson's interval of 32 wins in 32 with Student's quantile.
    asked = 2.0395
    assert interval(plain(many), 0.05).low == pytest.approx(0.5 - asked**2 / (32 + asked**2), 1e-3)


def test_prompts_that_agree_by_chance_in_all_seeds_are_not_claimed() -> None:
    """Of five prompts all agree in one of 16 proofs, and seeds that are alike do not add any."""
    draw = np.random.default_rng(2)
    claimed = 0
    for _ in range(100):
        wins = np.tile((draw.random(5) < 0.5).astype(float), (5, 1))
        claimed += p_value(controlled(wins, draw.normal(0, 20, (5, 5)))) <= 0.05
    assert claimed <= 2


@pytest.mark.parametrize("prompts", [32, 100])
def test_a_scorer_that_sees_nothing_but_length_likes_no_side(prompts: int) -> None:
    draw = np.random.default_rng(prompts)
    found = []
    for _ in range(40):
        by = draw.normal(40, 25, prompts) + draw.normal(0, 15, (5, prompts))
        found.append(controlled((by > 0).astype(float), by))
    assert sum(p_value(each) <= 0.05 for each in found) <= 3
    assert np.mean([each.value for each in found]) < 0.08


def test_where_all_wins_are_of_the_side_that_is_always_longer_nothing_is_claimed() -> None:
    wins = np.ones((5, 32))
    assert p_value(controlled(wins, by_lengths(5, 32, 200.0))) > 0.05
    assert p_value(controlled(1 - wins, by_lengths(5, 32, 200.0))) > 0.05


def test_the_longer_wins_counts_equal_lengths_and_ties_as_half() -> None:
    wins = np.array([[1, 0, 0.5, 1]] * 2)
    longer_by = np.array([[3, 3, 3, 0.0]] * 2)
    assert longer(wins, longer_by).value == (1 + 0 + 0.5 + 0.5) / 4 - 0.5


def sides(lengths: Mapping[str, Sequence[int]]) -> dict[str, list[Cell]]:
    """Two seeds of each set; `lengths` are of the answers to four prompts."""
    return {
        name: [
            cell(
                name,
                seed,
                {"old": target([1.0] * 4, lengths=own, answers=["a"] * 4)},
            )
            for seed in (0, 1)
        ]
        for name, own in lengths.items()
    }


def by_target(*values: float | str) -> ByTarget:
    """Outcomes on the target: numbers, or problems."""
    made = [Outcome(None, v) if isinstance(v, str) else Outcome(v) for v in values]
    return {"old": tuple(made)}


def rates(*seeds: ByTarget) -> WinRates:
    own = sides({"selected": (9, 9, 9, 9), "random": (9, 9, 9, 5)})
    found = {("random", seed): each for seed, each in enumerate(seeds)}
    return win_rates("judge", "J", own, found, Design(draws=0))


def test_a_prompt_without_a_verdict_in_one_seed_is_left_out_in_all_and_counted() -> None:
    found = rates(by_target(1, "unreadable", 0, 1), by_target(1, 1, 0, 1))
    over_all, on_target = found.rates
    assert (over_all.target, on_target.target) == (None, "old")
    assert rate_of(over_all.plain).value == pytest.approx(2 / 3)
    assert over_all.counts.pairs == 8 and over_all.counts.judged == 7
    assert over_all.counts.without == {"unreadable": 1}
    (said,) = [line for line in win_lines(found) if "no verdict" in line]
    assert said == (
        "random: 1 of 8 pairs of answers have no verdict (1 unreadable); their prompts are left out"
    )


def test_where_hardly_anything_has_a_verdict_there_is_no_rate_and_it_is_said() -> None:
    found = rates(by_target(1, "no_answer", "no_answer", 1), by_target("low_mass", 1, 0, 1))
    assert not found.rates
    assert found.unrated == {"random": {"low_mass": 1, "no_answer": 2}}
    assert "random: no target has two prompts with a verdict" in list(win_lines(found))[-1]


def test_verdicts_that_turn_with_the_order_are_said() -> None:
    turned: ByTarget = {"old": (Outcome(0.5, "", True), *by_target(1, 0, 1)["old"])}
    found = rates(turned, by_target(1, 1, 0, 1))
    assert any(line.startswith("random: 1 of 8 verdicts turn") for line in win_lines(found))


def test_a_side_that_is_nearly_always_longer_is_said() -> None:
    own = sides({"selected": (9, 9, 9, 9), "random": (5, 6, 7, 8)})
    found = {("random", seed): by_target(1, 0, 1, 1) for seed in (0, 1)}
    said = list(win_lines(win_rates("reward", "RM", own, found, Design(draws=0))))
    assert any("the answer of selected is the longer one in 100% of the pairs" in x for x in said)


def shown(wins_of: float) -> tuple[list[Cell], list[Asked]]:
    """A proof's cells, and a scorer for whom the selected rows win so often."""
    own = cells({"selected": 0.0, "random": 0.01, "longest": 0.02}, prompts=20)
    draw = np.random.default_rng(4)
    outcomes = {
        (each.baseline, each.seed): {
            name: tuple(Outcome(float(draw.random() < wins_of)) for _ in one.answers)
            for name, one in each.targets.items()
        }
        for each in own
        if each.baseline != "selected"
    }
    return own, [Asked("judge", "<b>judge</b>", outcomes)]


def test_the_proof_has_rates_beside_its_verdicts_and_none_moves_them() -> None:
    own, asked = shown(0.85)
    proof, alone = judge(own, Design(draws=0), asked), judge(own, Design(draws=0))
    values = proof.as_dict()
    assert {**values, "win_rates": None, "sentences": None} == {
        **alone.as_dict(),
        "win_rates": None,
        "sentences": None,
    }
    (found,) = values["win_rates"]
    names = [(each["baseline"], each["target"]) for each in found["rates"]]
    assert names[:2] == [("random", None), ("longest", None)] and len(names) == 6
    for each in found["rates"]:
        assert each["plain"]["verdict"] == each["controlled"]["verdict"] == "better"
        assert 0.5 < each["controlled"]["low"] < each["controlled"]["value"] < 0.95
        assert len(each["plain"]["by_seed"]) == 5 and each["pairs"] in (100, 200)
    assert "win_rates" not in alone.as_dict()


def test_rates_of_a_coin_are_not_shown() -> None:
    own, asked = shown(0.5)
    (found,) = judge(own, Design(draws=0), asked).wins
    assert {each.controlled.verdict for each in found.overall} == {"not shown"}
    lines = list(win_lines(found))
    assert sum("points would have been seen" in line for line in lines) == 2


def test_the_page_shows_them_and_escapes_the_name() -> None:
    own, asked = shown(0.85)
    text = html(judge(own, Design(draws=0), asked), {})
    assert "<b>judge</b>" not in text
    page = Page(text)
    assert "Win rates" in page.text and "length-controlled" in page.text
    assert "judge <b>judge</b>" in page.text
    assert "Win rates" not in Page(html(judge(own, Design(draws=0)), {})).text


def test_a_rate_lies_within_what_a_share_can_be() -> None:
    own, asked = shown(1.0)
    two = [each for each in own if each.seed < 2]
    (found,) = judge(two, dataclasses.replace(Design(), draws=0), asked).wins
    for rate in found.rates:
        for each in (rate_of(rate.plain), rate_of(rate.controlled), rate.longer_wins):
            assert 0 <= each.low <= each.high <= 1
