from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.base.contract import VERDICTS, Filter
from curate.base.errors import CurateError
from curate.pipeline.judging import judge
from filters.length.report import shift
from filters.selection.baselines import findings
from filters.selection.filter import Select
from tests.length_rows import of_lengths

quick = settings(max_examples=30, deadline=None)


def scored(scores: list[float | None], **columns: Any) -> pl.DataFrame:
    lengths = columns.pop("lengths", [10] * len(scores))
    records = of_lengths(*lengths, **columns)
    return records.with_columns(pl.Series("record.score", scores, dtype=pl.Float64))


def kept(step: Select, measures: pl.DataFrame) -> list[int]:
    return step.judge(measures).verdicts["keep"].arg_true().to_list()


def test_select_is_a_filter() -> None:
    assert isinstance(Select(), Filter)


def test_the_best_rows_are_kept(conversation: Any) -> None:
    records = conversation(("a", "x"), ("b", "x"), ("c", "x"), score=[0.1, 0.9, 0.5])
    found = judge(Select(budget=2), records).verdicts
    assert found["keep"].to_list() == [False, True, True]
    assert found.row(0) == (False, "not_selected", 0.1, None, "rank 3 of 3, 2 kept")


def test_ties_go_by_id_and_then_by_row() -> None:
    assert kept(Select(budget=2), scored([1.0] * 4, ids=["c", "a", "d", "b"])) == [1, 3]
    assert kept(Select(budget=1), scored([1.0, 1.0], ids=["a", "a"])) == [0]


def test_a_calibrated_reward_is_preferred_to_the_score_that_came_with_the_row() -> None:
    measures = scored(
        [3.0, 2.0, 1.0], **{"reward.verdict": [0.1, 0.2, 0.3], "reward.score": [9.0] * 3}
    )
    assert kept(Select(budget=1), measures) == [2]
    assert kept(Select(budget=1, by=("record.score",)), measures) == [0]


def test_a_named_column_is_needed_from_an_earlier_step() -> None:
    assert Select(by=("reward.score",)).needs == ("reward.score",)
    assert Select().needs == ()


@pytest.mark.parametrize("missing", [None, float("nan"), float("inf")])
def test_a_row_without_a_score_is_dropped_for_that_and_spends_no_budget(missing: Any) -> None:
    found = Select(budget=2).judge(scored([missing, 1.0, 2.0])).verdicts
    assert found["keep"].to_list() == [False, True, True]
    assert found["reason"][0] == "no_score"
    assert found["score"][0] is None


def test_no_score_anywhere_is_an_error_that_says_what_to_do() -> None:
    with pytest.raises(CurateError, match=r"none of 2 rows has a number in record\.score; put a"):
        Select().judge(scored([None, None]))


def test_equal_scores_are_said_to_be() -> None:
    found = Select(budget=1).judge(scored([2.0, 2.0])).verdicts
    assert found["evidence"][1] == "all scores are equal, so ids decided; rank 2 of 2, 1 kept"


def test_a_budget_beyond_the_rows_keeps_them_all() -> None:
    assert kept(Select(budget=10), scored([1.0, 2.0])) == [0, 1]


def test_the_longest_are_those_with_most_words() -> None:
    measures = scored([None] * 4, lengths=[5, 900, 30, 30], ids=["d", "c", "b", "a"])
    assert kept(Select(method="longest", budget=2), measures) == [1, 3]


def test_a_draw_depends_on_ids_and_seed_alone() -> None:
    measures = scored([None] * 200)
    one = kept(Select(method="random", budget=50, seed=1), measures)
    assert one == kept(Select(method="random", budget=50, seed=1), measures)
    assert one != kept(Select(method="random", budget=50, seed=2), measures)
    without = measures.filter(~pl.col("row").is_in([row for row in range(200) if row not in one]))
    assert kept(Select(method="random", budget=50, seed=1), without) == list(range(50))


def test_a_draw_is_even() -> None:
    measures = scored([None] * 4000)
    half = kept(Select(method="random", budget=2000), measures)
    assert abs(np.mean(half) - 1999.5) < 60  # 2.3 standard errors of 26


def test_a_category_has_at_most_its_quota() -> None:
    categories = ["code"] * 5 + ["math"] * 2 + [None] * 3
    measures = scored([9.0, 8.0, 7.0, 6.0, 5.0, 4.0, 3.0, 2.0, 1.0, 0.0]).with_columns(
        pl.Series("record.category", categories)
    )
    found = Select(budget=6, per_category=2).judge(measures).verdicts
    assert found["keep"].arg_true().to_list() == [0, 1, 5, 6, 7, 8]
    assert found["reason"].to_list()[2:5] == ["over_quota"] * 3
    assert found["evidence"][2] == "its category has 2 rows that rank higher"
    found = Select(budget=3, per_category=2).judge(measures).verdicts
    assert found["keep"].arg_true().to_list() == [0, 1, 5]
    assert found["reason"].to_list()[6:8] == ["not_selected"] * 2


def test_strata_of_length_keep_the_lengths_of_the_pool() -> None:
    rng = np.random.default_rng(0)
    lengths = np.exp(rng.normal(4, 1, 2000)).astype(int) + 1
    measures = scored(np.log(lengths).tolist(), lengths=lengths.tolist())
    plain = kept(Select(budget=200), measures)
    even = kept(Select(budget=200, stratify="length"), measures)
    moved = [shift(lengths, lengths[rows]) for rows in (plain, even)]
    assert moved[0] is not None and moved[1] is not None
    assert moved[0].ks > 0.85
    assert moved[1].ks < 0.1
    assert len(even) == 200


def test_bands_of_log_length_take_as_many_short_as_long_rows() -> None:
    rng = np.random.default_rng(2)
    lengths = np.exp(rng.normal(4, 1, 4000)).astype(int) + 1
    measures = scored(np.log(lengths).tolist(), lengths=lengths.tolist())
    chosen = lengths[kept(Select(budget=200, stratify="log_length"), measures)]
    assert len(chosen) == 200
    found, drawn = np.quantile(np.log(chosen), [0.1, 0.3, 0.5, 0.7, 0.9]), np.log(lengths)
    low, high = np.quantile(drawn, [0.01, 0.99])
    even = low + (high - low) * np.array([0.1, 0.3, 0.5, 0.7, 0.9])
    assert np.abs(found - even).max() < 0.45
    assert np.quantile(drawn, 0.9) < found[-1] - 0.4


def test_strata_of_category_share_the_budget_by_their_rows() -> None:
    categories = ["code"] * 60 + ["math"] * 30 + ["art"] * 10
    measures = scored([float(row) for row in range(100)]).with_columns(
        pl.Series("record.category", categories)
    )
    chosen = kept(Select(budget=10, stratify="category"), measures)
    assert Counter(categories[row] for row in chosen) == {"code": 6, "math": 3, "art": 1}
    assert chosen == [54, 55, 56, 57, 58, 59, 87, 88, 89, 99]


@quick
@given(
    st.lists(
        st.tuples(
            st.sampled_from([None, 0.0, 1.0, 2.0]), st.sampled_from("abcd"), st.sampled_from("xyz")
        ),
        min_size=1,
        max_size=30,
    ),
    st.integers(1, 12),
    st.sampled_from([None, 1, 3]),
    st.booleans(),
)
def test_the_selection_is_its_definition(
    rows: list[tuple[float | None, str, str]], budget: int, quota: int | None, strata: bool
) -> None:
    scores, ids, categories = (list(column) for column in zip(*rows, strict=True))
    known = [row for row in range(len(rows)) if scores[row] is not None]
    if not known:
        return
    ranked = sorted(known, key=lambda row: (-(scores[row] or 0.0), ids[row], row))
    seen: Counter[str] = Counter()
    inside = []
    for row in ranked:
        if quota is None or seen[categories[row]] < quota:
            inside.append(row)
        seen[categories[row]] += 1
    sizes = Counter(categories[row] for row in inside) if strata else Counter({"": len(inside)})
    total = len(inside)
    if total <= budget:
        expected = inside
    else:
        shares = {name: size * budget // total for name, size in sorted(sizes.items())}
        surplus = budget - sum(shares.values())
        for name in sorted(shares, key=lambda name: -(sizes[name] * budget % total))[:surplus]:
            shares[name] += 1
        expected = [
            row
            for name, share in shares.items()
            for row in [row for row in inside if not strata or categories[row] == name][:share]
        ]
    measures = scored(scores, ids=ids).with_columns(pl.Series("record.category", categories))
    step = Select(budget=budget, per_category=quota, stratify="category" if strata else "none")
    assert kept(step, measures) == sorted(expected)


@quick
@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 200)), min_size=1, max_size=40),
    st.sampled_from(["top", "random", "longest"]),
    st.sampled_from(["none", "length", "log_length"]),
    st.randoms(use_true_random=False),
)
def test_permuting_the_input_permutes_the_selection(
    rows: list[tuple[int, int]], method: Any, stratify: Any, random: Any
) -> None:
    scores, lengths = zip(*rows, strict=True)
    measures = scored([float(score) for score in scores], lengths=list(lengths))
    order = list(range(len(rows)))
    random.shuffle(order)
    step = Select(method=method, budget=7, stratify=stratify)
    assert step.judge(measures[order]).verdicts.equals(step.judge(measures).verdicts[order])
    assert len(kept(step, measures)) == min(7, len(rows))


def baselines_of(step: Select, measures: pl.DataFrame) -> pl.DataFrame:
    return step.judge(measures).findings.tables["baselines"]


def test_the_baselines_are_what_select_keeps_with_that_method_and_budget() -> None:
    lengths = np.random.default_rng(0).integers(1, 90, 300).tolist()
    measures = scored([float(length) for length in lengths], lengths=lengths)
    step = Select(budget=40, seed=7)
    baselines = baselines_of(step, measures)
    chosen = kept(step, measures)
    words = sum(lengths[row] for row in chosen)
    expected: dict[tuple[str, str | None, int | None], list[int]] = {
        ("selected", None, None): chosen,
        ("full", None, None): list(range(300)),
    }
    for unit, budget in (("rows", 40), ("words", words)):
        more: dict[str, Any] = {"budget": budget, "budget_in": unit}
        expected["longest@k", unit, None] = kept(Select(method="longest", **more), measures)
        for seed in (7, 8, 9):
            drawn = Select(method="random", seed=seed, **more)
            expected["random@k", unit, seed] = kept(drawn, measures)
    found = baselines.group_by("baseline", "matched_by", "seed").agg(pl.col("row").sort())
    assert {row[:3]: row[3] for row in found.iter_rows()} == expected
    assert baselines.join(measures, on=["row", "id"]).height == baselines.height
    longest = sum(lengths[row] for row in expected["longest@k", "words", None])
    assert words - 90 < longest <= words


def test_the_baselines_are_described_by_their_lengths() -> None:
    lengths = np.exp(np.random.default_rng(1).normal(4, 1, 2000)).astype(int) + 1
    measures = scored(lengths.astype(float).tolist(), lengths=lengths.tolist())
    step = Select(budget=200)
    found = step.judge(measures).findings
    by = {(each["baseline"], each["matched_by"]): each for each in found.numbers["baselines"]}
    assert len(found.numbers["baselines"]) == 10
    assert by["selected", None]["rows"] == by["random@k", "rows"]["rows"] == 200
    assert by["selected", None]["ks_to_full"] > 0.85 > 0.2 > by["random@k", "rows"]["ks_to_full"]
    assert by["selected", None]["median"] > 3 * by["full", None]["median"]
    assert by["random@k", "words"]["rows"] > 500
    assert found.sentences[0].startswith("selected 200 rows, ")
    assert "only training shows" in found.sentences[-1]


def test_when_all_rows_fit_nothing_is_compared() -> None:
    measures = scored([1.0, 2.0])
    step = Select(budget=10)
    said = step.judge(measures).findings.sentences
    assert said[-1].startswith("the budget is no smaller than the rows, so all are kept")
    assert step.judge(measures[:0]).findings.sentences == ()


def test_coverage_is_that_of_the_rows_by_the_baseline() -> None:
    axes = np.eye(4, dtype=np.float32)[[0, 0, 0, 1, 1, 2]]
    measures = scored([None] * 6).with_columns(pl.Series("vector", axes, pl.Array(pl.Float32, 4)))
    step = Select(method="facility", budget=2)
    assert kept(step, measures) == [0, 3]
    baselines = step.judge(measures).findings.numbers["baselines"]
    assert baselines[0]["coverage"] == round(5 / 6, 4)
    assert baselines[0]["alikeness"] == 0.0


def test_a_baseline_that_covers_the_rows_better_is_named() -> None:
    axes = np.eye(8, dtype=np.float32)[[0] * 40 + [1, 2, 3, 4, 5, 6, 7]]
    measures = scored([None] * 47).with_columns(pl.Series("vector", axes, pl.Array(pl.Float32, 8)))
    chosen = pl.Series([False] * 40 + [True] * 7)
    sentences = findings(measures, chosen, "words", 0).sentences
    expected = "random@k with as many rows (7 rows) covers all rows at least as well"
    assert expected in " ".join(sentences)
    best = Select(method="facility", budget=8)
    assert "at least as well" not in " ".join(best.judge(measures).findings.sentences)


def test_rows_say_why_they_were_chosen() -> None:
    axes = np.eye(4, dtype=np.float32)[[0, 0, 1]]
    measures = scored([2.0, 3.0, 1.0]).with_columns(
        pl.Series("vector", axes, pl.Array(pl.Float32, 4)),
        pl.Series("tags", [["a", "b"], ["a"], []], dtype=pl.List(pl.String)),
    )
    told = {
        "top": "rank 1 of 3, 2 kept",
        "repr": "rank 1 of 3, 2 kept",
        "kcenter": None,
        "facility": None,
        "tags": "round 2: 1 tags, brings a",
    }
    for method, said in told.items():
        evidence = Select(method=method, budget=2).judge(measures).verdicts["evidence"]  # type: ignore[arg-type]
        assert said is None or evidence[1] == said, method
    facility = Select(method="facility", budget=2).judge(measures).verdicts["evidence"].to_list()
    assert facility == [
        "pick 1 of 2: the nearest selected row for 2 of 3 rows",
        "cosine 1.0 to row 0, the nearest that is selected",
        "pick 2 of 2: the nearest selected row for 1 of 3 rows",
    ]
    centers = Select(method="kcenter", budget=2).judge(measures).verdicts["evidence"].to_list()
    assert centers[2] == "pick 2 of 2: distance 1.0 to the nearest picked before"
    tags = Select(method="tags", budget=2).judge(measures).verdicts
    assert tags["reason"].to_list() == [None, None, "no_tags"]


def test_a_tokenizer_counts_response_in_tokens(tmp_path: Any, conversation: Any) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers

    tokenizer = Tokenizer(models.WordLevel({"x": 0, "?": 1}, unk_token="?"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    records = conversation(("a", "x x x"), ("b", "x"), ("c", "x x"), score=[1.0, 3.0, 2.0])
    step = Select(budget=5, budget_in="tokens", tokenizer=str(tmp_path))
    assert judge(step, records).verdicts["keep"].to_list() == [
        False,
        True,
        True,
    ]  # 2 and 3 with the end
    assert step.cached
    assert not Select().cached


def test_no_rows_are_no_problem() -> None:
    for stratify in ("none", "length", "log_length", "category"):
        step = Select(stratify=stratify, per_category=3)
        assert step.judge(scored([])).verdicts.schema == VERDICTS


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "method": ({"method": "best"}, "method is 'best'; expected one of top, random, longest, kc"),
    "stratify": (
        {"stratify": "task"},
        "stratify is 'task'; expected one of none, length, log_length, category",
    ),
    "budget": ({"budget": 0}, "budget is 0; expected a number of at least 1"),
    "quota": ({"per_category": 0}, "per_category is 0; expected a number of at least 1"),
    "unread": (
        {"method": "random", "by": ("x.y",)},
        "by is read only with method: top or repr, and method is random",
    ),
    "threshold": (
        {"threshold": 0.5},
        "threshold is read only with method: repr, and method is top",
    ),
    "encoder": (
        {"method": "tags", "encoder": "x"},
        "encoder is read only with method: kcenter or facility or repr, and method is tags",
    ),
    "tags": ({"tags": "x"}, "tags is read only with method: tags, and method is top"),
    "cosine": ({"method": "repr", "threshold": 1.5}, "threshold is 1.5; expected a number of at"),
    "unit": ({"budget_in": "lines"}, "budget_in is 'lines'; expected one of rows, words, chars"),
    "tokens": ({"budget_in": "tokens"}, "budget_in: tokens and a tokenizer .* go together"),
    "tokenizer": ({"tokenizer": "no/such"}, "select: no tokenizer at no/such"),
    "two units": (
        {"tokenizer": "x", "budget_in": "words"},
        "budget_in: tokens and a tokenizer .* go together",
    ),
    "no encoder": ({"method": "repr", "encoder": "./no"}, "select: encoder ./no: there is no"),
    "seed": ({"seed": -1}, "seed is -1; expected a number of at least 0"),
}


@pytest.mark.parametrize("case", WRONG)
def test_settings_that_make_no_sense_are_refused(case: str) -> None:
    given_settings, said = WRONG[case]
    with pytest.raises(CurateError, match=said):
        Select(**given_settings)
