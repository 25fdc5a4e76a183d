from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.base.errors import CurateError
from filters.length.filter import Length
from filters.length.match import EDGES, Target, bins_of, match, shares, target_of_quantiles
from filters.length.report import shift
from tests.length_rows import of_lengths

quick = settings(max_examples=30, deadline=None)
rng = np.random.default_rng(0)
POOL = np.maximum(1, np.exp(rng.normal(3.5, 1.0, 3000))).astype(int).tolist()
LONGER = np.maximum(1, np.exp(rng.normal(4.0, 0.8, 1500))).astype(int).tolist()


@pytest.fixture
def longer(tmp_path: Path) -> str:
    file = tmp_path / "lengths.json"
    file.write_text(json.dumps(LONGER))
    return str(file)


def kept_of(step: Length, records: pl.DataFrame) -> pl.DataFrame:
    return records.filter(step.judge(records).verdicts["keep"])


def distance(kept: pl.DataFrame, target: list[int]) -> float:
    moved = shift(target, kept["length"].to_list())
    assert moved is not None
    return moved.ks


def test_lengths_follow_a_reference_file(longer: str) -> None:
    records = of_lengths(*POOL)
    kept = kept_of(Length(action="match", reference=longer), records)
    assert distance(records, LONGER) > 0.2
    assert distance(kept, LONGER) <= 0.1  # 0.05 at the edges of 10 % bins, a little more between
    assert 1000 < kept.height < 2500


def test_a_drop_says_how_far_the_set_was_and_is_from_the_target(longer: str) -> None:
    records = of_lengths(*POOL)
    found = Length(action="match", reference=longer).judge(records).verdicts
    dropped = found.filter(~pl.col("keep"))
    assert dropped["reason"].unique().to_list() == ["over_represented"]
    assert "distance (KS) to the target: 0.2" in dropped["evidence"][0]
    assert "effective sample size" in dropped["evidence"][0]


def test_a_looser_tolerance_keeps_more(longer: str) -> None:
    records = of_lengths(*POOL)
    sizes = [
        kept_of(Length(action="match", reference=longer, tolerance=near), records).height
        for near in (0.02, 0.05, 0.1, 0.15)
    ]
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[-1]


def test_quantiles_are_a_target() -> None:
    kept = kept_of(Length(action="match", quantiles=(1, 30, 60, 120, 500)), of_lengths(*POOL))
    found = np.quantile(kept["length"], [0.25, 0.5, 0.75])
    assert found == pytest.approx([30, 60, 120], rel=0.25)


def test_a_greatest_length_alone_is_uniform_in_log_length() -> None:
    kept = kept_of(Length(action="match", min=5, max=200), of_lengths(*POOL))
    log = np.log1p(kept["length"].to_numpy().astype(float))
    found = (np.quantile(log, [0.1, 0.3, 0.5, 0.7, 0.9]) - np.log(6)) / (np.log(202) - np.log(6))
    assert found == pytest.approx([0.1, 0.3, 0.5, 0.7, 0.9], abs=0.06)


def test_a_set_near_its_target_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "same.jsonl"
    file.write_text("\n".join(map(str, POOL)))
    assert (
        Length(action="match", reference=str(file)).judge(of_lengths(*POOL)).verdicts["keep"].all()
    )


def test_matching_what_was_matched_changes_nothing(longer: str) -> None:
    step = Length(action="match", reference=longer)
    kept = kept_of(step, of_lengths(*POOL))
    assert step.judge(kept).verdicts["keep"].all()


def test_the_seed_decides_which_rows_of_a_length_stay(longer: str) -> None:
    records = of_lengths(*POOL)
    chosen = [
        kept_of(Length(action="match", reference=longer, seed=seed), records)["id"].to_list()
        for seed in (0, 0, 1)
    ]
    assert chosen[0] == chosen[1]
    assert chosen[0] != chosen[2]


def test_a_score_can_decide_which_rows_of_a_length_stay(longer: str) -> None:
    scores = np.random.default_rng(1).normal(size=len(POOL)).tolist()
    records = of_lengths(*POOL, **{"reward.verdict": scores})
    by_score = kept_of(Length(action="match", reference=longer, by="reward.verdict"), records)
    drawn = kept_of(Length(action="match", reference=longer), records)
    assert by_score["reward.verdict"].mean() > drawn["reward.verdict"].mean() + 0.2
    assert distance(by_score, LONGER) <= 0.1


def test_permuting_the_input_of_match_permutes_its_output(longer: str) -> None:
    records = of_lengths(*POOL)
    order = np.random.default_rng(1).permutation(len(POOL)).tolist()
    step = Length(action="match", reference=longer)
    assert (
        step.judge(records[order])
        .verdicts["keep"]
        .equals(step.judge(records).verdicts["keep"][order])
    )


def test_every_kind_of_request_keeps_its_rows(longer: str) -> None:
    records = of_lengths(*POOL, *[1] * 40, task=["write"] * len(POOL) + ["classify"] * 40)
    for least in (0, 5, 30):
        step = Length(action="match", reference=longer, min_per_group=least, tolerance=0.1)
        assert kept_of(step, records).filter(task="classify").height >= least


def test_a_target_out_of_reach_is_said_to_be() -> None:
    with pytest.raises(CurateError) as error:
        Length(action="match", min=5000, max=9000).judge(of_lengths(*POOL))
    assert "no selection of these 3,000 rows comes within 0.05 of the target" in str(error.value)
    assert "100 % of the target has lengths that no row has" in str(error.value)


def test_a_reference_of_rows_gives_each_task_its_own_lengths(
    tmp_path: Path, conversation: Any
) -> None:
    file = tmp_path / "kept.jsonl"
    rows = [("Write it", 200)] * 1000 + [("Name it", 2)] * 1000
    file.write_text(
        "\n".join(
            json.dumps({"id": "x", "messages": [
                {"role": "user", "content": prompt},
                {"role": "assistant", "content": "word " * count},
            ]})
            for prompt, count in rows
        )
    )  # fmt: skip
    # Overall the pool has the reference's lengths already; within a task it has not.
    tasks = ["write"] * 1000 + ["name"] * 1000
    pool = of_lengths(*[2, 200] * 1000, task=tasks)
    kept = kept_of(Length(action="match", reference=str(tmp_path), min_per_group=0), pool)
    assert kept.filter(task="write", length=200).height == 500
    assert kept.filter(task="write", length=2).height < 100
    assert kept.filter(task="name", length=2).height == 500
    assert kept.filter(task="name", length=200).height < 100


@quick
@given(
    st.lists(st.integers(0, 300), min_size=5, max_size=120),
    st.lists(st.integers(0, 300), min_size=1, max_size=40),
    st.sampled_from([0.1, 0.3]),
    st.integers(0, 2),
)
def test_the_distance_falls_to_the_tolerance_or_nothing_is_dropped(
    pool: list[int], wanted: list[int], tolerance: float, least: int
) -> None:
    lengths = np.array(pool)
    target = Target(shares(np.array(wanted))[None, :], np.array([len(wanted)]))
    rank, cells = np.arange(len(pool)), np.zeros(len(pool), dtype=np.int64)
    done = match(lengths, rank, cells, target, cells, tolerance, least)

    def far(rows: np.ndarray[Any, Any]) -> float:
        return float(np.abs(np.cumsum(shares(rows) - target.distributions[0])).max())

    assert done.before == pytest.approx(far(lengths))
    if done.before <= tolerance or done.after > tolerance:
        assert done.keep.all()
    else:
        assert far(lengths[done.keep]) == pytest.approx(done.after)
        assert done.after <= tolerance
        assert done.keep.sum() >= min(least, len(pool))


def test_the_effective_sample_size_is_that_of_the_weights() -> None:
    lengths = np.array([1] * 30 + [2] * 10)
    target = Target(shares(np.array([1, 2]))[None, :], np.array([2]))
    zeros = np.zeros(40, dtype=np.int64)
    done = match(lengths, np.arange(40), zeros, target, zeros, 0.01, 0)
    weights = np.array([0.5 / 0.75] * 30 + [0.5 / 0.25] * 10)
    assert done.effective == pytest.approx(weights.sum() ** 2 / (weights**2).sum())
    assert sorted(lengths[done.keep]) == [1] * 10 + [2] * 10


def test_bins_are_single_lengths_up_to_ten_and_then_steps_of_a_tenth() -> None:
    assert EDGES[:13].tolist() == [*range(11), 11, 12]
    assert bins_of(np.array([0, 7, 100])).tolist() == [
        0,
        7,
        int(np.searchsorted(EDGES, 100, "right")) - 1,
    ]
    steps = EDGES[11:] / EDGES[10:-1]
    assert steps.max() < 1.2


def test_the_shares_of_a_law_add_up_to_one() -> None:
    for points in ((1, 1000), (0, 5), (3, 4, 5000, 90_000)):
        found = target_of_quantiles(points).distributions[0]
        assert found.sum() == pytest.approx(1.0)
        assert found.min() >= 0.0


BAD_REFERENCES = {
    "": "no lengths in this reference",
    "12\nx\n": "not JSON",
    '12\n{"id": "a"}\n': "entry 1 is 12; expected a length",
    "[12, -4]": "entry 1 is 12",
    '{"messages": [5]}': "its messages are not as",
    '{"text": "x"}': "entry 1 is {'text': 'x'}; expected a length",
}


@pytest.mark.parametrize("text", BAD_REFERENCES)
def test_a_reference_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "reference.jsonl"
    file.write_text(text)
    with pytest.raises(CurateError, match=BAD_REFERENCES[text]):
        Length(action="match", reference=str(file)).judge(of_lengths(1, 2, 3))


def test_a_missing_reference_is_refused_when_the_recipe_is_read(tmp_path: Path) -> None:
    with pytest.raises(CurateError, match=r"no reference file at "):
        Length(action="match", reference=str(tmp_path))


def test_verbose_answers_can_be_matched_to_alpacas_lengths(
    test_data: Path, conversation: Any, tmp_path: Path
) -> None:
    from tests.test_length_report import dump, words

    concise = words(dump(test_data, "model_outputs_alpaca_7b_concise.json")).tolist()
    verbose = words(dump(test_data, "model_outputs_alpaca_7b_verbose.json")).tolist()
    file = tmp_path / "concise.json"
    file.write_text(json.dumps(concise))
    records = of_lengths(*verbose)
    kept = kept_of(Length(action="match", reference=str(file)), records)
    assert distance(records, concise) > 0.2
    assert distance(kept, concise) < 0.1
    assert kept.height > 350
