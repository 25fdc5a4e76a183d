from __future__ import annotations

import itertools
import math
from fractions import Fraction
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.base.contract import Filter
from curate.base.errors import CurateError
from curate.pipeline.judging import judge
from filters.mix.filter import Mix
from filters.mix.shares import quotas
from filters.selection.filter import Select
from tests.length_rows import of_lengths

quick = settings(max_examples=40, deadline=None)


def rows_of(**counts: int) -> pl.DataFrame:
    """As `Mix.judge` sees them: so many rows of each source `NAME.json`."""
    names = [f"data/{name}.json" for name, count in counts.items() for _ in range(count)]
    frame = of_lengths(*[1] * len(names))
    return frame.with_columns(pl.Series("record.source", names, dtype=pl.String))


def mixed(step: Mix, measures: pl.DataFrame) -> dict[str, int]:
    verdicts = step.judge(measures).verdicts  # which asserts the card's sums
    found = measures.filter(verdicts["keep"])["record.source"].value_counts()
    return {name.removeprefix("data/").removesuffix(".json"): n for name, n in found.iter_rows()}


def test_mix_is_a_filter() -> None:
    assert isinstance(Mix(), Filter)


def test_alone_it_keeps_everything() -> None:
    assert mixed(Mix(), rows_of(a=5, b=3)) == {"a": 5, "b": 3}


def test_a_budget_keeps_the_proportions() -> None:
    assert mixed(Mix(budget=10), rows_of(a=60, b=30, c=10)) == {"a": 6, "b": 3, "c": 1}


def test_temperature_evens_the_sources_out() -> None:
    measures = rows_of(a=900, b=100)
    assert mixed(Mix(budget=100, temperature=2.0), measures) == {"a": 75, "b": 25}  # 30 to 10
    assert mixed(Mix(budget=100, temperature=1e6), measures) == {"a": 50, "b": 50}
    # Without a budget the mixture ends where the first source does.
    assert mixed(Mix(temperature=2.0), measures) == {"a": 300, "b": 100}


def test_the_numbers_have_the_largest_groups_and_the_card_has_all() -> None:
    found = Mix(cap=30).judge(rows_of(**{f"s{at:02}": 10 + at for at in range(25)})).findings
    assert found.numbers["groups_in_card"] == found.tables["card"].height == 25
    names = [group["group"] for group in found.numbers["groups"]]
    assert names == [f"data/s{at:02}.json" for at in range(5, 25)]
    few = Mix().judge(rows_of(a=5, b=3)).findings
    assert few.numbers["groups"] == few.tables["card"].to_dicts()


def test_a_cap_limits_before_shares_are_counted() -> None:
    assert mixed(Mix(cap=20), rows_of(a=60, b=30, c=10)) == {"a": 20, "b": 20, "c": 10}
    assert mixed(Mix(caps={"a": 30, "b.json": 20}), rows_of(a=60, b=30, c=10)) == {
        "a": 30,
        "b": 20,
        "c": 10,
    }
    assert mixed(Mix(cap=20, budget=25), rows_of(a=60, b=20, c=10)) == {"a": 10, "b": 10, "c": 5}


def test_shares_are_set_and_the_others_divide_the_rest() -> None:
    step = Mix(shares={"c": 0.5}, budget=20)
    assert mixed(step, rows_of(a=60, b=30, c=10)) == {"c": 10, "a": 7, "b": 3}


def test_without_a_budget_shares_give_the_largest_mixture() -> None:
    assert mixed(Mix(shares={"a": 0.3, "b": 0.7}), rows_of(a=30, b=1000)) == {"a": 30, "b": 70}
    assert mixed(Mix(shares={"a": 0.0}), rows_of(a=30, b=10)) == {"b": 10}


def test_an_impossible_share_is_said_with_the_figure() -> None:
    with pytest.raises(
        CurateError,
        match=r"c\.json has 10 rows, and a share of 0.5 of 100 is 50; with these shares the budget"
        " can be 20 at most",
    ):
        mixed(Mix(shares={"c": 0.5}, budget=100), rows_of(a=60, b=30, c=10))
    with pytest.raises(CurateError, match=r"add up to 0\.5, and there is no other group"):
        mixed(Mix(shares={"a": 0.5}), rows_of(a=60))


def test_what_a_small_source_cannot_fill_is_given_to_the_others_and_reported() -> None:
    measures = rows_of(a=100, b=100, c=4)
    step = Mix(budget=60, temperature=1e9)
    assert mixed(step, measures) == {"a": 28, "b": 28, "c": 4}
    sentences = step.judge(measures).findings.sentences
    assert sentences[1].endswith("their rows are taken: c.json (6.7 %, not 33.3 %)")


def test_a_budget_beyond_the_rows_keeps_them_all_and_says_so() -> None:
    measures = rows_of(a=3, b=2)
    step = Mix(budget=10)
    assert mixed(step, measures) == {"a": 3, "b": 2}
    found = step.judge(measures).findings
    assert found.sentences[-1] == "the budget is 10 rows, and there are only 5"


def test_names_are_paths_file_names_stems_or_patterns() -> None:
    measures = rows_of(lima=5, alpaca=5)
    for name in ("data/lima.json", "lima.json", "lima", "*lima*"):
        assert mixed(Mix(shares={name: 0.5}, budget=4), measures) == {"lima": 2, "alpaca": 2}
    with pytest.raises(CurateError, match=r"'limo', which is the name of no group; did you mean"):
        mixed(Mix(shares={"limo": 0.5}), measures)
    with pytest.raises(CurateError, match="the name of 2 groups"):
        mixed(Mix(caps={"*.json": 3}), measures)
    with pytest.raises(CurateError, match=r"caps names data/lima\.json twice"):
        mixed(Mix(caps={"lima": 3, "lima.json": 3}), measures)


def test_a_whole_name_means_that_group_though_it_is_the_stem_of_another() -> None:
    measures = rows_of(a=6).with_columns(
        pl.Series("record.category", ["math"] * 3 + ["math.algebra"] * 3, dtype=pl.String)
    )
    step = Mix(of="category", caps={"math": 1})
    assert step.judge(measures).verdicts["keep"].sum() == 4


def test_categories_are_mixed_alike_and_none_is_one_of_them() -> None:
    measures = rows_of(a=6).with_columns(
        pl.Series("record.category", ["code"] * 4 + [None] * 2, dtype=pl.String)
    )
    step = Mix(of="category", cap=1)
    assert step.judge(measures).verdicts["keep"].sum() == 2
    card = step.judge(measures).findings.tables["card"]
    assert card["group"].to_list() == ["(none)", "code"]


def test_the_best_rows_of_a_source_stay() -> None:
    scores = pl.Series("q.score", [1.0, None, 3.0, 2.0])
    judged_rows = Mix(budget=2, by="q.score").judge(rows_of(a=4).with_columns(scores)).verdicts
    assert judged_rows["keep"].to_list() == [False, False, True, True]
    assert judged_rows["evidence"][0] == "data/a.json has 2 rows of the mixture"


def test_words_are_counted_when_words_are_mixed(conversation: Any) -> None:
    records = conversation(*[("q", "one two three four") for _ in range(6)], ("q", "one"))
    step = Mix(unit="words", budget=9)
    found = judge(step, records).verdicts
    assert found["keep"].sum() == 3  # two of four words, and the one of one word
    measures = pl.concat([records.select("row", "id"), step.measure(records)], how="horizontal")
    assert measures["length"].to_list() == [4] * 6 + [1]


def test_the_order_of_sources_and_rows_changes_nothing() -> None:
    measures = rows_of(a=40, b=15, c=5)
    shuffled = measures.sample(fraction=1.0, shuffle=True, seed=1)
    step = Mix(budget=20, temperature=3.0)
    one = set(measures.filter(step.judge(measures).verdicts["keep"])["id"])
    assert one == set(shuffled.filter(step.judge(shuffled).verdicts["keep"])["id"])
    assert len(one) == 20


def test_a_later_draw_with_the_same_seed_does_not_see_what_was_drawn_here() -> None:
    measures = rows_of(a=3000, b=300)
    left = measures.filter(Mix(cap=300).judge(measures).verdicts["keep"])
    drawn = left.filter(Select(method="random", budget=200).judge(left).verdicts["keep"])
    assert 70 < drawn["record.source"].str.contains("a.json", literal=True).sum() < 130


@quick
@given(
    st.lists(st.integers(0, 40), min_size=1, max_size=6),
    st.integers(1, 120),
    st.sampled_from([0.02, 0.5, 1.0, 2.0, 5.0, 1e9]),
)
def test_quotas_add_up_to_the_budget_or_to_all_there_is(
    sizes: list[int], budget: int, temperature: float
) -> None:
    names = [f"s{number}" for number in range(len(sizes))]
    if not any(sizes):
        return
    found, parts = quotas(np.array(sizes), names, {}, temperature, budget, "rows")
    assert found.sum() == min(budget, sum(sizes))
    assert (found <= np.array(sizes)).all()
    assert parts.sum() == pytest.approx(1.0)


def plain_quotas(sizes: list[int], wanted: dict[int, Fraction], asked: int) -> tuple[int, ...]:
    """Largest remainders by trying everything: which groups are full, and which go up."""
    free = [at for at, size in enumerate(sizes) if at not in wanted and size]
    exact = [wanted.get(at, Fraction(0)) * asked for at in range(len(sizes))]
    left = asked - sum(exact)
    for count in range(len(free) + 1):  # as few full groups as there can be
        for full in itertools.combinations(free, count):
            others = [at for at in free if at not in full]
            rest = left - sum(sizes[at] for at in full)
            total = sum(sizes[at] for at in others)
            own = {at: rest * Fraction(sizes[at], total) for at in others}
            own |= {at: Fraction(sizes[at]) for at in full}
            if rest >= 0 and all(own[at] <= sizes[at] for at in others):
                exact = [own.get(at, part) for at, part in enumerate(exact)]
                whole = math.floor(sum(exact) + Fraction(1, 2))
                choices = itertools.product(*({math.floor(e), math.ceil(e)} for e in exact))
                fitting = [each for each in choices if sum(each) == whole]
                return min(
                    fitting,
                    key=lambda each: (
                        sum((one - e) ** 2 for one, e in zip(each, exact, strict=True)),
                        [-one for one in each],  # of equal remainders the first by name goes up
                    ),
                )
    raise AssertionError("no way to share it out")


@quick
@given(
    st.lists(st.integers(0, 40), min_size=1, max_size=6),
    st.integers(1, 120),
    st.lists(st.sampled_from(["0", "0.1", "0.15", "0.3"]), max_size=3),
)
def test_quotas_are_largest_remainders_and_equal_ones_go_by_name(
    sizes: list[int], budget: int, shares: list[str]
) -> None:
    wanted = {at: Fraction(share) for at, share in enumerate(shares[: len(sizes) - 1])}
    others = sizes[len(wanted) :]
    if not any(others) or any(share * budget > sizes[at] for at, share in wanted.items()):
        return  # errors of their own
    names = [f"s{number}" for number in range(len(sizes))]
    given_shares = {at: float(share) for at, share in wanted.items()}
    found, _ = quotas(np.array(sizes), names, given_shares, 1.0, budget, "rows")
    if not wanted and sum(sizes) <= budget:
        assert found.tolist() == sizes
    else:
        assert tuple(found.tolist()) == plain_quotas(sizes, wanted, budget)


def test_remainders_that_are_equal_go_to_the_first_sources_by_name() -> None:
    assert mixed(Mix(budget=2), rows_of(a=1, b=1, c=1)) == {"a": 1, "b": 1}
    assert mixed(Mix(budget=5), rows_of(c=10, b=10, a=10)) == {"a": 2, "b": 2, "c": 1}
    assert mixed(Mix(budget=3, shares={"b": 0.5}), rows_of(a=9, b=9)) == {"a": 2, "b": 1}


def test_what_a_full_source_leaves_is_rounded_once_with_the_rest() -> None:
    # 2 of c are all there is; 11 are left for 7 to 4 of the others: 7 and 4, and none is lost.
    step = Mix(budget=13, temperature=1.0, caps={"c": 2})
    assert mixed(step, rows_of(a=70, b=40, c=2)) == {"a": 8, "b": 5}
    even = Mix(budget=13, temperature=1e9)
    assert mixed(even, rows_of(a=70, b=40, c=2)) == {"a": 6, "b": 5, "c": 2}


def test_a_budget_of_more_than_a_thousand_million_tokens_is_shared_out_whole() -> None:
    sizes = np.array([7_000_000_000, 3_000_000_001, 5])
    found, _ = quotas(sizes, ["a", "b", "c"], {}, 1.0, 5_000_000_003, "tokens")
    assert found.sum() == 5_000_000_003
    assert found.tolist() == [3_500_000_000, 1_500_000_001, 2]


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "of": ({"of": "task"}, "of is 'task'; expected one of source, category"),
    "unit": ({"unit": "lines"}, "unit is 'lines'; expected one of rows, words, chars, tokens"),
    "temperature": ({"temperature": 0.0}, r"temperature is 0\.0; expected a number of more than 0"),
    "nan": ({"temperature": float("nan")}, "temperature is nan; expected a finite number"),
    "budget": ({"budget": 0}, "budget is 0; expected a number of at least 1"),
    "cap": ({"cap": -1}, "cap is -1; expected a number of at least 1"),
    "caps": ({"caps": {"a": 0}}, "caps: a is 0; expected a number of at least 1"),
    "share": ({"shares": {"a": 1.5}}, "shares: a is 1.5; expected a number of at least 0 and at"),
    "shares": ({"shares": {"a": 0.7, "b": 0.7}}, "shares add up to 1.4; expected at most 1"),
    "tokens": ({"unit": "tokens"}, "unit: tokens and a tokenizer .* go together"),
    "tokenizer": ({"tokenizer": "x"}, "unit: tokens and a tokenizer .* go together"),
    "missing": ({"unit": "tokens", "tokenizer": "no/such"}, "mix: no tokenizer at no/such"),
    "seed": ({"seed": -1}, "seed is -1; expected a number of at least 0"),
}


@pytest.mark.parametrize("case", WRONG)
def test_settings_that_make_no_sense_are_refused(case: str) -> None:
    wrong, message = WRONG[case]
    with pytest.raises(CurateError, match=message):
        Mix(**wrong)
