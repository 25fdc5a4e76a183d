"""What a proof says of its cells: differences, intervals, verdicts, and what it could have seen."""

from __future__ import annotations

import dataclasses
import doctest
import importlib
import json
import math
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from scipy import stats

from curate.base.errors import CurateError
from curate.proofs.cells import Cell, cell_of
from curate.proofs.comparisons import Comparison
from curate.proofs.crossed import (
    Differences,
    Variances,
    critical,
    holm,
    interval,
    mean_differences,
    p_value,
    ratio_differences,
    redrawn_differences,
    single,
)
from curate.proofs.design import Design
from curate.proofs.detectable import detectable, power, smallest
from curate.proofs.metrics import Ratios, of_lengths
from curate.proofs.redraws import counts, redrawn, redrawn_lengths
from curate.proofs.verdicts import estimate_of, judge
from tests.proof_cells import cell, cells, target

QUICK = Design(draws=200)


def generator(seed: int = 0) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed))


def of_seeds(*differences: float) -> Differences:
    """Differences that prompts do not move."""
    return Differences(np.array(differences), 0.0, 0.0, 100)


# Differences over seeds and prompts.


def test_a_difference_is_of_sums_over_sums_averaged_over_seeds() -> None:
    one, other = np.array([[1.0, 9.0], [3.0, 9.0]]), np.array([[2.0, 12.0], [2.0, 12.0]])
    found = ratio_differences(one, other, np.array([1.0, 3.0]))
    assert found.by_seed.tolist() == [-1.0, -0.5]
    assert found.value == -0.75


def test_where_prompts_add_nothing_the_test_is_students_over_seeds() -> None:
    seeds = [0.010, 0.014, 0.003, 0.009, 0.020]
    found = of_seeds(*seeds)
    theirs = stats.ttest_1samp(seeds, 0)
    assert p_value(found) == pytest.approx(theirs.pvalue, rel=1e-6)
    ends = theirs.confidence_interval(0.95)
    assert (interval(found, 0.05).low, interval(found, 0.05).high) == pytest.approx(tuple(ends))


def test_where_seeds_add_nothing_the_test_is_students_over_prompts() -> None:
    apart = generator().normal(0.5, 1, 12)
    one = np.tile(apart, (4, 1))
    found = ratio_differences(one, np.zeros_like(one), np.ones(12))
    assert p_value(found) == pytest.approx(stats.ttest_1samp(apart, 0).pvalue, rel=1e-6)


def test_the_p_value_is_the_level_at_which_the_interval_ends_at_nought() -> None:
    found = Differences(np.array([0.02, 0.05, 0.01]), 1e-4, 1e-6, 40)
    assert interval(found, p_value(found)).low == pytest.approx(0, abs=1e-9)


def test_the_critical_value_lies_between_those_of_seeds_and_of_prompts() -> None:
    of_three, of_many = stats.t.ppf(0.975, 2), stats.t.ppf(0.975, 99)
    assert critical(Variances(1, 0, 3, 100), 0.05) == pytest.approx(of_three)
    assert critical(Variances(0, 1, 3, 100), 0.05) == pytest.approx(of_many)
    assert critical(Variances(1, 1, 3, 100), 0.05) == pytest.approx((of_three + of_many) / 2)


@pytest.mark.parametrize("of_seeds", [0.1, 0.5, 0.9, 1.0])
def test_three_seeds_claim_no_more_than_the_level_where_satterthwaite_claims_more(
    of_seeds: float,
) -> None:
    draw, runs = generator(9), 100_000
    seeds = of_seeds * draw.chisquare(2, runs) / 2
    prompts = (1 - of_seeds) * draw.chisquare(299, runs) / 299
    apart = np.abs(draw.normal(0, 1, runs)) / np.sqrt(seeds + prompts)
    ends = [critical(Variances(*parts, 3, 300), 0.05) for parts in ((1.0, 0.0), (0.0, 1.0))]
    bound = (seeds * ends[0] + prompts * ends[1]) / (seeds + prompts)
    most = stats.binom.ppf(0.999, runs, 0.05) / runs
    assert np.mean(apart > bound) <= most
    if of_seeds == 0.9:
        freedom = (seeds + prompts) ** 2 / (seeds**2 / 2 + prompts**2 / 299)
        assert np.mean(apart > stats.t.ppf(0.975, freedom)) > 0.07


def test_the_parts_of_the_variance_come_out_right_on_average() -> None:
    draw, seeds, prompts = generator(), 4, 30
    sizes = np.ones(prompts)
    found = []
    for _ in range(2000):
        moved = draw.normal(0, 0.3, (seeds, 1)) + draw.normal(0, 1, prompts)
        moved = moved + draw.normal(0, 0.5, (seeds, prompts))
        found.append(ratio_differences(moved, np.zeros_like(moved), sizes))
    of_seeds_too = np.mean([each.by_seed.var(ddof=1) for each in found]) / seeds
    assert np.mean([each.interaction for each in found]) == pytest.approx(0.25 / 120, rel=0.05)
    assert np.mean([each.shared for each in found]) == pytest.approx(1 / prompts, rel=0.05)
    assert of_seeds_too == pytest.approx(0.09 / seeds + 0.25 / 120, rel=0.08)


def test_long_answers_weigh_more_as_in_the_ratio_itself() -> None:
    draw = generator(3)
    sizes = np.exp(draw.normal(0, 1, 60))
    one = draw.normal(1, 0.3, 60) * sizes
    found = ratio_differences(np.tile(one, (2, 1)), np.zeros((2, 60)), sizes)
    # The variance of a ratio, by leaving out one prompt after the other.
    left = (one.sum() - one) / (sizes.sum() - sizes)
    jackknife = 59 / 60 * ((left - left.mean()) ** 2).sum()
    assert found.variances.prompts == pytest.approx(jackknife, rel=0.15)


def test_seeds_that_agree_by_chance_are_not_taken_at_their_word() -> None:
    found = Differences(np.array([0.5, 0.5, 0.5]), 0.0, 0.01, 50)
    assert found.variances.seeds == 0.01


def test_the_mean_over_targets_adds_their_prompts_and_keeps_their_seeds() -> None:
    one, other = (Differences(np.array(each), 4.0, 2.0, 10) for each in ([1.0, 2.0], [3.0, 8.0]))
    found = mean_differences([one, other])
    assert found.by_seed.tolist() == [2.0, 5.0]
    assert (found.shared, found.interaction, found.prompts) == (2.0, 1.0, 20)


def test_where_nothing_varies_only_the_signs_of_the_seeds_are_left() -> None:
    assert p_value(of_seeds(0.1, 0.1, 0.1)) == 0.25
    assert p_value(of_seeds(0.0, 0.0, 0.0)) == 1.0


def test_a_single_training_lies_in_what_a_further_seed_would_come_to() -> None:
    seeds = [1.0, 2.0, 4.0]
    reach = stats.t.ppf(0.975, 2) * np.std(seeds, ddof=1) * math.sqrt(1 + 1 / 3)
    assert single(of_seeds(*seeds), 0.05).high == pytest.approx(np.mean(seeds) + reach)


def test_holm_multiplies_the_smallest_p_value_by_all_and_the_last_by_one() -> None:
    assert holm([0.02, 0.001, 0.3]) == pytest.approx([0.04, 0.003, 0.3])
    assert holm([0.5, 0.6]) == [1.0, 1.0]


# What a run could have seen.


@pytest.mark.parametrize("seeds", [2, 3, 5, 10])
def test_power_over_seeds_alone_is_that_of_the_noncentral_t(seeds: int) -> None:
    variances = Variances(1 / seeds, 0.0, seeds, 100)
    bound, centre = stats.t.ppf(0.975, seeds - 1), 1.4 * math.sqrt(seeds)
    theirs = stats.nct.sf(bound, seeds - 1, centre) + stats.nct.cdf(-bound, seeds - 1, centre)
    assert power(1.4, variances, 0.05) == pytest.approx(theirs, abs=1e-3)


@pytest.mark.parametrize(("seeds", "deviations"), [(3, 3.3), (5, 1.7), (10, 1.0)])
def test_what_is_seen_with_a_few_seeds_is_what_the_page_says(seeds: int, deviations: float) -> None:
    found = smallest(Variances(1 / seeds, 0.0, seeds, 100), 0.05, 0.8)
    assert round(found, 1) == deviations
    assert f"{deviations} with {seeds}" in (ROOT / "docs" / "prove.md").read_text("utf-8")


def test_the_smallest_effect_has_the_power_that_was_asked_for() -> None:
    variances = Variances(2e-6, 5e-6, 5, 40)
    assert power(smallest(variances, 0.0125, 0.8), variances, 0.0125) == pytest.approx(0.8, 1e-5)
    assert power(0.0, variances, 0.05) < 0.05


def test_as_many_runs_over_as_understate_what_they_could_have_seen() -> None:
    true = Variances(1.0, 0.0, 3, 100)
    drawn = generator().chisquare(2, 400) / 2
    said = [detectable(dataclasses.replace(true, seeds=each), 0.05, 0.8) for each in drawn]
    above = sum(each > smallest(true, 0.05, 0.8) for each in said)
    low, high = stats.binom.interval(0.999, 400, 0.5)
    assert low <= above <= high


def test_a_run_without_any_scatter_sees_everything() -> None:
    assert smallest(Variances(0, 0, 3, 10), 0.05, 0.8) == 0.0


# The bootstrap beside it.


def test_each_draw_takes_as_many_prompts_as_there_are() -> None:
    drawn = np.concatenate(list(counts(7, 50, generator())))
    assert drawn.shape == (50, 7)
    assert set(drawn.sum(axis=1)) == {7.0}


def test_redrawn_ends_hold_the_difference_and_come_out_the_same_each_time() -> None:
    draw = generator(1)
    above = {name: draw.normal(5, 1, (4, 50)) for name in ("selected", "random")}
    targets = {"one": Ratios(above, draw.uniform(1, 3, 50))}
    first, again = (redrawn(targets, "selected", 2000, 0) for _ in range(2))
    assert first == again
    found = first["random", "one"]
    apart = ratio_differences(above["selected"], above["random"], targets["one"].below)
    assert found.value == pytest.approx(apart.value, abs=0.02)
    assert found.low < apart.value < found.high
    assert redrawn(targets, "selected", 0, 0) == {}


def test_lengths_of_drawn_prompts_are_those_of_the_prompts_written_out() -> None:
    draw = generator(2)
    lengths, own = draw.integers(1, 9, (2, 15)), draw.integers(1, 9, 15)
    found = redrawn_lengths(lengths.astype(float), own.astype(float), 20, 5)
    drawn = np.concatenate(list(counts(15, 20, generator(5)))).astype(int)
    for at, times in enumerate(drawn):
        for column in range(2):
            wanted = of_lengths(np.repeat(lengths[column], times), np.repeat(own, times))
            for metric, value in wanted.items():
                assert found[metric][at, column] == pytest.approx(value), metric


def test_variances_from_draws_are_those_of_the_formula_where_there_is_one() -> None:
    draw = generator(4)
    values = draw.normal(0, 1, (3, 40)) + draw.normal(0, 2, 40)
    exact = ratio_differences(values, np.zeros_like(values), np.ones(40))
    drawn = np.concatenate([part @ values.T / 40 for part in counts(40, 20_000, draw)])
    found = redrawn_differences(values.mean(axis=1), drawn, 40)
    # Draws of a sample spread as if divided by n, not by n - 1.
    assert found.shared * 40 / 39 == pytest.approx(exact.shared, rel=0.05)
    assert found.interaction * 40 / 39 == pytest.approx(exact.interaction, rel=0.05)


# Verdicts.


def verdicts(shift: float, **more: float | int) -> Comparison:
    """The one comparison over all targets, of a baseline that is `shift` worse."""
    made = cells({"selected": 0.0, "random": shift}, answers=False, **more)  # type: ignore[arg-type]
    return judge(made, QUICK).overall[0]


def test_a_baseline_that_is_far_worse_makes_the_selected_rows_better() -> None:
    found = verdicts(0.05)
    assert found.verdict == "better"
    assert found.difference.high < 0 and found.other > found.selected
    assert verdicts(-0.05).verdict == "worse"


def test_a_small_difference_that_is_shown_is_named_and_called_small() -> None:
    found = verdicts(0.006)
    assert (found.verdict, found.within_margin) == ("better", True)


def beside_random(*selected: float) -> Comparison:
    """Selected rows of which each seed lies so far from a baseline of 1 bit per byte."""
    made = []
    for seed, shift in enumerate(selected):
        made.append(cell("selected", seed, {"t": target([1 + shift] * 5)}))
        made.append(cell("random", seed, {"t": target([1.0] * 5)}))
    return judge(made, QUICK).overall[0]


def test_no_difference_needs_an_interval_within_the_margin() -> None:
    narrow, wide = beside_random(0.002, -0.001, 0.001), beside_random(0.02, -0.01, 0.01)
    assert (narrow.verdict, wide.verdict) == ("no difference", "not shown")
    assert max(-narrow.narrow.low, narrow.narrow.high) < 0.01 < wide.narrow.high


def test_trainings_that_are_the_same_do_not_differ() -> None:
    made = [
        cell(name, seed, {"t": target([1, 2, 3])})
        for name in ("selected", "full")
        for seed in (0, 1)
    ]
    found = judge(made, QUICK).overall[0]
    assert (found.difference.value, found.p, found.verdict) == (0.0, 1.0, "no difference")


def test_a_baseline_over_all_targets_is_the_plain_mean_of_them() -> None:
    proof = judge(cells({"selected": 0.0, "random": 0.02}), QUICK)
    targets = proof.on_targets("random")
    assert [each.target for each in targets] == ["lima", "dolly"]
    mean = np.mean([each.difference.value for each in targets])
    assert proof.overall[0].difference.value == pytest.approx(mean)


def test_baselines_over_all_targets_and_those_on_each_are_two_families() -> None:
    proof = judge(cells({"selected": 0.0, "random": 0.02, "full": 0.0}), QUICK)
    for family in (proof.overall, [each for each in proof.primary if each.target is not None]):
        assert [each.holm for each in family] == pytest.approx(holm([each.p for each in family]))
    assert (len(proof.overall), len(proof.primary)) == (2, 6)


def test_more_comparisons_have_to_be_further_apart_to_be_seen() -> None:
    one = verdicts(0.0)
    shifts = {"selected": 0.0, "random": 0.0, "longest": 0.0, "full": 0.0}
    three = judge(cells(shifts, answers=False), QUICK).overall[0]
    assert three.difference == one.difference
    assert three.would_see > one.would_see


@pytest.mark.parametrize(
    ("metric", "verdict"),
    [
        ("stopped", "better"),
        ("loops", "worse"),
        ("median_length", "higher"),
        ("length_w1", "worse"),
    ],
)
def test_other_metrics_know_which_side_is_better(metric: str, verdict: str) -> None:
    draw = generator(6)
    made = []
    for name, share in (("selected", 0.9), ("random", 0.1)):
        for seed in range(5):
            flags = (draw.random(60) < share).tolist()
            lengths = draw.integers(*((200, 300) if name == "selected" else (30, 60)), 60).tolist()
            own = {"stopped": flags, "loops": flags, "lengths": lengths}
            made.append(cell(name, seed, {"t": target([1.0] * 60, **own)}))
    found = [each for each in judge(made, QUICK).secondary if each.metric == metric]
    assert [each.verdict for each in found] == [verdict, verdict]  # over all targets, and on one


def test_instructions_are_prompts_of_their_own() -> None:
    strict = {"selected": [1.0] * 18 + [0.0, 0.5], "random": [0.0] * 18 + [1.0, 0.5]}
    made = [
        cell(name, seed, {"t": target([1, 2])}, strict=strict[name], loose=strict[name])
        for name in strict
        for seed in range(3)
    ]
    proof = judge(made, QUICK)
    found = next(each for each in proof.secondary if each.metric == "strict")
    assert (found.verdict, found.prompts) == ("better", 20)
    assert [each.strict for each in proof.summaries] == [0.925, 0.075]


def test_metrics_that_were_not_measured_are_not_there() -> None:
    proof = judge(cells({"selected": 0.0, "random": 0.0}, answers=False), QUICK)
    assert {each.metric for each in proof.secondary} == {"row_bits_per_byte"}


def test_a_level_of_one_baseline_has_an_interval_too() -> None:
    found = estimate_of(cells({"random": 0.3}))
    assert found.low < found.value < found.high
    assert found.value == pytest.approx(1.3, abs=0.1)


# What it says and leaves.


def test_a_sentence_has_the_difference_its_interval_and_the_verdict() -> None:
    made = [
        cell(name, seed, {"lima": target([1.0 + shift + seed * step] * 4)}, tokens=30_000)
        for name, shift, step in (
            ("selected", 0.0, 0.001),
            ("random", 0.05, 0.0),
            ("full", 0, 0.02),
        )
        for seed in range(3)
    ]
    lines = judge(made, QUICK).lines()
    assert lines[0] == (
        "selected - random@30k: bits per byte -.049 (-.051 to -.047), 3 seeds, "
        "lower on 1 of 1 target, Holm p .00028: better"
    )
    assert lines[1].startswith(
        "selected - full@30k: bits per byte -.019 (-.066 to .028), 3 seeds, "
    )
    assert lines[1].endswith("Holm p .23: not shown; .106 would have been seen")
    head = "rows  trained tokens  steps  median length  written  stops  IF strict"
    assert lines[3].strip() == head
    assert lines[4].split() == ["selected", "250", "30,000", "60", "95", "-", "-", "-"]


def test_a_difference_that_single_trainings_do_not_show_is_one_on_average() -> None:
    made = cells({"selected": 0.0, "random": 0.02}, seeds=10, scatter=0.014, answers=False)
    line = judge(made, QUICK).lines()[0]
    assert ": better on average; a single training lies within -" in line


def test_the_same_cells_give_the_same_proof_also_from_a_file() -> None:
    made = cells({"selected": 0.0, "random": 0.01})
    read = [cell_of(json.loads(json.dumps(each.as_dict()))) for each in made]
    texts = [json.dumps(judge(each, QUICK).as_dict()) for each in (made, read)]
    assert texts[0] == texts[1]
    assert json.loads(texts[0])["verdicts"] == {"random": "better"}


def test_what_is_compared_is_laid_down_before_the_first_training() -> None:
    design = Design().as_dict()
    assert (design["primary"], design["margin"], design["draws"]) == ("bits_per_byte", 0.01, 10_000)


def test_seeds_that_a_baseline_lacks_are_left_out_and_named() -> None:
    made = [
        each
        for each in cells({"selected": 0.0, "random": 0.01, "full": 0.0}, answers=False)
        if (each.baseline, each.seed) != ("full", 3)
    ]
    proof = judge(made, QUICK)
    assert (proof.seeds, proof.seeds_left_out) == ([0, 1, 2, 4], [3])
    assert proof.lines()[-1] == "not every baseline has the seeds 3; they are left out"


# Cells that cannot be compared.

Change = Callable[[list[Cell]], list[Cell]]


def other_prompts(made: list[Cell]) -> list[Cell]:
    odd = dataclasses.replace(made[-1].targets["lima"], prompts=("other",) * 30)
    return [*made[:-1], dataclasses.replace(made[-1], targets={**made[-1].targets, "lima": odd})]


def not_finite(made: list[Cell]) -> list[Cell]:
    nats = (math.nan, *made[0].targets["lima"].nats[1:])
    odd = dataclasses.replace(made[0].targets["lima"], nats=nats)
    return [dataclasses.replace(made[0], targets={**made[0].targets, "lima": odd}), *made[1:]]


BROKEN: dict[str, tuple[Change, str]] = {
    "one seed": (
        lambda made: [each for each in made if each.seed == 0],
        "all baselines have 1 seed in common; one alone does not show how much a seed moves",
    ),
    "no seed in common": (
        lambda made: [each for each in made if (each.baseline == "random") == (each.seed > 1)],
        "all baselines have 0 seeds in common",
    ),
    "nothing selected": (
        lambda made: [each for each in made if each.baseline != "selected"],
        "a proof compares 'selected' with a baseline; got random",
    ),
    "no baseline": (
        lambda made: [each for each in made if each.baseline == "selected"],
        "a proof compares 'selected' with a baseline; got selected",
    ),
    "nothing": (lambda made: [], "got none"),
    "twice": (lambda made: [*made, made[0]], "selected, seed 0 is there twice"),
    "other prompts": (
        other_prompts,
        "random, seed 2, target lima: the prompts are not those of selected, seed 0",
    ),
    "other targets": (
        lambda made: [*made[:-1], dataclasses.replace(made[-1], targets={})],
        "random, seed 2 has the targets none; expected lima, dolly",
    ),
    "no number": (not_finite, "target lima: prompt 1 has nan nats in 100 bytes"),
    "other instructions": (
        lambda made: [*made[:-1], dataclasses.replace(made[-1], strict=(1.0,))],
        "random, seed 2: 1 instructions; expected the 20 of selected, seed 0",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_cells_that_cannot_be_compared_are_refused_with_a_sentence(name: str) -> None:
    change, message = BROKEN[name]
    made = change(cells({"selected": 0.0, "random": 0.0}, seeds=3))
    with pytest.raises(CurateError) as refused:
        judge(made, QUICK)
    assert message in str(refused.value)


def test_a_margin_that_means_nothing_is_refused() -> None:
    for given in ({"margin": 0.0}, {"margin": 1.5}, {"draws": -1}):
        with pytest.raises(CurateError):
            Design(**given)  # type: ignore[arg-type]


# Made-up trainings whose truth is known; `benchmarks/proof_power.py` has the whole table.

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def script() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "benchmarks"))
        yield importlib.import_module("proof_power")
        for name in ("proof_power", "proof_made"):
            sys.modules.pop(name, None)


@pytest.mark.parametrize("seeds", [3, 10])
@pytest.mark.parametrize("kind", ["seeds and prompts alike", "seeds alone"])
def test_a_proof_finds_what_it_says_it_would_and_claims_no_more_than_it_may(
    script: ModuleType, kind: str, seeds: int
) -> None:
    scatter, repetitions = script.KINDS[kind], 120
    effect = smallest(scatter.variances(seeds), 0.05, 0.8)
    draw = generator(8)
    found = [script.overall(scatter.cells(effect, seeds, draw))[0] for _ in range(repetitions)]
    none = [script.overall(scatter.cells(0.0, seeds, draw))[0] for _ in range(repetitions)]
    low, high = stats.binom.interval(0.999, repetitions, 0.8)
    assert low <= sum(each.verdict == "better" for each in found) <= high
    most = stats.binom.ppf(0.999, repetitions, 0.05)
    assert sum(each.verdict in ("better", "worse") for each in none) <= most
    # And the interval holds the truth as often as it says.
    least = stats.binom.ppf(0.001, repetitions, 0.95)
    assert sum(each.difference.low <= -effect <= each.difference.high for each in found) >= least


@pytest.mark.parametrize("name", ["crossed", "detectable", "metrics", "sentences", "win_lines"])
def test_the_examples_in_the_docstrings_hold(name: str) -> None:
    module = importlib.import_module(f"curate.proofs.{name}")
    assert doctest.testmod(module).failed == 0
